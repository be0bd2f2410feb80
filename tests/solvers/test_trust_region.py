"""What is the trust region's own: norms, the measure of the step, rules for the radius."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnsolve
from qnsolve import DiagonalNorm
from qnsolve.options import TrustRegionOptions
from qnsolve.problems import get_problem
from qnsolve.quasi_newton.spectrum import FAST
from qnsolve.solvers.outcome import Outcome
from qnsolve.solvers.radius import DoubleOrHalve, StepOrRadius, interpolated_radius
from tests.strategies import seeds

OPTIONS = TrustRegionOptions()

ROUNDING_OF_A_RUN = 1e-8
"""Relative difference of two runs that round differently, after five steps on a quartic: at most
1.2e-10 was seen in 400 runs."""


def steps(fun, x0, method="lsr1-tr", **options):
    """Return the points after each iteration."""
    seen = []
    callback = lambda xk: seen.append(xk.copy())  # noqa: E731
    qnsolve.minimize(fun, x0, jac=True, method=method, options=options, callback=callback)
    return np.array(seen)


@pytest.mark.parametrize("method", ["lsr1-tr", "lsr1-arc"])
@given(seed=seeds())
def test_ellipsoidal_norm_is_the_l2_norm_in_other_variables(method, seed):
    rng = np.random.default_rng(seed)
    d = 10 ** rng.uniform(-1, 1, 6)
    root = np.sqrt(d)
    problem = get_problem("styblinski-tang", 6)
    x0 = problem.x0 + 0.1 * rng.standard_normal(6)

    def in_ball(p):
        f, g = problem.fun(p / root)
        return f, g / root

    options = {"maxiter": 5, "gtol": 1e-3}
    # Started with a size of its own: the default depends on max(1, |x|).
    size = {"initial_radius": 0.5} if method == "lsr1-tr" else {"initial_weight": 3.0}
    ours = steps(problem.fun, x0, method, norm=DiagonalNorm(d), **options, **size)
    theirs = steps(in_ball, root * x0, method, norm="l2", **options, **size) / root
    k = min(len(ours), len(theirs))  # gtol is a bound on another gradient
    assert k >= 2
    assert np.abs(ours[:k] - theirs[:k]).max() <= ROUNDING_OF_A_RUN * np.abs(theirs).max()


def test_unit_metric_changes_nothing():
    problem = get_problem("woods", 8)
    plain = steps(problem.fun, problem.x0, maxiter=20, compiled=False)
    metric = steps(problem.fun, problem.x0, maxiter=20, norm=DiagonalNorm(np.ones(8)))
    np.testing.assert_array_equal(plain, metric)


def test_metric_that_follows_the_curvature_pays():
    """On a diagonal quadratic the metric of its Hessian makes one step the solution."""
    h = 10.0 ** np.linspace(-3, 3, 30)

    def fun(x):
        return 0.5 * x @ (h * x), h * x

    options = {"norm": DiagonalNorm(h), "gamma": 1.0, "initial_radius": 1e6}
    result = qnsolve.minimize(fun, np.ones(30), jac=True, method="lsr1-tr", options=options)
    assert result.success and result.nit == 1


@pytest.mark.parametrize("method", ["lsr1-tr", "lsr1-arc"])
@pytest.mark.parametrize(
    ("d", "error", "words"),
    [
        (np.ones(3), ValueError, "norm is for n = 3, x0 has n = 2"),
        (np.ones(2, np.float32), TypeError, "must have the array library and dtype of x0"),
    ],
)
def test_metric_of_other_vectors_is_refused_before_the_first_evaluation(method, d, error, words):
    def never(x):
        raise AssertionError("evaluated")

    with pytest.raises(error, match=words):
        qnsolve.minimize(
            never, np.ones(2), jac=True, method=method, options={"norm": DiagonalNorm(d)}
        )


@pytest.mark.parametrize("norm", ["l2", "shape-inf", "shape-2"])
def test_radius_bounds_the_step_in_its_own_norm(norm):
    """A step on the boundary is as long as the radius in the region's norm, longer in l2."""
    problem = get_problem("chained-rosenbrock", 10)
    x, radius, longest = problem.x0, None, 0.0
    seen = []

    def callback(intermediate_result):
        seen.append((intermediate_result.x.copy(), intermediate_result.radius))

    options = {"norm": norm, "initial_radius": 0.1, "maxiter": 15}
    qnsolve.minimize(problem.fun, x, jac=True, method="lsr1-tr", options=options, callback=callback)
    radius = 0.1
    for x_new, radius_new in seen:
        longest = max(longest, np.linalg.norm(x_new - x) / radius)
        x, radius = x_new, radius_new
    blocks = {"l2": 1, "shape-2": 2, "shape-inf": 10}[norm]
    assert longest <= np.sqrt(blocks) * (1 + FAST)  # as far as the loop's basis is orthonormal
    assert (longest > 1.1) == (norm != "l2")


# -- rules for the radius --------------------------------------------------------------------------

GOOD = Outcome(1.0, 2.0, -1.0, 0.5, slope_new=-0.75, reduction=0.9, ratio=0.9, accepted=True)
FAIR = GOOD._replace(ratio=0.5)
POOR = GOOD._replace(slope_new=3.0, reduction=-1.0, ratio=-2.0, accepted=False)


@pytest.mark.parametrize(
    ("rule", "outcome", "radius", "wanted"),
    [
        # The slope falls from -1 to -3/4 over the step: it vanishes at four times its length.
        (interpolated_radius, GOOD, 1.0, 4.0),
        (interpolated_radius, GOOD, 2.0, 2.0),  # the step did not use the region
        (interpolated_radius, FAIR, 1.0, 1.0),
        # t^3 + t^2 - t has the slopes -1 and 4 and rises by 1; its minimum is at 1/3.
        (interpolated_radius, POOR._replace(slope_new=4.0), 1.0, 1 / 3),
        (interpolated_radius, POOR._replace(slope_new=np.nan), 1.0, 0.5),
        (interpolated_radius, POOR._replace(ratio=np.nan, slope_new=4.0), 1.0, 1 / 3),
        # Measured in l2, where the step has length 2.
        (DoubleOrHalve(), GOOD, 2.4, 4.8),
        (DoubleOrHalve(), GOOD, 2.5, 2.5),
        (DoubleOrHalve(), FAIR, 2.4, 2.4),
        (DoubleOrHalve(), POOR, 2.4, 1.2),
        # Measured in the region's norm to grow, in l2 to shrink.
        (StepOrRadius(), GOOD, 1.25, 2.5),
        (StepOrRadius(), GOOD, 1.26, 1.26),
        (StepOrRadius(), POOR, 1.0, 0.25),
        (StepOrRadius(), POOR, 8.0, 1.0),
    ],
)
def test_rules_for_the_radius(rule, outcome, radius, wanted):
    assert rule(radius, outcome, OPTIONS) == pytest.approx(wanted)


@given(st.floats(-1e3, -1e-3), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_interpolation_stays_within_its_bounds(slope, slope_new, reduction):
    poor = Outcome(2.0, 2.0, slope, 1.0, slope_new, reduction, ratio=-1.0)
    assert 0.2 <= interpolated_radius(3.0, poor, OPTIONS) <= 1.0
    good = poor._replace(ratio=0.9)
    assert 4.0 <= interpolated_radius(2.0, good, OPTIONS) <= 20.0


def test_radius_never_exceeds_its_limit():
    problem = get_problem("extended-rosenbrock", 4)
    options = {"history": True, "max_radius": 0.3, "initial_radius": 0.2}
    result = qnsolve.minimize(problem.fun, problem.x0, jac=True, method="lsr1-tr", options=options)
    assert result.success
    assert max(row["radius"] for row in result.history) == 0.3
