"""Vectors of which each of several ranks holds a slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np

from qnsolve.arrays.libraries import Array
from qnsolve.arrays.ranks import agreed, each, raise_together, slot
from qnsolve.arrays.request import Numbers, Request
from qnsolve.arrays.space import VectorSpace
from qnsolve.comm import Comm

T = TypeVar("T")


class ShardedSpace(VectorSpace):
    """The vectors of all ranks; arrays are the slices of this one.

    Every method that returns numbers is collective and makes one all-reduce, and :meth:`norm`
    further ones where a square leaves its range.  Every rank must ask the same.

    Parameters
    ----------
    local : VectorSpace
        Of the slices on this rank.
    comm : Comm
    size, first : int
        Length of the vectors, and where the slice begins.
    """

    sharded = True
    comm: Comm

    def __init__(self, local: VectorSpace, comm: Comm, size: int, first: int) -> None:
        super().__init__(local.xp, local.dtype, local.device, size, local.wide)
        self.local, self.comm = local, comm
        self.first, self.length = first, local.size
        self.leader = comm.rank == 0
        self.on_host = local.on_host

    @classmethod
    def of_slices(cls, local: VectorSpace, comm: Comm) -> ShardedSpace:
        """Return the space whose slice on this rank is of `local`; collective."""
        lengths = each(comm, float(local.size)).astype(int)
        return cls(local, comm, int(lengths.sum()), int(lengths[: comm.rank].sum()))

    def __reduce__(self) -> tuple[Callable[..., ShardedSpace], tuple[Any, ...]]:
        return ShardedSpace, (self.local, self.comm, self.size, self.first)

    def set_row(self, block: Array, index: int, row: Array) -> Array:
        return self.local.set_row(block, index, row)

    def combine(self, coefficients: np.ndarray, rows: Array) -> Array:
        return self.local.combine(coefficients, rows)

    def combine_and_add(
        self, coefficients: np.ndarray, rows: Array, alpha: float, v: Array, *, multiply: bool
    ) -> tuple[Array, None]:
        return self.local.combine_and_add(coefficients, rows, alpha, v, multiply=False)[0], None

    def reduce(self, request: Request, scalars: Sequence[Any] = ()) -> Numbers:
        dots, products, largest, numbers = self.local.reduce(request, scalars)
        # A maximum is no sum: every rank lays its own beside those of the others.
        slots = [slot(self.comm, value) for value in largest]
        sums = iter(self._summed(np.array(dots), *products, *slots, np.array(numbers)))
        return Numbers(
            next(sums).tolist(),
            [next(sums) for _ in products],
            [next(sums).max().item() for _ in largest],
            next(sums).tolist(),
        )

    def products_of_combinations(
        self, coefficients: np.ndarray, rows: Array
    ) -> tuple[np.ndarray, np.ndarray]:
        found = self.local.products_of_combinations(coefficients, rows)
        with_rows, among = self._summed(*found)
        return with_rows, among

    def rescale_pairs(
        self, block: Array, used: int, factor: Array
    ) -> tuple[Array, np.ndarray, np.ndarray]:
        block, *grams = self.local.rescale_pairs(block, used, factor)
        SS, YY = self._summed(*grams)
        return block, SS, YY

    def any(self, flag: bool) -> bool:
        return bool(self.comm.allreduce_sum(np.array([float(flag)]))[0] > 0.0)

    def each(self, value: float) -> np.ndarray:
        return each(self.comm, value)

    def same(self, value: float) -> bool:
        values = self.each(value)
        return bool((values == values[0]).all())

    def agreed(self, action: Callable[[], T]) -> T:
        return agreed(self.comm, action)

    def fail_together(self, error: BaseException | None) -> NoReturn:
        raise_together(self.comm, error)

    def _summed(self, *parts: np.ndarray) -> list[np.ndarray]:
        """Return the sums over the ranks, in one all-reduce."""
        whole = np.concatenate([part.ravel() for part in parts])
        if whole.size:
            whole = self.comm.allreduce_sum(whole)
        ends = np.cumsum([part.size for part in parts])[:-1]
        return [
            total.reshape(part.shape)
            for total, part in zip(np.split(whole, ends), parts, strict=True)
        ]
