"""Rules for a first step along -g, for methods that do not take it from their model.

A rule is a callable ``rule(objective, at) -> FirstStep or None``; None leaves the first step to the
model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qnsolve.array import Array, Wanted
from qnsolve.objective import Objective
from qnsolve.result import Status
from qnsolve.solvers.common import Run, all_finite, end_of_step, is_unbounded
from qnsolve.solvers.trial import Iterate, Model, Outcome
from qnsolve.solvers.wolfe import Trial, strong_wolfe

MAX_TRIALS = 100
"""Trials of :class:`DoublingSearch`: halvings to nothing, doublings to 1e30."""


class FirstStep(NamedTuple):
    """A point with its value and gradient, and the step that goes into the pair with it."""

    x: Array
    f: float
    g: Array
    step: Array


FirstStepRule = Callable[[Objective, Iterate[Model]], FirstStep | None]


def take_first_step(
    at: Iterate[Model], rule: FirstStepRule, objective: Objective, run: Run
) -> Outcome:
    """Make the step that `rule` chooses, in place, and learn its pair."""
    slope = -at.model.gradient_norm * at.model.gradient_norm
    first = rule(objective, at)
    if first is None:
        return Outcome(np.nan, np.nan, slope, np.nan)
    length = at.model.metric.norm(first.x - at.x)
    status = Status.UNBOUNDED if is_unbounded(first.f, at.f_start) else None
    norm_new = at.model.metric.dual_norm(first.g)
    run.changing()
    run.skipped += not at.model.learn(first.step, first.g, norm_new, move=True)
    at.x, at.f = first.x, first.f
    return Outcome(length, length, slope, np.nan, accepted=True, status=status)


@dataclass(frozen=True)
class WolfeSearch:
    """The first point along -g with the strong Wolfe conditions, from a step of length 1.

    Parameters
    ----------
    decrease, curvature : float
        c1 and c2.
    """

    decrease: float = 1e-4
    curvature: float = 0.9

    def __call__(self, objective: Objective, at: Iterate[Model]) -> FirstStep | None:
        space, g = objective.space, at.model.gradient
        g_norm = space.norm(g)
        direction = -g / g_norm

        def line(t: float) -> Trial:
            x = end_of_step(space, at.x, direction, t, t)
            if x is None:
                return Trial(t, np.nan, np.nan)
            f, g_new = objective(x)
            finite = g_new is not None and all_finite(f, space.norm(g_new))
            slope = space.dot(g_new, direction) if finite else np.nan
            return Trial(t, f, slope, x, g_new, is_unbounded(f, at.f_start))

        found = strong_wolfe(
            line,
            Trial(0.0, at.f, -g_norm, at.x, g),
            1.0,
            decrease=self.decrease,
            curvature=self.curvature,
            shortest=space.eps * space.norm(at.x),
            eps=space.eps,
        )
        if found is None or found.g is None:
            return None
        return FirstStep(found.x, found.f, found.g, found.x - at.x)


@dataclass(frozen=True)
class DoublingSearch:
    """A unit step along -g, doubled while f falls, or halved until it does."""

    def __call__(self, objective: Objective, at: Iterate[Model]) -> FirstStep | None:
        space, g = objective.space, at.model.gradient
        direction = -g / space.norm(g)
        best, t = None, 1.0
        for _ in range(MAX_TRIALS):
            x = end_of_step(space, at.x, direction, t, t)
            f, g_new = (np.nan, None) if x is None else objective(x)
            finite = g_new is not None and all_finite(f, space.norm(g_new))
            lowest = at.f if best is None else best.f
            if finite and f < lowest:
                best = FirstStep(x, f, g_new, x - at.x)
                if t < 1.0 or is_unbounded(f, at.f_start):
                    return best
                t *= 2.0
            elif best is not None:
                return best
            else:
                t *= 0.5
        return best


@dataclass(frozen=True)
class UnitL1Step:
    r"""x - min(1, 1 / ||g||_1) g, taken whatever f does there, with -g in its pair.

    Only for replaying the public code of ARCs-LSR1: the pair does not belong to the step.
    """

    def __call__(self, objective: Objective, at: Iterate[Model]) -> FirstStep | None:
        space, g = objective.space, at.model.gradient
        (norm_1,) = space.gather(Wanted(), [space.xp.sum(space.xp.abs(g))])
        t = min(1.0, 1.0 / norm_1)
        x = end_of_step(space, at.x, -g, t * at.model.gradient_norm, t)
        f, g_new = (np.nan, None) if x is None else objective(x)
        if g_new is None or not all_finite(f, space.norm(g_new)):
            return None
        return FirstStep(x, f, g_new, -g)
