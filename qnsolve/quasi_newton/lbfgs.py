"""The limited-memory BFGS matrix in compact form (Byrd, Nocedal and Schnabel 1994, section 2)."""

from __future__ import annotations

import numpy as np

from qnsolve.quasi_newton.base import UpdateStatus
from qnsolve.quasi_newton.factored import FactoredMatrix, Inner
from qnsolve.quasi_newton.pairs import GramBlocks, PairMemory
from qnsolve.quasi_newton.scaling import MIN_COSINE
from qnsolve.quasi_newton.spectrum import Columns

MOST_ABOVE = 1e11
"""Largest ratio of gamma to the curvature of a pair.

The compact form is gamma I and a difference, both rounded.  Curvatures of 1 beside a gamma of 1e11
were wrong by 1e-4, by 0.09 at 1e14, and negative at 1e15.
"""

MOST_BELOW = 1e14
"""Largest ratio of the curvature of a pair to gamma: from 1e16 on eigenvalues were negative."""


class LBFGS(FactoredMatrix):
    r"""Limited-memory BFGS matrix, positive definite.

    .. math::

        B = \gamma I - \begin{bmatrix} \gamma S & Y \end{bmatrix}
            \begin{bmatrix} \gamma S^T S & L \\ L^T & -D \end{bmatrix}^{-1}
            \begin{bmatrix} \gamma S^T \\ Y^T \end{bmatrix},

    where D and L are the diagonal and the strictly lower triangle of :math:`S^T Y`.  It is the
    result of the BFGS recursion over the pairs, oldest first, from :math:`\gamma I`.

    Parameters
    ----------
    n : int
        Dimension.
    memory : int, default 10
        Largest number m of pairs; may exceed n.
    gamma : float, str or callable, optional
        Rule for gamma > 0, as in :class:`LSR1`.  Default "latest".
    initial_gamma : float, default 1
        gamma until the first pair is stored; a constant gamma overrides it.
    dtype, xp : optional
        dtype and array API namespace of the n-vectors; NumPy float64 by default.
    like : array, optional
        A vector whose library, dtype and device are taken instead.

    Notes
    -----
    A pair is refused where ``s'y <= 1e-8 |s| |y|``, or where its curvature, ``s'y / s's`` or
    ``y'y / s'y``, is more than 1e11 times less or 1e14 times more than gamma: of two such numbers a
    sum keeps only one.  The newest pair satisfies :math:`B s = y` to rounding relative to
    max(||B||, gamma) ||s||.  Storage and cost as for :class:`LSR1`, with 2k in place of k in the
    host part.

    References
    ----------
    R. H. Byrd, J. Nocedal, R. B. Schnabel, "Representations of quasi-Newton matrices and their use
    in limited memory methods", Math. Program. 63 (1994), Theorem 2.3.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve import LBFGS
    >>> B = LBFGS(2, memory=2)
    >>> B.update(np.array([1.0, 0.0]), np.array([4.0, 0.0])).stored
    True
    >>> B.gamma
    4.0
    """

    _default_gamma = "latest"
    _definite = True

    def _judge_newest(self, blocks: GramBlocks, gamma: float) -> UpdateStatus:
        curvature = blocks.SY[-1, -1]
        if not curvature > MIN_COSINE * blocks.s_norms[-1] * blocks.y_norms[-1]:
            return UpdateStatus.SMALL_CURVATURE
        return UpdateStatus.STORED

    def _factor(self, blocks: GramBlocks, gamma: float) -> Inner:
        # In the basis [S Y] the middle matrix is -[S'S / gamma, L / gamma; L' / gamma, -D]^{-1}.
        # Scaled before it is formed, so that nothing overflows: s_j by |s_j|, y_j by sqrt(s_j'y_j).
        curvature = blocks.SY.diagonal()
        s_norms, root = blocks.s_norms, np.sqrt(curvature)
        SS = blocks.SS / s_norms[:, None] / s_norms
        L = np.tril(blocks.SY, -1) / s_norms[:, None] / root / np.sqrt(gamma)
        middle = np.block([[-SS, -L], [-L.T, np.eye(len(blocks))]])
        inner = Inner(middle, np.ones(2 * len(blocks)))
        inner.half = inner.half * np.append(np.sqrt(gamma) / s_norms, 1.0 / root)[:, None]
        low = (curvature / blocks.s_norms / blocks.s_norms).min(initial=gamma)
        high = (blocks.y_norms / curvature * blocks.y_norms).max(initial=gamma)
        inner.usable &= bool(gamma / low <= MOST_ABOVE and high / gamma <= MOST_BELOW)
        return inner

    def _columns(self) -> Columns:
        return columns_of_pairs(self.pairs)


def columns_of_pairs(pairs: PairMemory) -> Columns:
    """Return [S Y], oldest first."""
    blocks = pairs.blocks()
    # A y that is zero has no direction: it is dropped, whatever its scale.
    y_scale = np.where(blocks.y_norms > 0.0, blocks.y_norms, 1.0)
    return Columns(pairs.selection(), np.concatenate((blocks.s_norms, y_scale)))
