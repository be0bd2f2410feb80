"""HybridLSR1: against the updates one by one on the full matrix, and what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qnsolve import LBFGS, HybridLSR1
from qnsolve.quasi_newton.hybrid import (
    FLOOR,
    LEAST_COSINE,
    LIMITED,
    SATISFIED,
    SMALL,
    SPANNING,
    regime_of,
    sr1_updates,
)
from qnsolve.quasi_newton.scaling import LengthRatio, Smoothed
from tests.strategies import log_uniform, orthogonal, pair_streams, seeds
from tests.tolerances import EPS, compact_tolerance

GAMMA = 0.7


def quadratic_pairs(n, length, seed, *, least=0.1):
    """Return pairs of a quadratic with eigenvalues from `least` to 10."""
    rng = np.random.default_rng(seed)
    U = orthogonal(n, seed)
    H = (U * np.append(least, 10 ** rng.uniform(-1, 1, n - 1))) @ U.T
    S = rng.standard_normal((length, n))
    return [(s, H @ s) for s in S]


def recursion(pairs, gamma, *, sweeps, re_applied, negative, skip=SPANNING.skip):
    """Return the hybrid matrix by updates one by one, and by how much they magnify rounding."""
    n = len(pairs[0][0])
    B, growth = gamma * np.eye(n), 1.0
    for _ in range(sweeps):
        for s, y in pairs:
            if s @ y > LEAST_COSINE * np.linalg.norm(s) * np.linalg.norm(y):
                Bs = B @ s
                B = B - np.outer(Bs, Bs) / (s @ Bs) + np.outer(y, y) / (s @ y)
                growth = max(growth, np.linalg.cond(B))
    bfgs = B
    for s, y in pairs[len(pairs) - re_applied :] if re_applied else []:
        v = y - B @ s
        if np.linalg.norm(v) <= SATISFIED * np.linalg.norm(y):
            continue
        cosine = abs(v @ s) / (np.linalg.norm(v) * np.linalg.norm(s))
        # On either side of a threshold one rounding error decides: no test of anything.
        assume(not 0.5 * skip < cosine < 2.0 * skip)
        assume(np.linalg.norm(v) > 1e-6 * np.linalg.norm(y))
        if cosine >= skip:
            B = B + np.outer(v, v) / (v @ s)
            # v v' / v's divides the rounding of v, once for v and once for v's, by the cosine.
            growth = max(growth, np.linalg.norm(B, 2) / gamma / cosine**2)
    lam, U = np.linalg.eigh(B)
    assume(np.abs(lam).min() > 1e-6 * np.abs(lam).max())
    s, y = pairs[-1]
    assume(abs(s @ y) > 1e-12 * np.linalg.norm(s) * np.linalg.norm(y))
    if negative is None:
        negative = "keep" if s @ y < 0.0 else regime_of(n).negative
    if lam[0] < 0.0 and negative == "drop":
        B = bfgs
    if lam[0] < 0.0 and negative == "reflect":
        B = (U * np.where(lam > 0.0, lam, np.maximum(-lam, FLOOR * gamma))) @ U.T
    return B, growth


@given(
    seeds(),
    st.sampled_from([None, "reflect", "drop", "keep"]),
    st.integers(1, 6),
    st.integers(0, 5),
    st.sampled_from([0.1, -3.0]),
)
def test_equals_the_updates_one_by_one_after_every_push(seed, negative, sweeps, re_applied, least):
    n, memory = 2 + seed % 9, 1 + seed % 5
    chosen = {"sweeps": sweeps, "re_applied": re_applied, "negative": negative}
    B = HybridLSR1(n, memory=memory, gamma=GAMMA, **chosen)
    held = []
    for s, y in quadratic_pairs(n, 3 * memory, seed, least=least):
        assert B.update(s, y).stored
        held = [*held, (s, y)][-memory:]
        chosen["re_applied"] = min(re_applied, len(held))
        expected, growth = recursion(held, GAMMA, **chosen)
        S = np.array(
            [s / np.linalg.norm(s) for s, _ in held] + [y / np.linalg.norm(y) for _, y in held]
        )
        independent = np.linalg.svd(S, compute_uv=False)[: min(n, len(S))]
        tolerance = compact_tolerance(growth / independent.min()) * np.linalg.norm(expected, 2)
        assert np.abs(B.to_dense() - expected).max() <= tolerance


@given(seeds())
def test_one_sweep_without_sr1_is_lbfgs(seed):
    n, memory = 2 + seed % 9, 1 + seed % 5
    plain = LBFGS(n, memory=memory, gamma=GAMMA)
    hybrid = HybridLSR1(n, memory=memory, gamma=GAMMA, sweeps=1, re_applied=0)
    for s, y in quadratic_pairs(n, 2 * memory, seed):
        plain.update(s, y), hybrid.update(s, y)
        dense = plain.to_dense()
        growth = np.linalg.cond(dense) ** 2
        np.testing.assert_allclose(
            hybrid.to_dense(), dense, rtol=0, atol=compact_tolerance(growth) * np.abs(dense).max()
        )


@given(pair_streams(), st.sampled_from(["reflect", "drop"]))
def test_is_positive_definite_whatever_the_pairs(stream, negative):
    B = HybridLSR1(stream.n, memory=stream.memory, negative=negative)
    for s, y in stream:
        B.update(s, y)
        assert B.spectrum().all_eigenvalues.min() > 0.0


@given(pair_streams(max_n=8))
def test_products_solutions_and_diagonal_are_those_of_the_dense_matrix(stream):
    B = HybridLSR1(stream.n, memory=stream.memory)
    for s, y in stream:
        B.update(s, y)
    dense, v = B.to_dense(), np.random.default_rng(0).standard_normal(stream.n)
    # U = W' C of nearly dependent rows is a difference of long vectors.
    spectrum, lengths = B.spectrum(), np.sqrt(B.pairs.gram.diagonal())
    growth = np.linalg.norm(lengths[:, None] * spectrum.coefficients, axis=0).max(initial=1.0)
    size = spectrum.norm
    tolerance = 1e2 * EPS * size * stream.n * growth * np.linalg.norm(v)
    np.testing.assert_allclose(dense, dense.T, rtol=0, atol=tolerance)
    np.testing.assert_allclose(B.diagonal(), dense.diagonal(), rtol=0, atol=tolerance)
    assert abs(B.quadratic_form(v) - v @ dense @ v) <= tolerance * np.linalg.norm(v)
    shift = 2.0 * size  # the newest pair may have made B indefinite
    x = B.solve(v, shift=shift)
    np.testing.assert_allclose(dense @ x + shift * x, v, rtol=0, atol=tolerance / size * stream.n)


@pytest.mark.parametrize(("n", "re_applied"), [(SMALL, 8), (SMALL + 1, 3)])
def test_pairs_that_are_re_applied_by_default(n, re_applied):
    """All of them up to n = 12, above only the newest three."""
    pairs = quadratic_pairs(n, 8, 0, least=-1.0)
    default, same, other = (
        HybridLSR1(n, memory=8, negative="keep", **options)
        for options in ({}, {"re_applied": re_applied}, {"re_applied": 8 + 3 - re_applied})
    )
    for s, y in pairs:
        for B in (default, same, other):
            B.update(s, y)
    np.testing.assert_array_equal(default.to_dense(), same.to_dense())
    assert np.abs(default.to_dense() - other.to_dense()).max() > 1e-3


def test_sr1_is_kept_where_the_matrix_is_positive_definite():
    """Dropping is for negative eigenvalues, not for those below gamma."""
    B, C = (HybridLSR1(6, memory=3, gamma=5.0, negative=what) for what in ("drop", "keep"))
    for s, y in quadratic_pairs(6, 6, 2):
        assert B.update(s, y).stored and C.update(s, y).stored
        least = C.spectrum().all_eigenvalues.min()
        if least > 0.0:
            np.testing.assert_array_equal(B.to_dense(), C.to_dense())
    assert 0.0 < least < 0.9 * B.gamma


def test_sr1_leaves_what_is_satisfied_to_rounding():
    """|v| is 1e-13 of |y| here and of |Bs|, and v's far from 0: only the size tells."""
    B, s = np.diag([1.0, 2.0, 3.0]), np.array([1.0, -1.0, 2.0])
    y = B @ s * (1.0 + 1e-13)
    S, Y = s[:, None], y[:, None]
    np.testing.assert_array_equal(sr1_updates(B, S, Y, SPANNING.skip), B)
    assert np.abs(sr1_updates(B, S, Y + 1e-9, SPANNING.skip) - B).max() > 0.0


def test_sweeps_approach_all_secant_equations():
    pairs = quadratic_pairs(30, 8, seed=3)
    S, Y = (np.array(vectors).T for vectors in zip(*pairs, strict=True))
    residuals = []
    for sweeps in (1, 2, 5, 20):
        B = HybridLSR1(30, memory=8, sweeps=sweeps, re_applied=0)
        for s, y in pairs:
            B.update(s, y)
        residuals.append(np.linalg.norm(B.to_dense() @ S - Y))
    assert residuals == sorted(residuals, reverse=True)
    assert residuals[-1] < 0.1 * residuals[0]


def test_newest_pair_is_satisfied():
    # By the last update of the last sweep, and by SR1 that leaves it as it is.
    for n in (5, 40):
        B = HybridLSR1(n, memory=6)
        for s, y in quadratic_pairs(n, 10, seed=n):
            B.update(s, y)
        np.testing.assert_allclose(B @ s, y, rtol=0, atol=1e-10 * np.linalg.norm(y))


@given(seeds(), st.integers(-100, 100), st.integers(-100, 100))
def test_units_do_not_matter(seed, log_s, log_y):
    plain, scaled = (HybridLSR1(6, memory=4) for _ in range(2))
    for s, y in quadratic_pairs(6, 6, seed, least=-1.0):
        plain.update(s, y)
        scaled.update(s * 2.0**log_s, y * 2.0**log_y)
    unit = 2.0 ** (log_y - log_s)
    np.testing.assert_allclose(
        scaled.spectrum().all_eigenvalues, unit * plain.spectrum().all_eigenvalues, rtol=1e-12
    )


def test_curvature_of_either_sign_is_stored():
    B = HybridLSR1(2, memory=3)
    assert B.update(np.array([1.0, 0.0]), np.array([-2.0, 0.0])).stored
    np.testing.assert_allclose(B.to_dense(), np.diag([-2.0, B.gamma]), atol=1e-14)
    reflected = HybridLSR1(2, memory=3, negative="reflect")
    reflected.update(np.array([1.0, 0.0]), np.array([-2.0, 0.0]))
    np.testing.assert_allclose(reflected.to_dense(), np.diag([2.0, 2.0]), atol=1e-14)


@pytest.mark.parametrize(("n", "left"), [(3, 2.0), (SMALL + 1, 1.0)])
def test_negative_curvature_is_kept_while_it_is_the_newest(n, left):
    B, e = HybridLSR1(n, memory=3), np.eye(n)
    B.update(e[0], -2.0 * e[0])
    assert B.spectrum().eigenvalues[0] == pytest.approx(-2.0, rel=16 * EPS)
    B.update(e[1], B.gamma * e[1])
    assert e[0] @ (B @ e[0]) == pytest.approx(left, rel=16 * EPS)


def test_a_gradient_that_does_not_change():
    B = HybridLSR1(3, memory=2)
    B.update(np.array([1.0, 0.0, 0.0]), np.array([3.0, 0.0, 0.0]))
    assert B.update(np.array([0.0, 1.0, 0.0]), np.zeros(3)).stored
    assert B.gamma == 3.0
    assert np.isfinite(B.to_dense()).all()


@given(log_uniform(1e-3, 1e3), log_uniform(1e-3, 1e3))
def test_gamma_is_smoothed(first, second):
    B = HybridLSR1(20, memory=3)
    e = np.eye(20)
    B.update(e[0], first * e[0])
    assert B.gamma == pytest.approx(first, rel=4 * EPS)
    B.update(e[1], second * e[1])
    assert B.gamma == pytest.approx(np.sqrt(first * second), rel=16 * EPS)
    B.update(e[2], -e[2])
    assert B.gamma == pytest.approx(np.sqrt(first * second), rel=16 * EPS)


def test_gamma_of_few_variables_is_a_ratio_of_lengths():
    B = HybridLSR1(3, memory=3)
    B.update(np.array([1.0, 0.0, 0.0]), np.array([0.0, -3.0, 4.0]))
    assert B.gamma == 5.0


def test_the_regime_is_chosen_by_the_number_of_variables_alone():
    assert (regime_of(SMALL), regime_of(SMALL + 1)) == (SPANNING, LIMITED)
    assert (SPANNING.gamma, LIMITED.gamma) == ("length-ratio", "smoothed")
    # A vector says how many there are, whatever n is.
    B = HybridLSR1(SMALL, like=np.zeros(SMALL + 1))
    assert B._regime == LIMITED


def test_rules_check_their_constants():
    with pytest.raises(ValueError, match=r"share must lie in \(0, 1\]"):
        Smoothed(share=0.0)
    assert LengthRatio() == LengthRatio()


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("sweeps", 0, ValueError, "an integer >= 1"),
        ("sweeps", 2.5, TypeError, "an integer"),
        ("re_applied", -1, ValueError, "an integer >= 0"),
        ("re_applied", True, TypeError, "an integer"),
        ("negative", "flip", ValueError, "reflect"),
        ("gamma", -1.0, ValueError, "finite and positive"),
    ],
)
def test_wrong_arguments_are_refused(name, value, error, message):
    with pytest.raises(error, match=message):
        HybridLSR1(3, **{name: value})


def test_array_libraries(xp):
    # With few variables the sweeps leave SR1 residuals of 1e-6, which magnify every rounding.
    pairs = quadratic_pairs(20, 8, 0, least=-1.0)
    host, there = HybridLSR1(20, memory=3), HybridLSR1(20, memory=3, like=xp.asarray(pairs[0][0]))
    for s, y in pairs:
        assert there.update(xp.asarray(s), xp.asarray(y)) is host.update(s, y)
    np.testing.assert_allclose(there.to_dense(), host.to_dense(), atol=1e-12)
