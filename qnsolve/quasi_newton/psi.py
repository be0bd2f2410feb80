"""L-SR1 in half the memory: as long as gamma stays, it needs no more than Psi = Y - gamma S.

Notation: the row of pair j in W is ``psi_j = y_j - gamma s_j``.  M has the entries ``s_i'psi_j``,
i >= j, mirrored; a new pair extends it by ``W s``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from qnsolve.arrays import Array, VectorSpace
from qnsolve.checks import at_least
from qnsolve.quasi_newton.factored import Judgement
from qnsolve.quasi_newton.lsr1 import LSR1, column_scale
from qnsolve.quasi_newton.pairs import PairProducts, RowMemory
from qnsolve.quasi_newton.scaling import GeneralisedEigenvalue
from qnsolve.quasi_newton.spectrum import Columns
from qnsolve.state import Saved


@dataclass(eq=False)
class PsiBlocks:
    """M and Psi'Psi, each (k, k), |s_j| and |y_j|, oldest first, for one gamma."""

    gamma: float
    M: np.ndarray
    gram: np.ndarray
    s_norms: np.ndarray
    y_norms: np.ndarray

    def __len__(self) -> int:
        return len(self.s_norms)

    def newest(self, count: int) -> PsiBlocks:
        """Return the blocks of the `count` newest pairs."""
        first = len(self) - count
        if not first:
            return self
        M, gram = self.M[first:, first:], self.gram[first:, first:]
        return PsiBlocks(self.gamma, M, gram, self.s_norms[first:], self.y_norms[first:])

    def middle(self, gamma: float) -> np.ndarray:
        return self.M

    def scaled_psi_gram(self, gamma: float, scale: np.ndarray) -> np.ndarray:
        return self.gram / scale[:, None] / scale


@dataclass(eq=False)
class Offer:
    """A pair, with the blocks of those that may stay beside it and their rows in W.

    A rule for gamma sees its length, `s_norms` and `y_norms`.
    """

    older: PsiBlocks
    rows: np.ndarray
    pair: PairProducts

    def __len__(self) -> int:
        return len(self.older) + 1

    @cached_property
    def s_norms(self) -> np.ndarray:
        return np.append(self.older.s_norms, np.sqrt(self.pair.ss))

    @cached_property
    def y_norms(self) -> np.ndarray:
        return np.append(self.older.y_norms, np.sqrt(self.pair.yy))

    def at(self, gamma: float) -> PsiBlocks:
        """Return the blocks with the pair; with a gamma that is new, of the pair alone."""
        kept = len(self.older) if gamma == self.older.gamma else 0
        old, rows = self.older.newest(kept), self.rows[len(self.rows) - kept :]
        pair = self.pair
        M, gram = np.empty((2, kept + 1, kept + 1))
        M[:kept, :kept], gram[:kept, :kept] = old.M, old.gram
        M[kept, :kept] = M[:kept, kept] = pair.with_s[rows]
        M[kept, kept] = pair.sy - gamma * pair.ss
        gram[kept, :kept] = gram[:kept, kept] = pair.with_y[rows] - gamma * pair.with_s[rows]
        gram[kept, kept] = pair.yy - 2.0 * gamma * pair.sy + gamma * gamma * pair.ss
        return PsiBlocks(gamma, M, gram, self.s_norms[-kept - 1 :], self.y_norms[-kept - 1 :])


class PsiMemory(RowMemory):
    """At most `capacity` rows psi_j, their Gram matrix, and M.

    A new pair costs two products with W, 4 m n flops, and one row write.
    """

    rows_per_pair = 1

    def __init__(self, space: VectorSpace, capacity: int) -> None:
        super().__init__(space, capacity)
        self._blocks = self._none()

    @property
    def order(self) -> np.ndarray:
        """Indices in :attr:`rows` of the pairs, oldest first."""
        return np.array(self._order, dtype=int)

    def blocks(self) -> PsiBlocks:
        """Return the blocks of the stored pairs."""
        return self._blocks

    def candidate(self, pair: PairProducts) -> Offer:
        """Return what `pair` would be stored with, the oldest evicted if the memory is full."""
        kept = min(self.n_pairs, self.capacity - 1)
        return Offer(self._blocks.newest(kept), self.order[self.n_pairs - kept :], pair)

    def store(self, s: Array, y: Array, pair: PairProducts, kept: PsiBlocks) -> None:
        """Write psi into a free slot; of the older pairs those in the blocks `kept` stay."""
        gamma, filled = kept.gamma, len(pair.with_s)
        psi = self.space.add(y, -gamma, s)
        # A narrow psi is rounded: its products are not those of the two vectors.
        wide = self.space.wide is not None
        products = self.products(psi) if wide else pair.with_y - gamma * pair.with_s
        p = self._take_slot(len(kept) - 1)
        self._block = self.space.set_row(self._block, p, psi)
        gram = self._gram
        gram[p, :filled] = gram[:filled, p] = products
        gram[p, p] = self.space.dot(psi, psi)
        order = self.order
        self._blocks = PsiBlocks(
            gamma, kept.M, gram[np.ix_(order, order)], kept.s_norms, kept.y_norms
        )

    def clear(self) -> None:
        super().clear()
        self._blocks = self._none()

    def snapshot(self) -> dict[str, Any]:
        """Return the state, for :meth:`restore`; the rows are not copied."""
        blocks = self._blocks
        own = {"M": blocks.M, "s_norms": blocks.s_norms, "y_norms": blocks.y_norms}
        return super().snapshot() | own | {"gamma": blocks.gamma}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        order = self.order
        self._blocks = PsiBlocks(
            float(state["gamma"]),
            state["M"],
            self._gram[np.ix_(order, order)],
            state["s_norms"],
            state["y_norms"],
        )

    def _newest_with(self, v: Array, with_s: float, with_y: float) -> Sequence[float]:
        # psi was rounded when it was made, and may be small against y.
        return (self.space.dot(self._block[self._order[-1], :], v),)

    @staticmethod
    def _none() -> PsiBlocks:
        nothing = np.empty(0)
        return PsiBlocks(np.nan, nothing.reshape(0, 0), nothing.reshape(0, 0), nothing, nothing)


class PsiLSR1(LSR1):
    r"""The matrix of :class:`LSR1` for a gamma that seldom changes, in half of its memory.

    .. math::

        B = \gamma I + \Psi M^{-1} \Psi^T, \qquad \Psi = Y - \gamma S,

    is stored as :math:`\Psi` and M.  With S and Y gone a new gamma cannot be brought into the
    older columns.  So the rule is followed at every `period`-th pair only, and where it asks for
    another gamma then, all pairs but the newest are forgotten.

    Parameters
    ----------
    n : int
        Dimension.
    gamma : float, str or callable, optional
        As there, but for "eigenvalue", which needs S and Y; a callable sees the number of pairs,
        their `s_norms` and `y_norms`, and no more.
    period : int, optional
        Pairs offered from one change of gamma to the next; twice the memory by default.
    **kwargs
        `memory`, `initial_gamma`, `skip`, `dtype`, `xp` and `like`, as for :class:`LSR1`.

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong.

    Notes
    -----
    Storage m n floats.  An update costs 4 m n flops, a product 4 m n.  In a norm that changes it is
    of little use: each change forgets all pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.quasi_newton.psi import PsiLSR1
    >>> B = PsiLSR1(3, memory=2)
    >>> B.update(np.array([1.0, 0.0, 0.0]), np.array([-2.0, 0.0, 0.0])).stored
    True
    >>> B @ np.array([1.0, 1.0, 0.0])
    array([-2.,  1.,  0.])
    """

    _offered: Saved[int]

    def __init__(self, n: int, *, period: int | None = None, **kwargs: Any) -> None:
        given = at_least(1).or_none()(period, "period")
        super().__init__(n, **kwargs)
        self._period = 2 * self.memory if given is None else given
        if isinstance(self._rule, GeneralisedEigenvalue):
            raise ValueError('gamma "eigenvalue" needs the pairs themselves; use LSR1')

    def reset(self, gamma: float | None = None) -> None:
        super().reset(gamma)
        self._offered = 0

    def rescale(self, factor: Array) -> None:
        """Go over to other variables: without S and Y, by forgetting all pairs."""
        self.reset(self._gamma)

    def _make_memory(self, capacity: int) -> PsiMemory:
        return PsiMemory(self.space, capacity)

    def _propose(self, blocks: Offer, size: int) -> float:
        self._offered += 1
        due = self._offered % self._period == 0 or not self.n_pairs
        return super()._propose(blocks, size) if due else self._gamma

    def _choose(self, offer: Offer, proposed: float) -> tuple[float, Judgement]:
        # Unlike in an LSR1 a new gamma is taken although it keeps fewer pairs.
        chosen = self._judge(offer.at(proposed), proposed)
        if chosen.stored or proposed == self._gamma or not self.n_pairs:
            return proposed, chosen
        return self._gamma, self._judge(offer.at(self._gamma), self._gamma)

    def _columns(self) -> Columns:
        order = self.pairs.order
        selection = np.zeros((self.pairs.gram.shape[0], len(order)))
        selection[order, np.arange(len(order))] = 1.0
        return Columns(selection, column_scale(self.pairs.blocks(), self._gamma))
