"""A first step along -g, for methods that do not take it from their model.

A rule is a callable ``rule(at, space)`` that returns a generator: it asks for f and g at points
(:class:`qnsolve.questions.Evaluate`) and returns a FirstStep, or None to leave the first step to
the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from qnsolve.arrays import Array, VectorSpace
from qnsolve.points import is_unbounded
from qnsolve.questions import Answer, Asking
from qnsolve.result import Status
from qnsolve.solvers.iterate import Iterate
from qnsolve.solvers.outcome import Outcome
from qnsolve.solvers.run import Run


class FirstStep(NamedTuple):
    """A point with its value and gradient, and the step that goes into the pair with it."""

    x: Array
    f: float
    g: Array
    step: Array


FirstStepRule = Callable[[Iterate, VectorSpace], Asking[FirstStep | None]]


def take_first_step(at: Iterate, rule: FirstStepRule, run: Run) -> Asking[Outcome]:
    """Make the step that `rule` chooses, in place, and learn its pair."""
    model, space = at.model, run.space
    slope = -model.gradient_norm * model.gradient_norm
    first = yield from rule(at, space)
    if first is None:
        return Outcome(np.nan, np.nan, slope, np.nan)
    length = model.metric.norm(first.x - at.x)
    status = Status.UNBOUNDED if is_unbounded(first.f, at.f_start) else None
    end = model.end_of(first.x, first.step)
    end.answered(Answer(first.f, first.g, space.reduce(end.request(first.g))))
    run.changing()
    run.saw_pair(model.learn(end, offer=True, move=True))
    at.x, at.f = first.x, first.f
    return Outcome(length, length, slope, np.nan, accepted=True, status=status)
