"""The memory of secant pairs: a ring of rows on the device, their Gram matrix on the host.

Notation: ``s_j`` and ``y_j`` are the step and gradient change of pair j, S and Y the n x k matrices
of the stored ones, oldest first.  W is the (2m, n) block whose rows 2p and 2p+1 hold the pair of
slot p.  Rows are written once and never moved; a pair's age lives in the order of the slots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from qnsolve.arrays import Array, Request, VectorSpace, to_host
from qnsolve.state import Stateful


@dataclass(eq=False)
class GramBlocks:
    """S'S, S'Y and Y'Y, each (k, k), rows and columns oldest first; never changed once made."""

    SS: np.ndarray
    SY: np.ndarray
    YY: np.ndarray

    def __len__(self) -> int:
        return self.SS.shape[0]

    def newest(self, count: int) -> GramBlocks:
        """Return the blocks of the `count` newest pairs."""
        first = len(self) - count
        if not first:
            return self
        return GramBlocks(self.SS[first:, first:], self.SY[first:, first:], self.YY[first:, first:])

    def with_newest(self, pair: SeenPair) -> GramBlocks:
        """Return the blocks with other inner products of the newest pair with itself."""
        blocks = GramBlocks(self.SS.copy(), self.SY.copy(), self.YY.copy())
        blocks.SS[-1, -1], blocks.SY[-1, -1], blocks.YY[-1, -1] = pair.ss, pair.sy, pair.yy
        return blocks

    @cached_property
    def s_norms(self) -> np.ndarray:
        return np.sqrt(self.SS.diagonal())

    @cached_property
    def y_norms(self) -> np.ndarray:
        return np.sqrt(self.YY.diagonal())

    @cached_property
    def lower_mirrored(self) -> np.ndarray:
        """L + D + L', L + D the lower triangle of S'Y."""
        return np.where(_lower_triangle(len(self)), self.SY, self.SY.T)

    def middle(self, gamma: float) -> np.ndarray:
        """M = L + D + L' - gamma S'S, the inner matrix of SR1."""
        return self.lower_mirrored - gamma * self.SS

    def scaled_psi_gram(self, gamma: float, scale: np.ndarray) -> np.ndarray:
        """Psi'Psi with column j divided by ``scale[j]`` before anything can overflow."""
        y_share, s_share = 1.0 / scale, gamma / scale
        cross = s_share[:, None] * self.SY * y_share
        YY = y_share[:, None] * self.YY * y_share
        return YY - cross - cross.T + s_share[:, None] * self.SS * s_share

    @cached_property
    def exchanged(self) -> GramBlocks:
        """The blocks of the pairs (y, s)."""
        return GramBlocks(self.YY, self.SY.T, self.SS)


@lru_cache
def _lower_triangle(k: int) -> np.ndarray:
    return np.tri(k, dtype=bool)


@lru_cache(maxsize=256)
def _selection(order: tuple[int, ...], used: int) -> np.ndarray:
    k, j = len(order), np.arange(len(order))
    selection = np.zeros((2 * used, 2 * k))
    rows = 2 * np.array(order, dtype=int)
    selection[rows, j] = selection[rows + 1, k + j] = 1.0
    return selection


class SeenPair(NamedTuple):
    """s's, s'y and y'y of a pair on the variables that are free, and how many those are."""

    ss: float
    sy: float
    yy: float
    size: int


@dataclass(frozen=True)
class PairProducts:
    """All inner products that a new pair (s, y) adds: W s, W y, s's, s'y, y'y."""

    with_s: np.ndarray
    with_y: np.ndarray
    ss: float
    sy: float
    yy: float

    def representable(self, space: VectorSpace) -> bool:
        """Return whether no product, summed as in `space`, has lost digits to its range."""
        if self.yy == self.sy == 0.0:  # y is zero, or so small that it might as well be
            return space.is_whole(self.ss)
        return space.is_whole(self.ss) and space.is_whole(self.yy)

    def with_share(self, share: float) -> PairProducts:
        """Return the products of (s, y + share s)."""
        with_y = self.with_y + share * self.with_s
        sy = self.sy + share * self.ss
        yy = self.yy + 2.0 * share * self.sy + share * share * self.ss
        return PairProducts(self.with_s, with_y, self.ss, sy, yy)


class RowMemory(Stateful):
    """The newest pairs as rows of a block W, some rows a pair, and the Gram matrix W W'.

    Subclasses say what the rows are.

    Parameters
    ----------
    space : VectorSpace
        Where the vectors live.
    capacity : int
        Largest number m of pairs.
    """

    rows_per_pair: int

    def __init__(self, space: VectorSpace, capacity: int) -> None:
        self.space = space
        self.capacity = capacity
        self.version = 0
        rows = self.rows_per_pair * capacity
        self._block = space.zeros((rows, space.length))
        self._gram = np.zeros((rows, rows))
        self._order: list[int] = []
        self._used = 0

    @property
    def n_pairs(self) -> int:
        return len(self._order)

    @property
    def rows(self) -> Array:
        """The rows of W written so far, in slot order."""
        return self._block[: self.rows_per_pair * self._used, :]

    @property
    def gram(self) -> np.ndarray:
        """W W' of :attr:`rows`, float64 on the host."""
        used = self.rows_per_pair * self._used
        return self._gram[:used, :used]

    def products(self, v: Array) -> np.ndarray:
        """Return W v on the host."""
        return self.space.products(self.rows, v)

    def combine(self, coefficients: np.ndarray) -> Array:
        """Return the n-vector W' c."""
        return self.space.combine(coefficients, self.rows)

    def combine_and_add(
        self, coefficients: np.ndarray, alpha: float, v: Array, *, multiply: bool = False
    ) -> tuple[Array, np.ndarray | None]:
        """Return ``x = W' c + alpha v``, and W x where asked for and at no cost of its own."""
        return self.space.combine_and_add(coefficients, self.rows, alpha, v, multiply=multiply)

    def take(self, indices: Array) -> np.ndarray:
        """Return some columns of W on the host."""
        return self.space.columns(self.rows, indices)

    def gram_of_columns(self, indices: Array, coefficients: np.ndarray | None = None) -> np.ndarray:
        """Return the sum of w w' over some columns w of W, or of C'W."""
        return self.space.gram_of_columns(self.rows, indices, coefficients)

    def measure(self, s: Array, y: Array, with_s: np.ndarray | None = None) -> PairProducts:
        """Return the inner products of (s, y) with W and with each other; W s may be known."""
        dots = ((s, s), (s, y), (y, y))
        numbers = self.space.reduce(
            Request(dots, self.rows, (y,) if with_s is not None else (y, s))
        )
        with_y = numbers.products[0]
        with_s = numbers.products[1] if with_s is None else with_s
        return PairProducts(with_s, with_y, *numbers.dots)

    def with_newest(
        self, products: np.ndarray, v: Array, with_s: float, with_y: float
    ) -> np.ndarray:
        """Return W v given `products`, its value before the newest pair was stored, s'v and y'v."""
        per_pair = self.rows_per_pair
        first = per_pair * self._order[-1]
        out = np.zeros(per_pair * self._used)
        out[: len(products)] = products
        out[first : first + per_pair] = self._newest_with(v, with_s, with_y)
        return out

    def clear(self) -> None:
        """Forget all pairs; the storage is kept."""
        self._order, self._used = [], 0
        self.version += 1

    def snapshot(self) -> dict[str, Any]:
        """Return the state, for :meth:`restore`; the rows are not copied."""
        order = np.array(self._order, dtype=np.int64)
        return {"rows": self.rows, "gram": self.gram, "order": order}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to a state of a memory with the same arguments.

        Raises
        ------
        ValueError
            If it has more rows than there is room for, or rows of another length.
        """
        rows = state["rows"]
        count = rows.shape[0]
        used = count // self.rows_per_pair
        if used > self.capacity or rows.shape[1] != self.space.length:
            raise ValueError(
                f"the state has {used} pairs of length {rows.shape[1]}, the matrix has room for "
                f"{self.capacity} of length {self.space.length}"
            )
        self.clear()
        for index in range(count):
            self._block = self.space.set_row(self._block, index, rows[index, :])
        self._gram[:count, :count] = state["gram"]
        self._order, self._used = [int(slot) for slot in state["order"]], used

    def stored(self) -> list[tuple[Array, Array]]:
        """Return copies of the pairs (s, y), oldest first; none where they are not kept as such."""
        return []

    def _newest_with(self, v: Array, with_s: float, with_y: float) -> Sequence[float]:
        """Return the products of the newest pair's rows with v, of which s'v and y'v are known."""
        raise NotImplementedError

    def _take_slot(self, kept: int) -> int:
        """Return a free slot for a new pair, of the older ones `kept` staying."""
        order = self._order[self.n_pairs - kept :]
        slot = min(set(range(self.capacity)).difference(order))
        self._order = [*order, slot]
        self._used = max(self._used, slot + 1)
        self.version += 1
        return slot


class PairMemory(RowMemory):
    """At most `capacity` pairs (s, y), a row each, and the Gram matrix W W' of all of them.

    A new pair costs two products with W (:meth:`measure`, 8 m n flops) and two row writes.
    """

    rows_per_pair = 2

    def __init__(self, space: VectorSpace, capacity: int) -> None:
        super().__init__(space, capacity)
        self._s_rows: np.ndarray | None = None
        self._blocks: GramBlocks | None = None

    @property
    def s_rows(self) -> np.ndarray:
        """Indices in :attr:`rows` of the steps, oldest first; gradient changes are one further."""
        if self._s_rows is None:
            self._s_rows = 2 * np.array(self._order, dtype=int)
        return self._s_rows

    def selection(self) -> np.ndarray:
        """Return E in ``[S Y] = W' E``, oldest first; shared, not to be changed."""
        return _selection(tuple(self._order), self._used)

    def blocks(self) -> GramBlocks:
        """Return the Gram blocks of the stored pairs."""
        if self._blocks is None:
            i = self.s_rows
            j = i + 1
            gram = self._gram
            self._blocks = GramBlocks(gram[np.ix_(i, i)], gram[np.ix_(i, j)], gram[np.ix_(j, j)])
        return self._blocks

    def columns(self) -> np.ndarray:
        """Return [S Y], oldest first, float64 on the host; for vectors that are few numbers."""
        rows, i = to_host(self.rows).astype(np.float64, copy=False), self.s_rows
        return rows[np.concatenate((i, i + 1))].T

    def candidate(self, pair: PairProducts) -> GramBlocks:
        """Return the blocks as they would be with `pair` stored, the oldest evicted if full."""
        evicted = 1 if self.n_pairs == self.capacity else 0
        i = self.s_rows[evicted:]
        j = i + 1
        k = len(i)
        old = self.blocks().newest(k)
        SS, SY, YY = np.empty((3, k + 1, k + 1))
        SS[:k, :k], SY[:k, :k], YY[:k, :k] = old.SS, old.SY, old.YY
        SS[:k, k] = SS[k, :k] = pair.with_s[i]
        YY[:k, k] = YY[k, :k] = pair.with_y[j]
        SY[:k, k], SY[k, :k] = pair.with_y[i], pair.with_s[j]
        SS[k, k], SY[k, k], YY[k, k] = pair.ss, pair.sy, pair.yy
        return GramBlocks(SS, SY, YY)

    def store(self, s: Array, y: Array, pair: PairProducts, kept: GramBlocks) -> None:
        """Write (s, y) into a free slot; of the older pairs those in the blocks `kept` stay.

        `kept` are the blocks with the new pair, of :meth:`candidate` or the newest of them.
        """
        p = 2 * self._take_slot(len(kept) - 1)
        block = self.space.set_row(self._block, p, s)
        self._block = self.space.set_row(block, p + 1, y)
        # The products were taken with the rows used so far; the new slot may be one more.
        filled = slice(0, len(pair.with_s))
        gram = self._gram
        gram[p, filled] = gram[filled, p] = pair.with_s
        gram[p + 1, filled] = gram[filled, p + 1] = pair.with_y
        gram[p, p], gram[p + 1, p + 1] = pair.ss, pair.yy
        gram[p, p + 1] = gram[p + 1, p] = pair.sy
        self._s_rows, self._blocks = None, kept

    def clear(self) -> None:
        super().clear()
        self._s_rows = self._blocks = None

    def rescale(self, factor: Array) -> None:
        """Multiply every s by `factor`, entry by entry, and divide every y by it.

        S'Y stays what it is; S'S and Y'Y are made in the same pass, 4 k^2 n flops.
        """
        used = 2 * self._used
        self._block, SS, YY = self.space.rescale_pairs(self._block, used, factor)
        self._gram[0:used:2, 0:used:2], self._gram[1:used:2, 1:used:2] = SS, YY
        self._blocks = None
        self.version += 1

    @property
    def storage(self) -> tuple[Array, np.ndarray]:
        """W and W W' with the rows that have not been written yet, for code that writes them."""
        return self._block, self._gram

    def adopt(self, order: list[int], used: int) -> None:
        """Take over pairs written into :attr:`storage`; `order` are their slots, oldest first."""
        self._order, self._used = order, used
        self._s_rows = self._blocks = None
        self.version += 1

    @property
    def slots(self) -> tuple[list[int], int]:
        """The slots of the pairs, oldest first, and how many have been used."""
        return list(self._order), self._used

    def stored(self) -> list[tuple[Array, Array]]:
        rows = self.rows
        return [(rows[i, :] * 1.0, rows[i + 1, :] * 1.0) for i in self.s_rows.tolist()]

    def keep(self, count: int) -> None:
        """Forget all but the `count` newest pairs."""
        self._order = self._order[self.n_pairs - count :]
        self._s_rows = self._blocks = None
        self.version += 1

    def _newest_with(self, v: Array, with_s: float, with_y: float) -> Sequence[float]:
        return with_s, with_y
