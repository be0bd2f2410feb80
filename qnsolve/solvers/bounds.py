r"""The model in a box: which variables are free, and what is known of f on them.

Of the variables of x those that are at a bound and would leave the box along -g are held; the
others are free, F.  The step is sought among the free ones, in the box and within the reach of the
method; what is learned from it is learned of all variables.  The gradient is measured by what it
moves: P(x - g) - x, P the projection on the box, is zero where x is stationary and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from qnsolve.arrays import Array, Request
from qnsolve.arrays.libraries import namespace_of
from qnsolve.bounds import Box
from qnsolve.quasi_newton.base import CompactMatrix, UpdateStatus
from qnsolve.quasi_newton.faces import FreeRows
from qnsolve.quasi_newton.pairs import SeenPair
from qnsolve.quasi_newton.spectrum import FAST
from qnsolve.quasi_newton.tracking import GradientChange, TrackedGradient, root
from qnsolve.questions import Answer, Asking
from qnsolve.solvers.metric import Metric
from qnsolve.solvers.models import End, SecantModel
from qnsolve.solvers.reach import Reach
from qnsolve.solvers.start import FirstReach, first_gamma
from qnsolve.state import Saved
from qnsolve.subproblem.box import BoxedModel, BoxedStep
from qnsolve.subproblem.model import SubproblemResult

BEYOND = 1.0 + 1e-6
"""A first step that is to end at a corner aims so far: rounding shall not end it before."""


def free_variables(box: Box, x: Array, g: Array) -> Array:
    """Return where a variable may move from `x` in the direction in which f falls."""
    low, high = x <= box.lower, x >= box.upper
    return ~((low & high) | (low & (g >= 0.0)) | (high & (g <= 0.0)))


def way_of_projection(box: Box, x: Array, g: Array) -> Array:
    """Return P(x - g) - x, with all digits of g where it is small beside x."""
    low, high = box.lower - x, box.upper - x
    where = namespace_of(x).where
    return where(-g < low, low, where(-g > high, high, -g))


class BoxEnd(End):
    """A point of the box at which f and g are asked for.

    Parameters
    ----------
    x, metric, step, change
        As of :class:`End`.
    box : Box
    ends_on_bound : bool
        Whether a variable has been stopped by its bound on the way to `x`.

    Attributes
    ----------
    gradient_norm, largest_slope : float
        ||P(x - g) - x||_2 and the largest entry of P(x - g) - x in modulus.
    whole_norm, free_norm : float
        ||g||, and that of the entries of g that belong to free variables.
    free : array of bool, shape (n,)
    """

    whole_norm = free_norm = math.nan
    free: Any = None

    def __init__(
        self,
        x: Array | None,
        metric: Metric,
        box: Box,
        step: Array | None = None,
        change: GradientChange | None = None,
        *,
        ends_on_bound: bool = False,
    ) -> None:
        super().__init__(x, metric, step, change)
        self._box, self.ends_on_bound = box, ends_on_bound

    @np.errstate(over="ignore", invalid="ignore")
    def request(self, g: Array) -> Request:
        """Return the inner products that are asked for together with f and `g`."""
        wanted, box, x = super().request(g), self._box, self.x
        self.free = free_variables(box, x, g)
        self._moved = moved = way_of_projection(box, x, g)
        self._free_g = free_g = masked(self.free, g)
        dots = (*wanted.dots[:-1], (moved, moved), (free_g, free_g), wanted.dots[-1])
        return Request(dots, wanted.rows, wanted.with_rows, (moved,))

    def answered(self, answer: Answer) -> BoxEnd:
        """Take the answer; return this end."""
        super().answered(answer)
        self.whole_norm = self.gradient_norm
        if answer.numbers is not None and self.finite:
            space, (moved, free, _) = self._metric.space, answer.numbers.dots[-3:]
            self.gradient_norm = root(moved, self._moved, space)
            self.free_norm = root(free, self._free_g, space)
        return self


class BoundedModel(SecantModel):
    """A :class:`SecantModel` whose steps stay in a box.

    Parameters
    ----------
    build : callable
        ``build(gamma)`` returns the empty matrix.
    metric : EuclideanNorm
    box : Box

    Notes
    -----
    The rule for gamma sees of each pair what belongs to the variables that are free where the step
    has led.
    """

    _free_norm: Saved[float]
    _rows: Saved[FreeRows]

    def __init__(self, build: Callable[[float], CompactMatrix], metric: Metric, box: Box) -> None:
        super().__init__(build, metric)
        self._box, self._free_norm = box, math.nan
        self._free: Any = None
        self._rows = FreeRows()
        self._first_gamma: float | None = None

    @property
    def free_norm(self) -> float:
        return self._free_norm

    def at_point(self, x: Array) -> BoxEnd:
        return BoxEnd(x, self.metric, self._box)

    def stand_at(self, end: End) -> None:
        super().stand_at(end)
        assert isinstance(end, BoxEnd)
        self._free_norm = end.free_norm

    def first_length(self, x: Array, f: float, reach: FirstReach) -> float:
        """Return how long the first step from `x` may be, f its value.

        Where f <= 0 its size says nothing of how far it can fall.  The box does, where it ends in
        each direction of descent: at a corner, to which the first step goes.
        """
        self._first_gamma = None
        box, g, xp = self._box, self.gradient, self.space.xp
        corner = xp.where(g > 0.0, box.lower, box.upper) - x
        moving = free_variables(box, x, g) & (g != 0.0)
        way = self.space.norm(masked(moving, corner))
        if f > 0.0 or not 0.0 < way < math.inf:
            return super().first_length(x, f, reach)
        # Whatever the curvature, -g / gamma is at the corner or beyond it in every variable.
        with np.errstate(over="ignore", divide="ignore"):
            times = masked(moving, corner) / xp.where(moving, g, xp.ones_like(g))
        latest = self.space.norm_inf(times)
        self._first_gamma = first_gamma(1.0, BEYOND * latest)
        return BEYOND * way

    def begin(self, length: float) -> None:
        """Start without pairs, from the gamma whose first step has this length, or ends there."""
        gamma = self._first_gamma or first_gamma(self.free_norm, length)
        if self.matrix is None:
            self.matrix = self._build(gamma)
        else:
            self.matrix.reset(gamma)
            self._rows.forget()
        self._tracked = TrackedGradient.of(self.gradient, self.matrix.pairs)

    def minimise(self, reach: Reach, x: Array) -> Asking[SubproblemResult | BoxedStep]:
        """Return a minimiser within reach of the iterate `x` and the box."""
        return reach.minimise(self.boxed(x))
        yield  # asks for nothing

    def boxed(self, x: Array) -> BoxedModel:
        """Return the model of steps from the iterate `x`; valid until the next pair is stored."""
        box, g, space, pairs = self._box, self.gradient, self.space, self.matrix.pairs
        self._free = free = free_variables(box, x, g)
        size = space.count(free)
        lower, upper = box.lower - x, box.upper - x
        if size == space.size:
            self._rows.forget()
            spectrum, products = self.matrix.spectrum(FAST), self._tracked.products
            known = products if spectrum.rows is pairs else None
            return BoxedModel(g, spectrum, lower, upper, free, products=known, norm=self.free_norm)
        lower, upper = masked(free, lower), masked(free, upper)
        spectrum = self.matrix.on_face(free, size, self._rows)
        return BoxedModel(masked(free, g), spectrum, lower, upper, free, norm=self.free_norm)

    def reached(self, x: Array, trial: Any) -> Array | None:
        """Return the end of a trial step from `x`, in the box, exactly on a bound it has met."""
        box, step, xp = self._box, trial.step, self.space.xp
        with np.errstate(over="ignore", invalid="ignore"):
            x_new = box.project(x + step)
            x_new = xp.where(step <= box.lower - x, box.lower, x_new)
            x_new = xp.where(step >= box.upper - x, box.upper, x_new)
        if not math.isfinite(self.space.norm_inf(x_new)):
            return None
        return x_new

    def end(self, x: Array | None, trial: Any) -> BoxEnd:
        """Return the end `x` of a trial step from the iterate, to be asked for."""
        step, box, known = trial.step, self._box, trial.products
        rows = trial.model.spectrum.rows
        of_pairs = rows is self.matrix.pairs or getattr(rows, "base", None) is self.matrix.pairs
        change = GradientChange(self._tracked, step, known if of_pairs else None)
        stopped = x is not None and bool(
            self.space.xp.any((step != 0.0) & ((x <= box.lower) | (x >= box.upper)))
        )
        return BoxEnd(x, self.metric, box, change=change, ends_on_bound=stopped)

    def learn(self, end: End, *, offer: bool, move: bool, theta: float = 0.0) -> bool:
        """Take in the end of a step; return whether its pair was stored.

        Where a bound has cut the step, values and slopes at its ends do not tell the curvature at
        its end: `theta` is left out.
        """
        assert isinstance(end, BoxEnd)
        theta = 0.0 if end.ends_on_bound else theta
        return super().learn(end, offer=offer, move=move, theta=theta)

    def _offer(self, end: End, move: bool) -> UpdateStatus:
        change = end.change
        assert isinstance(end, BoxEnd)
        seen = self._seen(end.free if move else self._free, change.s, change.y)
        status = self.matrix.update(change.s, change.y, products=change.pair, seen=seen)
        if status.stored:
            self._rows.stored(self.matrix.pairs, change.s, change.y)
        return status

    def restored(self) -> None:
        super().restored()
        self._rows.belongs_to(self.matrix.pairs)

    @np.errstate(over="ignore", invalid="ignore")
    def _seen(self, free: Array, s: Array, y: Array) -> SeenPair | None:
        """Return what the rule for gamma sees of a pair: the free variables, if there are any."""
        space = self.space
        size = space.count(free)
        if size in (0, space.size):
            return None
        s, y = masked(free, s), masked(free, y)
        ss, sy, yy = space.reduce(Request(((s, s), (s, y), (y, y)))).dots
        return SeenPair(ss, sy, yy, size)

    def report(self, x: Array, g: Array) -> dict[str, Array]:
        """Return which bounds `x` is on, and their multipliers: the gradient of what is held."""
        xp, box = self.space.xp, self._box
        zero, one = xp.zeros_like(x), xp.ones_like(x)
        low, high = x <= box.lower, x >= box.upper
        active = xp.where(low, -one, xp.where(high, one, zero))
        active = xp.where(low & high & (g < 0.0), one, active)
        return {"active": active, "multipliers": xp.where(free_variables(box, x, g), zero, g)}


def masked(free: Array, v: Array) -> Array:
    """Return v with zeros where `free` is False."""
    xp = namespace_of(v)
    return xp.where(free, v, xp.zeros_like(v))
