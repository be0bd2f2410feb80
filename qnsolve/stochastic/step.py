"""One step on one mini-batch: the form under :func:`qnsolve.stochastic.train`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from qnsolve.arrays import Array, VectorSpace, space_of
from qnsolve.points import all_finite
from qnsolve.questions import drive
from qnsolve.solvers.along_step import actual_reduction
from qnsolve.solvers.metric import EuclideanNorm, Metric, metric_of
from qnsolve.solvers.models import NewtonModel, SecantModel
from qnsolve.solvers.moving_norms import MOMENTS, MovingNorm, SecondMoments
from qnsolve.solvers.outcome import Outcome
from qnsolve.solvers.radius import DoubleOrHalve
from qnsolve.solvers.reach import Radius, Reach, Weight
from qnsolve.solvers.weight import rule_of
from qnsolve.state import Saved, Stateful
from qnsolve.stochastic.options import (
    CubicStepOptions,
    MatrixOptions,
    NewtonStepOptions,
    RegionOptions,
    StepOptions,
)

ValueAndGrad = Callable[[Array], tuple[float, Array]]
"""``value_and_grad(x) -> (f, g)`` on one batch, with f a float and g an array that nobody writes to
afterwards."""


class StepInfo(NamedTuple):
    """What a step did; numbers that were not reached are NaN.

    Attributes
    ----------
    loss, loss_new : float
        f before the step, and at its end whether it was taken or not, of the samples that the ratio
        is of.
    gradient_norm : float
        In the dual norm of the region.
    length : float
        Length of the trial step in the norm of the region.
    ratio : float
        Actual to predicted reduction of f; -inf where an increase was predicted.
    size : float
        Radius or weight for the next step; for a line search the step length.
    n_pairs : int
    accepted : bool
        Whether the step was taken.
    stored : bool
        Whether its pair was stored.
    finite : bool
        Whether f and g of the batch were finite at both ends.
    """

    loss: float = np.nan
    loss_new: float = np.nan
    gradient_norm: float = np.nan
    length: float = np.nan
    ratio: float = np.nan
    size: float = np.nan
    n_pairs: int = 0
    accepted: bool = False
    stored: bool = False
    finite: bool = False


@dataclass
class TrainingState(Stateful):
    """Where a run stands between two steps; a step changes it in place.

    Attributes
    ----------
    x : array, shape (n,)
        Parameters; replaced by a step, never written to.
    model : SecantModel or NewtonModel
        Pairs and norm.
    reach : Radius or Weight
    begun : bool
        Whether there was a first step.
    observed : bool
        Whether norm and pairs have taken in the gradient of the next batch already: a step that an
        exception breaks off goes on from there.
    whole : bool
        Whether the state can be gone on from; between two steps whoever keeps it says so.
    """

    x: Saved[Array]
    model: Saved[SecantModel | NewtonModel]
    reach: Saved[Reach]
    begun: Saved[bool] = False
    observed: Saved[bool] = False
    whole: bool = True

    @property
    def space(self) -> VectorSpace:
        """Of the parameters."""
        return self.model.space


class ModelSolver:
    """Steps that minimise a quadratic model as far as it can be trusted.

    Parameters
    ----------
    options : StepOptions
    model, reach : callable
        ``model(options, metric, moving)`` and ``reach(options)`` make what the options are for.
    """

    def __init__(
        self,
        options: Any,
        model: Callable[..., SecantModel | NewtonModel],
        reach: Callable[[Any], Reach],
    ) -> None:
        self.options = options
        self._model, self._reach = model, reach

    def init(self, x: Array, space: VectorSpace | None = None) -> TrainingState:
        """Return the state at the flat parameters `x`, a vector of `space`, before any step."""
        space = space_of(x) if space is None else space
        metric, moving = norm_of(self.options, space)
        return TrainingState(
            x, self._model(self.options, metric, moving), self._reach(self.options)
        )

    def step(
        self,
        state: TrainingState,
        value_and_grad: ValueAndGrad,
        product: Callable[[Array, Array], Array] | None = None,
        measured: ValueAndGrad | None = None,
    ) -> tuple[TrainingState, StepInfo]:
        """Do one step on one batch.

        Parameters
        ----------
        state : TrainingState
        value_and_grad : callable
            f and g of the batch; called at ``state.x`` and at the end of the step.
        product : callable, optional
            ``product(x, v)``, the Hessian of the batch at x times v; "newton-tr" alone needs it.
        measured : callable, optional
            f and g of a part of the batch, of which ratio and pair are then: called at both ends,
            and `value_and_grad` at the first one alone.

        Returns
        -------
        state : TrainingState
            The one given, changed.
        info : StepInfo
        """
        info = self._step(state, value_and_grad, product, measured)
        state.whole = state.observed = False
        return state, info

    def _step(
        self,
        state: TrainingState,
        value_and_grad: ValueAndGrad,
        product: Callable[[Array, Array], Array] | None,
        measured: ValueAndGrad | None,
    ) -> StepInfo:
        x, space, model, reach = state.x, state.space, state.model, state.reach
        if product is None and model.asks_products:
            raise TypeError("a step of newton-tr needs product(x, v), got None")
        # 1. Value and gradient of the batch.  One that is not finite is left out.
        f, g = value_and_grad(x)
        if not all_finite(f, space.norm_inf(g)):
            return StepInfo(loss=f, n_pairs=model.n_pairs)
        # 2. The norm follows the gradients; the first one gives the first length.
        whole, state.whole = state.whole, False
        if not state.observed:
            model.observe(g)
        g_norm = model.metric.dual_norm(g)
        model.renew(g, g_norm)
        if not state.begun:
            reach.begin(self.options.initial_rate * (g_norm or 1.0), g_norm)
            model.begin(reach.first_length)
            state.begun = True
        state.observed = True
        state.whole = whole
        # 3. Minimiser of the model within reach.

        def multiplied(asked: Any) -> Array:
            return product(asked.x, asked.v) if product else None

        trial: Any = drive(model.minimise(reach, x), multiplied)
        if not trial.decrease > 0.0:
            return StepInfo(f, f, g_norm, 0.0, size=reach.size, finite=True)
        step, slope, predicted = trial.step, trial.slope, trial.decrease
        # 4. Value and gradient of the same samples at its end; ratio of the reductions.
        x_new = x + step
        if measured is None:
            f_new, g_new = value_and_grad(x_new)
        else:
            # The model of the part has its gradient, and the matrix of all.
            f, g = measured(x)
            slope = space.dot(g, step)
            predicted = trial.decrease + (trial.slope - slope)
            f_new, g_new = measured(x_new)
        state.whole = False
        outcome = partial(Outcome, trial.longest_block, trial.length, slope, predicted)
        finite = all_finite(f_new, space.norm_inf(g_new))
        ratio, accepted, stored = np.nan, False, False
        if finite:
            slope_new = space.dot(g_new, step)
            reduction = actual_reduction(f, f_new, slope, slope_new, space.eps)
            # A part for which the step leads uphill says no.
            ratio = reduction / predicted if predicted > 0.0 else -np.inf
            accepted = ratio > self.options.accept
            # 5. Pair, of a rejected step too: it says why the model was wrong.
            if accepted or self.options.store_rejected:
                stored = model.learn_pair(trial, g_new - g)
            outcome = partial(outcome, slope_new, ratio=ratio, accepted=accepted)
        # 6. Move, and change the reach.
        if accepted:
            state.x = x_new
        reach.adapt(outcome(finite=finite), trial)
        info = StepInfo(f, f_new, g_norm, trial.length, ratio, reach.size, model.n_pairs)
        return info._replace(accepted=accepted, stored=stored, finite=finite)

    def restore(self, saved: dict[str, Any], space: VectorSpace | None = None) -> TrainingState:
        """Return the state of which `saved` is the snapshot."""
        state = self.init(saved["x"], space)
        state.restore(saved)
        return state


def norm_of(options: StepOptions, space: VectorSpace) -> tuple[Metric, MovingNorm | None]:
    """Return the norm of the region, and what it is made of where it follows the gradients."""
    if options.norm not in MOMENTS:
        return metric_of(options.norm, space), None
    moments = SecondMoments(options.norm, decay=options.decay, epsilon=options.epsilon, space=space)
    return EuclideanNorm(space), moments


def secant_model(options: MatrixOptions, metric: Metric, moving: MovingNorm | None) -> SecantModel:
    """Return the model with a limited-memory matrix."""
    build = partial(options.matrix, metric.space, options)
    return SecantModel(build, metric, moving, options.refresh)


def newton_model(
    options: NewtonStepOptions, metric: Metric, moving: MovingNorm | None
) -> NewtonModel:
    """Return the model with the Hessian of the batch."""
    return NewtonModel(
        metric,
        moving,
        inner=options.inner,
        inner_maxiter=options.inner_maxiter,
        forcing=options.forcing,
        superlinear=False,
        max_blind=0,
    )


def radius(options: RegionOptions) -> Radius:
    """Return the radius of a trust region, before the first step."""
    return Radius(
        options,
        DoubleOrHalve(options.long_step, options.grow, options.shrink),
        least=options.min_radius,
        most=options.max_radius,
        first=options.initial_radius,
    )


def weight(options: CubicStepOptions) -> Weight:
    """Return the weight of a cubic regulariser, before the first step."""
    rule, first = rule_of(options.weight_rule), options.initial_weight
    return Weight(options, rule, options.regulariser, options.longest_step, first)
