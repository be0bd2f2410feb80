"""Trust-region minimisation with a limited-memory matrix (Ramamurthy and Duffy 2017, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import OptimizeResult

from qnsolve.objective import Objective
from qnsolve.options import TrustRegionOptions
from qnsolve.quasi_newton.lsr1 import LSR1
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
from qnsolve.subproblem.model import QuadraticModel

LONG_STEP = 0.8
"""Part of the radius that a step must have used for the radius to grow (Algorithm 1)."""

NON_FINITE_SHRINK = 0.1
"""Radius after a trial with a value that is not finite, in lengths of that trial."""


def minimize_trust_region(
    objective: Objective, options: TrustRegionOptions, callback: Callable | None
) -> OptimizeResult:
    """Run the L-SR1 trust-region method; x and jac of the result are flat.

    Parameters
    ----------
    objective : Objective
    options : TrustRegionOptions
    callback : callable or None
        Takes an OptimizeResult after each iteration and returns True to stop.

    Notes
    -----
    One evaluation of f and g an iteration.  Vectors of length n: the 2m rows of pairs, x, g, the
    step, the trial point, its gradient, and one temporary.
    """
    space, eps = objective.space, objective.space.eps
    run = Run(objective, options, callback)

    # 0. Start: no pairs, and gamma such that the first step has the length of the radius.
    x = objective.x0
    f, g = objective(x, at_start=True)
    f_start, g_norm = f, space.norm(g)
    if not all_finite(f, g_norm):
        return run.result(Status.NON_FINITE_START, x, f, g, n_pairs=0, radius=0.0)
    radius = options.initial_radius
    if radius is None:
        radius = starting_radius(space.norm(x), f, g_norm) if g_norm else 1.0
    B = LSR1(
        objective.n,
        memory=options.memory,
        gamma=options.gamma,
        initial_gamma=g_norm / radius or 1.0,
        like=x,
    )
    current = TrackedGradient.of(g, B.pairs)
    x_norm, status = space.norm(x), run.before_step(space.norm_inf(g))

    while status is None:
        # 1. Model of f at x.
        model = QuadraticModel(current.vector, B, products=current.products)
        # 2. Its minimiser in the region.
        trial = model.trust_region(radius)
        if not trial.decrease > 0.0:
            status = Status.NO_MODEL_DECREASE
            break
        if trial.length <= options.xtol * x_norm:
            status = Status.STEP_TOO_SMALL
            break
        # 3. f and g there.
        step = trial.step
        x_new = x + step
        f_new, g_new = objective(x_new)
        if f_new == -np.inf or is_unbounded(f_new, f_start):
            x, f = x_new, f_new
            status = Status.UNBOUNDED
            break
        finite = g_new is not None and all_finite(f_new, space.norm_inf(g_new))
        if not finite:
            accepted, ratio = False, np.nan
            radius = NON_FINITE_SHRINK * trial.length
        else:
            # 4. Ratio of the actual to the predicted reduction.
            slope, slope_new = trial.slope, space.dot(g_new, step)
            reduction = actual_reduction(f, f_new, slope, slope_new, eps)
            ratio = reduction / trial.decrease
            new, y, y_products = current.change_to(g_new)
            accepted = ratio > options.accept or progress_at_rounding(
                f, f_new, current.norm, new.norm, eps
            )
            # 5. Secant pair, from a rejected trial too: it says why the model was wrong.
            stored = (accepted or options.store_rejected) and B.update(
                step, y, y_products=y_products
            ).stored
            run.skipped += not stored
            # 6. Radius.
            radius = _next_radius(radius, trial.length, ratio, slope, slope_new, reduction, options)
            # 7. Move.
            decrease = f - f_new
            if accepted:
                x, f, current, x_norm = x_new, f_new, new, space.norm(x_new)
            if stored:
                current.account_for_newest()
        record = {"radius": radius, "ratio": ratio, "n_pairs": B.n_pairs}
        g_norm_inf = space.norm_inf(current.vector)
        record["gnorm"] = g_norm_inf
        status = run.after_step(x, f, current.vector, accepted, record)
        status = status or run.before_step(g_norm_inf)
        if status is None and accepted and 0.0 < decrease <= options.ftol * abs(f):
            status = Status.FTOL
    return run.result(status, x, f, current.vector, n_pairs=B.n_pairs, radius=radius)


def _next_radius(
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
        if slope_new < 0.0:
            remaining = 1.0 - slope_new / slope
            growth = min(max(1.0 / remaining, 2.0), 10.0) if remaining > 0.0 else 10.0
        return min(max(radius, growth * length), options.max_radius)
    return radius
