"""The limited-memory BFGS matrix with another curvature off its pairs (dense initialisation)."""

from __future__ import annotations

from typing import Any

from qnsolve.arrays import Array
from qnsolve.quasi_newton.base import UpdateStatus
from qnsolve.quasi_newton.lbfgs import LBFGS
from qnsolve.quasi_newton.spectrum import ACCURATE, PartialSpectrum
from qnsolve.state import Saved


class DenseLBFGS(LBFGS):
    r"""L-BFGS matrix whose initial matrix has two curvatures.

    .. math::

        B_0 = \gamma U U^T + \gamma_\perp (I - U U^T), \qquad
        \gamma_\perp = \lambda c\, \gamma_{max} + (1 - \lambda) \gamma,

    where the columns of U span [S Y] and :math:`\gamma_{max}` is the largest :math:`y^T y / s^T y`
    of all pairs stored so far.  B keeps the eigenvalues of the L-BFGS matrix on span(U), and with
    them its secant equations; on the complement it has :math:`\gamma_\perp` in place of
    :math:`\gamma`.

    Parameters
    ----------
    n : int
        Dimension.
    mix : float, in [0, 1], default 0.5
        :math:`\lambda`; 0 is the L-BFGS matrix itself.
    factor : float, >= 1, default 1
        c.
    **kwargs
        As for :class:`LBFGS`.

    Notes
    -----
    A product costs two passes over the pairs and O(m^3) on the host after an update.  For L-SR1 the
    same change would break the secant equations, whose steps do not lie in the span of Psi.

    References
    ----------
    J. J. Brust, O. Burdakov, J. B. Erway, R. F. Marcia, "A dense initialization for limited-memory
    quasi-Newton methods", Comput. Optim. Appl. 74 (2019), section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.published import DenseLBFGS
    >>> B = DenseLBFGS(3, mix=1.0)
    >>> for curvature in (8.0, 2.0):
    ...     _ = B.update(np.array([1.0, 0.0, 0.0]), np.array([curvature, 0.0, 0.0]))
    >>> B @ np.array([1.0, 0.0, 1.0])
    array([2., 0., 8.])
    """

    _largest: Saved[float]

    def __init__(self, n: int, *, mix: float = 0.5, factor: float = 1.0, **kwargs: Any) -> None:
        if not 0.0 <= mix <= 1.0:
            raise ValueError(f"mix must lie in [0, 1], got {mix!r}")
        if not factor >= 1.0:
            raise ValueError(f"factor must be at least 1, got {factor!r}")
        self._mix, self._boost = float(mix), float(factor)
        super().__init__(n, **kwargs)

    @property
    def gamma_perp(self) -> float:
        """Curvature off the span of the pairs."""
        largest = self._boost * max(self._largest, self.gamma)
        return self._mix * largest + (1.0 - self._mix) * self.gamma if self.n_pairs else self.gamma

    def reset(self, gamma: float | None = None) -> None:
        """Forget all pairs, and the largest curvature with them."""
        super().reset(gamma)
        self._largest = 0.0

    def update(self, s: Array, y: Array, **known: Any) -> UpdateStatus:
        """Offer the pair (s, y); see :meth:`LSR1.update`."""
        status = super().update(s, y, **known)
        if status.stored:
            self._largest = max(self._largest, self._ratios[-1])
        return status

    def spectrum(self, orthogonality: float = ACCURATE) -> PartialSpectrum:
        """Return the eigenvalues of B and the coordinates in which it is diagonal."""
        spectrum = super().spectrum(orthogonality)
        return spectrum.with_values(self.gamma_perp, spectrum.eigenvalues)

    def matvec(self, v: Array) -> Array:
        """Return B v in O(mn)."""
        return self.spectrum().matvec(self._checked(v, "v"))

    def quadratic_form(self, v: Array) -> float:
        """Return v'Bv in O(mn)."""
        v = self._checked(v, "v")
        return self.space.dot(v, self.matvec(v))

    def diagonal(self) -> Array:
        """Return the diagonal of B, shape (n,), in O(m^2 n)."""
        spectrum, zero = self.spectrum(), self.space.zeros(self.n)
        diagonal = zero + spectrum.gamma
        for j, eigenvalue in enumerate(spectrum.eigenvalues):
            par = 0.0 * spectrum.eigenvalues
            par[j] = 1.0
            u = spectrum.lift(par, 0.0, zero, 0.0 * par)
            diagonal = diagonal + float(eigenvalue - spectrum.gamma) * u * u
        return diagonal
