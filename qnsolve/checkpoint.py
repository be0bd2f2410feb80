"""Checkpoints: a line of JSON, the bytes of arrays, and their checksum, replaced as a whole.

Nothing in it is code: it is read without pickle.  A run that is killed or interrupted at any moment
leaves either the old file or the new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qnsolve.arrays import Array, VectorSpace, to_host
from qnsolve.arrays.libraries import is_array
from qnsolve.checks import scalar
from qnsolve.norms import DiagonalNorm

VERSION = 5
"""Of the format; a file of another one is refused."""

MAGIC = b"qnsolve checkpoint "
"""What a file begins with; the version and the end of the line follow."""

CHECKSUM = 16
"""Bytes of the checksum, which are the last ones."""

DEPTH = 8
"""How far :func:`in_words` looks into what it is given."""

LONG = 32
"""Entries beyond which it does not spell a list out."""


def save(path: str | os.PathLike[str], tree: dict[str, Any]) -> None:
    """Write nested dictionaries and lists of plain values and arrays of any library to `path`.

    All of it is written to a temporary file beside it, flushed to the disk, and renamed.  Lists
    hold no arrays.  There is no moment at which an exception, of a signal too, would leave anything
    but a whole file at `path`, and none that would put another one in the place of that exception.
    """
    path = Path(os.path.realpath(path))
    arrays: dict[str, np.ndarray] = {}
    foreign: list[str] = []
    text = {"tree": _without_arrays(tree, "", arrays, foreign), "foreign": foreign}
    text["arrays"] = {name: [a.dtype.str, list(a.shape)] for name, a in arrays.items()}
    temporary = _name_beside(path)
    try:
        with _new_file(temporary) as file:
            for chunk in _chunks(text, arrays):
                while chunk:
                    chunk = chunk[file.write(chunk) :]
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
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
    with open(path, "rb") as file:
        begin = file.readline(len(MAGIC) + CHECKSUM)
        if begin.startswith(MAGIC) and begin != _first_line():
            version = begin.removeprefix(MAGIC).decode(errors="replace").strip()
            raise ValueError(f"{name} has version {version}, this is version {VERSION}")
        try:
            if begin != _first_line():
                raise ValueError("it begins otherwise")
            text, arrays = _read(file)
            for foreign in text["foreign"]:
                arrays[foreign] = space.from_host(arrays[foreign])
            tree: dict[str, Any] = _with_arrays(text["tree"], arrays)
        except Exception as error:  # whatever a broken file leads to
            raise _damaged(name) from error
    return tree


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Raise ValueError in a block that makes use of what a file holds, where that is not possible.

    Those that the block raises itself say more.
    """
    try:
        yield
    except ValueError:
        raise
    except Exception as error:
        raise _damaged(path) from error


@contextlib.contextmanager
def noting(error: BaseException) -> Iterator[None]:
    """Write, in a block, on the way out of a run that `error` has broken off, which shall come out.

    Another interrupt may still take its place.
    """
    try:
        yield
    except Exception as failure:
        error.add_note(f"The checkpoint could not be written: {failure}")


def _damaged(path: str) -> ValueError:
    return ValueError(f"{path} is not a checkpoint, or it is damaged")


def prepare(path: str | os.PathLike[str]) -> tuple[str, bool]:
    """Return where `path` is, wherever the process goes, and whether there is a file to go on from.

    Temporary files of runs that were killed while they wrote are removed.

    Raises
    ------
    ValueError
        If none could be written: there is no folder to write to, `path` is one or a device, or no
        file of such a name can be made there.
    """
    try:
        place = Path(os.path.realpath(path))
    except OSError as error:  # the working directory has been deleted
        raise ValueError(f"checkpoint must be a path that exists, got {path}: {error}") from error
    if not place.parent.is_dir() or not os.access(place.parent, os.W_OK):
        raise ValueError(f"checkpoint must lie in a folder that can be written to, got {path}")
    # Those of os.path answer for names that the system refuses, too.
    if os.path.exists(place) and not os.path.isfile(place):
        what = "a folder" if os.path.isdir(place) else "a device or pipe"
        raise ValueError(f"checkpoint must be a file, {path} is {what}")
    left_over = re.compile(re.escape(place.name) + r"\.[0-9a-f]{16}\.tmp")  # by _name_beside
    for entry in place.parent.iterdir():
        if left_over.fullmatch(entry.name):
            entry.unlink(missing_ok=True)
    # Rights are not all that can be in the way.
    try:
        temporary = _name_beside(place)
        _new_file(temporary).close()
        temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(
            f"checkpoint must be a file that can be made, got {path}: {error.strerror}"
        ) from error
    return str(place), place.exists()


def refuse_other(saved: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Raise ValueError where a checkpoint, made with `saved`, is not of the run `identity`."""
    for name, value in identity.items():
        if name not in saved or saved[name] != value:
            raise ValueError(
                f"the checkpoint is of a run with {name} = {saved.get(name)!r}, "
                f"this one has {value!r}"
            )


def in_words(value: Any, depth: int = DEPTH, *, by_parts: bool = True) -> Any:
    """Return a value as plain ones that tell it from others, for :func:`refuse_other`.

    Equal numbers are the same whatever their type, and arrays whatever their dtype and library.
    What is none of these and no container is known by its type and, `by_parts`, its attributes;
    functions by name, default arguments and closure.

    Examples
    --------
    >>> import numpy as np
    >>> in_words(("l2", np.float32(3.0), np.sum))
    ['l2', 3.0, 'numpy.sum']
    """
    value = scalar(value)
    if isinstance(value, float) and value != value:
        return "nan"  # is not equal to itself
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, type) or not depth:
        return _name_of(value)
    words = partial(in_words, depth=depth - 1, by_parts=by_parts)
    if isinstance(value, complex):
        return [words(value.real), words(value.imag)] if value.imag else words(value.real)
    if isinstance(value, bytes | bytearray):
        return f"bytes {_short(bytes(value))}"
    if is_array(value):
        return _array_in_words(value)
    if isinstance(value, tuple | list):
        items = [words(item) for item in value]
        if len(items) > LONG and all(isinstance(item, bool | int | float) for item in items):
            return words(np.array(items))
        return items if len(items) <= LONG else f"list {_short(json.dumps(items).encode())}"
    if isinstance(value, set | frozenset):
        return {"set": sorted(map(words, value), key=str)}
    if isinstance(value, Mapping):
        return {str(words(key)): words(item) for key, item in value.items()}
    if isinstance(value, DiagonalNorm):
        return f"DiagonalNorm {fingerprint(value.d)}"
    if isinstance(value, partial):
        return words([value.func, value.args, value.keywords])
    if hasattr(value, "__qualname__"):
        cells = [_content(cell) for cell in getattr(value, "__closure__", None) or ()]
        given = [*(getattr(value, "__defaults__", None) or ()), *cells]
        return [_name_of(value), words(given)] if given and by_parts else _name_of(value)
    if is_dataclass(value):
        parts = {field.name: words(getattr(value, field.name)) for field in fields(value)}
        return {"type": _name_of(value), **parts}
    own = getattr(value, "__dict__", {}) if by_parts else {}
    return {"type": _name_of(value), **words(own)} if own else _name_of(value)


def require_same(space: VectorSpace, **named: Any) -> None:
    """Refuse, on every rank, what steers a run and is not the same on all of them; collective.

    Callables and norms are told by their names: a rank has its own slice of them.
    """
    for name, value in named.items():
        words = repr(
            "DiagonalNorm" if isinstance(value, DiagonalNorm) else in_words(value, by_parts=False)
        )
        if not space.same(float(zlib.crc32(words.encode()))):
            raise ValueError(f"{name} must be the same on every rank, here it is {words}")


def fingerprint(a: Array) -> str:
    """Return a short text that another array would not have."""
    return _short(to_host(a).tobytes())


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _name_of(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return None


def _array_in_words(a: Array) -> str:
    """Return shape and fingerprint of an array: by its values, where float64 holds them."""
    host = a if isinstance(a, np.ndarray) else to_host(a)
    kind, content = "", host
    if host.dtype.kind in "biuf":
        with np.errstate(over="ignore"):
            content = host.astype(np.float64) + 0.0  # there is one zero
        if not np.array_equal(content, host, equal_nan=host.dtype.kind == "f"):
            content = host
    if content.dtype != np.float64:
        kind = f" of {content.dtype}"
    raw = repr(content.tolist()).encode() if content.dtype.hasobject else content.tobytes()
    return f"array {list(host.shape)}{kind} {_short(raw)}"


def _first_line() -> bytes:
    return MAGIC + b"%d\n" % VERSION


def _chunks(text: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Iterator[memoryview]:
    """Yield a file piece by piece; arrays in one block of memory are not copied."""
    checksum = hashlib.blake2b(digest_size=CHECKSUM)
    head = [_first_line(), json.dumps(text).encode() + b"\n"]
    for piece in (*head, *arrays.values()):
        if not isinstance(piece, bytes):
            piece = np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data
        chunk = memoryview(piece)
        checksum.update(chunk)
        yield chunk
    yield memoryview(checksum.digest())


def _read(file: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the text and the arrays of a file after its first line; its checksum must hold."""
    checksum = hashlib.blake2b(_first_line(), digest_size=CHECKSUM)
    line = file.readline()
    checksum.update(line)
    text, arrays = json.loads(line), {}
    left = os.fstat(file.fileno()).st_size
    for name, (dtype, shape) in text["arrays"].items():
        size = np.dtype(dtype).itemsize
        for length in shape:
            size *= length
        if size > left:
            raise ValueError("the file is too short")
        content = bytearray(size)
        file.readinto(content)
        checksum.update(content)
        arrays[name] = np.frombuffer(content, dtype).reshape(shape)
    if file.read() != checksum.digest():
        raise ValueError("the checksum is another one")
    return text, arrays


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


def _name_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")


def _new_file(path: Path) -> Any:
    """Open a new file, with the rights that a new file has there.

    Without a buffer, whose flush on the way out could fail in the place of an interrupt.
    """
    return open(path, "xb", buffering=0)


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
