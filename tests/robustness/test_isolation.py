"""Runs beside each other, in each other, and states that travel to another process."""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import qnsolve
from qnsolve import LBFGS, LSR1, DiagonalNorm, HybridLSR1, Status, solve_cubic, solve_trs
from qnsolve.problems import get_problem
from qnsolve.quasi_newton.inverse import InverseLSR1
from qnsolve.stochastic import make_solver
from tests.robustness.cases import METHODS, X0, minimize, to_numpy, wells
from tests.strategies import pair_stream

THREADS = 8

NAMES = ["woods", "dixon-price", "extended-rosenbrock", "styblinski-tang"]


def work(job):
    method, name, n = job
    problem = get_problem(name, n)
    return minimize(method, problem.fun, problem.x0, maxiter=12, history=True)


def same(a, b):
    np.testing.assert_array_equal(a.x, b.x)
    np.testing.assert_array_equal(a.jac, b.jac)
    assert (a.fun, a.nit, a.nfev, a.status) == (b.fun, b.nit, b.nfev, b.status)
    # NaN, the ratio of a trial that was not finite, is not equal to itself.
    assert repr(a.history) == repr(b.history)


def test_eight_threads_give_the_serial_answers():
    jobs = [(method, name, n) for method in METHODS for name in NAMES for n in (4, 12)]
    serial = [work(job) for job in jobs]
    together = threading.Barrier(THREADS)
    with ThreadPoolExecutor(THREADS, initializer=together.wait) as pool:
        for a, b in zip(serial, pool.map(work, jobs), strict=True):
            same(a, b)


@pytest.mark.parametrize("method", METHODS)
def test_threads_that_share_their_objective(method):
    """The solvers' own state is theirs alone; what a function shares is its author's concern."""
    serial = minimize(method, wells, X0, history=True)
    with ThreadPoolExecutor(THREADS) as pool:
        runs = [pool.submit(minimize, method, wells, X0, history=True) for _ in range(THREADS)]
        for run in runs:
            same(run.result(), serial)


@pytest.mark.parametrize("inner", METHODS)
@pytest.mark.parametrize("outer", METHODS)
def test_nested_minimise(outer, inner):
    """min over x of min over z: the inner run is an evaluation of the outer one."""

    def value(x):
        found = minimize(inner, lambda z: ((z - x) @ (z - x) + z @ z, 2 * (z - x) + 2 * z), x)
        assert found.success
        # By the envelope theorem the gradient is the partial one, at the inner minimiser.
        return found.fun + (x - 1) @ (x - 1), 2 * (x - found.x) + 2 * (x - 1)

    result = minimize(outer, value, X0)
    assert result.success
    # min_z is |x|^2 / 2.
    np.testing.assert_allclose(result.x, 2.0 / 3.0, atol=1e-4)


def test_a_run_inside_an_exception_of_another():
    def fun(x):
        try:
            minimize("lsr1-tr", lambda z: (_ for _ in ()).throw(KeyError("inner")), x)
        except KeyError:
            return wells(x)
        raise AssertionError("the inner exception did not come through")

    np.testing.assert_array_equal(
        minimize("hybrid-tr", fun, X0).x, minimize("hybrid-tr", wells, X0).x
    )


# -- pickles ---------------------------------------------------------------------------------------

COPIES = {"pickle": lambda a: pickle.loads(pickle.dumps(a)), "deepcopy": copy.deepcopy}


@pytest.fixture(params=COPIES)
def copied(request):
    return COPIES[request.param]


@pytest.mark.parametrize("kind", [LSR1, LBFGS, HybridLSR1, InverseLSR1])
def test_matrices_go_on_from_a_copy(kind, copied, xp):
    stream = pair_stream("quadratic", n=6, memory=3, length=8, seed=5)
    pairs = [(xp.asarray(s), xp.asarray(y)) for s, y in stream]
    B = kind(6, memory=3, like=pairs[0][0])
    for s, y in pairs[:5]:
        B.update(s, y)
    C = copied(B)
    for s, y in pairs[5:]:
        assert C.update(s, y) is B.update(s, y)
    v = pairs[0][0]
    product = C @ v
    assert product.dtype == v.dtype
    np.testing.assert_array_equal(to_numpy(product), to_numpy(B @ v))


@pytest.mark.parametrize("method", METHODS)
def test_results(method, copied):
    result = minimize(method, wells, X0, history=True)
    same(copied(result), result)
    assert Status(copied(Status(result.status))) is Status(result.status)


def test_subproblems_and_norms(copied):
    B = LSR1(4)
    B.update(np.eye(4)[0], np.array([-2.0, 1.0, 0.0, 0.0]))
    g, norm = np.arange(1.0, 5.0), DiagonalNorm(np.arange(1.0, 5.0))
    for result in (solve_trs(g, B, 0.5), solve_trs(g, B, 0.5, norm=norm), solve_cubic(g, B, 2.0)):
        again = copied(result)
        np.testing.assert_array_equal(again.step, result.step)
        assert again.certificate() == result.certificate()
    np.testing.assert_array_equal(copied(norm).d, norm.d)


@pytest.mark.parametrize("method", METHODS)
def test_states_of_a_training_run(method, copied):
    """A state taken apart from its solver goes on to the same iterates."""
    problem = get_problem("woods", 4)
    more = {"product": lambda x, v: 3.0 * v} if method == "newton-tr" else {}
    solver = make_solver(method)
    state = solver.init(problem.x0)
    for _ in range(4):
        state, _ = solver.step(state, problem.fun, **more)
    other = copied(state)
    for _ in range(4):
        state, _ = solver.step(state, problem.fun, **more)
        other, _ = solver.step(other, problem.fun, **more)
    np.testing.assert_array_equal(other.x, state.x)


def test_methods_and_options_travel(copied):
    assert copied(qnsolve.hybrid_tr) is qnsolve.hybrid_tr
    options = qnsolve.options.CubicOptions(memory=3)
    assert copied(options) == options
