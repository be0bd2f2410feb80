"""The exact l2 trust-region solver against the dense oracle, the dual bound and GALAHAD."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsolve import LSR1, PartialSpectrum, QuadraticModel, SubproblemStatus, solve_trs
from qnsolve.subproblem.trust_region_l2 import trust_region_l2
from qnsolve.subproblem.types import ReducedProblem
from tests.oracles import dense
from tests.oracles.duality import trust_region_bound
from tests.strategies import (
    HARD_CASES,
    NAMED_CASES,
    log_uniform,
    named_case,
    orthogonal,
    pair_streams,
    radii,
    seeds,
    spectral_cases,
)
from tests.tolerances import EPS, FEASIBILITY_RTOL, SPECTRAL_GAP_RTOL, model_tolerance


def solve(case, radius=None):
    return trust_region_l2(case.reduced(), case.radius if radius is None else radius)


def explicit(case, seed):
    """Return the case as (g, PartialSpectrum) with an orthonormal basis, and dense (g, B)."""
    g, B, U = case.rotated(seed)
    r = len(case.eigenvalues)
    basis = np.ascontiguousarray(U[:, :r].T).reshape(r, case.n)
    return g, PartialSpectrum.from_basis(case.gamma, case.eigenvalues, basis), B


@given(spectral_cases())
def test_equals_dual_bound(case):
    """No trust in any solver: feasible, and no feasible point is better."""
    step = solve(case)
    lam, a = case.spectrum()
    assert step.status is SubproblemStatus.SOLVED
    assert step.length <= case.radius * (1 + FEASIBILITY_RTOL)
    p = np.append(step.par, step.perp) if case.dim_perp else step.par
    value = a @ p + 0.5 * lam @ p**2
    bound = trust_region_bound(lam, a, case.radius).value
    # The decrease is a sum of positive terms: it meets the bound to a few roundings.
    assert abs(step.decrease + bound) <= SPECTRAL_GAP_RTOL * abs(bound)
    # The value formed the naive way agrees, up to its own cancellation.
    size = np.abs(a * p).sum() + np.abs(lam * p**2).sum()
    assert abs(value + step.decrease) <= 16 * len(lam) * EPS * size


@given(spectral_cases())
def test_optimality_conditions(case):
    step = solve(case)
    lam, a = case.spectrum()
    p = np.append(step.par, step.perp) if case.dim_perp else step.par
    sigma = step.multiplier
    assert sigma >= 0.0
    shifted = lam + sigma
    unit = np.abs(lam).max() + sigma
    assert shifted.min() >= -4 * EPS * unit
    residual = np.linalg.norm(shifted * p + a)
    assert residual <= 16 * EPS * (np.linalg.norm(a) + unit * np.linalg.norm(p))
    if step.on_boundary:
        assert abs(step.length - case.radius) <= FEASIBILITY_RTOL * case.radius
    else:
        assert sigma == 0.0


@given(spectral_cases(), seeds())
def test_equals_dense_oracle(case, seed):
    g, spectrum, B = explicit(case, seed)
    ours = solve_trs(g, spectrum, case.radius)
    oracle = dense.trust_region_l2(g, B, case.radius)
    norm_g, norm_B = np.linalg.norm(g), np.abs(case.diagonal()[1]).max()
    tolerance = model_tolerance(case.n, norm_g, norm_B, case.radius)
    assert abs(ours.decrease - oracle.decrease) <= 16 * tolerance
    s = ours.step
    assert np.linalg.norm(s) <= case.radius * (1 + 64 * case.n * EPS)
    assert abs(-(g @ s + 0.5 * s @ B @ s) - oracle.decrease) <= 16 * tolerance
    assert ours.certificate().worst <= 1e-11


@pytest.mark.parametrize("share", [0.011, 0.02, 0.1, 0.4, 0.6])
def test_length_where_little_of_the_gradient_is_off_the_basis(share):
    """Near the hard case the step is as wrong as that part's length: two squares gave 1e-12."""
    for seed in range(50):
        rng = np.random.default_rng(seed)
        U = np.linalg.qr(rng.standard_normal((7, 7)))[0]
        g = U[:, 5] + share * U[:, 6]
        basis = np.ascontiguousarray(U[:, :6].T)
        spectrum = PartialSpectrum.from_basis(-1.0, np.array([-1.0, 0, 0, 0, 1, 1]), basis)
        radius = 10.0 ** rng.uniform(0, 2)
        result = solve_trs(g, spectrum, radius)
        assert abs(np.linalg.norm(result.step) / radius - 1) <= 64 * 7 * EPS


@pytest.mark.parametrize("name", NAMED_CASES)
def test_named_cases(name):
    case = named_case(name)
    step = solve(case)
    lam, a = case.spectrum()
    assert -step.decrease == pytest.approx(
        trust_region_bound(lam, a, case.radius).value, rel=SPECTRAL_GAP_RTOL
    )
    assert step.hard_case == (name in HARD_CASES)
    assert step.on_boundary == (name not in ("interior", "singular"))
    g, B, _ = case.rotated(0)
    result = solve_trs(g, B, case.radius)
    assert result.certificate().worst <= 1e-13
    assert result.decrease == pytest.approx(step.decrease, rel=1e-12)


def test_interior_is_the_newton_step():
    g, B = np.array([1.0, -2.0]), np.array([[3.0, 1.0], [1.0, 2.0]])
    result = solve_trs(g, B, 100.0)
    np.testing.assert_allclose(result.step, -np.linalg.solve(B, g), rtol=1e-14)
    assert not result.on_boundary
    assert result.multipliers.tolist() == [0.0]


@given(spectral_cases(), st.integers(-60, 60), st.integers(-60, 60))
def test_scale_equivariance(case, power_x, power_f):
    """Powers of two change no digit: x -> t x and f -> c f, exactly."""
    t, c = 2.0**power_x, 2.0**power_f
    plain, (lam, a) = solve(case), case.reduced()
    scaled = trust_region_l2(ReducedProblem(lam * c / t**2, a * c / t), case.radius * t)
    np.testing.assert_allclose(scaled.par, t * plain.par, rtol=1e-10, atol=0)
    assert scaled.decrease == pytest.approx(c * plain.decrease, rel=64 * EPS)
    assert scaled.multiplier == pytest.approx(c / t**2 * plain.multiplier, rel=1e-10)


@given(spectral_cases(), radii(), radii())
def test_monotone_in_the_radius(case, one, two):
    small, large = sorted((one, two))
    near, far = solve(case, small), solve(case, large)
    assert far.decrease >= near.decrease * (1 - SPECTRAL_GAP_RTOL)
    assert far.multiplier <= near.multiplier * (1 + 1e-10)


@given(pair_streams(), radii(), seeds(), log_uniform(1e-6, 1e6))
def test_compact_matrix(stream, radius, seed, size):
    B = LSR1(stream.n, memory=stream.memory)
    for s, y in stream:
        B.update(s, y)
    g = size * np.random.default_rng(seed).standard_normal(stream.n)
    result = solve_trs(g, B, radius)
    weights = np.abs(B._inner.weights)
    condition = weights.max(initial=1.0) / weights.min(initial=1.0)
    certificate = result.certificate()
    assert certificate.feasibility <= 1e-6
    assert certificate.stationarity <= 1e-8 * min(condition, 1e8)
    assert certificate.min_eig >= -4 * EPS


def test_solving_again_needs_no_vector():
    """Another radius on the same model projects nothing and lifts nothing."""

    class CountingRows:
        version, calls = 0, 0

        def __init__(self, rows):
            self.rows, self.space = rows.rows, rows.space
            self._rows = rows

        def products(self, v):
            self.calls += 1
            return self._rows.products(v)

        def combine_and_add(self, c, alpha, v, **kwargs):
            self.calls += 1
            return self._rows.combine_and_add(c, alpha, v, **kwargs)

    spectrum = PartialSpectrum.from_basis(1.0, np.array([-1.0, 2.0]), orthogonal(5, 0)[:2])
    spectrum._rows = rows = CountingRows(spectrum._rows)
    model = QuadraticModel(np.arange(1.0, 6.0), spectrum)
    after_projection = rows.calls
    results = [model.trust_region(radius) for radius in (0.1, 1.0, 10.0)]
    assert all(result.decrease > 0 and result.length > 0 for result in results)
    assert rows.calls == after_projection
    assert results[0].step.shape == (5,)
    assert rows.calls == after_projection + 1


# Defects of the published codes, one test each.


def test_start_of_newton_takes_the_modulus():
    """The published start max(a_i / radius - lam_i) lacks |a_i|: wrong sign, wrong side."""
    step = trust_region_l2(ReducedProblem.of([-1.0, 1.0], [-3.0, -5.0], 2.0), 0.5)
    assert step.length == pytest.approx(0.5, rel=FEASIBILITY_RTOL)
    assert step.par[0] > 0 and step.par[1] > 0


@pytest.mark.parametrize("unit", [1e-12, 1e-6, 1e6, 1e12])
def test_no_threshold_depends_on_units(unit):
    """Absolute thresholds of 1e-10 made a small but generic problem look like the hard case."""
    lam, a = np.array([-1.0, 2.0, 3.0]), np.ones(3)
    step = trust_region_l2(ReducedProblem(unit * lam, unit * a), 2.0)
    assert not step.hard_case
    plain = trust_region_l2(ReducedProblem(lam, a), 2.0)
    assert step.decrease / unit == pytest.approx(plain.decrease, rel=1e-14)


def test_hard_case_vector_is_orthogonal_to_the_basis():
    """The published fallback e_j - U U' e_j misses a transpose."""
    case = named_case("hard_gamma")
    g, spectrum, _ = explicit(case, 5)
    result = solve_trs(g, spectrum, case.radius)
    assert result.hard_case
    assert np.linalg.norm(result.step) == pytest.approx(case.radius, rel=1e-14)
    assert result.certificate().worst <= 1e-14


def test_dependent_pairs_do_not_raise():
    """The published codes take a Cholesky factor of Psi'Psi and stop on dependent columns."""
    B = LSR1(4, memory=4, gamma=0.5)
    rng = np.random.default_rng(0)
    s, y = rng.standard_normal(4), rng.standard_normal(4)
    for k in range(4):
        B.update(s + 1e-9 * k, y)
    assert solve_trs(rng.standard_normal(4), B, 1.0).certificate().stationarity < 1e-6


def test_empty_memory_obeys_the_radius():
    """The published code returns -g / |g| with an empty memory, whatever the radius is."""
    result = solve_trs(np.array([3.0, 4.0]), LSR1(2, gamma=1.0), 0.25)
    np.testing.assert_allclose(result.step, [-0.15, -0.2], rtol=1e-15)


def test_interior_step_is_set():
    """One published branch sets sigma = 0 and forgets the step."""
    result = solve_trs(np.array([1.0, 1.0]), LSR1(2, gamma=4.0), 10.0)
    np.testing.assert_allclose(result.step, [-0.25, -0.25], rtol=1e-15)


def test_array_libraries(xp):
    spectrum = PartialSpectrum.from_basis(1.0, np.array([-2.0]), xp.asarray([[0.6, 0.8, 0.0]]))
    g = xp.asarray([1.0, 2.0, 3.0])
    result = solve_trs(g, spectrum, 2.0)
    assert result.step.dtype == g.dtype
    assert getattr(result.step, "device", None) == getattr(g, "device", None)
    assert result.certificate().worst <= 1e-14


def test_no_equation_is_solved_in_the_hard_case():
    g = np.array([0.0, 1.0])
    result = solve_trs(g, np.diag([-1.0, 2.0]), 1.0)
    assert (result.hard_case, result.nit) == (True, 0)


def test_hard_case_in_which_no_length_is_missing():
    """The least-norm solution for sigma = 1 is as long as the radius, to the bit."""
    result = solve_trs(np.array([0.0, 2.0]), np.diag([-1.0, 1.0]), 1.0)
    assert result.on_boundary and not result.hard_case
    assert result.multipliers[0] == 1.0
    np.testing.assert_array_equal(result.step, [0.0, -1.0])


@pytest.mark.parametrize("curvature", [-2.0, 0.0, 2.0])
def test_dense_matrix_of_one_variable(curvature):
    result = solve_trs(np.array([3.0]), np.array([[curvature]]), 1.0)
    np.testing.assert_array_equal(result.step, [-1.0])
    assert result.decrease == 3.0 - curvature / 2


def test_a_root_that_is_not_found_is_a_status(monkeypatch):
    g, B = np.array([3.0, 4.0]), np.diag([-1.0, 2.0])
    assert solve_trs(g, B, 1.0).status is SubproblemStatus.SOLVED
    monkeypatch.setattr("qnsolve.subproblem.secular.MAX_NEWTON", 1)
    result = solve_trs(g, B, 1.0)
    assert result.status is SubproblemStatus.ITERATION_LIMIT
    assert result.nit == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"radius": 0.0}, ValueError, "radius must be positive"),
        ({"radius": np.nan}, ValueError, "radius must be positive"),
        ({"radius": "1"}, TypeError, "radius must be a number"),
        ({"norm": "l1"}, ValueError, "norm must be"),
        ({"g": np.ones(3)}, ValueError, r"g must have shape \(2,\)"),
        ({"g": np.array([1.0, np.inf])}, ValueError, "not finite"),
        ({"B": "identity"}, TypeError, "B must be"),
    ],
)
def test_wrong_arguments(change, error, message):
    arguments = {"g": np.ones(2), "B": np.eye(2), "radius": 1.0, **change}
    with pytest.raises(error, match=message):
        solve_trs(**arguments)
