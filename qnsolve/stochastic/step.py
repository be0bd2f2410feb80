"""One step on one mini-batch: the form under :func:`qnsolve.stochastic.train`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from qnsolve.array import Array, VectorSpace
from qnsolve.solvers.common import actual_reduction, all_finite
from qnsolve.solvers.trial import Outcome, length_in_norm
from qnsolve.stochastic.model import HessianModel, Model, SecantModel
from qnsolve.stochastic.options import CubicStepOptions, NewtonStepOptions, StepOptions
from qnsolve.stochastic.reach import Radius, Reach, Weight
from qnsolve.subproblem.model import SubproblemResult

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
class TrainingState:
    """Where a run stands between two steps; a step changes it in place.

    Attributes
    ----------
    x : array, shape (n,)
        Parameters; replaced by a step, never written to.
    model : SecantModel or HessianModel
        Pairs and norm.
    space : VectorSpace
        Of the parameters.
    reach : Radius or Weight, or None before the first step
    """

    x: Array
    model: Model
    space: VectorSpace
    reach: Reach | None = None


class ModelSolver:
    """Steps that minimise a quadratic model as far as it can be trusted.

    Parameters
    ----------
    options : StepOptions
        Which of its classes decides on the model, :class:`SecantModel` or :class:`HessianModel`,
        and on the reach, :class:`Radius` or :class:`Weight`.
    """

    def __init__(self, options: StepOptions) -> None:
        self.options = options
        newton = isinstance(options, NewtonStepOptions)
        self._model: Any = HessianModel if newton else SecantModel
        self._reach: Any = Weight if isinstance(options, CubicStepOptions) else Radius
        self._store_rejected = getattr(options, "store_rejected", False)

    def init(self, x: Array, space: VectorSpace | None = None) -> TrainingState:
        """Return the state at the flat parameters `x`, a vector of `space`, before any step."""
        space = VectorSpace.of(x) if space is None else space
        return TrainingState(x, self._model(space, self.options), space)

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
        x, space, model = state.x, state.space, state.model
        if product is None and isinstance(model, HessianModel):
            raise TypeError("a step of newton-tr needs product(x, v), got None")
        # 1. Value and gradient of the batch.  One that is not finite is left out.
        f, g = value_and_grad(x)
        if not all_finite(f, space.norm_inf(g)):
            return state, StepInfo(loss=f, n_pairs=model.n_pairs)
        # 2. The norm follows the gradients; the first one gives the first length.
        model.observe(g)
        g_norm = model.metric.dual_norm(g)
        if state.reach is None:
            state.reach = self._reach(self.options, g_norm)
            model.begin(g, state.reach.first_length)
        # 3. Minimiser of the model within reach.
        quadratic = model.quadratic(g, None if product is None else lambda v: product(x, v))
        trial = state.reach.minimise(quadratic, g_norm)
        if not trial.decrease > 0.0:
            return state, StepInfo(f, f, g_norm, 0.0, size=state.reach.size, finite=True)
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
        expected = partial(Outcome, length_in_norm(trial), trial.length, slope, predicted)
        finite = all_finite(f_new, space.norm_inf(g_new))
        ratio, accepted, stored = np.nan, False, False
        if finite:
            slope_new = space.dot(g_new, step)
            reduction = actual_reduction(f, f_new, slope, slope_new, space.eps)
            # A part for which the step leads uphill says no.
            ratio = reduction / predicted if predicted > 0.0 else -np.inf
            accepted = ratio > self.options.accept
            outcome = expected(slope_new, ratio=ratio, accepted=accepted)
            # 5. Pair, of a rejected step too: it says why the model was wrong.
            if accepted or self._store_rejected:
                products = trial.products if isinstance(trial, SubproblemResult) else None
                stored = model.learn(step, g_new - g, products)
        else:
            outcome = expected(finite=False)
        # 6. Move, and change the reach.
        if accepted:
            state.x = x_new
        state.reach.adapt(outcome)
        info = StepInfo(f, f_new, g_norm, trial.length, ratio, state.reach.size, model.n_pairs)
        return state, info._replace(accepted=accepted, stored=stored, finite=finite)

    def snapshot(self, state: TrainingState) -> dict[str, Any]:
        """Return `state` as nested dictionaries of numbers and arrays."""
        reach = None if state.reach is None else state.reach.snapshot()
        return {"x": state.x, "model": state.model.snapshot(), "reach": reach}

    def restore(self, saved: dict[str, Any], space: VectorSpace | None = None) -> TrainingState:
        """Return the state of which `saved` is the snapshot."""
        state = self.init(saved["x"], space)
        state.model.restore(saved["model"])
        if saved["reach"] is not None:
            state.reach = self._reach(self.options, 1.0)
            state.reach.restore(saved["reach"])
        return state
