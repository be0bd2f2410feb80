"""ARCs-LSR1 as its authors' public code runs on mini-batches; for comparison only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qnsolve.array import Array, VectorSpace, Wanted
from qnsolve.quasi_newton.base import CompactMatrix
from qnsolve.quasi_newton.spectrum import FAST
from qnsolve.solvers.common import all_finite
from qnsolve.solvers.trial import Outcome
from qnsolve.stochastic.options import CubicStepOptions
from qnsolve.stochastic.reach import Weight
from qnsolve.stochastic.step import StepInfo, ValueAndGrad
from qnsolve.subproblem.model import QuadraticModel


@dataclass
class AuthorState:
    """Where a run stands between two batches; a step changes it in place.

    Attributes
    ----------
    x : array, shape (n,)
        Parameters.
    matrix : ArcsCodeLSR1
        Pairs.
    last : tuple of array, or None before the first step
        The last trial step, taken or not, and the gradient at its beginning.
    """

    x: Array
    matrix: CompactMatrix
    last: tuple[Array, Array] | None = None

    @property
    def space(self) -> VectorSpace:
        """Of the parameters."""
        return self.matrix.space


class AuthorSolver:
    """Several steps on each batch, with what the public code of ARCs-LSR1 does unlike the paper.

    Parameters
    ----------
    options : CubicStepOptions
        With `author_code`; the weight is `initial_weight` at the beginning of every batch.

    Notes
    -----
    Its slips that are replayed:

    1. The weight starts anew with each batch.
    2. The first pair on a batch is the last trial step, taken or not, with a difference of
       gradients of two batches.
    3. The very first move is min(1, 1 / ||g||_1) along -g, taken whatever f does; -g itself is
       stored.
    4. No pair is tested, and the eigenvalues on the span of Psi lack gamma
       (:class:`qnsolve.quasi_newton.published.ArcsCodeLSR1`, the default of the preset).

    Not replayed: the traps for values that are not finite (such a batch is left out, such a
    trial is a rejected step), the momentum that was begun in it, and a test batch in the closure.
    """

    def __init__(self, options: CubicStepOptions) -> None:
        self.options = options

    def init(self, x: Array, space: VectorSpace | None = None) -> AuthorState:
        """Return the state at the flat parameters `x`, a vector of `space`, before any step."""
        space = VectorSpace.of(x) if space is None else space
        return AuthorState(x, self.options.matrix(space, self.options, 1.0))

    def step(
        self,
        state: AuthorState,
        value_and_grad: ValueAndGrad,
        product: Callable[[Array, Array], Array] | None = None,
        measured: ValueAndGrad | None = None,
    ) -> tuple[AuthorState, StepInfo]:
        """Do all steps on one batch, as :meth:`ModelSolver.step`; no option has a use."""
        space, B = state.space, state.matrix
        f, g = value_and_grad(state.x)
        if not all_finite(f, space.norm_inf(g)):
            return state, StepInfo(loss=f, n_pairs=B.n_pairs)
        info = StepInfo(f, f, space.norm(g), 0.0, finite=True)
        weight, keep, moved, stored = Weight(self.options, 1.0), True, False, False
        for _ in range(self.options.inner_steps):
            if state.last is None:
                # 1. The very first move, and the step that is written down for it.
                (norm_1,) = space.gather(Wanted(), [space.xp.sum(space.xp.abs(g))])
                trial, step = None, -g
                x_new = state.x - min(1.0, 1.0 / (norm_1 or 1.0)) * g
            else:
                # 2. The pair of the step before.
                if keep:
                    last, before = state.last
                    stored = B.update(last, g - before).stored or stored
                # 3. Minimiser of the regularised model.
                quadratic = QuadraticModel(g, B.spectrum(FAST))
                trial = weight.minimise(quadratic, space.norm(g))
                if not trial.decrease > 0.0:
                    break
                step, x_new = trial.step, state.x + trial.step
            # 4. Ratio, and weight.
            f_new, g_new = value_and_grad(x_new)
            finite = all_finite(f_new, space.norm_inf(g_new))
            ratio, keep = np.nan, finite
            if trial is not None:
                ratio = (f - f_new) / trial.decrease if finite else np.nan
                keep = ratio > self.options.accept
                weight.adapt(_outcome(trial, ratio, keep))
            info = info._replace(
                loss_new=f_new, length=space.norm(step), ratio=ratio, size=weight.size
            )
            state.last = step, g
            # 5. Move.
            if keep:
                state.x, f, g, moved = x_new, f_new, g_new, True
        return state, info._replace(accepted=moved, stored=stored, n_pairs=B.n_pairs)

    def snapshot(self, state: AuthorState) -> dict[str, Any]:
        """Return `state` as nested dictionaries of numbers and arrays."""
        last = None if state.last is None else {"step": state.last[0], "gradient": state.last[1]}
        return {"x": state.x, "matrix": state.matrix.snapshot(), "last": last}

    def restore(self, saved: dict[str, Any], space: VectorSpace | None = None) -> AuthorState:
        """Return the state of which `saved` is the snapshot."""
        state = self.init(saved["x"], space)
        state.matrix.restore(saved["matrix"])
        if saved["last"] is not None:
            state.last = saved["last"]["step"], saved["last"]["gradient"]
        return state


def _outcome(trial: Any, ratio: float, accepted: bool) -> Outcome:
    """Return what the rule for the weight is told; it looks at the ratio alone."""
    return Outcome(
        length=trial.length,
        length_2=trial.length,
        slope=trial.slope,
        predicted=trial.decrease,
        ratio=ratio,
        accepted=accepted,
        slope_new=np.nan,
    )
