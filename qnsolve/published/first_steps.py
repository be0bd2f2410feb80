"""First steps of published methods: rules as in :mod:`qnsolve.solvers.first_step`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from qnsolve.arrays import Array, Request, VectorSpace
from qnsolve.points import all_finite, end_of_step, is_unbounded, stands_still
from qnsolve.questions import Answer, Asking, Evaluate, relay
from qnsolve.solvers.first_step import FirstStep
from qnsolve.solvers.iterate import Iterate
from qnsolve.solvers.wolfe import LinePoint, strong_wolfe

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

    def __call__(self, at: Iterate, space: VectorSpace) -> Asking[FirstStep | None]:
        """Ask for points along -g; return the one that is taken."""
        g_norm = space.norm(at.model.gradient)
        direction = -at.model.gradient / g_norm
        search = strong_wolfe(
            LinePoint(0.0, at.f, -g_norm),
            1.0,
            decrease=self.decrease,
            curvature=self.curvature,
            too_short=partial(
                stands_still, space, at.x, space.norm(at.x), direction, 1.0, space.eps
            ),
            eps=space.eps,
        )

        def ask(t: float) -> Asking[LinePoint]:
            x, answer = yield from _ask_at(at, space, direction, t, direction)
            slope = np.nan
            if answer.numbers is not None and _finite(answer, space):
                slope = answer.numbers.dots[1]
            lowest = is_unbounded(answer.f, at.f_start)
            return LinePoint(t, answer.f, slope, (x, answer.g), lowest)

        found = yield from relay(search, ask)
        if found is None or found.end[1] is None:
            return None
        x, g = found.end
        return FirstStep(x, found.f, g, x - at.x)


@dataclass(frozen=True)
class DoublingSearch:
    """A unit step along -g, doubled while f falls, or halved until it does."""

    def __call__(self, at: Iterate, space: VectorSpace) -> Asking[FirstStep | None]:
        """Ask for points along -g; return the one that is taken."""
        direction = -at.model.gradient / space.norm(at.model.gradient)
        best, t = None, 1.0
        for _ in range(MAX_TRIALS):
            x, answer = yield from _ask_at(at, space, direction, t)
            lowest = at.f if best is None else best.f
            if _finite(answer, space) and answer.f < lowest:
                best = FirstStep(x, answer.f, answer.g, x - at.x)
                if t < 1.0 or is_unbounded(answer.f, at.f_start):
                    return best
                t *= 2.0
            elif best is not None:
                return best
            else:
                t *= 0.5
        return best


def _ask_at(
    at: Iterate, space: VectorSpace, direction: Array, t: float, along: Array | None = None
) -> Asking[tuple[Array | None, Answer]]:
    """Ask at x + t direction for f, g and g'g, and where `along` is given for its slope."""
    x = end_of_step(space, at.x, direction, t, t)
    if x is None:
        return None, Answer(np.nan, None)

    def request(g: Array) -> Request:
        return Request(((g, g), *(() if along is None else ((g, along),))))

    return x, (yield Evaluate(x, request))


def _finite(answer: Answer, space: VectorSpace) -> bool:
    return answer.g is not None and all_finite(answer.f, space.norm(answer.g))
