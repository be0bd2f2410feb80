"""Matrices on the free variables: the Gram matrix that is kept, and the secant equation there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsolve import LSR1, HybridLSR1
from qnsolve.quasi_newton.faces import FreeRows
from qnsolve.quasi_newton.spectrum import FAST

EPS = float(np.finfo(float).eps)


def stream(n, count, seed, spread=3.0):
    """Pairs of a quadratic, and its Hessian."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    H = (Q * 10.0 ** rng.uniform(0.0, spread, n)) @ Q.T
    S = rng.normal(size=(count, n))
    return [(s, H @ s) for s in S], H


@given(
    st.integers(14, 40),
    st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40),
    st.integers(0, 2**32 - 1),
)
def test_the_gram_matrix_that_is_kept_is_the_one_made_anew(n, events, seed):
    """Whatever changes: the free variables, the pairs, or both."""
    pairs, _ = stream(n, len(events), seed)
    rng = np.random.default_rng(seed)
    B, rows = HybridLSR1(n, memory=3), FreeRows()
    free = rng.random(n) < 0.7
    largest = 0.0
    for (s, y), (offer, flips) in zip(pairs, events, strict=True):
        if offer and B.update(s, y).stored:
            rows.stored(B.pairs, s, y)
        free = free.copy()
        flipped = rng.choice(n, flips, replace=False)
        free[flipped] = ~free[flipped]
        size = int(free.sum())
        face = rows.face(B.pairs, free, size)
        fresh = B.pairs.rows[:, free] @ B.pairs.rows[:, free].T
        assert (face.space.size, face.gram.shape) == (size, fresh.shape)
        if len(fresh):
            largest = max(largest, B.pairs.gram.diagonal().max())
            # One rounding for each change since the last one that was made anew, at most 2 n.
            np.testing.assert_allclose(face.gram, fresh, rtol=0, atol=4.0 * n * EPS * largest)


@pytest.mark.parametrize("n", [5, 30])  # on the unit vectors, and on a basis of the pairs
@given(seed=st.integers(0, 2**32 - 1))
def test_the_newest_pair_holds_on_a_face(n, seed):
    """B~ s_F = y_F - (B s_A)_F, B the matrix of all variables: what A contributes is taken off."""
    pairs, _ = stream(n, 4, seed, spread=1.0)
    rng = np.random.default_rng(seed)
    B = HybridLSR1(n, memory=6, negative="keep")
    for s, y in pairs:
        s = np.where(rng.random(n) < 0.5, s, 0.0) if seed % 2 else s
        B.update(s, y)
    free = rng.random(n) < 0.6
    free[:2] = True, False
    face = B.on_face(free, int(free.sum()), FreeRows())
    s_F, s_A = np.where(free, s, 0.0), np.where(free, 0.0, s)
    wanted = np.where(free, y - B.spectrum(FAST) @ s_A, 0.0)
    par, _ = face.project(s_F)
    found = face.lift(face.eigenvalues * par, face.gamma, s_F, par)
    residual = np.linalg.norm(found - wanted)
    v = wanted - found
    # SR1 leaves a pair out whose denominator is small: the test of the matrix itself.
    skipped = abs(v @ s_F) <= 1.01e-2 * np.linalg.norm(v) * np.linalg.norm(s_F)
    scale = np.abs(face.all_eigenvalues).max() * np.linalg.norm(s_F) + np.linalg.norm(wanted)
    assert residual <= 1e-5 * scale or skipped


@given(st.integers(0, 2**32 - 1), st.integers(2, 20))
def test_other_matrices_are_cut(seed, n):
    """Their rows and columns of free variables, no more."""
    pairs, _ = stream(n, 4, seed, spread=1.0)
    B = LSR1(n, memory=4)
    for s, y in pairs:
        B.update(s, y)
    free = np.random.default_rng(seed).random(n) < 0.6
    free[0] = True
    face = B.on_face(free, int(free.sum()), FreeRows())
    wanted = np.linalg.eigvalsh(B.to_dense()[np.ix_(free, free)])
    found = np.append(face.eigenvalues, np.full(face.complement_dim, face.gamma))
    scale = np.abs(np.linalg.eigvalsh(B.to_dense())).max() + abs(B.gamma)
    np.testing.assert_allclose(np.sort(found), wanted, rtol=0, atol=1e-5 * scale)


def test_a_face_of_all_variables_is_the_matrix():
    pairs, _ = stream(20, 3, 0)
    B = HybridLSR1(20, memory=3)
    for s, y in pairs:
        B.update(s, y)
    assert B.on_face(np.ones(20, dtype=bool), 20, FreeRows()).basis is B.spectrum(FAST).basis


def test_without_pairs_there_is_gamma():
    free = np.arange(20) < 7
    for B in (HybridLSR1(20, initial_gamma=3.0), LSR1(20, initial_gamma=3.0)):
        face = B.on_face(free, 7, FreeRows())
        assert (face.gamma, face.rank, face.complement_dim) == (3.0, 0, 7)
