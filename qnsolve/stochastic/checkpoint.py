"""Checkpoints: one .npz file of plain arrays and a JSON text, replaced as a whole.

Nothing in it is code: it is read without pickle.  A run that is killed at any moment leaves either
the old file or the new one.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import array_api_compat
import numpy as np

from qnsolve.array import VectorSpace, to_host

VERSION = 1
"""Of the format; a file of another one is refused."""

_TEXT = "checkpoint.json"


def save(path: str | os.PathLike, tree: dict[str, Any]) -> None:
    """Write nested dictionaries of numbers, strings, None and arrays of any library to `path`.

    The text is written to a temporary file beside it, flushed to the disk, and renamed.
    """
    path = Path(path)
    arrays: dict[str, np.ndarray] = {}
    foreign: list[str] = []
    text = {"version": VERSION, "tree": _without_arrays(tree, "", arrays, foreign)}
    text["foreign"] = foreign
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **{_TEXT: np.array(json.dumps(text))}, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def load(path: str | os.PathLike, space: VectorSpace) -> dict[str, Any]:
    """Return what :func:`save` has written.

    Parameters
    ----------
    path : path-like
    space : VectorSpace
        Library and device that arrays of a library other than NumPy go back to.

    Raises
    ------
    ValueError
        If the file is not a checkpoint, or of another version.
    """
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            text = json.loads(str(file[_TEXT]))
            arrays = {name: file[name] for name in file.files if name != _TEXT}
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{os.fspath(path)} is not a checkpoint of a training run") from error
    if text["version"] != VERSION:
        raise ValueError(
            f"{os.fspath(path)} has version {text['version']}, this is version {VERSION}"
        )
    for name in text["foreign"]:
        arrays[name] = space.from_host(arrays[name])
    return _with_arrays(text["tree"], arrays)


def _without_arrays(
    value: Any, name: str, arrays: dict[str, np.ndarray], foreign: list[str]
) -> Any:
    """Return `value` for the text, with the name of an array in its place."""
    if isinstance(value, dict):
        return {
            key: _without_arrays(item, f"{name}/{key}", arrays, foreign)
            for key, item in value.items()
        }
    if array_api_compat.is_array_api_obj(value) and not isinstance(value, np.generic):
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
