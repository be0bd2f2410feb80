"""What every outer loop needs: budgets, stopping, reductions near rounding, interpolation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import OptimizeResult

from qnsolve.array import Array, VectorSpace
from qnsolve.objective import Objective
from qnsolve.options import SolverOptions
from qnsolve.result import Status, make_result
from qnsolve.solvers.checkpoint import Checkpoint, Stateful
from qnsolve.solvers.slopes import SlopeCheck

MAX_STALLED = 60
"""Iterations in which neither f nor the gradient falls noticeably after which a run is over."""

NOTICEABLE_F, NOTICEABLE = 1e4, 1e-3
"""By how much one of them has to fall: f in units of eps |f|, the gradient relative to itself."""

UNBOUNDED_GROWTH = 1e30
"""A decrease below -UNBOUNDED_GROWTH * max(1, |f0|) is taken for minus infinity."""

ROUNDING_OF_F = 10.0
"""Differences of f within ROUNDING_OF_F * eps * |f| say nothing about the step."""

ROUNDING_ACCEPT = 100.0
"""Differences of f that are let pass, in the same unit, where the gradient shrinks."""

VALUE_NOISE = 1e-9
"""Differences of f within VALUE_NOISE * |f| are not asked for a third derivative."""

SURELY_FINITE = 1e15
"""Length of a step, and factor of it, that make no finite x infinite: far below the spacing of
numbers there."""

GRADIENT_PROGRESS = 0.9
"""Factor by which the gradient must shrink for such a step."""


class Run:
    """One run of a solver: its counts, its history, and the question whether it is over.

    Parameters
    ----------
    objective : Objective
    options : SolverOptions
    callback : callable or None
        As made by :func:`qnsolve.callback.wrap_callback`.
    """

    def __init__(
        self,
        objective: Objective,
        options: SolverOptions,
        callback: Callable[[OptimizeResult], bool] | None,
    ) -> None:
        self.objective = objective
        self.options = options
        self.nit = 0
        self.skipped = 0
        self.restarts = 0
        self.slopes = SlopeCheck(objective.space.eps)
        self._callback = callback
        self._deadline = None if options.maxtime is None else time.monotonic() + options.maxtime
        self._stalled = 0
        self._f, self._fall = math.inf, 0.0
        self._lowest_f = self._smallest_g = math.inf
        self._restart_f = self._restart_g = math.inf
        self._history: list[dict[str, float]] = []
        path = options.checkpoint
        self._checkpoint = None if path is None else Checkpoint(path, objective, options)

    def start(self) -> tuple[Array, float, Array]:
        """Return x, f and g to begin with: those at x0, or those of the checkpoint."""
        if self._checkpoint is not None and self._checkpoint.saved is not None:
            at = self._checkpoint.saved["state"]["at"]
            return at["x"], at["f"], at["g"]
        x0 = self.objective.x0
        f, g = self.objective(x0, at_start=True)
        self._f = f
        return x0, f, g

    def keeps(self, counters: Mapping[str, Stateful] | None = None, **owners: Stateful) -> None:
        """Say what the state of the loop consists of; put it into that of the checkpoint, if any.

        Parameters
        ----------
        counters : mapping
            Parts that change while a trial is evaluated, beside the counts of this run.
        **owners
            All other parts, `at` among them: the iterate.
        """
        if self._checkpoint is not None:
            counters = {"run": self, "objective": self.objective, **(counters or {})}
            self._checkpoint.watch(owners, counters)

    def iteration(self) -> AbstractContextManager[None]:
        """Return the context of an iteration, in which no exception loses what was computed."""
        return nullcontext() if self._checkpoint is None else self._checkpoint.iteration()

    def changing(self) -> None:
        """Say that the state is none to go on from until :meth:`after_step`."""
        if self._checkpoint is not None:
            self._checkpoint.changing()

    def snapshot(self) -> dict[str, Any]:
        """Return the counts and the history, for :meth:`restore`."""
        counts = {name: getattr(self, name) for name in COUNTS}
        return {**counts, "slopes": self.slopes.snapshot()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the counts and the history of another run."""
        for name in COUNTS:
            setattr(self, name, state[name])
        self.slopes.restore(state["slopes"])

    def before_step(self, g_norm_inf: float) -> Status | None:
        """Return why no further step is to be taken, or None."""
        options = self.options
        if g_norm_inf <= options.gtol:
            return Status.GTOL
        if 0.0 < self._fall <= options.ftol * abs(self._f):
            return Status.FTOL
        if self.nit >= options.maxiter:
            return Status.MAXITER
        if options.maxfev is not None and self.objective.nfev >= options.maxfev:
            return Status.MAXFEV
        if self._deadline is not None:
            # The clocks of several ranks differ; what they do must not.
            late = self.objective.space.any(time.monotonic() >= self._deadline)
            if late:
                return Status.MAXTIME
        if self.slopes.hopeless:
            return Status.WRONG_GRADIENT
        return Status.STEP_TOO_SMALL if self._stalled >= MAX_STALLED else None

    def after_step(
        self, x: Array, f: float, g: Array, accepted: bool, record: dict[str, Any]
    ) -> Status | None:
        """Count the iteration, record it, and return why the callback ends the run, or None."""
        self.nit += 1
        self._f, self._fall = f, self._f - f
        # A step may be accepted on its slopes where f has no digits left, or on the last digit of
        # f; not for ever.
        lower = is_lower(f, self._lowest_f, NOTICEABLE_F * self.objective.space.eps)
        smaller = is_lower(record["gnorm"], self._smallest_g, NOTICEABLE)
        self._stalled = 0 if lower or smaller else self._stalled + 1
        self._lowest_f = f if lower else self._lowest_f
        self._smallest_g = record["gnorm"] if smaller else self._smallest_g
        if self.options.history:
            self._history.append({**self._counts(), "fun": f, "accepted": accepted, **record})
        if self._checkpoint is not None and all_finite(f, record["gnorm"]):
            self._checkpoint.note()
        if self._callback is None:
            return None
        shaped = self.objective.shaped
        intermediate = OptimizeResult(x=shaped(x), fun=f, jac=shaped(g), **self._counts(), **record)
        return Status.CALLBACK_STOP if self._callback(intermediate) else None

    def restart(self, status: Status | None, f: float, g_norm: float, n_pairs: int) -> bool:
        """Tell whether a run that is stuck shall forget its pairs and go on.

        Old pairs may be why no step is left.  It shall if it has any, and has come further since it
        last did so than rounding explains, or noticeably so where the gradient is in doubt.
        """
        if status not in STUCK or not n_pairs:
            return False
        rounding = ROUNDING_ACCEPT * self.objective.space.eps
        tolerance = NOTICEABLE if self.slopes.doubtful else rounding
        lower = is_lower(f, self._restart_f, tolerance)
        if not (lower or g_norm <= GRADIENT_PROGRESS * self._restart_g):
            return False
        self.changing()
        self._restart_f, self._restart_g = f, g_norm
        self.restarts += 1
        self._stalled = 0
        return True

    def result(self, status: Status, x: Array, f: float, g: Array, **fields: Any) -> OptimizeResult:
        """Return the result of the run."""
        if self._checkpoint is not None and status in TO_BE_CONTINUED:
            self._checkpoint.write()
        if self.options.history:
            fields["history"] = self._history
        result = make_result(
            status,
            x=x,
            fun=f,
            jac=g,
            skipped=self.skipped,
            restarts=self.restarts,
            **self._counts(),
            **fields,
        )
        if self.slopes.doubtful and status is not Status.WRONG_GRADIENT:
            result.message += f" {DOUBT}"
        return result

    def _counts(self) -> dict[str, int]:
        return {"nit": self.nit, "nfev": self.objective.nfev, "njev": self.objective.njev}


DOUBT = (
    "Along the last steps fun did not change as its gradient says; "
    "verify.check_grad tells whether the gradient is right."
)
"""What the message of a run ends with where that is so."""

COUNTS = (
    *("nit", "skipped", "restarts", "_f", "_fall", "_stalled", "_lowest_f", "_smallest_g"),
    *("_restart_f", "_restart_g", "_history"),
)
"""Attributes of a run that a checkpoint holds."""

TO_BE_CONTINUED = (
    *(Status.GTOL, Status.FTOL),
    *(Status.MAXITER, Status.MAXFEV, Status.MAXTIME, Status.CALLBACK_STOP),
)
"""Ends of a run beyond which it would go on if it were asked for more."""

STUCK = (Status.STEP_TOO_SMALL, Status.NO_MODEL_DECREASE)
"""Ends of a run that other pairs might have avoided."""


def is_lower(f: float, reference: float, tolerance: float) -> bool:
    """Tell whether `f` is below `reference` by more than `tolerance`, relative to the latter."""
    return f < reference - tolerance * abs(reference) if math.isfinite(reference) else True


def is_unbounded(f: float, f_start: float) -> bool:
    """Tell whether `f` is so far below `f_start` that there is no minimum to be expected."""
    return f < -UNBOUNDED_GROWTH * max(1.0, abs(f_start))


def actual_reduction(f: float, f_new: float, slope: float, slope_new: float, eps: float) -> float:
    """Return f - f_new, or its estimate from the slopes where the difference is rounding error.

    The trapezoidal rule on the derivative along the step, ``-(g's + g_new's) / 2``, keeps its
    digits where f has none left.
    """
    if abs(f - f_new) <= ROUNDING_OF_F * eps * abs(f):
        return -0.5 * (slope + slope_new)
    return f - f_new


def progress_at_rounding(
    f: float, f_new: float, g_norm: float, g_norm_new: float, eps: float
) -> bool:
    """Tell whether f is unchanged to rounding while the gradient has become clearly smaller."""
    same = abs(f_new - f) <= ROUNDING_ACCEPT * eps * abs(f)
    return same and g_norm_new <= GRADIENT_PROGRESS * g_norm


def secant_correction(slope: float, slope_new: float, reduction: float, f: float) -> float:
    """Return theta by which s'y is to grow so that it is the curvature at the end of the step.

    With the cubic through values and slopes at both ends, the second derivative at the end is
    ``s'y + theta``, ``theta = 6 (f - f_new) + 3 (g + g_new)'s``, kept within -0.9 and 1 times
    |s'y|.  0 where the difference of values has too few digits.

    References
    ----------
    J. Z. Zhang, N. Y. Deng, L. H. Chen, "New quasi-Newton equation and related methods for
    unconstrained optimization", J. Optim. Theory Appl. 102 (1999), eq. 2.6.
    """
    if not abs(reduction) > VALUE_NOISE * abs(f):
        return 0.0
    size = abs(slope_new - slope)
    return min(max(6.0 * reduction + 3.0 * (slope + slope_new), -0.9 * size), size)


def hermite_minimiser(slope: float, slope_new: float, reduction: float) -> float:
    """Return the minimiser t of the cubic through both ends of a step; NaN if there is none.

    The cubic has derivative `slope` at t = 0, `slope_new` at t = 1 and falls by `reduction`
    (Nocedal and Wright 2006, eq. 3.59).
    """
    d1 = slope + slope_new + 3.0 * reduction
    discriminant = d1 * d1 - slope * slope_new
    if not discriminant >= 0.0:
        return math.nan
    d2 = math.sqrt(discriminant)
    denominator = slope_new - slope + 2.0 * d2
    return 1.0 - (slope_new + d2 - d1) / denominator if denominator else math.nan


class Reach(NamedTuple):
    """How far a first step may go: in lengths of x0, and of the way to f = 0 by a linear model."""

    of_x: float = 1.0
    of_fall: float = 2.0


CAUTIOUS = Reach()


def starting_radius(x_norm: float, f: float, g_norm: float, reach: Reach = CAUTIOUS) -> float:
    """Return a first radius with the unit of x.

    A linear model of f reaches 0 at |f| / |g|; twice that is as far as a function that is bounded
    below by 0 is likely to fall along -g.
    """
    by_size = reach.of_x * max(1.0, x_norm) if math.isfinite(x_norm) else 1.0
    by_value = reach.of_fall * (abs(f) / g_norm) if g_norm else 0.0
    return min(by_size, by_value) if by_value > 0.0 else by_size


def first_gamma(g_norm: float, length: float) -> float:
    """Return the gamma with which the minimiser of the first model has the length asked for."""
    gamma = g_norm / length if length else math.inf
    # The inverse form starts from 1 / gamma.
    return gamma if 0.0 < gamma < math.inf and 1.0 / gamma < math.inf else 1.0


def end_of_step(
    space: VectorSpace, x: Array, step: Array, length: float, t: float = 1.0
) -> Array | None:
    """Return x + t step, or None where that would be infinite; its length is `length`."""
    with np.errstate(over="ignore", invalid="ignore"):
        x_new = x + (step if t == 1.0 else t * step)
    # A factor may be too large for the dtype of a step that is all the shorter.
    if not max(length, t) <= SURELY_FINITE and not math.isfinite(space.norm_inf(x_new)):
        return None
    return x_new


def all_finite(f: float, g_norm: float) -> bool:
    """Tell whether a value and the norm of its gradient are finite."""
    return math.isfinite(f) and math.isfinite(g_norm)
