"""Standard errors and the error of a matrix, against Hessians that are known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st

import qnsolve
from benchmarks.standard_errors import FITS
from qnsolve.arrays.libraries import to_host
from qnsolve.verify import hessian_error
from tests.handover.problems import GTOL, WITH_MATRIX, fun, hessian, start

N = 8
DIFFERENCES = 1e-5
"""Relative error of a standard error whose Hessian is exact to the differences of gradients."""


def solve(x0=None, method=None, **options):
    x0 = start(N) if x0 is None else x0
    return qnsolve.minimize(fun, x0, jac=True, method=method, options={"gtol": GTOL, **options})


def exact_errors(H):
    return np.sqrt(np.diag(np.linalg.inv(H)))


class Quadratic:
    """x'Hx / 2, and a result at its minimum with the matrix B."""

    def __init__(self, H, B):
        self.H, self.B = H, B

    def __call__(self, x):
        return 0.5 * x @ self.H @ x, self.H @ x

    @property
    def result(self):
        x = np.zeros(self.H.shape[0])
        return scipy.optimize.OptimizeResult(x=x, hess=qnsolve.as_linear_operator(self.B))


@st.composite
def quadratics(draw):
    """Draw H that differs from B, of gamma I and a few pairs, in a few directions."""
    n, rank = draw(st.integers(6, 12)), draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gamma = 10.0 ** draw(st.integers(-3, 3))
    B = qnsolve.LBFGS(n, memory=3, gamma=gamma)
    for _ in range(draw(st.integers(0, 2))):
        s = rng.standard_normal(n)
        B.update(s, gamma * (s + 0.3 * rng.standard_normal() * s**2 + s * rng.random(n)))
    C = rng.standard_normal((n, rank))
    values = gamma * np.geomspace(1.0, 3.0, rank) * 10.0 ** draw(st.integers(-1, 1))
    return B.to_dense() + (C * values) @ C.T, B, rank


@given(quadratics())
def test_as_many_differences_as_directions_are_wrong_make_it_exact(drawn):
    """E = I + low rank: its Krylov space holds all that differs from B, and the start."""
    H, B, rank = drawn
    problem = Quadratic(H, B)
    found = qnsolve.standard_errors(problem, problem.result, rank + 1)
    assert found.definite
    assert found.nfev == rank + 2
    np.testing.assert_allclose(found.errors, exact_errors(H), rtol=1e-4)
    check = hessian_error(problem, problem.result, rank + 1)
    np.testing.assert_allclose(check.ratios, found.ratios)
    L = np.linalg.cholesky(B.to_dense())
    E = np.linalg.solve(L, np.linalg.solve(L, H).T)
    assert check.factor == pytest.approx(np.linalg.eigvalsh(E)[-1], rel=1e-4)


@pytest.mark.parametrize("method", WITH_MATRIX)
def test_without_differences_it_is_the_diagonal_of_the_inverse(method):
    result = solve(method=method, memory=3 * N)
    found = qnsolve.standard_errors(fun, result, 0)
    assert found.nfev == len(found.ratios) == 0
    np.testing.assert_allclose(found.errors**2, result.hess_inv.diagonal(), rtol=1e-6)


@pytest.mark.parametrize("method", [*WITH_MATRIX, "newton-tr"])
def test_all_directions_are_exact(method):
    result = solve(method=method)
    found = qnsolve.standard_errors(fun, result)
    assert found.nfev == N + 1
    np.testing.assert_allclose(found.errors, exact_errors(hessian(result.x)), rtol=DIFFERENCES)
    scaled = qnsolve.standard_errors(fun, result, N, scale=4.0)
    np.testing.assert_allclose(scaled.errors, 2.0 * found.errors)


def test_of_an_ellipsoidal_norm():
    norm = qnsolve.DiagonalNorm(np.geomspace(1.0, 1e4, N))
    result = solve(norm=norm, memory=3 * N)
    exact = exact_errors(hessian(result.x))
    np.testing.assert_allclose(
        qnsolve.standard_errors(fun, result, 0).errors ** 2, result.hess_inv.diagonal(), rtol=1e-6
    )
    found = qnsolve.standard_errors(fun, result, N - 1)
    np.testing.assert_allclose(found.errors, exact, rtol=0.05)


@pytest.mark.parametrize("name", FITS)
def test_more_differences_are_better_on_fits(name):
    fit = FITS[name]
    result = qnsolve.minimize(fit.fun, fit.x0, jac=True, options={"gtol": 1e-4})
    exact = exact_errors(fit.hess(result.x))
    errors = [
        np.abs(qnsolve.standard_errors(fit.fun, result, k).errors / exact - 1.0)
        for k in (0, fit.x0.size // 2, fit.x0.size)
    ]
    assert np.median(errors[1]) < np.median(errors[0])
    assert errors[2].max() <= 1e-4


def test_arrays_of_every_library(xp):
    result = solve(xp.asarray(start(N)))
    for k in (0, 3, N):
        errors = qnsolve.standard_errors(fun, result, k).errors
        assert type(errors) is type(result.x)
        assert errors.dtype == result.x.dtype
        reference = qnsolve.standard_errors(fun, solve(), k).errors
        np.testing.assert_allclose(to_host(errors), reference, rtol=1e-3)
    assert hessian_error(fun, result, 3).factor < 100.0


def test_the_shape_of_x_and_a_gradient_apart():
    def value(x):
        return fun(x.ravel())[0]

    def gradient(x):
        return fun(x.ravel())[1].reshape(x.shape)

    result = qnsolve.minimize(value, start(N).reshape(2, 4), jac=gradient, options={"gtol": GTOL})
    found = qnsolve.standard_errors(value, result, jac=gradient)
    exact = exact_errors(hessian(result.x.ravel())).reshape(2, 4)
    np.testing.assert_allclose(found.errors, exact, rtol=DIFFERENCES)
    found = qnsolve.standard_errors(value, result, jac="3-point")
    np.testing.assert_allclose(found.errors, exact, rtol=1e-3)


def test_a_result_of_another_solver():
    result = scipy.optimize.minimize(fun, start(N), jac=True, method="BFGS")
    exact = exact_errors(hessian(result.x))
    np.testing.assert_allclose(qnsolve.standard_errors(fun, result).errors, exact, rtol=1e-4)
    with pytest.raises(ValueError, match=r"no matrix of qnsolve .*: leave k out"):
        qnsolve.standard_errors(fun, result, 3)


@pytest.mark.parametrize("k", [2, 3])
def test_where_there_is_no_minimum(k):
    """A saddle, and a combination of variables that does not matter."""
    for H in (np.diag([1.0, 2.0, -1.0]), np.diag([1.0, 1.0, 0.0])):
        problem = Quadratic(H, qnsolve.LBFGS(3))
        B = qnsolve.LSR1(3, gamma=1.0)
        B.update(np.eye(3)[2], -2.0 * np.eye(3)[2])
        problem.B = B  # its negative direction is looked at first
        found = qnsolve.standard_errors(problem, problem.result, k)
        assert not found.definite
        assert "no minimiser" in found.message
        assert np.isnan(found.errors).all()
        assert hessian_error(problem, problem.result, k).factor == np.inf


def test_negative_eigenvalues_are_measured_or_reported():
    B = qnsolve.LSR1(4, gamma=1.0)
    for j in (0, 1):
        B.update(np.eye(4)[j], -2.0 * np.eye(4)[j])
    problem = Quadratic(np.diag([3.0, 5.0, 1.0, 1.0]), B)
    for k in (0, 1):
        found = qnsolve.standard_errors(problem, problem.result, k)
        assert not found.definite
        assert "2 negative eigenvalues" in found.message
    found = qnsolve.standard_errors(problem, problem.result, 2)
    np.testing.assert_allclose(found.errors, exact_errors(problem.H), rtol=DIFFERENCES)


def test_a_gradient_that_is_not_finite_is_a_message():
    result = solve()

    def broken(x):
        f, g = fun(x)
        return f, g if np.array_equal(x, result.x) else np.nan * g

    for k in (2, N):
        found = qnsolve.standard_errors(broken, result, k)
        assert not found.definite
        assert "not finite" in found.message
    assert hessian_error(broken, result).factor == np.inf


def test_wrong_arguments():
    result, calls = solve(), []

    def counted(x):
        calls.append(x)
        return fun(x)

    with pytest.raises(ValueError, match="k must be an integer from 0 to 8, got 9"):
        qnsolve.standard_errors(counted, result, 9)
    with pytest.raises(ValueError, match="k must be an integer from 1 to 8, got 0"):
        hessian_error(counted, result, 0)
    with pytest.raises(TypeError, match="result must be the result of a minimisation, got ndarray"):
        qnsolve.standard_errors(counted, result.x)
    with pytest.raises(ValueError, match="scale must be a finite number > 0, got 0"):
        qnsolve.standard_errors(counted, result, scale=0.0)
    other = qnsolve.minimize(fun, start(5), jac=True)
    other.x = result.x
    with pytest.raises(ValueError, match=r"result.hess is for n = 5, result.x has 8"):
        qnsolve.standard_errors(counted, other, 2)
    single = solve(method="lsr1-tr", maxiter=1)
    with pytest.raises(np.linalg.LinAlgError, match="no inverse"):
        qnsolve.standard_errors(counted, single, 0)
    assert not calls
