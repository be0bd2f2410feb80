"""Numbers that users pass to the subproblem solvers: checked before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np

from qnsolve.arrays import VectorSpace


def checked_positive(value: Any, name: str) -> float:
    """Return a user's positive number as a float, or raise TypeError or ValueError."""
    number = _as_float(value, name)
    if not (number > 0.0 and math.isfinite(number)):
        raise ValueError(f"{name} must be positive and finite, got {value!r}")
    return number


def checked_name(norm: Any, names: Iterable[str]) -> str:
    """Return the name of a norm, one of `names`, or raise TypeError or ValueError."""
    if not isinstance(norm, str):
        raise TypeError(f"norm must be a name, got {type(norm).__name__}")
    if norm not in names:
        raise ValueError(f"norm must be one of {tuple(names)}, got {norm!r}")
    return norm


def checked_power(power: Any, norm: Any = "l2") -> float:
    """Return a user's power of the regulariser as a float, or raise TypeError or ValueError."""
    power = checked_positive(power, "power")
    if power < 2.0:
        raise ValueError(f"power must be at least 2, got {power!r}")
    if norm == "shape" and power != 3.0:
        raise ValueError(f'norm "shape" has a closed form for power 3 only, got {power!r}')
    return power


def checked_tolerance(tol: Any, space: VectorSpace) -> float:
    """Return a user's tolerance in [0, 1), the square root of the dtype's rounding unless given."""
    if tol is None:
        return float(np.sqrt(space.eps))
    number = _as_float(tol, "tol")
    if not 0.0 <= number < 1.0:
        raise ValueError(f"tol must be in [0, 1), got {tol!r}")
    return number


def checked_count(value: Any, name: str, default: int, *, low: int) -> int:
    """Return a user's whole number of at least `low`, or raise TypeError or ValueError."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    if value < low:
        raise ValueError(f"{name} must be at least {low}, got {value}")
    return int(value)


def _as_float(value: Any, name: str) -> float:
    """Return a real number as a float, inf where its modulus is too large; else raise TypeError."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        return math.inf
