"""Bounds on the variables: a box, in the flat vectors of one solve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import Bounds

from qnsolve.arrays import Array, VectorSpace
from qnsolve.arrays.libraries import namespace_of

FORMS = (
    "bounds must be a scipy.optimize.Bounds or a sequence of pairs (low, high), one for each "
    "variable"
)


@dataclass(frozen=True, eq=False)
class Box:
    """The box of all x with lower <= x <= upper, entry by entry.

    Parameters
    ----------
    lower, upper : array, shape (n,)
        Of the library and dtype of the vectors; -inf and inf where there is no bound.

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
    def of(cls, bounds: Any, space: VectorSpace) -> Box | None:
        """Return the box that a user's bounds describe; None where every bound is infinite."""
        if bounds is None:
            return None
        try:
            if isinstance(bounds, Bounds):
                ends = [bounds.lb, bounds.ub]
            else:
                pairs = [(low, high) for low, high in bounds]
                ends = [
                    [-np.inf if low is None else low for low, _ in pairs],
                    [np.inf if high is None else high for _, high in pairs],
                ]
            lower, upper = (
                np.broadcast_to(np.asarray(end, dtype=np.float64).ravel(), (space.size,))
                for end in ends
            )
        except (TypeError, ValueError):
            raise TypeError(f"{FORMS}, got {bounds!r}") from None
        if not np.all(lower <= upper):
            raise ValueError("bounds must have low <= high for each variable")
        box = cls(space.from_host(lower), space.from_host(upper))
        return None if box.is_free_of_bounds else box

    @property
    def is_free_of_bounds(self) -> bool:
        """Whether every bound is infinite."""
        xp = namespace_of(self.lower)
        return bool(xp.all(self.lower == -np.inf)) and bool(xp.all(self.upper == np.inf))

    def project(self, x: Array) -> Array:
        """Return the point of the box that is nearest to `x`."""
        where = namespace_of(x).where
        return where(x < self.lower, self.lower, where(x > self.upper, self.upper, x))

    def contains(self, x: Array) -> bool:
        """Tell whether `x` is in the box, exactly."""
        xp = namespace_of(x)
        return bool(xp.all((x >= self.lower) & (x <= self.upper)))
