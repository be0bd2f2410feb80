"""Compact matrices with an inner matrix that is factored at once, and pairs that are tested."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from qnsolve.arrays import Array
from qnsolve.quasi_newton.base import CompactMatrix, UpdateStatus
from qnsolve.quasi_newton.eigen import eigh
from qnsolve.quasi_newton.on_basis import spectrum_of_update
from qnsolve.quasi_newton.pairs import GramBlocks
from qnsolve.quasi_newton.spectrum import Columns, PartialSpectrum

MAX_CONDITION = 1e12
"""Largest condition number of a scaled inner matrix.

The basis of the spectrum drops directions of squared length 1e-14 (``RANK_NOISE``).  With weights
beyond 1e12 on them their part of B would not be small: eigenvalues were wrong by 2e-7 ||B|| at 1e13
and by 0.6 ||B|| at 1e14, by no more than 2e-8 ||B|| at 1e12.
"""


class Inner:
    """The inverse of the symmetric inner matrix, as ``half diag(weights) half'``."""

    def __init__(self, scaled: np.ndarray, scale: np.ndarray, unit: float = 1.0) -> None:
        """Diagonalise `scaled`: the matrix divided by `unit`, and row and column j by ``scale[j]``.

        They bound the entries of the scaled matrix by 1, and its rounding error by eps.
        """
        if np.isfinite(scaled).all():
            eigenvalues, vectors = eigh(scaled)
        else:  # pairs at the ends of the range
            eigenvalues, vectors = np.full(len(scaled), np.nan), np.zeros_like(scaled)
        self.usable = bool(np.abs(eigenvalues).min(initial=1.0) >= 1.0 / MAX_CONDITION)
        self.half = vectors / scale[:, None]
        self.weights = (1.0 / unit) / eigenvalues if self.usable else np.nan * eigenvalues

    def solve(self, b: np.ndarray) -> np.ndarray:
        return self.half @ (self.weights * (self.half.T @ b))


class Judgement(NamedTuple):
    """What becomes of a candidate memory: the blocks that are kept, and their inner matrix.

    `inner` is None where the newest pair is not stored.
    """

    status: UpdateStatus
    kept: GramBlocks
    inner: Inner | None

    @property
    def stored(self) -> bool:
        return self.inner is not None


class FactoredMatrix(CompactMatrix):
    """``B = gamma I + V M^{-1} V'`` with V combined from the stored pairs.

    Subclasses say which pairs they take (:meth:`_judge_newest`) and what V and M are
    (:meth:`_columns`, :meth:`_factor`).
    """

    def reset(self, gamma: float | None = None) -> None:
        super().reset(gamma)
        self._inner = Inner(np.empty((0, 0)), np.empty(0))

    def restored(self) -> None:
        super().restored()
        self._keep_usable()

    @np.errstate(over="ignore", invalid="ignore")
    def rescale(self, factor: Array) -> None:
        super().rescale(factor)
        self._keep_usable()

    def _keep_usable(self) -> None:
        """Factor the inner matrix of the newest pairs, as many as it is not singular with."""
        for count in range(self.n_pairs, 0, -1):
            inner = self._factor(self.pairs.blocks().newest(count), self._gamma)
            if inner.usable:
                if count < self.n_pairs:
                    self.pairs.keep(count)
                self._inner = inner
                return
        if self.n_pairs:
            self.reset(self._gamma)

    def _low_rank_part(self) -> tuple[np.ndarray, np.ndarray]:
        return self._columns().selection @ self._inner.half, self._inner.weights

    def _diagonalise(self, orthogonality: float) -> PartialSpectrum:
        return spectrum_of_update(
            self._gamma,
            self._columns(),
            self._inner.half,
            self._inner.weights,
            self.pairs.gram,
            self.pairs,
            orthogonality,
        )

    def _decide(self, blocks: Any, proposed: float) -> tuple[float, UpdateStatus, GramBlocks]:
        gamma, chosen = self._choose(blocks, proposed)
        if chosen.inner is not None:
            self._inner = chosen.inner
        return gamma, chosen.status, chosen.kept

    def _choose(self, blocks: Any, proposed: float) -> tuple[float, Judgement]:
        """Return `proposed` or the present gamma, and what becomes of the pairs with it."""
        chosen = self._judge(blocks, proposed)
        complete = chosen.stored or chosen.status is UpdateStatus.SATISFIED
        if proposed != self._gamma and not (complete and len(chosen.kept) == len(blocks)):
            other = self._judge(blocks, self._gamma)
            if other.stored and not (chosen.stored and len(chosen.kept) >= len(other.kept)):
                return self._gamma, other
        return proposed, chosen

    def _judge(self, blocks: Any, gamma: float) -> Judgement:
        """Return whether the newest pair of `blocks` is taken, and what is left with it."""
        while True:
            status = self._judge_newest(blocks, gamma)
            if status.stored:
                inner = self._factor(blocks, gamma)
                if inner.usable:
                    return Judgement(status, blocks, inner)
                status = UpdateStatus.ILL_CONDITIONED
            if status is not UpdateStatus.ILL_CONDITIONED or len(blocks) == 1:
                return Judgement(status, blocks, None)
            blocks = blocks.newest(len(blocks) - 1)

    def _judge_newest(self, blocks: GramBlocks, gamma: float) -> UpdateStatus:
        """Return whether the newest pair is taken if the matrix with it in can be factored."""
        raise NotImplementedError

    def _factor(self, blocks: GramBlocks, gamma: float) -> Inner:
        raise NotImplementedError

    def _columns(self) -> Columns:
        raise NotImplementedError
