"""Bounds on the variables: a box, in the flat vectors of one solve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from qnsolve.arrays import Array, VectorSpace
from qnsolve.arrays.border import Border
from qnsolve.arrays.libraries import as_numpy, device_of, is_array, namespace_of
from qnsolve.arrays.user import describe, own_array

FORMS = (
    "bounds must be a scipy.optimize.Bounds, a sequence of pairs (low, high), one for each "
    "variable, or a qnsolve.bounds.Box"
)


@dataclass(frozen=True, eq=False)
class Box:
    """The box of all x with lower <= x <= upper, entry by entry.

    As an argument `bounds` it is the form for arrays that are not NumPy's, which
    :class:`scipy.optimize.Bounds` cannot hold.

    Parameters
    ----------
    lower, upper : array, shape (n,)
        Of the library and dtype of the vectors; -inf and inf where there is no bound.  As an
        argument `bounds` also with the shape of x, or one number for all variables.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.bounds import Box
    >>> box = Box(np.array([0.0, -np.inf]), np.array([1.0, np.inf]))
    >>> box.project(np.array([2.0, 3.0])), box.contains(np.array([2.0, 3.0]))
    (array([1., 3.]), False)
    """

    lower: Array
    upper: Array

    @classmethod
    def of(cls, bounds: Any, space: VectorSpace, border: Border | None = None) -> Box | None:
        """Return the box that a user's bounds describe; None where every bound is infinite.

        Parameters
        ----------
        bounds : scipy.optimize.Bounds, sequence of pairs, Box, or None
            In a pair None is no bound, and one pair stands for all variables.  `keep_feasible` is
            always true here.
        space : VectorSpace
            Of the flat vectors, or of the slices of this rank.
        border : Border, optional
            Between these and the arrays of the user's callables.

        Raises
        ------
        TypeError
            If `bounds` is of another form, or holds no real numbers.
        ValueError
            If the number of bounds is not that of the variables, one of them is NaN, or there is no
            finite number, of the dtype of x, between two of them.

        Notes
        -----
        Bounds with more digits than x are rounded inwards, so that what is inside here is inside of
        what was given; where both are the same number, to the nearest.

        Examples
        --------
        >>> import numpy as np
        >>> from qnsolve.arrays import new_space
        >>> box = Box.of([(0, None), (-1, 0.1)], new_space(2, np.float32))
        >>> box.lower, float(box.upper[1]) < 0.1
        (array([ 0., -1.], dtype=float32), True)
        >>> Box.of([(None, None)], new_space(2)) is None
        True
        """
        if bounds is None or (isinstance(bounds, list | tuple) and len(bounds) == 0):
            return None
        ends = []
        for end in _ends(bounds):
            given = end if border is None else border.inside(end)
            if space.on_host or not is_array(given) or isinstance(given, np.ndarray):
                given = np.asarray(as_numpy(given), dtype=np.float64)
            ends.append(_for_each_variable(given, space))
        if not all(isinstance(end, np.ndarray) for end in ends):
            ends = [space.from_host(end) if isinstance(end, np.ndarray) else end for end in ends]
        lower, upper = ends
        _require_order(lower, upper)
        if isinstance(lower, np.ndarray):
            lower, upper = (space.from_host(end) for end in _inwards(lower, upper, space))
        box = cls(lower, upper)
        return None if box.is_free_of_bounds else box

    @property
    def is_free_of_bounds(self) -> bool:
        """Whether every bound is infinite."""
        xp = namespace_of(self.lower)
        return bool(xp.all(self.lower == -math.inf)) and bool(xp.all(self.upper == math.inf))

    def project(self, x: Array) -> Array:
        """Return the point of the box that is nearest to `x`."""
        where = namespace_of(x).where
        return where(x < self.lower, self.lower, where(x > self.upper, self.upper, x))

    def contains(self, x: Array) -> bool:
        """Tell whether `x` is in the box, exactly."""
        xp = namespace_of(x)
        return bool(xp.all((x >= self.lower) & (x <= self.upper)))

    def count_outside(self, x: Array) -> int:
        """Return how many entries of `x` are outside."""
        xp = namespace_of(x)
        return int(xp.count_nonzero((x < self.lower) | (x > self.upper)))


def _ends(bounds: Any) -> tuple[Any, Any]:
    """Return the lower and the upper bounds, in any of the forms, as arrays or numbers."""
    if isinstance(bounds, Box):
        return _real(bounds.lower, bounds), _real(bounds.upper, bounds)
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        return _real(bounds.lb, bounds), _real(bounds.ub, bounds)
    if is_array(bounds) and not isinstance(bounds, np.ndarray):
        pairs = _real(bounds, bounds)
        if len(pairs.shape) != 2 or pairs.shape[1] != 2:
            raise TypeError(f"{FORMS}, got {describe(bounds)}")
        return pairs[:, 0], pairs[:, 1]
    try:
        if isinstance(bounds, str | bytes):
            raise TypeError
        lower, upper = zip(*((low, high) for low, high in bounds), strict=True)
    except (TypeError, ValueError):
        raise TypeError(f"{FORMS}, got {bounds!r}") from None
    return (
        _real([-math.inf if low is None else low for low in lower], bounds),
        _real([math.inf if high is None else high for high in upper], bounds),
    )


def _real(end: Any, bounds: Any) -> Array:
    """Return one side of the bounds as an array of real numbers."""
    try:
        end = own_array(end, "bounds")
        if isinstance(end, np.ndarray):
            if end.dtype.kind not in "biufO" or any(isinstance(e, str | bytes) for e in end.flat):
                raise TypeError
            return end.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{FORMS}, got {bounds!r}") from None
    if not namespace_of(end).isdtype(end.dtype, ("bool", "integral", "real floating")):
        raise TypeError(f"bounds must hold real numbers, got dtype {end.dtype}")
    return end


def _for_each_variable(end: Array, space: VectorSpace) -> Array:
    """Return one side of the bounds with an entry for each variable."""
    size = math.prod(end.shape)
    if size not in (1, space.length):
        raise ValueError(f"there are {size} bounds on a side, x0 has {space.length} entries")
    if isinstance(end, np.ndarray):
        return np.broadcast_to(end.ravel(), (space.length,)).copy()
    xp = space.xp
    if namespace_of(end) is not xp or end.dtype != space.dtype:
        raise TypeError(
            f"bounds must be of {space.package} with dtype {space.dtype}, as x0 is, or NumPy's, "
            f"got {describe(end)} with dtype {end.dtype}"
        )
    if space.device is not None and device_of(end) != space.device:
        raise ValueError(f"bounds are on {device_of(end)}, but x0 is on {space.device}")
    # A copy: what the user writes into the array later is none of the run's business.
    return xp.asarray(xp.broadcast_to(xp.reshape(end, (-1,)), (space.length,)), copy=True)


def _require_order(lower: Array, upper: Array) -> None:
    """Refuse NaN, low > high, and what no finite x is between."""
    xp = namespace_of(lower)
    wrong = xp.isnan(lower) | xp.isnan(upper)
    if bool(xp.any(wrong)):
        raise ValueError(
            f"bounds must not be NaN, {_first(wrong, lower, upper)}; None is no bound, and so is "
            "an infinity"
        )
    wrong = lower > upper
    if bool(xp.any(wrong)):
        raise ValueError(
            f"bounds must have low <= high for each variable, {_first(wrong, lower, upper)}"
        )
    wrong = (lower == math.inf) | (upper == -math.inf)
    if bool(xp.any(wrong)):
        raise ValueError(
            f"bounds must have a finite number between them, {_first(wrong, lower, upper)}"
        )


def _first(wrong: Array, lower: Array, upper: Array) -> str:
    xp = namespace_of(wrong)
    i = int(xp.argmax(xp.astype(wrong, xp.int32)))
    return f"got low {float(lower[i])} and high {float(upper[i])} for variable {i}"


def _inwards(
    lower: np.ndarray, upper: np.ndarray, space: VectorSpace
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds rounded inwards to numbers that the dtype of x has, as float64."""
    info = space.xp.finfo(space.dtype)
    if float(info.eps) <= np.finfo(np.float64).eps:
        return lower, upper
    # Every narrower dtype that can hold x is float32.
    fixed, up, down = lower == upper, np.float32(np.inf), np.float32(-np.inf)
    with np.errstate(over="ignore", under="ignore"):
        low, high = lower.astype(np.float32), upper.astype(np.float32)
        low = np.where((low < lower) & ~fixed, np.nextafter(low, up), low)
        high = np.where((high > upper) & ~fixed, np.nextafter(high, down), high)
    wrong = (low > high) | (low == np.inf) | (high == -np.inf)
    if wrong.any():
        raise ValueError(
            f"bounds must have a number of dtype {space.dtype} between them, "
            f"{_first(wrong, lower, upper)}"
        )
    return low.astype(np.float64), high.astype(np.float64)
