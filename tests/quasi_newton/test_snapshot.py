"""A restored matrix goes on exactly as the one that was written down."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from qnsolve import LBFGS, LSR1, HybridLSR1
from qnsolve.published import DenseLBFGS
from qnsolve.quasi_newton.inverse import InverseLSR1

N, MEMORY = 30, 4


def pairs(count, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((N, N))
    H = A + A.T + 6.0 * np.eye(N)
    for _ in range(count):
        s = rng.standard_normal(N)
        yield s, H @ s


@pytest.mark.parametrize("kind", [LSR1, LBFGS, HybridLSR1, InverseLSR1, DenseLBFGS])
@pytest.mark.parametrize("before", [0, 2, 11])
def test_bit_for_bit(kind, before):
    a, b = kind(N, memory=MEMORY), kind(N, memory=MEMORY)
    stream = list(pairs(before + 6))
    for s, y in stream[:before]:
        a.update(s, y)
    b.restore(copy.deepcopy(a.snapshot()))
    v = np.arange(1.0, N + 1.0)
    assert (a @ v == b @ v).all()
    for s, y in stream[before:]:
        assert a.update(s, y) is b.update(s, y)
        assert (a @ v == b @ v).all()
        assert a.gamma == b.gamma
        assert (a.spectrum().eigenvalues == b.spectrum().eigenvalues).all()


def test_a_state_that_does_not_fit_is_refused():
    a = LSR1(N, memory=MEMORY)
    for s, y in pairs(MEMORY):
        a.update(s, y)
    with pytest.raises(ValueError, match="has room for 2 of length 30"):
        LSR1(N, memory=2).restore(a.snapshot())
    with pytest.raises(ValueError, match="of length 31"):
        LSR1(N + 1, memory=MEMORY).restore(a.snapshot())


@pytest.mark.parametrize("matrix", [LSR1, LBFGS, HybridLSR1, InverseLSR1])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_shares_nothing(matrix, copied):
    """Updates write in place: what one of the two is offered must not reach the other."""
    rng = np.random.default_rng(0)
    B, v = matrix(5, memory=3), rng.standard_normal(5)
    for _ in range(4):
        s = rng.standard_normal(5)
        B.update(s, np.arange(1.0, 6.0) * s)
    C, before = copied(B), B @ v
    np.testing.assert_array_equal(C @ v, before)
    for _ in range(4):
        s = rng.standard_normal(5)
        assert C.update(s, np.arange(5.0, 0.0, -1.0) * s).stored
    np.testing.assert_array_equal(B @ v, before)
    assert not np.array_equal(C @ v, before)
