"""Certificates: no wrong step passes, whatever the spectrum, and no right one fails."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qnsolve import (
    LSR1,
    Certificate,
    PartialSpectrum,
    QuadraticModel,
    SubproblemStatus,
    solve_cubic,
    solve_trs,
    verify,
)
from qnsolve.subproblem.certificate import ROUNDINGS
from qnsolve.subproblem.regions import Regularisation, TrustRegion
from qnsolve.subproblem.types import ReducedProblem
from tests.oracles.duality import cubic_bound, trust_region_bound
from tests.strategies import log_uniform, radii, seeds, spectral_cases, weights
from tests.tolerances import EPS

REGIONS = ("l2", "shape-inf", "shape-2")
RIGHT = 1e-13
"""A step that is right to rounding, in coordinates that are known exactly."""


@st.composite
def wide(draw):
    """Draw a diagonal matrix with eigenvalues of modulus 1e-12 to 1e12, and a gradient."""
    rng = np.random.default_rng(draw(seeds()))
    n = draw(st.integers(1, 6))
    lam = rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(-12, 12, n)
    g = rng.standard_normal(n) * 10.0 ** rng.uniform(-12, 12, n)
    return lam, g


def model_value(lam, g, s, weight=0.0):
    """Return m(s), and the sum of the moduli of its terms, in extended precision."""
    lam, g, s = (np.asarray(v, dtype=np.longdouble) for v in (lam, g, s))
    cube = weight / np.longdouble(3.0) * np.sqrt(s @ s) ** 3
    terms = np.concatenate([g * s, lam * s * s / 2])
    return terms.sum() + cube, np.abs(terms).sum() + cube


def forgiven(lam, g, s, radius, multiplier):
    """Return the decrease that a gap may leave out: where rounding explains half of the residual.

    A coordinate of less than twice the roundings of its terms need not count in full; where the
    curvature is tiny, what it can still gain is more than a rounding of the decrease.
    """
    lam, g, s = (np.asarray(v, dtype=np.longdouble) for v in (lam, g, s))
    c, size = lam + multiplier, np.linalg.norm(s)
    terms = np.linalg.norm(g) + np.linalg.norm(lam * s) + multiplier * size
    residual = np.abs(c * s + g)
    small = residual <= 2.0 * ROUNDINGS * EPS * (terms + np.abs(c) * size) * (1.0 + 1e-6)
    farthest = np.full(len(s), 2.0 * (radius + size))
    np.divide(residual, c, where=c > 0.0, out=farthest)
    gain = residual * np.minimum(farthest, radius + size)
    return float(gain[small].sum())


def test_the_step_that_leads_uphill_where_the_curvature_is_small():
    """Normwise its residual is 2e-12: it solves a problem whose matrix is nearly this one."""
    g, B = np.array([0.0, 1.0]), np.diag([1e12, 1.0])
    wrong = verify.check_trs(g, B, 10.0, np.array([0.0, 1.0]))
    assert wrong.stationarity == pytest.approx(2e-12)
    # m = 3/2, and -1/2 is the least: of a possible decrease of 1/2 the step misses 2.
    assert wrong.worst == wrong.gap == pytest.approx(4.0, rel=1e-12)
    half = verify.check_trs(g, B, 10.0, np.array([0.0, -0.5]))
    assert half.gap == pytest.approx(0.25, rel=1e-12)
    assert verify.check_trs(g, B, 10.0, np.array([0.0, -1.0])).worst == 0.0


@given(wide(), radii())
def test_right_steps_of_wide_spectra(problem, radius):
    lam, g = problem
    result = solve_trs(g, np.diag(lam), radius)
    assert result.certificate().worst <= RIGHT
    assert verify.check_trs(g, np.diag(lam), radius, result.step, result.multipliers).worst <= RIGHT


@given(wide(), weights())
def test_right_cubic_steps_of_wide_spectra(problem, weight):
    lam, g = problem
    result = solve_cubic(g, np.diag(lam), weight, norm="l2")
    assert result.certificate().worst <= RIGHT


@given(wide(), radii(), st.sampled_from(REGIONS))
def test_negated_steps_of_wide_spectra_never_pass(problem, radius, norm):
    """m(-s) = m(s) - 2 g's: uphill, or at best without the part that g contributes."""
    lam, g = problem
    step = -solve_trs(g, np.diag(lam), radius, norm=norm).step
    value, terms = model_value(lam, g, step)
    certificate = verify.check_trs(g, np.diag(lam), radius, step, norm=norm)
    if value > 16 * EPS * terms:
        assert certificate.worst >= 1.0
    best, terms = model_value(lam, g, -step)
    missed = min(1.0, 2.0 * abs(g @ step) / -best)
    # Of the gap, too, the roundings are not held against the step: 8 each of Bs, Cs, g and s.
    assert certificate.gap >= missed * (1.0 - 1e-9) - 64 * EPS * terms / -best


@given(wide(), weights(), st.sampled_from(["l2", "shape"]))
def test_negated_cubic_steps_of_wide_spectra_never_pass(problem, weight, norm):
    lam, g = problem
    step = -solve_cubic(g, np.diag(lam), weight, norm=norm).step
    assert verify.check_cubic(g, np.diag(lam), weight, step, norm=norm).gap >= 0.1 or (
        abs(g @ step) <= 0.1 * weight * (np.abs(step) ** 3).sum()
    )


@example(
    problem=(np.array([7.84493719e9, 1.31420597e-7]), np.array([-1.54103833e-3, -1.06009164e-12])),
    radius=1.0,
    seed=0,
    size=1e-5,
)
@given(wide(), radii(), seeds(), log_uniform(1e-8, 1.0))
def test_gap_is_no_less_than_the_share_that_is_missed(problem, radius, seed, size):
    """Against the dual bound in extended precision, for steps from near to far."""
    lam, g = problem
    rng = np.random.default_rng(seed)
    step = solve_trs(g, np.diag(lam), radius).step
    step = step * (1.0 + size * rng.standard_normal(len(step)))
    step *= min(1.0, radius / np.linalg.norm(step))
    best = trust_region_bound(lam, g, radius).value
    value, terms = model_value(lam, g, step)
    share = min(1.0, float((value - best) / -best))  # uphill, a gap of 1 is enough
    certificate = verify.check_trs(g, np.diag(lam), radius, step)
    left_out = max(
        forgiven(lam, g, step, radius, multiplier)
        for multiplier in (
            trust_region_bound(lam, g, radius).multiplier,
            certificate.multipliers[0],
        )
    )
    noise = (64 * EPS * float(terms) + left_out) / abs(best)
    assert max(certificate.gap, certificate.feasibility) >= share * (1.0 - 1e-6) - noise


@given(spectral_cases(), weights(), seeds(), log_uniform(1e-6, 1.0))
def test_gap_of_the_cubic_is_no_less_than_the_share_that_is_missed(case, weight, seed, size):
    lam, a = case.diagonal()[1].diagonal(), case.diagonal()[0]
    step = solve_cubic(a, np.diag(lam), weight, norm="l2").step
    step = step * (1.0 + size * np.random.default_rng(seed).standard_normal(len(step)))
    best = cubic_bound(lam, a, weight).value
    if best == 0.0:
        return
    value, terms = model_value(lam, a, step, weight)
    share = min(1.0, float((value - best) / -best))  # uphill, a gap of 1 is enough
    certificate = verify.check_cubic(a, np.diag(lam), weight, step, norm="l2")
    noise = 64 * EPS * float(terms) / abs(best)
    assert certificate.gap >= share * (1.0 - 1e-6) - noise


@pytest.mark.parametrize("norm", REGIONS)
def test_a_step_that_goes_nowhere_misses_everything(norm):
    for g, lam in (([1.0, 0.0], [1.0, 2.0]), ([0.0, 0.0], [-1.0, 1.0]), ([1e-9, 0.0], [1e9, 1.0])):
        certificate = verify.check_trs(np.array(g), np.diag(lam), 2.0, np.zeros(2), norm=norm)
        assert certificate.gap == 1.0


def test_share_of_a_decrease():
    """-p + p^2/2 from p = 1/2: 3/8 of the possible 1/2."""
    certificate = verify.check_trs([-1.0], [[1.0]] * np.ones((1, 1)), 10.0, [0.5])
    assert certificate.gap == pytest.approx(0.25, rel=1e-14)


@pytest.mark.parametrize("power", [2.0, 2.5, 3.0, 6.0])
def test_multipliers_that_are_not_those_of_the_length(power):
    """Another multiplier is another lower bound: the gap is one, but not the least."""
    term = Regularisation(2.0, power=power)
    for length, x in itertools.product([0.0, 0.5, 3.0], [0.0, 1.0, 2.0, 5.0]):
        v = np.array([length])
        with np.errstate(all="ignore"):
            slack = term.slack(v, np.array([x]), 1.0)
        t = np.linspace(0.0, 30.0, 200_001)
        bracket = 2.0 / power * t**power - 0.5 * x * t**2
        here = 2.0 / power * length**power - 0.5 * x * length**2
        if power == 2.0 and x > 2.0:
            assert slack == np.inf
        else:
            assert slack == pytest.approx(here - bracket.min(), abs=1e-6)


def test_complementarity_is_that_of_the_radius():
    term, v = TrustRegion(2.0), np.array([1.5])
    assert term.complementarity(v, np.array([3.0]), 9.0) == pytest.approx(0.25 * 0.25)
    assert term.infeasibility(2.0 * v) == 0.5
    # sigma / 2 (Delta^2 - |s|^2), over a unit of 0.5.
    assert term.slack(v, np.array([3.0]), 0.5) == pytest.approx(1.5 * (4.0 - 2.25) / 0.5)


# What is no number --------------------------------------------------------------------------------


@pytest.mark.parametrize("place", range(5))
def test_worst_does_not_swallow_nan(place):
    figures = [0.0] * 5
    figures[place] = np.nan
    assert Certificate(*figures).worst == np.inf


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("norm", REGIONS)
def test_steps_that_are_not_finite_are_the_worst(norm, bad):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        certificate = verify.check_trs(np.ones(2), np.eye(2), 1.0, np.array([bad, 0.0]), norm=norm)
    assert certificate.worst == np.inf
    for figure in vars(certificate).values():
        assert not np.isnan(figure).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("check", [verify.check_trs, verify.check_cubic])
def test_multipliers_that_are_not_finite_are_refused(check, bad):
    with pytest.raises(ValueError, match="multipliers must be at least 0 and finite"):
        check(np.ones(2), np.eye(2), 1.0, np.zeros(2), bad, norm="l2")


@pytest.mark.parametrize("bad", [1j, "1", None])
def test_multipliers_that_are_not_real_are_refused(bad):
    with pytest.raises(TypeError, match="multipliers must be real"):
        verify.check_trs(np.ones(2), np.eye(2), 1.0, np.zeros(2), [bad])


@pytest.mark.parametrize("check", [verify.check_trs, verify.check_cubic])
def test_steps_are_taken_like_any_vector(check):
    exact = check(np.array([-3.0, 4.0]), np.eye(2), 10.0, np.array([3.0, -4.0]), norm="l2")
    for step in ([3.0, -4.0], [3, -4], (3, -4), np.array([3, -4]), np.array([3, -4], np.float32)):
        assert check([-3, 4], np.eye(2), 10.0, step, norm="l2") == exact


@pytest.mark.parametrize("check", [verify.check_trs, verify.check_cubic])
@pytest.mark.parametrize("kind", [np.eye(2), LSR1(2), PartialSpectrum.from_dense(np.eye(2))])
def test_steps_that_are_no_vectors_are_refused(check, kind):
    for step, error in (
        (np.array([1.0, 1j]), TypeError),
        ([1.0, 1j], TypeError),
        (["1", "2"], TypeError),
        (np.ones(3), ValueError),
        (1.0, ValueError),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), TypeError),
    ):
        with pytest.raises(error, match="step "):
            check(np.ones(2), kind, 1.0, step, norm="l2")


def test_check_secant_takes_lists_and_sees_nan():
    assert verify.check_secant(np.eye(2), [1, 2], [1.0, 2.0]) == 0.0
    assert verify.check_secant(LSR1(2), [1.0, 2.0], [1.0, 2.0]) == 0.0
    for bad in (np.nan, np.inf):
        assert verify.check_secant(np.eye(2), [1.0, bad], [1.0, 2.0]) == np.inf
        assert verify.check_secant(np.eye(2), [1.0, 2.0], [1.0, bad]) == np.inf
    with pytest.raises(TypeError, match="s is complex"):
        verify.check_secant(np.eye(2), [1.0, 1j], [1.0, 2.0])
    with pytest.raises(ValueError, match="y must have shape"):
        verify.check_secant(np.eye(2), [1.0, 2.0], [1.0])


# The doors of a model -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0.0,), ValueError, "radius must be positive and finite, got 0.0"),
        ((-1.0,), ValueError, "radius must be positive"),
        ((np.nan,), ValueError, "radius must be positive"),
        ((np.inf,), ValueError, "radius must be positive"),
        (("1",), TypeError, "radius must be a number"),
        ((True,), TypeError, "radius must be a number"),
        ((1.0, "shape"), ValueError, "norm must be one of"),
        ((1.0, "shape_inf"), ValueError, "'shape-inf'"),
        ((1.0, 2), TypeError, "norm must be a name"),
    ],
)
def test_trust_region_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        QuadraticModel(np.ones(2), np.eye(2)).trust_region(*arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.nan,), ValueError, "weight must be positive and finite, got nan"),
        ((0,), ValueError, "weight must be positive"),
        ((None,), TypeError, "weight must be a number"),
        ((1.0, "shape-2"), ValueError, "norm must be one of"),
        ((1.0, "l2", 1.0), ValueError, "power must be at least 2"),
        ((1.0, "shape", 4.0), ValueError, "closed form for power 3"),
    ],
)
def test_regularised_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        QuadraticModel(np.ones(2), np.eye(2)).regularised(*arguments)


def test_numpy_numbers_are_numbers():
    model = QuadraticModel(np.ones(2), np.eye(2))
    plain = model.trust_region(1.0).decrease
    for radius in (np.float64(1.0), np.float32(1.0), np.int64(1), 1):
        assert model.trust_region(radius).decrease == plain


# The record ---------------------------------------------------------------------------------------


def test_reduced_problem():
    problem = ReducedProblem.of(np.array([-1.0, 2.0]), np.array([3.0, 4.0]), 5.0, 6.0)
    np.testing.assert_array_equal(problem.curvatures, [-1.0, 2.0, 5.0])
    np.testing.assert_array_equal(problem.slopes, [3.0, 4.0, 6.0])
    inside, outside = problem.on_eigenvectors, problem.on_complement
    np.testing.assert_array_equal(inside.curvatures, [-1.0, 2.0, 0.0])
    np.testing.assert_array_equal(inside.slopes, [3.0, 4.0, 0.0])
    np.testing.assert_array_equal([*outside.curvatures, *outside.slopes], [5.0, 6.0])


@given(spectral_cases(), st.sampled_from(REGIONS), st.sampled_from(["l2", "shape"]))
def test_without_a_complement_the_last_coordinate_does_not_move(case, region, regulariser):
    problem = case.reduced().on_eigenvectors
    for term in (TrustRegion(case.radius, region), Regularisation(case.radius, regulariser)):
        step = term.solve(problem)
        assert step.perp == 0.0
        assert step.status in (SubproblemStatus.SOLVED, SubproblemStatus.UNBOUNDED)
