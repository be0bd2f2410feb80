"""The regularised solver in eigen-coordinates against the dual bound, the oracle and conditions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qnsolve import SubproblemStatus
from qnsolve.subproblem.regularised_l2 import regularised_l2
from qnsolve.subproblem.types import ReducedProblem
from tests.oracles import dense
from tests.oracles.duality import cubic_bound
from tests.strategies import (
    HARD_CASES,
    NAMED_CASES,
    SpectralCase,
    named_case,
    seeds,
    spectral_cases,
    weights,
)
from tests.tolerances import (
    CURVATURE_RTOL,
    EPS,
    SPECTRAL_GAP_RTOL,
    STATIONARITY_RTOL,
    model_tolerance,
)

NAMED_WEIGHT = 0.1

POWERS = st.sampled_from([3.0, 2.25, 2.5, 3.5, 4.0, 6.0])


def solve(case, weight, power=3.0):
    return regularised_l2(case.reduced(), weight, power)


def coordinates(case, step):
    return np.append(step.par, step.perp) if case.dim_perp else step.par


@given(spectral_cases(), weights())
def test_cubic_equals_dual_bound(case, weight):
    """No trust in any solver: no point at all is better."""
    step = solve(case, weight)
    lam, a = case.spectrum()
    bound = cubic_bound(lam, a, weight).value
    assert step.status is SubproblemStatus.SOLVED
    assert abs(step.decrease + bound) <= SPECTRAL_GAP_RTOL * abs(bound)
    p = coordinates(case, step)
    cubic = weight / 3 * step.length**3
    value = a @ p + 0.5 * lam @ p**2 + cubic
    size = np.abs(a * p).sum() + np.abs(lam * p**2).sum() + cubic
    assert abs(value + step.decrease) <= 16 * len(lam) * EPS * size


@given(spectral_cases(), weights(), POWERS)
# Here a bound that cancels to rounding error would exclude the root, which is far smaller.
@example(SpectralCase(np.array([-0.4]), 0.0, np.array([4.8e-58]), 0.0, 0, 1.0), 3e7, 3.0)
@example(
    SpectralCase(np.array([0.0, 0.0, 1e9]), 0.0, np.array([1e7, 1e7, 0.0]), 0.0, 0, 1.0), 3e-7, 2.1
)
def test_optimality_conditions(case, weight, power):
    """They are sufficient for a global minimiser, whatever the power."""
    step = solve(case, weight, power)
    lam, a = case.spectrum()
    p, x = coordinates(case, step), step.multiplier
    if step.status is SubproblemStatus.UNBOUNDED:
        # The least the length of the minimiser can be, in logarithms: it overflows.
        assert np.log10(-lam.min() / weight) / (power - 2.0) > 100
        return
    assert step.status is SubproblemStatus.SOLVED
    assert step.decrease >= 0.0
    assert not step.on_boundary
    shifted, unit = lam + x, np.abs(lam).max() + x
    assert shifted.min() >= -CURVATURE_RTOL * unit
    residual = np.linalg.norm(shifted * p + a)
    assert residual <= STATIONARITY_RTOL * (np.linalg.norm(a) + unit * np.linalg.norm(p))
    # A relative error e of the length is an error (power - 2) e of the multiplier, and the other
    # way round; and an exponent that is rounded makes an error of the logarithm of its base.
    sizes = np.array([step.length, weight, np.abs(a).max(), np.abs(lam).max()])
    logs = np.abs(np.log(sizes[sizes > 0.0])).sum()
    rtol = 16 * EPS * (power - 2.0 + 1.0 / (power - 2.0) + logs)
    wanted = weight * np.longdouble(np.linalg.norm(p)) ** np.longdouble(power - 2.0)
    assert abs(wanted - x) <= rtol * x


@given(spectral_cases(), weights(), seeds())
def test_equals_dense_oracle(case, weight, seed):
    g, B, _ = case.rotated(seed)
    oracle = dense.cubic_l2(g, B, weight)
    ours = solve(case, weight)
    reach = max(np.linalg.norm(oracle.step), ours.length)
    norm_B = np.abs(case.spectrum()[0]).max()
    assert abs(ours.decrease - oracle.decrease) <= 16 * model_tolerance(
        case.n, np.linalg.norm(g), norm_B, reach
    )


@pytest.mark.parametrize("name", NAMED_CASES)
def test_named_cases(name):
    case = named_case(name)
    step = solve(case, NAMED_WEIGHT)
    lam, a = case.spectrum()
    bound = cubic_bound(lam, a, NAMED_WEIGHT).value
    assert -step.decrease == pytest.approx(bound, rel=SPECTRAL_GAP_RTOL)
    assert step.hard_case == (name in HARD_CASES)


@given(spectral_cases(), weights(), POWERS, st.integers(-40, 40), st.integers(-40, 40))
def test_scale_equivariance(case, weight, power, power_x, power_f):
    """x -> t x and f -> c f change the unit of every number, and nothing else."""
    t, c = 2.0 ** (power_x / 4), 2.0 ** (power_f / 4)
    plain, (lam, a) = solve(case, weight, power), case.reduced()
    problem = ReducedProblem(lam * c / t**2, a * c / t)
    scaled = regularised_l2(problem, weight * c / t**power, power)
    if SubproblemStatus.UNBOUNDED in (plain.status, scaled.status):
        return
    # The rounding of the data, in the worst conditioned of the powers.
    assert scaled.decrease == pytest.approx(c * plain.decrease, rel=1e-12)


@given(spectral_cases(), weights(), weights())
def test_monotone_in_the_weight(case, one, two):
    light, heavy = sorted((one, two))
    loose, tight = solve(case, light), solve(case, heavy)
    assert loose.decrease >= tight.decrease * (1 - SPECTRAL_GAP_RTOL)
    assert loose.length >= tight.length * (1 - 1e-10)
    assert loose.multiplier <= tight.multiplier * (1 + 1e-10)


@given(spectral_cases(kind="convex"), weights())
def test_power_two_is_the_shifted_system(case, weight):
    step = solve(case, weight, 2.0)
    lam, a = case.spectrum()
    p = coordinates(case, step)
    np.testing.assert_allclose(p, -a / (lam + weight), rtol=4 * EPS)
    assert step.multiplier == weight
    assert not step.hard_case
    assert step.decrease == pytest.approx(-(a @ p) / 2, rel=16 * EPS)


@pytest.mark.parametrize(
    ("lam", "a", "bounded"),
    [
        ([-1.0, 2.0], [0.0, 1.0], True),
        ([-1.0, 2.0], [1.0, 1.0], False),
        ([-1.5, 2.0], [0.0, 1.0], False),
        ([-0.5, 2.0], [1.0, 1.0], True),
    ],
)
def test_power_two_may_be_unbounded(lam, a, bounded):
    step = regularised_l2(ReducedProblem.of(lam, a), 1.0, 2.0)
    if bounded:
        assert step.status is SubproblemStatus.SOLVED
        assert step.decrease > 0.0
    else:
        assert step.status is SubproblemStatus.UNBOUNDED
        assert step.decrease == 0.0
        assert not step.par.any()


def test_a_minimiser_that_overflows_is_a_status():
    step = regularised_l2(ReducedProblem.of([-1.0], [1.0]), 1e-8, 2.01)
    assert step.status is SubproblemStatus.UNBOUNDED
    assert step.multiplier == 1.0
    assert step.decrease == 0.0


@pytest.mark.parametrize("power", [2.001, 3.0, 10.0])
@pytest.mark.parametrize("weight", [1e-8, 1e8])
@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_one_coordinate(power, weight, scale):
    """-a p + lam p^2 / 2 + weight p^power / power with the minimiser put at p = 1."""
    lam = scale * 3.0
    step = regularised_l2(ReducedProblem.of([lam], [-(lam + weight)]), weight, power)
    # The condition of p with respect to the data is at most 1.
    assert step.par[0] == pytest.approx(1.0, rel=8 * EPS * max(1.0, power - 2.0))
    assert step.decrease == pytest.approx(lam / 2 + weight - weight / power, rel=32 * EPS)


def test_newton_converges_within_its_limit():
    """From a start far left of the root each step at least doubles the multiplier."""
    rng = np.random.default_rng(0)
    most = 0
    for _ in range(500):
        r = rng.integers(1, 6)
        lam = 10 ** rng.uniform(-12, 12) * rng.choice([0.0, 1.0, -1.0, 1e-9, -1e-9], r)
        a = 10 ** rng.uniform(-12, 12) * rng.choice([0.0, 1.0, 1e-9, 1e-30], r)
        step = regularised_l2(ReducedProblem.of(lam, a), 10 ** rng.uniform(-8, 8))
        assert step.status is SubproblemStatus.SOLVED
        most = max(most, step.nit)
    assert most <= 60


@pytest.mark.parametrize("tiny", [1e-300, 1e-200, 1e-100])
def test_a_gradient_whose_square_underflows(tiny):
    """All but the hard case; the sign of the step is that of the gradient."""
    step = regularised_l2(ReducedProblem.of([-1.0, 2.0], [tiny, tiny]), 2.0)
    assert step.status is SubproblemStatus.SOLVED
    assert not step.hard_case
    np.testing.assert_allclose(step.par, [-0.5, -tiny / 3.0], rtol=1e-14)
    assert step.decrease == pytest.approx(1.0 / 24.0, rel=1e-14)


@pytest.mark.parametrize("weight", [0.5, 1.0, 2.0])
def test_iterations_are_counted_from_one(weight):
    # Without curvature the first step lands on the root, and the second sees that it has.
    step = regularised_l2(ReducedProblem.of([0.0], [2.0]), weight, 3.0)
    assert step.nit == 2
    assert abs(step.par[0]) == pytest.approx(np.sqrt(2.0 / weight), rel=4 * EPS)


def test_a_root_that_is_not_found_is_a_status(monkeypatch):
    problem = ReducedProblem.of([-1.0, 2.0], [3.0, 4.0])
    assert regularised_l2(problem, 1.0).status is SubproblemStatus.SOLVED
    monkeypatch.setattr("qnsolve.subproblem.regularised_l2.MAX_NEWTON", 1)
    step = regularised_l2(problem, 1.0)
    assert step.status is SubproblemStatus.ITERATION_LIMIT
    assert step.nit == 1
