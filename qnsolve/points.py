"""Points at the ends of steps, and the values there."""

from __future__ import annotations

import math

import numpy as np

from qnsolve.arrays import Array, VectorSpace

SURELY_FINITE = 1e15
"""Length of a step, and factor of it, that make no finite x infinite: far below the spacing of
numbers there."""

ROUNDINGS = 4.0
"""Slopes at both ends of a step that differ by as many eps, relative, are the same."""

LONGEST = 1e30
"""Longer first steps are cut to this, in units of x: they would be rejected until the run counts as
stuck."""

UNBOUNDED_GROWTH = 1e30
"""A decrease below -UNBOUNDED_GROWTH * max(1, |f0|) is taken for minus infinity."""


def end_of_step(
    space: VectorSpace, x: Array, step: Array, length: float, t: float = 1.0
) -> Array | None:
    """Return x + t step, or None where that would be infinite; its length is `length`."""
    if t == 1.0 and length <= SURELY_FINITE:
        return x + step
    # A factor may be too large for the dtype of a step that is all the shorter.
    with np.errstate(over="ignore", invalid="ignore"):
        x_new = x + t * step
    if not max(length, t) <= SURELY_FINITE and not math.isfinite(space.norm_inf(x_new)):
        return None
    return x_new


def stands_still(
    space: VectorSpace,
    x: Array,
    x_norm: float,
    step: Array,
    length: float,
    part: float,
    t: float = 1.0,
) -> bool:
    """Tell whether no component of x moves by more than `part` of itself along t step.

    Each component may have its own unit.  The norms tell of most steps that one moves; only where
    they do not are the components looked at, one reduction more.
    """
    if t * length > part * x_norm:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        moving = t * abs(step) > part * abs(x)
        return not space.norm_inf(space.xp.astype(moving, space.dtype)) > 0.0


def says_nothing(f: float, slope: float, decrease: float, eps: float) -> bool:
    """Tell whether neither f nor its gradient can change noticeably along a step, by the model.

    The model falls by `decrease`; its slope changes from g's by s'Bs = -2 (decrease + g's).
    """
    return decrease <= eps * abs(f) and 2.0 * abs(decrease + slope) <= ROUNDINGS * eps * abs(slope)


def longest_step(space: VectorSpace, x_norm: float) -> float:
    """Return the length of the longest first step: in the range of x, and no matter for ages."""
    return min(float(space.xp.finfo(space.dtype).max), LONGEST * max(1.0, x_norm))


def all_finite(f: float, g_norm: float) -> bool:
    """Tell whether a value and the norm of its gradient are finite."""
    return math.isfinite(f) and math.isfinite(g_norm)


def is_unbounded(f: float, f_start: float) -> bool:
    """Tell whether `f` is so far below `f_start` that there is no minimum to be expected."""
    return f < -UNBOUNDED_GROWTH * max(1.0, abs(f_start))
