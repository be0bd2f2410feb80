"""A limited-memory matrix in an ellipsoidal norm: B0 = gamma A with A diagonal."""

from __future__ import annotations

import numpy as np

from qnsolve.arrays import Array, to_host
from qnsolve.norms import DiagonalNorm
from qnsolve.quasi_newton.base import CompactMatrix, UpdateStatus, dense_of
from qnsolve.quasi_newton.spectrum import ACCURATE, PartialSpectrum, checked_dense


class ScaledMatrix:
    r"""The matrix :math:`B = A^{1/2} \tilde B A^{1/2}` of a matrix in the variables p = A^{1/2} s.

    With :math:`\tilde B` an L-SR1 matrix this is the L-SR1 matrix of the same pairs with
    :math:`B_0 = \gamma A` in place of :math:`\gamma I`: the one on which subproblems in the norm of
    A are solved exactly.

    Parameters
    ----------
    inner : LSR1, LBFGS, PartialSpectrum, or dense symmetric NumPy array, shape (n, n)
        :math:`\tilde B`; a limited-memory matrix should be empty, or have been given pairs in p.
    metric : DiagonalNorm
        A.

    Notes
    -----
    Costs are those of `inner` and one multiplication a vector.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve import LSR1, DiagonalNorm, ScaledMatrix
    >>> B = ScaledMatrix(LSR1(2, gamma=0.5), DiagonalNorm(np.array([4.0, 16.0])))
    >>> B.to_dense()
    array([[2., 0.],
           [0., 8.]])
    >>> B.update(np.array([1.0, 1.0]), np.array([3.0, -1.0])).stored
    True
    >>> B @ np.array([1.0, 1.0])
    array([ 3., -1.])
    """

    def __init__(
        self, inner: CompactMatrix | PartialSpectrum | np.ndarray, metric: DiagonalNorm
    ) -> None:
        if not isinstance(inner, CompactMatrix | PartialSpectrum | np.ndarray):
            raise TypeError(
                "inner must be an LSR1 or LBFGS, a PartialSpectrum or a dense NumPy array, "
                f"got {type(inner).__name__}"
            )
        shape = inner.shape if isinstance(inner, np.ndarray) else (inner.space.size,) * 2
        if shape != (metric.space.size, metric.space.size):
            raise ValueError(f"the metric is for n = {metric.space.size}, the matrix has {shape}")
        self.inner = checked_dense(inner) if isinstance(inner, np.ndarray) else inner
        self.metric = metric

    @classmethod
    def of_dense(cls, B: np.ndarray, metric: DiagonalNorm) -> ScaledMatrix:
        """Return the dense symmetric `B`, shape (n, n), as a scaled matrix."""
        root = np.sqrt(to_host(metric.d))
        return cls(B / np.outer(root, root), metric)

    @property
    def shape(self) -> tuple[int, int]:
        return (self.metric.space.size, self.metric.space.size)

    def update(self, s: Array, y: Array) -> UpdateStatus:
        """Offer the pair (s, y); see :meth:`LSR1.update`."""
        if not isinstance(self.inner, CompactMatrix):
            raise TypeError(f"a {type(self.inner).__name__} takes no pairs")
        s, y = self._checked(s, "s"), self._checked(y, "y")
        return self.inner.update(self.metric.to_ball(s), self.metric.from_ball(y))

    def matvec(self, v: Array) -> Array:
        """Return B v."""
        p = self.metric.to_ball(self._checked(v, "v"))
        return self.metric.to_ball(self.inner @ p)

    def __matmul__(self, v: Array) -> Array:
        return self.matvec(v)

    def quadratic_form(self, v: Array) -> float:
        """Return v'Bv."""
        v = self._checked(v, "v")
        return self.metric.space.dot(v, self.matvec(v))

    def solve(self, b: Array, shift: float = 0.0) -> Array:
        """Return ``(B + shift A)^{-1} b``; raises LinAlgError where that matrix is singular."""
        inner = self.spectrum() if isinstance(self.inner, np.ndarray) else self.inner
        b = self._checked(b, "b")
        return self.metric.from_ball(inner.solve(self.metric.from_ball(b), shift))

    def to_dense(self) -> np.ndarray:
        """Return B as an (n, n) float64 NumPy array; for small n."""
        return dense_of(self.matvec, self.metric.space)

    def spectrum(self, orthogonality: float = ACCURATE) -> PartialSpectrum:
        """Return the spectrum of A^{-1/2} B A^{-1/2}, the generalised one of B and A."""
        if isinstance(self.inner, CompactMatrix):
            return self.inner.spectrum(orthogonality)
        if isinstance(self.inner, PartialSpectrum):
            return self.inner
        return PartialSpectrum.from_dense(self.inner)

    def _checked(self, v: Array, name: str) -> Array:
        return self.metric.space.checked(v, name)
