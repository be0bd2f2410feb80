"""SR1 re-applied on an L-BFGS matrix that is built from the same pairs.

Off the span of S, pure L-SR1 with fewer pairs than variables invents curvature.  For a quadratic of
curvature theta along a unit step s, Hs = theta s + r, it has along r / |r|, made conjugate to s,
gamma + gamma |r|^2 / (theta (theta - gamma)), which is negative where theta is a little less than
gamma; BFGS has gamma there.  So the matrix starts from BFGS, and SR1 corrects what it can on top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from scipy.linalg import lapack

from qnsolve.arrays import Array, to_host
from qnsolve.checks import integer, one_of
from qnsolve.quasi_newton.base import CompactMatrix, space_like
from qnsolve.quasi_newton.eigen import eigh
from qnsolve.quasi_newton.faces import Face, FreeRows
from qnsolve.quasi_newton.lbfgs import columns_of_pairs
from qnsolve.quasi_newton.on_basis import Diagonalise, SpectrumOnBasis, WholeSpace, cholesky
from qnsolve.quasi_newton.scaling import RULES, GammaRule
from qnsolve.quasi_newton.spectrum import (
    FAST,
    Columns,
    PartialSpectrum,
    Subspace,
    orthonormal_basis,
)

SMALL = 12
"""Dimension up to which few pairs span the space, and SR1 can be trusted with all of them."""

SWEEPS = 5
"""Passes of BFGS over the pairs; more than 5 gain less than 1 % of the evaluations."""

LEAST_PIVOT = 1e-10
"""Pivot of T, relative to its diagonal, below which a sweep after the first is left out: B has lost
as many digits, and further sweeps lose more.  On Rosenbrock-12 with 20 pairs the condition of B
went through 4e4, 2e7, 7e9, 3e12 and 5e14."""

LEAST_COSINE = 1e-10
"""|s'y| / (|s| |y|) that a pair must exceed for a BFGS update, or to count as negative."""

SATISFIED = 1e-12
"""|v| relative to |y| + |Bs| that is rounding error."""

FLOOR = 1e-2
"""Least curvature, relative to gamma, that a negative one is reflected to."""

HELD = 1e-14
"""Part of |s|^2 in the variables that do not move below which it is rounding error."""

MOVED = 1e-14
"""Part of |s| in those that do below which a pair says nothing about them."""

NEGATIVE = ("reflect", "drop", "keep")
"""What can be done about negative eigenvalues."""


@dataclass(frozen=True)
class Regime:
    """What suits the matrix, and the first step on it, in spaces of a certain size.

    Attributes
    ----------
    gamma : str
        Rule for gamma.
    re_applied : int or None
        Newest pairs that SR1 is applied to; None is all.
    negative : {"reflect", "drop", "keep"}
        What becomes of negative eigenvalues that stem from old pairs.
    skip : float
        r in the SR1 test |s'v| >= r |s| |v|, v = y - Bs.
    reach_of_x, reach_of_fall : float
        How far a first step may go: in lengths of x0, and of the way to f = 0 by a linear model.
    """

    gamma: str
    re_applied: int | None
    negative: str
    skip: float
    reach_of_x: float
    reach_of_fall: float


SPANNING = Regime("length-ratio", None, "reflect", 1e-8, reach_of_x=10.0, reach_of_fall=2.0)
"""Few pairs span the space."""

LIMITED = Regime("smoothed", 3, "drop", 1e-2, reach_of_x=1.0, reach_of_fall=6.0)
"""They do not, and -g points less to a minimiser."""


def regime_of(n: int) -> Regime:
    """Return the regime for n variables."""
    return SPANNING if n <= SMALL else LIMITED


class HybridLSR1(CompactMatrix):
    r"""SR1 re-applied on an L-BFGS matrix of the same pairs.

    From :math:`B = \gamma I`, with all updates on :math:`\mathrm{span}[S\;Y]`:

    1. several sweeps over the pairs, oldest first, of the BFGS update

       .. math::
           B \leftarrow B - \frac{B s s^T B}{s^T B s} + \frac{y y^T}{s^T y}

       with the pairs of positive curvature.  The first sweep gives the L-BFGS matrix; further ones
       bring it towards satisfying all secant equations at once;
    2. the SR1 update :math:`B \leftarrow B + v v^T / v^T s`, :math:`v = y - B s`, with the newest
       pairs, of either curvature;
    3. negative eigenvalues are kept where the newest pair has negative curvature, for it is there
       now; else they stem from old pairs, and are dealt with as `negative` says.

    Parameters
    ----------
    n : int
        Dimension.
    memory : int, default 10
        Largest number m of pairs; may exceed n.
    gamma : float, str or callable, optional
        Rule for gamma > 0, as in :class:`LSR1`.  Default: "length-ratio" for n <= 12, else
        "smoothed".
    initial_gamma : float, default 1
        gamma until the first pair is stored; a constant gamma overrides it.
    sweeps : int, >= 1, default 5
        Number of BFGS sweeps; 1 is the L-BFGS matrix.
    re_applied : int, >= 0, optional
        Number of newest pairs for step 2.  Default: all for n <= 12, else 3.
    negative : {"reflect", "drop", "keep"}, optional
        Replace each negative eigenvalue by its modulus, but at least gamma / 100; leave out step 2;
        or leave B indefinite: whatever the newest pair.  Default: step 3 with "reflect" for
        n <= 12, else with "drop".
    dtype, xp : optional
        dtype and array API namespace of the n-vectors; NumPy float64 by default.
    like : array, optional
        A vector whose library, dtype and device are taken instead.

    Notes
    -----
    Storage 2 m n floats.  An update costs 8 m n flops, a product 8 m n after the first one, which
    is preceded by O(sweeps m^3) on the host.  A pair of any curvature is stored.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve import HybridLSR1
    >>> B = HybridLSR1(2, memory=2)
    >>> B.update(np.array([1.0, 0.0]), np.array([4.0, 0.0])).stored
    True
    >>> B @ np.array([1.0, 1.0])
    array([4., 4.])
    """

    _definite = True

    def __init__(
        self,
        n: int,
        *,
        memory: int = 10,
        gamma: float | str | GammaRule | None = None,
        initial_gamma: float = 1.0,
        sweeps: int = SWEEPS,
        re_applied: int | None = None,
        negative: str | None = None,
        dtype: Any = None,
        xp: Any = None,
        like: Array | None = None,
    ) -> None:
        regime = regime_of(integer(n, "n", 1) if like is None else space_like(like).size)
        self._regime, self._default_gamma = regime, regime.gamma
        self._by_regime = gamma is None
        self._sweeps = integer(sweeps, "sweeps", 1)
        self._re_applied, self._negative = re_applied, negative
        if re_applied is not None:
            self._re_applied = integer(re_applied, "re_applied", 0)
        if negative is not None:
            self._negative = one_of(NEGATIVE)(negative, "negative")
        super().__init__(
            n,
            memory=memory,
            gamma=gamma,
            initial_gamma=initial_gamma,
            dtype=dtype,
            xp=xp,
            like=like,
        )

    def _diagonalise(self, orthogonality: float) -> PartialSpectrum:
        gamma, k, gram = self._gamma, self.n_pairs, self.pairs.gram
        if not k:
            return PartialSpectrum(gamma, np.empty(0), self.pairs, np.zeros((len(gram), 0)))
        space = self.space
        basis: Subspace
        if 2 * k >= self.n and orthogonality >= FAST and space.on_host and not space.sharded:
            # They may span the space; its unit vectors are a better basis than any made of them.
            basis, R = WholeSpace(space), self.pairs.columns()
        else:
            C, R = orthonormal_basis(columns_of_pairs(self.pairs), gram, self.pairs, orthogonality)
            basis = Subspace(self.pairs, C, orthogonality)
        # In units of gamma and of each step, in which nothing overflows.
        s_norms = self.pairs.blocks().s_norms
        return self._on_basis(basis, R[:, :k] / s_norms, R[:, k:] / s_norms, self._regime)

    def on_face(self, free: Array, size: int, rows: FreeRows) -> PartialSpectrum:
        r"""Return the matrix that the pairs make on the free variables F alone.

        With A the others, the pairs there are

        .. math::
            \tilde s = s_F, \qquad \tilde y = y_F - (B s_A)_F,

        B the matrix of all variables; the settings are those for so many variables as are free.

        Notes
        -----
        With :math:`B = \gamma I + W^T K W` they are :math:`W_F^T` times the columns :math:`e_s` and
        :math:`e_y - K (G - G_F) e_s`: nothing of length n is touched beyond :math:`G_F`.
        """
        gamma, k, gram = self._gamma, self.n_pairs, self.pairs.gram
        B = self.spectrum(FAST)
        if size == self.n:
            return B
        if isinstance(B, SpectrumOnBasis) and isinstance(B.basis, WholeSpace):
            return self._on_few(free, size)
        face = rows.face(self.pairs, free, size)
        nothing = PartialSpectrum(gamma, np.empty(0), face, np.zeros((len(gram), 0)))
        if not k or not size:
            return nothing
        i = self.pairs.s_rows
        held = gram[:, i] - face.gram[:, i]
        squares = held[i, np.arange(k)]
        held[:, squares <= HELD * gram[i, i]] = 0.0
        E = self.pairs.selection().copy()
        # From right to left: K itself may be beyond the range.
        along = B.coefficients.T @ held
        E[:, k:] -= B.coefficients @ ((B.eigenvalues - gamma)[:, None] * along)
        s_norms = np.sqrt(np.maximum(face.gram[i, i], 0.0))
        scale = np.abs(E).T @ face.lengths
        left = s_norms > MOVED * np.sqrt(gram[i, i])
        left &= (scale[:k] > 0.0) & (scale[k:] > 0.0)
        if not left.any():
            return nothing
        both, s_norms = np.append(left, left), s_norms[left]
        C, R = orthonormal_basis(Columns(E[:, both], scale[both]), face.gram, face, FAST)
        k = len(s_norms)
        basis = Subspace(face, C, FAST)
        return self._on_basis(basis, R[:, :k] / s_norms, R[:, k:] / s_norms, regime_of(size))

    def _on_few(self, free: Array, size: int) -> PartialSpectrum:
        """Return the same where all of R^n is so small that its unit vectors are the basis."""
        gamma, k, n = self._gamma, self.n_pairs, self.n
        whole, pairs, F = self.spectrum(FAST), self.pairs.columns(), to_host(free) != 0
        V = whole.coefficients
        B = gamma * np.eye(n) + (V * (whole.eigenvalues - gamma)) @ V.T
        S, Y = pairs[F, :k], pairs[F, k:] - B[np.ix_(F, ~F)] @ pairs[~F, :k]
        s_norms = np.sqrt(np.einsum("ij,ij->j", S, S))
        left = s_norms > MOVED * self.pairs.blocks().s_norms
        one = F.astype(float)
        units = Face(whole.rows, free, size, np.diag(one), one)
        if not left.any():
            return PartialSpectrum(gamma, np.empty(0), units, np.zeros((n, 0)))
        basis = Subspace(units, np.eye(n)[:, F], FAST)
        S, Y = S[:, left] / s_norms[left], Y[:, left] / s_norms[left]
        return self._on_basis(basis, S, Y, regime_of(size))

    def _propose(self, blocks: Any, size: int) -> float:
        rule = RULES[regime_of(size).gamma] if self._by_regime else self._rule
        return float(rule(blocks, self._ratios, self._gamma))

    def _on_basis(
        self, basis: Subspace, S: np.ndarray, Y: np.ndarray, regime: Regime
    ) -> SpectrumOnBasis:
        """Return the matrix of pairs that are given on a basis, in units of each step."""
        gamma = self._gamma
        diagonalise, factor = self._updated(S, Y / gamma, regime)
        return SpectrumOnBasis(gamma, basis, gamma, diagonalise, factor)

    def _updated(
        self, S: np.ndarray, Y: np.ndarray, regime: Regime
    ) -> tuple[Diagonalise, np.ndarray | None]:
        """Return the updated matrix, I being the first one: its eigenvectors, and its factor."""
        # 1. BFGS, several sweeps over all pairs.
        lbfgs, lbfgs_factor = bfgs_sweeps(S, Y, self._sweeps)
        # 2. SR1 with the newest pairs.
        k = S.shape[1]
        most = regime.re_applied if self._re_applied is None else self._re_applied
        count = k if most is None else min(k, most)
        newest = slice(k - count, None)
        hybrid = sr1_updates(lbfgs, S[:, newest], Y[:, newest], regime.skip)
        # 3. What becomes of negative eigenvalues; also those of a factored matrix, by rounding.
        newest_is_negative = S[:, -1] @ Y[:, -1] < -LEAST_COSINE * _norm(Y[:, -1])
        negative = self._negative or ("keep" if newest_is_negative else regime.negative)
        diagonalise = eigh if negative == "keep" else reflected
        factor = cholesky(hybrid)
        if factor is not None:
            return partial(diagonalise, hybrid), factor
        finite = np.isfinite(hybrid).all()  # or curvatures are too far from gamma to be squared
        if finite and negative != "drop":
            return partial(diagonalise, hybrid), None
        return partial(reflected, lbfgs), lbfgs_factor


def reflected(B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues of B, negative ones reflected, and the eigenvectors, ascending."""
    eigenvalues, P = eigh(B)
    moduli = np.maximum(np.abs(eigenvalues), FLOOR)
    eigenvalues = np.where(eigenvalues > 0.0, eigenvalues, moduli)
    order = np.argsort(eigenvalues)
    return eigenvalues[order], P[:, order]


def bfgs_sweeps(S: np.ndarray, Y: np.ndarray, sweeps: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the matrix of repeated BFGS updates from I, every pair once a sweep.

    Parameters
    ----------
    S, Y : ndarray, shape (r, k)
        Pairs, oldest first; those without positive curvature are left out.
    sweeps : int

    Returns
    -------
    B : ndarray, shape (r, r)
        Positive definite: that of the last sweep with digits, after which it is so in floating
        point.
    factor : ndarray, shape (r, r)
        Its upper Cholesky factor.

    Notes
    -----
    A sweep is one block update.  With the pairs scaled to :math:`s_j^T y_j = 1` and L the strictly
    lower triangle of :math:`S^T Y`, eliminating the block -I of the middle matrix of Byrd, Nocedal
    and Schnabel (1994), Theorem 2.3, leaves

    .. math::

        B_+ = B + Y Y^T - X T^{-1} X^T, \qquad X = B S + Y L^T, \qquad T = S^T B S + L L^T.

    O(k r^2) each.
    """
    B = np.eye(S.shape[0])
    SY = S.T.dot(Y)
    curvature = SY.diagonal()
    usable = curvature > LEAST_COSINE * np.sqrt(_squares(S)) * np.sqrt(_squares(Y))
    if not usable.all():
        S, Y, SY = S[:, usable], Y[:, usable], SY[usable][:, usable]
        curvature = SY.diagonal()
    if not len(curvature):
        return B, B
    root = np.sqrt(curvature)
    S, Y = S / root, Y / root
    L = _strictly_lower(len(root)) * (SY / root / root[:, None])
    YY, YL, LL = Y.dot(Y.T), Y.dot(L.T), L.dot(L.T)
    swept = [B]
    for sweep in range(sweeps):
        # LAPACK itself: its wrappers cost more than the work on matrices of this size.
        BS = B.dot(S)
        T = S.T.dot(BS) + LL
        triangle, failed = lapack.dpotrf(T, lower=1)
        lost = (triangle.diagonal() ** 2 <= LEAST_PIVOT * T.diagonal()).any()
        if failed or (lost and sweep):
            break
        half, _ = lapack.dtrtrs(triangle, (BS + YL).T, lower=1)
        B = B + YY - half.T.dot(half)
        swept.append(B)
    while True:
        B = swept.pop()
        factor = cholesky(B)
        if factor is not None:
            return B, factor


def _squares(columns: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->j", columns, columns)


@lru_cache
def _strictly_lower(k: int) -> np.ndarray:
    return np.tri(k, k, -1)


def sr1_updates(B: np.ndarray, S: np.ndarray, Y: np.ndarray, skip: float) -> np.ndarray:
    """Return B after the SR1 updates with the pairs for which ``|s'v| >= skip |s| |v|``.

    A pair that is satisfied to rounding already leaves B as it is.
    """
    for s, y in zip(S.T, Y.T, strict=True):
        Bs = B.dot(s)
        v = y - Bs
        denominator, v_norm = float(np.vdot(v, s)), _norm(v)
        satisfied = v_norm <= SATISFIED * (_norm(y) + _norm(Bs))
        if not satisfied and abs(denominator) >= skip * v_norm * _norm(s) > 0.0:
            B = B + v[:, None] * (v / denominator)
    return B


def _norm(v: np.ndarray) -> float:
    return math.sqrt(np.vdot(v, v))  # which never warns of an overflow
