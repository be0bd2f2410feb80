"""Ranks that hold one slice each of every vector of length n.

A solver needs one thing from them: the sum of a small array over all ranks.  Everything else here
is made of it, so that another engine than MPI is a class with one method.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Comm(Protocol):
    """What a solver wants from a group of ranks.

    Attributes
    ----------
    rank, size : int
        Number of this rank, from 0, and of all of them.
    """

    rank: int
    size: int

    def allreduce_sum(self, a: np.ndarray) -> np.ndarray:
        """Return the sum over all ranks of `a`, 1-D float64 of the same length on each of them.

        Collective, and the result must be the same on every rank to the last bit: the ranks make
        the same decisions only because they see the same numbers.
        """
        ...


class Serial:
    """The only rank.

    Examples
    --------
    >>> import numpy as np
    >>> Serial().allreduce_sum(np.array([1.0, 2.0]))
    array([1., 2.])
    """

    rank, size = 0, 1

    def allreduce_sum(self, a: np.ndarray) -> np.ndarray:
        return a


class MPI:
    """The ranks of an MPI communicator.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        Default MPI.COMM_WORLD.

    Raises
    ------
    ImportError
        If mpi4py or the MPI library behind it is missing.
    """

    def __init__(self, comm: Any = None) -> None:
        try:
            from mpi4py import MPI as library
        except (ImportError, RuntimeError) as error:  # RuntimeError: no MPI library to load
            raise ImportError(
                "comm needs mpi4py and an MPI library: pip install mpi4py mpich"
            ) from error
        self._comm = library.COMM_WORLD if comm is None else comm
        self.rank: int = self._comm.Get_rank()
        self.size: int = self._comm.Get_size()

    def allreduce_sum(self, a: np.ndarray) -> np.ndarray:
        total = np.empty_like(a)
        self._comm.Allreduce(a, total)
        return total


class RankError(RuntimeError):
    """Raised on the ranks where nothing went wrong, with the message of the one where it did."""


def as_comm(comm: Any) -> Comm | None:
    """Return a user's `comm`, which may be an mpi4py communicator, as a Comm, or raise TypeError.

    None, for a run without ranks, stays None.

    Examples
    --------
    >>> as_comm("world")
    Traceback (most recent call last):
    ...
    TypeError: comm must be a qnsolve.comm.Comm or an mpi4py communicator, got str
    """
    if comm is None or isinstance(comm, Comm):
        return comm
    if hasattr(comm, "Allreduce") and hasattr(comm, "Get_rank"):
        return MPI(comm)
    raise TypeError(
        "comm must be a qnsolve.comm.Comm or an mpi4py communicator, "
        f"got {comm.__name__ if isinstance(comm, type) else type(comm).__name__}"
    )
