"""How far a step may go: the radius of a trust region, or the weight of a cubic regulariser."""

from __future__ import annotations

from typing import Any

import numpy as np

from qnsolve.solvers.outcome import Outcome
from qnsolve.solvers.radius import RadiusRule
from qnsolve.solvers.start import WarmStart, first_gamma
from qnsolve.solvers.weight import (
    FASTEST_FALL,
    LARGEST,
    LEAST,
    SLOWEST,
    Along,
    WeightRule,
)
from qnsolve.state import Saved, Stateful
from qnsolve.subproblem.box import BoxedModel, BoxedStep
from qnsolve.subproblem.model import QuadraticModel, SubproblemResult
from qnsolve.subproblem.regions import Regularisation, TrustRegion
from qnsolve.subproblem.types import SubproblemStatus

NON_FINITE_SHRINK = 0.1
"""Radius after a trial with a value that is not finite, in lengths of that trial."""

AFTER_FIRST_STEP = 2.0
"""Radius after a first step that was not the model's, in l2 lengths of that step."""

NON_FINITE_GROWTH = 100.0
"""Growth of the weight after such a trial: a tenth of the step, where the weight alone decides on
its length."""

ROUNDING = 1e-6
"""Part by which the first step may exceed the length that its weight was chosen for."""

WARM_PART = 0.1
"""Part of the longest step of the pairs of a former run that the radius is at least."""

FORGET = 0.3
"""Part of the length of recent steps that is left after one that was much shorter."""


class Radius(Stateful):
    """The radius of a trust region.

    Parameters
    ----------
    options
        What the rule reads.
    rule : callable
        One of :mod:`qnsolve.solvers.radius`.
    norm : str
        Name of the region's norm.
    least, most : float
        The radius stays between them.
    first : float, "gradient" or None
        The first radius; "gradient" is the norm of the first gradient.

    Attributes
    ----------
    size : float
        The radius.
    """

    word = "radius"
    size: Saved[float]

    def __init__(
        self,
        options: Any,
        rule: RadiusRule,
        norm: str = "l2",
        least: float = 0.0,
        most: float = np.inf,
        first: float | str | None = None,
    ) -> None:
        self._options, self._rule, self._norm = options, rule, norm
        self._least, self._most, self._first = least, most, first
        self._given = first is not None
        self.size = np.nan

    def begin(self, length: float, gradient_norm: float, longest: float = np.inf) -> None:
        """Let the next step have this length, unless the first radius is given.

        A first radius beyond `longest` is cut to that.
        """
        first = self._first or length
        first = (gradient_norm or 1.0) if isinstance(first, str) else first
        self.size = self._within(min(first, longest))
        self._first = None

    def take_over(self, warm: WarmStart) -> None:
        """Go on from the radius of a former run, unless the first radius was given.

        A run that ends for rounding has shrunk its radius for rounding; the steps of its pairs say
        how far its matrix holds.
        """
        size = max(warm.radius, WARM_PART * warm.longest)
        if size > 0.0 and not self._given:
            self.size = self._within(size)

    @property
    def first_length(self) -> float:
        """Length that the model without pairs is to give the first step."""
        return self.size

    @property
    def exhausted(self) -> bool:
        """Whether the radius has shrunk below the smallest number."""
        return not self.size > 0.0

    def minimise(self, model: QuadraticModel | BoxedModel) -> SubproblemResult | BoxedStep:
        """Return the minimiser of the model in the region."""
        return model.minimise(TrustRegion(self.size, self._norm))

    def adapt(self, outcome: Outcome, trial: Any) -> None:
        """Change the radius after a trial step."""
        if outcome.finite:
            self.size = self._within(self._rule(self.size, outcome, self._options))
        else:
            self.size = self._within(NON_FINITE_SHRINK * outcome.length)

    def follow(self, outcome: Outcome) -> None:
        """Change the radius after a first step that was not the model's."""
        self.size = self._within(AFTER_FIRST_STEP * outcome.length_2)

    def _within(self, radius: float) -> float:
        return min(max(float(radius), self._least), self._most)


class Weight(Stateful):
    """The weight of a cubic regulariser, and how long a step may be.

    Parameters
    ----------
    options
        What the rule reads.
    rule : callable
        One of :mod:`qnsolve.solvers.weight`.
    norm : str
        Name of the regulariser's norm.
    longest_step : float
        A step longer than that, in units of those recently taken, is not proposed.
    first : float, optional
        The first weight; by default the one that goes with the first length.

    Attributes
    ----------
    size : float
        The weight.
    length : float
        Of the steps recently taken; before one has been taken, of the first step.
    moved : bool
        Whether a step has been taken.

    Notes
    -----
    A model that asks for a far longer step than any that was taken is solved again with a larger
    weight, O(m) each, before anything is evaluated: with negative curvature -lam the step is at
    least lam / weight long, and the pair of a giant step would bring a giant curvature into the
    matrix, faster than the weight can follow.
    """

    word = "weight"
    size: Saved[float]
    length: Saved[float]
    moved: Saved[bool]
    exhausted = False

    def __init__(
        self,
        options: Any,
        rule: WeightRule,
        norm: str = "l2",
        longest_step: float = np.inf,
        first: float | None = None,
    ) -> None:
        self._options, self._rule, self._norm = options, rule, norm
        self._longest_step, self._first = longest_step, first
        self.size = self.length = np.nan
        self.moved = False

    def begin(self, length: float, gradient_norm: float, longest: float = np.inf) -> None:
        """Let the next step have this length, unless the first weight is given.

        A weight keeps steps below `longest` by itself.
        """
        self.length, self.moved = length, False
        # Curvature and weight share the gradient at that length: gamma t + w t^2 = |g|.
        gamma = first_gamma(gradient_norm, self.first_length)
        weight = self._first or (gamma / length if length else np.inf)
        self.size, self._first = within_range(weight), None

    def take_over(self, warm: WarmStart) -> None:
        """Go on from the lengths of the steps of a former run.

        Its weight is not that of the next problem: from there a run took more evaluations.
        """
        if warm.pairs:
            self.length, self.moved = warm.longest, True

    @property
    def first_length(self) -> float:
        """Length that the model without pairs and weight is to give the first step."""
        return 2.0 * self.length

    def limit(self) -> float:
        """Return the length of the longest step that is evaluated."""
        if np.isinf(self._longest_step):
            return np.inf
        # The first step has this length, to rounding, unless the weight was given.
        return self.length * (self._longest_step if self.moved else 1.0 + ROUNDING)

    def minimise(self, model: QuadraticModel | BoxedModel) -> SubproblemResult | BoxedStep:
        """Minimise the regularised model; raise the weight until the step is within the limit."""
        weight, limit = self.size, self.limit()
        while True:
            trial = model.minimise(Regularisation(weight, self._norm))
            unbounded = trial.status is SubproblemStatus.UNBOUNDED
            if (trial.length <= limit and not unbounded) or weight >= LARGEST:
                return trial
            # The length falls like 1 / weight where curvature decides on it, else more slowly.
            excess = FASTEST_FALL if unbounded else trial.length / limit
            weight = within_range(weight * max(SLOWEST, excess))

    def adapt(self, outcome: Outcome, trial: SubproblemResult | BoxedStep) -> None:
        """Change the weight after a trial step."""
        self.follow(outcome)
        term: Any = trial.term
        weight = term.weight
        if outcome.finite:
            weight = self._rule(weight, outcome, self._options, along(trial))
        else:
            weight = NON_FINITE_GROWTH * weight
        self.size = within_range(weight)

    def follow(self, outcome: Outcome) -> None:
        """Take the length of a step into account."""
        if outcome.accepted:
            fading = FORGET * self.length if self.moved else 0.0
            self.length, self.moved = max(outcome.length_2, fading), True


Reach = Radius | Weight


def along(trial: SubproblemResult | BoxedStep) -> Along:
    """Return the regularised model along the step."""
    return Along(trial.slope, trial.curvature, trial.cube, trial.model.gradient_norm)


def within_range(weight: float) -> float:
    """Return the weight, no smaller or larger than subproblems can be solved with."""
    return min(max(weight, LEAST), LARGEST)
