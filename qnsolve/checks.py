"""What users pass, checked and converted: each kind of value once for the whole package.

A check is called with the value and the name that messages give it.  A value of another kind is a
TypeError, one out of range a ValueError; both say what was wanted and what was given.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from numbers import Integral, Real
from typing import Any

import array_api_compat
import numpy as np


def scalar(value: Any) -> Any:
    """Return `value`, or where it is an array of one real element, that as a Python number.

    Examples
    --------
    >>> import numpy as np
    >>> scalar(np.array([3])), scalar(np.array(True)), scalar(2.5)
    (3, True, 2.5)
    """
    if isinstance(value, np.generic):
        return value.item()
    if not array_api_compat.is_array_api_obj(value) or isinstance(value, np.ma.MaskedArray):
        return value
    if math.prod(value.shape) != 1:
        return value
    xp = array_api_compat.array_namespace(value)
    for kind, convert in (("bool", bool), ("integral", int), ("real floating", float)):
        if xp.isdtype(value.dtype, kind):
            return convert(xp.reshape(value, ()))
    return value


@dataclass(frozen=True)
class Number:
    """The check of a number.

    Whole numbers may be given as floats such as 100.0, and every number as an array of one element.
    Booleans are no numbers, and NaN is in no range.

    Parameters
    ----------
    wanted : str
        What `holds` tests, in words.
    holds : callable
    kind : {float, int}
    optional : bool
        Whether None passes.

    Examples
    --------
    >>> import numpy as np
    >>> POSITIVE(np.array(1e-5), "gtol"), at_least(1)(100.0, "maxiter")
    (1e-05, 100)
    >>> at_least(1)(0, "memory")
    Traceback (most recent call last):
    ...
    ValueError: memory must be an integer >= 1, got 0
    """

    wanted: str
    holds: Callable[[Any], bool]
    kind: type = float
    optional: bool = False

    def __call__(self, value: Any, name: str) -> Any:
        if value is None and self.optional:
            return None
        if type(value) is self.kind and self.holds(value):
            return value
        number, kind = scalar(value), Integral if self.kind is int else Real
        if self.kind is int and isinstance(number, float) and number.is_integer():
            number = int(number)
        if isinstance(number, bool) or not isinstance(number, kind):
            raise TypeError(f"{name} must be {self.wanted}, got {type(value).__name__} {value!r}")
        if not self.holds(number):
            raise ValueError(f"{name} must be {self.wanted}, got {value!r}")
        try:
            return self.kind(number)
        except OverflowError:  # an integer beyond the range of float
            return -math.inf if number != abs(number) else math.inf

    def or_none(self) -> Number:
        """Return the check that lets None pass, too."""
        return replace(self, optional=True)


REAL = Number("a real number", lambda value: True)
NOT_NEGATIVE = Number("a number >= 0", lambda value: value >= 0)
NOT_NEGATIVE_FINITE = Number("a finite number >= 0", lambda value: 0 <= value < math.inf)
POSITIVE = Number("a number > 0", lambda value: value > 0)
POSITIVE_FINITE = Number("a finite number > 0", lambda value: 0 < value < math.inf)
ONE_OR_MORE = Number("a finite number >= 1", lambda value: 1 <= value < math.inf)
MORE_THAN_ONE = Number("a number > 1", lambda value: value > 1)
FROM_ZERO_TO_ONE = Number("a number in [0, 1)", lambda value: 0 <= value < 1)
BETWEEN_ZERO_AND_ONE = Number("a number in (0, 1)", lambda value: 0 < value < 1)
PART = Number("a number in (0, 1]", lambda value: 0 < value <= 1)


def at_least(low: int) -> Number:
    """Return the check of an integer that is at least `low`."""
    return Number(f"an integer >= {low}", lambda value: value >= low, int)


def integer(value: Any, name: str, low: int, high: float = math.inf) -> int:
    """Return `value` as an integer from `low` to `high`."""
    wanted = f"an integer from {low} to {high}" if high < math.inf else f"an integer >= {low}"
    return int(Number(wanted, lambda number: low <= number <= high, int)(value, name))


def flag(value: Any, name: str) -> bool:
    """Return True or False, which may also be given as 1 or 0, of any library.

    Examples
    --------
    >>> flag(1, "history")
    True
    """
    given = scalar(value)
    if not isinstance(given, Integral):
        raise TypeError(f"{name} must be True or False, got {type(value).__name__} {value!r}")
    if given not in (0, 1):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(given)


def one_of(names: Iterable[str]) -> Callable[[Any, str], str]:
    """Return the check of a name that is one of `names`, a table of which the keys count."""

    def check(value: Any, name: str) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be one of {tuple(names)}, got {type(value).__name__}")
        if value not in tuple(names):
            raise ValueError(f"{name} must be one of {tuple(names)}, got {value!r}")
        return value

    return check


def function(value: Any, name: str) -> Any:
    """Return `value`, which must be callable."""
    if not callable(value):
        raise TypeError(f"{name} must be a callable, got {type(value).__name__} {value!r}")
    return value


def function_or_none(value: Any, name: str) -> Any:
    """Return `value`, which must be callable or None."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a callable or None, got {type(value).__name__}")
    return value


def warn_unused(method: str, **derivatives: Any) -> None:
    """Warn that a method does not use what it was given; once, for a wrapper may always give it."""
    for name, value in derivatives.items():
        if value is not None:
            _warn_once(f"Method {method} does not use Hessian information ({name}).")


@cache
def _warn_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)
