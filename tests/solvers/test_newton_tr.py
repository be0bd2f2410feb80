"""The trust-region Newton method: Hessians in every form, norms, counts, and the published loop."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod
from scipy.sparse.linalg import aslinearoperator

import qnsolve
from qnsolve import DiagonalNorm, Status
from qnsolve.arrays import space_of
from qnsolve.methods import MAX_BLIND
from qnsolve.presets import ADAPTIVE_NORMS
from qnsolve.problems import get_problem
from qnsolve.solvers.moving_norms import AdaptiveNorm
from tests.reference import adaptive_norms
from tests.tolerances import EPS

X0 = np.array([1.3, 0.7, 0.8, 1.9, 1.2])

SAME_STEP = 1e-6
"""Relative difference of two iterates of the same method: products in another order, amplified by
the curved valley over the steps; at most 2e-10 was seen."""


def newton(fun=rosen, x0=X0, *, jac=rosen_der, hess=None, hessp=None, args=(), **options):
    return qnsolve.minimize(
        fun, x0, args, jac=jac, hess=hess, hessp=hessp, method="newton-tr", options=options
    )


def wells(x):
    """Sum of double wells with a coupling, with negative curvature at 0."""
    return float(np.sum(x**4 - x**2) + 0.1 * x.sum() ** 2), 4 * x**3 - 2 * x + 0.2 * x.sum()


def wells_hess(x):
    return np.diag(12 * x**2 - 2) + 0.2 * np.ones((x.size, x.size))


PROBLEMS = {
    "rosenbrock": (lambda x: (rosen(x), rosen_der(x)), rosen_hess, X0),
    "wells": (wells, wells_hess, np.array([0.1, -0.2, 0.3, 0.05])),
    "quadratic": (
        lambda x: (0.5 * x @ (np.arange(1.0, 7) * x) - x.sum(), np.arange(1.0, 7) * x - 1.0),
        lambda x: np.diag(np.arange(1.0, 7)),
        np.full(6, 3.0),
    ),
}

# Hessians -----------------------------------------------------------------------------------------

FORMS = {
    "dense": {"hess": rosen_hess},
    "list": {"hess": lambda x: rosen_hess(x).tolist()},
    "csr array": {"hess": lambda x: scipy.sparse.csr_array(rosen_hess(x))},
    "csc matrix": {"hess": lambda x: scipy.sparse.csc_matrix(rosen_hess(x))},
    "operator": {"hess": lambda x: aslinearoperator(rosen_hess(x))},
    "hessp": {"hessp": rosen_hess_prod},
    "both": {"hess": rosen_hess, "hessp": lambda x, p: 1 / 0},
}


@pytest.mark.parametrize("inner", ["steihaug", "gltr"])
@pytest.mark.parametrize("form", FORMS)
def test_forms_of_the_hessian_agree(form, inner):
    expected = newton(hess=rosen_hess, inner=inner)
    result = newton(**FORMS[form], inner=inner)
    assert result.success
    assert (result.nit, result.nfev, result.nhev) == (expected.nit, expected.nfev, expected.nhev)
    np.testing.assert_allclose(result.x, expected.x, rtol=1e-9)


def test_converges_in_fewer_iterations_than_scipys():
    result = newton(hess=rosen_hess)
    theirs = scipy.optimize.minimize(
        rosen, X0, jac=rosen_der, hess=rosen_hess, method="trust-ncg", options={"gtol": 1e-5}
    )
    assert result.success and result.nit <= theirs.nit


def test_hessian_is_evaluated_once_a_point_and_gradients_once_an_iteration():
    points = []

    def hess(x):
        points.append(x.copy())
        return rosen_hess(x)

    result = newton(hess=hess, history=True)
    assert len({x.tobytes() for x in points}) == len(points)
    taken = sum(row["accepted"] for row in result.history)
    assert len(points) == taken + (not result.history[-1]["accepted"])
    assert result.nfev == result.njev == result.nit + 1
    assert [row["nhev"] for row in result.history] == sorted(row["nhev"] for row in result.history)
    assert result.history[-1]["nhev"] == result.nhev > 0


@pytest.mark.parametrize("inner", ["steihaug", "gltr"])
def test_differences_of_gradients_are_counted(inner):
    calls = {"f": 0, "g": 0}

    def f(x):
        calls["f"] += 1
        return rosen(x)

    def g(x):
        calls["g"] += 1
        return rosen_der(x)

    result = newton(f, jac=g, inner=inner)
    assert result.success
    assert (result.nfev, result.njev) == (calls["f"], calls["g"])
    assert result.nfev == result.nit + 1
    assert result.njev == result.nfev + result.nhev


def test_differences_with_value_and_gradient_in_one_call():
    calls = []

    def both(x):
        calls.append(x)
        return rosen(x), rosen_der(x)

    result = newton(both, jac=True)
    assert result.success
    assert result.nfev == result.njev == len(calls) == result.nit + 1 + result.nhev


def test_differences_of_differences():
    calls = []

    def f(x):
        calls.append(x)
        return rosen(x)

    result = newton(f, jac=None, gtol=1e-4)
    assert result.success and result.nfev == len(calls)
    np.testing.assert_allclose(result.x, 1.0, atol=1e-3)


@pytest.mark.parametrize("scale", [1.0, 1e8])
def test_difference_steps_follow_x(scale):
    """A fixed difference step is lost beside a large x."""

    def both(x):
        return rosen(x / scale), rosen_der(x / scale) / scale

    result = newton(both, X0 * scale, jac=True, gtol=1e-5 / scale)
    assert result.success and result.nit < 40


def test_shape_of_x_and_arguments():
    def fun(x, a):
        assert x.shape == (2, 2)
        return ((x - a) ** 4).sum(), 4 * (x - a) ** 3

    def hessp(x, p, a):
        assert x.shape == p.shape == (2, 2)
        return 12 * (x - a) ** 2 * p

    def hess(x, a):
        assert x.shape == (2, 2)
        return np.diag((12 * (x - a) ** 2).ravel())

    for kwargs in ({"hess": hess}, {"hessp": hessp}):
        for args in (3.0, (3.0,)):
            result = newton(fun, np.zeros((2, 2)), jac=True, args=args, **kwargs)
            assert result.success and result.x.shape == (2, 2)


def test_float32():
    result = newton(
        lambda x: (float(rosen(x)), rosen_der(x).astype(np.float32)),
        X0.astype(np.float32),
        jac=True,
        hess=rosen_hess,
    )
    assert result.success and result.x.dtype == np.float32


def test_array_libraries(xp):
    problem = get_problem("extended-rosenbrock", 4)

    def hessp(x, p):
        h = 1e-6
        return (problem.fun(x + h * p)[1] - problem.fun(x - h * p)[1]) / (2 * h)

    for kwargs, options in (
        ({"hessp": hessp}, {}),
        ({"hessp": hessp}, {"norm": "adagrad", "inner": "gltr"}),
        ({}, {"norm": "rmsprop"}),
    ):
        x0 = problem.x0 + 0.01 * np.arange(4)
        host = newton(problem.fun, x0, jac=True, **kwargs, **options)
        there = newton(problem.fun, xp.asarray(x0), jac=True, **kwargs, **options)
        assert there.success
        assert there.fun == pytest.approx(host.fun, abs=1e-9)
        assert getattr(there.x, "device", None) == getattr(xp.asarray([0.0]), "device", None)


def test_dense_hessian_of_another_library(xp):
    d = xp.asarray(np.arange(1.0, 6))
    zero = 0.0 * d
    matrix = xp.asarray(np.diag(np.arange(1.0, 6)))
    result = newton(
        lambda x: (0.5 * (x @ (d * x)), d * x), zero + 1.0, jac=True, hess=lambda x: matrix
    )
    assert result.success


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        ({"hess": "2-point"}, TypeError, "hess must be callable or None"),
        ({"hessp": np.eye(5)}, TypeError, "hessp must be callable or None"),
        ({"hess": scipy.optimize.BFGS()}, TypeError, "hess must be callable or None"),
        ({"norm": DiagonalNorm(np.ones(3))}, ValueError, "norm is for n = 3"),
        ({"store_rejected": True}, TypeError, "unknown option 'store_rejected'"),
    ],
)
def test_refused_before_the_first_evaluation(kwargs, error, words):
    def never(x):
        raise AssertionError("evaluated before the arguments were checked")

    with pytest.raises(error, match=words):
        newton(never, jac=True, **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        ({"hess": lambda x: np.eye(4)}, ValueError, r"hess must return .* \(5, 5\), got \(4, 4\)"),
        ({"hess": lambda x: scipy.sparse.eye_array(4)}, ValueError, r"\(5, 5\), got \(4, 4\)"),
        ({"hess": lambda x: 1j * np.eye(5)}, TypeError, "the Hessian is complex"),
        ({"hessp": lambda x, p: p[:4]}, ValueError, "the product of hessp has shape"),
        ({"hessp": lambda x, p: 1j * p}, TypeError, "the product of hessp is complex"),
    ],
)
def test_wrong_hessians(kwargs, error, words):
    with pytest.raises(error, match=words):
        newton(**kwargs)


@pytest.mark.parametrize("inner", ["steihaug", "gltr"])
def test_hessian_that_is_never_finite_is_a_status(inner):
    result = newton(hess=lambda x: np.full((5, 5), np.nan), inner=inner)
    assert result.status == Status.NO_MODEL_DECREASE and not result.success
    assert result.nit == MAX_BLIND and result.fun < rosen(X0)


@pytest.mark.parametrize("inner", ["steihaug", "gltr"])
@pytest.mark.parametrize("norm", ["l2", "rmsprop", DiagonalNorm(np.linspace(0.5, 2.0, 5))])
def test_goes_downhill_until_the_hessian_is_finite(inner, norm):
    calls = itertools.count()

    def hess(x):
        return rosen_hess(x) * (np.nan if next(calls) in (0, 1, 5) else 1.0)

    result = newton(hess=hess, inner=inner, norm=norm)
    assert result.success
    assert next(calls) > 6


# Norms --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", ["steihaug", "gltr"])
@pytest.mark.parametrize("norm", ["l2", "adagrad", "rmsprop", "fixed"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_every_norm_converges_to_a_minimiser(name, norm, inner):
    fun, hess, x0 = PROBLEMS[name]
    norm = DiagonalNorm(np.linspace(0.1, 3.0, x0.size)) if norm == "fixed" else norm
    result = newton(fun, x0, jac=True, hess=hess, norm=norm, inner=inner)
    assert result.success
    assert np.linalg.eigvalsh(hess(result.x)).min() > -1e-6


@pytest.mark.parametrize("norm", ["l2", "adagrad", "rmsprop"])
@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("extended-rosenbrock", 1000),
        ("powell-singular", 100),
        ("dixon-price", 50),
        ("broyden-tridiagonal", 100),
        ("styblinski-tang", 100),
        ("woods", 100),
        ("chained-rosenbrock", 20),
        ("cosine", 100),
        ("convex-quadratic", 100),
        ("monkey-saddle", 2),
        ("robust-regression", None),
    ],
)
def test_solves_the_shipped_problems(name, n, norm):
    problem = get_problem(name, n)
    result = newton(problem.fun, problem.x0, jac=True, norm=norm, maxfev=5000)
    assert result.status == Status.GTOL


def test_steps_stay_in_the_ellipsoid():
    d = np.array([9.0, 1.0, 0.04, 4.0, 1.0])
    norm, points, radii = DiagonalNorm(d), [X0], [0.5]

    def record(intermediate_result):
        points.append(intermediate_result.x.copy())
        radii.append(intermediate_result.radius)

    qnsolve.minimize(
        rosen,
        X0,
        jac=rosen_der,
        hess=rosen_hess,
        method="newton-tr",
        callback=record,
        options={"norm": norm, "initial_radius": 0.5},
    )
    lengths = [norm.norm(b - a) for a, b in itertools.pairwise(points)]
    assert all(
        length <= radius * (1 + 1e-12) for length, radius in zip(lengths, radii, strict=False)
    )
    assert any(
        length == pytest.approx(radius) for length, radius in zip(lengths, radii, strict=False)
    )


def test_a_diagonal_norm_is_a_change_of_variables():
    d = np.array([4.0, 0.25, 16.0, 1.0, 64.0])
    root = np.sqrt(d)
    options = {"initial_radius": 0.3, "xtol": 0.0, "maxiter": 12}
    here = newton(hess=rosen_hess, norm=DiagonalNorm(d), **options, forcing=1e-6)
    there = newton(
        lambda p: (rosen(p / root), rosen_der(p / root) / root),
        X0 * root,
        jac=True,
        hess=lambda p: rosen_hess(p / root) / np.outer(root, root),
        **options,
        forcing=1e-6,
    )
    np.testing.assert_allclose(there.x / root, here.x, rtol=1e-8)


@pytest.mark.parametrize("decay", [None, 0.9, 0.5])
def test_adaptive_norm_against_its_definition(decay):
    rng = np.random.default_rng(3)
    gradients = rng.standard_normal((6, 5)) * np.logspace(-9, 3, 5)
    space = space_of(gradients[0])
    free = AdaptiveNorm(decay, (1e-5, np.inf), False, space)
    unit = AdaptiveNorm(decay, (1e-3, 1.0), True, space)
    v, w = 1e-10 * np.ones(5), np.zeros(5)
    for g in gradients:
        free.update(g), unit.update(g)
        v = v + g**2 if decay is None else decay * v + (1 - decay) * g**2
        w = w + g**2 if decay is None else decay * w + (1 - decay) * g**2
        np.testing.assert_allclose(free.norm().d, np.maximum(np.sqrt(v), 1e-5), rtol=20 * EPS)
        expected = np.clip(np.sqrt(w / w.max()), 1e-3, 1.0)
        np.testing.assert_allclose(unit.norm().d, expected, rtol=20 * EPS)


def test_adaptive_norm_at_the_ends_of_the_range():
    """Squares of such gradients are infinite or zero."""
    for g in (np.array([1e300, 1e-300]), np.array([1e-300, 1e-310]), np.zeros(2)):
        adaptive = AdaptiveNorm(0.9, (1e-4, 1.0), True, space_of(g))
        adaptive.update(g)
        norm = adaptive.norm()
        assert norm.d.max() == 1.0 and norm.d.min() >= 1e-4


@pytest.mark.parametrize("norm", ["adagrad", "rmsprop"])
def test_normalised_norms_do_not_depend_on_the_unit_of_f(norm):
    """A power of two in f changes no rounding, and so nothing at all."""
    options = {"norm": norm, "maxiter": 8}
    plain = newton(hess=rosen_hess, **options)
    scaled = newton(
        lambda x: 2.0**20 * rosen(x),
        jac=lambda x: 2.0**20 * rosen_der(x),
        hess=lambda x: 2.0**20 * rosen_hess(x),
        **options,
    )
    np.testing.assert_allclose(scaled.x, plain.x, rtol=1e-10)


# The published loop -------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["rmsprop", "adagrad"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_adaptive_norms_preset(name, norm):
    fun, hess, x0 = PROBLEMS[name]
    seen, steps = [], 40
    options = {**ADAPTIVE_NORMS, "norm": norm, "initial_radius": 0.05}
    options |= {"maxiter": steps, "gtol": 1e-8}
    qnsolve.minimize(
        fun,
        x0,
        jac=True,
        hess=hess,
        method=ADAPTIVE_NORMS.method,
        options=options,
        callback=lambda intermediate_result: seen.append(
            (intermediate_result.x.copy(), intermediate_result.radius)
        ),
    )
    published = adaptive_norms.iterates(
        fun,
        hess,
        x0,
        beta=0.8 if norm == "rmsprop" else None,
        eps=1e-10,
        Delta=0.05,
        most=10.0,
        eta1=0.01,
        eta2=0.95,
        grow=1.1,
        shrink=1.75,
        forcing=0.1,
        inner=50,
        K=steps,
    )
    assert len(seen) >= 10
    for (x, radius), (x_published, radius_published) in zip(seen, published, strict=False):
        np.testing.assert_allclose(
            x, x_published, rtol=0, atol=SAME_STEP * np.abs(x_published).max()
        )
        assert radius == pytest.approx(radius_published, rel=SAME_STEP)
