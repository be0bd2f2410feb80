"""L-SR1 without S and Y: the matrix of LSR1 while gamma stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from qnsolve import LSR1, minimize
from qnsolve.problems import get_problem
from qnsolve.quasi_newton.psi import PsiLSR1
from qnsolve.solvers.matrices import build_psi
from tests.strategies import log_uniform, pair_stream, pair_streams, seeds, signed
from tests.tolerances import EPS, compact_tolerance

EDGE = 1e4
"""Condition of the inner matrix up to which both memories decide alike about every pair: their
tests differ in rounding."""


def conditions(B):
    """Return the condition number of the inner matrix as it is factored."""
    weights = np.abs(B._inner.weights)
    return weights.max() / weights.min() if len(weights) else 1.0


@given(pair_streams(kind="quadratic"), signed(log_uniform(1e-2, 1e2)))
def test_equals_lsr1_after_every_push(stream, relative_gamma):
    gamma = relative_gamma * np.linalg.norm(stream.hessian, 2)
    A = LSR1(stream.n, memory=stream.memory, gamma=gamma)
    B = PsiLSR1(stream.n, memory=stream.memory, gamma=gamma)
    for s, y in stream:
        A.update(s, y)
        B.update(s, y)
        condition = max(conditions(A), conditions(B))
        if condition > EDGE:
            return
        assert B.n_pairs == A.n_pairs
        expected = A.to_dense()
        size = np.linalg.norm(expected, 2) + abs(gamma)
        assert np.abs(B.to_dense() - expected).max() <= compact_tolerance(condition**2) * size
        assert (
            np.abs(B.spectrum().norm - A.spectrum().norm) <= compact_tolerance(condition**2) * size
        )


@given(seeds())
def test_gram_matrix_is_that_of_the_rows(seed):
    stream = pair_stream("quadratic", n=12, memory=4, length=11, seed=seed)
    B = PsiLSR1(12, memory=4, gamma=3.0)
    for s, y in stream:
        B.update(s, y)
        W = B.pairs.rows[B.pairs.order, :]
        gram = B.pairs.gram[np.ix_(B.pairs.order, B.pairs.order)]
        assert W.shape == (B.n_pairs, 12)
        # Products of psi are sums over 12 entries of those of y and of gamma s.
        scale = B._columns().scale
        assert np.all(np.abs(W @ W.T - gram) <= 4 * 12 * EPS * np.outer(scale, scale))


def test_new_gamma_forgets_all_but_the_newest_pair():
    stream = list(pair_stream("quadratic", n=9, memory=4, length=8, seed=1))
    values = iter([2.0, 50.0, 70.0])  # asked for at the first, third and sixth pair
    B = PsiLSR1(9, memory=4, period=3, gamma=lambda blocks, ratios, current: next(values))
    counts = []
    for s, y in stream:
        assert B.update(s, y).stored
        counts.append((B.n_pairs, B.gamma))
        np.testing.assert_allclose(B @ s, y, atol=1e-11 * np.linalg.norm(y))
    assert counts == [(1, 2), (2, 2), (1, 50), (2, 50), (3, 50), (1, 70), (2, 70), (3, 70)]
    fresh = LSR1(9, memory=4, gamma=70.0)
    for s, y in stream[5:]:
        fresh.update(s, y)
    np.testing.assert_allclose(B.to_dense(), fresh.to_dense(), atol=1e-10)


def test_gamma_changes_every_second_memory_unless_told():
    offered, asked = 0, []
    B = PsiLSR1(9, memory=2, gamma=lambda blocks, ratios, current: asked.append(offered) or 2.0)
    for s, y in pair_stream("quadratic", n=9, memory=2, length=9, seed=1):
        offered += 1
        assert B.update(s, y).stored
    assert asked == [1, 4, 8]


def test_present_gamma_stays_where_the_new_one_cannot_take_the_pair():
    asked = iter([2.0, 7.0])
    B = PsiLSR1(3, period=1, gamma=lambda blocks, ratios, current: next(asked))
    s = np.array([1.0, 0.0, 0.0])
    assert B.update(s, 3.0 * s).stored
    t = np.array([0.0, 1.0, 0.0])
    assert B.update(t, 7.0 * t).stored  # y = gamma s with the new one
    assert (B.gamma, B.n_pairs) == (2.0, 2)


def test_restored_matrix_goes_on_bit_for_bit():
    stream = list(pair_stream("quadratic", n=9, memory=3, length=8, seed=2))
    A, B = PsiLSR1(9, memory=3), PsiLSR1(9, memory=3)
    for s, y in stream[:5]:
        A.update(s, y)
    B.restore(A.snapshot())
    for s, y in stream[5:]:
        assert A.update(s, y) == B.update(s, y)
        assert np.array_equal(A.to_dense(), B.to_dense())


def test_float32_rows_are_exact_in_their_products():
    stream = pair_stream("quadratic", n=40, memory=5, length=9, seed=4)
    B = PsiLSR1(40, memory=5, gamma=0.5, dtype=np.float32)
    for s, y in stream:
        B.update(s.astype(np.float32), y.astype(np.float32))
    W = B.pairs.rows.astype(np.float64)
    np.testing.assert_allclose(B.pairs.gram, W @ W.T, rtol=1e-12)


def test_rule_that_needs_the_pairs_is_refused():
    with pytest.raises(ValueError, match="eigenvalue"):
        PsiLSR1(3, gamma="eigenvalue")
    with pytest.raises(ValueError, match="period"):
        PsiLSR1(3, period=0)
    with pytest.raises(TypeError, match="period"):
        PsiLSR1(3, period=2.5)


def test_other_variables_cost_all_pairs():
    B = PsiLSR1(2, gamma=3.0)
    s = np.array([1.0, 0.0])
    assert B.update(s, -s).stored
    B.rescale(np.array([2.0, 5.0]))
    assert (B.n_pairs, B.gamma) == (0, 3.0)
    np.testing.assert_array_equal(B @ s, 3.0 * s)


@pytest.mark.parametrize("method", ["lsr1-tr", "lsr1-arc"])
@pytest.mark.parametrize("name", ["extended-rosenbrock", "styblinski-tang", "woods"])
def test_solves(name, method):
    problem = get_problem(name, 100)
    options = {"matrix": build_psi}
    result = minimize(problem.fun, problem.x0, jac=True, method=method, options=options)
    assert result.success, result.message
    assert np.abs(result.jac).max() <= 1e-5
