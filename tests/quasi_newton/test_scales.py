"""Narrow vectors of any length: what a matrix says is that of the same pairs in float64."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve import LBFGS, LSR1, DiagonalNorm, HybridLSR1, ScaledMatrix, as_linear_operator
from qnsolve.quasi_newton.base import UpdateStatus
from qnsolve.quasi_newton.inverse import InverseLSR1
from qnsolve.quasi_newton.lbfgs import MOST_ABOVE, MOST_BELOW
from qnsolve.quasi_newton.psi import PsiLSR1

N = 6
KINDS = [LSR1, LBFGS, HybridLSR1, PsiLSR1, InverseLSR1]
SCALES = [(1.0, 1.0), (1e-21, 1e-21), (1e25, 1e25), (1e-30, 1e-10), (1e10, 1e-20), (1e36, 1e36)]
FLOAT32 = 2.0**-23
ROUNDINGS = 64
"""Of float32, for combinations of at most eight rows; Psi is rounded once more, and amplified."""


def pairs(s_unit, y_unit):
    H = np.diag(np.linspace(1.0, 4.0, N)) + 0.1
    for s in np.random.default_rng(1).standard_normal((3, N)):
        yield (s_unit * s).astype(np.float32), (y_unit * (H @ s)).astype(np.float32)


def filled(kind, dtype, s_unit, y_unit, wrap=lambda B: B):
    B = wrap(kind(N, memory=4, dtype=dtype))
    for s, y in pairs(s_unit, y_unit):
        assert B.update(s.astype(dtype), y.astype(dtype)).stored
    return B


def close(a, b):
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    return np.abs(a - b).max() <= ROUNDINGS * FLOAT32 * np.abs(b).max()


@pytest.mark.parametrize(("s_unit", "y_unit"), SCALES)
@pytest.mark.parametrize("kind", KINDS)
def test_float32_says_what_float64_says(kind, s_unit, y_unit):
    narrow, wide = (filled(kind, dtype, s_unit, y_unit) for dtype in (np.float32, np.float64))
    dense, v = wide.to_dense(), np.arange(1.0, N + 1.0)
    assert close(narrow.to_dense(), dense)
    assert close(narrow.diagonal(), np.diag(dense))
    assert narrow.diagonal().dtype == np.float32
    assert close(narrow.quadratic_form(v.astype(np.float32)), v @ dense @ v)
    assert close(narrow.solve(v.astype(np.float32)), np.linalg.solve(dense, v))
    assert close(narrow.spectrum().all_eigenvalues, wide.spectrum().all_eigenvalues)
    assert close(as_linear_operator(narrow) @ v, dense @ v)


@pytest.mark.parametrize(("s_unit", "y_unit"), SCALES[:3])
@pytest.mark.parametrize("kind", KINDS[:3])
def test_so_does_a_scaled_matrix(kind, s_unit, y_unit):
    d = 4.0 ** (np.arange(N) % 3)  # with roots that round nothing
    narrow, wide = (
        filled(kind, dtype, s_unit, y_unit, lambda B: ScaledMatrix(B, DiagonalNorm(d.astype(t))))  # noqa: B023
        for dtype in (np.float32, np.float64)
        for t in (dtype,)
    )
    dense, v = wide.to_dense(), np.arange(1.0, N + 1.0)
    assert close(narrow.to_dense(), dense)
    assert close(narrow.quadratic_form(v), v @ dense @ v)
    assert close(narrow.solve(v), np.linalg.solve(dense, v))
    assert close(as_linear_operator(narrow) @ v, dense @ v)


@pytest.mark.parametrize("scale", [1e-140, 1e140])
@pytest.mark.parametrize("kind", KINDS)
def test_the_diagonal_at_the_ends_of_float64(kind, scale):
    B = kind(N, memory=4)
    for s, y in pairs(1.0, 1.0):
        assert B.update(scale * s.astype(float), scale * y.astype(float)).stored
    np.testing.assert_allclose(B.diagonal(), np.diag(B.to_dense()), rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-19, 1e-21, 1e19, 1e25])
def test_sums_in_float32_keep_all_digits_or_refuse(scale):
    """JAX without 64 bits adds up in float32, whose squares leave the range much earlier."""
    jnp = pytest.importorskip("jax.numpy")
    if jnp.asarray(1.0).dtype != jnp.float32:
        pytest.skip("JAX has 64 bits here")
    B = LBFGS(N, like=jnp.ones(N, dtype=jnp.float32))
    for s, y in pairs(scale, scale):
        assert B.update(jnp.asarray(s), jnp.asarray(y)) is UpdateStatus.NON_FINITE


# gamma beside curvatures of another order ---------------------------------------------------------


@pytest.mark.parametrize("exponent", [-18, -16, -12, -8, 8, 10, 12, 14, 18])
def test_lbfgs_is_definite_and_keeps_curvature_beside_any_gamma(exponent):
    gamma = 10.0**exponent
    refused = gamma > MOST_ABOVE or 1.0 / gamma > MOST_BELOW
    for seed in range(20):
        rng = np.random.default_rng(seed)
        B, Q = LBFGS(N, gamma=gamma), np.linalg.qr(rng.standard_normal((N, N)))[0]
        for s in rng.standard_normal((3, N)):
            y = (Q * np.linspace(1.0, 3.0, N)) @ Q.T @ s
            status = B.update(s, y)
            if refused:
                assert status is UpdateStatus.ILL_CONDITIONED
                continue
            assert status.stored
            scale = max(B.norm_bound(), gamma) * np.linalg.norm(s)
            assert np.linalg.norm(B @ s - y) <= 1e3 * 2.0**-52 * scale
            assert B.quadratic_form(s) == pytest.approx(s @ y, rel=1e-3)
        assert B.spectrum().all_eigenvalues.min() > 0.0


@pytest.mark.parametrize("kind", [LSR1, PsiLSR1, HybridLSR1])
@pytest.mark.parametrize("gamma", [1e-12, 1e-6, 1e6, 1e12])
def test_a_secant_pair_holds_relative_to_the_largest_curvature(kind, gamma):
    B, rng = kind(N, gamma=gamma), np.random.default_rng(0)
    s = rng.standard_normal(N)
    y = np.linspace(1.0, 3.0, N) * s
    assert B.update(s, y).stored
    scale = max(B.norm_bound(), gamma) * np.linalg.norm(s)
    assert np.linalg.norm(B @ s - y) <= 1e3 * 2.0**-52 * scale
