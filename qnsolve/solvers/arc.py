"""Adaptive cubic regularisation with a limited-memory matrix.

Cartis, Gould and Toint (2011), Algorithm 2.1, on the model of ARCs-LSR1 (Ranganath, Singhal and
Marcia 2025) or on the one with the l2 norm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeResult

from qnsolve.objective import Objective
from qnsolve.options import CubicOptions
from qnsolve.result import Status
from qnsolve.solvers.checkpoint import Numbers
from qnsolve.solvers.common import Run, all_finite, first_gamma, starting_radius
from qnsolve.solvers.first_step import take_first_step
from qnsolve.solvers.local_model import LocalModel, metric_of
from qnsolve.solvers.matrices import MatrixFactory
from qnsolve.solvers.trial import Iterate, Outcome, close, named_norm, try_step
from qnsolve.solvers.weight import FASTEST_FALL, LARGEST, LEAST, SLOWEST, Along, rule_of
from qnsolve.subproblem.model import QuadraticModel, SubproblemResult
from qnsolve.subproblem.types import SubproblemStatus

NON_FINITE_GROWTH = 100.0
"""Growth of the weight after a trial with a value that is not finite: a tenth of the step, where
the weight alone decides on its length."""

ROUNDING = 1e-6
"""Part by which the first step may exceed the length that its weight was chosen for."""

FORGET = 0.3
"""Part of the reach that is left after a step that was much shorter."""


def minimize_cubic(
    objective: Objective,
    options: CubicOptions,
    callback: Callable[[OptimizeResult], bool] | None,
    build_matrix: MatrixFactory,
) -> OptimizeResult:
    """Run adaptive cubic regularisation on a limited-memory matrix; x and jac are flat.

    Parameters
    ----------
    objective : Objective
    options : CubicOptions
    callback : callable or None
        Takes an OptimizeResult after each iteration and returns True to stop.
    build_matrix : callable
        ``build_matrix(space, options, initial_gamma)``, one of
        :mod:`qnsolve.solvers.matrices`.

    Notes
    -----
    One evaluation of f and g an iteration.  A model that asks for a far longer step than any that
    was taken is solved again with a larger weight, O(m) each, before anything is evaluated: with
    negative curvature -lam the step is at least lam / weight long, and the pair of a giant step
    would bring a giant curvature into the matrix, faster than the weight can follow.
    """
    metric = metric_of(options.norm, objective.space)
    run = Run(objective, options, callback)
    x, f, g = run.start()
    g_norm = metric.dual_norm(g)
    if not all_finite(f, g_norm):
        return run.result(Status.NON_FINITE_START, x, f, g, n_pairs=0, weight=np.nan)
    gamma, scale = start(metric.norm(x), f, g_norm, options.initial_weight)
    B = (options.matrix or build_matrix)(objective.space, options, gamma)
    at = Iterate(x, f, f, LocalModel(g, B, metric))
    del x, g  # the iterate owns them from here: a name kept would keep a vector of length n
    run.keeps(at=at, scale=scale)

    status = run.before_step(objective.space.norm_inf(at.model.gradient))
    if status is None and run.nit == 0 and options.first_step is not None:
        with run.iteration():
            outcome = take_first_step(at, options.first_step, objective, run)
            scale.remember(outcome)
            status = close(at, outcome, objective, run, weight=scale.weight)
    while status is None:
        with run.iteration():
            status = iterate(at, scale, objective, options, run)
        g_norm = at.model.gradient_norm
        if run.restart(status, at.f, g_norm, B.n_pairs):
            gamma, fresh = start(metric.norm(at.x), at.f, g_norm)
            scale.restore(fresh.snapshot())
            at.model.forget(gamma)
            status = None
    return run.result(status, at.x, at.f, at.model.gradient, n_pairs=B.n_pairs, weight=scale.weight)


@dataclass
class Scale(Numbers):
    """What is known of how long a step may be.

    Attributes
    ----------
    weight : float
        Of the regulariser.
    reach : float
        Length of the steps recently taken; before one has been taken, of the first step.
    moved : bool
        Whether a step has been taken.
    """

    weight: float
    reach: float
    moved: bool = False

    def limit(self, options: CubicOptions) -> float:
        """Return the length of the longest step that is evaluated."""
        if np.isinf(options.longest_step):
            return np.inf
        # The first step has this length, to rounding, unless the weight was given.
        return self.reach * (options.longest_step if self.moved else 1.0 + ROUNDING)

    def remember(self, outcome: Outcome) -> None:
        """Take the length of a step into account."""
        if outcome.accepted:
            fading = FORGET * self.reach if self.moved else 0.0
            self.reach, self.moved = max(outcome.length_2, fading), True


def start(
    x_norm: float, f: float, g_norm: float, weight: float | None = None
) -> tuple[float, Scale]:
    """Return gamma and scale of a first model; the weight too, unless it is given."""
    length = starting_radius(x_norm, f, g_norm)
    # Curvature and weight share the gradient at that length: gamma t + w t^2 = |g|.
    gamma = first_gamma(g_norm, 2.0 * length)
    return gamma, Scale(within_range(weight or gamma / length), length)


def iterate(
    at: Iterate[LocalModel], scale: Scale, objective: Objective, options: CubicOptions, run: Run
) -> Status | None:
    """Do one iteration from `at` and `scale`, in place; return why the run is over, or None."""
    # 1. Minimiser of the regularised model, with a weight that keeps it within reach.
    trial = regularised_step(at.model.quadratic(), scale, options)
    if not trial.decrease > 0.0:
        return Status.NO_MODEL_DECREASE
    if trial.length <= options.xtol * at.model.metric.norm(at.x):
        return Status.STEP_TOO_SMALL
    along = model_along(trial, at.model.gradient_norm)
    # 2. Evaluate f and g there; ratio of actual to predicted reduction; secant pair; move.
    outcome = try_step(at, trial, objective, options, run)
    # 3. Weight.
    scale.remember(outcome)
    if outcome.finite:
        rule = rule_of(options.weight_rule)
        scale.weight = within_range(rule(scale.weight, outcome, options, along))
    else:
        scale.weight = within_range(NON_FINITE_GROWTH * scale.weight)
    # 4. Stop?
    return close(at, outcome, objective, run, weight=scale.weight)


def regularised_step(
    model: QuadraticModel, scale: Scale, options: CubicOptions
) -> SubproblemResult:
    """Minimise the regularised model; raise the weight until the step is within the limit."""
    limit, norm = scale.limit(options), named_norm(options.norm)
    while True:
        trial = model.regularised(scale.weight, norm)
        unbounded = trial.status is SubproblemStatus.UNBOUNDED
        if (trial.length <= limit and not unbounded) or scale.weight >= LARGEST:
            return trial
        # The length falls like 1 / weight where curvature decides on it, else more slowly.
        excess = FASTEST_FALL if unbounded else trial.length / limit
        scale.weight = within_range(scale.weight * max(SLOWEST, excess))


def model_along(trial: SubproblemResult, gradient_norm: float) -> Along:
    """Return the regularised model along the step, from the reduced coordinates."""
    reduced, spectrum = trial.reduced, trial.model.spectrum
    v = np.append(reduced.par, reduced.perp)
    with np.errstate(over="ignore", invalid="ignore"):
        curvature = float(np.append(spectrum.eigenvalues, spectrum.gamma) @ v**2)
        cube = float((trial.term.lengths(v) ** 3).sum())
    return Along(trial.slope, curvature, cube, gradient_norm)


def within_range(weight: float) -> float:
    """Return the weight, no smaller or larger than subproblems can be solved with."""
    return min(max(weight, LEAST), LARGEST)
