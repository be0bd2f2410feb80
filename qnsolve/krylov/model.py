"""What the Krylov solvers are given, what they return, and how the answer is certified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from qnsolve.arrays import Array, VectorSpace, space_of
from qnsolve.arrays.user import floating_vector
from qnsolve.comm import Comm
from qnsolve.krylov.products import Operator, Steps, answered
from qnsolve.norms import DiagonalNorm
from qnsolve.subproblem.certificate import Certificate, certificate_of, measured_on
from qnsolve.subproblem.regions import Term, TrustRegion
from qnsolve.subproblem.types import ReducedProblem, SubproblemStatus

LARGEST_RADIUS = 0.5
"""Share of the largest number of the dtype that a vector can be long without a rounding beyond."""


@dataclass(frozen=True, eq=False)
class KrylovModel:
    """A subproblem in the variables of the ball, where its norm is Euclidean.

    Attributes
    ----------
    gradient : array, shape (n,)
    operator : Operator
        The matrix, with a count of the products.
    term : TrustRegion or Regularisation
        What keeps the step short, in the l2 norm.
    """

    gradient: Array
    operator: Operator
    term: Term

    @classmethod
    def checked(
        cls, g: Array, norm: DiagonalNorm | None, term: Term, comm: Comm | None = None
    ) -> KrylovModel:
        """Return the model of a user's arguments, or raise TypeError or ValueError."""
        g = floating_vector(g, "g", comm=comm)
        space = space_of(g, comm)
        if not np.isfinite(space.norm_inf(g)):
            raise ValueError("g has entries that are not finite")
        if norm is not None:
            norm = DiagonalNorm.of_slice(norm.d, space) if space.sharded else norm
            _check_norm(norm, space)
        operator = Operator(space, norm)
        gradient = operator.scale(g)
        if not np.isfinite(space.norm(gradient)):
            raise ValueError("g is not finite, or too large, in the variables of the norm")
        if isinstance(term, TrustRegion):
            # No vector of the dtype leaves a larger region.
            largest = LARGEST_RADIUS * float(space.xp.finfo(space.dtype).max)
            term = replace(term, radius=min(term.radius, largest))
        return cls(gradient, operator, term)

    @property
    def space(self) -> VectorSpace:
        return self.operator.space

    def certify(self, step: Array, sigma: float, ritz: np.ndarray) -> Steps[Certificate]:
        """Return the residuals of the optimality conditions at a cost of one product."""
        space, operator, gradient = self.space, self.operator, self.gradient
        p = operator.unscale(step)
        length = space.norm(p)
        product = yield from operator.product(p)
        if not ritz.size:
            # Nothing is known of B yet: any Rayleigh quotient bounds its least eigenvalue.
            v = random_unit_vector(space, np.random.default_rng(0))
            quotient = yield from operator.product(v)
            ritz = np.array([np.nan if quotient is None else space.dot(v, quotient)])
        if product is None or np.isnan(ritz).any():
            return Certificate.of_nothing(self.term.infeasibility(np.array([length])))
        scale = float(np.abs(ritz).max())
        with np.errstate(over="ignore", invalid="ignore"):
            residual = space.norm(product + sigma * p + gradient)
            steepness = space.norm(gradient)
            v, left, shifts = np.array([length]), np.array([residual]), np.array([sigma])
            # What the product is summed up from is not known, but the size of the matrix is.
            terms = space.xp.abs(product) + scale * space.xp.abs(p)
            measured = measured_on(space, v, shifts, left, p, product, gradient, terms)
        # The least curvature that is known, and the whole slope, in one coordinate.
        problem = ReducedProblem(np.array([ritz.min()]), np.array([steepness]))
        return certificate_of(self.term, problem, shifts, measured, scale)


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
    hessp : callable or None
        The products that the solver was called with; None where a loop answered for them.
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
    hessp: Callable[[Array], Array] | None = field(default=None, repr=False)

    @classmethod
    def by_products(
        cls, steps: Steps[KrylovResult], hessp: Callable[[Array], Array]
    ) -> KrylovResult:
        """Return the result of `steps`, its products and those of its certificate by `hessp`."""
        return replace(answered(steps, hessp), hessp=hessp)

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
            that is not negative proves nothing about directions outside of the space searched.  So
            it is with ``gap``, which takes all of the residual to lie along that least curvature.

        Raises
        ------
        TypeError
            If the result has no `hessp`.

        Notes
        -----
        Costs one product with B, and one more if none was made yet.
        """
        return answered(self.certificate_steps(), self.hessp)

    def certificate_steps(self) -> Steps[Certificate]:
        """Return the generator behind :meth:`certificate`, which asks for its products."""
        if self.status is SubproblemStatus.UNBOUNDED:
            return Certificate.of_nothing()
        sigma = float(self.multipliers[0])
        return (yield from self.model.certify(self.step, sigma, self.ritz))


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
