"""How far a step may go: the radius of a trust region, or the weight of a cubic regulariser."""

from __future__ import annotations

import math
from typing import Any, Protocol

from qnsolve.options import CubicOptions
from qnsolve.solvers.arc import (
    NON_FINITE_GROWTH,
    Scale,
    model_along,
    regularised_step,
    within_range,
)
from qnsolve.solvers.radius import DoubleOrHalve
from qnsolve.solvers.trial import Outcome, Trial
from qnsolve.solvers.trust_region import NON_FINITE_SHRINK
from qnsolve.solvers.weight import rule_of
from qnsolve.stochastic.options import CubicStepOptions, RegionOptions


class Reach(Protocol):
    """What keeps a step short.

    Attributes
    ----------
    size : float
        Radius or weight.
    first_length : float
        Length that the model without pairs is to give the first step.
    """

    size: float
    first_length: float

    def minimise(self, quadratic: Any, gradient_norm: float) -> Trial: ...

    def adapt(self, outcome: Outcome) -> None: ...

    def snapshot(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


class Radius:
    """The radius of a trust region, in the norm of the model.

    Parameters
    ----------
    options : RegionOptions
    gradient_norm : float
        Dual norm of the first gradient.
    """

    def __init__(self, options: RegionOptions, gradient_norm: float) -> None:
        self._options = options
        self._rule = DoubleOrHalve(options.long_step, options.grow, options.shrink)
        self.first_length = options.initial_rate * (gradient_norm or 1.0)
        self.size = self._within(options.initial_radius or self.first_length)

    def minimise(self, quadratic: Any, gradient_norm: float) -> Trial:
        """Return the minimiser of the model in the region."""
        return quadratic.trust_region(self.size)

    def adapt(self, outcome: Outcome) -> None:
        """Change the radius after a trial step."""
        if outcome.finite:
            self.size = self._within(self._rule(self.size, outcome, self._options))
        else:
            self.size = self._within(NON_FINITE_SHRINK * outcome.length)

    def snapshot(self) -> dict[str, Any]:
        """Return the state, for :meth:`restore`."""
        return {"size": self.size}

    def restore(self, state: dict[str, Any]) -> None:
        self.size = state["size"]

    def _within(self, radius: float) -> float:
        return min(max(radius, self._options.min_radius), self._options.max_radius)


class Weight:
    """The weight of a cubic regulariser.

    Parameters
    ----------
    options : CubicStepOptions
    gradient_norm : float
        Dual norm of the first gradient.
    """

    def __init__(self, options: CubicStepOptions, gradient_norm: float) -> None:
        self._options = CubicOptions(
            norm=options.regulariser,
            weight_rule=options.weight_rule,
            accept=options.accept,
            grow_below=options.grow_below,
            shrink_above=options.shrink_above,
            longest_step=options.longest_step,
        )
        length = options.initial_rate * (gradient_norm or 1.0)
        # Curvature and weight share the gradient at that length: gamma t + w t^2 = |g|.
        self.first_length = 2.0 * length
        square = 2.0 * (length * length)
        by_length = (gradient_norm or 1.0) / square if square else math.inf
        weight = options.initial_weight or by_length
        self._scale = Scale(within_range(weight), length)

    @property
    def size(self) -> float:
        return self._scale.weight

    def minimise(self, quadratic: Any, gradient_norm: float) -> Trial:
        """Return the minimiser of the regularised model."""
        trial = regularised_step(quadratic, self._scale, self._options)
        self._along = model_along(trial, gradient_norm)
        return trial

    def adapt(self, outcome: Outcome) -> None:
        """Change the weight after the trial step of the last :meth:`minimise`."""
        scale, options = self._scale, self._options
        scale.remember(outcome)
        if outcome.finite:
            rule = rule_of(options.weight_rule)
            scale.weight = within_range(rule(scale.weight, outcome, options, self._along))
        else:
            scale.weight = within_range(NON_FINITE_GROWTH * scale.weight)

    def snapshot(self) -> dict[str, Any]:
        """Return the state, for :meth:`restore`."""
        scale = self._scale
        return {"weight": scale.weight, "reach": scale.reach, "moved": scale.moved}

    def restore(self, state: dict[str, Any]) -> None:
        self._scale = Scale(**state)
