"""Quadratic models in the coordinates of a partial spectrum, and the public ``solve_trs``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from numbers import Real

import array_api_compat
import numpy as np

from qnsolve.array import Array
from qnsolve.quasi_newton.base import CompactMatrix
from qnsolve.quasi_newton.spectrum import PartialSpectrum
from qnsolve.subproblem.trust_region_l2 import trust_region_l2
from qnsolve.subproblem.types import Certificate, ReducedStep, SubproblemStatus

Matrix = CompactMatrix | PartialSpectrum | np.ndarray
"""What ``solve_trs`` takes for B; an array must be symmetric."""


class QuadraticModel:
    r"""The model :math:`m(s) = g^T s + \tfrac12 s^T B s` at one point.

    Making it costs one pass over the stored pairs.  After that every
    :meth:`trust_region` call, for whatever radius, is O(r) and touches no vector of length n; only
    ``result.step`` does.

    Parameters
    ----------
    g : array, shape (n,)
    B : LSR1, LBFGS, PartialSpectrum, or dense symmetric NumPy array, shape (n, n)
    products : ndarray, optional
        W g where it is known already.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve import QuadraticModel
    >>> model = QuadraticModel(np.array([1.0, 0.0]), np.diag([-1.0, 3.0]))
    >>> [model.trust_region(radius).decrease for radius in (1.0, 2.0)]
    [1.5, 4.0]
    """

    def __init__(self, g: Array, B: Matrix, *, products: np.ndarray | None = None) -> None:
        self.gradient = g
        self.matrix = B
        self.spectrum = _spectrum_of(B)
        self._split = self.spectrum.split(g, products)

    def trust_region(self, radius: float) -> SubproblemResult:
        """Minimise the model over ``||s||_2 <= radius`` in O(r)."""
        reduced = trust_region_l2(
            self.spectrum.eigenvalues,
            self.spectrum.gamma,
            self._split.par,
            self._split.norm_perp,
            self.spectrum.complement_dim,
            radius,
        )
        return SubproblemResult(self, radius, reduced)

    def slope(self, reduced: ReducedStep) -> float:
        """Return g's of a reduced step."""
        return float(self._split.par @ reduced.par) + self._split.norm_perp * reduced.perp

    def lift(self, reduced: ReducedStep) -> Array:
        """Return the n-vector of a reduced step: one pass over the stored pairs."""
        split, spectrum = self._split, self.spectrum
        if split.norm_perp > 0.0:
            beta = reduced.perp / split.norm_perp
            return spectrum.lift(reduced.par, beta, split.carrier, split.carrier_par)
        step = spectrum.lift(reduced.par, 0.0, split.carrier, split.carrier_par)
        if reduced.perp != 0.0:
            step = step + reduced.perp * spectrum.complement_direction()
        return step

    def matvec(self, v: Array) -> Array:
        """Return B v by the matrix itself, not by its spectrum where there is a choice."""
        if isinstance(self.matrix, CompactMatrix | PartialSpectrum):
            return self.matrix.matvec(v)
        return self.matrix @ v

    def certify(self, step: Array, multiplier: float, radius: float) -> Certificate:
        """Return the residuals of the optimality conditions of `step` in the l2 ball, O(mn)."""
        space = self.spectrum.space
        residual = self.matvec(step) + multiplier * step + self.gradient
        length = space.norm(step)
        curvature = self.spectrum.scale + multiplier
        size = space.norm(self.gradient) + curvature * length
        least = float(self.spectrum.all_eigenvalues.min()) + multiplier
        return Certificate(
            stationarity=space.norm(residual) / size if size else 0.0,
            complementarity=multiplier / curvature * abs(length / radius - 1.0)
            if curvature
            else 0.0,
            min_eig=least / curvature if curvature else 0.0,
            feasibility=max(0.0, length / radius - 1.0),
        )


@dataclass(frozen=True, eq=False)
class SubproblemResult:
    """A minimiser of a trust-region subproblem that can prove itself.

    Attributes
    ----------
    model : QuadraticModel
        The model that was minimised; ``result.model.trust_region(radius)`` solves again in O(r).
    radius : float
        In the norm of the region.
    reduced : ReducedStep
        The step in the coordinates of the spectrum.
    step : array, shape (n,)
        The minimiser; formed when first asked for.
    decrease : float
        -m(step) >= 0, free of cancellation.
    multipliers : ndarray, shape (1,)
        sigma.
    on_boundary, hard_case : bool
    nit : int
        Iterations of the secular equation.
    status : SubproblemStatus
        Its value is a message.
    """

    model: QuadraticModel
    radius: float
    reduced: ReducedStep

    @cached_property
    def step(self) -> Array:
        return self.model.lift(self.reduced)

    @property
    def decrease(self) -> float:
        return self.reduced.decrease

    @property
    def multipliers(self) -> np.ndarray:
        return np.array([self.reduced.multiplier])

    @property
    def on_boundary(self) -> bool:
        return self.reduced.on_boundary

    @property
    def hard_case(self) -> bool:
        return self.reduced.hard_case

    @property
    def nit(self) -> int:
        return self.reduced.nit

    @property
    def status(self) -> SubproblemStatus:
        return self.reduced.status

    @property
    def length(self) -> float:
        """||step||_2, from the reduced coordinates."""
        return self.reduced.length

    @property
    def slope(self) -> float:
        """g'step, from the reduced coordinates."""
        return self.model.slope(self.reduced)

    def certificate(self) -> Certificate:
        """Return the residuals of the optimality conditions, measured on the n-vector itself.

        The residual is formed with products by B, not with the spectrum that produced the step.
        Cost O(mn).
        """
        return self.model.certify(self.step, self.reduced.multiplier, self.radius)


def solve_trs(g: Array, B: Matrix, radius: float, *, norm: str = "l2") -> SubproblemResult:
    r"""Solve the trust-region subproblem exactly.

    .. math::

        \min_s \; g^T s + \tfrac12 s^T B s \quad \text{subject to} \quad \|s\| \le \Delta

    Parameters
    ----------
    g : array, shape (n,)
        Gradient, finite.
    B : LSR1, LBFGS, PartialSpectrum, or dense symmetric NumPy array, shape (n, n)
        May be indefinite or singular.
    radius : float, > 0
        Delta, in `norm`.
    norm : {"l2"}
        Norm of the region.

    Returns
    -------
    SubproblemResult
        ``step``, ``decrease``, ``multipliers``, ``on_boundary``, ``hard_case``, ``nit``, ``status``
        and ``certificate()``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described.

    Notes
    -----
    Cost: O(mn + m^3) for a limited-memory matrix, O(n^3) for a dense one.  To solve again with
    another radius use ``result.model.trust_region(radius)``, which is O(m).

    References
    ----------
    J. Brust, J. B. Erway, R. F. Marcia, "On solving L-SR1 trust-region subproblems", Comput. Optim.
    Appl. 66 (2017), Algorithm 1.

    Examples
    --------
    The hard case: the gradient has no component on the leftmost eigenvector.

    >>> import numpy as np
    >>> import qnsolve
    >>> result = qnsolve.solve_trs(np.array([0.0, 1.0]), np.diag([-1.0, 1.0]), radius=2.0)
    >>> result.hard_case, result.multipliers, result.decrease
    (True, array([1.]), 2.25)
    >>> result.certificate().worst < 1e-15
    True
    """
    if norm != "l2":
        raise ValueError(f"norm must be 'l2', got {norm!r}")
    return checked_model(g, B).trust_region(checked_radius(radius))


def checked_model(g: Array, B: Matrix) -> QuadraticModel:
    """Return the model of a user's g and B, or raise TypeError or ValueError."""
    if not array_api_compat.is_array_api_obj(g):
        g = np.asarray(g, dtype=float)
    space = _spectrum_of(B).space
    if g.shape != (space.size,):
        raise ValueError(f"g must have shape ({space.size},), got {tuple(g.shape)}")
    if not np.isfinite(space.norm_inf(g)):
        raise ValueError("g has entries that are not finite")
    return QuadraticModel(g, B)


def checked_radius(radius: float) -> float:
    """Return a user's radius as a float, or raise TypeError or ValueError."""
    if isinstance(radius, bool) or not isinstance(radius, Real):
        raise TypeError(f"radius must be a number, got {type(radius).__name__}")
    if not (radius > 0.0 and np.isfinite(radius)):
        raise ValueError(f"radius must be positive and finite, got {radius!r}")
    return float(radius)


def _spectrum_of(B: Matrix) -> PartialSpectrum:
    if isinstance(B, CompactMatrix):
        return B.spectrum()
    if isinstance(B, PartialSpectrum):
        return B
    if isinstance(B, np.ndarray):
        return PartialSpectrum.from_dense(B)
    raise TypeError(
        "B must be an LSR1 or LBFGS matrix, a PartialSpectrum or a dense NumPy array, "
        f"got {type(B).__name__}"
    )
