"""Truncated CG and the Lanczos solvers against dual bounds, dense oracles and conditions."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qnsolve import SubproblemStatus
from qnsolve.krylov.gltr import MISS_PROBABILITY, RANDOM_START, gltr, lanczos_cubic
from qnsolve.krylov.lanczos import BandLanczos
from qnsolve.krylov.model import KrylovModel, random_unit_vector
from qnsolve.krylov.products import answered
from qnsolve.krylov.steihaug import _to_boundary, steihaug_cg
from qnsolve.norms import DiagonalNorm
from qnsolve.subproblem.regions import Regularisation
from qnsolve.subproblem.regularised_l2 import regularised_l2
from qnsolve.subproblem.types import ReducedProblem
from tests.oracles import dense
from tests.oracles.duality import cubic_bound, trust_region_bound
from tests.strategies import (
    HARD_CASES,
    NAMED_CASES,
    eigenvalue_lists,
    log_uniform,
    named_case,
    orthogonal,
    radii,
    seeds,
    spectral_cases,
    weights,
)
from tests.tolerances import EPS, FEASIBILITY_RTOL, model_tolerance

NAMED_WEIGHT = 0.1

TOL = float(np.sqrt(EPS))
"""The default tolerance of the solvers: of the residual, so that the decrease has twice its digits
where the problem is well conditioned."""

BASIS_ROUNDINGS = 16
"""Roundings, in units of eps, in the length of a sum of n orthonormal vectors."""

SOLVERS = [steihaug_cg, gltr, lanczos_cubic]
EXACT = [gltr, lanczos_cubic]


def times(B):
    """Return hessp of a matrix, or of the vector of a diagonal one."""
    return (lambda v: B @ v) if B.ndim == 2 else (lambda v: B * v)


def value(g, B, s, weight=0.0, power=3.0):
    return g @ s + 0.5 * s @ (B @ s) + weight / power * np.linalg.norm(s) ** power


def stretched(g, B, d):
    """Return (g, B) in the variables s = A^{-1/2} p of a problem that is given in p."""
    root = np.sqrt(d)
    return root * g, root[:, None] * B * root


@st.composite
def metrics(draw, n):
    """Diagonals over four orders of magnitude, or None."""
    if draw(st.booleans()):
        return None
    return 10 ** np.random.default_rng(draw(seeds())).uniform(-2, 2, n)


# The Lanczos process ------------------------------------------------------------------------------


@pytest.mark.parametrize("reorthogonalise", [True, False])
def test_lanczos_matrix_is_the_projected_one(reorthogonalise):
    """Q'Q = I, H = Q'BQ and BQ = QH + F, with two coupled chains where they are orthogonal."""
    n = 12
    U, lam = orthogonal(n, 0), np.linspace(-1, 3, n)
    B = (U * lam) @ U.T
    model = KrylovModel.checked(U @ np.ones(n), None, Regularisation(1.0))
    lanczos = BandLanczos(model.operator, reorthogonalise=reorthogonalise)
    assert answered(lanczos.start(model.gradient), times(B))
    chains = [0, 0, 0]
    for chain in chains:
        assert answered(lanczos.extend(chain), times(B))
    if reorthogonalise:
        v = random_unit_vector(model.space, np.random.default_rng(1))
        assert answered(lanczos.start(v), times(B))
        for chain in (1, 0, 0, 1):
            assert answered(lanczos.extend(chain), times(B))
    k = lanczos.size
    Q = np.stack([lanczos.lift(e) for e in np.eye(k)], axis=1)
    np.testing.assert_allclose(Q.T @ Q, np.eye(k), atol=1e-13)
    np.testing.assert_allclose(Q.T @ B @ Q, lanczos.H, atol=1e-13)
    F = B @ Q - Q @ lanczos.H
    for f in lanczos.open.values():
        np.testing.assert_allclose(F[:, f.index], f.vector, atol=1e-13)
        F[:, f.index] = 0.0
    np.testing.assert_allclose(F, 0.0, atol=1e-13)
    theta, V = lanczos.spectrum()
    np.testing.assert_allclose((V * theta) @ V.T, lanczos.H, atol=1e-13)


@given(st.integers(1, 12), seeds())
def test_lanczos_stays_orthogonal_on_few_eigenvalues(n, seed):
    """Every breakdown is noticed, however many starts are needed to fill the space."""
    rng = np.random.default_rng(seed)
    U, lam = orthogonal(n, seed), rng.choice([0.0, 1.0, 1.0 + 1e-9, -2.0], n)
    B = (U * lam) @ U.T
    model = KrylovModel.checked(rng.standard_normal(n), None, Regularisation(1.0))
    lanczos = BandLanczos(model.operator)
    while not lanczos.full:
        if lanczos.open and rng.random() < 0.8:
            chain = int(rng.choice(list(lanczos.open)))
            assert answered(lanczos.extend(chain), times(B))
        else:
            v = random_unit_vector(model.space, rng)
            assert answered(lanczos.start(v), times(B))
    assert not lanczos.open
    Q = np.stack([lanczos.lift(e) for e in np.eye(n)], axis=1)
    np.testing.assert_allclose(Q.T @ Q, np.eye(n), atol=BASIS_ROUNDINGS * n * EPS)
    np.testing.assert_allclose(Q.T @ B @ Q, lanczos.H, atol=64 * n * EPS)


# The exact solvers --------------------------------------------------------------------------------


def drawn_problem(case, seed, data):
    """Return lam and a of a case, and its g and B in another basis and in a norm that is drawn."""
    lam, a = case.diagonal()[1].diagonal(), case.diagonal()[0]
    g, B, _ = case.rotated(seed)
    d = data.draw(metrics(case.n))
    norm = None if d is None else DiagonalNorm(d)
    if d is not None:
        g, B = stretched(g, B, d)
    return lam, a, g, B, norm


def assert_certified(result, norm_g, reach_of_residual):
    """All figures at the tolerance, and a gap that the residual left by it explains.

    A residual rho loses at most rho R, R the way that a minimiser may be off, here a function of
    rho; where B + sigma A is singular, as in the hard case, nothing less is true.
    """
    certificate, sigma = result.certificate(), float(result.multipliers[0])
    assert replace(certificate, gap=0.0).worst <= 4 * TOL
    length = result.model.space.norm(result.model.operator.unscale(result.step))
    curvature = np.abs(result.ritz).max() + sigma
    residual = certificate.stationarity * (norm_g + curvature * length)
    reach = reach_of_residual(residual, length)
    lost = residual * reach + 0.5 * max(0.0, -certificate.min_eig) * curvature * reach**2
    assert certificate.gap * result.decrease <= 4 * TOL * result.decrease + lost


def way_of_the_cubic(weight):
    """Beyond it the cubic has grown by more than the residual takes from it."""
    return lambda residual, length: 11 * length + 1.2 * np.sqrt(residual / weight)


@given(spectral_cases(), seeds(), st.data())
def test_gltr_equals_dual_bound(case, seed, data):
    lam, a, g, B, norm = drawn_problem(case, seed, data)
    result = gltr(g, times(B), case.radius, norm=norm)
    bound = trust_region_bound(lam, a, case.radius).value
    tolerance = 16 * model_tolerance(case.n, np.linalg.norm(a), np.abs(lam).max(), case.radius)
    assert result.status is SubproblemStatus.SOLVED
    assert result.nit <= case.n
    assert abs(result.decrease + bound) <= tolerance + TOL * abs(bound)
    s = result.step
    length = np.linalg.norm(s) if norm is None else norm.norm(s)
    assert length <= case.radius * (1 + BASIS_ROUNDINGS * case.n * EPS)
    assert abs(value(g, B, s) - bound) <= tolerance + TOL * abs(bound)
    assert_certified(result, np.linalg.norm(a), lambda residual, length: 2 * case.radius)
    # Sigma is large enough for the true least eigenvalue too, not only for the one that was found.
    sigma = float(result.multipliers[0])
    assert lam.min() + sigma >= -TOL * (np.abs(lam).max() + sigma)


@given(spectral_cases(), seeds(), weights(), st.data())
def test_cubic_equals_dual_bound(case, seed, weight, data):
    lam, a, g, B, norm = drawn_problem(case, seed, data)
    result = lanczos_cubic(g, times(B), weight, norm=norm)
    bound = cubic_bound(lam, a, weight).value
    s = result.step
    length = np.linalg.norm(s) if norm is None else norm.norm(s)
    # The length of the exact minimiser is not above that of a step for the weight w / 2 or so.
    reach = max(length, float(np.sqrt(cubic_bound(lam, a, weight).multiplier / weight) ** 2))
    tolerance = 16 * model_tolerance(case.n, np.linalg.norm(a), np.abs(lam).max(), reach)
    assert result.status is SubproblemStatus.SOLVED
    assert abs(result.decrease + bound) <= tolerance + TOL * abs(bound)
    cubic = weight / 3 * length**3
    assert abs(value(g, B, s) + cubic - bound) <= tolerance + TOL * abs(bound)
    assert_certified(result, np.linalg.norm(a), way_of_the_cubic(weight))
    sigma = float(result.multipliers[0])
    assert lam.min() + sigma >= -TOL * (np.abs(lam).max() + sigma)


@pytest.mark.parametrize("seed", range(20))
def test_gap_of_a_right_step_on_a_flat_matrix(seed):
    """What |g| alone allows is 1e7 times as far as the residual does: that made a gap of 6e-3."""
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((5, 5)))[0]
    B = (rotation * [0.0, 0.0, 1e6, 1e6, 1e6 + 1e-6]) @ rotation.T
    B = 0.5 * (B + B.T)
    result = lanczos_cubic(1e-5 * rotation[:, 2], times(B), 1.0)
    assert result.decrease == pytest.approx(5e-17, rel=1e-9)
    assert_certified(result, 1e-5, way_of_the_cubic(1.0))


@given(spectral_cases(), seeds())
def test_tolerance_zero_reaches_rounding(case, seed):
    g, B, _ = case.rotated(seed)
    for solve, parameter in ((gltr, case.radius), (lanczos_cubic, NAMED_WEIGHT)):
        result = solve(g, times(B), parameter, tol=0.0)
        assert result.status is SubproblemStatus.SOLVED
        assert result.certificate().worst <= 64 * case.n * EPS


@pytest.mark.parametrize("name", NAMED_CASES)
@pytest.mark.parametrize("solve", EXACT)
def test_named_cases(name, solve):
    case = named_case(name)
    g, B, _ = case.rotated(0)
    parameter = case.radius if solve is gltr else NAMED_WEIGHT
    oracle = dense.trust_region_l2 if solve is gltr else dense.cubic_l2
    result = solve(g, times(B), parameter)
    wanted = oracle(g, B, parameter)
    assert result.decrease == pytest.approx(wanted.decrease, rel=1e-12)
    assert result.multipliers[0] == pytest.approx(wanted.multiplier, abs=1e-7)
    # Rounding decides on which side of 0 the eigenvalue of "singular" is.
    if name != "singular":
        assert result.hard_case == (name in HARD_CASES)
        assert result.on_boundary == (solve is gltr and name != "interior")


@pytest.mark.parametrize("solve", EXACT)
@pytest.mark.parametrize("seed", range(10))
def test_hard_case_needs_the_restart(solve, seed):
    """Without one the answer is that of the Krylov space of g, and the status says so."""
    n = 60
    lam = np.r_[-1.0, np.random.default_rng(seed).uniform(-0.5, 2.0, n - 1)]
    g = np.r_[0.0, np.ones(n - 1)]
    parameter = 100.0 if solve is gltr else 0.01
    bound = (trust_region_bound if solve is gltr else cubic_bound)(lam, g, parameter).value
    found = solve(g, times(lam), parameter, seed=seed)
    assert found.status is SubproblemStatus.SOLVED
    assert found.hard_case
    assert found.decrease == pytest.approx(-bound, rel=1e-12)
    missed = solve(g, times(lam), parameter, restarts=0)
    assert missed.status is SubproblemStatus.KRYLOV
    assert not missed.hard_case
    assert missed.decrease < 0.99 * found.decrease
    assert missed.nit < found.nit
    # What it knows of B does not show the miss, as the certificate's documentation says.
    assert missed.certificate().min_eig >= 0.0


def test_search_finds_one_outlier_in_a_large_space():
    """Curvature of a single direction out of 5,000, while all others are alike."""
    n = 5000
    lam = np.r_[-0.5, np.random.default_rng(0).uniform(1.0, 2.0, n - 1)]
    g = np.r_[0.0, np.ones(n - 1)]
    for seed in range(20):
        result = gltr(g, times(lam), 1e3, seed=seed)
        assert result.status is SubproblemStatus.SOLVED
        assert result.hard_case
        assert result.nit < 50


def test_hidden_curvature_that_is_coupled_to_the_first_chain():
    """Lanczos from g has converged, and has not seen an eigenvector that g hardly contains."""
    lam = np.r_[-1.0, np.linspace(1.0, 2.0, 80)]
    g = np.r_[1e-13, np.ones(80)]
    bound = trust_region_bound(lam, g, 50.0).value
    assert gltr(g, times(lam), 50.0, restarts=0).decrease < -0.9 * bound
    result = gltr(g, times(lam), 50.0)
    assert result.decrease == pytest.approx(-bound, rel=1e-12)
    # To the tolerance of the solver this is a hard case.
    assert result.hard_case
    assert result.certificate().worst <= 4 * TOL


@pytest.mark.parametrize("solve", EXACT)
def test_zero_gradient(solve):
    lam = np.array([3.0, -2.0, 1.0, -2.0])
    result = solve(np.zeros(4), times(lam), 2.0)
    sigma = 2.0
    assert result.hard_case
    assert result.multipliers[0] == pytest.approx(sigma)
    decrease = 4.0 if solve is gltr else sigma**3 / (6 * 2.0**2)
    assert result.decrease == pytest.approx(decrease)
    convex = solve(np.zeros(4), times(np.abs(lam)), 2.0)
    assert convex.status is SubproblemStatus.SOLVED
    assert convex.decrease == 0.0
    assert not convex.step.any()
    blind = solve(np.zeros(4), times(lam), 2.0, restarts=0)
    assert (blind.status, blind.nit) == (SubproblemStatus.KRYLOV, 0)
    assert np.isfinite(blind.certificate().min_eig)


@pytest.mark.parametrize("solve", EXACT)
def test_zero_gradient_in_one_variable(solve):
    result = solve(np.zeros(1), times(np.array([-2.0])), 2.0)
    assert result.hard_case
    assert result.multipliers[0] == pytest.approx(2.0)


@given(st.integers(1, 5), seeds(), log_uniform(1e-6, 1.0))
@example(2, 20795, 1.0)
def test_way_to_the_boundary(n, seed, length):
    """From a point inside; from one that rounding put outside, the way may lead back."""
    rng = np.random.default_rng(seed)
    s, d = rng.standard_normal((2, n))
    s *= min(length, 1.0 - 8 * EPS) / np.linalg.norm(s)
    tau = _to_boundary(s @ s, s @ d, d @ d)
    assert tau >= 0.0
    assert np.linalg.norm(s + tau * d) == pytest.approx(1.0, rel=16 * EPS)


@pytest.mark.parametrize("solve", SOLVERS)
def test_linear_model(solve):
    """B = 0: the step is the steepest one, in the norm of the region."""
    g, d = np.array([3.0, -4.0, 12.0]), np.array([1.0, 4.0, 9.0])
    norm = DiagonalNorm(d)
    result = solve(g, np.zeros_like, 2.0, norm=norm)
    size = norm.dual_norm(g)
    length = 2.0 if solve is not lanczos_cubic else np.sqrt(size / 2.0)
    np.testing.assert_allclose(result.step, -length * g / d / size, rtol=1e-14)
    share = 1.0 if solve is not lanczos_cubic else 2.0 / 3.0
    assert result.decrease == pytest.approx(share * size * length, rel=1e-14)
    assert result.certificate().worst <= 1e-15


@pytest.mark.parametrize("solve", SOLVERS)
@pytest.mark.parametrize("curvature", [-2.0, 0.0, 2.0])
def test_one_variable(solve, curvature):
    result = solve(np.array([3.0]), lambda v: curvature * v, 1.0)
    oracle = dense.cubic_l2 if solve is lanczos_cubic else dense.trust_region_l2
    wanted = oracle([3.0], [[curvature]], 1.0)
    assert result.decrease == pytest.approx(wanted.decrease, rel=1e-14)
    np.testing.assert_allclose(result.step, wanted.step, rtol=1e-14)
    if solve is not steihaug_cg:
        assert result.status is SubproblemStatus.SOLVED


@given(eigenvalue_lists(6), seeds(), st.sampled_from([2.5, 3.0, 4.0]))
def test_other_powers(lam, seed, power):
    """The whole problem in the eigenvectors of B, which is the pure function itself."""
    lam = lam / np.abs(lam).max() if lam.any() else lam
    a = np.random.default_rng(seed).standard_normal(6)
    wanted = regularised_l2(ReducedProblem.of(lam, a), 0.5, power)
    U = orthogonal(6, seed)
    result = lanczos_cubic(U @ a, times((U * lam) @ U.T), 0.5, power=power)
    assert result.decrease == pytest.approx(wanted.decrease, rel=1e-12)
    assert result.certificate().worst <= 4 * TOL


def test_power_two():
    lam, g = np.array([-1.0, 2.0, 3.0]), np.ones(3)
    result = lanczos_cubic(g, times(lam), 1.5, power=2.0)
    np.testing.assert_allclose(result.step, -g / (lam + 1.5), rtol=1e-12)
    unbounded = lanczos_cubic(g, times(lam), 0.5, power=2.0)
    assert unbounded.status is SubproblemStatus.UNBOUNDED
    assert unbounded.certificate().worst == np.inf
    assert not unbounded.step.any()


def test_without_reorthogonalisation():
    """Well-conditioned problems lose nothing; hard cases are not looked for."""
    lam = np.linspace(-1.0, 5.0, 300)
    g = np.ones(300)
    exact = gltr(g, times(lam), 7.0)
    result = gltr(g, times(lam), 7.0, reorthogonalise=False)
    assert result.status is SubproblemStatus.KRYLOV
    assert result.decrease == pytest.approx(exact.decrease, rel=1e-12)
    assert np.linalg.norm(result.step) == pytest.approx(7.0, rel=1e-10)
    # Ill-conditioned ones take more products than there are unknowns.
    lam = np.logspace(-3, 0, 100)
    result = gltr(lam, times(lam), 1e9, reorthogonalise=False, maxiter=500)
    assert result.nit > 100
    np.testing.assert_allclose(result.step, -np.ones(100), rtol=1e-3)
    with pytest.raises(ValueError, match="reorthogonalise"):
        gltr(g, times(np.ones(300)), 1.0, reorthogonalise=False, restarts=1)


@given(spectral_cases(), seeds(), radii(), radii())
def test_decrease_grows_with_the_radius(case, seed, one, two):
    g, B, _ = case.rotated(seed)
    small, large = sorted((one, two))
    near, far = (gltr(g, times(B), radius, tol=0.0) for radius in (small, large))
    norm_B = np.abs(case.spectrum()[0]).max()
    tolerance = model_tolerance(case.n, np.linalg.norm(g), norm_B, small)
    assert far.decrease >= near.decrease - 16 * tolerance


# Truncated conjugate gradients --------------------------------------------------------------------


def iterates(g, hessp, radius, norm, most):
    """Return the iterates of truncated CG, from runs that stop one product later each."""
    results = [steihaug_cg(g, hessp, radius, norm=norm, maxiter=k) for k in range(1, most + 1)]
    count = results[-1].nit
    return results[:count]


@given(spectral_cases(), seeds(), st.data())
def test_steihaug_path(case, seed, data):
    """Longer and lower with every iteration, inside the region, and below the Cauchy step."""
    g, B, _ = case.rotated(seed)
    d = data.draw(metrics(case.n))
    norm = None if d is None else DiagonalNorm(d)
    if d is not None:
        g, B = stretched(g, B, d)
    path = iterates(g, times(B), case.radius, norm, case.n)
    scale = np.ones(case.n) if d is None else d
    lengths = [0.0] + [np.sqrt(np.sum(scale * r.step**2)) for r in path]
    decreases = [0.0] + [r.decrease for r in path]
    for before, after in itertools.pairwise(lengths):
        assert after >= before * (1 - 1e-6)
        assert after <= case.radius * (1 + FEASIBILITY_RTOL)
    assert np.all(np.diff(decreases) >= 0.0)
    for result, length in zip(path, lengths[1:], strict=True):
        norm_B = np.abs(case.spectrum()[0]).max()
        rounding = model_tolerance(case.n, np.linalg.norm(case.diagonal()[0]), norm_B, length)
        assert abs(value(g, B, result.step) + result.decrease) <= 16 * rounding
        assert result.status in (SubproblemStatus.APPROXIMATE, SubproblemStatus.PRODUCT_LIMIT)

    # The Cauchy step: the best one along -A^{-1} g.
    if not g.any():
        return
    steepest = -g / scale
    slope, curvature = -(g @ steepest), steepest @ B @ steepest
    longest = case.radius / np.sqrt(slope)
    t = min(longest, slope / curvature) if curvature > 0 else longest
    cauchy = t * slope - 0.5 * t**2 * curvature
    norm_B = np.abs(case.spectrum()[0]).max()
    slack = model_tolerance(case.n, np.linalg.norm(case.diagonal()[0]), norm_B, t * np.sqrt(slope))
    assert decreases[-1] >= cauchy * (1 - 1e-12) - 16 * slack


@given(
    st.integers(1, 10),
    seeds(),
    log_uniform(1e-3, 1e3),
    st.booleans(),
)
def test_half_of_the_exact_decrease_on_convex_models(n, seed, radius, repeat):
    """Yuan (2000)."""
    rng = np.random.default_rng(seed)
    lam = 10 ** rng.uniform(-2, 2, n)
    if repeat:
        lam = rng.choice(lam, n)
    g = rng.standard_normal(n) * 10 ** rng.uniform(-2, 2)
    result = steihaug_cg(g, times(lam), radius)
    bound = trust_region_bound(lam, g, radius).value
    assert result.decrease >= -0.5 * bound * (1 - TOL)
    assert result.decrease <= -bound * (1 + 64 * EPS)
    if not result.on_boundary:
        assert result.decrease == pytest.approx(-bound, rel=1e-10)


def test_steihaug_is_not_exact():
    """On the boundary the certificate refutes the step, and the status never calls it solved."""
    lam, g = np.array([-1.0, 0.5, 4.0]), np.array([0.1, 1.0, 1.0])
    step = steihaug_cg(g, times(lam), 2.0)
    assert step.status is SubproblemStatus.APPROXIMATE
    assert step.on_boundary
    assert step.certificate().stationarity > 0.01
    assert step.decrease < gltr(g, times(lam), 2.0).decrease


def test_steihaug_sees_the_ritz_values():
    """The Lanczos matrix of conjugate gradients, negative curvature included."""
    lam, g = np.array([1.0, 3.0, 4.0, 7.0]), np.ones(4)
    result = steihaug_cg(g, times(lam), 1e3, tol=1e-14)
    np.testing.assert_allclose(result.ritz, [1.0, 7.0], rtol=1e-10)
    assert result.certificate().min_eig == pytest.approx(1.0 / 7.0)
    negative = steihaug_cg(g, times(lam - 2.0), 1e3)
    assert negative.on_boundary
    assert -1.0 <= negative.ritz[0] < 0.0


def test_steihaug_interior_is_the_newton_step():
    B = np.array([[3.0, 1.0], [1.0, 2.0]])
    g = np.array([1.0, -2.0])
    result = steihaug_cg(g, times(B), 100.0, tol=1e-14)
    np.testing.assert_allclose(result.step, -np.linalg.solve(B, g), rtol=1e-13)
    assert not result.on_boundary
    assert result.multipliers.tolist() == [0.0]
    assert result.nit == 2


# All of them --------------------------------------------------------------------------------------


@pytest.mark.parametrize("solve", SOLVERS)
def test_diagonal_norm_is_a_change_of_variables(solve):
    rng = np.random.default_rng(3)
    n = 8
    d = 10 ** rng.uniform(-3, 3, n)
    A = rng.standard_normal((n, n))
    B, g = A + A.T, rng.standard_normal(n)
    root = np.sqrt(d)
    ours = solve(g, times(B), 0.7, norm=DiagonalNorm(d))
    plain = solve(g / root, times(B / np.outer(root, root)), 0.7)
    np.testing.assert_allclose(ours.step * root, plain.step, rtol=1e-7, atol=1e-9)
    assert ours.decrease == pytest.approx(plain.decrease, rel=1e-12)
    np.testing.assert_allclose(ours.multipliers, plain.multipliers, rtol=1e-10)
    one, two = ours.certificate(), plain.certificate()
    assert one.min_eig == pytest.approx(two.min_eig, abs=1e-9)
    assert one.stationarity == pytest.approx(two.stationarity, abs=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("metric", [False, True])
@pytest.mark.parametrize("solve", SOLVERS)
def test_array_libraries(xp, dtype, metric, solve):
    lam = xp.asarray([-1.0, 2.0, 3.0, 4.0, -1.0, 5.0], dtype)
    g = xp.asarray([0.0, 1.0, 2.0, 3.0, 0.0, -1.0], dtype)
    d = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    norm = DiagonalNorm(xp.asarray(d, dtype)) if metric else None
    result = solve(g, lambda v: lam * v, 2.0, norm=norm)
    assert result.step.dtype == g.dtype
    assert getattr(result.step, "device", None) == getattr(g, "device", None)
    host = np.array([-1.0, 2.0, 3.0, 4.0, -1.0, 5.0]), np.array([0.0, 1.0, 2.0, 3.0, 0.0, -1.0])
    plain = solve(host[1], times(host[0]), 2.0, norm=DiagonalNorm(np.array(d)) if metric else None)
    eps = float(np.finfo(dtype).eps)
    assert result.decrease == pytest.approx(plain.decrease, rel=64 * eps)
    assert result.hard_case == plain.hard_case
    assert result.status is plain.status
    if solve is not steihaug_cg:
        assert result.certificate().worst <= 4 * np.sqrt(eps)


@pytest.mark.parametrize("solve", SOLVERS)
def test_float32_large(solve):
    rng = np.random.default_rng(0)
    n = 20_000
    lam = rng.uniform(1.0, 10.0, n).astype(np.float32)
    g = rng.standard_normal(n).astype(np.float32)
    result = solve(g, lambda v: lam.astype(np.float64) * v, 3.0)
    assert result.step.dtype == np.float32
    assert result.nit < 100
    if solve is not steihaug_cg:
        bound = (cubic_bound if solve is lanczos_cubic else trust_region_bound)(
            lam.astype(float), g.astype(float), 3.0
        ).value
        assert result.decrease == pytest.approx(-bound, rel=1e-5)


@pytest.mark.parametrize("solve", SOLVERS)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("good", [0, 1, 3])
def test_non_finite_products_are_a_status(solve, poison, good):
    lam, g = np.arange(1.0, 9.0), np.ones(8)
    calls = 0

    def hessp(v):
        nonlocal calls
        calls += 1
        return lam * v if calls <= good else np.full_like(v, poison)

    result = solve(g, hessp, 1e3 if solve is not lanczos_cubic else 1e-3)
    assert result.status is SubproblemStatus.NONFINITE
    assert result.nit == calls == good + 1
    assert np.isfinite(result.step).all()
    calls = 0
    alone = solve(g, times(lam), 1e3 if solve is not lanczos_cubic else 1e-3, maxiter=max(1, good))
    assert result.decrease == (alone.decrease if good else 0.0)
    calls = 10
    certificate = result.certificate()
    assert (certificate.stationarity, certificate.min_eig) == (np.inf, -np.inf)


def test_product_limit_of_the_search():
    # g spans two eigenvectors; the one of negative curvature is found by the search alone.
    lam, g = np.append(-1.0, np.linspace(0.5, 3.0, 7)), np.eye(8)[2] + np.eye(8)[5]
    results = [gltr(g, times(lam), 5.0, maxiter=k) for k in range(1, 10)]
    assert [result.nit for result in results] == [1, 2, 3, 4, 5, 6, 7, 8, 8]
    assert [result.status for result in results[:7]] == [SubproblemStatus.PRODUCT_LIMIT] * 7
    assert results[7].hard_case


@pytest.mark.parametrize("condition", [2.0, 5.0])
def test_search_takes_as_many_products_as_the_bound_asks(condition):
    n = 400
    result = gltr(np.eye(n)[0], times(np.linspace(1.0, condition, n)), 10.0)
    least, greatest = result.ritz
    asked = np.log(RANDOM_START * np.sqrt(n) / MISS_PROBABILITY)
    taken = (2 * (result.nit - 1) - 1) * np.sqrt(least / greatest)
    assert 0.95 * asked <= taken <= 1.1 * asked


@pytest.mark.parametrize("solve", SOLVERS)
def test_product_limit(solve):
    lam, g = np.logspace(-3, 0, 50), np.ones(50)
    few = solve(g, times(lam), 1e3 if solve is not lanczos_cubic else 1e-3, maxiter=5)
    more = solve(g, times(lam), 1e3 if solve is not lanczos_cubic else 1e-3, maxiter=10)
    assert few.status is more.status is SubproblemStatus.PRODUCT_LIMIT
    assert (few.nit, more.nit) == (5, 10)
    assert 0.0 < few.decrease < more.decrease


@pytest.mark.parametrize("solve", SOLVERS)
def test_hessp_may_keep_and_change_what_it_gets(solve):
    lam, g = np.array([-1.0, 2.0, 3.0, 5.0]), np.array([0.1, 1.0, 2.0, -3.0])
    buffer = np.empty(4)

    def rude(v):
        np.multiply(lam, v, out=buffer)
        v[:] = np.nan
        return buffer

    for norm in (None, DiagonalNorm(np.array([1.0, 2.0, 3.0, 4.0]))):
        plain = solve(g, times(lam), 1.0, norm=norm)
        result = solve(g, rude, 1.0, norm=norm)
        np.testing.assert_array_equal(result.step, plain.step)
    np.testing.assert_array_equal(g, [0.1, 1.0, 2.0, -3.0])


@pytest.mark.parametrize("solve", SOLVERS)
@pytest.mark.parametrize(
    ("c", "t"),
    [(1e-12, 1e-12), (1e-12, 1e12), (1e12, 1e-12), (1e12, 1e12), (1e-180, 1.0), (1e180, 1.0)],
)
def test_scale_equivariance(solve, c, t):
    """f -> c f and x -> t x change the units of the answer and no decision."""
    lam = np.array([-1.0, 0.5, 2.0, 2.0, 7.0])
    g = np.array([0.0, 1.0, -1.0, 2.0, 0.5])
    plain = solve(g, times(lam), 2.0)
    parameter = 2.0 * t if solve is not lanczos_cubic else 2.0 * c / t**3
    scaled = solve(g * c / t, times(lam * c / t**2), parameter)
    assert scaled.decrease == pytest.approx(c * plain.decrease, rel=1e-12)
    assert (scaled.nit, scaled.hard_case) == (plain.nit, plain.hard_case)


@pytest.mark.parametrize("solve", EXACT)
def test_same_seed_same_step(solve):
    lam, g = np.linspace(-1, 1, 30), np.r_[np.zeros(3), np.ones(27)]
    one, two = (solve(g, times(lam), 2.0, seed=7) for _ in range(2))
    np.testing.assert_array_equal(one.step, two.step)


def test_complex_products_are_refused():
    for solve in (gltr, lanczos_cubic, steihaug_cg):
        with pytest.raises(TypeError, match="real"):
            solve(np.ones(3), lambda v: 1j * v, 1.0)


def test_lengths_beyond_the_square_root_of_the_largest_number():
    lam = np.array([-1.0, 2.0, 3.0])
    result = gltr(np.ones(3), times(lam), 1e200)
    assert result.decrease == np.inf and result.certificate().worst <= TOL
    assert abs(result.step[0]) == pytest.approx(1e200, rel=1e-12)


@pytest.mark.parametrize("lam", [-1.0, 1.0])
def test_steihaug_units_out_of_the_range_of_float32(lam):
    """A curvature of 1 is 1e40 in units in which this gradient and the radius are 1."""
    g = np.full(3, 1e-40, dtype=np.float32)
    result = steihaug_cg(g, lambda v: np.float32(lam) * v, 1.0)
    length = 1.0 if lam < 0 else np.linalg.norm(g.astype(float))
    assert result.on_boundary is (lam < 0)
    np.testing.assert_allclose(result.step, -length / np.sqrt(3.0), rtol=1e-4)
    sigma = float(result.multipliers[0])
    assert abs(sigma - max(0.0, -lam)) <= 1e-5


def test_steihaug_radius_below_the_range_of_float32():
    """No step can be that short: it is zero, and nothing warns."""
    lam = np.array([3.0, 1.0, -2.0], dtype=np.float32)
    result = steihaug_cg(np.ones(3, dtype=np.float32), lambda v: lam * v, 1e-206)
    np.testing.assert_array_equal(result.step, np.zeros(3, dtype=np.float32))


def test_user_exceptions_propagate():
    def fails(v):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        gltr(np.ones(2), fails, 1.0)


NEVER: Any = pytest.fail
"""A product that must not be asked for."""


@pytest.mark.parametrize("solve", SOLVERS)
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"g": np.ones((2, 1))}, ValueError, r"shape \(n,\)"),
        ({"g": np.ones(0)}, ValueError, r"shape \(n,\)"),
        ({"g": np.ones(2, dtype=complex)}, TypeError, "real floating"),
        ({"g": np.ones(2, dtype=int)}, TypeError, "real floating"),
        ({"g": np.array([1.0, np.nan])}, ValueError, "not finite"),
        ({"hessp": np.eye(2)}, TypeError, "callable"),
        ({"parameter": 0.0}, ValueError, "must be positive"),
        ({"parameter": np.inf}, ValueError, "must be positive"),
        ({"parameter": "1"}, TypeError, "must be a number"),
        ({"parameter": True}, TypeError, "must be a number"),
        ({"norm": "l2"}, TypeError, "DiagonalNorm"),
        ({"norm": DiagonalNorm(np.ones(3))}, ValueError, "length"),
        ({"norm": DiagonalNorm(np.ones(2, dtype=np.float32))}, ValueError, "dtype"),
        ({"tol": -1.0}, ValueError, "tol"),
        ({"tol": 1.0}, ValueError, "tol"),
        ({"tol": "tight"}, TypeError, "tol"),
        ({"maxiter": 0}, ValueError, "maxiter"),
        ({"maxiter": 2.0}, TypeError, "maxiter"),
    ],
)
def test_wrong_arguments(solve, change, error, message):
    arguments = {"g": np.ones(2), "hessp": NEVER, "parameter": 1.0, **change}
    g, hessp, parameter = (arguments.pop(name) for name in ("g", "hessp", "parameter"))
    with pytest.raises(error, match=message):
        solve(g, hessp, parameter, **arguments)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"restarts": -1}, ValueError, "restarts"),
        ({"restarts": 1.5}, TypeError, "restarts"),
        ({"seed": -1}, ValueError, "seed"),
        ({"power": 1.5}, ValueError, "power"),
        ({"power": "3"}, TypeError, "power"),
    ],
)
def test_wrong_arguments_of_the_cubic(change, error, message):
    with pytest.raises(error, match=message):
        lanczos_cubic(np.ones(2), NEVER, 1.0, **change)


@pytest.mark.parametrize("solve", SOLVERS)
@pytest.mark.parametrize("wrong", [lambda v: 1.0, lambda v: v[:1], lambda v: [1.0, 2.0]])
def test_wrong_products(solve, wrong):
    with pytest.raises(ValueError, match="hessp must return"):
        solve(np.ones(2), wrong, 1.0)


def test_norm_of_another_library_is_refused():
    strict = pytest.importorskip("array_api_strict")
    norm = DiagonalNorm(strict.asarray([1.0, 2.0]))
    with pytest.raises(ValueError, match="array library"):
        gltr(np.ones(2), NEVER, 1.0, norm=norm)
    device = DiagonalNorm(strict.asarray([1.0, 2.0], device=strict.Device("device1")))
    with pytest.raises(ValueError, match="device"):
        gltr(strict.asarray([1.0, 2.0]), NEVER, 1.0, norm=device)
