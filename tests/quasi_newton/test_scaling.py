"""Rules for gamma: what counts as a curvature."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from qnsolve import LSR1
from qnsolve.quasi_newton.pairs import PairProducts
from qnsolve.quasi_newton.scaling import curvature_ratio
from tests.tolerances import EPS


@pytest.mark.parametrize("s_norm", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("y_norm", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize(("cosine", "counts"), [(1.5e-8, True), (0.7e-8, False), (-1.0, False)])
def test_curvature_from_a_cosine_of_1e_8_on(s_norm, y_norm, cosine, counts):
    nothing = np.empty(0)
    pair = PairProducts(nothing, nothing, s_norm**2, cosine * s_norm * y_norm, y_norm**2)
    ratio = curvature_ratio(pair)
    assert np.isfinite(ratio) == counts
    if counts:
        assert ratio == pytest.approx(y_norm / s_norm / cosine, rel=8 * EPS)


@pytest.mark.parametrize("length", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("least", [0.5, -2.0])
def test_eigenvalue_rule_against_scipy(length, least):
    """Steps as long as they like: the pencil of S'Y and S'S has the same eigenvalues."""
    rng = np.random.default_rng(0)
    S = length * rng.standard_normal((3, 5))
    Y = S * np.array([least, 1.0, 2.0, 3.0, 4.0])
    B = LSR1(5, memory=3, gamma="eigenvalue")
    for s, y in zip(S, Y, strict=True):
        assert B.update(s, y).stored
    (lam, *_) = scipy.linalg.eigh(S @ Y.T, S @ S.T, eigvals_only=True)
    assert B.gamma == pytest.approx(0.5 * lam if lam > 0.0 else 1.5 * lam, rel=1e-12)
