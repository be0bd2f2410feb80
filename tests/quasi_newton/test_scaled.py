"""ScaledMatrix: the same pairs with B0 = gamma A, against the dense recursion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from qnsolve import LBFGS, LSR1, DiagonalNorm, PartialSpectrum, ScaledMatrix
from tests.quasi_newton.test_lsr1 import inner_condition
from tests.strategies import pair_streams, seeds
from tests.tolerances import EPS


def random_metric(n, seed):
    return DiagonalNorm(10 ** np.random.default_rng(seed).uniform(-2, 2, n))


@given(pair_streams(kind="quadratic"), seeds())
def test_equals_recursion_from_gamma_A(stream, seed):
    metric = random_metric(stream.n, seed)
    gamma = 3.0 * np.linalg.norm(stream.hessian, 2)
    B = ScaledMatrix(LSR1(stream.n, memory=stream.memory, gamma=gamma), metric)
    held, growth = [], 1.0
    for s, y in stream:
        if B.update(s, y).stored:
            held = [*held, (s, y)][-B.inner.n_pairs :]
    expected = gamma * np.diag(metric.d)
    for s, y in held:
        r = y - expected @ s
        growth = max(growth, np.linalg.norm(r) * np.linalg.norm(s) / abs(r @ s))
        expected = expected + np.outer(r, r) / (r @ s)
        growth = max(growth, np.linalg.norm(expected, 2) / gamma)
    if growth > 1e6:
        return
    spread = metric.d.max() / metric.d.min()
    atol = 1e3 * EPS * growth * inner_condition(B.inner) * spread * np.linalg.norm(expected, 2)
    np.testing.assert_allclose(B.to_dense(), expected, atol=atol, rtol=0)


def test_surface():
    metric = random_metric(4, 0)
    root = np.sqrt(metric.d)
    inner = np.diag([1.0, -2.0, 3.0, 4.0])
    expected = inner * np.outer(root, root)
    b = np.arange(1.0, 5.0)
    for B in (
        ScaledMatrix(inner, metric),
        ScaledMatrix(PartialSpectrum.from_dense(inner), metric),
        ScaledMatrix.of_dense(expected, metric),
    ):
        np.testing.assert_allclose(B.to_dense(), expected, rtol=1e-14)
        np.testing.assert_allclose(B @ b, expected @ b, rtol=1e-13)
        assert B.quadratic_form(b) == pytest.approx(b @ expected @ b, rel=1e-13)
        x = B.solve(b, shift=0.5)
        np.testing.assert_allclose(expected @ x + 0.5 * metric.d * x, b, rtol=1e-12)
        np.testing.assert_allclose(B.spectrum().eigenvalues, [-2.0, 1.0, 3.0, 4.0], rtol=1e-13)
        assert B.shape == (4, 4)
        with pytest.raises(TypeError, match="takes no pairs"):
            B.update(b, b)


def test_sizes_must_agree():
    for inner in (LBFGS(3), np.eye(3), np.ones((4, 3)), np.ones(4), np.array(1.0)):
        with pytest.raises(ValueError, match=r"metric is for n = 4, the matrix has \("):
            ScaledMatrix(inner, random_metric(4, 0))


@pytest.mark.parametrize("inner", [None, [[1.0, 0.0], [0.0, 1.0]], "LSR1"])
def test_other_matrices_are_refused(inner):
    with pytest.raises(TypeError, match="inner must be"):
        ScaledMatrix(inner, random_metric(2, 0))


@pytest.mark.parametrize(
    ("v", "error"), [(3.0, ValueError), (np.ones((3, 1)), ValueError), (1j * np.ones(3), TypeError)]
)
def test_vectors_of_another_kind_are_refused(v, error):
    """A number would be broadcast."""
    B = ScaledMatrix(LSR1(3), random_metric(3, 0))
    for use in (B.matvec, B.solve, B.quadratic_form, lambda v: B.update(np.ones(3), v)):
        with pytest.raises(error):
            use(v)
