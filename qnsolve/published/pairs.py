"""L-SR1 matrices with the pair rules of publications that the presets replay.

They differ from :class:`LSR1` in which pairs they take and drop, not in the matrix that the pairs
make.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qnsolve.arrays import Array
from qnsolve.quasi_newton.base import UpdateStatus
from qnsolve.quasi_newton.lsr1 import LSR1
from qnsolve.quasi_newton.pairs import GramBlocks
from qnsolve.quasi_newton.spectrum import RANK_NOISE


class RamamurthyDuffyLSR1(LSR1):
    """The pairs of Ramamurthy and Duffy (2017), Algorithm 1, lines 26-40.

    A pair is tested against the present matrix, from which the oldest pair has not gone yet:
    ``|s'(y - Bs)| >= r |s| |y - Bs|``.  Then the oldest pairs are dropped while Psi'Psi is not
    positive definite or the inner matrix is singular.  Where not even the newest can stay alone,
    the memory is empty.

    Notes
    -----
    One product with B more than LSR1.  "Positive definite" is meant to the rounding of the Gram
    matrix, "singular" as in LSR1.
    """

    def update(self, s: Array, y: Array, **known: Any) -> UpdateStatus:
        """Offer the pair (s, y); see :meth:`LSR1.update`."""
        norm, residual = self.space.norm, y - self.matvec(s)
        least = self._skip * norm(s) * norm(residual)
        if not abs(self.space.dot(s, residual)) >= least:
            return UpdateStatus.SMALL_DENOMINATOR
        status = super().update(s, y, **known)
        if status is UpdateStatus.ILL_CONDITIONED:
            self.reset(self.gamma)
        return status

    def _judge_newest(self, blocks: GramBlocks, gamma: float) -> UpdateStatus:
        scale = blocks.y_norms + abs(gamma) * blocks.s_norms
        least = np.linalg.eigvalsh(blocks.scaled_psi_gram(gamma, scale))[0]
        independent = len(blocks) <= self.n and least > RANK_NOISE * len(blocks) * self.space.eps
        return UpdateStatus.STORED if independent else UpdateStatus.ILL_CONDITIONED


class ScLSR1(LSR1):
    """The pairs of ACM Algorithm 1030: ``|s'psi| > skip max(|s| |psi|, least)``, psi = y - gamma s.

    Parameters
    ----------
    least : float
        A bound on |s| |psi| that is not relative: the test depends on the unit of f.
    **kwargs
        As for :class:`LSR1`.
    """

    def __init__(self, n: int, *, least: float = 1e-2, **kwargs: Any) -> None:
        self._least = least
        super().__init__(n, **kwargs)

    @np.errstate(over="ignore", invalid="ignore")
    def _judge_newest(self, blocks: GramBlocks, gamma: float) -> UpdateStatus:
        newest = blocks.newest(1)
        s_norm = newest.s_norms[0]
        product = newest.middle(gamma)[0, 0]
        scale = newest.y_norms + abs(gamma) * newest.s_norms
        psi_norm = scale[0] * np.sqrt(max(0.0, newest.scaled_psi_gram(gamma, scale)[0, 0]))
        passed = abs(product) > self._skip * max(s_norm * psi_norm, self._least)
        return UpdateStatus.STORED if passed else UpdateStatus.SMALL_DENOMINATOR
