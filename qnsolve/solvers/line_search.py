"""L-SR1 in inverse form with a line search (Ramamurthy and Duffy 2017, Algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from qnsolve.array import Array
from qnsolve.objective import Objective
from qnsolve.options import LineSearchOptions
from qnsolve.quasi_newton.inverse import InverseLSR1
from qnsolve.quasi_newton.tracking import TrackedGradient
from qnsolve.result import Status
from qnsolve.solvers.common import (
    Run,
    all_finite,
    end_of_step,
    first_gamma,
    is_unbounded,
    starting_radius,
)
from qnsolve.solvers.wolfe import Trial, strong_wolfe


def minimize_line_search(
    objective: Objective,
    options: LineSearchOptions,
    callback: Callable[[OptimizeResult], bool] | None,
) -> OptimizeResult:
    """Run the L-SR1 line-search method; x and jac of the result are flat.

    Parameters
    ----------
    objective : Objective
    options : LineSearchOptions
    callback : callable or None
        Takes an OptimizeResult after each iteration and returns True to stop.

    Notes
    -----
    One evaluation of f and g for each step length that is tried.  The result has `n_modified`, the
    number of iterations with another direction than -Hg, and `restarts`, of those in which the
    search failed and the memory was emptied.
    """
    space = objective.space
    run = Run(objective, options, callback)
    x, f, g = run.start()
    g_norm, x_norm = space.norm(g), space.norm(x)
    if not all_finite(f, g_norm):
        return run.result(Status.NON_FINITE_START, x, f, g, n_pairs=0, n_modified=0)
    # No pairs yet: with this gamma the first direction has the length of the first step.
    H = InverseLSR1(
        space.size,
        memory=options.memory,
        gamma=options.gamma,
        initial_gamma=first_gamma(
            g_norm, options.initial_step or starting_radius(x_norm, f, g_norm)
        ),
        like=space,
    )
    at = Iterate(x, f, f, TrackedGradient.of(g, H.pairs), x_norm)
    del x, g  # the iterate owns them from here: a name kept would keep a vector of length n
    run.keeps(at=at, matrix=H)

    status = run.before_step(space.norm_inf(at.gradient.vector))
    while status is None:
        with run.iteration():
            status = iterate(at, H, objective, options, run)
    return run.result(
        status,
        at.x,
        at.f,
        at.gradient.vector,
        n_pairs=H.n_pairs,
        n_modified=at.n_modified,
    )


@dataclass
class Iterate:
    """The current point with its value and gradient, the last step length, and a count."""

    x: Array
    f: float
    f_start: float
    gradient: TrackedGradient
    x_norm: float
    last_t: float | None = None
    n_modified: int = 0

    def snapshot(self) -> dict[str, Any]:
        """Return the state, for :meth:`restore`."""
        return {
            **{"x": self.x, "f": self.f, "g": self.gradient.vector, "f_start": self.f_start},
            "tracked": self.gradient.snapshot(),
            "last_t": self.last_t,
            "n_modified": self.n_modified,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to the state of an iterate with the same x, f and g."""
        self.f_start = state["f_start"]
        self.gradient.restore(state["tracked"])
        self.last_t, self.n_modified = state["last_t"], state["n_modified"]


def iterate(
    at: Iterate, H: InverseLSR1, objective: Objective, options: LineSearchOptions, run: Run
) -> Status | None:
    """Do one iteration from `at`, in place, and return why the run is over, or None.

    Notes
    -----
    Vectors of length n, beside the rows of H: x, g, direction, and point and gradient of two
    trials.  All but x and g are gone on return.
    """
    space = objective.space

    # 1. Direction.
    direction = H.descent_direction(at.gradient, keep=options.modify == "ascent")
    if not direction.length > options.xtol * at.x_norm:
        return Status.STEP_TOO_SMALL
    if not direction.slope < 0.0:  # g'g is below the smallest number
        return Status.LINE_SEARCH_FAILED

    # 2. Step length.
    def line(t: float) -> Trial:
        x = end_of_step(space, at.x, direction.vector, t * direction.length, t)
        if x is None:
            return Trial(t, np.nan, np.nan)
        f, g = objective(x, wanted=lambda g: at.gradient.wanted_at(x, g, direction.vector))
        unbounded = is_unbounded(f, at.f_start)
        finite = g is not None and all_finite(f, space.norm_inf(g))
        slope = space.dot(g, direction.vector) if finite else np.nan
        run.slopes.add(at.f, f, t * direction.slope, t * slope)
        return Trial(t, f, slope, x, g, unbounded)

    trial = strong_wolfe(
        line,
        Trial(0.0, at.f, direction.slope),
        first_step(at.last_t, direction.length, options),
        decrease=options.decrease,
        curvature=options.curvature,
        shortest=options.xtol * at.x_norm / direction.length,
        eps=space.eps,
    )
    run.changing()
    at.n_modified += direction.modified
    status: Status | None = None
    if trial is None:
        # Without pairs there is nothing left to try but a shorter step, and that has been tried.
        if not H.n_pairs:
            return Status.LINE_SEARCH_FAILED
        radius = starting_radius(at.x_norm, at.f, at.gradient.norm)
        H.reset(first_gamma(at.gradient.norm, radius))
        at.gradient = TrackedGradient.of(at.gradient.vector, H.pairs)
        at.last_t = None
        run.restarts += 1
    elif trial.unbounded:
        status = Status.UNBOUNDED
        at.x, at.f = trial.x, trial.f
        vector = trial.g if trial.g is not None else space.zeros(space.length) + np.nan
        at.gradient = TrackedGradient.of(vector, H.pairs)
    else:
        # 3. Secant pair.
        step = trial.t * direction.vector
        space.gather(at.gradient.wanted(trial.g, step))
        new, y, y_products = at.gradient.change_to(trial.g, space.norm(trial.g))
        stored = H.update(step, y, y_products=y_products).stored
        run.skipped += not stored
        # 4. Move.
        at.x, at.f, at.gradient, at.x_norm = trial.x, trial.f, new, space.norm(trial.x)
        at.last_t = trial.t
        if stored:
            at.gradient.account_for_newest((step, y))

    # 5. Stop?
    g_norm_inf = space.norm_inf(at.gradient.vector)
    record = {
        "gnorm": g_norm_inf,
        "step_length": 0.0 if trial is None else trial.t,
        "modified": direction.modified,
        "n_pairs": H.n_pairs,
    }
    stopped = run.after_step(at.x, at.f, at.gradient.vector, trial is not None, record)
    if status is None:
        status = stopped
    return run.before_step(g_norm_inf) if status is None else status


def first_step(last_t: float | None, length: float, options: LineSearchOptions) -> float:
    """Return the step length to try first: 1, or what `options` says instead."""
    if last_t is None:
        return options.initial_step / length if options.initial_step else 1.0
    return min(1.0, 2.0 * last_t) if options.first_trial == "previous" else 1.0
