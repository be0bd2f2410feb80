"""The inverse form of L-SR1: against the plain recursion, and against the direct form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsolve import LSR1, UpdateStatus
from qnsolve.quasi_newton.inverse import InverseLSR1
from qnsolve.quasi_newton.spectrum import FAST
from qnsolve.quasi_newton.tracking import TrackedGradient
from tests.strategies import log_uniform, pair_stream, pair_streams, seeds, signed
from tests.tolerances import EPS, compact_tolerance

CONDITION_LIMIT = 1e6
"""Above it the recursion and the compact form both lose more digits than the comparison needs."""


def recursion(pairs, gamma, n):
    """Return the inverse SR1 matrix of `pairs`, oldest first, and the condition of its making."""
    H, growth = np.eye(n) / gamma, 1.0
    for s, y in pairs:
        r = s - H @ y
        H = H + np.outer(r, r) / (r @ y)
        growth = max(growth, np.linalg.norm(r) * np.linalg.norm(y) / abs(r @ y))
        growth = max(growth, np.linalg.norm(H, 2) * abs(gamma))
    return H, growth


def push(H, stream):
    """Offer the pairs of a stream and yield after each the pairs that H holds."""
    held = []
    for s, y in stream:
        if H.update(s, y).stored:
            held = [*held, (s, y)][-H.n_pairs :]
        yield held


def inner_condition(H):
    """Return 1 over the least eigenvalue of the inner matrix, its entries bounded by 1.

    They have the rounding error of the bound even where all of them are small: after a pair whose
    own y'y / s'y is gamma, so that y'(s - H0 y) = 0, comes one that is nearly the same.
    """
    if not H.n_pairs:
        return 1.0
    blocks = H.pairs.blocks()
    M = np.triu(blocks.SY) + np.triu(blocks.SY, 1).T - blocks.YY / H.gamma
    scale = np.sqrt(blocks.y_norms * (blocks.s_norms + blocks.y_norms / abs(H.gamma)))
    return 1.0 / np.abs(np.linalg.eigvalsh(M / np.outer(scale, scale))).min()


@given(pair_streams(kind="quadratic"), signed(log_uniform(1e-2, 1e2)))
def test_equals_recursion_after_every_push(stream, relative_gamma):
    gamma = relative_gamma * np.linalg.norm(stream.hessian, 2)
    H = InverseLSR1(stream.n, memory=stream.memory, gamma=gamma)
    for held in push(H, stream):
        expected, growth = recursion(held, gamma, stream.n)
        if growth > CONDITION_LIMIT:
            continue
        size = np.linalg.norm(expected, 2) + abs(1.0 / gamma)
        tolerance = compact_tolerance(growth * inner_condition(H))
        assert np.abs(H.to_dense() - expected).max() <= tolerance * size


@pytest.mark.parametrize("memory", [1, 2, 3, 5])
def test_every_ring_offset(memory):
    stream = pair_stream("quadratic", n=9, memory=memory, length=4 * memory, seed=3)
    H = InverseLSR1(9, memory=memory, gamma=0.02)
    counts = []
    for held in push(H, stream):
        expected, growth = recursion(held, 0.02, 9)
        assert growth < CONDITION_LIMIT
        size = np.linalg.norm(expected, 2)
        tolerance = compact_tolerance(growth * inner_condition(H))
        np.testing.assert_allclose(H.to_dense(), expected, rtol=0, atol=tolerance * size)
        counts.append(H.n_pairs)
    assert counts[:memory] == list(range(1, memory + 1))
    assert set(counts[memory:]) == {memory}


def direct_condition(B):
    weights = np.abs(B._inner.weights)
    return weights.max() / weights.min()


@given(pair_streams(kind="quadratic"), signed(log_uniform(1e-2, 1e2)))
def test_is_the_inverse_of_the_direct_form(stream, relative_gamma):
    gamma = relative_gamma * np.linalg.norm(stream.hessian, 2)
    B = LSR1(stream.n, memory=stream.memory, gamma=gamma)
    H = InverseLSR1(stream.n, memory=stream.memory, gamma=gamma)
    for s, y in stream:
        if not B.update(s, y) is H.update(s, y) is UpdateStatus.STORED or B.n_pairs != H.n_pairs:
            return  # refused by one of the two tests: from here on they hold different pairs
        dense_B, dense_H = B.to_dense(), H.to_dense()
        condition = np.linalg.norm(dense_B, 2) * np.linalg.norm(dense_H, 2)
        growth = condition * inner_condition(H) * direct_condition(B)
        if growth <= CONDITION_LIMIT:
            product = dense_B @ dense_H
            np.testing.assert_allclose(
                product, np.eye(stream.n), rtol=0, atol=compact_tolerance(growth)
            )


@given(pair_streams())
def test_newest_secant_equation(stream):
    H = InverseLSR1(stream.n, memory=stream.memory)
    for s, y in stream:
        if H.update(s, y).stored:
            # The moduli of all that H y adds up; they can be far larger than s.
            half = np.abs(H._inner.half).T @ H._columns().scale
            low_rank = float(half @ (np.abs(H._inner.weights) * half))
            size = np.linalg.norm(s) + (low_rank + 1.0 / abs(H.gamma)) * np.linalg.norm(y)
            assert np.linalg.norm(H @ y - s) <= 100 * EPS * size


@given(pair_streams())
def test_spectrum_equals_dense_eigenvalues(stream):
    H = InverseLSR1(stream.n, memory=stream.memory)
    for s, y in stream:
        H.update(s, y)
    spectrum = H.spectrum()
    eigenvalues = np.append(spectrum.eigenvalues, np.full(spectrum.complement_dim, 1.0 / H.gamma))
    # As for LSR1: what is dropped from the basis is known to the square root of eps.
    atol = np.sqrt(EPS) * inner_condition(H) * spectrum.scale
    dense = np.linalg.eigvalsh(H.to_dense())
    np.testing.assert_allclose(np.sort(eigenvalues), dense, atol=atol, rtol=0)


@given(pair_streams(), seeds(), st.booleans())
def test_direction_is_one_of_descent(stream, seed, keep):
    """Also for matrices that are indefinite, negative definite, or huge."""
    H = InverseLSR1(stream.n, memory=stream.memory)
    g = np.random.default_rng(seed).standard_normal(stream.n)
    for s, y in stream:
        H.update(s, y)
        direction = H.descent_direction(TrackedGradient.of(g, H.pairs), keep=keep)
        assert g @ direction.vector < 0.0
        assert direction.slope == pytest.approx(g @ direction.vector)
        assert direction.length == pytest.approx(np.linalg.norm(direction.vector))


@given(pair_streams(kind="quadratic"), seeds(), st.booleans())
def test_direction_against_the_dense_matrix(stream, seed, keep):
    """Negative eigenvalues give way to that of H0; otherwise, or if it descends, -Hg is kept."""
    H = InverseLSR1(stream.n, memory=stream.memory)
    g = np.random.default_rng(seed).standard_normal(stream.n)
    for s, y in stream:
        H.update(s, y)
    lam, U = np.linalg.eigh(H.to_dense())
    if inner_condition(H) > 1e3 or np.abs(lam).min() < 1e-6 * np.abs(lam).max():
        return  # the sign of an eigenvalue, or its vector, is not known well enough
    direction = H.descent_direction(TrackedGradient.of(g, H.pairs), keep=keep)
    plain, changed = -U @ (lam * (U.T @ g)), -U @ (np.where(lam > 0, lam, 1 / H.gamma) * (U.T @ g))
    expected = changed if direction.modified else plain
    assert direction.modified or keep or (lam > 0).all()
    if direction.modified:
        assert (lam < 0).any()
        assert not keep or g @ plain > -1e-6 * np.linalg.norm(g) * np.linalg.norm(plain)
    # The basis is orthonormal to FAST, in each of some entries.  What is kept and what is replaced
    # mix by that over the gap between them.  1 / gamma, which enters every eigenvalue and replaces
    # the negative ones, may exceed them all.
    largest, mixed = np.abs(lam).max(), 0.0
    if direction.modified and (lam > 0).any():
        mixed = largest / (lam[lam > 0].min() - lam[lam < 0].max())
    atol = 10 * FAST * (1 + mixed) * max(largest, 1.0 / abs(H.gamma)) * np.linalg.norm(g)
    np.testing.assert_allclose(direction.vector, expected, rtol=0, atol=atol)


def test_default_memory():
    assert InverseLSR1(3).memory == 10


def test_direction_of_a_singular_matrix():
    # H = diag(1, 0) exactly: along the second axis H' has 1 / gamma in place of 0.
    H = InverseLSR1(2, gamma=1.0)
    assert H.update(np.array([1.0, 0.0]), np.array([1.0, 1.0])).stored
    assert (H.spectrum().all_eigenvalues == 0.0).any()
    direction = H.descent_direction(TrackedGradient.of(np.array([3.0, 2.0]), H.pairs))
    assert direction.modified
    np.testing.assert_allclose(direction.vector, [-3.0, -2.0], rtol=4 * EPS)


def test_direction_that_is_orthogonal_to_the_gradient_to_rounding():
    # H = diag(1e18, 1): the cosine of the angle between -Hg and -g is 2e-9.
    H = InverseLSR1(2, gamma=1.0)
    assert H.update(np.array([1e18, 0.0]), np.array([1.0, 0.0])).stored
    g = np.array([1.0, 1e9])
    direction = H.descent_direction(TrackedGradient.of(g, H.pairs))
    np.testing.assert_array_equal(direction.vector, -g)
    assert (direction.slope, direction.length) == (-(g @ g), np.linalg.norm(g))
    assert direction.modified


@pytest.mark.parametrize(
    ("s", "y", "status"),
    [
        ([0.0, 0.0], [1.0, 0.0], UpdateStatus.ZERO_STEP),
        ([1.0, 0.0], [0.0, 0.0], UpdateStatus.SMALL_DENOMINATOR),
        ([1.0, 0.0], [np.nan, 0.0], UpdateStatus.NON_FINITE),
        ([3.0, 0.0], [1.0, 0.0], UpdateStatus.SATISFIED),
        ([3.0, 5.0], [1.0, 0.0], UpdateStatus.SMALL_DENOMINATOR),
    ],
)
def test_refusals(s, y, status):
    H = InverseLSR1(2, gamma=1.0 / 3.0)
    assert H.update(np.array(s), np.array(y)) is status
    assert H.n_pairs == 0
    np.testing.assert_allclose(H.to_dense(), 3.0 * np.eye(2), rtol=EPS)


def test_gamma_is_that_of_the_direct_form():
    stream = pair_stream("quadratic", n=8, memory=4, length=10, seed=5)
    B, H = (kind(8, memory=4, gamma="eigenvalue") for kind in (LSR1, InverseLSR1))
    for s, y in stream:
        assert B.update(s, y).stored and H.update(s, y).stored
        assert H.gamma == pytest.approx(B.gamma, rel=1e-12)


def test_first_pair_that_meets_its_own_gamma_is_stored_with_the_one_before():
    """With H0 = (s'y / y'y) I the denominator y'(s - H0 y) is zero, whatever the pair."""
    H = InverseLSR1(2, gamma="latest", initial_gamma=3.0)
    assert H.update(np.array([1.0, 0.0]), np.array([1.0, 1.0])).stored
    assert H.gamma == 3.0


def test_rule_sees_gamma_and_not_its_inverse():
    H = InverseLSR1(2, gamma="smoothed", initial_gamma=3.0)
    assert H.update(np.array([1.0, 0.0]), np.array([1.0, 1.0])).stored
    assert H.gamma == 3.0
    assert H.update(np.array([0.0, 1.0]), np.array([1.0, 5.0])).stored
    assert H.gamma == pytest.approx(np.sqrt(3.0 * 26.0 / 5.0), rel=4 * EPS)


def test_reset():
    H = InverseLSR1(3, memory=2, initial_gamma=5.0)
    H.update(np.array([1.0, 0.0, 1.0]), np.array([2.0, 1.0, 0.0]))
    H.reset()
    assert (H.n_pairs, H.gamma) == (0, 5.0)
    H.reset(gamma=-2.0)
    np.testing.assert_array_equal(H @ np.ones(3), -0.5 * np.ones(3))


@pytest.mark.parametrize("gamma", [0.0, np.inf, np.nan])
def test_wrong_gamma(gamma):
    for kwargs in ({"gamma": gamma}, {"initial_gamma": gamma}):
        with pytest.raises(ValueError, match="gamma must be finite and not zero"):
            InverseLSR1(3, **kwargs)
    with pytest.raises(ValueError, match="gamma must be finite and not zero"):
        InverseLSR1(3).reset(gamma=gamma)


def test_array_libraries(xp):
    stream = pair_stream("quadratic", n=6, memory=3, length=7, seed=2)
    host = InverseLSR1(6, memory=3)
    there = InverseLSR1(6, memory=3, like=xp.asarray(stream.S[0]))
    for s, y in stream:
        assert there.update(xp.asarray(s), xp.asarray(y)) is host.update(s, y)
    np.testing.assert_allclose(there.to_dense(), host.to_dense(), atol=1e-12)
    g = stream.Y[0]
    theirs = there.descent_direction(TrackedGradient.of(xp.asarray(g), there.pairs))
    ours = host.descent_direction(TrackedGradient.of(g, host.pairs))
    assert theirs.modified == ours.modified
    assert theirs.slope == pytest.approx(ours.slope)
