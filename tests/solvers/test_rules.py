"""Rules that every loop keeps: convergence, safety near rounding, what it does with bad values."""

from __future__ import annotations

import threading

import array_api_compat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnsolve
from qnsolve import Status, UpdateStatus
from qnsolve.arrays import to_host
from qnsolve.problems import get_problem
from tests.tolerances import LIBRARY_ROUNDINGS

FLOOR = 20.0
"""What is left of f above its minimum where a loop ends, in units of its noise (seen: 2)."""

LOOPS = {
    "hybrid": ("hybrid-tr", {}),
    "hybrid-shape-inf": ("hybrid-tr", {"norm": "shape-inf"}),
    "tr-l2": ("lsr1-tr", {"norm": "l2"}),
    "tr-shape-inf": ("lsr1-tr", {"norm": "shape-inf"}),
    "tr-shape-2": ("lsr1-tr", {"norm": "shape-2"}),
    "arc-shape": ("lsr1-arc", {"norm": "shape"}),
    "arc-l2": ("lsr1-arc", {"norm": "l2"}),
    "ls": ("lsr1-ls", {}),
    "ls-ascent": ("lsr1-ls", {"modify": "ascent"}),
    "newton-l2": ("newton-tr", {"norm": "l2"}),
    "newton-rmsprop": ("newton-tr", {"norm": "rmsprop"}),
}


class Loop:
    """``minimize`` with one method and norm."""

    def __init__(self, name):
        self.method, self.defaults = LOOPS[name]

    def __call__(self, fun, x0, *, callback=None, **options):
        options = {**self.defaults, **options}
        return qnsolve.minimize(
            fun, x0, jac=True, method=self.method, callback=callback, options=options
        )

    @property
    def one_evaluation_a_step(self):
        """Whether an iteration is one evaluation: no search, no differences for a Hessian."""
        return self.method not in ("lsr1-ls", "newton-tr")

    @property
    def long_first_step(self):
        """Options with which the first step goes far beyond what f suggests."""
        if self.method == "lsr1-arc":
            return {"initial_weight": 1e-9, "longest_step": np.inf}
        if self.method == "lsr1-ls":
            return {"initial_step": 1e3}
        return {"initial_radius": 1e3}


@pytest.fixture(params=LOOPS)
def run(request):
    return Loop(request.param)


def on_problem(run, problem, **options):
    return run(problem.fun, problem.x0, **options)


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
def test_reaches_the_tolerance(run, name, n):
    problem = get_problem(name, n)
    result = on_problem(run, problem, maxfev=2000)
    assert result.status == Status.GTOL
    assert result.success
    f, g = problem.fun(result.x)
    assert result.fun == f
    np.testing.assert_array_equal(result.jac, g)
    assert np.abs(g).max() <= 1e-5
    assert f < problem.fun(problem.x0)[0]
    assert result.nfev == result.njev >= result.nit + 1
    if run.one_evaluation_a_step:
        assert result.nfev == result.nit + 1


@pytest.mark.parametrize("gamma", ["window-max", "latest", "eigenvalue", 10.0])
def test_every_gamma_rule_converges(run, gamma):
    if run.method == "newton-tr":
        pytest.skip("Newton's method has no gamma")
    assert on_problem(run, get_problem("woods", 12), gamma=gamma, maxfev=3000).success


@pytest.mark.parametrize("n", [1, 2, 3])
def test_memory_beyond_the_dimension(run, n):
    A = np.diag(np.arange(1.0, n + 1))
    pairs = {} if run.method == "newton-tr" else {"memory": 8}
    result = run(lambda x: (0.5 * x @ A @ x, A @ x), np.ones(n), **pairs)
    assert result.success
    # With as many pairs as dimensions SR1 has the Hessian, and the last step is Newton's.
    assert result.nfev <= 4 * n + 4


def test_leaves_a_saddle(run):
    """Started on the stable manifold's edge, negative curvature leads away from the saddle."""

    def fun(x):
        return x[0] ** 2 - x[1] ** 2 + 0.25 * x[1] ** 4, np.array([2 * x[0], -2 * x[1] + x[1] ** 3])

    result = run(fun, np.array([1.0, 1e-3]))
    assert result.fun == pytest.approx(-1.0, abs=1e-8)


def bowl(x):
    return float(x @ x), 2.0 * x


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_value_at_a_trial_point_is_rejected(run, bad):
    """With NaN-blind comparisons the radius never shrinks."""

    def fun(x):
        return (
            (bad, np.full_like(x, bad)) if x[0] > 2.0 else (float((x - 1) @ (x - 1)), 2 * (x - 1))
        )

    start = np.array([-30.0, 4.0])
    result = run(fun, start, **run.long_first_step)
    assert result.success
    np.testing.assert_allclose(result.x, 1.0, atol=1e-5)


def test_bad_gradient_at_a_trial_point_is_rejected(run):
    def fun(x):
        f, g = bowl(x)
        return f, g if np.linalg.norm(x) < 5.0 or f == 100.0 else np.full_like(x, np.nan)

    result = run(fun, np.array([6.0, 8.0]), **run.long_first_step)
    # Every trial with 5 <= |x| < 10 has no gradient: only longer steps get through.
    expected = [Status.GTOL, Status.STEP_TOO_SMALL]
    if run.method == "newton-tr":
        expected.append(Status.NO_MODEL_DECREASE)  # the difference that makes a product has none
    assert result.status in expected
    assert np.isfinite(result.fun)
    assert np.isfinite(result.jac).all()


def flat_tail(x):
    """DENSCHNE of CUTEst: all but flat along x_3 where it starts."""
    with np.errstate(over="ignore"):
        u, v = x[1] + x[1] ** 2, np.expm1(x[2])
        g = np.array([2.0 * x[0], 2.0 * u * (1.0 + 2.0 * x[1]), 2.0 * v * np.exp(x[2])])
        return x[0] ** 2 + u**2 + v**2, g


@pytest.mark.parametrize("start", [-8.0, -9.0])
def test_the_pair_of_a_step_far_off_is_not_stored(run, start):
    """The pair of a rejected step on which f grows by 1e25 would drown all others."""
    result = run(flat_tail, np.array([2.0, 3.0, start]), maxfev=500)
    assert result.success
    assert result.fun < 1e-6


def test_a_run_that_cannot_go_on_ends(run):
    """The gradient has the wrong sign: after pairs are forgotten it is as stuck as before."""
    result = run(lambda x: (0.5 * float(x @ x), -x), np.ones(4), maxfev=500)
    assert not result.success
    assert result.restarts <= 1
    assert result.nfev < 500


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_start(run, bad):
    result = run(lambda x: (bad, 0 * x), np.ones(3))
    assert (result.status, result.success, result.nfev) == (Status.NON_FINITE_START, False, 1)
    # There is no model, and so no size of its region: a number all the same.
    sizes = [result[name] for name in ("radius", "weight") if name in result]
    assert np.isnan(sizes).all() and len(sizes) == (run.method != "lsr1-ls")
    np.testing.assert_array_equal(result.x, np.ones(3))


def test_bad_gradient_at_the_start(run):
    result = run(lambda x: (1.0, np.nan * x), np.ones(3))
    assert result.status == Status.NON_FINITE_START


def test_unbounded_below(run):
    for fun in (lambda x: (float(x.sum()), np.ones_like(x)), lambda x: (-float(x @ x), -2 * x)):
        result = run(fun, np.ones(4))
        assert result.status == Status.UNBOUNDED
        assert not result.success


def test_minus_infinity(run):
    def fun(x):
        return (-np.inf, x) if x[0] < 0 else (float(x[0]), np.ones(1))

    result = run(fun, np.array([3.0]))
    assert (result.status, result.fun) == (Status.UNBOUNDED, -np.inf)
    assert result.x[0] < 0


def test_already_optimal_and_constant(run):
    for fun in (bowl, lambda x: (7.0, 0 * x)):
        result = run(fun, np.zeros(3))
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
def test_limits(run, options, status):
    counts = []
    result = on_problem(
        run,
        get_problem("extended-rosenbrock", 10),
        callback=lambda intermediate_result: counts.append(intermediate_result.nfev),
        **options,
    )
    assert result.status == status
    assert result.message == status.message
    if "maxiter" in options:
        assert result.nit == options["maxiter"]
    if "maxfev" in options:
        # No iteration begins that is not allowed an evaluation; one may take several.
        assert max([1, *counts[:-1]]) < options["maxfev"] <= counts[-1] == result.nfev
        if run.one_evaluation_a_step:
            assert result.nfev == options["maxfev"]


def test_returns_the_best_accepted_point(run):
    problem = get_problem("dixon-price", 20)
    values = []

    def fun(x):
        f, g = problem.fun(x)
        values.append(f)
        return f, g

    result = run(fun, problem.x0, maxfev=60)
    # A trial may be lower by less than it must be to be accepted: nothing more.
    assert result.fun <= min(values) * (1 + 1e-3)


def test_gradient_of_the_wrong_sign_ends(run):
    result = run(lambda x: (float(x @ x), -2 * x), np.ones(3))
    assert not result.success
    assert result.nfev < 200


@given(st.sampled_from(sorted(LOOPS)), st.sampled_from([1e-12, 1e-8, 1e-3]), st.integers(0, 1000))
def test_noise_ends_near_its_floor(name, noise, seed):
    """Noise of f hides decreases that are smaller, and noise of g as much per unit of length."""
    run, d = Loop(name), np.linspace(1.0, 30.0, 5)
    rng = np.random.default_rng(seed)

    def true(x):
        return 1.0 + 0.5 * float(x @ (d * x)), d * x

    def fun(x):
        f, g = true(x)
        return f + noise * rng.standard_normal(), g + noise * rng.standard_normal(x.shape)

    result = run(fun, np.ones(5), maxfev=2000)
    assert result.nfev < 2000
    left = true(result.x)[0] - 1.0
    if run.method == "newton-tr" and noise > 1e-12:
        # Its products are differences of gradients: nothing is left of them in the noise.
        assert left <= true(np.ones(5))[0] - 1.0 + FLOOR * noise
    else:
        # A gradient of gtol or less, the least curvature being 1, leaves gtol^2 / 2 an entry.
        assert left <= max(FLOOR * noise, 5 * 1e-5**2)


def test_goes_on_where_f_has_no_digits_left(run):
    """A large constant in f hides every decrease below 1e-8; the gradient still shows it."""

    def fun(x):
        f, g = get_problem("extended-rosenbrock", 2).fun(x)
        return f + 1e8, g

    result = run(fun, np.array([-1.2, 1.0]), gtol=1e-6)
    assert result.success


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_keeps_dtype_and_shape(run, dtype):
    def fun(x):
        assert x.dtype == dtype
        assert x.shape == (2, 3)
        return ((x - 1) ** 2).sum(), 2 * (x - 1)

    result = run(fun, np.zeros((2, 3), dtype))
    assert result.success
    assert result.x.dtype == result.jac.dtype == dtype
    assert result.x.shape == result.jac.shape == (2, 3)


def test_float32_rosenbrock(run):
    problem = get_problem("extended-rosenbrock", 20)

    def fun(x):
        f, g = problem.fun(x)
        return f, g.astype(np.float32)

    result = run(fun, problem.x0.astype(np.float32))
    assert result.success
    np.testing.assert_allclose(result.x, 1.0, atol=0.05)


@pytest.mark.parametrize(("dtype", "shape"), [("float32", (8,)), ("float64", (2, 4))])
def test_array_libraries(run, xp, dtype, shape):
    """The same iterates, and results of the library, dtype, device and shape of x0."""
    problem = get_problem("broyden-tridiagonal", 8)

    def fun(x):
        flat = array_api_compat.array_namespace(x).reshape(x, (-1,))
        return problem.fun(flat)

    host_x0 = (problem.x0 + 0.01 * np.arange(8)).astype(dtype).reshape(shape)
    x0 = xp.asarray(host_x0, dtype)
    host, there = run(fun, host_x0, maxiter=8), run(fun, x0, maxiter=8)
    eps = float(np.finfo(dtype).eps)
    # Without hessp a product with the Hessian is a difference, of which half the digits are left.
    rtol = np.sqrt(eps) if run.method == "newton-tr" else LIBRARY_ROUNDINGS * eps
    assert np.abs(to_host(there.x) - host.x).max() <= rtol * np.abs(host.x).max()
    assert run(fun, x0).success
    for a in (there.x, there.jac):
        assert array_api_compat.array_namespace(a) is xp.namespace
        assert array_api_compat.device(a) == array_api_compat.device(x0)
        assert (tuple(a.shape), a.dtype) == (shape, x0.dtype)


def test_history(run):
    result = on_problem(run, get_problem("woods", 4), history=True)
    assert [row["nit"] for row in result.history] == list(range(1, result.nit + 1))
    assert result.history[-1]["fun"] == result.fun
    keys = {"gnorm", "n_pairs", "accepted", "nfev"}
    if run.method == "lsr1-ls":
        keys |= {"step_length", "modified"}
    else:
        size = "weight" if run.method == "lsr1-arc" else "radius"
        assert result[size] == result.history[-1][size]
        keys |= {size, "ratio"}
    assert keys <= set(result.history[0])
    assert "history" not in on_problem(run, get_problem("woods", 4))


def test_history_says_what_became_of_each_pair(run):
    seen = []
    result = on_problem(
        run,
        get_problem("woods", 4),
        history=True,
        callback=lambda intermediate_result: seen.append(intermediate_result.pair),
    )
    pairs = [row["pair"] for row in result.history]
    assert seen == pairs
    if run.method == "newton-tr":
        assert set(pairs) == {None}
        return
    assert all(pair is None or isinstance(pair, UpdateStatus) for pair in pairs)
    assert sum(pair is not None and not pair.stored for pair in pairs) == result.skipped
    before = 0
    for row in result.history:
        assert row["pair"] is not None or not row["accepted"]
        if before == 0:
            assert (row["pair"] is UpdateStatus.STORED) == (row["n_pairs"] == 1)
        before = row["n_pairs"]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("method", ["lsr1-tr", "lsr1-arc", "lsr1-ls"])
def test_a_pair_that_is_satisfied_says_so(method, compiled):
    """Once the curvature of c I is known, L-SR1 learns nothing more: B s = y already."""
    result = qnsolve.minimize(
        lambda x: (1.5 * x @ x, 3.0 * x),
        np.array([1.0, -2.0, 0.5]),
        jac=True,
        method=method,
        options={
            **({"compiled": compiled} if method == "lsr1-tr" else {}),
            **({"initial_step": 1e-3} if method == "lsr1-ls" else {}),
            "history": True,
            "gtol": 1e-12,
        },
    )
    pairs = {row["pair"] for row in result.history}
    assert UpdateStatus.SATISFIED in pairs
    assert result.skipped > 0


def test_callback_stop_equals_maxiter(run):
    problem = get_problem("extended-rosenbrock", 10)
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)
        if intermediate_result.nit == 7:
            raise StopIteration

    stopped = run(problem.fun, problem.x0, callback=callback)
    limited = on_problem(run, problem, maxiter=7)
    assert stopped.status == Status.CALLBACK_STOP
    np.testing.assert_array_equal(stopped.x, limited.x)
    assert len(seen) == 7
    assert seen[-1].fun == stopped.fun


def test_exception_of_the_user_comes_through(run):
    class Broken(Exception):
        pass

    def fun(x):
        raise Broken

    with pytest.raises(Broken):
        run(fun, np.ones(2))


def test_nested_and_threaded_runs_are_independent(run):
    problem = get_problem("woods", 4)
    serial = on_problem(run, problem, maxiter=15)

    def outer(x):
        on_problem(run, get_problem("dixon-price", 4), maxiter=2)
        return problem.fun(x)

    np.testing.assert_array_equal(run(outer, problem.x0, maxiter=15).x, serial.x)
    results = []

    def in_thread():
        results.append(on_problem(run, problem, maxiter=15))

    threads = [threading.Thread(target=in_thread) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results:
        np.testing.assert_array_equal(result.x, serial.x)


def test_start_is_not_changed(run):
    x0 = np.ones(6)
    x0.flags.writeable = False
    minimize_result = run(get_problem("extended-rosenbrock", 6).fun, x0)
    assert minimize_result.success
    np.testing.assert_array_equal(x0, 1.0)
