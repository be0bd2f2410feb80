"""One step at a time: against a dense replay, and what becomes of batches that are not finite."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve import LSR1, DiagonalNorm, HybridLSR1, QuadraticModel, ScaledMatrix, solve_trs
from qnsolve.arrays import space_of
from qnsolve.solvers.matrices import Build
from qnsolve.solvers.moving_norms import SecondMoments
from qnsolve.stochastic import make_solver
from qnsolve.stochastic.options import TrustRegionStepOptions
from qnsolve.stochastic.scaling import PartOfLatest
from qnsolve.stochastic.step import norm_of, secant_model
from qnsolve.stochastic.training import METHODS
from tests.stochastic.problems import N_PARAMS, net_loss, samples, start
from tests.tolerances import EPS

REPLAY_RTOL = 1e-9
"""Iterates of the compact form against those of the dense recursion, whose rounding each step
multiplies by the condition of the matrix; 1e-12 was seen."""

RESCALED_RTOL = 1e4 * EPS
"""Rows rescaled with every norm against rows scaled once, through a matrix of condition 1e3."""


class Trial:
    """A step of which nothing else is known."""

    products = None

    def __init__(self, step):
        self.step = step


def batch_functions(count=12, size=40):
    X, t = samples(count * size)
    for k in range(count):
        batch = X[k * size : (k + 1) * size], t[k * size : (k + 1) * size]
        yield lambda x, batch=batch: net_loss(x, batch)


def mean_of(a, b):
    return lambda x: tuple(0.5 * (u + v) for u, v in zip(a(x), b(x), strict=True))


def dense_sr1(pairs, gamma):
    B = gamma * np.eye(N_PARAMS)
    for s, y in pairs:
        r = y - B @ s
        if abs(r @ s) >= 1e-8 * np.linalg.norm(r) * np.linalg.norm(s):
            B = B + np.outer(r, r) / (r @ s)
    return B


@pytest.mark.parametrize("overlap", [False, True])
def test_trust_region_steps_replayed_with_dense_matrices(overlap):
    gamma, memory = 2.0, 4
    solver = make_solver("lsr1-tr", norm="l2", gamma=gamma, memory=memory, initial_radius=0.3)
    state = solver.init(start())
    x, radius, pairs, before = start(), 0.3, [], None
    for f in batch_functions():
        whole = f if before is None or not overlap else mean_of(before, f)
        state, info = solver.step(state, whole, measured=f if overlap else None)
        B = dense_sr1(pairs, gamma)
        found = solve_trs(whole(x)[1], B, radius)
        (value, g), (value_new, g_new) = f(x), f(x + found.step)
        ratio = (value - value_new) / -(g @ found.step + 0.5 * found.step @ B @ found.step)
        pairs, before = [*pairs, (found.step, g_new - g)][-memory:], f
        if ratio > 1e-4:
            x = x + found.step
        if ratio < 0.1:
            radius *= 0.5
        elif ratio > 0.75 and np.linalg.norm(found.step) > 0.8 * radius:
            radius *= 2.0
        np.testing.assert_allclose(state.x, x, rtol=0, atol=REPLAY_RTOL * np.linalg.norm(x))
        assert info.accepted == (ratio > 1e-4)
        assert info.size == pytest.approx(radius)


@pytest.mark.parametrize("matrix", [LSR1, HybridLSR1])
def test_pairs_follow_the_norm(matrix):
    rng = np.random.default_rng(3)
    options = TrustRegionStepOptions(
        memory=4, refresh=1, decay=0.99, gamma="latest", matrix=Build(matrix)
    )
    space = space_of(start())
    model = secant_model(options, *norm_of(options, space))
    moments = SecondMoments("adam", decay=0.99, epsilon=1e-8, space=space)
    pairs = []
    for k in range(9):
        g = rng.standard_normal(N_PARAMS)
        model.observe(g)
        moments.update(g)
        model.renew(g, model.metric.dual_norm(g))
        if k == 0:
            model.begin(1.0)
        s = rng.standard_normal(N_PARAMS)
        y = np.linspace(1.0, 30.0, N_PARAMS) * s
        pairs = [*pairs, (s, y)][-4:]
        assert model.learn_pair(Trial(s), y)
    model.observe(g)
    model.renew(g, model.metric.dual_norm(g))
    moments.update(g)
    fresh = ScaledMatrix(matrix(N_PARAMS, memory=4, gamma="latest"), moments.norm())
    for s, y in pairs:
        fresh.update(s, y)
    step = model.quadratic().trust_region(1.0).step
    expected = QuadraticModel(g, fresh).trust_region(1.0).step
    atol = RESCALED_RTOL * np.linalg.norm(expected)
    np.testing.assert_allclose(step, expected, rtol=0, atol=atol)


def test_first_step_is_that_of_the_preconditioned_gradient():
    (f, *_) = batch_functions(1)
    solver = make_solver(norm="adam", initial_rate=0.01)
    state, info = solver.step(solver.init(start()), f)
    _, g = f(start())
    assert info.accepted
    expected = start() - 0.01 * g / (np.abs(g) + 1e-8)
    np.testing.assert_allclose(state.x, expected, rtol=64 * EPS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [(np.nan, 1.0), (np.inf, 1.0), (1.0, np.nan), (1.0, np.inf)])
def test_a_batch_that_is_not_finite_changes_nothing(method, bad):
    functions = list(batch_functions(4))
    solver = make_solver(method)
    state = solver.init(start())

    def products(f):
        return lambda x, v: (f(x + 1e-6 * v)[1] - f(x)[1]) / 1e-6

    for f in functions[:3]:
        state, _ = solver.step(state, f, products(f))
    x = state.x
    bad_batch = lambda x: (bad[0], np.full(N_PARAMS, bad[1]))  # noqa: E731
    state, info = solver.step(state, bad_batch, lambda x, v: v)
    assert state.x is x
    assert not info.finite
    assert not info.accepted
    state, info = solver.step(state, functions[3], products(functions[3]))
    assert info.finite
    assert np.isfinite(state.x).all()


@pytest.mark.parametrize("method", ["hybrid-tr", "lsr1-tr", "lsr1-arc"])
def test_a_trial_point_that_is_not_finite_shortens_the_next_step(method):
    (f, *_) = batch_functions(1)
    solver = make_solver(method, initial_rate=0.5)
    state = solver.init(start())

    def wall(x):
        value, g = f(x)
        return (value, g) if np.abs(x - start()).max() < 0.1 else (np.inf, np.nan * g)

    lengths = []
    for _ in range(12):
        state, info = solver.step(state, wall)
        lengths.append(info.length)
        if info.accepted:
            break
        assert info.n_pairs == 0
    assert info.accepted
    assert len(lengths) > 1
    assert lengths == sorted(lengths, reverse=True)


def test_a_part_for_which_the_step_leads_uphill_refuses_it():
    (f, *_) = batch_functions(1)
    solver = make_solver("hybrid-tr")
    uphill = lambda x: (0.0, -f(x)[1])  # noqa: E731
    state, info = solver.step(solver.init(start()), f, measured=uphill)
    assert not info.accepted
    assert info.ratio == -np.inf
    assert (state.x == start()).all()


def test_zero_gradient_stays():
    for method in METHODS:
        solver = make_solver(method)
        state, info = solver.step(
            solver.init(np.ones(3)), lambda x: (1.0, np.zeros(3)), lambda x, v: v
        )
        assert (state.x == 1.0).all()
        assert not info.accepted


def test_a_fixed_diagonal_norm():
    d = np.linspace(1.0, 9.0, N_PARAMS)
    (f, *_) = batch_functions(1)
    solver = make_solver(norm=DiagonalNorm(d), initial_rate=0.01)
    state, _ = solver.step(solver.init(start()), f)
    np.testing.assert_allclose(state.x, start() - 0.01 * f(start())[1] / d, rtol=64 * EPS)


@pytest.mark.parametrize(
    ("method", "options", "error", "match"),
    [
        ("lsr1-tr", {"matrix": 3}, TypeError, "matrix must be a callable, got int 3"),
        (
            "lsr1-ls",
            {"decrease": 0.5, "curvature": 0.1},
            ValueError,
            "decrease must be < curvature",
        ),
    ],
)
def test_options_that_cannot_be(method, options, error, match):
    with pytest.raises(error, match=match):
        make_solver(method, **options)
    with pytest.raises(ValueError, match="part must lie in"):
        PartOfLatest(0.0)


def test_newton_needs_products():
    (f, *_) = batch_functions(1)
    solver = make_solver("newton-tr")
    with pytest.raises(TypeError, match="needs product"):
        solver.step(solver.init(start()), f)
