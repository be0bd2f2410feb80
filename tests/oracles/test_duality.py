"""The dual bounds: never above a feasible value, and equal to minima that are known beforehand."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.oracles.duality import cubic_bound, trust_region_bound
from tests.strategies import (
    SpectralCase,
    eigenvalue_lists,
    log_uniform,
    named_case,
    seeds,
    spectral_cases,
    weights,
)
from tests.tolerances import SPECTRAL_GAP_RTOL, WEAK_DUALITY_RTOL


def model_terms(eigenvalues, a, v):
    v = v.astype(np.longdouble)
    return np.concatenate([a * v, eigenvalues * v**2 / 2])


MINIMISER = 2689.598785575043
"""Length of a cubic's minimiser."""

# Weak duality ------------------------------------------------------------------------------------


# At the minimiser the two meet: in float64 the cubic term alone would be below the bound.
@example(SpectralCase(np.empty(0), -MINIMISER, np.empty(0), 0.0, 1, 1.0), 1.0, 0, MINIMISER)
@given(spectral_cases(), weights(), seeds(), log_uniform(1e-8, 1e8))
def test_no_feasible_step_is_below_the_bound(case, weight, seed, length):
    eigenvalues, a = case.spectrum()
    rng = np.random.default_rng(seed)
    tr_bound = trust_region_bound(eigenvalues, a, case.radius).value
    arc_bound = cubic_bound(eigenvalues, a, weight).value
    for _ in range(10):
        v = rng.standard_normal(a.size) * 10 ** rng.uniform(-4, 0, a.size)
        # Downhill half of the time: a random sign pattern rarely is, for many coordinates.
        v = -np.copysign(v, a) if rng.random() < 0.5 else v
        v = v.astype(np.longdouble)
        v /= np.sqrt(np.sum(v**2))

        terms = model_terms(eigenvalues, a, v * case.radius)
        slack = WEAK_DUALITY_RTOL * (np.sum(np.abs(terms)) - tr_bound)
        assert np.sum(terms) >= tr_bound - slack

        regulariser = weight * np.longdouble(length) ** 3 / 3
        terms = np.append(model_terms(eigenvalues, a, v * length), regulariser)
        slack = WEAK_DUALITY_RTOL * (np.sum(np.abs(terms)) - arc_bound)
        assert np.sum(terms) >= arc_bound - slack


# Strong duality: start from the solution, and build the problem that it solves -------------------


@st.composite
def solved_problems(draw):
    """Draw (eigenvalues, a, v, x) with (lam + x) v = -a, lam + x >= 0 and x >= 0.

    v then solves the trust-region problem of radius ||v||, and the cubic of weight x / ||v||.
    """
    eigenvalues = draw(eigenvalue_lists(draw(st.integers(1, 6))))
    # Zero surplus: the hard case if the least eigenvalue is negative, else an interior solution.
    surplus = draw(st.one_of(st.just(0.0), log_uniform(1e-20, 1e6)))
    rng = np.random.default_rng(draw(seeds()))
    length = draw(log_uniform(1e-8, 1e8))
    v = rng.standard_normal(eigenvalues.size) * 10 ** rng.uniform(-6, 0, eigenvalues.size)
    v *= length / np.linalg.norm(v)
    x = np.longdouble(max(0.0, -eigenvalues[0])) + np.longdouble(surplus)
    # Extended: the solved equation holds to more digits than the ones that are compared.
    a = -(eigenvalues.astype(np.longdouble) + x) * v
    return eigenvalues, a, v.astype(np.longdouble), x


@given(solved_problems())
def test_bound_equals_a_known_trust_region_minimum(problem):
    eigenvalues, a, v, _ = problem
    minimum = np.sum(model_terms(eigenvalues, a, v))
    bound = trust_region_bound(eigenvalues, a, np.sqrt(np.sum(v**2)))
    assert abs(bound.value - minimum) <= -minimum * SPECTRAL_GAP_RTOL


@given(solved_problems())
def test_bound_equals_a_known_cubic_minimum(problem):
    eigenvalues, a, v, x = problem
    if x == 0:
        return
    length = np.sqrt(np.sum(v**2))
    minimum = np.sum(model_terms(eigenvalues, a, v)) + x * length**2 / 3
    bound = cubic_bound(eigenvalues, a, x / length)
    assert abs(bound.value - minimum) <= -minimum * SPECTRAL_GAP_RTOL
    # For the cubic the multiplier is weight times length, and no harder to find than the value.
    assert bound.multiplier == pytest.approx(float(x), rel=SPECTRAL_GAP_RTOL, abs=0)


@pytest.mark.parametrize(
    "name, minimum, multiplier",
    [
        # -1/2 sum a^2 / lam: 1/1 + 1/2 + 4/4 + 2.25/3.
        ("interior", -1.625, 0.0),
        # The null space costs and gains nothing: 1/1 + 1/3 + 0.25/2.
        ("singular", -0.5 * (1 + 1 / 3 + 0.125), 0.0),
        # x = 2: 1/3 + 1/5 + 1/4, and x radius^2 = 32.
        ("hard_lambda1", -0.5 * (1 / 3 + 1 / 5 + 1 / 4 + 32.0), 2.0),
        # x = 1: 1/1.5 + 4/3, and x radius^2 = 9.
        ("hard_gamma", -0.5 * (1 / 1.5 + 4 / 3 + 9.0), 1.0),
        ("zero_gradient", -0.5 * 2.25, 1.0),
        # ||g|| = 2, curvature 1/2, step of length 1.
        ("empty_memory", -2.0 + 0.25, 1.5),
        # Slope 1/2, curvature -1, step of length 2.
        ("n1", -1.0 - 2.0, 1.25),
    ],
)
def test_named_cases_by_hand(name, minimum, multiplier):
    case = named_case(name)
    bound = trust_region_bound(*case.spectrum(), case.radius)
    assert bound.value == pytest.approx(minimum, rel=SPECTRAL_GAP_RTOL, abs=0)
    assert bound.multiplier == pytest.approx(multiplier, rel=SPECTRAL_GAP_RTOL, abs=0)


def test_bound_is_rounded_down():
    rng = np.random.default_rng(1)
    for slope, curvature in rng.uniform(0.5, 2.0, (200, 2)):
        exact = -(Fraction(slope) ** 2) / (2 * Fraction(curvature))
        assert Fraction(trust_region_bound([curvature], [slope], 1e3).value) <= exact
        exact = -(Fraction(curvature) ** 3) / (6 * Fraction(slope) ** 2)
        assert Fraction(cubic_bound([-curvature], [0.0], slope).value) <= exact


def test_nothing_to_gain():
    assert trust_region_bound([0.0, 2.0], [0.0, 0.0], 3.0) == (0.0, 0.0)
    assert cubic_bound([0.0, 2.0], [0.0, 0.0], 3.0) == (0.0, 0.0)


# Symmetries --------------------------------------------------------------------------------------


@given(spectral_cases(), weights(), seeds())
def test_order_and_multiplicity_do_not_matter(case, weight, seed):
    # In full, gamma is listed once per dimension of the complement: the same two problems.
    eigenvalues, a = case.spectrum()
    full_a, B = case.diagonal()
    order = np.random.default_rng(seed).permutation(case.n)
    full_eigenvalues, full_a = np.diag(B)[order], full_a[order]
    for bound, parameter in ((trust_region_bound, case.radius), (cubic_bound, weight)):
        assert bound(full_eigenvalues, full_a, parameter).value == pytest.approx(
            bound(eigenvalues, a, parameter).value, rel=SPECTRAL_GAP_RTOL, abs=0
        )


@given(spectral_cases(), weights(), st.integers(-20, 20), st.integers(-20, 20))
def test_units_do_not_matter(case, weight, log_f, log_x):
    # f -> F f and x -> X x, in powers of two so that the data are rescaled without rounding.
    F, X = 2.0**log_f, 2.0**log_x
    eigenvalues, a = case.spectrum()
    scaled = F / X**2 * eigenvalues, F / X * a
    for bound, parameter, scaled_parameter in (
        (trust_region_bound, case.radius, X * case.radius),
        (cubic_bound, weight, F / X**3 * weight),
    ):
        assert bound(*scaled, scaled_parameter).value == pytest.approx(
            F * bound(eigenvalues, a, parameter).value, rel=SPECTRAL_GAP_RTOL, abs=0
        )


@pytest.mark.parametrize("parameter", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("bound", [trust_region_bound, cubic_bound])
def test_extreme_scales(bound, scale, parameter):
    # Warnings are errors: no overflow and no 0/0 on the way, either.
    for eigenvalues in ([0.0, 0.0, 1.0], [-1.0, -1.0, 0.0], [1e-12, 1.0, 1e12]):
        for a in ([0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1e-12, 0.0, 1e12]):
            value, multiplier = bound(scale * np.array(eigenvalues), a, parameter)
            assert np.isfinite(value) and value <= 0
            assert np.isfinite(multiplier) and multiplier >= max(0.0, -scale * min(eigenvalues))


# Wrong input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [trust_region_bound, cubic_bound])
@pytest.mark.parametrize(
    "eigenvalues, a, parameter, error, message",
    [
        ([1.0, 2.0], [1.0], 1.0, ValueError, "one entry for each"),
        ([], [], 1.0, ValueError, "at least one"),
        ([[1.0]], [[1.0]], 1.0, ValueError, "vector"),
        ([np.nan], [1.0], 1.0, ValueError, "eigenvalues must be finite"),
        ([1.0], [np.inf], 1.0, ValueError, "a must be finite"),
        ([1.0j], [1.0], 1.0, TypeError, "real"),
        ([1.0], [1.0], 0.0, ValueError, "positive"),
        ([1.0], [1.0], np.inf, ValueError, "finite"),
        ([1.0], [1.0], np.nan, ValueError, "positive"),
    ],
)
def test_wrong_input_is_refused(bound, eigenvalues, a, parameter, error, message):
    with pytest.raises(error, match=message):
        bound(eigenvalues, a, parameter)
