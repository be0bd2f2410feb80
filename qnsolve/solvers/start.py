"""How long a first step may be, and the curvature that gives it this length."""

from __future__ import annotations

import math
from typing import NamedTuple

from qnsolve.arrays import Array, space_of


class WarmStart(NamedTuple):
    """What a run begins with that goes on from a former one.

    Attributes
    ----------
    pairs : list of (array, array)
        s and y, oldest first, vectors of the new run.
    gamma : float
        NaN where it is not known.
    radius : float
        Of the next step; 0 where it is not known.
    """

    pairs: list[tuple[Array, Array]]
    gamma: float
    radius: float

    @property
    def longest(self) -> float:
        """Length of the longest step of the pairs."""
        return max((space_of(s).norm(s) for s, _ in self.pairs), default=0.0)


class FirstReach(NamedTuple):
    """How far a first step may go: in lengths of x0, and of the way to f = 0 by a linear model."""

    of_x: float = 1.0
    of_fall: float = 2.0


CAUTIOUS = FirstReach()


def starting_radius(x_norm: float, f: float, g_norm: float, reach: FirstReach = CAUTIOUS) -> float:
    """Return a first radius with the unit of x.

    A linear model of f reaches 0 at |f| / |g|; twice that is as far as a function that is bounded
    below by 0 is likely to fall along -g.
    """
    by_size = reach.of_x * max(1.0, x_norm) if math.isfinite(x_norm) else 1.0
    by_value = reach.of_fall * (abs(f) / g_norm) if g_norm else 0.0
    return min(by_size, by_value) if by_value > 0.0 else by_size


def first_gamma(g_norm: float, length: float) -> float:
    """Return the gamma with which the minimiser of the first model has the length asked for."""
    gamma = g_norm / length if length else math.inf
    # The inverse form starts from 1 / gamma.
    return gamma if 0.0 < gamma < math.inf and 1.0 / gamma < math.inf else 1.0
