"""Many problems at once: every row as its own run."""

from __future__ import annotations

import numpy as np
import pytest
from array_api_compat import array_namespace
from hypothesis import given, settings
from hypothesis import strategies as st

import qnsolve
from qnsolve import minimize_many
from qnsolve.arrays.libraries import to_host
from qnsolve.methods import METHODS
from tests.handover.problems import GTOL, fun
from tests.handover.test_solver import assert_same

K, N = 4, 5
OPTIONS = {"gtol": GTOL, "maxiter": 12}


def starts(k=K, n=N, seed=0):
    return np.random.default_rng(seed).standard_normal((k, n)) * np.geomspace(0.1, 2.0, k)[:, None]


class Rows:
    """A function of a row, for many rows; it notes what it is asked."""

    def __init__(self, function=fun):
        self.function, self.sizes, self.seen = function, [], []

    def __call__(self, X, indices=None):
        xp = array_namespace(X)
        self.sizes.append(X.shape[0])
        self.seen.append(indices)
        pairs = [self.function(X[i, ...]) for i in range(X.shape[0])]
        return xp.stack([f for f, _ in pairs]), xp.stack([g for _, g in pairs])


@pytest.mark.parametrize("method", METHODS)
def test_every_row_is_its_own_run(method, xp):
    X0, rows = xp.asarray(starts(3)), Rows()
    options = {"gtol": 1e-3, "maxiter": 7, "history": True}
    many = minimize_many(rows, X0, method=method, options=options)
    for i, result in enumerate(many.results):
        alone = qnsolve.minimize(fun, X0[i, ...], jac=True, method=method, options=options)
        assert_same(result, alone)
        np.testing.assert_array_equal(to_host(many.x[i, ...]), to_host(alone.x))
        np.testing.assert_array_equal(to_host(many.jac[i, ...]), to_host(alone.jac))
    assert type(many.x) is type(X0)
    assert many.x.shape == many.jac.shape == X0.shape
    assert many.calls == len(rows.sizes) == max(many.nfev)
    assert sum(rows.sizes) == sum(many.nfev)  # those that have ended are not evaluated
    assert many.fun.shape == many.nit.shape == many.status.shape == many.success.shape == (3,)


@settings(max_examples=8)
@given(
    st.integers(1, 6), st.integers(1, 15), st.integers(0, 2**32 - 1), st.sampled_from(list(METHODS))
)
def test_drawn_problems(k, n, seed, method):
    """Not convex, of several units, each row with a matrix of its own."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((k, n, n)) * 10.0 ** rng.integers(-3, 3, n)
    X0 = rng.standard_normal((k, n))

    def one(x, i):
        # Without products by BLAS: some of its kernels sum up a row in another order than a vector
        # that begins on another boundary in memory.
        u = np.sum(A[i] * x, axis=1)
        g = x - np.sum(A[i] * np.sin(u)[:, None], axis=0)
        return np.sum(np.cos(u)) + 0.5 * np.sum(x * x), g

    def all_rows(X, indices):
        pairs = [one(x, i) for x, i in zip(X, indices, strict=True)]
        return np.array([f for f, _ in pairs]), np.array([g for _, g in pairs])

    many = minimize_many(all_rows, X0, method=method, options=OPTIONS, indices=True)
    for i, result in enumerate(many.results):
        alone = qnsolve.minimize(one, X0[i], (i,), jac=True, method=method, options=OPTIONS)
        assert_same(result, alone)


def test_a_vectorised_function_with_rows_of_any_shape():
    def many(X):
        return np.sum(X**4 - X**2, axis=(1, 2)), 4.0 * X**3 - 2.0 * X

    X0 = starts(3, 4).reshape(3, 2, 2)
    result = minimize_many(many, X0)
    assert result.success.all()
    assert result.x.shape == (3, 2, 2)
    assert result.results[1].x.shape == (2, 2)
    np.testing.assert_allclose(np.abs(result.x), np.sqrt(0.5), rtol=1e-5)


def test_a_row_that_fails_harms_no_other():
    """NaN at a start, a wall of infinity, no minimum at all."""

    def one(x):
        f, g = fun(x)
        if x[0] == 7.0:
            return np.array(np.nan), g
        if x[0] > 6.0:
            return np.sum(-(x**3)), -3.0 * x**2
        return (f if x[0] > -1.0 else np.array(np.inf)), g

    X0 = starts()
    X0[:, 0] = 0.5, 7.0, 9.0, 1.0
    many = minimize_many(Rows(one), X0, options={"gtol": GTOL})
    assert many.status.tolist()[1:3] == [qnsolve.Status.NON_FINITE_START, qnsolve.Status.UNBOUNDED]
    for i in (0, 3):
        assert_same(many.results[i], qnsolve.minimize(one, X0[i], jac=True, options={"gtol": GTOL}))
    assert many.best.fun == many.fun[2]  # the lowest, which need not be a success


def test_indices_and_progress():
    rows, seen = Rows(), []

    def callback(intermediate_result):
        seen.append(intermediate_result)

    X0 = starts()
    many = minimize_many(rows, X0, indices=True, callback=callback)
    assert rows.seen[0].tolist() == [0, 1, 2, 3]
    for before, progress in zip(rows.seen[1:], seen, strict=False):
        assert before.tolist() == progress.running.tolist()
    assert [progress.calls for progress in seen] == list(range(1, many.calls + 1))
    assert len(seen[-1].running) == 0
    np.testing.assert_array_equal(seen[-1].x, many.x)
    np.testing.assert_array_equal(seen[0].x, X0)
    values = np.array([progress.fun for progress in seen])
    assert (np.diff(values, axis=0) <= 1e-12 * np.abs(values[1:])).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_callback_ends_all_of_them(method):
    def callback(intermediate_result):
        if intermediate_result.calls == 4:
            raise StopIteration

    many = minimize_many(Rows(), starts(), method=method, callback=callback)
    assert many.calls == 4
    assert (many.status == qnsolve.Status.CALLBACK_STOP).all()
    for result, x0 in zip(many.results, starts(), strict=True):
        assert result.fun <= fun(x0)[0]
        assert result.n_pairs <= 3
        f, g = fun(result.x)
        assert f == result.fun
        np.testing.assert_array_equal(g, result.jac)


def test_the_matrix_of_every_row():
    many = minimize_many(Rows(), starts(), options=OPTIONS)
    alone = qnsolve.minimize(fun, starts()[2], jac=True, options=OPTIONS)
    assert np.array_equal(many.results[2].hess.todense(), alone.hess.todense())
    rest = qnsolve.minimize(fun, alone.x, jac=True, warm_start=many.results[2])
    assert rest.nfev <= 2


def test_a_summary(capsys):
    minimize_many(Rows(), starts(), options={"disp": True})
    assert capsys.readouterr().out.startswith("4 of 4 minimisations succeeded in ")


def test_wrong_arguments_and_answers():
    def untouched(X):
        pytest.fail("an evaluation")

    X0 = starts()
    for arguments, error, words in (
        ((3, X0), TypeError, "fun must be callable"),
        ((untouched, X0[0]), ValueError, r"X0 must have shape \(k, n\), .*got \(5,\)"),
        ((untouched, np.where(X0 > 1.0, np.nan, X0)), ValueError, "X0 has NaN"),
        ((untouched, np.ones((0, 3))), ValueError, "X0 is empty"),
    ):
        with pytest.raises(error, match=words):
            minimize_many(*arguments)
    for keywords, error, words in (
        ({"method": "bfgs"}, ValueError, "unknown method"),
        ({"options": 3}, TypeError, "options must be a mapping"),
        ({"options": {"memori": 3}}, TypeError, "did you mean 'memory'"),
        ({"options": {"checkpoint": "a"}}, ValueError, "no checkpoint"),
        ({"callback": 3}, TypeError, "callback must be callable"),
        ({"indices": "yes"}, TypeError, "indices must be True or False"),
    ):
        with pytest.raises(error, match=words):
            minimize_many(untouched, X0, **keywords)
    for answer, error, words in (
        (lambda X: np.sum(X), TypeError, r"must return the pair \(F, G\)"),
        (lambda X: (np.sum(X), X), ValueError, r"F must have shape \(4,\), one value a row"),
        (lambda X: (np.sum(X, axis=1), X[0]), ValueError, r"G must have shape \(4, 5\)"),
        (lambda X: (np.sum(X, axis=1), 1j * X), TypeError, "G is complex"),
        (lambda X: (["a"] * 4, X), TypeError, "F must hold real numbers"),
    ):
        with pytest.raises(error, match=words):
            minimize_many(answer, X0)
