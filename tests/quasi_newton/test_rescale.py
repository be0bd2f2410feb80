"""A matrix that goes over to other variables is the matrix of the pairs in these variables."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve import LBFGS, LSR1, HybridLSR1
from qnsolve.arrays import to_host
from tests.tolerances import EPS

N, PAIRS = 30, 6

RTOL = 1e4 * EPS
"""Of ||B||: the same algebra on Gram matrices of condition 1e3 that differ in rounding."""


def pairs(seed=0):
    rng = np.random.default_rng(seed)
    curvature = np.linspace(1.0, 20.0, N)
    for _ in range(PAIRS):
        s = rng.standard_normal(N)
        yield s, curvature * s


def factor(seed=1):
    return np.exp(np.random.default_rng(seed).standard_normal(N))


@pytest.mark.parametrize("matrix", [LSR1, LBFGS, HybridLSR1])
@pytest.mark.parametrize("memory", [4, 10])
def test_as_if_the_rescaled_pairs_had_been_offered(matrix, memory, xp):
    B = matrix(N, memory=memory, gamma="latest", like=xp.asarray(np.zeros(N)))
    fresh = matrix(N, memory=memory, gamma="latest")
    r = factor()
    for s, y in pairs():
        assert B.update(xp.asarray(s), xp.asarray(y)).stored
    for s, y in pairs():
        assert fresh.update(r * s, y / r).stored
    B.rescale(xp.asarray(r))
    assert B.gamma == pytest.approx(fresh.gamma, rel=64 * EPS)
    expected = fresh.to_dense()
    np.testing.assert_allclose(B.to_dense(), expected, rtol=0, atol=RTOL * fresh.norm_bound())
    # And it goes on from there.
    s, y = r * r[::-1], r
    assert B.update(xp.asarray(s), xp.asarray(y)).stored == fresh.update(s, y).stored
    v = np.ones(N)
    atol = RTOL * fresh.norm_bound() * np.sqrt(N)
    np.testing.assert_allclose(to_host(B @ xp.asarray(v)), fresh @ v, rtol=0, atol=atol)


def test_there_and_back():
    B, r = LSR1(N, memory=PAIRS), factor()
    for s, y in pairs():
        B.update(s, y)
    before = B.to_dense()
    B.rescale(r)
    B.rescale(1.0 / r)
    np.testing.assert_allclose(B.to_dense(), before, rtol=0, atol=RTOL * B.norm_bound())


def test_without_pairs_nothing_happens():
    B = LSR1(3, gamma=2.0)
    B.rescale(np.ones(3))
    assert (B.to_dense() == 2.0 * np.eye(3)).all()


def test_steps_that_become_parallel_to_rounding():
    e = np.eye(3)
    B = LSR1(3, gamma=1.0)
    assert B.update(e[0] + e[1], 3.0 * e[0] + 3.0 * e[1]).stored
    assert B.update(e[0] + e[2], 3.0 * e[0] + 3.0 * e[2]).stored
    B.rescale(np.array([1.0, 1e-9, 1e-9]))
    assert 1 <= B.n_pairs <= 2
    newest = np.array([1.0, 0.0, 1e-9])
    np.testing.assert_allclose((B @ newest)[[0, 2]], [3.0, 3e9], rtol=1e-6)
