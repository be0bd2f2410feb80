"""The compiled loops against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve import PartialSpectrum, minimize
from qnsolve.arrays import space_of
from tests.tolerances import EPS

kernels = pytest.importorskip("qnsolve.kernels", reason="numba is not installed")

ANOTHER_ORDER = 10.0
"""Difference of two iterates after 5 iterations, in units of n eps max|x|.  Sums of n terms in
another order differ by up to n eps; differences of such sums by more (seen: 0.8)."""

LENGTHS = (1, 3, kernels.CHUNK - 1, kernels.CHUNK, 2 * kernels.CHUNK + 5)


@pytest.fixture
def compiled():
    kernels.use()
    yield
    kernels.use(False)


def data(n, q, dtype, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((q, n)).astype(dtype)
    return rows, rng.standard_normal(n).astype(dtype), rng.standard_normal(q)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("q", [1, 4, 7, 20])
@pytest.mark.parametrize("n", LENGTHS)
def test_sums_are_those_of_float64(compiled, n, q, dtype):
    rows, v, c = data(n, q, dtype)
    space = space_of(v)
    assert space.kernels is kernels
    # Sums of n (or q) terms in float64, in any order.
    exact, terms = rows.astype(np.float64), np.abs(rows).astype(np.float64)
    near = n * EPS * (terms @ np.abs(v))
    assert np.all(np.abs(space.products(rows, v) - exact @ v) <= near)
    assert abs(space.dot(v, v) - v.astype(np.float64) @ v) <= n * EPS * space.dot(v, v)

    s, products = space.combine_and_add(c, rows, 0.5, v, multiply=True)
    wanted = c @ exact + 0.5 * v
    rounding = space.eps + (q + 1) * EPS
    assert np.all(np.abs(s - wanted) <= rounding * (np.abs(c) @ terms + np.abs(v)))
    assert np.all(np.abs(products - exact @ s) <= n * EPS * (terms @ np.abs(s)))
    assert s.dtype == dtype

    unmultiplied = space.combine_and_add(c, rows, 0.5, v, multiply=False)
    assert np.array_equal(unmultiplied[0], s)
    assert unmultiplied[1] is None
    alone = space.combine(c, rows)
    assert np.all(np.abs(alone - c @ exact) <= rounding * (np.abs(c) @ terms))


def test_readonly_and_strided_vectors_are_taken(compiled):
    rows, v, c = data(4000, 6, np.float32)
    half = v[::2]
    half.flags.writeable = False
    rows = np.ascontiguousarray(rows[:, ::2])
    space = space_of(half)
    assert space.combine_and_add(c, rows, 1.0, half, multiply=True)[0].shape == (2000,)
    assert np.allclose(space.products(rows, half), rows.astype(np.float64) @ half)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_entries_show(compiled, bad):
    rows, v, c = data(3000, 5, np.float32)
    v[1234] = bad
    space = space_of(v)
    assert not np.isfinite(space.dot(v, v))
    assert not np.isfinite(space.products(rows, v)).any()
    s, products = space.combine_and_add(c, rows, 0.5, v, multiply=True)
    assert np.array_equal(np.flatnonzero(~np.isfinite(s)), [1234])
    assert not np.isfinite(products).any()
    # With no part of v in it the sum does not see it.
    assert np.isfinite(space.combine_and_add(c, rows, 0.0, v, multiply=False)[0]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", ["hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls"])
def test_solves_agree(method, dtype):
    d = np.logspace(0.0, 2.0, 3000).astype(dtype)

    def mean_evaluations():
        """Return the mean over starts that differ in the last digits, on which a count depends."""
        counts = []
        for ulps in range(6):
            x0 = np.ones_like(d) * dtype(1.0 + ulps * np.finfo(dtype).eps)
            result = minimize(
                lambda x: (0.5 * d * x @ x, d * x),
                x0,
                jac=True,
                method=method,
                options={"gtol": 1e-3},
            )
            assert result.success and result.x.dtype == dtype
            counts.append(result.nfev)
        return np.mean(counts)

    plain = mean_evaluations()
    kernels.use()
    try:
        fast = mean_evaluations()
    finally:
        kernels.use(False)
    # Single counts of lsr1-tr were 82 to 99 and 83 to 113.
    assert abs(fast - plain) <= 3 + plain / 10


def test_only_numpy_in_its_two_precisions(compiled):
    strict = pytest.importorskip("array_api_strict")
    assert not hasattr(space_of(strict.zeros(3)), "kernels")
    assert space_of(np.zeros(3, dtype=np.longdouble)).kernels is None


def test_other_arrays_than_the_loops_are_made_for_are_left_to_numpy(compiled):
    rows, v, c = data(300, 4, np.float32)
    space = space_of(v)
    exact = rows.astype(np.float64)
    for block in (np.asfortranarray(rows), exact):
        np.testing.assert_allclose(space.products(block, v), exact @ v, rtol=1e-12)
        np.testing.assert_allclose(space.combine(c, block), c @ exact, rtol=1e-5, atol=1e-6)
    nothing = space.combine(np.empty(0), rows[:0])
    np.testing.assert_array_equal(nothing, np.zeros(300))
    # A dense matrix has a spectrum in float64, and may be multiplied with a narrow vector.
    B = PartialSpectrum.from_dense(np.diag([1.0, 2.0, 3.0]).astype(np.float32))
    np.testing.assert_allclose(B @ np.ones(3, np.float32), [1.0, 2.0, 3.0], rtol=1e-6)
