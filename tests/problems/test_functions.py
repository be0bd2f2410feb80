"""Test functions against the sums in their docstrings, and gradients against differences."""

from __future__ import annotations

import pickle

import array_api_strict
import numpy as np
import pytest
import scipy.optimize

from qnsolve import problems
from qnsolve.problems import PROBLEMS, Problem, get_problem

EPS = np.finfo(float).eps

FACTORIES = {
    name: factory
    for name, factory in PROBLEMS.items()
    if factory.__module__ == "qnsolve.problems.functions"
}
SIZES = (4, 8, 24)


@pytest.fixture(params=SIZES)
def n(request):
    return request.param


@pytest.fixture(params=FACTORIES)
def problem(request, n):
    return FACTORIES[request.param](n)


def near_start(problem, seed=0):
    """Return a point without symmetry, where no term of a gradient vanishes by chance."""
    return problem.x0 + 0.3 * np.random.default_rng(seed).standard_normal(problem.n)


# The sums as they are printed, term by term, with x[1] the first variable.


def square(value):
    return value * value


def rosenbrock_terms(x, pairs):
    return sum(100 * square(x[j] - x[i] ** 2) + square(1 - x[i]) for i, j in pairs)


def by_hand(name, x):
    n = len(x)
    x = [None, *map(float, x)]
    every = range(1, n + 1)
    fours = range(1, n + 1, 4)
    cosines = sum(np.cos(x[j]) for j in every)
    padded = [0.0, *x[1:], 0.0]
    if name == "extended-rosenbrock":
        return rosenbrock_terms(x, [(i, i + 1) for i in range(1, n, 2)])
    if name == "chained-rosenbrock":
        return rosenbrock_terms(x, [(i, i + 1) for i in range(1, n)])
    if name == "powell-singular":
        return sum(
            square(x[i] + 10 * x[i + 1])
            + 5 * square(x[i + 2] - x[i + 3])
            + (x[i + 1] - 2 * x[i + 2]) ** 4
            + 10 * (x[i] - x[i + 3]) ** 4
            for i in fours
        )
    if name == "dixon-price":
        return square(x[1] - 1) + sum(i * square(2 * x[i] ** 2 - x[i - 1]) for i in every[1:])
    if name == "broyden-tridiagonal":
        return sum(
            square((3 - 2 * x[i]) * x[i] - padded[i - 1] - 2 * padded[i + 1] + 1) for i in every
        )
    if name == "trigonometric":
        return sum(square(n - cosines + i * (1 - np.cos(x[i])) - np.sin(x[i])) for i in every)
    if name == "cosine":
        return sum(np.cos(x[i] ** 2 - x[i + 1] / 2) for i in range(1, n))
    if name == "styblinski-tang":
        return sum(x[i] ** 4 - 16 * x[i] ** 2 + 5 * x[i] for i in every) / 2
    if name == "woods":
        return sum(
            100 * square(x[i + 1] - x[i] ** 2)
            + square(1 - x[i])
            + 90 * square(x[i + 3] - x[i + 2] ** 2)
            + square(1 - x[i + 2])
            + 10 * square(x[i + 1] + x[i + 3] - 2)
            + square(x[i + 1] - x[i + 3]) / 10
            for i in fours
        )
    if name == "monkey-saddle":
        pairs = [(x[i], x[i + 1]) for i in range(1, n, 2)]
        return sum(u**3 - 3 * u * v**2 + square(u**2 + v**2) / 4 for u, v in pairs)
    if name == "convex-quadratic":
        return sum(1e4 ** ((i - 1) / (n - 1)) * square(x[i] - 1) for i in every) / 2
    raise AssertionError(f"{name} has no sum written out here")


def test_value_is_the_printed_sum(problem):
    for x in (problem.x0, near_start(problem)):
        # Both sums round each of n positive or bounded terms a few times.
        tolerance = 10 * problem.n * EPS * max(1.0, np.abs(x).max()) ** 4
        assert problem.fun(x)[0] == pytest.approx(
            by_hand(problem.name, x), rel=1e-12, abs=tolerance
        )


def test_gradient_by_complex_step(problem):
    """Im f(x + i h e_j) / h has an error of order h^2 and no cancellation: rounding is all."""
    x = near_start(problem)
    g = problem.fun(x)[1]
    step = 1e-30
    measured = np.empty(problem.n)
    for j in range(problem.n):
        z = x.astype(complex)
        z[j] += 1j * step
        measured[j] = problem.fun(z)[0].imag / step
    # A component may cancel; what it cancels from is no larger than n of the largest components.
    np.testing.assert_allclose(g, measured, rtol=0, atol=10 * problem.n * EPS * np.abs(g).max())


def test_gradient_by_central_differences(problem):
    """The truncation error of step h/2 is a third of the change from step h to h/2."""
    x = near_start(problem)
    f, g = problem.fun(x)
    d = np.random.default_rng(1).standard_normal(problem.n)
    d /= np.linalg.norm(d)
    h = 1e-3

    def slope(h):
        return (problem.fun(x + h * d)[0] - problem.fun(x - h * d)[0]) / (2 * h)

    coarse, fine = slope(h), slope(h / 2)
    rounding = 100 * EPS * max(1.0, abs(f)) / h
    assert abs(fine - g @ d) <= abs(coarse - fine) + rounding
    assert abs(coarse - fine) <= 1e-2 * np.linalg.norm(g)  # the bound above is a tight one


def test_known_minimiser_attains_the_minimum(problem):
    if problem.x_min is None:
        pytest.skip("no minimiser in closed form")
    f, g = problem.fun(problem.x_min)
    scale = max(1.0, abs(problem.f_min))
    assert f == pytest.approx(problem.f_min, rel=0, abs=10 * EPS * scale)
    # x_min is rounded to EPS, which the Hessian, of norm at most 1e4 + 1000 n, carries into g.
    assert np.abs(g).max() <= EPS * (1e4 + 1e3 * problem.n)


def test_nothing_found_below_the_minimum(problem):
    result = scipy.optimize.minimize(
        problem.fun, problem.x0, jac=True, method="L-BFGS-B", options={"maxiter": 2000}
    )
    assert result.fun >= problem.f_min - 100 * EPS * max(1.0, abs(problem.f_min))


@pytest.mark.parametrize("name", ["broyden-tridiagonal", "extended-rosenbrock", "woods"])
def test_minimum_is_attained(name, n):
    problem = get_problem(name, n)
    result = scipy.optimize.minimize(
        problem.fun, problem.x0, jac=True, method="BFGS", options={"gtol": 1e-8}
    )
    # f <= |g|^2 / (2 lam_min) near the minimiser, and lam_min > 0.1 for these three.
    assert result.fun - problem.f_min <= 1e-12


def test_start(problem, n):
    assert isinstance(problem, Problem)
    assert problem.n == n
    assert problem.x0.shape == (n,)
    assert problem.x0.dtype == np.float64
    assert np.abs(problem.fun(problem.x0)[1]).max() > 1e-3


def test_argument_is_left_alone(problem):
    x = near_start(problem)
    kept = x.copy()
    g = problem.fun(x)[1]
    assert np.array_equal(x, kept)
    assert not np.shares_memory(g, x)


def test_same_values_after_pickling(problem):
    x = near_start(problem)
    copy = pickle.loads(pickle.dumps(problem))
    assert copy.fun(x)[0] == problem.fun(x)[0]


def test_float32_stays_float32(problem):
    f, g = problem.fun(near_start(problem).astype(np.float32))
    assert f.dtype == np.float32
    assert g.dtype == np.float32


def test_array_api(problem):
    x = near_start(problem)
    f, g = problem.fun(array_api_strict.asarray(x))
    assert g.__array_namespace__() is array_api_strict
    assert f.shape == ()
    expected = problem.fun(x)
    # Sums may be taken in another order.
    assert float(f) == pytest.approx(float(expected[0]), rel=1e-13)
    np.testing.assert_allclose(np.asarray(g), expected[1], rtol=1e-13)


def test_chained_rosenbrock_is_scipys():
    problem = problems.chained_rosenbrock(9)
    x = near_start(problem)
    f, g = problem.fun(x)
    assert f == pytest.approx(scipy.optimize.rosen(x), rel=1e-14)
    np.testing.assert_allclose(g, scipy.optimize.rosen_der(x), rtol=1e-12)


def hessian_at_start(problem):
    columns = [
        problem.fun(problem.x0 + 1e-30j * unit)[1].imag / 1e-30 for unit in np.eye(problem.n)
    ]
    return np.array(columns)


def test_monkey_saddle_starts_where_the_hessian_is_indefinite(n):
    eigenvalues = np.linalg.eigvalsh(hessian_at_start(problems.monkey_saddle(n)))
    assert (eigenvalues < -0.1).sum() == n // 2
    assert (eigenvalues > 0.1).sum() == n // 2


def test_styblinski_tang_starts_where_the_hessian_is_negative_definite(n):
    assert np.linalg.eigvalsh(hessian_at_start(problems.styblinski_tang(n))).max() < 0


def test_convex_quadratic_has_the_condition_asked_for():
    hessian = hessian_at_start(problems.convex_quadratic(12, condition=1e6))
    assert np.linalg.cond(hessian) == pytest.approx(1e6)
    one = problems.convex_quadratic(1)
    assert one.fun(one.x_min)[0] == 0.0


@pytest.mark.parametrize(
    ("name", "n", "wanted"),
    [
        ("extended-rosenbrock", 7, "multiple of 2"),
        ("monkey-saddle", 0, "multiple of 2"),
        ("powell-singular", 6, "multiple of 4"),
        ("woods", -4, "multiple of 4"),
        ("chained-rosenbrock", 1, "at least 2"),
        ("cosine", 1, "at least 2"),
        ("dixon-price", 1, "at least 2"),
        ("trigonometric", 0, "at least 1"),
        ("broyden-tridiagonal", 0, "at least 1"),
        ("styblinski-tang", 0, "at least 1"),
        ("convex-quadratic", 0, "at least 1"),
    ],
)
def test_invalid_size_is_refused(name, n, wanted):
    with pytest.raises(ValueError, match=f"{wanted}, got {n}"):
        get_problem(name, n)


@pytest.mark.parametrize("condition", [0.5, np.inf, np.nan])
def test_invalid_condition_is_refused(condition):
    with pytest.raises(ValueError, match="condition must be finite"):
        problems.convex_quadratic(4, condition=condition)


@pytest.mark.parametrize("name", PROBLEMS)
def test_registry_has_a_default_size_and_the_name_of_the_problem(name):
    problem = get_problem(name)
    assert problem.name == name
    assert PROBLEMS[name](problem.n).n == problem.n


@pytest.mark.parametrize(("given", "near"), [("rosenbrok-chained", None), ("wods", "woods")])
def test_unknown_name(given, near):
    with pytest.raises(ValueError, match=f"no problem is called '{given}'") as caught:
        get_problem(given, 4)
    assert near is None or f"did you mean '{near}'" in str(caught.value)


def test_unknown_name_far_from_all_lists_them():
    with pytest.raises(ValueError, match=r"known are .*woods"):
        get_problem("zzzz", 4)
