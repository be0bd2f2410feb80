"""A matrix on an orthonormal basis that is no eigenbasis: eigenvectors only once asked for.

Most steps of a trust region are the minimiser of a definite model, for which a Cholesky factor is
enough.  It costs a tenth of the eigenvectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

from qnsolve.arrays import Array, VectorSpace, to_host
from qnsolve.quasi_newton.eigen import eigh
from qnsolve.quasi_newton.spectrum import (
    Columns,
    FixedRows,
    PartialSpectrum,
    Rows,
    Split,
    Subspace,
    orthonormal_basis,
)

Diagonalise = Callable[[], tuple[np.ndarray, np.ndarray]]
"""Returns the eigenvalues of a symmetric matrix, ascending, and its eigenvectors as columns."""


class WholeSpace(Subspace):
    """All of R^n, for few variables in the memory of the host: the basis are the unit vectors.

    It knows nothing of the rows of pairs: products with them are not used, and not returned.
    """

    def __init__(self, space: VectorSpace) -> None:
        identity = np.eye(space.size)
        super().__init__(FixedRows(space, space.from_host(identity)), identity)

    def split(
        self, g: Array, products: np.ndarray | None = None, norm: float | None = None
    ) -> Split:
        par = to_host(g).astype(np.float64, copy=False)
        return Split(par, 0.0, self.space.norm(g) if norm is None else norm, g, par)

    def lift_with_products(
        self, v_par: np.ndarray, beta: float, g: Array, g_par: np.ndarray | None = None
    ) -> tuple[Array, np.ndarray | None]:
        return self.space.from_host(v_par), None


class NewtonPoint(NamedTuple):
    """The minimiser of a definite model: its parts in the basis and off it, -m there, and norms."""

    par: np.ndarray
    perp: float
    decrease: float
    length: float
    slope: float


class SpectrumOnBasis(PartialSpectrum):
    """The spectrum of ``unit U H U' + gamma (I - U U')``, H a small symmetric matrix.

    Parameters
    ----------
    gamma : float
    basis : Subspace
        U.
    unit : float
        Scale of H, in which its entries do not overflow.
    diagonalise : callable
        Returns eigenvalues and eigenvectors of H; called once, when first needed.
    factor : ndarray, optional
        Upper Cholesky factor of H, where H is positive definite.
    """

    def __init__(
        self,
        gamma: float,
        basis: Subspace,
        unit: float,
        diagonalise: Diagonalise,
        factor: np.ndarray | None = None,
    ) -> None:
        self.gamma = float(gamma)
        self.space = basis.space
        self._basis, self._unit, self._diagonalise = basis, unit, diagonalise
        self._factor = factor
        self._rows, self._version = basis._rows, basis._version
        self._orthogonality = basis._orthogonality

    @property
    def basis(self) -> Subspace:
        return self._basis

    @property
    def rank(self) -> int:
        return self._basis.rank

    @cached_property
    def _eigen(self) -> tuple[np.ndarray, np.ndarray]:
        return self._diagonalise()

    @cached_property
    def eigenvalues(self) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return self._unit * self._eigen[0]

    @cached_property
    def coefficients(self) -> np.ndarray:
        return self._basis.coefficients.dot(self._eigen[1])

    def to_eigenvectors(self, par: np.ndarray) -> np.ndarray:
        return self._eigen[1].T.dot(par)

    def to_basis(self, par: np.ndarray) -> np.ndarray:
        return self._eigen[1].dot(par)

    @np.errstate(over="ignore", invalid="ignore")
    def newton_point(self, split: Split) -> NewtonPoint | None:
        """Return the minimiser of the model with the gradient split on the basis.

        None where the matrix is not known to be positive definite.
        """
        if self._factor is None or not self.gamma > 0.0:
            return None
        w, _ = lapack.dtrtrs(self._factor, split.par, trans=1)
        p, _ = lapack.dtrtrs(self._factor, w)
        p /= -self._unit
        perp = -split.norm_perp / self.gamma
        decrease = 0.5 * (float(np.vdot(w / self._unit, w)) - perp * split.norm_perp)
        slope = float(np.vdot(split.par, p)) + split.norm_perp * perp
        return NewtonPoint(p, perp, decrease, math.hypot(perp, *p.tolist()), slope)

    @np.errstate(over="ignore", invalid="ignore")
    def split(
        self, g: Array, products: np.ndarray | None = None, norm: float | None = None
    ) -> Split:
        par, norm_perp, norm, carrier, carrier_par = self._basis.split(g, products, norm)
        turned = self.to_eigenvectors
        return Split(turned(par), norm_perp, norm, carrier, turned(carrier_par))

    def lift_with_products(
        self, v_par: np.ndarray, beta: float, g: Array, g_par: np.ndarray | None = None
    ) -> tuple[Array, np.ndarray | None]:
        g_par = None if g_par is None else self.to_basis(g_par)
        return self._basis.lift_with_products(self.to_basis(v_par), beta, g, g_par)


def spectrum_of_update(
    gamma: float,
    columns: Columns,
    half: np.ndarray,
    weights: np.ndarray,
    gram: np.ndarray,
    rows: Rows,
    orthogonality: float,
) -> PartialSpectrum:
    """Return the spectrum of ``B = gamma I + V (half diag(weights) half') V'`` with V = W' E."""
    if not len(columns.scale):
        return PartialSpectrum(gamma, np.empty(0), rows, np.zeros((gram.shape[0], 0)))
    C, R = orthonormal_basis(columns, gram, rows, orthogonality)
    core = R.dot(half)
    change = (core * weights).dot(core.T)
    # Most steps of SR1 are on the boundary: a factor would be tried in vain.
    difference, P = eigh(change)
    return PartialSpectrum(gamma, gamma + difference, rows, C @ P, orthogonality)


def cholesky(a: np.ndarray) -> np.ndarray | None:
    """Return the upper Cholesky factor; None where `a` is not positive definite, or not finite."""
    factor, failed = lapack.dpotrf(a)
    return None if failed or not math.isfinite(np.vdot(factor, factor)) else factor
