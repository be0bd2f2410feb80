"""L-BFGS: the compact form against the plain recursion, and positive definiteness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from qnsolve import LBFGS, UpdateStatus
from tests.strategies import log_uniform, orthogonal, pair_streams, seeds
from tests.tolerances import EPS, compact_tolerance


def recursion(pairs, gamma, n):
    """Return the BFGS matrix of `pairs`, oldest first, and the largest growth in forming it."""
    B, growth = gamma * np.eye(n), 1.0
    for s, y in pairs:
        Bs = B @ s
        B = B - np.outer(Bs, Bs) / (s @ Bs) + np.outer(y, y) / (s @ y)
        growth = max(growth, np.linalg.cond(B))
    return B, growth


def convex_pairs(n, length, seed):
    """Return pairs of a quadratic with eigenvalues from 0.1 to 10."""
    rng = np.random.default_rng(seed)
    U = orthogonal(n, seed)
    H = (U * 10 ** rng.uniform(-1, 1, n)) @ U.T
    S = rng.standard_normal((length, n))
    return [(s, H @ s) for s in S]


@given(seeds(), log_uniform(1e-2, 1e2))
def test_equals_recursion_after_every_push(seed, gamma):
    n, memory = 2 + seed % 9, 1 + seed % 5
    B = LBFGS(n, memory=memory, gamma=gamma)
    held = []
    for s, y in convex_pairs(n, 3 * memory, seed):
        if not B.update(s, y).stored:
            continue
        held = [*held, (s, y)][-B.n_pairs :]
        expected, growth = recursion(held, gamma, n)
        weights = np.abs(B._inner.weights)
        tolerance = compact_tolerance(growth * weights.max() / weights.min())
        size = np.linalg.norm(expected, 2)
        assert np.abs(B.to_dense() - expected).max() <= tolerance * size
        spectrum = B.spectrum()
        eigenvalues = np.append(spectrum.eigenvalues, np.full(spectrum.complement_dim, gamma))
        np.testing.assert_allclose(
            np.sort(eigenvalues), np.linalg.eigvalsh(expected), atol=1e2 * tolerance * size, rtol=0
        )
        np.testing.assert_allclose(B.diagonal(), expected.diagonal(), atol=tolerance * size, rtol=0)
        np.testing.assert_allclose(B @ s, y, atol=tolerance * np.linalg.norm(y) * growth, rtol=0)


@given(pair_streams())
def test_takes_only_positive_curvature(stream):
    B = LBFGS(stream.n, memory=stream.memory)
    for s, y in stream:
        status = B.update(s, y)
        cosine = (s @ y) / (np.linalg.norm(s) * np.linalg.norm(y))
        if status.stored:
            assert cosine > 1e-8
        elif status is UpdateStatus.SMALL_CURVATURE:
            assert cosine <= 1e-8 * (1 + 8 * stream.n * EPS)
    # Positive to rounding: an eigenvalue may be lost in the noise of the largest.
    weights = np.abs(B._inner.weights)
    condition = weights.max(initial=1.0) / weights.min(initial=1.0)
    assert B.spectrum().all_eigenvalues.min() >= -1e3 * EPS * condition * B.norm_bound()


def test_gamma_must_be_positive():
    with pytest.raises(ValueError, match="must be finite and positive"):
        LBFGS(3, gamma=-1.0)


def test_array_libraries(xp):
    pairs = convex_pairs(5, 6, 0)
    host, there = LBFGS(5, memory=3), LBFGS(5, memory=3, like=xp.asarray(pairs[0][0]))
    for s, y in pairs:
        assert there.update(xp.asarray(s), xp.asarray(y)) is host.update(s, y)
    np.testing.assert_allclose(there.to_dense(), host.to_dense(), atol=1e-12)
