"""L-SR1 in inverse form with a line search (Ramamurthy and Duffy 2017, Algorithm 2)."""

from __future__ import annotations

import math
from functools import partial

from scipy.optimize import OptimizeResult

from qnsolve.arrays import Array
from qnsolve.options import LineSearchOptions
from qnsolve.points import end_of_step, is_unbounded, longest_step, stands_still
from qnsolve.quasi_newton.inverse import Direction, InverseLSR1
from qnsolve.quasi_newton.tracking import GradientChange, TrackedGradient
from qnsolve.questions import Asking, Evaluate, relay
from qnsolve.result import Status
from qnsolve.solvers.iterate import Iterate
from qnsolve.solvers.metric import EuclideanNorm
from qnsolve.solvers.models import End, Model
from qnsolve.solvers.outcome import Outcome
from qnsolve.solvers.run import Run
from qnsolve.solvers.start import first_gamma, starting_radius
from qnsolve.solvers.wolfe import LinePoint, strong_wolfe
from qnsolve.state import Saved

SHORT = 0.2
"""A bracket shorter than this part of -Hg is not refined where the error of g is all there is."""


class LineModel(Model):
    """The inverse matrix H at an iterate, and what the last search has found.

    Parameters
    ----------
    metric : EuclideanNorm
    options : LineSearchOptions
    """

    matrix: Saved[InverseLSR1]
    _tracked: Saved[TrackedGradient]
    last_t: Saved[float | None]
    n_modified: Saved[int]

    def __init__(self, metric: EuclideanNorm, options: LineSearchOptions) -> None:
        super().__init__(metric)
        self._options = options
        self.last_t, self.n_modified = None, 0
        self.matrix = InverseLSR1(
            self.space.size, memory=options.memory, gamma=options.gamma, like=self.space
        )

    @property
    def n_pairs(self) -> int:
        return self.matrix.n_pairs

    def begin(self, length: float) -> None:
        """Start without pairs, with a gamma that gives the first direction this length."""
        self.matrix.reset(first_gamma(self.gradient_norm, length))
        self._tracked = TrackedGradient.of(self.gradient, self.matrix.pairs, self.gradient_norm)
        self.last_t = None

    def direction(self) -> Direction:
        """Return a direction of descent."""
        keep = self._options.modify == "ascent"
        return self.matrix.descent_direction(self._tracked, keep=keep)

    def end_of(self, x: Array | None, direction: Direction) -> End:
        """Return a point on the line along `direction`, to be asked for."""
        return End(x, self.metric, direction.vector)

    def learn(self, found: LinePoint, direction: Direction) -> bool:
        """Move to what the search has found; return whether its pair was stored."""
        step = found.t * direction.vector
        change = GradientChange(self._tracked, step, None)
        numbers = self.space.reduce(change.request(found.end.g))
        change.read(numbers, found.end.gradient_norm)
        stored = self.matrix.update(step, change.y, products=change.pair).stored
        self.stand_at(found.end)
        self._tracked, self.last_t = change.end, found.t
        if stored:
            change.account(self._tracked)
        return stored


def minimise_on_lines(options: LineSearchOptions, run: Run) -> Asking[OptimizeResult]:
    """Run the L-SR1 line-search method; x and jac of the result are flat.

    Parameters
    ----------
    options : LineSearchOptions
    run : Run

    Notes
    -----
    One evaluation of f and g for each step length that is tried.  The result has `n_modified`, the
    number of iterations with another direction than -Hg, and `restarts`, of those in which the
    search failed and the memory was emptied.
    """
    metric = EuclideanNorm(run.space)
    start = yield from run.start(partial(End, metric=metric))
    if not start.finite:
        nothing = {"n_pairs": 0, "n_modified": 0}
        return run.result(Status.NON_FINITE_START, start.x, start.f, start.g, **nothing)
    at = Iterate(start.x, start.f, start.f, LineModel(metric, options))
    at.model.stand_at(start)
    del start  # the iterate owns x and g from here: a name kept would keep a vector of length n
    at.model.begin(
        min(options.initial_step or _first_length(at), longest_step(run.space, at.model.point_norm))
    )
    run.keeps(at=at)

    status = run.before_step(at.model)
    while status is None:
        with run.iteration():
            status = yield from iterate(at, options, run)
        status = run.ended(status, at.model)
    counts = {"n_pairs": at.model.n_pairs, "n_modified": at.model.n_modified}
    return run.result(status, at.x, at.f, at.model.gradient, **counts)


def iterate(at: Iterate, options: LineSearchOptions, run: Run) -> Asking[Status | None]:
    """Do one iteration from `at`, in place, and return why the run is over, or None.

    Notes
    -----
    Vectors of length n, beside the rows of H: x, g, direction, and point and gradient of two
    trials.  All but x and g are gone on return.
    """
    model: LineModel = at.model
    # 1. Direction.
    direction = model.direction()
    still = partial(
        stands_still,
        *(run.space, at.x, model.point_norm),
        *(direction.vector, direction.length, options.xtol),
    )
    if still(1.0) or not direction.length > 0.0:
        return Status.STEP_TOO_SMALL
    if not direction.slope < 0.0:  # g'g is below the smallest number
        return Status.LINE_SEARCH_FAILED
    if run.stopping.at_the_floor(model.largest_slope, -0.5 * direction.slope):
        return Status.AS_FAR_AS_KNOWN
    in_vain = run.stopping.in_vain(-0.5 * direction.slope)
    # 2. Step length.
    search = strong_wolfe(
        LinePoint(0.0, at.f, direction.slope),
        first_trial(
            model.last_t, direction.length, options, longest_step(run.space, model.point_norm)
        ),
        decrease=options.decrease,
        curvature=options.curvature,
        too_short=lambda width: still(width) or (width < SHORT and in_vain),
        eps=run.space.eps,
    )
    found = yield from relay(search, partial(ask_at, at, direction, run))
    run.changing()
    model.n_modified += direction.modified
    status: Status | None = None
    if found is None:
        if in_vain and run.settled(model):
            return Status.AS_FAR_AS_KNOWN
        # Without pairs there is nothing left to try but a shorter step, and that has been tried.
        if not model.n_pairs:
            return Status.LINE_SEARCH_FAILED
        model.begin(_first_length(at))
        run.restarts += 1
    elif found.unbounded:
        status = Status.UNBOUNDED
        at.fall_to(found.end)
    else:
        # 3. Secant pair.  4. Move.
        run.skipped += not model.learn(found, direction)
        at.x, at.f = found.end.x, found.f

    # 5. Stop?
    def record() -> dict[str, float]:
        return {
            "gnorm": model.largest_slope,
            "step_length": 0.0 if found is None else found.t,
            "modified": direction.modified,
            "n_pairs": model.n_pairs,
        }

    stopped = run.after_step(at.x, at.f, model, worth(direction, found), record)
    status = stopped if status is None else status
    return run.before_step(model) if status is None else status


def worth(direction: Direction, found: LinePoint | None) -> Outcome:
    """Return what a search was worth: to the model, -Hg is a step to its minimiser."""
    t, slope_new = (1.0, math.nan) if found is None else (found.t, found.slope)
    length, slope = t * direction.length, t * direction.slope
    predicted = -0.5 * direction.slope
    return Outcome(length, length, slope, predicted, t * slope_new, accepted=found is not None)


def ask_at(at: Iterate, direction: Direction, run: Run, t: float) -> Asking[LinePoint]:
    """Ask for f and g at x + t direction."""
    x = end_of_step(run.space, at.x, direction.vector, t * direction.length, t)
    end = at.model.end_of(x, direction)
    if x is not None:
        end.answered((yield Evaluate(x, end.request)))
    slope = end.slope if end.finite else math.nan
    run.stopping.slopes.add(at.f, end.f, t * direction.slope, t * slope)
    return LinePoint(t, end.f, slope, end, is_unbounded(end.f, at.f_start))


def first_trial(
    last_t: float | None, length: float, options: LineSearchOptions, longest: float = math.inf
) -> float:
    """Return the step length to try first: 1, or what `options` says instead."""
    if last_t is None:
        return min(options.initial_step, longest) / length if options.initial_step else 1.0
    return min(1.0, 2.0 * last_t) if options.first_trial == "previous" else 1.0


def _first_length(at: Iterate) -> float:
    return starting_radius(at.model.point_norm, at.f, at.model.gradient_norm)
