"""The diagonal norm against its definition and its change of variables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsolve.norms import DiagonalNorm
from tests.strategies import seeds
from tests.tolerances import EPS


@given(st.integers(1, 20), seeds())
def test_definitions(n, seed):
    rng = np.random.default_rng(seed)
    d, s, g = 10.0 ** rng.uniform(-6, 6, n), rng.standard_normal(n), rng.standard_normal(n)
    norm = DiagonalNorm(d)
    assert norm.norm(s) == pytest.approx(np.sqrt(np.sum(d * s**2)), rel=4 * EPS)
    assert norm.dual_norm(g) == pytest.approx(np.sqrt(np.sum(g**2 / d)), rel=4 * EPS)
    np.testing.assert_allclose(norm.solve(norm.apply(s)), s, rtol=4 * EPS)
    np.testing.assert_allclose(norm.from_ball(norm.to_ball(s)), s, rtol=4 * EPS)
    # Cauchy's inequality, with equality at the steepest direction A^{-1} g.
    assert abs(g @ s) <= norm.norm(s) * norm.dual_norm(g) * (1 + 8 * EPS)
    steepest = norm.solve(g)
    assert g @ steepest == pytest.approx(norm.norm(steepest) * norm.dual_norm(g), rel=16 * EPS)
    assert norm.norm(steepest) == pytest.approx(norm.dual_norm(g), rel=8 * EPS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_array_libraries(xp, dtype):
    norm = DiagonalNorm(xp.asarray([4.0, 9.0], dtype))
    s = xp.asarray([2.0, 1.0], dtype)
    assert norm.norm(s) == pytest.approx(5.0, rel=1e-7)
    for v in (norm.apply(s), norm.solve(s), norm.to_ball(s), norm.from_ball(s)):
        assert v.dtype == s.dtype
        assert getattr(v, "device", None) == getattr(s, "device", None)


def test_a_list_is_taken():
    assert DiagonalNorm([4.0, 9.0]).norm(np.array([2.0, 1.0])) == 5.0


def test_frozen():
    with pytest.raises(AttributeError):
        DiagonalNorm(np.ones(2)).d = np.zeros(2)


@pytest.mark.parametrize(
    ("d", "error", "message"),
    [
        (np.ones(2, dtype=int), TypeError, "real floating"),
        (np.ones(2, dtype=complex), TypeError, "real floating"),
        (np.ones((2, 2)), ValueError, r"shape \(n,\)"),
        (np.ones(0), ValueError, r"shape \(n,\)"),
        (np.array([1.0, 0.0]), ValueError, "positive and finite"),
        (np.array([1.0, -1.0]), ValueError, "positive and finite"),
        (np.array([1.0, np.inf]), ValueError, "positive and finite"),
        (np.array([1.0, np.nan]), ValueError, "positive and finite"),
    ],
)
def test_wrong_arguments(d, error, message):
    with pytest.raises(error, match=message):
        DiagonalNorm(d)


@pytest.mark.parametrize("place", [0, 2500, 4999])
def test_nan_is_found_in_long_vectors(xp, place):
    d = np.ones(5000)
    d[place] = np.nan
    with pytest.raises(ValueError, match="positive and finite"):
        DiagonalNorm(xp.asarray(d))


def test_nothing_is_remembered(xp):
    """Neither the vectors that were measured nor what was made of them."""
    norm = DiagonalNorm(xp.asarray([4.0, 9.0]))
    s = xp.asarray([2.0, 1.0])
    norm.norm(s)
    known, of_the_space = dict(vars(norm)), dict(vars(norm.space))
    for scale in (1.0, 2.0, 3.0):
        v = scale * s
        assert norm.norm(v) == pytest.approx(scale * 5.0, rel=1e-15)
        assert norm.dual_norm(v) > 0.0
    assert vars(norm) == known
    assert vars(norm.space) == of_the_space
