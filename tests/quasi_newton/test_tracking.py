"""The Gram matrix and W g, kept by one product an iteration, against products formed afresh."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve import LSR1
from qnsolve.quasi_newton.tracking import TrackedGradient
from tests.tolerances import EPS, GRAM_DRIFT

ITERATIONS = 300


@pytest.mark.parametrize("change", [100.0, 1.0, 1e-3, 1e-7])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_drift(change, dtype):
    """Gradients that hardly change are where a difference of products loses its digits."""
    rng = np.random.default_rng(0)
    n = 40
    d = np.linspace(1.0, 10.0, n).astype(dtype)
    offset = (100.0 * rng.standard_normal(n)).astype(dtype)
    x = np.zeros(n, dtype)
    B = LSR1(n, memory=5, like=x)
    current = TrackedGradient.of(d * x + offset, B.pairs)
    for _ in range(ITERATIONS):
        s = (change * rng.standard_normal(n)).astype(dtype)
        g_new = d * (x + s) + offset
        new, y, y_products = current.change_to(g_new, B.pairs.space.norm(g_new))
        stored = B.update(s, y, y_products=y_products).stored
        if rng.random() < 0.7:
            x, current = x + s, new
        if stored:
            current.account_for_newest()
        W = B.pairs.rows.astype(np.longdouble)
        norms = np.sqrt((W * W).sum(axis=1))
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
    new, y, products = tracked.change_to(np.array([0.0, 4.0]), 4.0)
    assert (tracked.norm, new.norm, products.size) == (5.0, 4.0, 0)
    np.testing.assert_allclose(y, [-3.0, 0.0], rtol=EPS)
