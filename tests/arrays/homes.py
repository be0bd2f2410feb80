"""Ranks in the threads of one process, and the spaces that the tests run on."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np


class ThreadComm:
    """One of several ranks that are threads; counts its all-reduces."""

    def __init__(self, rank, size, barrier, board):
        self.rank, self.size = rank, size
        self._barrier, self._board = barrier, board
        self.count = 0

    def allreduce_sum(self, a):
        assert a.dtype == np.float64 and a.ndim == 1
        self.count += 1
        self._board[self.rank] = a
        self._barrier.wait(timeout=60)
        parts = [self._board[rank] for rank in range(self.size)]
        self._barrier.wait(timeout=60)
        assert len({part.shape for part in parts}) == 1, "ranks ask for different things"
        with np.errstate(over="ignore", invalid="ignore"):
            return np.sum(parts, axis=0)


def on_ranks(size, action):
    """Return what ``action(comm)`` returns, or raises, on each of `size` ranks."""
    barrier, board = threading.Barrier(size), {}

    def run(rank):
        try:
            return action(ThreadComm(rank, size, barrier, board))
        except Exception as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(run, range(size)))


def cuts(n, size):
    """Return the slice of each rank; that of the second of three is empty."""
    ends = [n * rank // size for rank in range(size + 1)]
    if size > 2:
        ends[2] = ends[1]
    return [slice(*pair) for pair in pairwise(ends)]
