"""First steps along -g by a search, as published codes take them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qnsolve.objective import Objective
from qnsolve.solvers.common import all_finite, end_of_step, is_unbounded
from qnsolve.solvers.first_step import FirstStep
from qnsolve.solvers.trial import Iterate, Model
from qnsolve.solvers.wolfe import Trial, strong_wolfe

MAX_TRIALS = 100
"""Trials of :class:`DoublingSearch`: halvings to nothing, doublings to 1e30."""


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
