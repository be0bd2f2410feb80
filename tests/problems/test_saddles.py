"""The saddle problems: gradients and Hessians by complex step, and what is said of the saddles."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from qnsolve import problems
from qnsolve.problems import SaddleProblem, get_problem
from tests.tolerances import EPS

SIZES = {
    "linear-network": 27,
    "matrix-factorisation": 21,
    "phase-retrieval": 8,
    "saddle-chain": 6,
}


@pytest.fixture(params=SIZES)
def problem(request):
    return get_problem(request.param, SIZES[request.param])


def test_gradient_by_complex_step(problem):
    x = problem.start(1.0, seed=1)
    g = problem.fun(x)[1]
    slopes = [problem.fun(x + 1e-30j * unit)[0].imag / 1e-30 for unit in np.eye(problem.n)]
    np.testing.assert_allclose(g, slopes, rtol=0, atol=100 * problem.n * EPS * np.abs(g).max())


def test_hessian_by_central_differences(problem):
    x = problem.start(1.0, seed=1)
    v = np.random.default_rng(2).standard_normal(problem.n)
    h = 1e-4
    measured = (problem.fun(x + h * v)[1] - problem.fun(x - h * v)[1]) / (2 * h)
    halved = (problem.fun(x + h / 2 * v)[1] - problem.fun(x - h / 2 * v)[1]) / h
    product = problem.hessp(x, v)
    error = np.linalg.norm(measured - halved) + 1e3 * EPS / h * np.linalg.norm(product)
    assert np.linalg.norm(halved - product) <= error <= 1e-4 * np.linalg.norm(product)
    np.testing.assert_allclose(
        problem.hess(x) @ v, product, rtol=0, atol=1e-12 * np.linalg.norm(product)
    )
    np.testing.assert_array_equal(problem.hessp(x, np.zeros(problem.n)), np.zeros(problem.n))


def test_saddle_is_stationary_and_strict(problem):
    f, g = problem.fun(problem.saddle)
    assert np.abs(g).max() == 0.0
    assert np.linalg.eigvalsh(problem.hess(problem.saddle))[0] < -0.1
    assert problem.f_min is None or f > problem.f_min + 0.1


def test_minimiser(problem):
    if problem.x_min is None:
        pytest.skip("no minimiser in closed form")
    f, g = problem.fun(problem.x_min)
    assert f == pytest.approx(problem.f_min, rel=0, abs=100 * EPS)
    assert np.abs(g).max() <= 100 * EPS
    assert np.linalg.eigvalsh(problem.hess(problem.x_min))[0] >= -1e3 * EPS


def test_start(problem):
    assert isinstance(problem, SaddleProblem)
    assert np.linalg.norm(problem.x0 - problem.saddle) == pytest.approx(0.01)
    assert np.linalg.norm(problem.start(1e-4, seed=5) - problem.saddle) == pytest.approx(1e-4)
    np.testing.assert_array_equal(problem.start(0.0), problem.saddle)
    assert not np.array_equal(problem.start(1e-4, seed=5), problem.start(1e-4, seed=6))


def test_same_values_after_pickling(problem):
    copy = pickle.loads(pickle.dumps(problem))
    x = problem.start(1.0)
    assert copy.fun(x)[0] == problem.fun(x)[0]


# The sums as they are printed, entry by entry.


def test_chain_is_the_printed_sum():
    x = [None, 0.3, -1.2, 0.7]
    sigma = [1.0] + [10 * x[i] ** 2 / (1 + 10 * x[i] ** 2) for i in (1, 2)]
    expected = sum((0.25 - sigma[i - 1]) * x[i] ** 2 / 2 + x[i] ** 4 / 4 for i in (1, 2, 3))
    assert problems.saddle_chain(3).fun(np.array(x[1:]))[0] == pytest.approx(expected)


def test_network_saddle_has_the_singular_values_as_curvatures():
    problem = problems.linear_network(27)
    A = problem.x_min[:9].reshape(3, 3)
    sigma = np.linalg.svd(A, compute_uv=False)
    expected = np.sort(np.concatenate([np.repeat(sigma, 3), np.repeat(-sigma, 3), np.zeros(9)]))
    measured = np.linalg.eigvalsh(problem.hess(problem.saddle))
    np.testing.assert_allclose(measured, expected, rtol=0, atol=1e-13)
    W1, W2, W3 = problem.start(1.0).reshape(3, 3, 3)
    f = problem.fun(problem.start(1.0))[0]
    assert f == pytest.approx(0.5 * np.linalg.norm(W3 @ W2 @ W1 - A) ** 2)


def test_factorisation_has_the_eigenvalues_named():
    problem = problems.matrix_factorisation(21, rank=3)
    U = problem.x_min.reshape(7, 3)
    np.testing.assert_allclose(np.linalg.eigvalsh(U @ U.T)[-3:], [1.0, 2.0, 3.0])
    V = problem.start(1.0).reshape(7, 3)
    f = problem.fun(V.ravel())[0]
    assert f == pytest.approx(0.25 * np.linalg.norm(V @ V.T - U @ U.T) ** 2)


def test_phase_retrieval_does_not_see_the_sign():
    problem = problems.phase_retrieval(8)
    x = problem.start(1.0)
    assert problem.fun(x)[0] == problem.fun(-x)[0]
    assert problem.fun(-problem.x_min)[0] == pytest.approx(0.0, abs=EPS)
    # At 0, f = sum (a_i'z)^4 / 4m, near 3/4 for Gaussian vectors and a z of length 1.
    assert problems.phase_retrieval(8, samples=20_000).fun(np.zeros(8))[0] == pytest.approx(
        0.75, rel=0.1
    )


@pytest.mark.parametrize(
    ("name", "n", "wanted"),
    [
        ("linear-network", 12 + 3, "3 d\\^2"),
        ("linear-network", 0, "at least 3"),
        ("matrix-factorisation", 10, "multiple of rank"),
        ("matrix-factorisation", 6, "at least rank\\^2"),
        ("phase-retrieval", 0, "at least 1"),
        ("saddle-chain", 0, "at least 1"),
    ],
)
def test_invalid_size_is_refused(name, n, wanted):
    with pytest.raises(ValueError, match=wanted):
        get_problem(name, n)
    with pytest.raises(ValueError, match="samples must be at least 1"):
        problems.phase_retrieval(4, samples=0)
