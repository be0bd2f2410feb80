"""Quadratic models in the coordinates of a partial spectrum, and their minimisers."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from qnsolve.arrays import Array, VectorSpace
from qnsolve.norms import DiagonalNorm
from qnsolve.quasi_newton.base import CompactMatrix
from qnsolve.quasi_newton.on_basis import NewtonPoint, SpectrumOnBasis
from qnsolve.quasi_newton.scaled import ScaledMatrix
from qnsolve.quasi_newton.spectrum import PartialSpectrum
from qnsolve.subproblem.arguments import checked_name, checked_positive, checked_power
from qnsolve.subproblem.certificate import Certificate, certificate_of, measured_on, tighter
from qnsolve.subproblem.regions import (
    REGULARISATIONS,
    TRUST_REGIONS,
    Regularisation,
    Term,
    TrustRegion,
)
from qnsolve.subproblem.step_check import StepCheck, cauchy_decrease
from qnsolve.subproblem.types import ReducedProblem, ReducedStep, SubproblemStatus

Matrix = CompactMatrix | ScaledMatrix | PartialSpectrum | np.ndarray
"""What a model takes for B; an array must be symmetric."""


class QuadraticModel:
    r"""The model :math:`m(s) = g^T s + \tfrac12 s^T B s` at one point.

    Making it costs one pass over the stored pairs.  After that every minimisation, for whatever
    radius, weight or norm, is O(r) and touches no vector of length n; only ``result.step`` does.

    Parameters
    ----------
    g : array, shape (n,)
    B : LSR1, LBFGS, ScaledMatrix, PartialSpectrum, or dense symmetric NumPy array, shape (n, n)
        With a ScaledMatrix all norms are those of p = A^{1/2} s, A its metric.
    products : ndarray, optional
        W g where it is known already.
    norm : float, optional
        ||g||, in the dual norm where B has a metric, where it is known already.
    spectrum : PartialSpectrum, optional
        That of B, where it is not to be found here.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve import QuadraticModel
    >>> model = QuadraticModel(np.array([1.0, 0.0]), np.diag([-1.0, 3.0]))
    >>> [model.trust_region(radius).decrease for radius in (1.0, 2.0)]
    [1.5, 4.0]
    """

    def __init__(
        self,
        g: Array,
        B: Matrix,
        *,
        products: np.ndarray | None = None,
        norm: float | None = None,
        spectrum: PartialSpectrum | None = None,
    ) -> None:
        self.matrix = B
        self.metric: DiagonalNorm | None = B.metric if isinstance(B, ScaledMatrix) else None
        space_of_matrix(B)  # refuses what is no matrix
        if spectrum is not None:
            self.spectrum = spectrum
        elif isinstance(B, np.ndarray):
            self.spectrum = PartialSpectrum.from_dense(B)
        else:
            self.spectrum = B if isinstance(B, PartialSpectrum) else B.spectrum()
        self.gradient = g = self.spectrum.space.checked(g, "g")
        in_ball = g if self.metric is None else self.metric.from_ball(g)
        self._split = self.spectrum.basis.split(in_ball, products, norm)

    @cached_property
    def problem(self) -> ReducedProblem:
        """The model in the coordinates of the spectrum."""
        spectrum, split = self.spectrum, self._split
        gamma = spectrum.gamma if spectrum.complement_dim else 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            par = spectrum.to_eigenvectors(split.par)
        return ReducedProblem.of(spectrum.eigenvalues, par, gamma, split.norm_perp)

    @cached_property
    def _newton(self) -> NewtonPoint | None:
        """The unconstrained minimiser, where it comes without eigenvectors."""
        spectrum = self.spectrum
        return spectrum.newton_point(self._split) if isinstance(spectrum, SpectrumOnBasis) else None

    def trust_region(self, radius: float, norm: str = "l2") -> SubproblemResult:
        """Minimise over the region of `norm` "l2", "shape-inf" or "shape-2", in O(r).

        Raises TypeError or ValueError where radius or norm is not of this kind.
        """
        norm = checked_name(norm, TRUST_REGIONS)
        return self.minimise(TrustRegion(checked_positive(radius, "radius"), norm))

    def regularised(self, weight: float, norm: str = "l2", power: float = 3.0) -> SubproblemResult:
        """Minimise with weight / power times a power of `norm` "l2" or "shape" added, in O(r).

        Raises TypeError or ValueError where weight, norm or power is not of this kind.
        """
        norm = checked_name(norm, REGULARISATIONS)
        weight, power = checked_positive(weight, "weight"), checked_power(power, norm)
        return self.minimise(Regularisation(weight, norm, power))

    def minimise(self, term: Term) -> SubproblemResult:
        """Minimise with what keeps the step short given as it is, unchecked, in O(r)."""
        newton = self._newton
        if newton is not None and term.leaves_free(newton.length):
            return FreeStep(self, term, newton)
        return SubproblemResult(self, term, term.solve(self.problem))

    @property
    def gradient_norm(self) -> float:
        """||g||, in the dual norm where B has a metric."""
        return self._split.norm

    def slope(self, reduced: ReducedStep) -> float:
        """Return g's of a reduced step; inf or NaN, without a warning, on overflow."""
        return float(np.vdot(self.problem.slopes, reduced.v))

    def lift(self, reduced: ReducedStep) -> Array:
        """Return the n-vector of a reduced step: one pass over the stored pairs."""
        return self.lift_with_products(reduced)[0]

    @np.errstate(over="ignore", invalid="ignore")
    def lift_with_products(self, reduced: ReducedStep) -> tuple[Array, np.ndarray | None]:
        """Return the n-vector of a reduced step, and W p where it comes in the same pass."""
        spectrum = self.spectrum
        if reduced.length == 0.0:  # also where the gradient is beyond the range
            return spectrum.space.zeros(spectrum.space.length), None
        return self.lift_from_basis(spectrum.to_basis(reduced.par), reduced.perp)

    @np.errstate(over="ignore", invalid="ignore")
    def lift_from_basis(self, par: np.ndarray, perp: float) -> tuple[Array, np.ndarray | None]:
        """Return the same for a step by its coordinates on the basis and off it."""
        split, basis = self._split, self.spectrum.basis
        beta = perp / split.norm_perp if split.norm_perp > 0.0 else 0.0
        p, products = basis.lift_with_products(par, beta, split.carrier, split.carrier_par)
        if split.norm_perp == 0.0 and perp != 0.0:
            p, products = p + perp * basis.complement_direction(), None
        return (p if self.metric is None else self.metric.from_ball(p)), products

    def matvec(self, v: Array) -> Array:
        """Return B v by the matrix itself, not by its spectrum where there is a choice."""
        return self.matrix @ v

    def _terms(self, p: Array, product: Array) -> Array:
        """Return, entry by entry, the moduli of what B p is summed up from."""
        xp = self.spectrum.space.xp
        if isinstance(self.matrix, np.ndarray):
            terms: Array = np.abs(self.matrix) @ np.abs(p)
            return terms
        return xp.abs(product) + abs(self.spectrum.gamma) * xp.abs(p)

    @np.errstate(over="ignore", invalid="ignore")
    def certify(self, step: Array, term: Term, multipliers: np.ndarray) -> Certificate:
        """Return the residuals of the optimality conditions of `step`, measured on the vector.

        Parameters
        ----------
        step : array, shape (n,)
        term : TrustRegion or Regularisation
            What keeps the step short.
        multipliers : ndarray
            One a block of the norm.

        Notes
        -----
        Products are formed with B itself, not with the spectrum that produced the step.  O(mn).
        """
        return self._certificate(self._look_at(step), term, multipliers)

    @np.errstate(over="ignore", invalid="ignore")
    def check(
        self, step: Array, term: Term, multipliers: np.ndarray | None, eps: float
    ) -> StepCheck:
        """Return how good `step` is; without `multipliers`, with those that fit it best.

        `eps` is the rounding error that the numbers of the step have.
        """
        seen, given = self._look_at(step), multipliers is not None
        if multipliers is None:
            multipliers = self._fitted(seen, term)
        certificate = self._certificate(seen, term, multipliers)
        if not given:
            # Every multiplier bounds the decrease; that of a minimiser is the best.
            best = self._certificate(seen, term, term.solve(self.problem).multipliers)
            certificate = replace(certificate, gap=tighter(certificate.gap, best.gap))
        fall = -self.spectrum.space.dot(seen.p, seen.gradient + 0.5 * seen.product)
        decrease = fall - term.value(seen.v, 1.0)
        cauchy = cauchy_decrease(term, self.problem)
        return StepCheck.of(certificate, multipliers, decrease, cauchy, eps)

    def _look_at(self, step: Array) -> _SeenStep:
        p, product, gradient = step, self.matvec(step), self.gradient
        if self.metric is not None:
            p = self.metric.to_ball(p)
            product, gradient = self.metric.from_ball(product), self.metric.from_ball(gradient)
        return _SeenStep(p, product, gradient, np.append(*self.spectrum.project(p)))

    def _fitted(self, seen: _SeenStep, term: Term) -> np.ndarray:
        """Return the multipliers that fit a step best."""
        residual = seen.product + seen.gradient
        inside = self.spectrum.project(residual)[0] * seen.v[:-1]
        outside = self.spectrum.space.dot(seen.p, residual) - float(inside.sum())
        return term.fit_multipliers(seen.v, np.append(inside, outside))

    def _certificate(self, seen: _SeenStep, term: Term, multipliers: np.ndarray) -> Certificate:
        spectrum, v = self.spectrum, seen.v
        r = len(spectrum.eigenvalues)
        shifts = term.shifts(multipliers, r)
        par = v[:r]
        residual = seen.product + seen.gradient
        residual = residual + spectrum.lift(shifts[:r] * par, float(shifts[r]), seen.p, par)
        left = np.append(*spectrum.project(residual))
        terms = self._terms(seen.p, seen.product)
        measured = measured_on(
            spectrum.space, v, shifts, left, seen.p, seen.product, seen.gradient, terms
        )
        problem = self.problem
        if not spectrum.complement_dim:
            curvatures = np.append(spectrum.eigenvalues, np.inf)
            problem = ReducedProblem(curvatures, problem.slopes)
        return certificate_of(term, problem, multipliers, measured, spectrum.scale)


class _SeenStep(NamedTuple):
    """A step, its product and the gradient, in the variables of the ball, and its coordinates."""

    p: Array
    product: Array
    gradient: Array
    v: np.ndarray


class SubproblemResult:
    """A minimiser of a subproblem that can prove itself.

    Attributes
    ----------
    model : QuadraticModel
        The model that was minimised; ``result.model.trust_region(radius)`` solves again in O(r).
    term : TrustRegion or Regularisation
        What keeps the step short: radius or weight, and norm.
    reduced : ReducedStep
        The step in the coordinates of the spectrum.
    step : array, shape (n,)
        The minimiser; formed when first asked for.
    decrease : float
        -m(step) >= 0, the regulariser included, free of cancellation.
    multipliers : ndarray
        One a block: shape (1,) for "l2", (2,) for "shape-2", (r + 1,) for "shape-inf" and "shape".
    on_boundary, hard_case : bool
    nit : int
        Iterations of the secular equation.
    status : SubproblemStatus
        Its value is a message.
    """

    def __init__(self, model: QuadraticModel, term: Term, reduced: ReducedStep) -> None:
        self.model, self.term, self._reduced = model, term, reduced
        self.decrease, self.multipliers = reduced.decrease, reduced.multipliers
        self.on_boundary, self.hard_case = reduced.on_boundary, reduced.hard_case
        self.nit, self.status = reduced.nit, reduced.status

    @property
    def reduced(self) -> ReducedStep:
        return self._reduced

    @property
    def step(self) -> Array:
        return self._lifted[0]

    @property
    def products(self) -> np.ndarray | None:
        """W p of the stored rows and p = A^{1/2} step, where it came with the step; else None."""
        return self._lifted[1]

    @cached_property
    def _lifted(self) -> tuple[Array, np.ndarray | None]:
        return self.model.lift_with_products(self.reduced)

    @cached_property
    def length(self) -> float:
        """||step||_2 (of p = A^{1/2} step in a metric A), from the reduced coordinates."""
        return self.reduced.length

    @property
    def longest_block(self) -> float:
        """Length of the step in its region's or regulariser's norm: that of its longest block."""
        if self.term.norm == "l2":
            return self.length
        return float(self.term.lengths(self.reduced.v).max())

    @cached_property
    def slope(self) -> float:
        """g'step, from the reduced coordinates."""
        return self.model.slope(self.reduced)

    @property
    def curvature(self) -> float:
        """step'B step, from the reduced coordinates."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(self.model.problem.curvatures @ self.reduced.v**2)

    @property
    def cube(self) -> float:
        """The cube of the regulariser's norm of the step."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float((self.term.lengths(self.reduced.v) ** 3).sum())

    def certificate(self) -> Certificate:
        """Return the residuals of the optimality conditions, measured on the n-vector; O(mn).

        An unbounded model has no minimiser: all but the feasibility of the zero step are infinite.
        """
        if self.status in (SubproblemStatus.UNBOUNDED, SubproblemStatus.NONFINITE):
            return Certificate.of_nothing()
        return self.model.certify(self.step, self.term, self.multipliers)


class FreeStep(SubproblemResult):
    """The unconstrained minimiser of a definite model, which the term leaves as it is.

    Its coordinates on the eigenvectors are found when first asked for.
    """

    on_boundary = hard_case = False
    nit, status = 0, SubproblemStatus.SOLVED

    def __init__(self, model: QuadraticModel, term: Term, point: NewtonPoint) -> None:
        self.model, self.term, self._point = model, term, point
        self.slope, self.length, self.decrease = point.slope, point.length, point.decrease
        self.multipliers = np.zeros(1)

    @cached_property
    def reduced(self) -> ReducedStep:
        point = self._point
        v = np.append(self.model.spectrum.to_eigenvectors(point.par), point.perp)
        return ReducedStep(v, np.zeros(1), point.decrease)

    @cached_property
    def _lifted(self) -> tuple[Array, np.ndarray | None]:
        return self.model.lift_from_basis(self._point.par, self._point.perp)


def space_of_matrix(B: Matrix) -> VectorSpace | None:
    """Return the space of the vectors that B multiplies; None for a real square NumPy array."""
    if isinstance(B, np.ndarray):
        if isinstance(B, np.ma.MaskedArray):
            raise TypeError("B is a masked array; fill it first")
        if B.dtype.kind not in "biuf":
            raise TypeError(f"B must be real, got dtype {B.dtype}")
        if B.ndim != 2 or B.shape[0] != B.shape[1] or B.shape[0] == 0:
            raise ValueError(f"B must be a square matrix, got shape {B.shape}")
        return None
    if isinstance(B, ScaledMatrix):
        return B.metric.space
    if isinstance(B, CompactMatrix | PartialSpectrum):
        return B.space
    raise TypeError(
        "B must be an LSR1, LBFGS or ScaledMatrix, a PartialSpectrum or a dense NumPy array, "
        f"got {type(B).__name__}"
    )
