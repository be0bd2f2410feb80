"""Callbacks of both signatures, whatever they do."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve import Status
from qnsolve.problems import get_problem
from tests.robustness.cases import METHODS, X0, minimize, to_numpy, wells

pytestmark = pytest.mark.parametrize("method", METHODS)

SIGNATURES = {
    "xk": lambda do: lambda xk: do(xk),
    "intermediate_result": lambda do: (
        lambda intermediate_result: do(intermediate_result.x, intermediate_result)
    ),
}

pytestmark = [pytestmark, pytest.mark.parametrize("signature", SIGNATURES)]


def test_sees_every_iterate(method, signature, xp):
    points = []
    callback = SIGNATURES[signature](lambda x, result=None: points.append(to_numpy(x)))
    result = minimize(method, wells, xp.asarray(X0), callback)
    assert len(points) == result.nit
    np.testing.assert_array_equal(points[-1], to_numpy(result.x))


def test_stop_is_as_good_as_maxiter(method, signature, xp):
    count = 0

    def do(x, result=None):
        nonlocal count
        count += 1
        if count == 3:
            raise StopIteration

    stopped = minimize(method, wells, xp.asarray(X0), SIGNATURES[signature](do))
    limited = minimize(method, wells, xp.asarray(X0), maxiter=3)
    assert (stopped.status, stopped.success) == (Status.CALLBACK_STOP, False)
    assert (stopped.nit, stopped.nfev, stopped.fun) == (3, limited.nfev, limited.fun)
    np.testing.assert_array_equal(to_numpy(stopped.x), to_numpy(limited.x))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, FloatingPointError])
def test_other_exceptions_come_through(method, signature, error):
    raised = error("from the user")

    def do(x, result=None):
        raise raised

    with pytest.raises(error) as caught:
        minimize(method, wells, X0, SIGNATURES[signature](do))
    assert caught.value is raised


def test_what_it_writes_is_lost(method, signature):
    def do(x, result=None):
        x[:] = np.nan
        if result is not None:
            result.jac[:] = np.nan
            result.fun = -np.inf
            result.update(nit=99, nfev=99)

    plain = minimize(method, wells, X0)
    written = minimize(method, wells, X0, SIGNATURES[signature](do))
    np.testing.assert_array_equal(written.x, plain.x)
    np.testing.assert_array_equal(written.jac, plain.jac)
    assert (written.fun, written.nit, written.nfev) == (plain.fun, plain.nit, plain.nfev)


def test_is_not_called_without_an_iteration(method, signature):
    def do(x, result=None):
        raise AssertionError("called")

    callback = SIGNATURES[signature](do)
    assert minimize(method, wells, X0, callback, maxiter=0).status == Status.MAXITER
    assert minimize(method, wells, np.zeros(2), callback).status == Status.GTOL
    assert minimize(method, lambda x: (np.nan, x), X0, callback).status == Status.NON_FINITE_START


def test_raising_in_the_midst_of_another_run(method, signature):
    """A callback that minimises something itself, and is told to stop there."""
    problem = get_problem("woods", 4)

    def stop(xk):
        raise StopIteration

    def do(x, result=None):
        assert minimize(method, problem.fun, problem.x0, stop).status == Status.CALLBACK_STOP

    result = minimize(method, wells, X0, SIGNATURES[signature](do))
    np.testing.assert_array_equal(result.x, minimize(method, wells, X0).x)
