"""Rules for a first step along -g, for methods that do not take it from their model.

A rule is a callable ``rule(objective, at) -> FirstStep or None``; None leaves the first step to the
model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from qnsolve.array import Array
from qnsolve.objective import Objective
from qnsolve.result import Status
from qnsolve.solvers.common import Run, is_unbounded
from qnsolve.solvers.trial import Iterate, Model, Outcome


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
