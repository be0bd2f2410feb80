"""The Gram matrix and W g, kept by one product an iteration, against products formed afresh."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve import LSR1
from qnsolve.quasi_newton.tracking import GradientChange, TrackedGradient
from tests.tolerances import EPS, GRAM_DRIFT

ITERATIONS = 300


def change_along(tracked, s, g_new):
    """Return the change to `g_new` along `s`, with its numbers."""
    change, space = GradientChange(tracked, s, None), tracked.pairs.space
    change.read(space.reduce(change.request(g_new)), space.norm(g_new))
    return change


@pytest.mark.parametrize("length", [100.0, 1.0, 1e-3, 1e-7])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_drift(length, dtype):
    """Gradients that hardly change are where a difference of products loses its digits."""
    rng = np.random.default_rng(0)
    n = 40
    d = np.linspace(1.0, 10.0, n).astype(dtype)
    offset = (100.0 * rng.standard_normal(n)).astype(dtype)
    x = np.zeros(n, dtype)
    B = LSR1(n, memory=5, like=x)
    current = TrackedGradient.of(d * x + offset, B.pairs)
    for _ in range(ITERATIONS):
        s = (length * rng.standard_normal(n)).astype(dtype)
        g_new = d * (x + s) + offset
        change = change_along(current, s, g_new)
        if rng.random() < 0.5:
            change.bend(float(rng.uniform(-0.5, 0.5)))
        stored = B.update(s, change.y, products=change.pair).stored
        if rng.random() < 0.7:
            x, current = x + s, change.end
        if stored:
            change.account(current)
        W = B.pairs.rows.astype(np.longdouble)
        norms = np.sqrt((W * W).sum(axis=1))
        norms[norms == 0.0] = 1.0  # a y that float32 does not resolve
        gram_error = np.abs(B.pairs.gram - W @ W.T) / np.outer(norms, norms)
        assert gram_error.max() <= GRAM_DRIFT
        products_error = np.abs(current.products - W @ current.vector.astype(np.longdouble))
        assert (products_error / norms).max() <= GRAM_DRIFT * current.norm
    assert B.n_pairs == 5


def test_stored_rows_are_never_moved():
    B = LSR1(3, memory=2)
    rng = np.random.default_rng(1)
    B.update(rng.standard_normal(3), rng.standard_normal(3))
    first = B.pairs.rows.copy()
    B.update(rng.standard_normal(3), rng.standard_normal(3))
    np.testing.assert_array_equal(B.pairs.rows[:2], first)
    second = B.pairs.rows[2:].copy()
    B.update(rng.standard_normal(3), rng.standard_normal(3))
    np.testing.assert_array_equal(B.pairs.rows[2:], second)
    assert not np.array_equal(B.pairs.rows[:2], first)
    assert list(B.pairs.s_rows) == [2, 0]


def test_norm_is_kept():
    B = LSR1(2)
    tracked = TrackedGradient.of(np.array([3.0, 4.0]), B.pairs)
    change = change_along(tracked, np.array([1.0, 0.0]), np.array([0.0, 4.0]))
    assert (tracked.norm, change.end.norm, change.pair.with_y.size) == (5.0, 4.0, 0)
    np.testing.assert_allclose(change.y, [-3.0, 0.0], rtol=EPS)
