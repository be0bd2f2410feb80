"""The loop of all methods that minimise a model as far as it can be trusted.

With a radius it is the trust-region method (Conn, Gould and Toint 2000, Algorithm 6.1.1): with an
L-SR1 matrix, Algorithm 1 of Ramamurthy and Duffy (2017).  With a weight it is adaptive cubic
regularisation (Cartis, Gould and Toint 2011, Algorithm 2.1): with an L-SR1 matrix, ARCs-LSR1
(Ranganath, Singhal and Marcia 2025).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from qnsolve.bounds import Box
from qnsolve.points import is_unbounded, longest_step, says_nothing, stands_still
from qnsolve.questions import Asking, Evaluate
from qnsolve.result import Status
from qnsolve.solvers.along_step import actual_reduction, progress_at_rounding, secant_correction
from qnsolve.solvers.first_step import take_first_step
from qnsolve.solvers.iterate import Iterate
from qnsolve.solvers.metric import Metric, metric_of
from qnsolve.solvers.models import End, NewtonModel, NewtonStep, SecantModel
from qnsolve.solvers.outcome import Outcome
from qnsolve.solvers.reach import Reach
from qnsolve.solvers.run import Run
from qnsolve.solvers.start import CAUTIOUS, FirstReach
from qnsolve.subproblem.box import BoxedStep
from qnsolve.subproblem.model import SubproblemResult

Trial = SubproblemResult | BoxedStep | NewtonStep
"""A step that a model has found."""

FAR_OFF = 1e6
"""Increase of f, in units of the predicted decrease, beyond which a step is not near."""


@dataclass(frozen=True)
class Parts:
    """What tells one method of the loop from another.

    Attributes
    ----------
    model : callable
        ``model(options, metric)`` returns the model.
    reach : callable
        ``reach(options)`` returns what keeps its steps short.
    first_reach : callable
        ``first_reach(n)`` says how far the first step goes where no option does.
    bounded : callable, optional
        ``bounded(options, metric, box)`` returns the model in a box; None: there is none.
    """

    model: Callable[[Any, Metric], SecantModel | NewtonModel]
    reach: Callable[[Any], Reach]
    first_reach: Callable[[int], FirstReach] = lambda n: CAUTIOUS
    bounded: Callable[[Any, Metric, Box], SecantModel] | None = None

    def model_in(self, box: Box | None, options: Any, metric: Metric) -> SecantModel | NewtonModel:
        """Return the model, of steps that stay in the box where there is one."""
        if box is None or self.bounded is None:
            return self.model(options, metric)
        return self.bounded(options, metric, box)


def minimise(parts: Parts, options: Any, run: Run) -> Asking[OptimizeResult]:
    """Run a method; x and jac of the result are flat.

    Parameters
    ----------
    parts : Parts
    options : TrustRegionOptions, CubicOptions or NewtonOptions
    run : Run

    Notes
    -----
    One evaluation of f and g an iteration, and for a Newton model some products with the Hessian.
    """
    metric = metric_of(options.norm, run.space)
    reach = parts.reach(options)
    model = parts.model_in(run.box, options, metric)
    start = yield from run.start(model.at_point)
    if not start.finite:
        nothing = {"n_pairs": 0, reach.word: np.nan, **model.report(start.x, start.g)}
        return run.result(Status.NON_FINITE_START, start.x, start.f, start.g, **nothing)
    at = Iterate(start.x, start.f, start.f, model)
    model.stand_at(start)
    del start  # the iterate owns x and g from here: a name kept would keep a vector of length n
    first_reach = parts.first_reach(run.space.size)
    begin(at, reach, first_reach)
    if run.warm is not None:
        model.take_over(run.warm)
        reach.take_over(run.warm)
    run.keeps(at=at, reach=reach)

    status = run.before_step(model)
    cold = run.nit == 0 and not model.n_pairs
    if status is None and cold and options.first_step is not None:
        with run.iteration():
            outcome = yield from take_first_step(at, options.first_step, run)
            reach.follow(outcome)
            status = close(at, reach, outcome, run)
    while status is None:
        with run.iteration():
            status = yield from iterate(at, reach, options, run)
        if status is not None:
            status = run.ended(status, model)
            if run.restart(status, at.f, model):
                begin(at, reach, first_reach)
                status = None
    size = {"n_pairs": model.n_pairs, reach.word: reach.size}
    size |= model.report(at.x, model.gradient)
    return run.result(status, at.x, at.f, model.gradient, **size)


def begin(at: Iterate, reach: Reach, first_reach: FirstReach) -> None:
    """Start from the iterate, in place, without pairs and with a reach as of a first step."""
    model = at.model
    length = model.first_length(at.x, at.f, first_reach)
    reach.begin(length, model.free_norm, longest_step(model.space, model.point_norm))
    model.begin(reach.first_length)


def iterate(at: Iterate, reach: Reach, options: Any, run: Run) -> Asking[Status | None]:
    """Do one iteration from `at` within `reach`, in place; return why the run is over, or None.

    Notes
    -----
    Vectors of length n beside the pairs: x, g, step, its end, the copy of it that the callable
    gets, the gradient there, and y.  All but x and g are gone on return.
    """
    model, space, slopes = at.model, run.space, run.stopping.slopes
    if reach.exhausted:
        return Status.STEP_TOO_SMALL
    # 1. Minimiser of the model within reach.
    trial = yield from model.minimise(reach, at.x)
    if not trial.decrease > 0.0:
        return Status.NO_MODEL_DECREASE
    if is_too_small(at, trial, options.xtol):
        return Status.STEP_TOO_SMALL
    if run.stopping.at_the_floor(model.largest_slope, trial.decrease):
        return Status.AS_FAR_AS_KNOWN
    # 2. f and g at its end.
    x_new = model.reached(at.x, trial)
    end = model.end(x_new, trial)
    if x_new is not None:
        end.answered((yield Evaluate(x_new, end.request)))
    run.changing()
    model.tried(trial)
    # 3. Ratio of the actual to the predicted reduction.
    kinks = slopes.kinks.near
    outcome = judge(at, trial, end, options.accept, space.eps, kinks)
    if outcome.status is Status.UNBOUNDED:
        at.fall_to(end)
    elif outcome.finite:
        slopes.add(at.f, end.f, trial.slope, end.slope, trial.length)
        # 4. Secant pair, from a rejected trial too: it says why the model was wrong.
        near = options.store_rejected == "near" and outcome.ratio > -FAR_OFF
        offered = outcome.accepted or near or options.store_rejected is True
        theta = 0.0
        if options.modified_secant and not kinks:  # else the cubic is none of f
            theta = secant_correction(trial.slope, end.slope, outcome.reduction, at.f)
        run.saw_pair(model.learn(end, offer=offered, move=outcome.accepted, theta=theta))
        # 5. Move.
        if outcome.accepted:
            at.x, at.f = end.x, end.f
    # 6. Reach.
    reach.adapt(outcome, trial)
    # 7. Stop?
    return close(at, reach, outcome, run)


def is_too_small(at: Iterate, trial: Trial, xtol: float) -> bool:
    """Tell whether a trial step moves no component of x, or nothing that f could show."""
    model = at.model
    if trial.length > xtol * model.point_norm:
        return False
    return says_nothing(at.f, trial.slope, trial.decrease, model.space.eps) or stands_still(
        model.space, at.x, model.point_norm, trial.step, trial.length, xtol
    )


def judge(at: Iterate, trial: Trial, end: End, accept: float, eps: float, kinks: bool) -> Outcome:
    """Return what a trial step was worth."""
    of_trial = trial.longest_block, trial.length, trial.slope, trial.decrease
    if is_unbounded(end.f, at.f_start):
        return Outcome(*of_trial, accepted=True, kinks=kinks, status=Status.UNBOUNDED)
    if not end.finite:
        return Outcome(*of_trial, finite=False, kinks=kinks)
    reduction = actual_reduction(at.f, end.f, trial.slope, end.slope, eps)
    ratio = reduction / trial.decrease
    accepted = ratio > accept or progress_at_rounding(
        at.f, end.f, at.model.gradient_norm, end.gradient_norm, eps
    )
    return Outcome(*of_trial, end.slope, reduction, ratio, accepted=accepted, kinks=kinks)


def close(at: Iterate, reach: Reach, outcome: Outcome, run: Run) -> Status | None:
    """Report the iteration and return why the run is over, or None."""
    model = at.model

    def record() -> dict[str, float]:
        sizes = {"gnorm": model.largest_slope, reach.word: reach.size}
        return {**sizes, "ratio": outcome.ratio, "n_pairs": model.n_pairs}

    stopped = run.after_step(at.x, at.f, model, outcome, record)
    if outcome.status is not None:
        return outcome.status
    return run.before_step(model) if stopped is None else stopped
