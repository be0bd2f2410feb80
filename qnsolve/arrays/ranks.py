"""What ranks tell each other beside inner products, made of the one sum that a Comm has."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeVar

import numpy as np

from qnsolve.comm import Comm, RankError

T = TypeVar("T")


def each(comm: Comm, value: float) -> np.ndarray:
    """Return what every rank gives for `value`, in the order of the ranks."""
    return comm.allreduce_sum(slot(comm, value))


def slot(comm: Comm, value: float) -> np.ndarray:
    """Return the contribution to a sum that lays the values of all ranks side by side.

    It is how a maximum gets into the one message that is summed.
    """
    values = np.zeros(comm.size)
    values[comm.rank] = value
    return values


def agreed(comm: Comm | None, action: Callable[[], T]) -> T:
    """Return ``action()`` if it raises on no rank; otherwise raise on every one.

    For the time before there is a space; ``space.agreed`` is the same afterwards.
    """
    if comm is None:
        return action()
    error: BaseException | None = None
    try:
        value = action()
    except BaseException as caught:  # an interrupt on one rank ends the others, too
        error = caught
    if comm.allreduce_sum(np.array([float(error is not None)]))[0]:
        raise_together(comm, error)
    return value


def raise_together(comm: Comm, error: BaseException | None) -> NoReturn:
    """Raise `error` where it happened, and a RankError that quotes the first one elsewhere."""
    failed = np.flatnonzero(each(comm, float(error is not None)))
    text = _words(error).encode(errors="backslashreplace")
    length = int(each(comm, float(len(text)))[failed[0]])
    letters = np.zeros(length)
    if comm.rank == failed[0]:
        letters[:] = list(text)
    message = bytes(int(letter) for letter in comm.allreduce_sum(letters)).decode()
    if error is not None:
        raise error
    raise RankError(f"on rank {failed[0]} of {comm.size}: {message}")


def _words(error: BaseException | None) -> str:
    """Return type and message of an error, whatever its message does."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__
