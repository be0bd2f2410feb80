"""The model of hybrid-tr and lsr1-tr with its iteration in compiled code.

The compiled code knows the usual way of each step, and says so where it meets something else: then
the matrix in NumPy, which has the same rows and the same Gram matrix, does that step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import qnsolve.compiled as compiled
from qnsolve.arrays import Array, VectorSpace
from qnsolve.arrays.host import HostSpace
from qnsolve.options import TrustRegionOptions
from qnsolve.quasi_newton.base import UpdateStatus
from qnsolve.quasi_newton.hybrid import SWEEPS, HybridLSR1, regime_of
from qnsolve.quasi_newton.lsr1 import SKIP
from qnsolve.quasi_newton.tracking import GradientChange, TrackedGradient
from qnsolve.questions import Answer, Asking
from qnsolve.solvers.models import End, SecantModel
from qnsolve.solvers.reach import Reach
from qnsolve.solvers.start import WarmStart

MOST_PAIRS = 100
"""Beyond, the work on small matrices outweighs the interpreter."""

RULES = {"length-ratio": 0, "smoothed": 1, "window-max": 2}
"""Rules for gamma by their number in the compiled code."""

ALL = -1
"""Number of pairs that SR1 is applied to: every one."""


def fits(options: TrustRegionOptions, space: VectorSpace) -> bool:
    """Tell whether the compiled model is there and does what the options ask for."""
    default = type(options).__dataclass_fields__["gamma"].default
    usual = options.matrix is None and options.gamma == default
    usual = usual and options.norm == "l2" and options.memory <= MOST_PAIRS
    float64 = type(space) is HostSpace and space.wide is None and space.kernels is None
    return options.compiled and compiled.available() and usual and float64


class CompiledStep(NamedTuple):
    """A step with its slope g's, the decrease of the model, and its length."""

    step: Array
    slope: float
    decrease: float
    length: float

    @property
    def longest_block(self) -> float:
        return self.length


class CompiledEnd(End):
    """The end of a step whose numbers come from the compiled model: it asks for none."""

    request: Any = None
    change: Any = None

    def __init__(self, x: Array | None, model: CompiledModel, step: Array) -> None:
        self.x, self._metric, self._step, self._core = x, model.metric, step, model.core

    def answered(self, answer: Answer) -> End:
        self.f, g, _ = answer
        if g is None:
            return self
        self.g = g
        norms = self._core.measure(self.x, g)
        self.point_norm, self.gradient_norm, self.slope, self.largest_slope = norms
        return self

    def change_from(self, tracked: TrackedGradient) -> GradientChange:
        """Return how the gradient changes along the step, for the matrix in NumPy."""
        change = GradientChange(tracked, self._step, None)
        numbers = self._metric.space.reduce(change.request(self.g))
        change.read(numbers, self.gradient_norm)
        return change


class CompiledModel(SecantModel):
    """A :class:`SecantModel` whose matrix is the default one of hybrid-tr or lsr1-tr.

    Attributes
    ----------
    core : qnsolve.compiled.Model
        Works in the storage of the matrix; what else changes is read from it by :meth:`_pull` when
        somebody asks for the matrix.
    """

    core: Any = None
    _stale = False
    _made: Any = None
    _kept: Any = None

    @property
    def matrix(self) -> Any:
        self._pull()
        return self._made

    @matrix.setter
    def matrix(self, matrix: Any) -> None:
        self._made = matrix

    @property
    def _tracked(self) -> Any:
        self._pull()
        return self._kept

    @_tracked.setter
    def _tracked(self, tracked: Any) -> None:
        self._kept = tracked

    @property
    def n_pairs(self) -> int:
        return 0 if self.core is None else int(self.core.n_pairs())

    def begin(self, length: float) -> None:
        super().begin(length)
        self._push()

    def take_over(self, warm: WarmStart) -> None:
        super().take_over(warm)
        self._push()

    def restored(self) -> None:
        super().restored()
        self._push()

    def minimise(self, reach: Reach, x: Array) -> Asking[Any]:
        """Return the minimiser within reach of the iterate `x`."""
        step = np.empty(self.space.size)
        found = self.core.minimise(reach.size, self.gradient, self.gradient_norm, step)
        if found is not None:
            return CompiledStep(step, *found)
        trial = yield from super().minimise(reach, x)
        self.core.follow(trial.step)
        return trial

    def end(self, x: Array | None, trial: Any) -> End:
        """Return the end `x` of a trial step from the iterate, to be asked for."""
        return CompiledEnd(x, self, trial.step)

    def learn(
        self, end: End, *, offer: bool, move: bool, theta: float = 0.0
    ) -> UpdateStatus | None:
        """Take in the end of a step; return what became of its pair, None if not offered."""
        if isinstance(end, CompiledEnd):
            norms = self.gradient_norm, end.gradient_norm
            stored = self.core.learn(self.gradient, end.g, *norms, end.slope, theta, offer, move)
            if stored is not None:
                self._stale = True
                if move:
                    self.stand_at(end)
                # A pair that it would refuse it leaves to the matrix in NumPy, which says why.
                return UpdateStatus.STORED if stored else None
            end.change = end.change_from(self._tracked)
        status = super().learn(end, offer=offer, move=move, theta=theta)
        self._push()
        return status

    def _push(self) -> None:
        """Let the compiled code go on from the matrix and the gradient as they are."""
        matrix, tracked = self.matrix, self._tracked
        if self.core is None:
            self._products = np.zeros(2 * matrix.memory)
            self.core = _core_of(matrix, self._products)
        self._products[: len(tracked.products)] = tracked.products
        self.core.set(*matrix.pairs.slots, matrix.gamma, matrix.ratios)

    def _pull(self) -> None:
        """Bring the matrix and the gradient up to date."""
        if not self._stale:
            return
        order, used, gamma, ratios = self.core.get()
        self._made.adopt(order, used, gamma, ratios)
        products = self._products[: len(self._made.pairs.gram)].copy()
        self._kept = TrackedGradient(self.gradient, self.gradient_norm, products, self._made.pairs)
        self._stale = False  # not before: an interrupt may come between any two of these lines


def _core_of(matrix: Any, products: np.ndarray) -> Any:
    """Return the compiled model in the storage of a matrix."""
    storage, n = (*matrix.pairs.storage, products), matrix.n
    if not isinstance(matrix, HybridLSR1):
        sizes = n, matrix.memory, False, 0, False, 0
        return compiled.Model(*storage, *sizes, RULES["window-max"], SKIP)
    regime = regime_of(n)
    re_applied = ALL if regime.re_applied is None else regime.re_applied
    settings = re_applied, regime.negative == "drop", SWEEPS, RULES[regime.gamma], regime.skip
    return compiled.Model(*storage, n, matrix.memory, True, *settings)
