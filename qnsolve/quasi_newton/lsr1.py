"""The limited-memory SR1 matrix in compact form (Byrd, Nocedal and Schnabel 1994, section 5)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from qnsolve.arrays import Array
from qnsolve.checks import BETWEEN_ZERO_AND_ONE
from qnsolve.quasi_newton.base import UpdateStatus
from qnsolve.quasi_newton.factored import FactoredMatrix, Inner
from qnsolve.quasi_newton.pairs import GramBlocks
from qnsolve.quasi_newton.scaling import GammaRule
from qnsolve.quasi_newton.spectrum import Columns

SKIP = 1e-8
"""r in the pair test |s'(y - Bs)| >= r |s| |y - Bs| (Nocedal and Wright 2006, eq. 6.26)."""


class LSR1(FactoredMatrix):
    r"""Limited-memory SR1 matrix, which may be indefinite.

    .. math::

        B = \gamma I + \Psi (L + D + L^T - \gamma S^T S)^{-1} \Psi^T, \qquad \Psi = Y - \gamma S,

    where L + D is the lower triangle of :math:`S^T Y`.  It is the result of the SR1 recursion
    :math:`B \leftarrow B + r r^T / r^T s`, :math:`r = y - B s`, over the pairs, oldest first, from
    :math:`\gamma I`.  Every stored pair satisfies :math:`B s = y` where f is quadratic, the newest
    always, to rounding relative to max(||B||, |gamma|) ||s||.

    Parameters
    ----------
    n : int
        Dimension.
    memory : int, default 10
        Largest number m of pairs; may exceed n.
    gamma : float, str or callable, optional
        Rule for gamma: a number keeps it constant; "latest", "smoothed", "length-ratio",
        "window-max" and "eigenvalue" are the rules of :mod:`qnsolve.quasi_newton.scaling`.
        Default "window-max".
    initial_gamma : float, default 1
        gamma until the first pair is stored; a constant gamma overrides it.
    skip : float, default 1e-8
        A pair is refused where ``|s'(y - Bs)| < skip |s| |y - Bs|``.
    dtype, xp : optional
        dtype and array API namespace of the n-vectors; NumPy float64 by default.
    like : array, optional
        A vector whose library, dtype and device are taken instead.

    Notes
    -----
    Storage 2 m n floats.  An update costs 8 m n flops, a product 8 m n, a spectrum O(m^3), or
    O(m^2 n) where the pairs are nearly dependent.

    References
    ----------
    R. H. Byrd, J. Nocedal, R. B. Schnabel, "Representations of quasi-Newton matrices and their use
    in limited memory methods", Math. Program. 63 (1994), Theorem 5.1.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve import LSR1
    >>> B = LSR1(3, memory=2)
    >>> B.update(np.array([1.0, 0.0, 0.0]), np.array([-2.0, 0.0, 0.0])).stored
    True
    >>> B @ np.array([1.0, 1.0, 0.0])
    array([-2.,  1.,  0.])
    """

    _default_gamma = "window-max"

    def __init__(
        self,
        n: int,
        *,
        memory: int = 10,
        gamma: float | str | GammaRule | None = None,
        initial_gamma: float = 1.0,
        skip: float = SKIP,
        dtype: Any = None,
        xp: Any = None,
        like: Array | None = None,
    ) -> None:
        self._skip = BETWEEN_ZERO_AND_ONE(skip, "skip")
        super().__init__(
            n,
            memory=memory,
            gamma=gamma,
            initial_gamma=initial_gamma,
            dtype=dtype,
            xp=xp,
            like=like,
        )

    def _judge_newest(self, blocks: GramBlocks, gamma: float) -> UpdateStatus:
        inner = self._inner_matrix(blocks, gamma)
        # 1. The matrix of the other pairs, and w = M_old^{-1} Psi_old' s.
        old = Inner(inner.scaled[:-1, :-1], inner.scale[:-1], inner.unit)
        if not old.usable:
            return UpdateStatus.ILL_CONDITIONED
        last = inner.matrix[:-1, -1]
        w = old.solve(last)
        # 2. The residual r = y - B_old s = Psi [-w; 1] and the denominator s'r.
        columns = inner.columns
        direction = columns.copy()
        direction[:-1] *= -w
        size = np.abs(direction).sum()
        direction /= size
        gram = blocks.scaled_psi_gram(gamma, columns)
        square = float(direction @ gram @ direction)
        r_norm = size * math.sqrt(max(0.0, square))
        denominator = inner.matrix[-1, -1] - w @ last
        # 3. r carries the rounding error of all that was added up in it; |r|^2 is a difference.
        if square <= len(blocks) * self.space.product_eps:
            return UpdateStatus.SATISFIED
        if not abs(denominator) >= self._skip * blocks.s_norms[-1] * r_norm:
            return UpdateStatus.SMALL_DENOMINATOR
        return UpdateStatus.STORED

    def _factor(self, blocks: GramBlocks, gamma: float) -> Inner:
        inner = self._inner_matrix(blocks, gamma)
        return Inner(inner.scaled, inner.scale, inner.unit)

    _latest: tuple[GramBlocks, float, InnerMatrix] | None = None

    def _inner_matrix(self, blocks: GramBlocks, gamma: float) -> InnerMatrix:
        # Kept: the judgement of a pair and the factorisation that follows ask for the same one.
        if self._latest is None or self._latest[0] is not blocks or self._latest[1] != gamma:
            self._latest = blocks, gamma, _inner_matrix(blocks, gamma)
        return self._latest[2]

    def _columns(self) -> Columns:
        selection, k = self.pairs.selection(), self.n_pairs
        psi = selection[:, k:] - self._gamma * selection[:, :k]
        return Columns(psi, column_scale(self.pairs.blocks(), self._gamma))


class InnerMatrix(NamedTuple):
    """M = L + D + L' - gamma S'S, of entries s_i'psi_j, and M scaled to entries of at most 1.

    `columns` bounds the lengths of the psi_j; `scaled` is M divided by `unit`, and row and column
    j by ``scale[j]``.
    """

    matrix: np.ndarray
    columns: np.ndarray
    scaled: np.ndarray
    scale: np.ndarray
    unit: float


def _inner_matrix(blocks: GramBlocks, gamma: float) -> InnerMatrix:
    M = blocks.middle(gamma)
    lengths, columns = blocks.s_norms, column_scale(blocks, gamma)
    # The root of a ratio is the same in any unit of s and y, to the last bit in powers of two.
    scale = np.sqrt(lengths / lengths[0]) * np.sqrt(columns / columns[0])
    unit = float(lengths[0] * columns[0])
    return InnerMatrix(M, columns, M / scale[:, None] / scale / unit, scale, unit)


def column_scale(blocks: GramBlocks, gamma: float) -> np.ndarray:
    """Return |y_j| + |gamma| |s_j|, to which the rounding error of psi_j is proportional."""
    return blocks.y_norms + abs(gamma) * blocks.s_norms
