"""Checkpoints: one .npz file of plain arrays and a JSON text, replaced as a whole.

Nothing in it is code: it is read without pickle.  A run that is killed at any moment leaves either
the old file or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from qnsolve.arrays import Array, VectorSpace, to_host
from qnsolve.arrays.libraries import is_array
from qnsolve.norms import DiagonalNorm

VERSION = 3
"""Of the format; a file of another one is refused."""

_TEXT = "checkpoint.json"


def save(path: str | os.PathLike[str], tree: dict[str, Any]) -> None:
    """Write nested dictionaries and lists of plain values and arrays of any library to `path`.

    The text is written to a temporary file beside it, flushed to the disk, and renamed.  Lists hold
    no arrays.
    """
    path = Path(os.path.realpath(path))
    arrays: dict[str, np.ndarray] = {}
    foreign: list[str] = []
    text = {"version": VERSION, "tree": _without_arrays(tree, "", arrays, foreign)}
    text["foreign"] = foreign
    entries: dict[str, Any] = {_TEXT: np.array(json.dumps(text)), **arrays}
    file = _make_beside(path)
    try:
        with file:
            np.savez(file, **entries)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, path)
    except BaseException:
        Path(file.name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def save_or_warn(path: str | os.PathLike[str], tree: dict[str, Any]) -> None:
    """Write as :func:`save` does; where the disk refuses, warn: a run is worth more than its file.

    The file of before, if any, is still there then.
    """
    try:
        save(path, tree)
    except OSError as failure:
        warnings.warn(
            f"the checkpoint {os.fspath(path)} could not be written ({failure.strerror or failure})"
            "; the run goes on",
            RuntimeWarning,
            stacklevel=2,
        )


def load(path: str | os.PathLike[str], space: VectorSpace) -> dict[str, Any]:
    """Return what :func:`save` has written.

    Parameters
    ----------
    path : path-like
    space : VectorSpace
        Library and device that arrays of a library other than NumPy go back to.

    Raises
    ------
    ValueError
        If the file is not a checkpoint, is damaged, or of another version.
    """
    name = os.fspath(path)
    with open(path, "rb") as handle:
        try:
            text, arrays = _read(handle)
            version = text["version"]
        except Exception as error:  # whatever the readers of its layers make of a broken file
            raise ValueError(f"{name} is not a checkpoint, or it is damaged") from error
    if version != VERSION:
        raise ValueError(f"{name} has version {version}, this is version {VERSION}")
    for foreign in text["foreign"]:
        arrays[foreign] = space.from_host(arrays[foreign])
    tree: dict[str, Any] = _with_arrays(text["tree"], arrays)
    return tree


def prepare(path: str | os.PathLike[str]) -> bool:
    """Tell whether there is a file to go on from, once it is known that one could be written.

    Temporary files of runs that were killed while they wrote are removed.

    Raises
    ------
    ValueError
        If there is no folder to write to, `path` is one or a device, or no file of such a name can
        be made there.
    """
    place = Path(os.path.realpath(path))
    if not place.parent.is_dir() or not os.access(place.parent, os.W_OK):
        raise ValueError(f"checkpoint must lie in a folder that can be written to, got {path}")
    # Those of os.path answer for names that the system refuses, too.
    if os.path.exists(place) and not os.path.isfile(place):
        what = "a folder" if os.path.isdir(place) else "a device or pipe"
        raise ValueError(f"checkpoint must be a file, {path} is {what}")
    left_over = re.compile(re.escape(place.name) + r"\.[0-9a-f]{16}\.tmp")  # by _make_beside
    for entry in place.parent.iterdir():
        if left_over.fullmatch(entry.name):
            entry.unlink(missing_ok=True)
    # Rights are not all that can be in the way.
    try:
        file = _make_beside(place)
    except OSError as error:
        raise ValueError(
            f"checkpoint must be a file that can be made, got {path}: {error.strerror}"
        ) from error
    file.close()
    Path(file.name).unlink(missing_ok=True)
    return place.exists()


def refuse_other(saved: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Raise ValueError where a checkpoint, made with `saved`, is not of the run `identity`."""
    for name, value in identity.items():
        if name not in saved or saved[name] != value:
            raise ValueError(
                f"the checkpoint is of a run with {name} = {saved.get(name)!r}, "
                f"this one has {value!r}"
            )


def in_words(value: Any) -> Any:
    """Return an option as plain values that tell it from others, for :func:`refuse_other`.

    Examples
    --------
    >>> import numpy as np
    >>> in_words(("l2", 3, np.sum))
    ['l2', 3, 'numpy.sum']
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [in_words(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): in_words(item) for key, item in value.items()}
    if isinstance(value, DiagonalNorm):
        return f"DiagonalNorm {fingerprint(value.d)}"
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: in_words(getattr(value, field.name)) for field in fields(value)}
        return {"type": type(value).__qualname__, **parts}
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def require_same(space: VectorSpace, **named: Any) -> None:
    """Refuse, on every rank, what steers a run and is not the same on all of them; collective.

    Callables and norms are told by their names: a rank has its own slice of them.
    """
    for name, value in named.items():
        words = repr("DiagonalNorm" if isinstance(value, DiagonalNorm) else in_words(value))
        if not space.same(float(zlib.crc32(words.encode()))):
            raise ValueError(f"{name} must be the same on every rank, here it is {words}")


def fingerprint(a: Array) -> str:
    """Return a short text that another array would not have."""
    return hashlib.sha256(to_host(a).tobytes()).hexdigest()[:16]


def _read(handle: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the text and the arrays of a file, whose checksums must hold."""
    with zipfile.ZipFile(handle) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(damaged)
    handle.seek(0)
    with np.load(handle, allow_pickle=False) as file:
        text = json.loads(str(file[_TEXT]))
        return text, {name: file[name] for name in file.files if name != _TEXT}


def _without_arrays(
    value: Any, name: str, arrays: dict[str, np.ndarray], foreign: list[str]
) -> Any:
    """Return `value` for the text, with the name of an array in its place."""
    if isinstance(value, dict):
        return {
            key: _without_arrays(item, f"{name}/{key}", arrays, foreign)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            _without_arrays(item, f"{name}/{i}", arrays, foreign) for i, item in enumerate(value)
        ]
    if is_array(value) and not isinstance(value, np.generic):
        if isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            # On the host in the dtype that it had: float64 holds every float32.
            narrow = str(value.dtype).endswith("float32")
            arrays[name] = to_host(value).astype(np.float32 if narrow else np.float64)
            foreign.append(name)
        return {"array": name}
    return value.item() if isinstance(value, np.generic) else value


def _with_arrays(value: Any, arrays: dict[str, Any]) -> Any:
    if not isinstance(value, dict):
        return value
    if set(value) == {"array"}:
        return arrays[value["array"]]
    return {key: _with_arrays(item, arrays) for key, item in value.items()}


def _make_beside(path: Path) -> BinaryIO:
    """Open a new file in the folder of `path`, with the rights that a new file has there."""
    return open(path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp"), "xb")


def _sync_folder(folder: Path) -> None:
    """Flush the renaming itself, where the system lets a folder be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
