"""Points at the ends of steps, and the values there."""

from __future__ import annotations

import math

import numpy as np

from qnsolve.arrays import Array, VectorSpace

SURELY_FINITE = 1e15
"""Length of a step, and factor of it, that make no finite x infinite: far below the spacing of
numbers there."""

UNBOUNDED_GROWTH = 1e30
"""A decrease below -UNBOUNDED_GROWTH * max(1, |f0|) is taken for minus infinity."""


def end_of_step(
    space: VectorSpace, x: Array, step: Array, length: float, t: float = 1.0
) -> Array | None:
    """Return x + t step, or None where that would be infinite; its length is `length`."""
    with np.errstate(over="ignore", invalid="ignore"):
        x_new = x + (step if t == 1.0 else t * step)
    # A factor may be too large for the dtype of a step that is all the shorter.
    if not max(length, t) <= SURELY_FINITE and not math.isfinite(space.norm_inf(x_new)):
        return None
    return x_new


def all_finite(f: float, g_norm: float) -> bool:
    """Tell whether a value and the norm of its gradient are finite."""
    return math.isfinite(f) and math.isfinite(g_norm)


def is_unbounded(f: float, f_start: float) -> bool:
    """Tell whether `f` is so far below `f_start` that there is no minimum to be expected."""
    return f < -UNBOUNDED_GROWTH * max(1.0, abs(f_start))
