"""L-SR1: the compact form against the plain recursion, after every push."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsolve import LSR1, UpdateStatus
from tests.strategies import log_uniform, orthogonal, pair_stream, pair_streams, seeds, signed
from tests.tolerances import EPS, compact_tolerance

CONDITION_LIMIT = 1e6
"""Above it the recursion and the compact form both lose more digits than the comparison needs."""


def recursion(pairs, gamma, n):
    """Return the SR1 matrix of `pairs`, oldest first, and the condition of its formation."""
    B, growth = gamma * np.eye(n), 1.0
    for s, y in pairs:
        r = y - B @ s
        B = B + np.outer(r, r) / (r @ s)
        growth = max(growth, np.linalg.norm(r) * np.linalg.norm(s) / abs(r @ s))
        growth = max(growth, np.linalg.norm(B, 2) / abs(gamma))
    return B, growth


def push(B, stream):
    """Offer the pairs of a stream and yield after each the pairs that B holds."""
    held = []
    for s, y in stream:
        if B.update(s, y).stored:
            held = [*held, (s, y)][-B.n_pairs :]
        yield held


@given(pair_streams(kind="quadratic"), signed(log_uniform(1e-2, 1e2)))
def test_equals_recursion_after_every_push(stream, relative_gamma):
    gamma = relative_gamma * np.linalg.norm(stream.hessian, 2)
    B = LSR1(stream.n, memory=stream.memory, gamma=gamma)
    for held in push(B, stream):
        expected, growth = recursion(held, gamma, stream.n)
        if growth > CONDITION_LIMIT:
            continue
        size = np.linalg.norm(expected, 2) + abs(gamma)
        tolerance = compact_tolerance(growth * inner_condition(B))
        assert np.abs(B.to_dense() - expected).max() <= tolerance * size


@pytest.mark.parametrize("memory", [1, 2, 3, 5])
def test_every_ring_offset(memory):
    stream = pair_stream("quadratic", n=9, memory=memory, length=4 * memory, seed=3)
    B = LSR1(9, memory=memory, gamma=40.0)
    counts = []
    for held in push(B, stream):
        expected, growth = recursion(held, 40.0, 9)
        assert growth < CONDITION_LIMIT
        np.testing.assert_allclose(
            B.to_dense(), expected, rtol=0, atol=compact_tolerance(growth) * 100
        )
        counts.append(B.n_pairs)
    assert counts[:memory] == list(range(1, memory + 1))
    assert set(counts[memory:]) == {memory}


@given(pair_streams())
def test_newest_secant_equation(stream):
    """A stored pair is satisfied as well as the compact form is conditioned."""
    B = LSR1(stream.n, memory=stream.memory)
    for s, y in stream:
        if B.update(s, y).stored:
            size = np.linalg.norm(y) + B.spectrum().scale * np.linalg.norm(s)
            assert np.linalg.norm(B @ s - y) <= 100 * EPS * inner_condition(B) * size


@given(pair_streams(), seeds())
def test_surface_agrees_with_dense(stream, seed):
    B = LSR1(stream.n, memory=stream.memory)
    v = np.random.default_rng(seed).standard_normal(stream.n)
    for s, y in stream:
        B.update(s, y)
        dense = B.to_dense()
        scale = B.spectrum().scale
        amplification = inner_condition(B)
        atol = 100 * stream.n * EPS * amplification * scale
        np.testing.assert_allclose(B @ v, dense @ v, atol=atol * np.linalg.norm(v), rtol=0)
        np.testing.assert_allclose(B.diagonal(), dense.diagonal(), atol=atol, rtol=0)
        form = v @ dense @ v
        assert abs(B.quadratic_form(v) - form) <= atol * (v @ v)
        np.testing.assert_allclose(dense, dense.T, atol=atol, rtol=0)


def inner_condition(B):
    weights = np.abs(B._inner.weights)
    return weights.max() / weights.min() if len(weights) else 1.0


@given(pair_streams())
def test_spectrum_equals_dense_eigenvalues(stream):
    B = LSR1(stream.n, memory=stream.memory)
    for s, y in stream:
        B.update(s, y)
    spectrum = B.spectrum()
    assert len(spectrum.eigenvalues) <= min(stream.n, B.n_pairs)
    eigenvalues = np.append(spectrum.eigenvalues, np.full(spectrum.complement_dim, B.gamma))
    dense = np.linalg.eigvalsh(B.to_dense())
    # A direction is dropped from the basis where its squared length is rounding error: what B does
    # to it is known to the square root of eps, relative to the scale of B.
    atol = np.sqrt(EPS) * inner_condition(B) * spectrum.scale
    np.testing.assert_allclose(np.sort(eigenvalues), dense, atol=atol, rtol=0)


@given(pair_streams(kind="quadratic"), st.floats(-2.0, 2.0))
def test_solve_inverts(stream, shift):
    B = LSR1(stream.n, memory=stream.memory)
    for s, y in stream:
        B.update(s, y)
    spectrum = B.spectrum()
    shift = shift * spectrum.norm
    nearest = np.abs(spectrum.all_eigenvalues + shift).min()
    b = np.arange(1.0, stream.n + 1)
    if nearest <= 1e-6 * spectrum.scale:
        return
    x = B.solve(b, shift)
    residual = np.linalg.norm(B @ x + shift * x - b)
    size = np.linalg.norm(b) + (spectrum.scale + abs(shift)) * np.linalg.norm(x)
    assert residual <= 1e-8 * inner_condition(B) * size


def test_refinement_takes_off_half_of_the_residual():
    """Steps that hardly turn, and a gamma far from the curvature: the first solution is poor."""
    ratios = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(5, 60))
        A = rng.standard_normal((n, n))
        A, b, s = A + A.T, rng.standard_normal(n), rng.standard_normal(n)
        B = LSR1(n, memory=4, gamma=10 ** rng.uniform(-4, 4))
        for _ in range(8):
            s = s + 10 ** rng.uniform(-6, 0) * rng.standard_normal(n)
            B.update(s, A @ s)
        residuals = [np.linalg.norm(b - B @ x) for x in (B.solve(b), B.spectrum().solve(b))]
        ratios.append(residuals[0] / residuals[1])
    assert np.median(ratios) < 0.75


def test_solve_of_a_singular_matrix():
    B = LSR1(3, gamma=2.0)
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        B.solve(np.ones(3), shift=-2.0)


@pytest.mark.parametrize(
    ("s", "y", "status"),
    [
        ([0.0, 0.0], [1.0, 0.0], UpdateStatus.ZERO_STEP),
        ([1.0, 0.0], [np.nan, 0.0], UpdateStatus.NON_FINITE),
        ([np.inf, 0.0], [1.0, 0.0], UpdateStatus.NON_FINITE),
        ([1e200, 0.0], [1e200, 0.0], UpdateStatus.NON_FINITE),
        ([1e-200, 0.0], [1.0, 0.0], UpdateStatus.NON_FINITE),
        ([1.0, 0.0], [3.0, 0.0], UpdateStatus.SATISFIED),
        ([1.0, 0.0], [3.0, 5.0], UpdateStatus.SMALL_DENOMINATOR),
    ],
)
def test_refusals(s, y, status):
    B = LSR1(2, gamma=3.0)
    assert B.update(np.array(s), np.array(y)) is status
    assert not status.stored
    assert status.value
    assert B.n_pairs == 0
    np.testing.assert_array_equal(B.to_dense(), 3.0 * np.eye(2))


@pytest.mark.parametrize(("cosine", "stored"), [(1.5e-8, True), (0.7e-8, False)])
def test_least_denominator(cosine, stored):
    """The published constant, 1e-8, for the cosine of s and y - Bs."""
    y = 3.0 * np.eye(2)[0] + np.array([cosine, 1.0])
    assert LSR1(2, gamma=3.0).update(np.array([1.0, 0.0]), y).stored == stored


def test_refused_pair_changes_nothing():
    stream = pair_stream("quadratic", n=5, memory=3, length=6, seed=1)
    B = LSR1(5, memory=3, gamma="window-max")
    for s, y in stream:
        B.update(s, y)
    before, gamma = B.to_dense(), B.gamma
    s = stream.S[-1]
    assert B.update(s, B @ s) is UpdateStatus.SATISFIED
    assert B.update(0 * s, s) is UpdateStatus.ZERO_STEP
    np.testing.assert_array_equal(B.to_dense(), before)
    assert B.gamma == gamma


def test_decision_is_taken_after_eviction():
    """A pair that only the pair about to leave makes useful is refused, not stored as 0 / 0."""
    e = np.eye(2)
    B = LSR1(2, memory=1, gamma=2.0)
    assert B.update(e[0], np.array([5.0, 1.0])).stored
    s, y = e[1], 2.0 * e[1]
    # Against the present memory the residual y - Bs is far from zero ...
    assert np.linalg.norm(y - B @ s) > 0.3
    # ... but without the old pair, B = 2 I satisfies the equation already.
    assert B.update(s, y) is UpdateStatus.SATISFIED
    np.testing.assert_allclose(B @ e[0], [5.0, 1.0], rtol=4 * EPS)


@pytest.mark.parametrize("scale", [1e-8, 1e-6, 1.0, 1e8])
def test_pair_test_does_not_depend_on_the_unit_of_x(scale):
    """The reference MATLAB code multiplies by the norms in its first pair test."""
    B = LSR1(3, gamma=1.0)
    assert B.update(scale * np.array([1.0, 2.0, 0.0]), scale * np.array([3.0, 0.0, 1.0])).stored


@given(pair_streams(), st.integers(-20, 20), st.integers(-20, 20))
def test_scaling_s_and_y_scales_the_matrix(stream, power_s, power_y):
    """With powers of two nothing is rounded differently: decisions and products are the same.

    That is, where sums are added up in the same order.  On some processors the order depends on
    where a vector begins in memory, so both matrices get vectors of their own.
    """
    S, Y = 2.0**power_s, 2.0**power_y
    plain = LSR1(stream.n, memory=stream.memory, initial_gamma=1.0)
    scaled = LSR1(stream.n, memory=stream.memory, initial_gamma=Y / S)
    v = np.arange(1.0, stream.n + 1)
    for s, y in stream:
        assert plain.update(1.0 * s, 1.0 * y) is scaled.update(S * s, Y * y)
        np.testing.assert_array_equal((scaled @ v) * (S / Y), plain @ v)


@given(pair_streams(kind="quadratic"), seeds())
def test_orthogonal_invariance(stream, seed):
    Q = orthogonal(stream.n, seed)
    plain, turned = (LSR1(stream.n, memory=stream.memory) for _ in range(2))
    for s, y in stream:
        if plain.update(s, y) is not turned.update(Q @ s, Q @ y):
            return  # a decision at the edge of rounding
    size = plain.spectrum().scale * max(inner_condition(plain), inner_condition(turned))
    difference = Q @ plain.to_dense() @ Q.T - turned.to_dense()
    assert np.abs(difference).max() <= 1e4 * stream.n * EPS * size


@pytest.mark.parametrize("kind", ["duplicates", "parallel", "near_dependent", "shrinking"])
@pytest.mark.parametrize(("n", "memory"), [(1, 3), (3, 3), (3, 8), (20, 5)])
def test_degenerate_streams_keep_a_basis(kind, n, memory):
    for seed in range(5):
        B = LSR1(n, memory=memory)
        for s, y in pair_stream(kind, n, memory, length=4 * memory, seed=seed):
            B.update(s, y)
            spectrum = B.spectrum()
            assert np.isfinite(spectrum.eigenvalues).all()
            r = len(spectrum.eigenvalues)
            U = np.array([spectrum.lift(e, 0.0, s) for e in np.eye(r)]).reshape(r, n)
            assert r <= n
            # Rounding of the vectors themselves, amplified by the dependence that is let through.
            np.testing.assert_allclose(U @ U.T, np.eye(r), atol=1e-6)


def test_columns_of_very_different_scale():
    rng = np.random.default_rng(4)
    H = np.diag(np.linspace(-3.0, 5.0, 8))
    B = LSR1(8, memory=4, gamma=7.0)
    for scale in (1.0, 1e-8, 1e8, 1e-4):
        s = scale * rng.standard_normal(8)
        assert B.update(s, H @ s).stored
    dense = B.to_dense()
    eigenvalues = np.sort(np.append(B.spectrum().eigenvalues, [B.gamma] * 4))
    np.testing.assert_allclose(eigenvalues, np.linalg.eigvalsh(dense), rtol=1e-10)


def test_reset():
    B = LSR1(3, memory=2, initial_gamma=5.0)
    B.update(np.array([1.0, 0.0, 1.0]), np.array([2.0, 1.0, 0.0]))
    B.reset()
    assert (B.n_pairs, B.gamma) == (0, 5.0)
    np.testing.assert_array_equal(B.to_dense(), 5.0 * np.eye(3))
    B.reset(gamma=-2.0)
    np.testing.assert_array_equal(B @ np.ones(3), -2.0 * np.ones(3))


def test_float32_vectors_with_float64_algebra():
    stream = pair_stream("quadratic", n=50, memory=5, length=12, seed=7)
    narrow = LSR1(50, memory=5, gamma=3.0, dtype=np.float32)
    wide = LSR1(50, memory=5, gamma=3.0)
    for s, y in stream:
        s, y = s.astype(np.float32), y.astype(np.float32)
        assert narrow.update(s, y) is wide.update(s.astype(float), y.astype(float))
    # The pairs are the same numbers, so the host algebra is the same to float64 rounding.
    np.testing.assert_allclose(
        narrow.spectrum().eigenvalues, wide.spectrum().eigenvalues, rtol=1e-9
    )
    product = narrow @ stream.S[0].astype(np.float32)
    assert product.dtype == np.float32


def test_array_libraries(xp):
    stream = pair_stream("quadratic", n=6, memory=3, length=7, seed=2)
    host = LSR1(6, memory=3)
    there = LSR1(6, memory=3, like=xp.asarray(stream.S[0]))
    for s, y in stream:
        assert there.update(xp.asarray(s), xp.asarray(y)) is host.update(s, y)
    assert there.gamma == host.gamma
    v = xp.asarray(stream.S[0])
    product = there @ v
    assert product.dtype == v.dtype
    assert getattr(product, "device", None) == getattr(v, "device", None)
    np.testing.assert_allclose(there.to_dense(), host.to_dense(), atol=1e-12)
    np.testing.assert_allclose(
        there.spectrum().eigenvalues, host.spectrum().eigenvalues, rtol=1e-12
    )


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"n": 0}, ValueError, "n must be an integer >= 1"),
        ({"n": 2.5}, TypeError, "n must be an integer"),
        ({"n": 2, "memory": 0}, ValueError, "memory must be an integer >= 1"),
        ({"n": 2, "memory": True}, TypeError, "memory must be an integer"),
        ({"n": 2, "gamma": 0.0}, ValueError, "gamma must be finite and not zero"),
        ({"n": 2, "gamma": "largest"}, ValueError, "window-max"),
        ({"n": 2, "gamma": []}, TypeError, "rule's name"),
        ({"n": 2, "skip": 2.0}, ValueError, "skip"),
    ],
)
def test_wrong_arguments(kwargs, error, message):
    with pytest.raises(error, match=message):
        LSR1(**kwargs)


def test_wrong_vectors():
    B = LSR1(3)
    with pytest.raises(ValueError, match=r"s must have shape \(3,\), got \(2,\)"):
        B.update(np.ones(2), np.ones(3))
    with pytest.raises(TypeError, match="complex"):
        B.matvec(np.ones(3, dtype=complex))
    np.testing.assert_array_equal(B.matvec([1, 2, 3]), [1.0, 2.0, 3.0])


def test_rescaling_drops_pairs_that_become_singular():
    # With A = diag(4, 1) the first pair is y = gamma s: its entry of the inner matrix is zero.
    first, newest = np.eye(2)
    B = LSR1(2, memory=2, gamma=1.0)
    assert B.update(first, 4.0 * first).stored
    assert B.update(newest, 3.0 * newest).stored
    B.rescale(np.array([2.0, 1.0]))
    assert B.n_pairs == 1
    np.testing.assert_allclose(B.to_dense(), np.diag([1.0, 3.0]))
    alone = LSR1(2, memory=2, gamma=1.0)
    assert alone.update(first, 4.0 * first).stored
    alone.rescale(np.array([2.0, 1.0]))
    assert alone.n_pairs == 0
    np.testing.assert_array_equal(alone.to_dense(), np.eye(2))


def test_rescaling_keeps_gamma_where_the_rule_has_none():
    proposed = iter([2.0, np.nan])
    B = LSR1(2, memory=2, gamma=lambda blocks, ratios, current: next(proposed))
    assert B.update(np.eye(2)[0], 5.0 * np.eye(2)[0]).stored
    B.rescale(np.array([2.0, 1.0]))
    assert (B.gamma, B.n_pairs) == (2.0, 1)
    np.testing.assert_allclose(B.to_dense(), np.diag([1.25, 2.0]))
