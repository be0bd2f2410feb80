"""Newton's method in an ellipsoidal trust region, by products with the Hessian.

Conn, Gould and Toint (2000), Algorithm 6.1.1 with the norms of Kohler, Adolphs and Lucchi (2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from scipy.optimize import OptimizeResult

from qnsolve.array import Array, Wanted
from qnsolve.comm import Comm
from qnsolve.norms import DiagonalNorm
from qnsolve.objective import Objective
from qnsolve.options import NewtonOptions
from qnsolve.result import Status
from qnsolve.solvers.adaptive_norm import AdaptiveNorm
from qnsolve.solvers.common import Run, all_finite
from qnsolve.solvers.hessian import Hessian, Products
from qnsolve.solvers.local_model import Metric, metric_of
from qnsolve.solvers.radius import Region, interpolated_radius
from qnsolve.solvers.trial import Iterate, close, try_step
from qnsolve.solvers.trust_region import NON_FINITE_SHRINK, first_radius
from qnsolve.subproblem.krylov import gltr
from qnsolve.subproblem.krylov_model import KrylovResult
from qnsolve.subproblem.steihaug import steihaug_cg
from qnsolve.subproblem.types import SubproblemStatus

MAX_BLIND = 10
"""Steps in a row without a finite product with the Hessian, after which there is none."""


def minimize_newton(
    objective: Objective,
    options: NewtonOptions,
    callback: Callable[[OptimizeResult], bool] | None,
    hessian: Hessian,
) -> OptimizeResult:
    """Run the trust-region Newton method; x and jac of the result are flat.

    Parameters
    ----------
    objective : Objective
    options : NewtonOptions
    callback : callable or None
        Takes an OptimizeResult after each iteration and returns True to stop.
    hessian : Hessian

    Notes
    -----
    One evaluation of f and g an iteration, and as many products with the Hessian, `nhev` of the
    result, as the inner solver takes.
    """
    space, metric = objective.space, metric_of(options.norm, objective.space)
    run = Run(objective, options, callback)
    x, f, g = run.start()
    if not all_finite(f, space.norm(g)):
        size = {"n_pairs": 0, "radius": math.nan, "nhev": 0}
        return run.result(Status.NON_FINITE_START, x, f, g, **size)
    at = Iterate(x, f, f, NewtonModel(g, hessian, options, metric))
    del x, g  # the iterate owns them from here: a name kept would keep a vector of length n
    length = at.model.metric.norm(at.x)
    region = Region(first_radius(options, length, f, at.model.gradient_norm))
    run.keeps(at=at, region=region, counters={"hessian": hessian})

    status = run.before_step(space.norm_inf(at.model.gradient))
    while status is None:
        with run.iteration():
            status = iterate(at, region, objective, options, run)
    size = {"n_pairs": 0, "radius": region.radius, "nhev": hessian.nhev}
    return run.result(status, at.x, at.f, at.model.gradient, **size)


def inexact_minimiser(
    inner: str,
    g: Array,
    products: Products,
    radius: float,
    metric: Metric,
    *,
    tol: float,
    maxiter: int | None,
    comm: Comm | None,
) -> KrylovResult:
    """Return an approximate minimiser in the region, by the solver that `inner` names."""
    # A step that only has to descend need not look for the hard case.
    solve = partial(gltr, restarts=0) if inner == "gltr" else steihaug_cg
    norm = metric if isinstance(metric, DiagonalNorm) else None
    return solve(g, products, radius, norm=norm, tol=tol, maxiter=maxiter, comm=comm)


@dataclass(frozen=True)
class Trial:
    """A step with its derivative of f, its model decrease, and its length in the region's norm."""

    step: Array
    slope: float
    decrease: float
    length: float


class NewtonModel:
    """The model at the iterate: gradient, products with the Hessian, and the norm of the region.

    Parameters
    ----------
    g : array, shape (n,)
        Gradient at the start.
    hessian : Hessian
    options : NewtonOptions
    metric : DiagonalNorm or EuclideanNorm
        The norm, unless the options ask for one that follows the gradients.
    """

    n_pairs = 0

    def __init__(self, g: Array, hessian: Hessian, options: NewtonOptions, metric: Metric) -> None:
        self._hessian = hessian
        self._options = options
        self._products: Products | None = None
        self._adaptive: AdaptiveNorm | None = None
        self._blind = 0
        self._space = hessian.space
        self.metric = metric
        if options.norm in ("adagrad", "rmsprop"):
            decay = options.decay if options.norm == "rmsprop" else None
            self._adaptive = AdaptiveNorm(
                decay, options.norm_bounds, options.normalise, g, self._space
            )
            self.metric = self._adaptive.norm
        self._steepness_at_start = self._space.norm(g)
        self.gradient, self.gradient_norm = g, self.metric.dual_norm(g)

    @property
    def nhev(self) -> int:
        """Products with the Hessian so far."""
        return self._hessian.nhev

    def snapshot(self) -> dict[str, Any]:
        """Return the state without the gradient, for :meth:`restore`."""
        adaptive = None if self._adaptive is None else self._adaptive.snapshot()
        return {
            "steepness_at_start": self._steepness_at_start,
            "adaptive": adaptive,
            "blind": self._blind,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to the state of a model at the same iterate."""
        self._steepness_at_start = state["steepness_at_start"]
        self._blind = state["blind"]
        if self._adaptive is not None:
            self._adaptive.restore(state["adaptive"])
            self.metric = self._adaptive.norm
            self.gradient_norm = self.metric.dual_norm(self.gradient)

    def trust_region(self, x: Array, radius: float) -> Trial:
        """Return an approximate minimiser in the region around `x`, the iterate."""
        if self._products is None:
            self._products = self._hessian.at(x, self.gradient)
        found = inexact_minimiser(
            self._options.inner,
            self.gradient,
            self._products,
            radius,
            self.metric,
            tol=self.forcing(),
            maxiter=self._options.inner_maxiter,
            comm=self._space.comm,
        )
        step, decrease = found.step, found.decrease
        if found.status is SubproblemStatus.NONFINITE and not decrease > 0.0:
            # Nothing is known of the curvature here; a few steps may lead to where something is.
            self._blind += 1
            if self._blind <= MAX_BLIND:
                step, decrease = self.steepest(radius), radius * self.gradient_norm
        else:
            self._blind = 0
        return Trial(step, self._space.dot(self.gradient, step), decrease, self.metric.norm(step))

    def steepest(self, radius: float) -> Array:
        """Return the minimiser in the region of the model without curvature."""
        downhill = self.metric.from_ball(self.metric.from_ball(-self.gradient))
        return (radius / self.gradient_norm) * downhill

    def forcing(self) -> float:
        """Return the tolerance on the residual, relative to the gradient.

        The root makes the last steps converge with order 3/2 (Dembo, Eisenstat and Steihaug 1982).
        """
        fraction = self._space.norm(self.gradient) / self._steepness_at_start
        return min(self._options.forcing, math.sqrt(fraction))

    def wanted(self, x_new: Array, step: Array, g_new: Array) -> Wanted:
        """Return the request for the inner products that a step to `x_new` takes."""
        return Wanted([(g_new, g_new), (g_new, step), (x_new, x_new)], [g_new])

    def learn(self, step: Array, g_new: Array, norm_new: float, *, move: bool, **pair: Any) -> bool:
        """Take in the gradient at the end of a step that is taken (`move`); ignore its `pair`."""
        if move:
            self._products = None
            self.gradient, self.gradient_norm = g_new, norm_new
            if self._adaptive is not None:
                self._adaptive.update(g_new)
                self.metric = self._adaptive.norm
                self.gradient_norm = self.metric.dual_norm(g_new)
        return True


def iterate(
    at: Iterate[NewtonModel], region: Region, objective: Objective, options: NewtonOptions, run: Run
) -> Status | None:
    """Do one iteration from `at` and `region`, in place; return why the run is over, or None."""
    if not region.radius > 0.0:  # it has shrunk below the smallest number
        return Status.STEP_TOO_SMALL
    # 1. Approximate minimiser of the model in the region.
    trial = at.model.trust_region(at.x, region.radius)
    if not trial.decrease > 0.0:
        return Status.NO_MODEL_DECREASE
    if trial.length <= options.xtol * at.model.metric.norm(at.x):
        return Status.STEP_TOO_SMALL
    # 2. Evaluate f and g there; ratio of actual to predicted reduction; move; update the norm.
    outcome = try_step(at, trial, objective, options, run)
    # 3. Radius.
    if outcome.finite:
        rule = options.radius_rule or interpolated_radius
        region.radius = min(rule(region.radius, outcome, options), options.max_radius)
    else:
        region.radius = NON_FINITE_SHRINK * outcome.length
    # 4. Stop?
    return close(at, outcome, objective, run, radius=region.radius, nhev=at.model.nhev)
