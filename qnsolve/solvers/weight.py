"""Rules for the weight of the cubic regulariser after a trial step.

A rule is a callable ``rule(weight, outcome, options, along) -> float``, `along` the
model along the step.  It is asked where f and its gradient are finite at the
end of the step; the loop keeps the answer within ``LEAST`` and ``LARGEST``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qnsolve.solvers.outcome import Outcome
from qnsolve.solvers.radius import growth, shrinkage

LEAST, LARGEST = 1e-150, 1e150
"""Weights beyond these are not used: their products would under- or overflow."""

SLOWEST = 2.0
"""Least factor by which :func:`interpolated_weight` changes the weight at once."""

FASTEST_FALL, FASTEST_RISE = 10.0, 1e3
"""Largest factors by which it does: a tenth of the step may need a weight a hundred times larger,
and more where negative curvature made it long."""


@dataclass(frozen=True)
class Along:
    r"""The model along the step, :math:`\phi(t) = a t + b t^2 / 2 + w c t^3 / 3`.

    Attributes
    ----------
    slope, curvature : float
        a = g's and b = s'Bs.
    cube : float
        c, the regulariser's norm of s cubed.
    gradient_norm : float
        ||g|| in the dual norm, before the step.
    """

    slope: float
    curvature: float
    cube: float
    gradient_norm: float

    def weight_for(self, t: float) -> float:
        """Return the weight with which the model along the step is stationary at t."""
        descent, growth = -(self.slope + self.curvature * t), self.cube * t * t
        # The cube of a very short step is zero: no weight is large enough.
        return descent / growth if growth > 0.0 else math.copysign(math.inf, descent)


WeightRule = Callable[[float, Outcome, Any, Along], float]


def interpolated_weight(weight: float, outcome: Outcome, options: Any, along: Along) -> float:
    """Return the weight with which the model would have ended where f along the step does.

    After a poor step, the minimiser of the cubic through both ends; after a good one the point
    where, by the secant, the slope of f vanishes.  Never less than a factor of two at once.
    """
    if not outcome.ratio >= options.grow_below:
        wanted = along.weight_for(shrinkage(outcome))
        return min(max(SLOWEST * weight, wanted), FASTEST_RISE * weight)
    if outcome.ratio > options.shrink_above:
        wanted = along.weight_for(growth(outcome))
        return min(max(weight / FASTEST_FALL, wanted), weight / SLOWEST)
    return weight


@dataclass(frozen=True)
class Midpoints:
    """The rule of ARCs-LSR1: the midpoints of the intervals of Cartis, Gould and Toint.

    Parameters
    ----------
    modest, steep : float
        gamma1 and gamma2 of (0, w], [w, gamma1 w] and [gamma1 w, gamma2 w].
    """

    modest: float = 1.0
    steep: float = 10.0

    def __call__(self, weight: float, outcome: Outcome, options: Any, along: Along) -> float:
        if outcome.ratio > options.shrink_above:
            return 0.5 * weight
        if outcome.ratio >= options.grow_below:
            return 0.5 * (1.0 + self.modest) * weight
        return 0.5 * (self.modest + self.steep) * weight


@dataclass(frozen=True)
class CartisGouldToint:
    """Keep, double, or fall to the gradient's norm (Cartis, Gould and Toint 2011, section 7).

    Parameters
    ----------
    grow : float
        Factor after a poor step.
    floor : float
        Least weight.
    """

    grow: float = 2.0
    floor: float = 2.0**-52

    def __call__(self, weight: float, outcome: Outcome, options: Any, along: Along) -> float:
        if outcome.ratio > options.shrink_above:
            return max(min(weight, along.gradient_norm), self.floor)
        return weight if outcome.ratio >= options.grow_below else self.grow * weight


RULES: dict[str, WeightRule] = {
    "interpolation": interpolated_weight,
    "arcs": Midpoints(),
    "cgt": CartisGouldToint(),
}
"""Rules by the names in :data:`qnsolve.options.WEIGHT_RULES`."""


def rule_of(named: str | WeightRule) -> WeightRule:
    """Return the rule that an option names, or is."""
    return RULES[named] if isinstance(named, str) else named
