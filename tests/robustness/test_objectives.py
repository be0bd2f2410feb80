"""Objectives that have no minimum, lie about their gradient, are noisy, or badly scaled."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve import Status
from qnsolve.problems import get_problem
from qnsolve.solvers import slopes
from tests.robustness.cases import METHODS, X0, minimize, to_numpy, wells
from tests.tolerances import EPS

pytestmark = pytest.mark.parametrize("method", METHODS)

BUDGET = 3000

ROUNDING_RISE = 1e4 * EPS
"""Steps that raise f by up to 100 EPS are taken where the gradient shrinks by a tenth; f may rise
by a few dozen of them before the gradient is small."""


# -- nothing to find -------------------------------------------------------------------------------


def test_no_iteration_is_allowed(method, xp):
    result = minimize(method, wells, xp.asarray(X0), maxiter=0)
    assert (result.status, result.nit, result.nfev) == (Status.MAXITER, 0, 1)
    np.testing.assert_array_equal(to_numpy(result.x), X0)


def test_optimal_from_the_start(method, xp):
    result = minimize(method, wells, xp.asarray(np.zeros(3)), maxiter=0)
    assert (result.status, result.success, result.nfev) == (Status.GTOL, True, 1)


def test_constant(method, xp):
    result = minimize(method, lambda x: (7.0, 0 * x), xp.asarray(X0))
    assert (result.status, result.nfev, result.fun) == (Status.GTOL, 1, 7.0)


def test_constant_with_a_slope(method):
    """The gradient says that there is a way down; there is none."""
    result = minimize(method, lambda x: (7.0, 0 * x + 1), X0, maxfev=BUDGET)
    assert not result.success and result.status != Status.MAXFEV and result.fun == 7.0


@pytest.mark.parametrize("slope", [1.0, 1e-3])
def test_linear(method, slope):
    result = minimize(method, lambda x: (slope * x.sum(), 0 * x + slope), X0, maxfev=BUDGET)
    assert (result.status, result.success) == (Status.UNBOUNDED, False)
    assert result.fun < -1e29


@pytest.mark.parametrize(
    "fun",
    [
        lambda x: (-float(x @ x), -2 * x),
        lambda x: (float(np.sum(x**3)), 3 * x**2),
        lambda x: (-float(np.exp(np.minimum(x, 700.0)).sum()), -np.exp(np.minimum(x, 700.0))),
    ],
    ids=["parabola", "cubic", "exponential"],
)
def test_unbounded(method, fun):
    result = minimize(method, fun, X0, maxfev=BUDGET)
    assert (result.status, result.success) == (Status.UNBOUNDED, False)


def test_approaches_its_infimum_for_ever(method):
    """exp(-x) has no minimiser; its gradient gets as small as is asked for."""
    result = minimize(method, lambda x: (float(np.exp(-x).sum()), -np.exp(-x)), X0, maxfev=BUDGET)
    assert result.success and result.x.min() > 10.0


# -- gradients that are wrong ----------------------------------------------------------------------


def one_component(change):
    def wrong(g):
        g = g.copy()
        g[1] = change(g[1])
        return g

    return wrong


WRONG = {
    "sign": lambda g: -g,
    "twice": lambda g: 2.0 * g,
    "one sign": one_component(lambda v: -v),
    "one offset": one_component(lambda v: v + 30.0),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_gradient_is_named(method, wrong, monkeypatch):
    # Sooner than in earnest, for the time that 500 iterations take.
    monkeypatch.setattr(slopes, "HOPELESS", 100)
    problem = get_problem("woods", 4)

    def fun(x):
        f, g = problem.fun(x)
        return f, WRONG[wrong](g)

    result = minimize(method, fun, problem.x0, maxfev=BUDGET)
    assert result.status != Status.MAXFEV
    # A multiple of the gradient vanishes where the gradient does; nothing else is a success.
    assert "verify.check_grad" in result.message or result.success
    assert result.success == (np.abs(fun(result.x)[1]).max() <= 1e-5)
    assert result.fun <= (1 + ROUNDING_RISE) * problem.fun(problem.x0)[0]


# -- noise -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [1e-12, 1e-8, 1e-3])
@pytest.mark.parametrize("noisy", ["f", "g", "fg"])
def test_noise_ends_near_its_floor(method, noisy, noise):
    """f* = 1, so that the noise does not vanish at the minimiser.

    Newton's method gets exact products: a difference of noisy gradients is no curvature.
    """
    rng = np.random.default_rng(7)
    curvature = np.array([1.0, 3.0, 10.0, 0.5])

    def fun(x):
        f, g = 1.0 + 0.5 * x @ (curvature * x), curvature * x
        error = noise * rng.standard_normal(5)
        return (
            f * (1.0 + error[0]) if "f" in noisy else f,
            g * (1.0 + error[1:]) if "g" in noisy else g,
        )

    result = minimize(method, fun, 3.0 * X0, hessp=lambda x, p: curvature * p, maxfev=BUDGET)
    assert result.status != Status.MAXFEV
    excess = 0.5 * result.x @ (curvature * result.x)
    if result.success:
        assert np.abs(result.jac).max() <= 1e-5
    else:
        assert result.status in (Status.STEP_TOO_SMALL, Status.LINE_SEARCH_FAILED)
    # A step is good for a fall that the noise, of a few standard deviations, cannot hide.
    assert excess <= 100 * noise


# -- scales ----------------------------------------------------------------------------------------


def scaled(problem, of_x, of_f):
    """Return the problem with other units: values times `of_f`, at points times `of_x`."""

    def fun(x):
        with np.errstate(all="ignore"):
            f, g = problem.fun(x / of_x)
            return of_f * f, (of_f * g) / of_x

    return fun


@pytest.mark.parametrize("of_f", [1e-150, 1e-130, 1e130, 1e150])
def test_unit_of_f(method, of_f):
    """Pairs are kept as long as the square of y is within the range."""
    problem = get_problem("woods", 4)
    kept = 1e-130 <= of_f <= 1e130
    options = {"gtol": 1e-6 * of_f, "maxfev": 400 if kept else 50}
    result = minimize(method, scaled(problem, 1.0, of_f), problem.x0, **options)
    if kept:
        assert result.success
        np.testing.assert_allclose(result.x, 1.0, atol=1e-4)
    assert np.isfinite(result.x).all() and result.fun < of_f * 100.0


@pytest.mark.parametrize("of_x", [1e-150, 1e-60, 1e60, 1e150])
def test_unit_of_x(method, of_x):
    """Squares of such numbers are beyond the range: a right answer, or a status."""
    problem = get_problem("woods", 4)
    result = minimize(
        method, scaled(problem, of_x, 1.0), of_x * problem.x0, gtol=1e-6 / of_x, maxfev=100
    )
    assert np.isfinite(result.x).all() and result.fun <= problem.fun(problem.x0)[0]
    if result.success:
        np.testing.assert_allclose(result.x / of_x, 1.0, atol=1e-4)


@pytest.mark.parametrize("spread", [1e-6, 1e6])
def test_units_that_differ_by_1e12(method, spread):
    """From spread to 1 / spread: no method here is invariant, so all that is asked is honesty."""
    problem = get_problem("woods", 4)
    units = np.geomspace(spread, 1.0 / spread, 4)
    result = minimize(
        method, scaled(problem, units, 1.0), units * problem.x0, gtol=1e-9, maxfev=100
    )
    assert np.isfinite(result.x).all() and result.fun <= problem.fun(problem.x0)[0]
    f, g = scaled(problem, units, 1.0)(result.x)
    assert result.fun == f
    np.testing.assert_array_equal(result.jac, g)
    assert result.success == (np.abs(g).max() <= 1e-9)
