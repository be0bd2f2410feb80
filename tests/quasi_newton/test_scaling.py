"""Rules for gamma: what counts as a curvature."""

from __future__ import annotations

import numpy as np
import pytest

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
