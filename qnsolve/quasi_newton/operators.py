"""Matrices as SciPy's linear operators: products, solutions, diagonals and dense copies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import LinearOperator

from qnsolve.arrays import Array, VectorSpace, to_host
from qnsolve.arrays.libraries import as_numpy, from_numpy_like, is_array, namespace_of
from qnsolve.arrays.user import describe
from qnsolve.norms import DiagonalNorm
from qnsolve.quasi_newton.base import CompactMatrix, dense_of
from qnsolve.quasi_newton.scaled import ScaledMatrix
from qnsolve.quasi_newton.spectrum import PartialSpectrum

AnyMatrix = CompactMatrix | ScaledMatrix | PartialSpectrum

MAX_RESIDUAL = 1.5e-8
"""||B x - b|| / ||b|| above which x is no solution and B called singular: sqrt(eps)."""

EIGENVALUE_ROUNDINGS = 1024.0
"""Roundings of the largest eigenvalue that the least one may consist of: an L-SR1 matrix that is
singular by construction had least eigenvalues up to 190 eps."""

SINGULAR = "the matrix is singular to working precision: it has no inverse"


def space_of_operand(B: AnyMatrix) -> VectorSpace:
    """Return the space of the vectors that a matrix is multiplied with."""
    return B.metric.space if isinstance(B, ScaledMatrix) else B.space


def solve(B: AnyMatrix, b: Array) -> Array:
    """Return x with B x = b.

    Raises
    ------
    numpy.linalg.LinAlgError
        If B is singular to working precision.
    """
    require_inverse(spectrum_of(B))
    x, space = B.solve(b), space_of_operand(B)
    room = max(MAX_RESIDUAL, space.eps**0.5)
    if not space.norm(B.matvec(x) - b) <= room * space.norm(b):
        raise np.linalg.LinAlgError(SINGULAR)
    return x


def require_inverse(spectrum: PartialSpectrum) -> None:
    """Raise LinAlgError where an eigenvalue may be zero but for rounding."""
    space = spectrum.space
    part = max(space.eps, EIGENVALUE_ROUNDINGS * space.product_eps)
    if not np.abs(spectrum.all_eigenvalues).min() > part * spectrum.scale:
        raise np.linalg.LinAlgError(SINGULAR)


def spectrum_of(B: AnyMatrix) -> PartialSpectrum:
    """Return the spectrum of a matrix in the variables of its norm."""
    return B if isinstance(B, PartialSpectrum) else B.spectrum()


class MatrixOperator(LinearOperator):
    r"""A symmetric matrix of qnsolve, or its inverse, as SciPy's linear operator.

    Parameters
    ----------
    matrix : callable
        ``matrix()`` returns the LSR1, LBFGS, ScaledMatrix or PartialSpectrum; called when a product
        is asked for.
    space : VectorSpace
        Of its vectors.
    inverse : bool
        Stand for the inverse.

    Notes
    -----
    Products (``@``, ``matvec``, ``matmat``, ``solve``) are with flat vectors, or with columns, of
    NumPy, and of the library of the matrix; PyTorch and JAX arrays on the CPU meet a matrix of
    NumPy's without a copy.  The answer is an array of the same library.  O(mn) each, after O(m^3)
    for the first.

    Where the matrix is singular to working precision, what needs its inverse raises
    :class:`numpy.linalg.LinAlgError`.  It may be indefinite; its inverse then is so, too.
    """

    def __init__(
        self, matrix: Callable[[], AnyMatrix], space: VectorSpace, *, inverse: bool = False
    ) -> None:
        self._matrix, self._space, self._inverse = matrix, space, inverse
        narrow = str(space.dtype).endswith("float32")
        super().__init__(np.dtype(np.float32 if narrow else np.float64), (space.size,) * 2)

    @property
    def inverted(self) -> MatrixOperator:
        """The inverse."""
        return MatrixOperator(self._matrix, self._space, inverse=not self._inverse)

    @property
    def metric(self) -> DiagonalNorm | None:
        """The norm of the run where that is a DiagonalNorm; its variables are those of
        :meth:`spectrum`."""
        B = self._matrix()
        return B.metric if isinstance(B, ScaledMatrix) else None

    def solve(self, b: Any) -> Any:
        """Return the product of the inverse with `b`, vector or columns."""
        return self.inverted @ b

    def diagonal(self) -> np.ndarray:
        """Return the diagonal, shape (n,), in O(m^2 n)."""
        B = self._matrix()
        values = to_host(self.spectrum().diagonal())
        if isinstance(B, ScaledMatrix):
            d = to_host(B.metric.d)
            values = values / d if self._inverse else values * d
        return values.astype(self.dtype, copy=False)

    def todense(self) -> np.ndarray:
        """Return the matrix as a NumPy array, shape (n, n); for small n."""
        dense = dense_of(self._apply, self._space)
        return (0.5 * (dense + dense.T)).astype(self.dtype, copy=False)

    def spectrum(self) -> PartialSpectrum:
        """Return the eigenvalues, ascending, with their vectors.

        In the variables of the norm of the run: where that is a DiagonalNorm they are those of
        :math:`A^{-1/2} B A^{-1/2}`, or of the inverse of that.
        """
        spectrum = spectrum_of(self._matrix())
        if not self._inverse:
            return spectrum
        require_inverse(spectrum)
        return spectrum.inverted()

    def matvec(self, x: Any) -> Any:
        """Return the product with a vector."""
        return self._foreign(x) if _is_foreign(x) else super().matvec(x)

    def matmat(self, X: Any) -> Any:
        """Return the product with every column."""
        return self._foreign(X) if _is_foreign(X) else super().matmat(X)

    def dot(self, x: Any) -> Any:
        """Return the product with a vector, with columns, or with another operator."""
        return self._foreign(x) if _is_foreign(x) else super().dot(x)

    def _apply(self, v: Array) -> Array:
        B = self._matrix()
        return solve(B, v) if self._inverse else B.matvec(v)

    def _matvec(self, v: np.ndarray) -> np.ndarray:
        v = np.asarray(v).reshape(-1).astype(self.dtype, copy=False)
        if self._space.on_host:
            return self._apply(v)
        return to_host(self._apply(self._space.from_host(v))).astype(self.dtype, copy=False)

    def _foreign(self, v: Array) -> Array:
        """Return the product with an array, or with columns, of a library other than NumPy."""
        if v.ndim == 2:
            xp = namespace_of(v)
            return xp.stack([self._foreign(v[:, j]) for j in range(v.shape[1])], axis=1)
        if not self._space.on_host:
            return self._apply(self._space.checked(v, "the vector"))
        # The product goes where the vector lies.
        host, export = as_numpy(v, carry=True), from_numpy_like(v, carry=True)
        if not isinstance(host, np.ndarray) or export is None:
            raise TypeError(
                "the matrix is multiplied with vectors of float32 or float64 on one device, got "
                f"{describe(v)}"
            )
        return export(super().matvec(host))

    def _adjoint(self) -> LinearOperator:
        return self

    def _transpose(self) -> LinearOperator:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the spectrum: rules for gamma, which may be any callable, stay behind."""
        B = self._matrix()
        return _of_spectrum, (spectrum_of(B).on_fixed_rows(), self.metric, self._inverse)


def _of_spectrum(
    spectrum: PartialSpectrum, metric: DiagonalNorm | None, inverse: bool
) -> MatrixOperator:
    B = spectrum if metric is None else ScaledMatrix(spectrum, metric)
    return MatrixOperator(lambda: B, space_of_operand(B), inverse=inverse)


def _is_foreign(x: Any) -> bool:
    own = isinstance(x, np.ndarray | np.generic) or scipy.sparse.issparse(x)
    return not own and is_array(x)
