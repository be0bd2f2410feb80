"""L-SR1 with a line search, one mini-batch a step (Ramamurthy and Duffy 2017, Algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from qnsolve.arrays import Array, VectorSpace, space_of
from qnsolve.points import all_finite, stands_still
from qnsolve.quasi_newton.inverse import InverseLSR1
from qnsolve.quasi_newton.tracking import TrackedGradient
from qnsolve.questions import drive
from qnsolve.solvers.wolfe import LinePoint, strong_wolfe
from qnsolve.state import Saved, Stateful
from qnsolve.stochastic.options import LineSearchStepOptions
from qnsolve.stochastic.step import StepInfo, ValueAndGrad


@dataclass
class LineSearchState(Stateful):
    """Where a run stands between two steps; a step changes it in place.

    Attributes
    ----------
    x : array, shape (n,)
        Parameters; replaced by a step, never written to.
    matrix : InverseLSR1
        H.
    last_t : float
        Step length of the last search that found one.
    whole : bool
        As of TrainingState.
    """

    x: Saved[Array]
    matrix: Saved[InverseLSR1]
    last_t: Saved[float] = 1.0
    whole: bool = True

    @property
    def space(self) -> VectorSpace:
        """Of the parameters."""
        return self.matrix.space


class LineSearchSolver:
    """Steps along -Hg with the strong Wolfe conditions on the batch.

    Parameters
    ----------
    options : LineSearchStepOptions
    """

    def __init__(self, options: LineSearchStepOptions) -> None:
        self.options = options

    def init(self, x: Array, space: VectorSpace | None = None) -> LineSearchState:
        """Return the state at the flat parameters `x`, a vector of `space`, before any step."""
        space = space_of(x) if space is None else space
        H = InverseLSR1(
            space.size,
            memory=self.options.memory,
            gamma=self.options.gamma,
            initial_gamma=1.0 / self.options.initial_rate,
            like=space,
        )
        return LineSearchState(x, H)

    def step(
        self,
        state: LineSearchState,
        value_and_grad: ValueAndGrad,
        product: Callable[[Array, Array], Array] | None = None,
        measured: ValueAndGrad | None = None,
    ) -> tuple[LineSearchState, StepInfo]:
        """Do one step on one batch, as :meth:`ModelSolver.step`; neither option has a use."""
        x, space, H = state.x, state.space, state.matrix
        # 1. Value and gradient of the batch.  One that is not finite is left out.
        f, g = value_and_grad(x)
        if not all_finite(f, space.norm_inf(g)):
            return state, StepInfo(loss=f, n_pairs=H.n_pairs)
        # 2. Direction.
        gradient = TrackedGradient.of(g, H.pairs)
        if gradient.norm == 0.0:
            return state, StepInfo(f, f, 0.0, 0.0, n_pairs=H.n_pairs, finite=True)
        direction = H.descent_direction(gradient, keep=self.options.modify == "ascent")

        # 3. Step length, on the same batch.
        search = strong_wolfe(
            LinePoint(0.0, f, direction.slope),
            min(1.0, 2.0 * state.last_t),
            decrease=self.options.decrease,
            curvature=self.options.curvature,
            too_short=partial(
                stands_still,
                *(space, x, space.norm(x)),
                *(direction.vector, direction.length, space.eps),
            ),
            eps=space.eps,
        )

        def line(t: float) -> LinePoint:
            point = x + t * direction.vector
            value, slope_vector = value_and_grad(point)
            finite = all_finite(value, space.norm_inf(slope_vector))
            slope = space.dot(slope_vector, direction.vector) if finite else np.nan
            return LinePoint(t, value if finite else np.inf, slope, (point, slope_vector))

        found = drive(search, line)
        state.whole = False
        if found is None:
            H.reset()
            state.last_t = 1.0
            return state, StepInfo(f, f, gradient.norm, 0.0, size=0.0, finite=True)
        # 4. Pair, and move.
        x_new, g_new = found.end
        stored = H.update(found.t * direction.vector, g_new - g).stored
        state.x, state.last_t = x_new, found.t
        info = StepInfo(f, found.f, gradient.norm, found.t * direction.length, size=found.t)
        predicted = -found.t * direction.slope
        return state, info._replace(
            ratio=(f - found.f) / predicted,
            n_pairs=H.n_pairs,
            accepted=True,
            stored=stored,
            finite=True,
        )

    def restore(self, saved: dict[str, Any], space: VectorSpace | None = None) -> LineSearchState:
        """Return the state of which `saved` is the snapshot."""
        state = self.init(saved["x"], space)
        state.restore(saved)
        return state
