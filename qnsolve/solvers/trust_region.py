"""Trust-region minimisation with a limited-memory matrix.

With L-SR1 it is Algorithm 1 of Ramamurthy and Duffy (2017).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import OptimizeResult

from qnsolve.objective import Objective
from qnsolve.options import RadiusOptions, TrustRegionOptions
from qnsolve.result import Status
from qnsolve.solvers.common import CAUTIOUS, Reach, Run, all_finite, first_gamma, starting_radius
from qnsolve.solvers.first_step import take_first_step
from qnsolve.solvers.local_model import LocalModel, metric_of
from qnsolve.solvers.matrices import MatrixFactory
from qnsolve.solvers.radius import RadiusRule, Region, interpolated_radius
from qnsolve.solvers.trial import Iterate, close, named_norm, try_step

NON_FINITE_SHRINK = 0.1
"""Radius after a trial with a value that is not finite, in lengths of that trial."""

AFTER_FIRST_STEP = 2.0
"""Radius after a first step that was not the model's, in l2 lengths of that step."""


def minimize_trust_region(
    objective: Objective,
    options: TrustRegionOptions,
    callback: Callable[[OptimizeResult], bool] | None,
    build_matrix: MatrixFactory,
    *,
    radius_rule: RadiusRule = interpolated_radius,
    reach: Reach = CAUTIOUS,
) -> OptimizeResult:
    """Run the trust-region method on a limited-memory matrix; x and jac of the result are flat.

    Parameters
    ----------
    objective : Objective
    options : TrustRegionOptions
    callback : callable or None
        Takes an OptimizeResult after each iteration and returns True to stop.
    build_matrix : callable
        ``build_matrix(space, options, initial_gamma)``, one of
        :mod:`qnsolve.solvers.matrices`; what tells the methods of this loop apart.
    radius_rule : callable
        Rule for the radius where the options name none (:mod:`qnsolve.solvers.radius`).
    reach : Reach
        How far the first step goes where the options give no radius.

    Notes
    -----
    One evaluation of f and g an iteration.
    """
    space, metric = objective.space, metric_of(options.norm, objective.space)
    run = Run(objective, options, callback)
    x, f, g = run.start()
    g_norm = metric.dual_norm(g)
    if not all_finite(f, g_norm):
        return run.result(Status.NON_FINITE_START, x, f, g, n_pairs=0, radius=np.nan)
    rule = options.radius_rule or radius_rule
    region = Region(first_radius(options, metric.norm(x), f, g_norm, reach))
    B = (options.matrix or build_matrix)(space, options, first_gamma(g_norm, region.radius))
    at = Iterate(x, f, f, LocalModel(g, B, metric))
    del x, g  # the iterate owns them from here: a name kept would keep a vector of length n
    run.keeps(at=at, region=region)

    status = run.before_step(space.norm_inf(at.model.gradient))
    if status is None and run.nit == 0 and options.first_step is not None:
        with run.iteration():
            outcome = take_first_step(at, options.first_step, objective, run)
            if outcome.accepted:
                region.radius = min(AFTER_FIRST_STEP * outcome.length_2, options.max_radius)
            status = close(at, outcome, objective, run, radius=region.radius)
    while status is None:
        with run.iteration():
            status = iterate(at, region, rule, objective, options, run)
        if run.restart(status, at.f, at.model.gradient_norm, B.n_pairs):
            status, region.radius = None, restarted(at, reach, options)
    size = {"n_pairs": B.n_pairs, "radius": region.radius}
    return run.result(status, at.x, at.f, at.model.gradient, **size)


def first_radius(
    options: RadiusOptions, x_norm: float, f: float, g_norm: float, reach: Reach = CAUTIOUS
) -> float:
    """Return the radius of the first region."""
    if isinstance(options.initial_radius, str):  # "gradient"
        return min(g_norm or 1.0, options.max_radius)
    return options.initial_radius or starting_radius(x_norm, f, g_norm, reach)


def restarted(at: Iterate[LocalModel], reach: Reach, options: RadiusOptions) -> float:
    """Forget all pairs, in place, and return a radius as of a first region."""
    g_norm = at.model.gradient_norm
    radius = starting_radius(at.model.metric.norm(at.x), at.f, g_norm, reach)
    radius = min(radius, options.max_radius)
    at.model.forget(first_gamma(g_norm, radius))
    return radius


def iterate(
    at: Iterate[LocalModel],
    region: Region,
    rule: RadiusRule,
    objective: Objective,
    options: TrustRegionOptions,
    run: Run,
) -> Status | None:
    """Do one iteration from `at` and `region`, in place; return why the run is over, or None."""
    if not region.radius > 0.0:  # it has shrunk below the smallest number
        return Status.STEP_TOO_SMALL
    # 1. Minimiser of the model in the region.
    trial = at.model.quadratic().trust_region(region.radius, named_norm(options.norm))
    if not trial.decrease > 0.0:
        return Status.NO_MODEL_DECREASE
    if trial.length <= options.xtol * at.model.metric.norm(at.x):
        return Status.STEP_TOO_SMALL
    # 2. Evaluate f and g there; ratio of actual to predicted reduction; secant pair; move.
    outcome = try_step(at, trial, objective, options, run)
    # 3. Radius.
    if outcome.finite:
        region.radius = min(rule(region.radius, outcome, options), options.max_radius)
    else:
        region.radius = NON_FINITE_SHRINK * outcome.length
    # 4. Stop?
    return close(at, outcome, objective, run, radius=region.radius)
