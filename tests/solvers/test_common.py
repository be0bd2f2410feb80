"""Reductions near rounding, interpolation along a step, and the first radius."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve.solvers.along_step import actual_reduction, hermite_minimiser
from qnsolve.solvers.start import first_gamma, starting_radius
from qnsolve.solvers.stopping import is_lower


def test_hermite_minimiser():
    # The cubic t -> t^3 - t has slopes -1 and 2 at the ends, no reduction, and its minimum at
    # 1 / sqrt(3).
    assert hermite_minimiser(-1.0, 2.0, 0.0) == pytest.approx(3**-0.5)
    assert np.isnan(hermite_minimiser(0.0, 0.0, 0.0))


def test_actual_reduction_near_rounding():
    assert actual_reduction(2.0, 1.0, -1.0, -1.0, eps=1e-16) == 1.0
    assert actual_reduction(1e8, 1e8, -3e-9, -1e-9, eps=1e-16) == pytest.approx(2e-9)


def test_starting_radius():
    assert starting_radius(x_norm=0.0, f=1e9, g_norm=1.0) == 1.0
    assert starting_radius(x_norm=50.0, f=1e9, g_norm=1.0) == 50.0
    assert starting_radius(x_norm=50.0, f=3.0, g_norm=2.0) == 3.0
    assert starting_radius(x_norm=50.0, f=0.0, g_norm=2.0) == 50.0


def test_first_gamma():
    assert first_gamma(6.0, 2.0) == 3.0
    assert first_gamma(0.0, 2.0) == first_gamma(1.0, np.inf) == 1.0


def test_is_lower():
    assert is_lower(1e300, np.inf, 1e-3)
    assert is_lower(1.0 - 2e-3, 1.0, 1e-3) and not is_lower(1.0 - 5e-4, 1.0, 1e-3)
    assert is_lower(-1.0 - 2e-3, -1.0, 1e-3) and not is_lower(-1.0 - 5e-4, -1.0, 1e-3)
    assert is_lower(-1e-300, 0.0, 1e-3) and not is_lower(np.nan, 0.0, 1e-3)
