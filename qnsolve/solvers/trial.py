"""A trial step: evaluated, judged against the model, learnt from, and taken or not.

What the trust-region and the cubic-regularisation loops have in common.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from qnsolve.array import Array, Wanted
from qnsolve.norms import DiagonalNorm
from qnsolve.objective import Objective
from qnsolve.result import Status
from qnsolve.solvers.common import (
    Run,
    actual_reduction,
    all_finite,
    end_of_step,
    is_unbounded,
    progress_at_rounding,
    secant_correction,
)
from qnsolve.solvers.local_model import Metric
from qnsolve.subproblem.model import SubproblemResult

FAR_OFF = 1e6
"""Increase of f, in units of the predicted decrease, beyond which a step is not near."""


class Trial(Protocol):
    """A step that a model proposes; `length` is that in the l2 norm, or in the metric."""

    @property
    def step(self) -> Array: ...

    @property
    def slope(self) -> float: ...

    @property
    def decrease(self) -> float: ...

    @property
    def length(self) -> float: ...


class Model(Protocol):
    """What the model of the function around the iterate is to a trial step."""

    gradient: Array
    metric: Metric

    @property
    def gradient_norm(self) -> float: ...

    @property
    def n_pairs(self) -> int: ...

    def wanted(self, x_new: Array, step: Array, g_new: Array) -> Wanted: ...

    def learn(
        self,
        step: Array,
        g_new: Array,
        norm_new: float,
        *,
        offer: bool = True,
        move: bool,
        theta: float = 0.0,
        products: np.ndarray | None = None,
    ) -> bool: ...

    def snapshot(self) -> dict[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


M_co = TypeVar("M_co", bound=Model, covariant=True)


class Judged(Protocol):
    """The options by which a trial step is judged."""

    @property
    def accept(self) -> float: ...

    @property
    def store_rejected(self) -> bool | str: ...

    @property
    def modified_secant(self) -> bool: ...


@dataclass
class Iterate(Generic[M_co]):
    """The current point, its value, and the model of the function around it."""

    x: Array
    f: float
    f_start: float
    model: M_co

    def snapshot(self) -> dict[str, Any]:
        """Return the state, for :meth:`restore`."""
        known = {"x": self.x, "f": self.f, "g": self.model.gradient, "f_start": self.f_start}
        return {**known, "model": self.model.snapshot()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to the state of an iterate with the same x, f and g."""
        self.f_start = state["f_start"]
        self.model.restore(state["model"])


@dataclass(frozen=True)
class Outcome:
    """What a trial step was worth.

    Attributes
    ----------
    length : float
        Length in the region's norm, or of the longest block of the regulariser's.
    length_2 : float
        Length in the l2 norm (in the metric A where there is one).
    slope, slope_new : float
        Derivative of f along the step at its beginning and at its end.
    predicted, reduction, ratio : float
        Reduction of the model, of f, and their ratio.
    finite : bool
        Whether f and its gradient are finite at the end; where not, the last four are NaN.
    accepted : bool
        Whether the step was taken.
    status : Status or None
        Why the run ends here, if it does.
    """

    length: float
    length_2: float
    slope: float
    predicted: float
    slope_new: float = np.nan
    reduction: float = np.nan
    ratio: float = np.nan
    finite: bool = True
    accepted: bool = False
    status: Status | None = None


def try_step(
    at: Iterate[Model], trial: Trial, objective: Objective, options: Judged, run: Run
) -> Outcome:
    """Evaluate f and g at the end of `trial`, and take the step, in place, if it is good.

    Notes
    -----
    Vectors of length n beside the pairs: x, g, step, trial point, the copy of it that the callable
    gets, trial gradient, and one temporary.  All but x and g are gone on return.
    """
    space, eps = objective.space, objective.space.eps
    step, slope = trial.step, trial.slope
    outcome = partial(Outcome, length_in_norm(trial), trial.length, slope, trial.decrease)
    x_new = end_of_step(space, at.x, step, trial.length)
    if x_new is None:
        return outcome(finite=False)
    f_new, g_new = objective(x_new, wanted=lambda g: at.model.wanted(x_new, step, g))
    norm_new = np.nan if g_new is None else at.model.metric.dual_norm(g_new)
    if is_unbounded(f_new, at.f_start):
        run.changing()
        at.x, at.f = x_new, f_new
        at.model.gradient = g_new if np.isfinite(norm_new) else space.zeros(space.length) + np.nan
        return outcome(accepted=True, status=Status.UNBOUNDED)
    if not all_finite(f_new, norm_new):
        return outcome(finite=False)
    # 1. Ratio of the actual to the predicted reduction.
    slope_new = space.dot(g_new, step)
    run.slopes.add(at.f, f_new, slope, slope_new)
    reduction = actual_reduction(at.f, f_new, slope, slope_new, eps)
    ratio = reduction / trial.decrease
    accepted = ratio > options.accept or progress_at_rounding(
        at.f, f_new, at.model.gradient_norm, norm_new, eps
    )
    # 2. Secant pair, from a rejected trial too: it says why the model was wrong.
    run.changing()
    near = options.store_rejected == "near" and ratio > -FAR_OFF
    offered = accepted or near or options.store_rejected is True
    theta = 0.0
    if options.modified_secant:
        theta = secant_correction(slope, slope_new, reduction, at.f)
    stored = at.model.learn(
        step,
        g_new,
        norm_new,
        offer=offered,
        move=accepted,
        theta=theta,
        products=trial.products if isinstance(trial, SubproblemResult) else None,
    )
    run.skipped += offered and not stored
    # 3. Move.
    if accepted:
        at.x, at.f = x_new, f_new
    return outcome(slope_new, reduction, ratio, accepted=accepted)


def close(
    at: Iterate[Model], outcome: Outcome, objective: Objective, run: Run, **size: float
) -> Status | None:
    """Report the iteration and return why the run is over, or None.

    `size` is the radius or weight for the next model, by name.
    """
    gradient = at.model.gradient
    g_norm_inf = objective.space.norm_inf(gradient)
    record = {"gnorm": g_norm_inf, **size, "ratio": outcome.ratio}
    record["n_pairs"] = at.model.n_pairs
    stopped = run.after_step(at.x, at.f, gradient, outcome.accepted, record)
    if outcome.status is not None:
        return outcome.status
    return run.before_step(g_norm_inf) if stopped is None else stopped


def named_norm(norm: str | DiagonalNorm) -> str:
    """Return the name, in the variables of its metric, of the norm that an option asks for."""
    return "l2" if isinstance(norm, DiagonalNorm) else norm


def length_in_norm(trial: Trial) -> float:
    """Return the length of a step in the norm of its region or regulariser: its longest block."""
    if not isinstance(trial, SubproblemResult) or trial.term.norm == "l2":
        return trial.length
    v = np.append(trial.reduced.par, trial.reduced.perp)
    return float(trial.term.lengths(v).max())
