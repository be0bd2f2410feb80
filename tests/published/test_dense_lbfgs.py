"""L-BFGS with dense initialisation: secant equations, curvature off the pairs, one matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsolve import LBFGS
from qnsolve.published import DenseLBFGS
from tests.strategies import seeds

RECURSION_RTOL = 1e-10
"""A few pairs of a well-conditioned convex quadratic: at most 1e-12 was seen."""


def convex_pairs(n, k, seed):
    rng = np.random.default_rng(seed)
    h = 10 ** rng.uniform(-1, 1, n)
    S = rng.standard_normal((k, n))
    return S, S * h


def filled(matrix, S, Y):
    for s, y in zip(S, Y, strict=True):
        assert matrix.update(s, y).stored
    return matrix


@given(seeds(), st.integers(1, 4), st.sampled_from([0.0, 0.5, 1.0]))
def test_eigenvalues_are_those_of_lbfgs_but_off_the_pairs(seed, k, mix):
    n = 12
    S, Y = convex_pairs(n, k, seed)
    plain = filled(LBFGS(n, memory=4), S, Y)
    dense = filled(DenseLBFGS(n, memory=4, mix=mix, factor=2.0), S, Y)
    ratios = (Y**2).sum(1) / (S * Y).sum(1)
    gamma_perp = mix * 2.0 * ratios.max() + (1 - mix) * ratios[-1]
    assert dense.gamma == pytest.approx(ratios[-1])
    assert dense.gamma_perp == pytest.approx(gamma_perp)
    Q, _ = np.linalg.qr(np.vstack([S, Y]).T)
    expected = plain.to_dense() + (gamma_perp - ratios[-1]) * (np.eye(n) - Q @ Q.T)
    scale = np.abs(expected).max()
    B = dense.to_dense()
    assert np.abs(B - expected).max() <= RECURSION_RTOL * scale
    # The newest secant equation survives.
    assert np.abs(B @ S[-1] - Y[-1]).max() <= RECURSION_RTOL * scale * np.abs(S[-1]).max()


def test_all_views_show_the_same_matrix():
    S, Y = convex_pairs(9, 3, 5)
    B = filled(DenseLBFGS(9, memory=3, mix=1.0), S, Y)
    dense, v = B.to_dense(), np.linspace(-1.0, 2.0, 9)
    np.testing.assert_allclose(dense, dense.T, atol=1e-13 * np.abs(dense).max())
    np.testing.assert_allclose(B.diagonal(), dense.diagonal(), rtol=1e-12)
    np.testing.assert_allclose(B.quadratic_form(v), v @ dense @ v, rtol=1e-12)
    np.testing.assert_allclose(B.solve(v, 0.3), np.linalg.solve(dense + 0.3 * np.eye(9), v))
    np.testing.assert_allclose(B.norm_bound(), np.linalg.norm(dense, 2), rtol=1e-12)


def test_largest_curvature_is_remembered_beyond_the_memory_and_forgotten_by_reset():
    B = DenseLBFGS(3, memory=1, mix=1.0)
    e = np.eye(3)
    for curvature in (9.0, 2.0):
        assert B.update(e[0], curvature * e[0]).stored
    assert (B.gamma, B.gamma_perp) == (2.0, 9.0)
    B.reset()
    assert B.gamma_perp == B.gamma == 1.0
    # A refused pair leaves nothing behind.
    assert not B.update(e[0], -5.0 * e[0]).stored
    assert B.update(e[1], 3.0 * e[1]).stored
    assert B.gamma_perp == 3.0


@pytest.mark.parametrize("given", [{"mix": -0.1}, {"mix": 1.1}, {"mix": np.nan}, {"factor": 0.5}])
def test_parameters_out_of_range(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        DenseLBFGS(3, **given)
