"""The line search and the L-SR1 method on it: conditions, failures, and the published loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnsolve
from qnsolve import Status
from qnsolve.presets import RAMAMURTHY_DUFFY_LS
from qnsolve.problems import get_problem
from qnsolve.questions import drive
from qnsolve.solvers.wolfe import MAX_TRIALS, LinePoint, strong_wolfe
from tests.reference import ramamurthy_duffy_ls
from tests.strategies import log_uniform
from tests.tolerances import EPS

SAME_STEP = 1e-6
"""Relative difference of two iterates: H0 = I is far from the inverse Hessian, so that the dense H
has a condition of up to 1e9; at most 2e-8 was seen."""

# The search ---------------------------------------------------------------------------------------


def on_line(phi, slope, seen=None):
    """Return a line on which f is `phi` and its derivative `slope`."""

    def line(t):
        if seen is not None:
            seen.append(t)
        f = float(phi(t))
        return LinePoint(t, f, float(slope(t)) if math.isfinite(f) else math.nan)

    return line


def never(t):
    return False


def search(phi, slope, first=1.0, decrease=1e-4, curvature=0.9, too_short=never, seen=None):
    steps = strong_wolfe(
        LinePoint(0.0, float(phi(0.0)), float(slope(0.0))),
        first,
        decrease=decrease,
        curvature=curvature,
        too_short=too_short,
        eps=EPS,
    )
    return drive(steps, on_line(phi, slope, seen))


LINES = {
    # More and Thuente (1994), section 5, functions 1, 2 and 3.
    "one minimiser": (lambda t: -t / (t**2 + 2), lambda t: (t**2 - 2) / (t**2 + 2) ** 2),
    "quintic": (
        lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
        lambda t: 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3,
    ),
    "oscillating": (
        lambda t: (1 - t) ** 2 / 2 + 0.03 * math.sin(40 * t),
        lambda t: t - 1 + 1.2 * math.cos(40 * t) - 1.2 - 1e-3,
    ),
    "parabola": (lambda t: t * t - 2 * t, lambda t: 2 * t - 2),
    "wall": (
        lambda t: -t if t < 1 else 1e6 * (t - 1) ** 2 - t,
        lambda t: -1.0 if t < 1 else 2e6 * (t - 1) - 1.0,
    ),
}
LINES["oscillating"] = (
    lambda t: (1 - t) ** 2 / 2 - 0.02 * math.sin(40 * t),
    lambda t: t - 1 - 0.8 * math.cos(40 * t),
)


@pytest.mark.parametrize("curvature", [0.9, 0.1, 1e-3])
@pytest.mark.parametrize("first", [1e-6, 1e-3, 0.1, 1.0, 10.0, 1e3, 1e6])
@pytest.mark.parametrize("name", LINES)
def test_strong_wolfe_conditions(name, first, curvature):
    phi, slope = LINES[name]
    found = search(phi, slope, first, curvature=curvature)
    assert found.t > 0.0
    assert found.f == phi(found.t) <= phi(0.0) + 1e-4 * found.t * slope(0.0)
    assert abs(found.slope) <= curvature * abs(slope(0.0))


@given(
    st.lists(st.floats(-2.0, 2.0), min_size=3, max_size=5),
    log_uniform(1e-4, 1e4),
    st.sampled_from([0.9, 0.1]),
)
def test_strong_wolfe_conditions_on_polynomials(coefficients, first, curvature):
    """A quartic or higher that grows at infinity and falls at 0."""
    p = np.polynomial.Polynomial([0.0, -1.0, *coefficients, *[0.0] * (len(coefficients) % 2), 1.0])
    derivative = p.deriv()
    found = search(p, derivative, first, curvature=curvature)
    assert p(found.t) <= -1e-4 * found.t + 1e-12
    assert abs(derivative(found.t)) <= curvature + 1e-12


def test_first_trial_is_taken_where_it_is_good():
    seen = []
    found = search(*LINES["parabola"], first=0.9, seen=seen)
    assert seen == [0.9] and found.t == 0.9


def test_cubics_are_minimised_at_the_second_trial():
    seen = []
    search(lambda t: t**3 - t, lambda t: 3 * t * t - 1, first=1.5, curvature=1e-6, seen=seen)
    assert seen[1] == pytest.approx(3**-0.5) and len(seen) == 2


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_end_the_bracket(bad):
    found = search(lambda t: t * t - 2 * t if t < 1.5 else bad, lambda t: 2 * t - 2, first=1e3)
    assert 0.0 < found.t < 1.5


def test_minus_infinity_is_no_acceptable_value():
    """Only the caller's floor, not the search, tells what is unbounded below."""
    found = search(lambda t: -t if t < 4 else -math.inf, lambda t: -1.0, first=1.0)
    assert found.t < 4.0 and math.isfinite(found.f)


def test_unbounded_trial_ends_the_search():
    def line(t):
        return LinePoint(t, -t, -1.0, unbounded=t > 1e3)

    start = LinePoint(0.0, 0.0, -1.0)
    steps = strong_wolfe(start, 1.0, decrease=1e-4, curvature=0.9, too_short=never, eps=EPS)
    found = drive(steps, line)
    assert found.unbounded and found.t > 1e3


def test_sufficient_decrease_alone_is_returned_where_the_slope_never_rises():
    seen = []
    found = search(lambda t: -t, lambda t: -1.0, seen=seen)
    assert len(seen) == MAX_TRIALS and found.t == max(seen)


@pytest.mark.parametrize("slope", [-1.0, -1e-3])
def test_ascent_is_a_failure_after_few_trials(slope):
    """The derivative has the wrong sign: no step is short enough."""
    seen = []
    assert search(lambda t: t, lambda t: slope, too_short=lambda t: t <= 1e-16, seen=seen) is None
    assert len(seen) < MAX_TRIALS


@pytest.mark.parametrize("offset", [1e8, -1e12])
def test_slopes_decide_where_f_has_no_digits(offset):
    """t^2 - 2t in units of 1e-9 of the last digit that f has."""
    unit = 1e-9 * EPS * abs(offset)
    found = search(lambda t: offset + unit * (t * t - 2 * t), lambda t: unit * (2 * t - 2), 0.5)
    assert abs(2 * found.t - 2) <= 0.9 * 2


# The method ---------------------------------------------------------------------------------------


def minimize(problem, **options):
    return qnsolve.minimize(problem.fun, problem.x0, jac=True, method="lsr1-ls", options=options)


@pytest.mark.parametrize("modify", ["indefinite", "ascent"])
@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("extended-rosenbrock", 100),
        ("extended-rosenbrock", 10_000),
        ("powell-singular", 100),
        ("dixon-price", 50),
        ("broyden-tridiagonal", 100),
        ("styblinski-tang", 100),
        ("woods", 100),
        ("chained-rosenbrock", 20),
        ("cosine", 100),
        ("monkey-saddle", 2),
        ("robust-regression", None),
    ],
)
def test_solves_the_shipped_problems(name, n, modify):
    problem = get_problem(name, n)
    result = minimize(problem, modify=modify, maxfev=3000)
    assert result.status == Status.GTOL
    assert result.nfev == result.njev
    assert 0 <= result.n_modified <= result.nit


@pytest.mark.parametrize("modify", ["indefinite", "ascent"])
def test_every_step_goes_downhill(modify):
    """Both where H is indefinite and where it is not."""
    problem = get_problem("chained-rosenbrock", 20)
    result = minimize(problem, modify=modify, history=True)
    values = [problem.fun(problem.x0)[0], *(row["fun"] for row in result.history)]
    assert (np.diff(values) <= 0.0).all()
    modified = [row["modified"] for row in result.history]
    assert 0 < sum(modified) == result.n_modified < len(modified)


def test_first_step_has_the_length_asked_for():
    problem = get_problem("woods", 8)
    for gamma in ("window-max", 1.0):
        seen = []
        qnsolve.minimize(
            lambda x, seen=seen: seen.append(x) or problem.fun(x),
            problem.x0,
            jac=True,
            method="lsr1-ls",
            options={"initial_step": 0.25, "gamma": gamma, "maxiter": 1},
        )
        assert np.linalg.norm(seen[1] - problem.x0) == pytest.approx(0.25)


def test_failure_of_the_search():
    """The gradient has the wrong sign, and no direction goes down."""
    result = qnsolve.minimize(
        lambda x: (float(x @ x), -2 * x), np.ones(3), jac=True, method="lsr1-ls"
    )
    assert result.status == Status.LINE_SEARCH_FAILED and not result.success
    np.testing.assert_array_equal(result.x, np.ones(3))


def test_search_that_fails_with_pairs_is_tried_again_without():
    """A kink, across which no step satisfies the curvature condition."""

    def fun(x):
        return abs(x[0]) + 3.0 * abs(x[1]), np.array([np.sign(x[0]), 3.0 * np.sign(x[1])])

    result = qnsolve.minimize(
        fun, np.array([3.3, 1.7]), jac=True, method="lsr1-ls", options={"history": True}
    )
    failed = [k for k, row in enumerate(result.history) if not row["accepted"]]
    assert len(failed) == result.restarts > 0
    for k in failed:
        assert result.history[k]["n_pairs"] == 0 < result.history[k - 1]["n_pairs"]
        assert result.history[k]["fun"] == result.history[k - 1]["fun"]
    assert result.fun < 1e-6


# The published loop -------------------------------------------------------------------------------


def quadratic(n):
    d = np.linspace(0.5, 3.0, n)
    return lambda x: (0.5 * x @ (d * x) - x.sum(), d * x - 1.0)


def unit_gradient(fun, x0):
    """Return `fun` in the unit in which its first gradient has length 1: the first step is -g."""
    unit = np.linalg.norm(fun(x0)[1])
    return lambda x: tuple(value / unit for value in fun(x))


def shipped(name, n):
    problem = get_problem(name, n)
    x0 = problem.x0 + 0.01 * np.sin(np.arange(1.0, n + 1))
    return unit_gradient(problem.fun, x0), x0


PROBLEMS = {
    "quadratic-6": (quadratic(6), np.zeros(6)),
    "rosenbrock-6": shipped("chained-rosenbrock", 6),
    "tridiagonal-10": shipped("broyden-tridiagonal", 10),
    "dixon-price-8": shipped("dixon-price", 8),
    "styblinski-tang-5": shipped("styblinski-tang", 5),
}


def step_length(fun, x, d, first):
    """The search of the package, on a dense direction."""

    def line(t):
        f, g = fun(x + t * d)
        return LinePoint(t, f, float(g @ d))

    steps = strong_wolfe(line(0.0), first, decrease=1e-4, curvature=0.9, too_short=never, eps=EPS)
    return drive(steps, line).t


@pytest.mark.parametrize("name", PROBLEMS)
def test_ramamurthy_duffy_ls(name):
    fun, x0 = PROBLEMS[name]
    seen = []
    result = qnsolve.minimize(
        fun,
        x0,
        jac=True,
        method=RAMAMURTHY_DUFFY_LS.method,
        options={**RAMAMURTHY_DUFFY_LS, "maxiter": 20, "gtol": 1e-6},
        callback=lambda intermediate_result: seen.append(intermediate_result),
    )
    assert result.restarts == 0 and len(seen) >= 5
    published = ramamurthy_duffy_ls.iterates(fun, x0, m=5, r=1e-8, step_length=step_length, K=20)
    for ours, (x, lam) in zip(seen, published, strict=False):
        np.testing.assert_allclose(ours.x, x, rtol=0, atol=SAME_STEP * np.abs(x).max())
        assert ours.step_length == pytest.approx(lam, rel=SAME_STEP)
