"""What values and slopes at both ends of a step say about f along it."""

from __future__ import annotations

import math

ROUNDING_OF_F = 10.0
"""Differences of f within ROUNDING_OF_F * eps * |f| say nothing about the step."""

ROUNDING_ACCEPT = 100.0
"""Differences of f that are let pass, in the same unit, where the gradient shrinks."""

VALUE_NOISE = 1e-9
"""Differences of f within VALUE_NOISE * |f| are not asked for a third derivative."""

GRADIENT_PROGRESS = 0.9
"""Factor by which the gradient must shrink for such a step."""


def actual_reduction(f: float, f_new: float, slope: float, slope_new: float, eps: float) -> float:
    """Return f - f_new, or its estimate from the slopes where the difference is rounding error.

    The trapezoidal rule on the derivative along the step, ``-(g's + g_new's) / 2``, keeps its
    digits where f has none left.
    """
    if abs(f - f_new) <= ROUNDING_OF_F * eps * abs(f):
        return -0.5 * (slope + slope_new)
    return f - f_new


def progress_at_rounding(
    f: float, f_new: float, g_norm: float, g_norm_new: float, eps: float
) -> bool:
    """Tell whether f is unchanged to rounding while the gradient has become clearly smaller."""
    same = abs(f_new - f) <= ROUNDING_ACCEPT * eps * abs(f)
    return same and g_norm_new <= GRADIENT_PROGRESS * g_norm


def secant_correction(slope: float, slope_new: float, reduction: float, f: float) -> float:
    """Return theta by which s'y is to grow so that it is the curvature at the end of the step.

    With the cubic through values and slopes at both ends, the second derivative at the end is
    ``s'y + theta``, ``theta = 6 (f - f_new) + 3 (g + g_new)'s``, kept within -0.9 and 1 times
    |s'y|.  0 where the difference of values has too few digits.

    References
    ----------
    J. Z. Zhang, N. Y. Deng, L. H. Chen, "New quasi-Newton equation and related methods for
    unconstrained optimization", J. Optim. Theory Appl. 102 (1999), eq. 2.6.
    """
    if not abs(reduction) > VALUE_NOISE * abs(f):
        return 0.0
    size = abs(slope_new - slope)
    return min(max(6.0 * reduction + 3.0 * (slope + slope_new), -0.9 * size), size)


def hermite_minimiser(slope: float, slope_new: float, reduction: float) -> float:
    """Return the minimiser t of the cubic through both ends of a step; NaN if there is none.

    The cubic has derivative `slope` at t = 0, `slope_new` at t = 1 and falls by `reduction`
    (Nocedal and Wright 2006, eq. 3.59).
    """
    d1 = slope + slope_new + 3.0 * reduction
    discriminant = d1 * d1 - slope * slope_new
    if not discriminant >= 0.0:
        return math.nan
    d2 = math.sqrt(discriminant)
    denominator = slope_new - slope + 2.0 * d2
    return 1.0 - (slope_new + d2 - d1) / denominator if denominator else math.nan
