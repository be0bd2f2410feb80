"""Trust-region minimisation with a limited-memory matrix.

With L-SR1 it is Algorithm 1 of Ramamurthy and Duffy (2017).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeResult

from qnsolve.array import Array
from qnsolve.objective import Objective
from qnsolve.options import TrustRegionOptions
from qnsolve.quasi_newton.base import CompactMatrix
from qnsolve.quasi_newton.spectrum import FAST
from qnsolve.quasi_newton.tracking import TrackedGradient
from qnsolve.result import Status
from qnsolve.solvers.common import (
    Run,
    actual_reduction,
    all_finite,
    hermite_minimiser,
    is_unbounded,
    progress_at_rounding,
    starting_radius,
)
from qnsolve.solvers.matrices import MatrixFactory
from qnsolve.subproblem.model import QuadraticModel

LONG_STEP = 0.8
"""Part of the radius that a step must have used for the radius to grow (Algorithm 1)."""

NON_FINITE_SHRINK = 0.1
"""Radius after a trial with a value that is not finite, in lengths of that trial."""


def minimize_trust_region(
    objective: Objective,
    options: TrustRegionOptions,
    callback: Callable | None,
    build_matrix: MatrixFactory,
) -> OptimizeResult:
    """Run the trust-region method on a limited-memory matrix; x and jac of the result are flat.

    Parameters
    ----------
    objective : Objective
    options : TrustRegionOptions
    callback : callable or None
        Takes an OptimizeResult after each iteration and returns True to stop.
    build_matrix : callable
        ``build_matrix(gradient, options, initial_gamma)``, one of
        :mod:`qnsolve.solvers.matrices`; what tells the methods of this loop apart.

    Notes
    -----
    One evaluation of f and g an iteration.
    """
    space = objective.space
    run = Run(objective, options, callback)
    f, g = objective(objective.x0, at_start=True)
    g_norm, x_norm = space.norm(g), space.norm(objective.x0)
    if not all_finite(f, g_norm):
        return run.result(
            Status.NON_FINITE_START, objective.x0, f, g, n_pairs=0, radius=options.initial_radius
        )
    radius = options.initial_radius or starting_radius(x_norm, f, g_norm)
    # No pairs yet: with this gamma the first step has the length of the radius.
    gamma = g_norm / radius
    gamma = gamma if 0.0 < gamma < np.inf else 1.0
    B = build_matrix(g, options, gamma)
    at = Iterate(objective.x0, f, f, TrackedGradient.of(g, B.pairs), x_norm, radius)
    del g  # the iterate owns it from here: a name kept would keep a vector of length n

    status = run.before_step(space.norm_inf(at.gradient.vector))
    while status is None:
        status = iterate(at, B, objective, options, run)
    return run.result(status, at.x, at.f, at.gradient.vector, n_pairs=B.n_pairs, radius=at.radius)


@dataclass
class Iterate:
    """The current point, its value and gradient, and the radius of the region around it."""

    x: Array
    f: float
    f_start: float
    gradient: TrackedGradient
    x_norm: float
    radius: float


def iterate(
    at: Iterate, B: CompactMatrix, objective: Objective, options: TrustRegionOptions, run: Run
) -> Status | None:
    """Do one iteration from `at`, in place, and return why the run is over, or None.

    Notes
    -----
    Vectors of length n, beside the rows of B: x, g, step, trial point, the copy of it that the
    callable gets, trial gradient, and one temporary.  All but x and g are gone on return.
    """
    space, eps = objective.space, objective.space.eps

    # 1. Model of f at x, and its minimiser in the region.
    model = QuadraticModel(at.gradient.vector, B.spectrum(FAST), products=at.gradient.products)
    trial = model.trust_region(at.radius)
    if not trial.decrease > 0.0:
        return Status.NO_MODEL_DECREASE
    if trial.length <= options.xtol * at.x_norm:
        return Status.STEP_TOO_SMALL
    step, slope, length, predicted = trial.step, trial.slope, trial.length, trial.decrease
    del model, trial  # they may hold a vector of length n

    # 2. f and g there.
    x_new = at.x + step
    f_new, g_new = objective(x_new)
    g_norm_new = space.norm(g_new) if g_new is not None else np.nan
    fall = at.f - f_new
    accepted, ratio, status = False, np.nan, None
    if is_unbounded(f_new, at.f_start):
        accepted, status = True, Status.UNBOUNDED
        at.x, at.f = x_new, f_new
        vector = g_new if np.isfinite(g_norm_new) else space.zeros(space.size) + np.nan
        at.gradient = TrackedGradient(vector, g_norm_new, at.gradient.products, B.pairs)
    elif not all_finite(f_new, g_norm_new):
        at.radius = NON_FINITE_SHRINK * length
    else:
        # 3. Ratio of the actual to the predicted reduction.
        slope_new = space.dot(g_new, step)
        reduction = actual_reduction(at.f, f_new, slope, slope_new, eps)
        ratio = reduction / predicted
        accepted = ratio > options.accept or progress_at_rounding(
            at.f, f_new, at.gradient.norm, g_norm_new, eps
        )
        # 4. Secant pair, from a rejected trial too: it says why the model was wrong.
        new, y, y_products = at.gradient.change_to(g_new, g_norm_new)
        stored = False
        if accepted or options.store_rejected:
            stored = B.update(step, y, y_products=y_products).stored
            run.skipped += not stored
        # 5. Radius.
        at.radius = next_radius(at.radius, length, ratio, slope, slope_new, reduction, options)
        # 6. Move.
        if accepted:
            at.x, at.f, at.gradient, at.x_norm = x_new, f_new, new, space.norm(x_new)
        if stored:
            at.gradient.account_for_newest()

    # 7. Stop?
    g_norm_inf = space.norm_inf(at.gradient.vector)
    record = {"gnorm": g_norm_inf, "radius": at.radius, "ratio": ratio, "n_pairs": B.n_pairs}
    stopped = run.after_step(at.x, at.f, at.gradient.vector, accepted, record)
    if status is None and accepted and 0.0 < fall <= options.ftol * abs(at.f):
        status = Status.FTOL
    if status is None:
        status = stopped
    return run.before_step(g_norm_inf) if status is None else status


def next_radius(
    radius: float,
    length: float,
    ratio: float,
    slope: float,
    slope_new: float,
    reduction: float,
    options: TrustRegionOptions,
) -> float:
    """Return the radius for the next model.

    Shrink to the minimiser of the cubic through both ends of a poor step; grow to where the slope
    would vanish, by the secant through both ends, after a good step that used the region.
    """
    if not ratio >= options.shrink_below:
        t = hermite_minimiser(slope, slope_new, reduction)
        return length * (0.5 if np.isnan(t) else min(max(t, 0.1), 0.5))
    if ratio > options.grow_above and length >= LONG_STEP * radius:
        growth = 2.0
        if slope < 0.0 and slope_new < 0.0:
            remaining = 1.0 - slope_new / slope
            growth = min(max(1.0 / remaining, 2.0), 10.0) if remaining > 0.0 else 10.0
        return min(max(radius, growth * length), options.max_radius)
    return radius
