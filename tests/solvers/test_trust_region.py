"""The trust-region loop: convergence, safety near rounding, what it does with bad values."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnsolve
from qnsolve import Status
from qnsolve.problems import get_problem
from qnsolve.solvers.common import actual_reduction, hermite_minimiser, starting_radius


def minimize(problem, **options):
    return qnsolve.minimize(problem.fun, problem.x0, jac=True, method="lsr1-tr", options=options)


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
        ("monkey-saddle", 2),
    ],
)
def test_reaches_the_tolerance(name, n):
    problem = get_problem(name, n)
    result = minimize(problem, maxfev=2000)
    assert result.status == Status.GTOL
    assert result.success
    f, g = problem.fun(result.x)
    assert result.fun == f
    np.testing.assert_array_equal(result.jac, g)
    assert np.abs(g).max() <= 1e-5
    assert f < problem.fun(problem.x0)[0]
    assert result.nfev == result.njev == result.nit + 1


@pytest.mark.parametrize("gamma", ["window-max", "latest", "eigenvalue", 10.0])
def test_every_gamma_rule_converges(gamma):
    assert minimize(get_problem("woods", 12), gamma=gamma, maxfev=3000).success


@pytest.mark.parametrize("n", [1, 2, 3])
def test_memory_beyond_the_dimension(n):
    A = np.diag(np.arange(1.0, n + 1))
    result = qnsolve.minimize(
        lambda x: (0.5 * x @ A @ x, A @ x), np.ones(n), jac=True, options={"memory": 8}
    )
    assert result.success
    # With as many pairs as dimensions SR1 has the Hessian, and the last step is Newton's.
    assert result.nfev <= 4 * n + 4


def test_leaves_a_saddle():
    """Started on the stable manifold's edge, negative curvature leads away from the saddle."""

    def fun(x):
        return x[0] ** 2 - x[1] ** 2 + 0.25 * x[1] ** 4, np.array([2 * x[0], -2 * x[1] + x[1] ** 3])

    result = qnsolve.minimize(fun, np.array([1.0, 1e-3]), jac=True)
    assert result.fun == pytest.approx(-1.0, abs=1e-8)


def bowl(x):
    return float(x @ x), 2.0 * x


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_value_at_a_trial_point_is_rejected(bad):
    """With NaN-blind comparisons the radius never shrinks."""

    def fun(x):
        return (
            (bad, np.full_like(x, bad)) if x[0] > 2.0 else (float((x - 1) @ (x - 1)), 2 * (x - 1))
        )

    start = np.array([-30.0, 4.0])
    result = qnsolve.minimize(fun, start, jac=True, options={"initial_radius": 1e3})
    assert result.success
    np.testing.assert_allclose(result.x, 1.0, atol=1e-5)


def test_bad_gradient_at_a_trial_point_is_rejected():
    def fun(x):
        f, g = bowl(x)
        return f, g if np.linalg.norm(x) < 5.0 or f == 100.0 else np.full_like(x, np.nan)

    result = qnsolve.minimize(fun, np.array([6.0, 8.0]), jac=True, options={"initial_radius": 4.9})
    # Every trial with 5 <= |x| < 10 has no gradient: only longer steps get through.
    assert result.status in (Status.GTOL, Status.STEP_TOO_SMALL)
    assert np.isfinite(result.fun)
    assert np.isfinite(result.jac).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_start(bad):
    result = qnsolve.minimize(lambda x: (bad, 0 * x), np.ones(3), jac=True)
    assert (result.status, result.success, result.nfev) == (Status.NON_FINITE_START, False, 1)
    np.testing.assert_array_equal(result.x, np.ones(3))


def test_bad_gradient_at_the_start():
    result = qnsolve.minimize(lambda x: (1.0, np.nan * x), np.ones(3), jac=True)
    assert result.status == Status.NON_FINITE_START


def test_unbounded_below():
    for fun in (lambda x: (float(x.sum()), np.ones_like(x)), lambda x: (-float(x @ x), -2 * x)):
        result = qnsolve.minimize(fun, np.ones(4), jac=True)
        assert result.status == Status.UNBOUNDED
        assert not result.success


def test_minus_infinity():
    def fun(x):
        return (-np.inf, x) if x[0] < 0 else (float(x[0]), np.ones(1))

    result = qnsolve.minimize(fun, np.array([3.0]), jac=True)
    assert (result.status, result.fun) == (Status.UNBOUNDED, -np.inf)
    assert result.x[0] < 0


def test_already_optimal_and_constant():
    for fun in (bowl, lambda x: (7.0, 0 * x)):
        result = qnsolve.minimize(fun, np.zeros(3), jac=True)
        assert (result.status, result.nit, result.nfev) == (Status.GTOL, 0, 1)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"maxiter": 0}, Status.MAXITER),
        ({"maxiter": 3}, Status.MAXITER),
        ({"maxfev": 4}, Status.MAXFEV),
        ({"maxtime": 1e-9}, Status.MAXTIME),
        ({"ftol": 0.9}, Status.FTOL),
    ],
)
def test_limits(options, status):
    result = minimize(get_problem("extended-rosenbrock", 10), **options)
    assert result.status == status
    assert result.message == status.message
    if "maxiter" in options:
        assert result.nit == options["maxiter"]
    if "maxfev" in options:
        assert result.nfev == 4


def test_returns_the_best_accepted_point():
    problem = get_problem("dixon-price", 20)
    values = []

    def fun(x):
        f, g = problem.fun(x)
        values.append(f)
        return f, g

    result = qnsolve.minimize(fun, problem.x0, jac=True, options={"maxfev": 60})
    # A trial may be lower by less than it must be to be accepted: nothing more.
    assert result.fun <= min(values) * (1 + 1e-3)


def test_gradient_of_the_wrong_sign_ends():
    result = qnsolve.minimize(lambda x: (float(x @ x), -2 * x), np.ones(3), jac=True)
    assert not result.success
    assert result.nfev < 200


@given(st.sampled_from([1e-12, 1e-8, 1e-3]), st.integers(0, 1000))
def test_noise_ends_near_its_floor(noise, seed):
    rng = np.random.default_rng(seed)

    def fun(x):
        f, g = bowl(x)
        return f * (1 + noise * rng.standard_normal()), g * (
            1 + noise * rng.standard_normal(x.shape)
        )

    result = qnsolve.minimize(fun, np.ones(5), jac=True, options={"maxfev": 2000})
    assert np.abs(result.jac).max() <= 1e-5 or not result.success
    assert result.fun < 5.0


def test_goes_on_where_f_has_no_digits_left():
    """A large constant in f hides every decrease below 1e-8; the gradient still shows it."""

    def fun(x):
        f, g = get_problem("extended-rosenbrock", 2).fun(x)
        return f + 1e8, g

    result = qnsolve.minimize(fun, np.array([-1.2, 1.0]), jac=True, options={"gtol": 1e-6})
    assert result.success


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_keeps_dtype_and_shape(dtype):
    def fun(x):
        assert x.dtype == dtype
        assert x.shape == (2, 3)
        return ((x - 1) ** 2).sum(), 2 * (x - 1)

    result = qnsolve.minimize(fun, np.zeros((2, 3), dtype), jac=True)
    assert result.success
    assert result.x.dtype == result.jac.dtype == dtype
    assert result.x.shape == result.jac.shape == (2, 3)


def test_float32_rosenbrock():
    problem = get_problem("extended-rosenbrock", 20)

    def fun(x):
        f, g = problem.fun(x)
        return f, g.astype(np.float32)

    result = qnsolve.minimize(fun, problem.x0.astype(np.float32), jac=True)
    assert result.success
    np.testing.assert_allclose(result.x, 1.0, atol=0.05)


def test_array_libraries(xp):
    problem = get_problem("extended-rosenbrock", 8)
    host = minimize(problem)
    there = qnsolve.minimize(problem.fun, xp.asarray(problem.x0), jac=True)
    assert there.success
    assert there.nfev == host.nfev
    assert getattr(there.x, "device", None) == getattr(xp.asarray([0.0]), "device", None)
    assert there.fun == pytest.approx(host.fun, abs=1e-12)


def test_history():
    result = minimize(get_problem("woods", 4), history=True)
    assert [row["nit"] for row in result.history] == list(range(1, result.nit + 1))
    assert result.history[-1]["fun"] == result.fun
    assert {"radius", "ratio", "gnorm", "n_pairs", "accepted", "nfev"} <= set(result.history[0])
    assert "history" not in minimize(get_problem("woods", 4))


def test_callback_stop_equals_maxiter():
    problem = get_problem("extended-rosenbrock", 10)
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)
        if intermediate_result.nit == 7:
            raise StopIteration

    stopped = qnsolve.minimize(problem.fun, problem.x0, jac=True, callback=callback)
    limited = minimize(problem, maxiter=7)
    assert stopped.status == Status.CALLBACK_STOP
    np.testing.assert_array_equal(stopped.x, limited.x)
    assert len(seen) == 7
    assert seen[-1].fun == stopped.fun


def test_exception_of_the_user_comes_through():
    class Broken(Exception):
        pass

    def fun(x):
        raise Broken

    with pytest.raises(Broken):
        qnsolve.minimize(fun, np.ones(2), jac=True)


def test_nested_and_threaded_runs_are_independent():
    problem = get_problem("woods", 8)
    serial = minimize(problem)

    def outer(x):
        minimize(get_problem("dixon-price", 4), maxiter=3)
        return problem.fun(x)

    np.testing.assert_array_equal(qnsolve.minimize(outer, problem.x0, jac=True).x, serial.x)
    results = []
    threads = [threading.Thread(target=lambda: results.append(minimize(problem))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results:
        np.testing.assert_array_equal(result.x, serial.x)


def test_start_is_not_changed():
    x0 = np.ones(6)
    x0.flags.writeable = False
    minimize_result = qnsolve.minimize(get_problem("extended-rosenbrock", 6).fun, x0, jac=True)
    assert minimize_result.success
    np.testing.assert_array_equal(x0, 1.0)


def test_hermite_minimiser():
    # The cubic t -> t^3 - t has slopes -1 and 2 at the ends, no reduction, and its minimum at
    # 1 / sqrt(3).
    assert hermite_minimiser(-1.0, 2.0, 0.0) == pytest.approx(3**-0.5)
    assert np.isnan(hermite_minimiser(0.0, 0.0, 0.0))


def test_actual_reduction_near_rounding():
    assert actual_reduction(2.0, 1.0, -1.0, -1.0, eps=1e-16) == 1.0
    assert actual_reduction(1e8, 1e8, -3e-9, -1e-9, eps=1e-16) == pytest.approx(2e-9)


def test_starting_radius():
    assert starting_radius(x_norm=0.0, f=1e9, g_norm=1.0) == 1.0
    assert starting_radius(x_norm=50.0, f=1e9, g_norm=1.0) == 50.0
    assert starting_radius(x_norm=50.0, f=3.0, g_norm=2.0) == 3.0
    assert starting_radius(x_norm=50.0, f=0.0, g_norm=2.0) == 50.0
