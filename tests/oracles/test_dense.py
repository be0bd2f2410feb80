"""The dense oracles against the conditions that define a solution, and against other answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles.dense import cubic_l2, trust_region_l2
from tests.oracles.duality import cubic_bound, trust_region_bound
from tests.strategies import (
    HARD_CASES,
    NAMED_CASES,
    log_uniform,
    named_case,
    seeds,
    spectral_cases,
    weights,
)
from tests.tolerances import (
    EPS,
    FEASIBILITY_RTOL,
    SECULAR_ROUNDINGS,
    SPECTRAL_GAP_RTOL,
    WEAK_DUALITY_RTOL,
    curvature_tolerance,
    model_tolerance,
    stationarity_tolerance,
)

NAMED_WEIGHT = 0.1
"""Small enough that the named hard cases are hard cases of the cubic too."""


def trust_region_value(eigenvalues, a, v, radius):
    """Return the model at v, after v is drawn into the ball where rounding left it outside."""
    v = v.astype(np.longdouble)
    length = np.sqrt(np.sum(v**2))
    if length > radius:
        v *= radius / length
    return np.sum(a * v + eigenvalues * v**2 / 2)


def cubic_value(eigenvalues, a, v, weight):
    v = v.astype(np.longdouble)
    return np.sum(a * v + eigenvalues * v**2 / 2) + weight * np.sum(v**2) ** 1.5 / 3


def check_optimal(g, B, solution):
    """Check what makes a step a global minimiser, except for its length."""
    s, x = solution.step, solution.multiplier
    norm_g, norm_B, norm_s = np.linalg.norm(g), np.linalg.norm(B, 2), np.linalg.norm(s)
    residual = np.linalg.norm(B @ s + x * s + g)
    assert residual <= stationarity_tolerance(g.size, norm_g, norm_B, x, norm_s)
    assert np.linalg.eigvalsh(B)[0] + x >= -curvature_tolerance(g.size, norm_B)
    assert x >= 0 and solution.decrease >= 0


def check_trust_region(g, B, radius):
    solution = trust_region_l2(g, B, radius)
    check_optimal(g, B, solution)
    length = np.linalg.norm(solution.step)
    assert length <= radius * (1 + FEASIBILITY_RTOL)
    if solution.multiplier > 0:
        assert length >= radius * (1 - FEASIBILITY_RTOL)
    return solution


def check_cubic(g, B, weight):
    solution = cubic_l2(g, B, weight)
    check_optimal(g, B, solution)
    # The length is a steep function of the multiplier x where x is all but -lambda_1, so the two
    # agree relative to the numbers that x is a sum of.
    scale = solution.multiplier + np.linalg.norm(B, 2)
    mismatch = weight * np.linalg.norm(solution.step) - solution.multiplier
    assert abs(mismatch) <= SECULAR_ROUNDINGS * g.size * EPS * scale
    return solution


# Optimality conditions ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMED_CASES)
def test_named_cases(name):
    case = named_case(name)
    for g, B in (case.diagonal(), case.rotated(seed=1)[:2]):
        assert check_trust_region(g, B, case.radius).hard_case == (name in HARD_CASES)
        assert check_cubic(g, B, NAMED_WEIGHT).hard_case == (name in HARD_CASES)


@pytest.mark.parametrize("name", ["interior", "singular"])
def test_interior_solution_is_the_shortest_newton_step(name):
    case = named_case(name)
    g, B, _ = case.rotated(seed=2)
    solution = check_trust_region(g, B, case.radius)
    assert solution.multiplier == 0 and not solution.hard_case
    newton = -np.linalg.pinv(B, hermitian=True) @ g
    np.testing.assert_allclose(solution.step, newton, rtol=0, atol=1e3 * EPS)


@given(spectral_cases(), weights(), seeds())
def test_optimality_conditions(case, weight, seed):
    g, B, _ = case.rotated(seed)
    check_trust_region(g, B, case.radius)
    check_cubic(g, B, weight)


# The dual bound ----------------------------------------------------------------------------------


@given(spectral_cases(), weights())
def test_diagonal_matrices_leave_no_gap(case, weight):
    # The dense problem has gamma once per dimension of the complement, the bound only once.
    g, B = case.diagonal()
    eigenvalues = np.diag(B)

    solution = trust_region_l2(g, B, case.radius)
    bound = trust_region_bound(*case.spectrum(), case.radius).value
    gap = trust_region_value(eigenvalues, g, solution.step, case.radius) - bound
    assert bound * WEAK_DUALITY_RTOL <= gap <= -bound * SPECTRAL_GAP_RTOL
    assert abs(solution.decrease + bound) <= -bound * SPECTRAL_GAP_RTOL

    solution = cubic_l2(g, B, weight)
    bound = cubic_bound(*case.spectrum(), weight).value
    gap = cubic_value(eigenvalues, g, solution.step, weight) - bound
    assert bound * WEAK_DUALITY_RTOL <= gap <= -bound * SPECTRAL_GAP_RTOL
    assert abs(solution.decrease + bound) <= -bound * SPECTRAL_GAP_RTOL


def longest_step(case, norm_g, norm_B):
    """Bound the trust-region steps of all problems within rounding of the case.

    Next to a singular matrix lies one with a small negative eigenvalue, whose step is long.
    """
    eigenvalues, _ = case.spectrum()
    if np.min(eigenvalues) <= 8 * curvature_tolerance(case.n, norm_B):
        return case.radius
    return min(case.radius, 2 * norm_g / np.min(eigenvalues))


@given(spectral_cases(), weights(), seeds())
def test_gap_is_within_the_rounding_of_the_matrix(case, weight, seed):
    # The bound knows the spectrum exactly, the solver only what rounding left of it in B.
    g, B, U = case.rotated(seed)
    a, D = case.diagonal()
    eigenvalues = np.diag(D)
    norm_g, norm_B = np.linalg.norm(a), np.max(np.abs(eigenvalues))

    solution = trust_region_l2(g, B, case.radius)
    bound = trust_region_bound(*case.spectrum(), case.radius).value
    tolerance = model_tolerance(case.n, norm_g, norm_B, longest_step(case, norm_g, norm_B))
    value = trust_region_value(eigenvalues, a, U.T @ solution.step, case.radius)
    assert abs(value - bound) <= tolerance
    assert abs(solution.decrease + bound) <= tolerance

    solution = cubic_l2(g, B, weight)
    bound = cubic_bound(*case.spectrum(), weight).value
    reach = np.linalg.norm(solution.step) + curvature_tolerance(case.n, norm_B) / weight
    tolerance = model_tolerance(case.n, norm_g, norm_B, reach)
    value = cubic_value(eigenvalues, a, U.T @ solution.step, weight)
    assert abs(value - bound) <= tolerance
    assert abs(solution.decrease + bound) <= tolerance


@pytest.mark.parametrize("name", NAMED_CASES)
def test_solution_beats_random_steps(name):
    # Slow, blind, and free of theory: nothing sampled in the ball may be lower.
    case = named_case(name)
    g, B, _ = case.rotated(seed=3)
    rng = np.random.default_rng(3)
    S = rng.standard_normal((20_000, case.n))
    S *= (case.radius * rng.random((20_000, 1)) ** (1 / case.n)) / np.linalg.norm(
        S, axis=1, keepdims=True
    )
    sampled = S @ g + 0.5 * np.sum((S @ B) * S, axis=1)
    decrease = trust_region_l2(g, B, case.radius).decrease
    tolerance = model_tolerance(case.n, np.linalg.norm(g), np.linalg.norm(B, 2), case.radius)
    assert -np.min(sampled) <= decrease + tolerance
    if case.n == 1:
        assert -np.min(sampled) >= 0.99 * decrease

    sampled += NAMED_WEIGHT / 3 * np.linalg.norm(S, axis=1) ** 3
    assert -np.min(sampled) <= cubic_l2(g, B, NAMED_WEIGHT).decrease + tolerance


# Symmetries and limits ---------------------------------------------------------------------------


@given(spectral_cases(), weights(), st.integers(-20, 20), st.integers(-20, 20))
def test_units_do_not_matter(case, weight, log_f, log_x):
    # f -> F f and x -> X x, in powers of two so that the data are rescaled without rounding.
    F, X = 2.0**log_f, 2.0**log_x
    g, B = case.diagonal()
    scaled_g, scaled_B = F / X * g, F / X**2 * B

    first = trust_region_l2(g, B, case.radius)
    second = trust_region_l2(scaled_g, scaled_B, X * case.radius)
    assert first.hard_case == second.hard_case
    assert second.decrease == pytest.approx(F * first.decrease, rel=SPECTRAL_GAP_RTOL, abs=0)

    first = cubic_l2(g, B, weight)
    second = cubic_l2(scaled_g, scaled_B, F / X**3 * weight)
    assert first.hard_case == second.hard_case
    assert second.decrease == pytest.approx(F * first.decrease, rel=SPECTRAL_GAP_RTOL, abs=0)


@pytest.mark.parametrize("name", NAMED_CASES)
def test_rotated_cases_in_other_units(name):
    # Thresholds on rounding errors are needed here, and must move with the units.
    case = named_case(name)
    g, B, _ = case.rotated(seed=4)
    first = trust_region_l2(g, B, case.radius)
    for F, X in ((1e-9, 1.0), (1e9, 1.0), (1.0, 1e-7), (1.0, 1e7)):
        second = trust_region_l2(F / X * g, F / X**2 * B, X * case.radius)
        assert second.hard_case == first.hard_case
        assert (second.multiplier > 0) == (first.multiplier > 0)
        assert second.decrease == pytest.approx(F * first.decrease, rel=1e3 * EPS, abs=0)


@given(spectral_cases(), log_uniform(1.0, 1e4))
def test_larger_radius_never_hurts(case, factor):
    g, B = case.diagonal()
    near = trust_region_l2(g, B, case.radius)
    far = trust_region_l2(g, B, factor * case.radius)
    assert far.decrease >= near.decrease * (1 - SPECTRAL_GAP_RTOL)
    # Far from the pole the length hardly depends on the multiplier, which is then known only
    # relative to the eigenvalues.
    slack = SECULAR_ROUNDINGS * EPS * (near.multiplier + np.max(np.abs(B)))
    assert far.multiplier <= near.multiplier + slack


@given(spectral_cases(), weights(), log_uniform(1.0, 1e4))
def test_larger_weight_never_lengthens(case, weight, factor):
    g, B = case.diagonal()
    light, heavy = cubic_l2(g, B, weight), cubic_l2(g, B, factor * weight)
    assert heavy.decrease <= light.decrease * (1 + SPECTRAL_GAP_RTOL)
    # The length is weight^-1 times the multiplier, so it shares the multiplier's uncertainty.
    slack = SECULAR_ROUNDINGS * EPS * (light.multiplier + np.max(np.abs(B))) / weight
    assert np.linalg.norm(heavy.step) <= np.linalg.norm(light.step) + slack


@pytest.mark.parametrize("name", NAMED_CASES)
def test_cubic_step_solves_the_trust_region_of_its_own_length(name):
    case = named_case(name)
    g, B, _ = case.rotated(seed=5)
    cubic = cubic_l2(g, B, NAMED_WEIGHT)
    length = np.linalg.norm(cubic.step)
    trust_region = trust_region_l2(g, B, length)
    tolerance = model_tolerance(case.n, np.linalg.norm(g), np.linalg.norm(B, 2), length)
    assert trust_region.decrease - NAMED_WEIGHT / 3 * length**3 == pytest.approx(
        cubic.decrease, rel=0, abs=tolerance
    )


@pytest.mark.parametrize("curvature", [-2.0, 0.0, 2.0])
@pytest.mark.parametrize("slope", [-3.0, 0.0, 1e-3])
def test_one_variable(slope, curvature):
    radius, weight = 1.25, 0.5
    ends = [-radius, radius] + ([-slope / curvature] if curvature > 0 else [])
    best = min(slope * s + curvature * s**2 / 2 for s in ends if abs(s) <= radius)
    solution = trust_region_l2([slope], [[curvature]], radius)
    assert solution.decrease == pytest.approx(-best, rel=SPECTRAL_GAP_RTOL, abs=0)

    length = np.max(np.roots([weight, curvature, -abs(slope)]).real)
    best = min(0.0, -abs(slope) * length + curvature * length**2 / 2 + weight * length**3 / 3)
    solution = cubic_l2([slope], [[curvature]], weight)
    # The textbook root loses the digits that cancel.
    assert solution.decrease == pytest.approx(-best, rel=1e4 * EPS, abs=0)


@pytest.mark.parametrize("exponent", [-150, -50, 50, 150])
def test_no_overflow_on_the_way(exponent):
    # Squares of these numbers do not fit into a float.
    scale = 10.0**exponent
    g, B = np.array([0.0, scale]), np.diag([-scale, 3 * scale])
    solution = trust_region_l2(g, B, 1.0)
    assert solution.hard_case
    assert solution.decrease == pytest.approx(0.625 * scale, rel=SPECTRAL_GAP_RTOL, abs=0)


def test_tiny_component_along_the_leftmost_eigenvector_sets_the_sign():
    # So near to the hard case that the multiplier is -lambda_1 to all digits.
    for sign in (-1.0, 1.0):
        solution = trust_region_l2([sign * 1e-100, 1.0], np.diag([-1.0, 1.0]), 2.0)
        assert solution.multiplier == 1.0 and not solution.hard_case
        expected = [-sign * np.sqrt(3.75), -0.5]
        np.testing.assert_allclose(solution.step, expected, rtol=SPECTRAL_GAP_RTOL)


# Wrong input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("solve", [trust_region_l2, cubic_l2])
@pytest.mark.parametrize(
    "g, B, parameter, error, message",
    [
        ([1.0, 2.0], np.eye(3), 1.0, ValueError, "shape"),
        ([[1.0]], [[1.0]], 1.0, ValueError, "vector"),
        ([], np.zeros((0, 0)), 1.0, ValueError, "at least one"),
        ([1.0, 2.0], [[1.0, 2.0], [3.0, 1.0]], 1.0, ValueError, "symmetric"),
        ([1.0, np.nan], np.eye(2), 1.0, ValueError, "g must be finite"),
        ([1.0, 2.0], np.diag([1.0, np.inf]), 1.0, ValueError, "B must be finite"),
        ([1.0, 2.0j], np.eye(2), 1.0, TypeError, "real"),
        ([1.0], [[1.0]], 0.0, ValueError, "positive"),
        ([1.0], [[1.0]], -1.0, ValueError, "positive"),
        ([1.0], [[1.0]], np.inf, ValueError, "finite"),
        ([1.0], [[1.0]], np.nan, ValueError, "positive"),
    ],
)
def test_wrong_input_is_refused(solve, g, B, parameter, error, message):
    with pytest.raises(error, match=message):
        solve(g, B, parameter)


@pytest.mark.parametrize("solve", [trust_region_l2, cubic_l2])
def test_inputs_are_left_alone(solve):
    g, B, _ = named_case("hard_lambda1").rotated(seed=8)
    g_before, B_before = g.copy(), B.copy()
    solve(g, B, 1.0)
    assert np.array_equal(g, g_before) and np.array_equal(B, B_before)
