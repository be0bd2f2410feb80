"""What is known of f around an iterate: a gradient, a matrix, and the norm of steps.

A model minimises itself within a reach (:mod:`qnsolve.solvers.reach`), says what is asked at the
end of the step that results, and learns from the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from qnsolve.arrays import Array, Request, VectorSpace
from qnsolve.krylov.gltr import gltr_steps
from qnsolve.krylov.steihaug import steihaug_steps
from qnsolve.norms import DiagonalNorm
from qnsolve.points import end_of_step
from qnsolve.quasi_newton.base import CompactMatrix, UpdateStatus
from qnsolve.quasi_newton.scaled import ScaledMatrix
from qnsolve.quasi_newton.spectrum import FAST
from qnsolve.quasi_newton.tracking import GradientChange, TrackedGradient, root
from qnsolve.questions import Answer, Asking, Multiply, relay
from qnsolve.solvers.metric import Metric
from qnsolve.solvers.moving_norms import MovingNorm
from qnsolve.solvers.reach import Reach
from qnsolve.solvers.start import FirstReach, WarmStart, first_gamma, starting_radius
from qnsolve.state import Saved, Stateful
from qnsolve.subproblem.box import BoxedStep
from qnsolve.subproblem.model import QuadraticModel, SubproblemResult
from qnsolve.subproblem.types import SubproblemStatus

# A step that only has to descend need not look for the hard case.
INNER_SOLVERS: dict[str, Callable[..., Any]] = {
    "steihaug": steihaug_steps,
    "gltr": partial(gltr_steps, restarts=0),
}
"""Solvers of the subproblem of a matrix that is known by its products."""


class End:
    """A point at which f and g are asked for, with the norms that a loop wants there.

    Parameters
    ----------
    x : array, shape (n,), or None
        None where it lies at infinity: then nothing is asked, and f stays NaN.
    metric : DiagonalNorm or EuclideanNorm
    step : array, shape (n,), optional
        The step that ends there.
    change : GradientChange, optional
        How the gradient changes along it, in the variables of the metric's ball.

    Attributes
    ----------
    f, g
        Value and gradient, once :meth:`answered`; g is None where f is not finite.
    gradient_norm : float
        ||g|| in the dual norm; NaN where there is no g.
    largest_slope : float
        max_i |g_i|.
    point_norm : float
        ||x||.
    slope : float
        g's.
    """

    f = gradient_norm = largest_slope = point_norm = slope = math.nan
    g: Array | None = None

    def __init__(
        self,
        x: Array | None,
        metric: Metric,
        step: Array | None = None,
        change: GradientChange | None = None,
    ) -> None:
        self.x, self._metric, self._step = x, metric, step
        self.change: Any = change

    @np.errstate(over="ignore", invalid="ignore")
    def request(self, g: Array) -> Request:
        """Return the inner products that are asked for together with f and `g`."""
        metric = self._metric
        p, self._q = metric.to_ball(self.x), metric.from_ball(g)
        if self.change is not None:
            wanted = self.change.request(self._q)
            return Request((*wanted.dots, (p, p)), wanted.rows, wanted.with_rows, (g,))
        along = () if self._step is None else ((self._step, g),)
        return Request(((self._q, self._q), *along, (p, p)), largest=(g,))

    def answered(self, answer: Answer) -> End:
        """Take the answer; return this end."""
        self.f, self.g, numbers = answer
        if numbers is None:
            return self
        space, dots = self._metric.space, numbers.dots
        self.gradient_norm = root(dots[0], self._q, space)
        (self.largest_slope,) = numbers.largest
        if not self.finite:
            return self
        square = dots[-1]
        self.point_norm = math.sqrt(square) if square < math.inf else self._metric.norm(self.x)
        if self.change is not None:
            self.change.read(numbers, self.gradient_norm)
            self.slope = self.change.slope
        elif self._step is not None:
            self.slope = dots[1]
        return self

    @property
    def finite(self) -> bool:
        """Whether f and the norm of g are finite."""
        return math.isfinite(self.f) and math.isfinite(self.gradient_norm)


class Model(Stateful):
    """What all models are: a gradient and the norms at an iterate.

    Parameters
    ----------
    metric : DiagonalNorm or EuclideanNorm
        Norm of steps; gradients are measured in its dual.
    moving : MovingNorm, optional
        What the metric is made of, where it follows the gradients.

    Attributes
    ----------
    gradient : array, shape (n,)
    gradient_norm, largest_slope, point_norm : float
        As of :class:`End`.
    """

    gradient: Saved[Any]
    gradient_norm: Saved[float] = math.nan
    largest_slope: Saved[float] = math.nan
    point_norm: Saved[float] = math.nan
    moving: Saved[MovingNorm | None]
    asks_products = False
    """Whether it multiplies with the Hessian."""

    holds: ClassVar[str | None] = None
    """What its matrix stands for, "hess" or "hess_inv"; None where it has no matrix."""

    def __init__(self, metric: Metric, moving: MovingNorm | None = None) -> None:
        self.metric, self.moving = metric, moving
        self.gradient = None

    @property
    def space(self) -> VectorSpace:
        return self.metric.space

    @property
    def n_pairs(self) -> int:
        """Number of pairs in the matrix."""
        return 0

    @property
    def free_norm(self) -> float:
        """Norm of the gradient in the variables that may move."""
        return self.gradient_norm

    def at_point(self, x: Array) -> End:
        """Return a point without a step to it, to be asked for."""
        return End(x, self.metric)

    def first_length(self, x: Array, f: float, reach: FirstReach) -> float:
        """Return how long the first step from `x` may be, f its value."""
        return starting_radius(self.point_norm, f, self.gradient_norm, reach)

    def reached(self, x: Array, trial: Any) -> Array | None:
        """Return the end of a trial step from `x`, or None where it would be infinite."""
        return end_of_step(self.space, x, trial.step, trial.length)

    def report(self, x: Array, g: Array) -> dict[str, Array]:
        """Return what there is to say in the result of the last iterate `x`, g its gradient."""
        return {}

    def stand_at(self, end: End) -> None:
        """Make `end` the iterate."""
        self.gradient, self.gradient_norm = end.g, end.gradient_norm
        self.largest_slope, self.point_norm = end.largest_slope, end.point_norm

    def take_over(self, warm: WarmStart) -> None:
        """Go on from what a former run knew: of no use to a model without pairs."""

    def tried(self, trial: Any) -> None:
        """Take into account that a trial step has been evaluated, whatever came of it."""


class SecantModel(Model):
    r"""The model :math:`g^T s + \tfrac12 s^T B s` with a limited-memory matrix B.

    The matrix lives in the variables :math:`p = A^{1/2} s` in which the norm of A is Euclidean, so
    that B0 = gamma A.  W g is kept up to date with one pass over the pairs a step.

    Parameters
    ----------
    build : callable
        ``build(gamma)`` returns the empty matrix.
    metric, moving
        As for :class:`Model`.
    refresh : int
        Steps from one change of a moving metric to the next; or the number of pairs, where that is
        smaller.

    Notes
    -----
    When A changes to A' the pairs become
    :math:`((A'A^{-1})^{1/2} S, (A'A^{-1})^{-1/2} Y)`: one pass over all of them, and their products
    with each other, :math:`4 k^2 n` flops for k pairs.  Done once in k steps this is 4 k n a step,
    as much as a product with them.
    """

    matrix: Saved[Any]
    """A CompactMatrix; None until the model :meth:`begin`s."""
    _tracked: Saved[Any]
    """The gradient in the ball as a TrackedGradient; None on mini-batches."""
    _diagonal: Saved[Array | None]
    _age: Saved[int]
    holds = "hess"

    def __init__(
        self,
        build: Callable[[float], CompactMatrix],
        metric: Metric,
        moving: MovingNorm | None = None,
        refresh: int = 1,
    ) -> None:
        super().__init__(metric, moving)
        self._build, self._refresh = build, refresh
        self.matrix = self._tracked = self._diagonal = None
        self._age = 0

    @property
    def n_pairs(self) -> int:
        return 0 if self.matrix is None else self.matrix.n_pairs

    def begin(self, length: float) -> None:
        """Start without pairs, from the gamma whose first step has this length in the norm."""
        gamma = first_gamma(self.gradient_norm, length)
        if self.matrix is None:
            self.matrix = self._build(gamma)
        else:
            self.matrix.reset(gamma)
        q = self.metric.from_ball(self.gradient)
        self._tracked = TrackedGradient.of(q, self.matrix.pairs, self.gradient_norm)

    def take_over(self, warm: WarmStart) -> None:
        """Go on from the pairs of a former run, after :meth:`begin`."""
        metric = self.metric
        self.matrix.take_over(
            ((metric.to_ball(s), metric.from_ball(y)) for s, y in warm.pairs),
            math.nan if isinstance(metric, DiagonalNorm) else warm.gamma,
        )
        q = metric.from_ball(self.gradient)
        self._tracked = TrackedGradient.of(q, self.matrix.pairs, self.gradient_norm)

    def minimise(self, reach: Reach, x: Array) -> Asking[SubproblemResult | BoxedStep]:
        """Return the minimiser within reach of the iterate `x`."""
        return reach.minimise(self.quadratic())
        yield  # asks for nothing, unlike other models

    def quadratic(self) -> QuadraticModel:
        """Return the quadratic model at the iterate; valid until the next pair is stored."""
        spectrum, metric, tracked = self.matrix.spectrum(FAST), self.metric, self._tracked
        B = ScaledMatrix(spectrum, metric) if isinstance(metric, DiagonalNorm) else spectrum
        products = None if tracked is None else tracked.products
        return QuadraticModel(self.gradient, B, products=products, norm=self.gradient_norm)

    def end(self, x: Array | None, trial: SubproblemResult | BoxedStep) -> End:
        """Return the end `x` of a trial step from the iterate, to be asked for."""
        return self.end_of(x, trial.step, trial.products)

    def end_of(self, x: Array | None, step: Array, products: np.ndarray | None = None) -> End:
        """Return the same for a step of which W p may be known, p that step in the ball."""
        change = GradientChange(self._tracked, self.metric.to_ball(step), products)
        return End(x, self.metric, change=change)

    def learn(
        self, end: End, *, offer: bool, move: bool, theta: float = 0.0
    ) -> UpdateStatus | None:
        """Take in the end of a step; return what became of its pair, None if not offered.

        Parameters
        ----------
        end : End
        offer : bool
            Offer the pair to the matrix.
        move : bool
            Make the end the iterate.
        theta : float
            Offer y + theta s / s's in place of y, in the variables p.
        """
        change, status = end.change, None
        if offer:
            square = change.pair.ss
            share = theta / square if square > 0.0 else 0.0
            if share and math.isfinite(share):
                change.bend(share)
            status = self._offer(end, move)
        if move:
            self.stand_at(end)
            self._tracked = change.end
        if status is UpdateStatus.STORED:
            change.account(self._tracked)
        elif not self.matrix.n_pairs:  # some rules empty the memory with the pair they refuse
            self._tracked.account_for_none()
        return status

    def _offer(self, end: End, move: bool) -> UpdateStatus:
        """Offer the pair of a step to the matrix; `move` says that its end is the next iterate."""
        change = end.change
        return self.matrix.update(change.s, change.y, products=change.pair)

    # -- mini-batches: the function, and with it the gradient, is another one at each step ---------

    def observe(self, g: Array) -> None:
        """Take the gradient of a new batch into a moving norm."""
        if self.moving is None:
            return
        self.moving.update(g)
        self._age += 1
        if self._age >= min(self._refresh, self.n_pairs):
            self._change_metric(self.moving.norm())
            self._age = 0

    def renew(self, g: Array, g_norm: float) -> None:
        """Go over to a function with the gradient `g` at the iterate."""
        self.gradient, self.gradient_norm, self._tracked = g, g_norm, None

    def learn_pair(self, trial: SubproblemResult, y: Array) -> bool:
        """Offer the pair of a trial step and a gradient change; return whether it was stored."""
        p, q = self.metric.to_ball(trial.step), self.metric.from_ball(y)
        pair = self.matrix.pairs.measure(p, q, trial.products)
        return self.matrix.update(p, q, products=pair).stored

    def restore(self, state: Mapping[str, Any]) -> None:
        if self.matrix is None and state["matrix"] is not None:
            self.matrix = self._build(1.0)
        # On mini-batches no gradient is kept from step to step.
        super().restore(state if self._tracked is not None else {**state, "_tracked": None})

    def restored(self) -> None:
        if self._diagonal is not None:
            self.metric = DiagonalNorm.of_slice(self._diagonal, self.space)

    def _change_metric(self, new: DiagonalNorm) -> None:
        old, self.metric, self._diagonal = self.metric, new, new.d
        if self.n_pairs:
            # p = A^{1/2} s: of ones, the root of a diagonal.
            ones = self.space.zeros(self.space.length) + 1.0
            self.matrix.rescale(new.to_ball(old.from_ball(ones)))


@dataclass(frozen=True, eq=False)
class NewtonStep:
    """A step with its slope g's, the decrease of the model, and its length in the norm.

    It is `blind` where nothing is known of the curvature.
    """

    step: Array
    slope: float
    decrease: float
    length: float
    blind: bool = False

    @property
    def longest_block(self) -> float:
        return self.length

    products = None


class NewtonModel(Model):
    """The model with the Hessian, by its products.

    Parameters
    ----------
    metric, moving
        As for :class:`Model`.
    inner : {"steihaug", "gltr"}
        Solver of the subproblem.
    inner_maxiter : int or None
        Most products with the Hessian a step.
    forcing : float
        The inner solver stops where the residual is this part of the gradient.
    superlinear : bool
        Or where it is sqrt(||g|| / ||g0||) of it, if that is less: the root makes the last steps
        converge with order 3/2 (Dembo, Eisenstat and Steihaug 1982).
    max_blind : int
        Steps in a row along -g that are made where no product with the Hessian is finite: they may
        lead to where one is.
    """

    _first_slope: Saved[float]
    _blind: Saved[int]
    asks_products = True

    def __init__(
        self,
        metric: Metric,
        moving: MovingNorm | None = None,
        *,
        inner: str,
        inner_maxiter: int | None,
        forcing: float,
        superlinear: bool,
        max_blind: int,
    ) -> None:
        super().__init__(metric, moving)
        self._solve = partial(INNER_SOLVERS[inner], maxiter=inner_maxiter)
        self._forcing, self._superlinear, self._max_blind = forcing, superlinear, max_blind
        self._first_slope, self._blind = math.nan, 0

    def begin(self, length: float) -> None:
        """There is nothing to prepare."""

    def stand_at(self, end: End) -> None:
        super().stand_at(end)
        if math.isnan(self._first_slope):
            self._first_slope = self.space.norm(end.g)
        if self.moving is not None:
            self.moving.update(end.g)
            self.metric = self.moving.norm()
            self.gradient_norm = self.metric.dual_norm(end.g)
            self.point_norm = self.metric.norm(end.x)

    def minimise(self, reach: Reach, x: Array) -> Asking[NewtonStep]:
        """Return an approximate minimiser within reach of the iterate `x`."""
        g, metric, space = self.gradient, self.metric, self.space
        norm = metric if isinstance(metric, DiagonalNorm) else None
        solver = self._solve(g, reach.size, norm=norm, tol=self._tolerance(), comm=space.comm)

        def ask(v: Array) -> Asking[Array]:
            return (yield Multiply(x, g, v))

        found = yield from relay(solver, ask)
        step, decrease, blind = found.step, found.decrease, False
        if found.status is SubproblemStatus.NONFINITE and not decrease > 0.0:
            # Nothing is known of the curvature here; a few steps may lead to where something is.
            blind = True
            if self._blind < self._max_blind:
                step, decrease = self._steepest(reach.size), reach.size * self.gradient_norm
        dots = ((g, step), (metric.to_ball(step),) * 2)
        slope, square = space.reduce(Request(dots)).dots
        return NewtonStep(step, slope, decrease, root(square, metric.to_ball(step), space), blind)

    def tried(self, trial: NewtonStep) -> None:
        self._blind = self._blind + 1 if trial.blind else 0

    def end(self, x: Array | None, trial: NewtonStep) -> End:
        """Return the end `x` of a trial step from the iterate, to be asked for."""
        return End(x, self.metric, trial.step)

    def learn(self, end: End, *, offer: bool, move: bool, theta: float = 0.0) -> None:
        """Take in the end of a step that is taken (`move`); there are no pairs."""
        if move:
            self.stand_at(end)

    # -- mini-batches ------------------------------------------------------------------------------

    def observe(self, g: Array) -> None:
        """Take the gradient of a new batch into a moving norm."""
        if self.moving is not None:
            self.moving.update(g)
            self.metric = self.moving.norm()

    def renew(self, g: Array, g_norm: float) -> None:
        """Go over to a function with the gradient `g` at the iterate."""
        self.gradient, self.gradient_norm = g, g_norm

    def learn_pair(self, trial: NewtonStep, y: Array) -> bool:
        """There are no pairs: nothing is stored."""
        return False

    def restored(self) -> None:
        if self.moving is not None:
            self.metric = self.moving.norm()

    def _tolerance(self) -> float:
        if not self._superlinear:
            return self._forcing
        slope = self.gradient_norm
        if isinstance(self.metric, DiagonalNorm):
            slope = self.space.norm(self.gradient)
        return min(self._forcing, math.sqrt(slope / self._first_slope))

    def _steepest(self, radius: float) -> Array:
        """Return the minimiser in the region of the model without curvature."""
        downhill = self.metric.from_ball(self.metric.from_ball(-self.gradient))
        return (radius / self.gradient_norm) * downhill
