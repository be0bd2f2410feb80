"""The closed forms in shape-changing norms against dual bounds, dense oracles and exact numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsolve import PartialSpectrum, SubproblemStatus, solve_cubic, solve_trs
from qnsolve.subproblem.shape_changing import (
    cubic_shape,
    trust_region_shape_2,
    trust_region_shape_inf,
)
from qnsolve.subproblem.types import ReducedProblem
from tests.oracles import dense_shape
from tests.oracles.duality import cubic_bound, trust_region_bound
from tests.strategies import (
    HARD_CASES,
    NAMED_CASES,
    SpectralCase,
    log_uniform,
    named_case,
    orthogonal,
    radii,
    seeds,
    spectral_cases,
    weights,
)
from tests.tolerances import (
    CURVATURE_RTOL,
    EPS,
    FEASIBILITY_RTOL,
    MULTIPLIER_RTOL,
    SPECTRAL_GAP_RTOL,
    STATIONARITY_RTOL,
    block_tolerance,
    model_tolerance,
    split_loss,
)

NAMED_WEIGHT = 0.1
TRUST_REGIONS = [trust_region_shape_inf, trust_region_shape_2]
SOLVERS = [*TRUST_REGIONS, cubic_shape]
ORACLES = {
    trust_region_shape_inf: dense_shape.trust_region_shape_inf,
    trust_region_shape_2: dense_shape.trust_region_shape_2,
    cubic_shape: dense_shape.cubic_shape,
}
PUBLIC = {
    trust_region_shape_inf: lambda g, B, radius: solve_trs(g, B, radius, norm="shape-inf"),
    trust_region_shape_2: lambda g, B, radius: solve_trs(g, B, radius, norm="shape-2"),
    cubic_shape: lambda g, B, weight: solve_cubic(g, B, weight, norm="shape"),
}
BOUNDS = {
    trust_region_shape_inf: trust_region_bound,
    trust_region_shape_2: trust_region_bound,
    cubic_shape: cubic_bound,
}


def run(solve, case, parameter):
    return solve(case.reduced(), parameter)


def case_of(eigenvalues, gamma, a_par, norm_perp=0.0, dim_perp=3, radius=1.0):
    eigenvalues, a_par = np.array(eigenvalues, dtype=float), np.array(a_par, dtype=float)
    return SpectralCase(eigenvalues, gamma, a_par, norm_perp, dim_perp, radius)


class Block(NamedTuple):
    """Part of the coordinates with a length, and a multiplier, of its own."""

    lam: np.ndarray
    a: np.ndarray
    p: np.ndarray
    multiplier: float

    @property
    def length(self):
        return np.linalg.norm(self.p)


def blocks_of(solve, case, step):
    """Return the blocks that are not empty; check that there is a multiplier for each."""
    r = case.eigenvalues.size
    assert step.par.shape == (r,)
    groups = [slice(0, r)] if solve is trust_region_shape_2 else [slice(i, i + 1) for i in range(r)]
    assert step.multipliers.shape == (len(groups) + 1,)
    blocks = [
        Block(case.eigenvalues[i], case.a_par[i], step.par[i], float(sigma))
        for i, sigma in zip(groups, step.multipliers[:-1], strict=True)
        if case.eigenvalues[i].size
    ]
    if case.dim_perp == 0:
        assert step.perp == 0.0 and step.multipliers[-1] == 0.0
        return blocks
    outside = np.array([[case.gamma], [case.norm_perp], [step.perp]])
    return [*blocks, Block(*outside, float(step.multipliers[-1]))]


def exact_value(solve, blocks, parameter):
    """Return the model at the step, in extended precision."""
    value = np.longdouble(0)
    for block in blocks:
        lam, a, p = (x.astype(np.longdouble) for x in block[:3])
        value += np.sum(a * p + lam * p**2 / 2)
        if solve is cubic_shape:
            value += np.longdouble(parameter) / 3 * np.sum(p**2) ** np.longdouble(1.5)
    return value


# Optimality --------------------------------------------------------------------------------------


@pytest.mark.parametrize("solve", SOLVERS)
@given(case=spectral_cases(), weight=weights())
def test_equals_the_dual_bounds_of_the_blocks(solve, case, weight):
    """No trust in any solver: no feasible point is better, and the decrease has all its digits."""
    parameter = weight if solve is cubic_shape else case.radius
    step = run(solve, case, parameter)
    blocks = blocks_of(solve, case, step)
    assert step.status is SubproblemStatus.SOLVED
    bound = sum(BOUNDS[solve](block.lam, block.a, parameter).value for block in blocks)
    assert abs(step.decrease + bound) <= SPECTRAL_GAP_RTOL * abs(bound)


@pytest.mark.parametrize("solve", SOLVERS)
@given(case=spectral_cases(), weight=weights())
def test_optimality_conditions(solve, case, weight):
    parameter = weight if solve is cubic_shape else case.radius
    step = run(solve, case, parameter)
    at_bound = False
    for block in blocks_of(solve, case, step):
        lam, a, p, sigma = block
        assert sigma >= 0.0
        scale = np.max(np.abs(lam)) + sigma
        residual = np.linalg.norm((lam + sigma) * p + a)
        assert residual <= STATIONARITY_RTOL * (np.linalg.norm(a) + scale * block.length)
        assert np.min(lam + sigma) >= -CURVATURE_RTOL * scale
        if solve is cubic_shape:
            assert sigma == pytest.approx(weight * block.length, rel=MULTIPLIER_RTOL, abs=0)
        else:
            assert block.length <= case.radius * (1 + FEASIBILITY_RTOL)
            touches = block.length >= case.radius * (1 - FEASIBILITY_RTOL)
            assert sigma == 0.0 or touches
            at_bound |= touches
    assert not step.on_boundary or at_bound


@pytest.mark.parametrize("solve", SOLVERS)
@given(case=spectral_cases(), weight=weights())
def test_decrease_is_the_value_of_the_step(solve, case, weight):
    """All of its terms are nonnegative; the model's own terms would cancel."""
    parameter = weight if solve is cubic_shape else case.radius
    step = run(solve, case, parameter)
    exact = -exact_value(solve, blocks_of(solve, case, step), parameter)
    assert step.decrease >= 0.0
    assert abs(step.decrease - exact) <= SPECTRAL_GAP_RTOL * exact


@pytest.mark.parametrize("solve", SOLVERS)
@given(case=spectral_cases(), weight=weights())
def test_equals_the_dense_oracle(solve, case, weight):
    """In coordinates that are free of rounding, to the last digits."""
    parameter = weight if solve is cubic_shape else case.radius
    step = run(solve, case, parameter)
    oracle = ORACLES[solve](*case.diagonal(), np.eye(case.n)[:, : case.eigenvalues.size], parameter)
    assert step.decrease == pytest.approx(oracle.decrease, rel=SPECTRAL_GAP_RTOL, abs=0)
    assert step.hard_case == oracle.hard_case


@pytest.mark.parametrize("solve", SOLVERS)
@given(case=spectral_cases(), weight=weights(), seed=seeds())
def test_lifted_step_equals_the_dense_oracle(solve, case, weight, seed):
    parameter = weight if solve is cubic_shape else case.radius
    g, B, V = case.rotated(seed)
    r = case.eigenvalues.size
    U = V[:, :r]
    spectrum = PartialSpectrum.from_basis(case.gamma, case.eigenvalues, U.T.copy())
    result = PUBLIC[solve](g, spectrum, parameter)
    oracle = ORACLES[solve](g, B, U, parameter)
    s = result.step
    norm_g, norm_B = np.linalg.norm(g), np.max(np.abs(np.diag(case.diagonal()[1])))
    reach = max(np.linalg.norm(s), np.linalg.norm(oracle.step))
    loss = split_loss(norm_g, case.norm_perp)
    tolerance = model_tolerance(case.n, loss * norm_g, norm_B, reach)
    assert abs(result.decrease - oracle.decrease) <= tolerance

    v, rest = U.T @ s, np.linalg.norm(V[:, r:].T @ s)
    value = g @ s + s @ B @ s / 2
    if solve is cubic_shape:
        value += weight / 3 * (np.sum(np.abs(v) ** 3) + rest**3)
    else:
        inside = (
            np.linalg.norm(v) if solve is trust_region_shape_2 else np.max(np.abs(v), initial=0)
        )
        assert inside <= case.radius * (1 + loss * block_tolerance(case.n))
        assert rest <= case.radius * (1 + loss**2 * block_tolerance(case.n))
    # A step on the boundary is no stationary point of m alone: its error in length counts once.
    of_length = model_tolerance(case.n, loss**2 * norm_g, loss**2 * norm_B, reach)
    assert abs(value + oracle.decrease) <= of_length


@pytest.mark.parametrize("solve", SOLVERS)
@pytest.mark.parametrize("name", NAMED_CASES)
def test_named_cases(solve, name):
    case = named_case(name)
    parameter = NAMED_WEIGHT if solve is cubic_shape else case.radius
    step = run(solve, case, parameter)
    U = np.eye(case.n)[:, : case.eigenvalues.size]
    oracle = ORACLES[solve](*case.diagonal(), U, parameter)
    assert step.decrease == pytest.approx(oracle.decrease, rel=SPECTRAL_GAP_RTOL, abs=0)
    assert step.hard_case == (name in HARD_CASES)
    assert step.on_boundary == (solve is not cubic_shape and name not in ("interior", "singular"))
    np.testing.assert_allclose(step.multipliers, oracle.multiplier, rtol=1e2 * EPS, atol=1e2 * EPS)
    # Where a minimiser is not unique, only signs are free, or which vector of a double eigenvalue.
    if name != "hard_lambda1":
        np.testing.assert_allclose(np.abs(step.par), np.abs(U.T @ oracle.step), rtol=1e2 * EPS)
    outside = np.linalg.norm(oracle.step[case.eigenvalues.size :])
    assert abs(step.perp) == pytest.approx(outside, rel=1e2 * EPS)


# Symmetries and limits ---------------------------------------------------------------------------


@pytest.mark.parametrize("solve", SOLVERS)
@given(
    case=spectral_cases(), weight=weights(), log_f=st.integers(-30, 30), log_x=st.integers(-30, 30)
)
def test_units_do_not_matter(solve, case, weight, log_f, log_x):
    """f -> F f and x -> X x, in powers of four, which even in roots are exact: no digit moves."""
    F, X = 4.0**log_f, 4.0**log_x
    scaled = SpectralCase(
        F / X**2 * case.eigenvalues,
        F / X**2 * case.gamma,
        F / X * case.a_par,
        F / X * case.norm_perp,
        case.dim_perp,
        X * case.radius,
    )
    first = run(solve, case, weight if solve is cubic_shape else case.radius)
    second = run(solve, scaled, F / X**3 * weight if solve is cubic_shape else scaled.radius)
    assert np.array_equal(second.par, X * first.par)
    assert second.perp == X * first.perp
    assert second.decrease == F * first.decrease
    assert np.array_equal(second.multipliers, F / X**2 * first.multipliers)
    assert (second.hard_case, second.on_boundary) == (first.hard_case, first.on_boundary)


@pytest.mark.parametrize("solve", TRUST_REGIONS)
@given(case=spectral_cases(), one=radii(), two=radii())
def test_larger_radius_never_hurts(solve, case, one, two):
    near, far = (run(solve, case, radius) for radius in sorted((one, two)))
    assert far.decrease >= near.decrease * (1 - SPECTRAL_GAP_RTOL)
    scale = near.multipliers + np.max(np.abs(case.spectrum()[0]))
    assert np.all(far.multipliers <= near.multipliers + STATIONARITY_RTOL * scale)


@given(spectral_cases(), weights(), log_uniform(1.0, 1e8))
def test_larger_weight_never_lengthens(case, weight, factor):
    light, heavy = run(cubic_shape, case, weight), run(cubic_shape, case, factor * weight)
    assert heavy.decrease <= light.decrease * (1 + SPECTRAL_GAP_RTOL)
    assert np.all(np.abs(heavy.par) <= np.abs(light.par) * (1 + MULTIPLIER_RTOL))
    assert abs(heavy.perp) <= abs(light.perp) * (1 + MULTIPLIER_RTOL)


@given(spectral_cases(), weights())
def test_cubic_coordinates_solve_the_trust_region_of_their_own_length(case, weight):
    """Each block of the cubic step is a minimiser over the interval that it reaches."""
    step = run(cubic_shape, case, weight)
    for lam, a, p, multiplier in blocks_of(cubic_shape, case, step):
        if np.all(p == 0.0):
            continue
        problem = ReducedProblem.of(lam, a)
        region = trust_region_shape_inf(problem, abs(float(p[0])))
        assert abs(region.par[0]) == pytest.approx(abs(p[0]), rel=MULTIPLIER_RTOL)
        cube = multiplier * float(p[0]) ** 2 / 3
        cubic = cubic_shape(problem, weight).decrease
        assert region.decrease - cube == pytest.approx(cubic, rel=SPECTRAL_GAP_RTOL)


@pytest.mark.parametrize("exponent", [-160, -50, 50, 160])
def test_no_overflow_on_the_way(exponent):
    """Squares of some of these numbers do not fit into a float, the answers do."""
    scale = 10.0**exponent
    case = case_of([-scale, 3 * scale], 2 * scale, [0.0, scale], scale / 2)
    unit = case_of([-1.0, 3.0], 2.0, [0.0, 1.0], 0.5)
    for solve in SOLVERS:
        expected = scale * run(solve, unit, 1.0).decrease
        parameter = scale if solve is cubic_shape else 1.0
        assert run(solve, case, parameter).decrease == pytest.approx(expected, rel=1e2 * EPS)


@pytest.mark.parametrize("exponent", [-300, -200, -160, 160, 200, 300])
def test_radius_of_any_size(exponent):
    """The square of the radius does not fit into a float, nor does it belong into the answer."""
    radius = 10.0**exponent
    case = case_of([1.0, 2.0], 4.0, [1.0, -1.0], 2.0)
    slopes = {trust_region_shape_inf: 2.0, trust_region_shape_2: np.sqrt(2.0)}
    for solve, slope in slopes.items():
        step = run(solve, case, radius)
        expected = 1.25 if exponent > 0 else (slope + 2.0) * radius
        assert step.decrease == pytest.approx(expected, rel=SPECTRAL_GAP_RTOL, abs=0)
        assert max(*np.abs(step.par), abs(step.perp)) <= radius


@pytest.mark.parametrize("exponent", [-300, -160, 160, 300])
def test_weight_of_any_size(exponent):
    weight = 10.0**exponent
    step = run(cubic_shape, case_of([1.0, 0.0], 4.0, [1.0, 0.0], 2.0), weight)
    # Light: the quadratic's own minimum.  Heavy: a t = 2 / 3 of the slope, t = sqrt(a / weight).
    expected = 1.0 if exponent < 0 else 2 / 3 * (1 + 2 * np.sqrt(2.0)) / np.sqrt(weight)
    assert step.decrease == pytest.approx(expected, rel=SPECTRAL_GAP_RTOL, abs=0)


def test_cubic_minimum_that_overflows_is_called_unbounded():
    step = run(cubic_shape, case_of([-1.0], 1.0, [1.0], 1.0), 1e-200)
    assert step.status is SubproblemStatus.UNBOUNDED
    assert not step.par.any() and step.perp == 0.0 and step.decrease == 0.0


@pytest.mark.parametrize("solve", TRUST_REGIONS)
@pytest.mark.parametrize("offset", [-1e-7, *(EPS / 2 * np.arange(-3, 4)), 1e-7])
def test_radius_next_to_the_length_of_the_unconstrained_step(solve, offset):
    """Rounding decides whether the minimiser lies inside: both answers are right, no other is."""
    rng = np.random.default_rng(16)
    for _ in range(100):
        rank = int(rng.integers(1, 5))
        case = case_of(rng.uniform(0.1, 2.0, rank), 0.0, rng.standard_normal(rank), 0.0, 0)
        newton = case.a_par / case.eigenvalues
        length = np.linalg.norm(newton) if solve is trust_region_shape_2 else max(np.abs(newton))
        radius = float(length * (1 + offset))
        step = run(solve, case, radius)
        blocks = blocks_of(solve, case, step)
        bound = sum(trust_region_bound(block.lam, block.a, radius).value for block in blocks)
        assert max(block.length for block in blocks) <= radius * (1 + FEASIBILITY_RTOL)
        assert abs(step.decrease + bound) <= SPECTRAL_GAP_RTOL * abs(bound)
        assert np.min(step.multipliers) >= 0.0
        assert not step.hard_case


# Empty parts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim_perp", [1, 3])
@pytest.mark.parametrize("gamma", [-2.0, 0.0, 0.5, 4.0])
@pytest.mark.parametrize("norm_perp", [0.0, 3.0])
def test_without_eigenvectors(gamma, norm_perp, dim_perp):
    """An empty memory: only gamma, and the radius holds."""
    case = case_of([], gamma, [], norm_perp, dim_perp)
    radius, weight = 2.0, 0.5
    ends = [radius] + ([norm_perp / gamma] if gamma > 0 else [])
    best = max(norm_perp * t - gamma * t**2 / 2 for t in [0.0, *ends] if t <= radius)
    for solve in TRUST_REGIONS:
        step = run(solve, case, radius)
        blocks_of(solve, case, step)
        assert step.decrease == pytest.approx(best, rel=SPECTRAL_GAP_RTOL, abs=0)
        assert abs(step.perp) <= radius
    step = run(cubic_shape, case, weight)
    t = max(np.roots([weight, gamma, -norm_perp]).real)
    best = norm_perp * t - gamma * t**2 / 2 - weight * t**3 / 3
    assert step.decrease == pytest.approx(max(0.0, best), rel=1e2 * EPS)


@pytest.mark.parametrize("solve", SOLVERS)
def test_without_complement_gamma_takes_no_part(solve):
    for gamma in (-1e6, 0.0, 1e6):
        case = case_of([-1.0, 2.0], gamma, [0.5, -3.0], 0.0, 0)
        step = run(solve, case, 0.75)
        blocks_of(solve, case, step)
        reference = run(solve, case_of([-1.0, 2.0], 0.0, [0.5, -3.0], 0.0, 0), 0.75)
        assert np.array_equal(step.par, reference.par)
        assert step.decrease == reference.decrease
        assert not step.hard_case


@pytest.mark.parametrize("solve", SOLVERS)
def test_zero_model_has_a_zero_step(solve):
    step = run(solve, case_of([0.0, 0.0], 0.0, [0.0, 0.0], 0.0), 2.0)
    assert not step.par.any() and step.perp == 0.0 and step.decrease == 0.0
    assert not step.hard_case and not step.on_boundary
    blocks_of(solve, case_of([0.0, 0.0], 0.0, [0.0, 0.0], 0.0), step)


# Hard cases --------------------------------------------------------------------------------------


@given(lam=log_uniform(1e-6, 1e6), radius=radii(), weight=weights())
def test_hard_case_on_an_eigenvector(lam, radius, weight):
    """Without a slope the curvature alone decides: |lam| / weight far, or to the radius."""
    case = case_of([-lam, 1.0], 1.0, [0.0, 0.0], 0.0)
    for solve in TRUST_REGIONS:
        step = run(solve, case, radius)
        assert abs(step.par[0]) == pytest.approx(radius, rel=FEASIBILITY_RTOL, abs=0)
        assert step.multipliers[0] == pytest.approx(lam, rel=MULTIPLIER_RTOL, abs=0)
        assert step.hard_case and step.on_boundary
    step = run(cubic_shape, case, weight)
    assert abs(step.par[0]) == pytest.approx(lam / weight, rel=MULTIPLIER_RTOL, abs=0)
    assert step.multipliers[0] == pytest.approx(lam, rel=MULTIPLIER_RTOL, abs=0)
    gain = lam * (lam / weight) ** 2 / 6
    assert step.decrease == pytest.approx(gain, rel=SPECTRAL_GAP_RTOL, abs=0)
    assert step.hard_case and not step.on_boundary


@given(gamma=log_uniform(1e-6, 1e6), radius=radii(), weight=weights())
def test_hard_case_in_the_complement(gamma, radius, weight):
    case = case_of([1.0], -gamma, [1.0], 0.0)
    for solve in TRUST_REGIONS:
        step = run(solve, case, radius)
        assert abs(step.perp) == pytest.approx(radius, rel=FEASIBILITY_RTOL, abs=0)
        assert step.multipliers[-1] == pytest.approx(gamma, rel=MULTIPLIER_RTOL, abs=0)
        assert step.hard_case and step.on_boundary
    step = run(cubic_shape, case, weight)
    assert abs(step.perp) == pytest.approx(gamma / weight, rel=MULTIPLIER_RTOL, abs=0)
    assert step.hard_case and not step.on_boundary


def test_hard_case_of_the_eigenvectors_together():
    """In the (P,2) norm the others leave only part of the radius to the hard coordinate."""
    step = run(trust_region_shape_2, case_of([-1.0, 1.0], 1.0, [0.0, 4.0], 1.0), 2.5)
    np.testing.assert_allclose(np.abs(step.par), [1.5, 2.0], rtol=MULTIPLIER_RTOL)
    assert step.multipliers.tolist() == [1.0, 0.0]
    assert step.perp == -1.0 and step.hard_case


@pytest.mark.parametrize("solve", SOLVERS)
@pytest.mark.parametrize("size", [1e-300, 1e-100, 1e-14])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_tiny_slope_sets_the_sign(solve, size, sign):
    step = run(solve, case_of([-1.0], -1.0, [sign * size], size), 0.5)
    assert np.sign(step.par[0]) == -sign
    assert step.perp < 0.0
    assert not step.hard_case


# Numbers in which the published forms fail --------------------------------------------------------


def test_cubic_root_next_to_the_hard_case():
    """One published form, 2 |h| / (lam + sqrt(lam^2 + 4 w |h|)), divides by zero here."""
    lam, h, weight = -1.0, 1e-14, 1e-3
    assert lam + np.sqrt(lam**2 + 4 * weight * h) == 0.0
    step = run(cubic_shape, case_of([lam], lam, [h], h), weight)
    assert step.par[0] == pytest.approx(-1000.0, rel=1e-11)
    t = np.longdouble(1000)
    for _ in range(3):  # Newton's method on w t^2 + lam t = h
        t -= (weight * t**2 + lam * t - h) / (2 * weight * t + lam)
    assert step.par[0] == pytest.approx(float(-t), rel=MULTIPLIER_RTOL)
    assert step.perp == step.par[0]


def test_cubic_root_with_a_small_weight():
    """The other form, (-lam + sqrt(lam^2 + 4 w |h|)) / (2 w), cancels to 0 here."""
    lam, h, weight = 1.0, 2.0, 1e-18
    assert -lam + np.sqrt(lam**2 + 4 * weight * h) == 0.0
    step = run(cubic_shape, case_of([lam], lam, [h], h), weight)
    assert step.par[0] == pytest.approx(-2.0, rel=MULTIPLIER_RTOL)
    assert step.decrease == pytest.approx(4.0, rel=SPECTRAL_GAP_RTOL)


def test_eigenvalues_are_those_of_the_whole_matrix():
    """The public code puts lam - gamma where lam belongs, in the step and in the decrease.

    Negative curvature then appears where there is none; its step is long, a large decrease is
    predicted, and the model goes up.
    """
    gamma, weight = 1.3, 0.1
    case = case_of([0.2, 0.7, 2.0], gamma, [1.0, -2.0, 3.0], 4.0, 9)
    ours = run(cubic_shape, case, weight)
    slip = run(cubic_shape, replace(case, eigenvalues=case.eigenvalues - gamma), weight)
    raised = exact_value(cubic_shape, blocks_of(cubic_shape, case, slip), weight)
    assert slip.decrease > ours.decrease > 0.0
    assert raised > 0.0
    lowered = exact_value(cubic_shape, blocks_of(cubic_shape, case, ours), weight)
    assert lowered == pytest.approx(-ours.decrease, rel=SPECTRAL_GAP_RTOL)


# Defects of the published codes, one test each ----------------------------------------------------


@pytest.mark.parametrize("solve", TRUST_REGIONS)
def test_interior_step_is_set(solve):
    """One published interior branch sets sigma = 0 and never sets the step."""
    step = run(solve, case_of([1.0, 4.0], 2.0, [1.0, -2.0], 3.0), 100.0)
    np.testing.assert_allclose(step.par, [-1.0, 0.5], rtol=MULTIPLIER_RTOL)
    assert step.perp == -1.5
    assert not step.multipliers.any() and not step.on_boundary


@pytest.mark.parametrize("solve", TRUST_REGIONS)
@pytest.mark.parametrize(
    "eigenvalues, a_par",
    [([1.0, 2.0], [0.1, 0.1]), ([1.0, 2.0], [9.0, 9.0]), ([-1.0, 2.0], [0.0, 0.1])],
    ids=["interior", "boundary", "hard"],
)
def test_complement_is_kept_whatever_the_eigenvectors_do(solve, eigenvalues, a_par):
    """One published branch, left over from the l2 norm, drops the part in the complement."""
    step = run(solve, case_of(eigenvalues, 4.0, a_par, 2.0), 1.0)
    assert step.perp == -0.5
    step = run(solve, case_of(eigenvalues, 4.0, a_par, 8.0), 1.0)
    assert step.perp == -1.0
    assert step.multipliers[-1] == 4.0


@pytest.mark.parametrize("solve", SOLVERS)
@pytest.mark.parametrize("tiny", [EPS, 1e-100, 5e-324])
@pytest.mark.parametrize("lam", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("a", [-1.0, 0.0, 1.0])
def test_nothing_jumps_at_zero(solve, lam, a, tiny):
    """The published codes ask whether a float is zero, and take another step where it just is not.

    Here the branches meet: numbers next to zero give the same minimum, and the same step where it
    is unique.
    """
    parameter = 2.0
    at_zero = run(solve, case_of([0.0, 1.0], 0.0, [0.0, 1.0], 0.0), parameter)
    assert at_zero.par[0] == 0.0 and at_zero.perp == 0.0
    step = run(solve, case_of([lam * tiny, 1.0], lam * tiny, [a * tiny, 1.0], abs(a) * tiny), 2.0)
    # a v + lam v^2 / 2 + v^2 |v| 2 / 3 <= 0 keeps a cubic step shorter than this radius.
    assert max(abs(step.par[0]), abs(step.perp)) <= parameter
    change = 2 * (abs(a) * tiny * parameter + abs(lam) * tiny * parameter**2 / 2)
    assert abs(step.decrease - at_zero.decrease) <= change + SPECTRAL_GAP_RTOL * at_zero.decrease
    assert step.par[1] == pytest.approx(at_zero.par[1], rel=1e2 * EPS)


@pytest.mark.parametrize("exponent", [1, 10, 100, 290])
def test_secular_equation_ends_by_itself(exponent):
    """The published code opens the debugger after 50 Newton steps.

    Components that span hundreds of decades, next to the hard case, are the slow ones.
    """
    a = 10.0 ** -np.linspace(0, exponent, 12)
    for lam in (np.linspace(-1, 1, 12), -np.ones(12), np.append(-1.0, np.linspace(1, 1e6, 11))):
        for components in (a, a[::-1]):
            for radius in 10.0 ** np.arange(-8.0, 9.0):
                step = run(trust_region_shape_2, case_of(lam, 1.0, components, 1.0), radius)
                assert step.status is SubproblemStatus.SOLVED
                assert step.nit <= 50


def test_hard_vector_of_the_complement_has_the_length_of_the_radius():
    """The published vector is -gamma long: 0.7 where the radius is 2."""
    for solve in TRUST_REGIONS:
        step = run(solve, case_of([1.0], -0.7, [0.5], 0.0), 2.0)
        assert abs(step.perp) == 2.0
        assert step.decrease == pytest.approx(0.125 + 0.7 * 4 / 2, rel=SPECTRAL_GAP_RTOL)
    assert abs(run(cubic_shape, case_of([1.0], -0.7, [0.5], 0.0), 0.35).perp) == 2.0


@pytest.mark.parametrize("solve", SOLVERS)
def test_hard_vector_of_the_complement_is_orthogonal_to_the_eigenvectors(solve):
    """The published projection e - U e misses a transpose."""
    n, U = 7, orthogonal(7, seed=15)[:, :2]
    spectrum = PartialSpectrum.from_basis(-0.7, np.array([1.0, 2.0]), U.T.copy())
    result = PUBLIC[solve](U @ np.array([0.5, -0.5]), spectrum, 0.35)
    outside = result.step - U @ (U.T @ result.step)
    assert result.hard_case
    assert np.linalg.norm(outside) == pytest.approx(2.0 if solve is cubic_shape else 0.35)
    expected = np.array([-0.35, 0.25]) if solve is trust_region_shape_inf else result.reduced.par
    np.testing.assert_allclose(U.T @ result.step, expected, rtol=0, atol=n * EPS)


def test_failure_of_the_iteration_reaches_the_caller(monkeypatch):
    """The published code returns a flag that says so, and its caller ignores it."""
    case = case_of([1.0, 2.0], 1.0, [3.0, 4.0], 1.0)
    assert run(trust_region_shape_2, case, 1.0).status is SubproblemStatus.SOLVED
    monkeypatch.setattr(
        "qnsolve.subproblem.trust_region_l2.boundary_shift", lambda *_: (1.0, 7, False)
    )
    step = run(trust_region_shape_2, case, 1.0)
    assert step.status is SubproblemStatus.ITERATION_LIMIT
    assert step.nit == 7
