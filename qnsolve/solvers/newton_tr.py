"""Newton's method in an ellipsoidal trust region, by products with the Hessian.

Conn, Gould and Toint (2000), Algorithm 6.1.1 with the norms of Kohler, Adolphs and Lucchi (2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.optimize import OptimizeResult

from qnsolve.array import Array, Wanted
from qnsolve.objective import Objective
from qnsolve.options import NewtonOptions
from qnsolve.result import Status
from qnsolve.solvers.adaptive_norm import AdaptiveNorm
from qnsolve.solvers.common import Run, all_finite
from qnsolve.solvers.hessian import Hessian, Products
from qnsolve.solvers.local_model import EuclideanNorm, Metric, metric_of
from qnsolve.solvers.radius import interpolated_radius
from qnsolve.solvers.trial import Iterate, close, try_step
from qnsolve.solvers.trust_region import NON_FINITE_SHRINK, first_radius
from qnsolve.subproblem.krylov import gltr, steihaug_cg


def minimize_newton(
    objective: Objective, options: NewtonOptions, callback: Callable | None, hessian: Hessian
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
    f, g = objective(objective.x0, at_start=True)
    if not all_finite(f, space.norm(g)):
        return run.result(
            Status.NON_FINITE_START,
            objective.x0,
            f,
            g,
            n_pairs=0,
            radius=options.initial_radius,
            nhev=0,
        )
    at = Iterate(objective.x0, f, f, NewtonModel(g, hessian, options, metric))
    radius = first_radius(options, at.model.metric.norm(at.x), f, at.model.gradient_norm)
    status = run.before_step(space.norm_inf(g))
    del g  # the model owns it from here: a name kept would keep a vector of length n
    while status is None:
        status, radius = iterate(at, radius, objective, options, run)
    return run.result(
        status, at.x, at.f, at.model.gradient, n_pairs=0, radius=radius, nhev=hessian.nhev
    )


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

    def trust_region(self, x: Array, radius: float) -> Trial:
        """Return an approximate minimiser in the region around `x`, the iterate."""
        if self._products is None:
            self._products = self._hessian.at(x, self.gradient)
        arguments = {
            "norm": None if isinstance(self.metric, EuclideanNorm) else self.metric,
            "tol": self.forcing(),
            "maxiter": self._options.inner_maxiter,
            "comm": self._space.comm,
        }
        if self._options.inner == "gltr":
            # A step that only has to descend need not look for the hard case.
            found = gltr(self.gradient, self._products, radius, restarts=0, **arguments)
        else:
            found = steihaug_cg(self.gradient, self._products, radius, **arguments)
        slope = self._space.dot(self.gradient, found.step)
        return Trial(found.step, slope, found.decrease, self.metric.norm(found.step))

    def forcing(self) -> float:
        """Return the tolerance on the residual, relative to the gradient.

        The root makes the last steps converge with order 3/2 (Dembo, Eisenstat and Steihaug 1982).
        """
        fraction = self._space.norm(self.gradient) / self._steepness_at_start
        return min(self._options.forcing, math.sqrt(fraction))

    def wanted(self, x_new: Array, step: Array, g_new: Array) -> Wanted:
        """Return the request for the inner products that a step to `x_new` takes."""
        return Wanted([(g_new, g_new), (g_new, step), (x_new, x_new)], [g_new])

    def learn(
        self, step: Array, g_new: Array, norm_new: float, *, move: bool, **pair: float
    ) -> bool:
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
    at: Iterate, radius: float, objective: Objective, options: NewtonOptions, run: Run
) -> tuple[Status | None, float]:
    """Do one iteration from `at`, in place; return why the run is over, or None, and the radius."""
    # 1. Approximate minimiser of the model in the region.
    trial = at.model.trust_region(at.x, radius)
    if not trial.decrease > 0.0:
        return Status.NO_MODEL_DECREASE, radius
    if trial.length <= options.xtol * at.model.metric.norm(at.x):
        return Status.STEP_TOO_SMALL, radius
    # 2. Evaluate f and g there; ratio of actual to predicted reduction; move; update the norm.
    outcome = try_step(at, trial, objective, options, run)
    # 3. Radius.
    if outcome.finite:
        rule = options.radius_rule or interpolated_radius
        radius = min(rule(radius, outcome, options), options.max_radius)
    else:
        radius = NON_FINITE_SHRINK * outcome.length
    # 4. Stop?
    return close(at, outcome, objective, run, radius=radius, nhev=at.model.nhev), radius
