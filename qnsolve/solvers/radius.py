"""Rules for the radius of the trust region after a trial step.

A rule is a callable ``rule(radius, outcome, options) -> float``.  It is asked where f and its
gradient are finite at the end of the step; `options` has ``shrink_below`` and ``grow_above``, the
ratios at which the radius changes, and the loop keeps the answer below ``max_radius``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qnsolve.solvers.along_step import hermite_minimiser
from qnsolve.solvers.outcome import Outcome

LEAST_AT_KINKS = 0.1
"""Least part of a poor step to which the radius shrinks there."""

FREED = 10.0
"""Radius after a step that is taken at kinks, in lengths of that step."""

RadiusRule = Callable[[float, Outcome, Any], float]

LONG_STEP = 0.8
"""Part of the radius that a step must have used for the radius to grow (Algorithm 1)."""


@dataclass(frozen=True)
class Interpolated:
    """A radius read off the slopes at both ends of the step.

    Shrink to the minimiser of the cubic through both ends of a poor step; grow to where the slope
    would vanish, by the secant through both ends, after a good step that used the region.  At kinks
    the slope at the end is that of another piece: shrink to the minimiser of the parabola without
    it, and grow after any step that is taken, for else the region shrinks for good.

    Parameters
    ----------
    least : float
        The radius shrinks to no less than this part of the step.
    """

    least: float = 0.1

    def __call__(self, radius: float, outcome: Outcome, options: Any) -> float:
        length = outcome.length
        if outcome.kinks and outcome.accepted:
            return max(radius, FREED * length)
        if outcome.kinks:
            return length * before_kink(outcome)
        if not outcome.ratio >= options.shrink_below:
            return length * shrinkage(outcome, self.least)
        if outcome.ratio > options.grow_above and length >= LONG_STEP * radius:
            return max(radius, growth(outcome) * length)
        return radius


interpolated_radius = Interpolated()


def shrinkage(outcome: Outcome, least: float = 0.1) -> float:
    """Return the part of a poor step to the minimiser of the cubic through its ends."""
    t = hermite_minimiser(outcome.slope, outcome.slope_new, outcome.reduction)
    return 0.5 if math.isnan(t) else min(max(t, least), 0.5)


def before_kink(outcome: Outcome) -> float:
    """Return the part of a poor step to the minimiser of the parabola by its values and slope."""
    bend = -outcome.reduction - outcome.slope
    t = -0.5 * outcome.slope / bend if bend > 0.0 else 0.5
    return min(max(t, LEAST_AT_KINKS), 0.5)


def growth(outcome: Outcome) -> float:
    """Return the multiple of a good step to where, by the secant, the slope would vanish."""
    if not (outcome.slope < 0.0 and outcome.slope_new < 0.0):
        return 2.0
    remaining = 1.0 - outcome.slope_new / outcome.slope
    return min(max(1.0 / remaining, 2.0), 10.0) if remaining > 0.0 else 10.0


@dataclass(frozen=True)
class DoubleOrHalve:
    """Fixed factors on the radius itself (Ramamurthy and Duffy 2017, Algorithm 1, lines 18-25).

    Parameters
    ----------
    long_step : float
        Part of the radius that the l2 length of the step must exceed for the radius to grow.
    grow, shrink : float
        Factors.
    """

    long_step: float = 0.8
    grow: float = 2.0
    shrink: float = 0.5

    def __call__(self, radius: float, outcome: Outcome, options: Any) -> float:
        if outcome.ratio > options.grow_above:
            return self.grow * radius if outcome.length_2 > self.long_step * radius else radius
        return self.shrink * radius if outcome.ratio < options.shrink_below else radius


@dataclass(frozen=True)
class StepOrRadius:
    """Shrink to the smaller of a part of the step and a part of the radius (Burdakov et al. 2017).

    Parameters
    ----------
    step_part, radius_part : float
        c1 and c2: parts of the l2 length of a poor step, and of the radius.
    long_step : float
        c3: part of the radius that a good step must reach in the region's norm for it to grow.
    grow : float
        c4, the factor by which it grows.
    """

    step_part: float = 0.5
    radius_part: float = 0.25
    long_step: float = 0.8
    grow: float = 2.0

    def __call__(self, radius: float, outcome: Outcome, options: Any) -> float:
        if outcome.ratio < options.shrink_below:
            return min(self.step_part * outcome.length_2, self.radius_part * radius)
        if outcome.ratio > options.grow_above and outcome.length >= self.long_step * radius:
            return self.grow * radius
        return radius
