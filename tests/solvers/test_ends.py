"""Runs that are over end: as far as fun is known, at kinks, and not where a step was cut short."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammaln

from qnsolve import Status, minimize
from qnsolve.methods import METHODS
from qnsolve.problems import get_problem

every_method = pytest.mark.parametrize("method", METHODS)


def poisson():
    """Minus a log-likelihood of 30,000 terms, 6 coefficients."""
    rng = np.random.default_rng(0)
    X = np.c_[np.ones(30_000), rng.standard_normal((30_000, 5))]
    y = rng.poisson(np.exp(X @ np.array([1.0, 0.5, -0.3, 0.2, 0.1, -0.2])))
    constant = gammaln(y + 1.0)

    def value(b):
        e = X @ b
        return float((np.exp(e) - y * e + constant).sum())

    def gradient(b):
        return X.T @ (np.exp(X @ b) - y)

    return value, gradient


@every_method
def test_a_likelihood_by_differences_ends_where_it_is_known(method):
    """One coefficient costs 7 evaluations a step; without a floor it took 1050 of them."""
    value, gradient = poisson()
    exact = minimize(value, np.zeros(6), jac=gradient)
    result = minimize(value, np.zeros(6), method=method)
    # A last step may by chance find a difference within gtol.
    assert result.status in (Status.AS_FAR_AS_KNOWN, Status.GTOL) and result.success
    assert result.fun <= exact.fun * (1.0 + 1e-12)
    np.testing.assert_allclose(result.x, exact.x, atol=1e-5)
    # 64 to 92 find f to 1e-8; a difference for the product doubles them for Newton's method.
    assert result.nfev <= (200 if method == "newton-tr" else 140)


@every_method
def test_noise_of_f_that_is_not_known_beforehand(method):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((12, 6))

    def fun(x):
        r = A @ (x - 1.0)
        f = 1.0 + r @ r + 0.1 * np.sum((x - 1.0) ** 4)
        return f * (1.0 + 1e-12 * np.sin(1e9 * (x @ np.arange(1.0, 7.0))))

    result = minimize(fun, np.zeros(6), method=method)
    assert result.status in (Status.AS_FAR_AS_KNOWN, Status.GTOL) and result.success
    assert result.fun <= 1.0 + 1e-8
    assert result.nfev <= 600  # 917 to 5642 without


@every_method
def test_a_gradient_with_all_its_digits_that_are_not_enough_for_gtol(method):
    value, gradient = poisson()
    result = minimize(
        lambda b: 1e8 * value(b), np.zeros(6), jac=lambda b: 1e8 * gradient(b), method=method
    )
    assert result.success and result.nfev <= 50
    assert np.abs(gradient(result.x)).max() <= 1e-10


@every_method
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("wrong", ["sign", "one sign", "one offset"])
def test_a_wrong_gradient_is_no_success(method, offset, wrong):
    problem = get_problem("extended-rosenbrock", 6)

    def fun(x):
        f, g = problem.fun(x)
        if wrong == "sign":
            g = -g
        elif wrong == "one sign":
            g[1] = -g[1]
        else:
            g[1] += 30.0
        return f + offset, g

    result = minimize(fun, problem.x0, jac=True, method=method, options={"maxfev": 300})
    assert result.status != Status.AS_FAR_AS_KNOWN
    assert not result.success or np.abs(fun(result.x)[1]).max() <= 1e-5


@every_method
def test_a_floor_of_the_gradient_is_no_minimiser(method):
    """Near a saddle of a function with a large offset differences tell little, but f can fall."""
    problem = get_problem("matrix-factorisation", 12)
    result = minimize(lambda x: problem.fun(x)[0] + 1e6, problem.x0, method=method)
    assert result.success and result.fun - 1e6 < 1e-3  # 3.5 at the saddle


@every_method
def test_a_run_far_from_a_minimiser_is_no_success(method):
    """Errors of f of 1e-7 are larger than any fall that differences could show."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((24, 12))

    def fun(x):
        r = A @ (x - 1.0)
        return (1.0 + r @ r) * (1.0 + 1e-7 * np.sin(1e9 * x.sum()))

    result = minimize(fun, np.zeros(12), method=method, options={"maxfev": 5000})
    assert not result.success or result.fun < 1.0 + 1e-5


def lasso(seed=0):
    rng = np.random.default_rng(seed)
    A, truth = rng.standard_normal((100, 50)), np.zeros(50)
    truth[:5] = [3.0, -2.0, 1.5, 1.0, -1.0]
    b = A @ truth + 0.3 * rng.standard_normal(100)

    def fun(x):
        r = A @ x - b
        return 0.5 * float(r @ r) + 5.0 * float(np.abs(x).sum()), A.T @ r + 5.0 * np.sign(x)

    return fun


@pytest.mark.parametrize("method", ["hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls"])
def test_creeping_at_kinks_ends(method):
    """The least value is 45.54; it took 15,001 evaluations to creep from 45.78 to 45.75."""
    result = minimize(lasso(), np.full(50, 0.1), jac=True, method=method)
    assert not result.success and result.nfev <= 1500
    assert "kink" in result.message
    # Where it ends depends on every rounding on the way: within a few per cent.
    assert result.fun <= 1.03 * 45.54


def least_squares_with_l1(seed):
    """Return the least value of :func:`lasso`, by exact minimisation in one variable after another.

    It converges linearly: 40 sweeps and 300 give the same to 1e-8.
    """
    rng = np.random.default_rng(seed)
    A, truth = rng.standard_normal((100, 50)), np.zeros(50)
    truth[:5] = [3.0, -2.0, 1.5, 1.0, -1.0]
    b = A @ truth + 0.3 * rng.standard_normal(100)
    x, r, squares = np.zeros(50), -b, (A * A).sum(axis=0)
    for _ in range(40):
        for j in range(50):
            free = x[j] - A[:, j] @ r / squares[j]
            new = np.sign(free) * max(abs(free) - 5.0 / squares[j], 0.0)
            r, x[j] = r + (new - x[j]) * A[:, j], new
    return 0.5 * r @ r + 5.0 * np.abs(x).sum()


def test_the_radius_recovers_at_kinks():
    """L-BFGS-B comes within 1e-4 to 4e-4; with pairs and radii of a smooth f it was 3e-3 and more.

    One run depends on every rounding, so it is the median of five.
    """
    gaps = []
    for seed in range(5):
        result = minimize(lasso(seed), np.full(50, 0.1), jac=True, options={"maxfev": 250})
        gaps.append(result.fun / least_squares_with_l1(seed) - 1.0)
    assert np.median(gaps) <= 1e-3  # seen: 4e-5; the largest of ten 2e-4


@every_method
def test_ftol_counts_where_the_step_was_not_cut_short(method):
    options = {"ftol": 1e-9}
    if method.endswith("tr"):
        options["initial_radius"] = 1e-9
    elif method == "lsr1-ls":
        options["initial_step"] = 1e-9
    else:
        options["initial_weight"] = 1e12
    result = minimize(
        lambda x: (x @ x + 9.0, 2 * x), [5.0] * 3, jac=True, method=method, options=options
    )
    assert result.success and result.fun == pytest.approx(9.0, abs=1e-6)
