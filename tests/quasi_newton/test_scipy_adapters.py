"""Strategies and operators in SciPy's hands, against SciPy's dense ones and against B itself."""

from __future__ import annotations

import copy
import tracemalloc
from itertools import pairwise

import array_api_strict
import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from scipy.optimize import rosen, rosen_der, rosen_hess
from scipy.sparse.linalg import LinearOperator, eigsh

import qnsolve
from qnsolve import (
    LBFGS,
    LSR1,
    DiagonalNorm,
    HybridLSR1,
    HybridLSR1Strategy,
    LBFGSStrategy,
    LSR1Strategy,
    ScaledMatrix,
    as_linear_operator,
)
from qnsolve.problems import get_problem
from tests.tolerances import EPS

STRATEGIES = [LSR1Strategy, LBFGSStrategy, HybridLSR1Strategy]
SOLVERS = ["trust-constr", "trust-ncg", "trust-krylov", "Newton-CG"]


def rosenbrock_pairs(n=5):
    """Return pairs with s'y > 0 along a descent on the Rosenbrock function, and its end."""
    points = [np.random.default_rng(0).uniform(-1, 1, n)]
    scipy.optimize.minimize(
        rosen, points[0], jac=rosen_der, method="BFGS", callback=lambda x: points.append(x.copy())
    )
    pairs = [(b - a, rosen_der(b) - rosen_der(a)) for a, b in pairwise(points)]
    return [(s, y) for s, y in pairs if s @ y > 0], points[-1]


def initialised(strategy, n, approx_type="hess", pairs=()):
    strategy.initialize(n, approx_type)
    for s, y in pairs:
        strategy.update(s, y)
    return strategy


# The interface


@pytest.mark.parametrize("make", STRATEGIES)
@pytest.mark.parametrize("approx_type", ["hess", "inv_hess"])
def test_starts_from_a_multiple_of_the_identity(make, approx_type):
    assert isinstance(make(), scipy.optimize.HessianUpdateStrategy)
    np.testing.assert_array_equal(initialised(make(), 4, approx_type).get_matrix(), np.eye(4))
    scaled = initialised(make(initial_gamma=4.0), 4, approx_type).get_matrix()
    np.testing.assert_array_equal(scaled, np.eye(4) * {"hess": 4.0, "inv_hess": 0.25}[approx_type])


@pytest.mark.parametrize("approx_type", ["hess", "inv_hess"])
@pytest.mark.parametrize("make", STRATEGIES)
def test_product_is_with_the_matrix(make, approx_type):
    pairs, _ = rosenbrock_pairs()
    strategy = initialised(make(memory=3, gamma=200.0), 5, approx_type, pairs[:5])
    v = np.arange(1.0, 6.0)
    M = strategy.get_matrix()
    np.testing.assert_array_equal(strategy @ v, strategy.dot(v))
    # Both are the same products, taken with unit vectors or with their sum.
    np.testing.assert_allclose(M @ v, strategy.dot(v), rtol=1e-12 * np.linalg.cond(M))


def test_equals_the_dense_update_while_the_memory_lasts():
    pairs, _ = rosenbrock_pairs()
    dense = initialised(scipy.optimize.SR1(init_scale=50.0), 5)
    limited = initialised(LSR1Strategy(memory=4, gamma=50.0), 5)
    for s, y in pairs[:4]:
        dense.update(s, y)
        limited.update(s, y)
        expected = dense.get_matrix()
        gap = np.abs(limited.get_matrix() - expected).max()
        assert gap <= 1e-9 * np.abs(expected).max()
    limited.update(*pairs[4])
    assert limited.matrix.n_pairs == 4


@pytest.mark.parametrize("make", STRATEGIES)
def test_inverse_is_the_inverse_of_the_same_matrix(make):
    pairs, _ = rosenbrock_pairs()
    hess = initialised(make(gamma=50.0), 5)
    inverse = initialised(make(gamma=50.0), 5, "inv_hess")
    for s, y in pairs:
        hess.update(s, y)
        inverse.update(s, y)
        B, H = hess.get_matrix(), inverse.get_matrix()
        np.testing.assert_allclose(B @ H, np.eye(5), rtol=0, atol=1e3 * EPS * np.linalg.cond(B))
        np.testing.assert_array_equal(H, H.T)


def test_learns_the_hessian_on_the_way():
    pairs, x = rosenbrock_pairs()
    B = initialised(LSR1Strategy(memory=20, gamma=100.0), 5, pairs=pairs).get_matrix()
    assert np.linalg.norm(B - rosen_hess(x)) <= 0.1 * np.linalg.norm(rosen_hess(x))


def test_small_denominator_leaves_the_matrix_alone():
    pairs, _ = rosenbrock_pairs()
    strategy = initialised(LSR1Strategy(gamma=50.0, skip=0.999), 5)
    strategy.update(*pairs[0])
    np.testing.assert_array_equal(strategy.get_matrix(), 50.0 * np.eye(5))


@pytest.mark.parametrize(
    "pair",
    [
        (np.zeros(3), np.ones(3)),
        (np.array([1.0, np.nan, 0.0]), np.ones(3)),
        (np.ones(3), np.array([1.0, np.inf, 0.0])),
    ],
)
def test_useless_pairs_change_nothing(pair):
    strategy = initialised(LSR1Strategy(), 3, pairs=[(np.eye(3)[0], -np.eye(3)[0])])
    before = strategy.get_matrix()
    for _ in range(2):
        strategy.update(*pair)
        np.testing.assert_array_equal(strategy.get_matrix(), before)


def test_singular_matrix_has_no_inverse():
    """gamma = y'y / s'y of its only pair makes the matrix singular."""
    s, y = np.array([1.0, 2.0, 0.0]), np.array([2.0, 1.0, 1.0])
    strategy = initialised(LSR1Strategy(), 3, "inv_hess", [(s, y)])
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        strategy.dot(np.ones(3))
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        strategy.get_matrix()
    regular = initialised(LSR1Strategy(gamma="eigenvalue"), 3, "inv_hess", [(s, y)])
    np.testing.assert_allclose(regular.dot(y), s, rtol=0, atol=100 * EPS)


def test_pairs_are_copied():
    s, y = np.array([1.0, 0.0]), np.array([-3.0, 0.0])
    strategy = initialised(LSR1Strategy(), 2, pairs=[(s, y)])
    s[:], y[:] = 7.0, 7.0
    np.testing.assert_allclose(strategy.dot(np.array([1.0, 0.0])), [-3.0, 0.0], rtol=0, atol=EPS)


@pytest.mark.parametrize("make", STRATEGIES)
def test_wrong_input_is_refused(make):
    with pytest.raises(TypeError, match="has no option 'gama'; its options are memory, gamma"):
        make(gama=2.0)
    with pytest.raises(TypeError, match="no option 'dtype'"):
        make(dtype=np.float32)
    with pytest.raises(ValueError, match="memory must be an integer >= 1, got 0"):
        make(memory=0)
    with pytest.raises(ValueError, match="gamma must be"):
        make(gamma=np.nan)
    strategy = make()
    for use in (
        lambda: strategy.dot(np.ones(3)),
        lambda: strategy.update(np.ones(3), np.ones(3)),
        strategy.get_matrix,
    ):
        with pytest.raises(RuntimeError, match=r"call initialize\(n, approx_type\)"):
            use()
    with pytest.raises(ValueError, match="'hess' or 'inv_hess', got 'inverse'"):
        strategy.initialize(3, "inverse")
    with pytest.raises(TypeError, match="n must be an integer"):
        strategy.initialize(3.5, "hess")
    strategy.initialize(3, "hess")
    with pytest.raises(ValueError, match=r"p must have shape \(3,\), got \(4,\)"):
        strategy.dot(np.ones(4))
    with pytest.raises(ValueError, match=r"delta_x must have shape \(3,\)"):
        strategy.update(np.ones((3, 1)), np.ones(3))
    with pytest.raises(TypeError, match="delta_grad is complex"):
        strategy.update(np.ones(3), np.ones(3) * 1j)


def test_scipys_own_tests(monkeypatch):
    theirs = pytest.importorskip("scipy.optimize.tests.test_hessian_update_strategy")

    def ours(init_scale=1.0, min_denominator=1e-8):
        return LSR1Strategy(memory=50, gamma=float(init_scale), skip=min_denominator)

    monkeypatch.setattr(theirs, "SR1", ours)
    case = theirs.TestHessianUpdateStrategy()
    case.test_rosenbrock_with_no_exception()
    case.test_SR1_skip_update()
    for approx_type in ("hess", "inv_hess"):
        theirs.test_matmul_equals_dot(ours, approx_type)


# Rejected trial points


def model_of(pairs, v, n=4):
    return initialised(LSR1Strategy(gamma=2.0), n, pairs=pairs).dot(v)


@pytest.fixture
def pairs():
    curvature = np.array([3.0, -1.0, 5.0, 0.5])
    steps = np.random.default_rng(1).standard_normal((4, 4))
    return [(s, curvature * s) for s in steps]


def test_warm_start_after_a_rejection_sees_the_matrix_it_began_with(pairs):
    first, other = np.ones(4), np.array([1.0, -1.0, 2.0, 0.0])
    strategy = initialised(LSR1Strategy(gamma=2.0), 4, pairs=pairs[:1])
    strategy.dot(first)
    for s, y in pairs[1:3]:  # two trial points, both rejected
        strategy.update(s, y)
        strategy.update(-s, -y)
        np.testing.assert_array_equal(strategy.dot(other), model_of(pairs[:1], other))
    strategy.update(*pairs[3])  # the third is kept
    np.testing.assert_array_equal(strategy.dot(other), model_of(pairs, other))


def test_fresh_start_after_a_rejection_sees_the_new_pair(pairs):
    first, other = np.ones(4), np.array([1.0, -1.0, 2.0, 0.0])
    strategy = initialised(LSR1Strategy(gamma=2.0), 4, pairs=pairs[:1])
    strategy.dot(first)
    strategy.dot(other)
    s, y = pairs[1]
    strategy.update(s, y)
    strategy.update(-s, -y)
    np.testing.assert_array_equal(strategy.dot(first), model_of(pairs[:2], first))
    np.testing.assert_array_equal(strategy.dot(other), model_of(pairs[:2], other))


def test_pairs_held_back_are_no_more_than_the_memory(pairs):
    strategy = initialised(LSR1Strategy(memory=2, gamma=2.0), 4)
    strategy.dot(np.ones(4))
    for s, y in pairs:
        strategy.update(s, y)
        strategy.update(-s, -y)
    assert strategy.matrix.n_pairs == 2
    for s, y in pairs[2:]:
        np.testing.assert_allclose(strategy.dot(s), y, rtol=0, atol=1e4 * EPS)


# SciPy's solvers


@pytest.mark.parametrize("make", STRATEGIES)
@pytest.mark.parametrize("method", SOLVERS)
@pytest.mark.parametrize("name", ["extended-rosenbrock", "broyden-tridiagonal", "cosine"])
def test_solvers_converge_without_forming_the_matrix(monkeypatch, method, make, name):
    def refuse(self):
        raise AssertionError("an n x n matrix was asked for")

    monkeypatch.setattr(make, "get_matrix", refuse)
    problem = get_problem(name, 60)
    # Newton-CG alone stops on the length of a step; what is left of the gradient is of its order.
    options, left = ({"xtol": 1e-6}, 1e-3) if method == "Newton-CG" else ({"gtol": 1e-6}, 1e-6)
    result = scipy.optimize.minimize(
        problem.fun, problem.x0, jac=True, method=method, hess=make(), options=options
    )
    assert result.success
    f, g = problem.fun(result.x)
    assert np.abs(g).max() <= left
    assert f < problem.fun(problem.x0)[0]


def test_two_runs_with_one_object_are_the_same():
    strategy, runs = LSR1Strategy(), []
    for _ in range(2):
        x0 = np.array([-1.2, 1.0, -1.2])
        runs.append(
            scipy.optimize.minimize(rosen, x0, jac=rosen_der, method="trust-ncg", hess=strategy)
        )
    assert runs[0].nit == runs[1].nit
    np.testing.assert_array_equal(runs[0].x, runs[1].x)


def test_copies_before_a_run_are_independent():
    original = LSR1Strategy(memory=3)
    twin = initialised(copy.deepcopy(original), 2)
    assert twin.matrix.memory == 3
    with pytest.raises(RuntimeError, match="initialize"):
        original.get_matrix()


@pytest.mark.parametrize("method", ["trust-exact", "dogleg"])
def test_solvers_that_factorise_a_dense_matrix_take_no_strategy(method):
    with pytest.raises(ValueError, match=r"Hessian (matrix )?is required"):
        scipy.optimize.minimize(
            rosen, np.zeros(2), jac=rosen_der, method=method, hess=LSR1Strategy()
        )


BARRIER_DECAY = 0.2
"""Factor of trust-constr on its barrier parameter.  The step that ends a run may be the first one
after it: then x still is the minimiser for the parameter before."""


def at_the_barrier(result, multiplier):
    """Return how far from an active constraint with this multiplier a run may end.

    Slack times multiplier is the barrier parameter.
    """
    return 1.1 * result.barrier_parameter / BARRIER_DECAY / multiplier


def separable(x):
    """Return a double well in every variable, and its gradient; minimisers at +-1."""
    wall = x * x - 1.0
    return 0.25 * (wall @ wall), x * wall


def test_bounds_are_kept_and_found_active():
    n = 30
    upper = np.where(np.arange(n) % 2, 0.5, np.inf)
    result = scipy.optimize.minimize(
        separable,
        np.full(n, 0.1),
        jac=True,
        method="trust-constr",
        hess=LSR1Strategy(),
        bounds=scipy.optimize.Bounds(0.0, upper),
    )
    assert result.success
    assert (result.x > 0.0).all() and (result.x < upper).all()
    tolerance = at_the_barrier(result, multiplier=0.375)  # |x^3 - x|
    np.testing.assert_allclose(result.x, np.minimum(upper, 1.0), rtol=0, atol=tolerance)


def test_nonlinear_constraint_with_a_strategy_of_its_own():
    """The nearest point of a ball: the Lagrangian's Hessian needs the constraint's curvature."""
    n, centre = 20, np.linspace(1.0, 2.0, 20)
    ball = scipy.optimize.NonlinearConstraint(
        lambda x: [x @ x], -np.inf, 1.0, jac=lambda x: 2 * x[None, :], hess=LSR1Strategy()
    )
    result = scipy.optimize.minimize(
        lambda x: ((x - centre) @ (x - centre), 2 * (x - centre)),
        np.zeros(n),
        jac=True,
        method="trust-constr",
        hess=LSR1Strategy(),
        constraints=ball,
    )
    assert result.success
    distance = np.linalg.norm(centre)
    tolerance = at_the_barrier(result, multiplier=distance - 1.0)
    assert abs(np.linalg.norm(result.x) - 1.0) <= tolerance
    np.testing.assert_allclose(result.x, centre / distance, rtol=0, atol=tolerance)


def test_memory_is_linear_in_n():
    """200,000 variables, some of them bounded: an n x n array would take 298 GiB."""
    n, iterations = 200_000, 3
    lower = np.full(n, -np.inf)
    lower[:100] = 0.2
    tracemalloc.start()
    result = scipy.optimize.minimize(
        separable,
        np.full(n, 0.5),
        jac=True,
        method="trust-constr",
        hess=LSR1Strategy(memory=3),
        bounds=scipy.optimize.Bounds(lower, np.inf),
        options={"maxiter": iterations},
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.nit == iterations
    assert result.fun < separable(np.full(n, 0.5))[0]
    assert peak <= 100 * n * 8


# The operator


def indefinite(n=40, kind=LSR1):
    B = kind(n, memory=4)
    curvature = np.cos(np.arange(n))
    rng = np.random.default_rng(2)
    for _ in range(4):
        s = rng.standard_normal(n)
        B.update(s, curvature * s)
    return B


@pytest.mark.parametrize(
    "B",
    [
        indefinite(),
        indefinite(kind=LBFGS),
        indefinite(kind=HybridLSR1),
        indefinite().spectrum(),
        ScaledMatrix(indefinite(), DiagonalNorm(np.linspace(1.0, 9.0, 40))),
    ],
    ids=["LSR1", "LBFGS", "HybridLSR1", "spectrum", "scaled"],
)
def test_operator_multiplies_as_the_matrix(B):
    operator = as_linear_operator(B)
    assert isinstance(operator, LinearOperator)
    assert operator.shape == (40, 40)
    assert operator.dtype == np.float64
    V = np.random.default_rng(3).standard_normal((40, 3))
    columns = np.stack([B.matvec(v) for v in V.T], axis=1)
    np.testing.assert_array_equal(operator @ V, columns)
    np.testing.assert_array_equal(operator @ V[:, :1], columns[:, :1])
    np.testing.assert_array_equal(operator.T @ V[:, 0], columns[:, 0])
    np.testing.assert_array_equal(operator.H @ V[:, 0], columns[:, 0])
    np.testing.assert_array_equal(operator @ np.ones(40, dtype=int), B.matvec(np.ones(40)))


def test_operator_serves_scipys_eigenvalue_solver():
    B = indefinite()
    ends = eigsh(as_linear_operator(B), k=2, which="BE", v0=np.ones(40), return_eigenvectors=False)
    exact = B.spectrum().all_eigenvalues
    assert exact.min() < 0.0
    np.testing.assert_allclose(
        ends, [exact.min(), exact.max()], rtol=0, atol=1e-10 * B.norm_bound()
    )


def test_operator_follows_updates():
    B = LSR1(3)
    operator = as_linear_operator(B)
    B.update(np.eye(3)[0], -4.0 * np.eye(3)[0])
    np.testing.assert_allclose(operator @ np.eye(3)[0], [-4.0, 0.0, 0.0], rtol=0, atol=16 * EPS)


def test_operator_keeps_single_precision():
    B = LSR1(3, dtype=np.float32)
    assert as_linear_operator(B).dtype == np.float32
    assert (as_linear_operator(B) @ np.ones(3)).dtype == np.float32


@pytest.mark.parametrize("B", [np.eye(3), LSR1Strategy(), None])
def test_operator_of_something_else_is_refused(B):
    with pytest.raises(TypeError, match=f"matrix of qnsolve is wanted.* got {type(B).__name__}"):
        as_linear_operator(B)


def test_operator_on_other_arrays_is_refused():
    with pytest.raises(TypeError, match="on NumPy vectors is wanted, got one on array_api_strict"):
        as_linear_operator(LSR1(3, xp=array_api_strict))


def test_public_names():
    for name in ("LSR1Strategy", "LBFGSStrategy", "HybridLSR1Strategy", "as_linear_operator"):
        assert name in qnsolve.__all__
