"""Grid problems and models on Fourier features: sums written out, and gradients."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.optimize

from qnsolve import problems
from qnsolve.problems import get_problem

EPS = np.finfo(float).eps

CASES = {
    "minimal-surface": 36,
    "ginzburg-landau": 36,
    "fourier-logistic": 40,
    "fourier-robust": 40,
}


@pytest.fixture(params=CASES)
def problem(request):
    return get_problem(request.param, CASES[request.param])


def a_point(problem):
    return problem.x0 + 0.3 * np.random.default_rng(0).standard_normal(problem.n)


def test_gradient_by_central_differences(problem):
    """Richardson's value of two steps is off by order h^4; h balances that against rounding."""
    x = a_point(problem)
    f, g = problem.fun(x)
    h = EPS ** (1 / 5)

    def slope(j, h):
        e = h * (np.arange(problem.n) == j)
        return (problem.fun(x + e)[0] - problem.fun(x - e)[0]) / (2 * h)

    measured = [(4 * slope(j, h / 2) - slope(j, h)) / 3 for j in range(problem.n)]
    # Both errors are eps^(4/5) times fifth derivatives, at most a few hundred on these, and f.
    tolerance = 1e3 * EPS ** (4 / 5) * max(1.0, abs(f))
    np.testing.assert_allclose(g, measured, rtol=0, atol=tolerance)
    assert np.abs(g).max() > 1e6 * tolerance


def test_argument_is_left_alone_and_two_calls_agree(problem):
    x = a_point(problem)
    kept = x.copy()
    f, g = problem.fun(x)
    assert np.array_equal(x, kept)
    again, g_again = pickle.loads(pickle.dumps(problem)).fun(x)
    assert f == again
    assert np.array_equal(g, g_again)
    assert not np.shares_memory(g, g_again)


def grid(problem, x, boundary):
    side = round(problem.n**0.5)
    t = np.linspace(0.0, 1.0, side + 2)
    u = np.array([[boundary(a, b) for a in t] for b in t])
    u[1:-1, 1:-1] = x.reshape(side, side)
    return u


def test_minimal_surface_is_the_printed_sum():
    problem = get_problem("minimal-surface", 9)
    x = a_point(problem)
    u = grid(problem, x, lambda a, b: (2 * a - 1) ** 2 - (2 * b - 1) ** 2)
    h = 1 / 4
    area = sum(
        h**2
        * np.sqrt(
            1 + ((u[i, j] - u[i + 1, j + 1]) ** 2 + (u[i, j + 1] - u[i + 1, j]) ** 2) / (2 * h**2)
        )
        for i in range(4)
        for j in range(4)
    )
    assert problem.fun(x)[0] == pytest.approx(area, rel=100 * EPS)


def test_ginzburg_landau_is_the_printed_sum():
    problem = problems.ginzburg_landau(9, width=0.3)
    x = a_point(problem)
    u = grid(problem, x, lambda a, b: 0.0)
    # Edges between two points of the boundary add nothing: both ends are zero.
    edges = sum((u[i + 1, j] - u[i, j]) ** 2 for i in range(4) for j in range(5))
    edges += sum((u[i, j + 1] - u[i, j]) ** 2 for i in range(5) for j in range(4))
    wells = np.sum((1 - x**2) ** 2)
    expected = edges / 2 + (1 / 4) ** 2 / (4 * 0.3**2) * wells
    assert problem.fun(x)[0] == pytest.approx(expected, rel=100 * EPS)


@pytest.mark.parametrize("name", ["minimal-surface", "ginzburg-landau"])
def test_gradient_by_complex_step(name):
    problem = get_problem(name, 25)
    x = a_point(problem)
    g = problem.fun(x)[1]
    measured = []
    for j in range(problem.n):
        z = x.astype(complex)
        z[j] += 1e-30j
        measured.append(problem.fun(z)[0].imag / 1e-30)
    np.testing.assert_allclose(g, measured, rtol=0, atol=100 * EPS * np.abs(g).max())


def test_flat_boundary_has_a_flat_minimal_surface():
    """The saddle's symmetry: the surface changes sign where x and y are exchanged."""
    problem = get_problem("minimal-surface", 49)
    result = scipy.optimize.minimize(problem.fun, problem.x0, jac=True, options={"gtol": 1e-8})
    u = result.x.reshape(7, 7)
    np.testing.assert_allclose(u, -u.T, atol=1e-5)
    assert result.fun < problem.fun(problem.x0)[0]


def test_start_of_the_two_phases_has_negative_curvature():
    problem = get_problem("ginzburg-landau", 400)
    smooth = np.outer(*[np.sin(np.pi * np.arange(1, 21) / 21)] * 2).ravel()
    h = 1e-4
    slope = (problem.fun(h * smooth)[1] - problem.fun(-h * smooth)[1]) / (2 * h)
    assert smooth @ slope < 0.0


def test_features_have_the_kernel_s_mean_square():
    """E[2 cos^2] = 1 for a uniform phase; the mean over n features has variance 1/(2n)."""
    problem = get_problem("fourier-logistic", 2000)
    design = problem.fun.args[0]
    assert design.shape == (456, 2000)
    np.testing.assert_allclose((design**2).mean(axis=1), 1.0, atol=6 / np.sqrt(2 * 2000))


def test_robust_loss_is_that_of_the_plain_regression():
    plain, features = get_problem("robust-regression"), get_problem("fourier-robust", 30)
    assert plain.fun(plain.x0)[0] == features.fun(features.x0)[0]


@pytest.mark.parametrize(
    ("name", "n", "message"),
    [
        ("minimal-surface", 10, "n must be a square, such as 9 or 16, got 10"),
        ("minimal-surface", 0, "n must be a square, such as 1 or 4, got 0"),
        ("ginzburg-landau", -4, "n must be a square"),
        ("fourier-logistic", 0, "n must be at least 1, got 0"),
    ],
)
def test_impossible_sizes_are_refused(name, n, message):
    with pytest.raises(ValueError, match=message):
        get_problem(name, n)


def test_wrong_parameters_are_refused():
    with pytest.raises(ValueError, match="width must be positive"):
        problems.ginzburg_landau(4, width=0.0)
    with pytest.raises(ValueError, match="fourier_robust: scale must be positive"):
        problems.fourier_robust(4, scale=-1.0)
    with pytest.raises(ValueError, match="fourier_logistic: l2 must be finite"):
        problems.fourier_logistic(4, l2=np.nan)
