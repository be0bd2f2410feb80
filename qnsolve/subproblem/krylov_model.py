"""What the Krylov solvers are given, what they return, and how the answer is certified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import array_api_compat
import numpy as np

from qnsolve.array import Array, VectorSpace
from qnsolve.comm import Comm
from qnsolve.norms import DiagonalNorm
from qnsolve.subproblem.lanczos import Operator
from qnsolve.subproblem.regularised_l2 import regularised_l2
from qnsolve.subproblem.trust_region_l2 import trust_region_l2
from qnsolve.subproblem.types import Certificate, ReducedStep, SubproblemStatus


@dataclass(frozen=True)
class Ball:
    """The step is at most `radius` long."""

    radius: float

    def minimise(self, eigenvalues: np.ndarray, a: np.ndarray) -> ReducedStep:
        return trust_region_l2(eigenvalues, 0.0, a, 0.0, 0, self.radius)

    def complementarity(self, sigma: float, length: float, curvature: float) -> float:
        return sigma / curvature * abs(length / self.radius - 1.0) if sigma else 0.0

    def infeasibility(self, length: float) -> float:
        return max(0.0, length / self.radius - 1.0)


@dataclass(frozen=True)
class Penalty:
    """The model is raised by ``weight / power * length**power``."""

    weight: float
    power: float

    def minimise(self, eigenvalues: np.ndarray, a: np.ndarray) -> ReducedStep:
        return regularised_l2(eigenvalues, 0.0, a, 0.0, 0, self.weight, self.power)

    def complementarity(self, sigma: float, length: float, curvature: float) -> float:
        error = abs(sigma - self.weight * length ** (self.power - 2.0))
        return error / curvature if error else 0.0

    def infeasibility(self, length: float) -> float:
        return 0.0


@dataclass(frozen=True, eq=False)
class KrylovModel:
    """A subproblem in the variables of the ball, where its norm is Euclidean.

    Attributes
    ----------
    gradient : array, shape (n,)
    operator : Operator
        The matrix, with a count of the products.
    term : Ball or Penalty
        What keeps the step short.
    """

    gradient: Array
    operator: Operator
    term: Ball | Penalty

    @classmethod
    def checked(
        cls,
        g: Array,
        hessp: Callable[[Array], Array],
        norm: DiagonalNorm | None,
        term: Ball | Penalty,
        comm: Comm | None = None,
    ) -> KrylovModel:
        """Return the model of a user's arguments, or raise TypeError or ValueError."""
        if not array_api_compat.is_array_api_obj(g):
            g = np.asarray(g, dtype=float)
        xp = array_api_compat.array_namespace(g)
        if not xp.isdtype(g.dtype, "real floating"):
            raise TypeError(f"g must be real floating, got dtype {g.dtype}")
        if g.ndim != 1 or (g.shape[0] == 0 and comm is None):
            raise ValueError(f"g must have shape (n,) with n >= 1, got {tuple(g.shape)}")
        space = VectorSpace.of(g, comm)
        if not np.isfinite(space.norm_inf(g)):
            raise ValueError("g has entries that are not finite")
        if not callable(hessp):
            raise TypeError(f"hessp must be callable, hessp(v) -> B v, got {type(hessp).__name__}")
        if norm is not None:
            if comm is not None:
                norm = DiagonalNorm.of_slice(norm.d, space)
            _check_norm(norm, space)
        operator = Operator(hessp, space, norm)
        gradient = operator.scale(g)
        if not np.isfinite(space.norm(gradient)):
            raise ValueError("g is not finite, or too large, in the variables of the norm")
        return cls(gradient, operator, term)

    @property
    def space(self) -> VectorSpace:
        return self.operator.space

    def certify(self, step: Array, sigma: float, ritz: np.ndarray) -> Certificate:
        """Return the residuals of the optimality conditions at a cost of one product."""
        space, operator = self.space, self.operator
        p = operator.unscale(step)
        length = space.norm(p)
        product = operator(p)
        if not ritz.size:
            # Nothing is known of B yet: any Rayleigh quotient bounds its least eigenvalue.
            v = random_unit_vector(space, np.random.default_rng(0))
            quotient = operator(v)
            ritz = np.array([np.nan if quotient is None else space.dot(v, quotient)])
        if product is None or np.isnan(ritz).any():
            return Certificate.of_nothing(self.term.infeasibility(length))
        curvature = float(np.abs(ritz).max()) + sigma
        size = space.norm(self.gradient) + curvature * length
        residual = space.norm(product + sigma * p + self.gradient)
        return Certificate(
            stationarity=residual / size if size else 0.0,
            complementarity=self.term.complementarity(sigma, length, curvature),
            min_eig=(float(ritz.min()) + sigma) / curvature if curvature else 0.0,
            feasibility=self.term.infeasibility(length),
        )


@dataclass(frozen=True, eq=False)
class KrylovResult:
    """A step from products with the matrix.

    Attributes
    ----------
    step : array, shape (n,)
        In the library, dtype and device of the gradient.
    decrease : float
        Model decrease -m(step) >= 0, a sum of terms that are not negative; of the whole model,
        regulariser included.
    multipliers : ndarray, shape (1,)
        sigma >= 0.  Of a step on the boundary that is no minimiser: the one that fits it best.
    on_boundary : bool
    hard_case : bool
        Whether the gradient has, to the tolerance of the solver, no part along the leftmost
        eigenvectors that it found, and the step does.
    nit : int
        Products with the matrix.
    status : SubproblemStatus
        Its value is a message.
    model : KrylovModel
    ritz : ndarray
        Smallest and largest curvature of the matrix on the space searched, relative to the norm;
        empty where no product was made.
    """

    step: Array
    decrease: float
    multipliers: np.ndarray
    on_boundary: bool
    hard_case: bool
    nit: int
    status: SubproblemStatus
    model: KrylovModel = field(repr=False)
    ritz: np.ndarray = field(repr=False)

    def certificate(self) -> Certificate:
        r"""Return the residuals of the optimality conditions, measured on the step itself.

        Returns
        -------
        Certificate
            ``stationarity`` is :math:`\|(B + \sigma A) s + g\|_{A^{-1}}` over
            :math:`\|g\|_{A^{-1}} + (b + \sigma) \|s\|_A`, with b the largest \|Ritz value\|: as b
            is at most the norm of B, it is never too small.  ``complementarity`` of a regularised
            model is the error of :math:`\sigma = w \|s\|_A^{p-2}` over :math:`b + \sigma`.
            ``min_eig`` takes the *smallest Ritz value* in place of the smallest eigenvalue of B.
            It is an upper bound: a negative one proves that the step is no global minimiser, one
            that is not negative proves nothing about directions outside of the space searched.

        Notes
        -----
        Costs one product with B, and one more if none was made yet.
        """
        if self.status is SubproblemStatus.UNBOUNDED:
            return Certificate.of_nothing()
        return self.model.certify(self.step, float(self.multipliers[0]), self.ritz)


def random_unit_vector(space: VectorSpace, rng: np.random.Generator) -> Array:
    """Return a random direction, uniformly distributed; drawn on the host, the same everywhere."""
    mine = slice(space.first, space.first + space.length)
    v = space.from_host(rng.standard_normal(space.size)[mine])
    return v / space.norm(v)


def _check_norm(norm: DiagonalNorm, space: VectorSpace) -> None:
    if not isinstance(norm, DiagonalNorm):
        raise TypeError(f"norm must be a DiagonalNorm or None, got {type(norm).__name__}")
    for name, wanted, found in (
        ("array library", space.xp, norm.space.xp),
        ("device", space.device, norm.space.device),
        ("dtype", space.dtype, norm.space.dtype),
        ("length", space.size, norm.space.size),
    ):
        if wanted != found:
            raise ValueError(f"g and norm differ in {name}: {wanted} and {found}")
