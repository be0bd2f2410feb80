"""ARCs-LSR1 as its authors' public code (January 2024) runs it, slips included; to compare with.

On a full batch it is :data:`ARCS_AUTHOR_CODE`, a preset for ``qnsolve.minimize``; on mini-batches
:class:`AuthorRun`.  :data:`ARCS_AUTHOR_CONSTANTS` has its constants and its matrix, but not what it
does across batches, for ``qnsolve.stochastic.train``.  Nothing here is a method to use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from qnsolve import LSR1, PartialSpectrum, QuadraticModel, UpdateStatus
from qnsolve.points import all_finite, end_of_step
from qnsolve.presets import Preset
from qnsolve.quasi_newton.scaling import GeneralisedEigenvalue
from qnsolve.questions import Asking, Evaluate
from qnsolve.solvers.first_step import FirstStep
from qnsolve.solvers.matrices import Build
from qnsolve.solvers.weight import Midpoints

ValueAndGrad = Callable[[Any], tuple[float, Any]]


class ArcsCodeLSR1(LSR1):
    """What the code takes for the L-SR1 matrix.

    Every pair is taken.  On span(Psi) the eigenvalues lack gamma: they are those of B - gamma I,
    while the complement has gamma.  Products are those of the true matrix.
    """

    def _judge_newest(self, *_: Any) -> UpdateStatus:
        return UpdateStatus.STORED

    def spectrum(self, *orthogonality: float) -> PartialSpectrum:
        """Return the spectrum with gamma missing from the eigenvalues."""
        spectrum = super().spectrum(*orthogonality)
        return spectrum.with_values(self.gamma, spectrum.eigenvalues - self.gamma)


@dataclass(frozen=True)
class UnitL1Step:
    r"""x - min(1, 1 / ||g||_1) g, taken whatever f does there, with -g in its pair.

    The pair does not belong to the step.
    """

    def __call__(self, at: Any, space: Any) -> Asking[FirstStep | None]:
        g = at.model.gradient
        t = min(1.0, 1.0 / space.dot(space.xp.sign(g), g))
        x = end_of_step(space, at.x, -g, t * at.model.gradient_norm, t)
        if x is None:
            return None
        f, g_new, _ = yield Evaluate(x)
        if g_new is None or not all_finite(f, space.norm(g_new)):
            return None
        return FirstStep(x, f, g_new, -g)


GAMMA = GeneralisedEigenvalue(floor=1e-6, relative=False)
SHARED: dict[str, Any] = {
    "memory": 5,
    "gamma": GAMMA,
    "matrix": Build(ArcsCodeLSR1),
    "initial_weight": 1e3,
    "weight_rule": Midpoints(modest=1.0, steep=10.0),
    "accept": 0.7,
    "grow_below": 0.7,
    "shrink_above": 0.9,
    "longest_step": float("inf"),
    "store_rejected": False,
}
"""The constants of the code; 5 pairs are one of its choices."""

ARCS_AUTHOR_CODE = Preset(
    "lsr1-arc",
    "the public code of the authors of ARCs-LSR1 (2024), its slips included",
    first_step=UnitL1Step(),
    norm="shape",
    **SHARED,
)
"""What the code does on a full batch."""

ARCS_AUTHOR_CONSTANTS = Preset(
    "lsr1-arc",
    "constants and matrix of the public code of the authors of ARCs-LSR1 (2024); not its batches",
    overlap=False,
    norm="l2",
    regulariser="shape",
    **SHARED,
)
"""What the code does on one batch.  It also takes differences of gradients across batches, and
forgets the weight after each; this does not, :class:`AuthorRun` does."""


class Report(NamedTuple):
    """What was done on one batch.

    `loss` is that at the beginning; `ratio` and `weight` are those after the last step, NaN where
    there was none; `moved` says whether any step was taken.
    """

    loss: float
    ratio: float
    weight: float
    moved: bool


class AuthorRun:
    """A run on mini-batches, several steps on each.

    Parameters
    ----------
    x : array, shape (n,)
        Flat parameters.
    memory : int
        Pairs.
    initial_weight : float
        Of the regulariser, at the beginning of every batch.
    inner_steps : int
        Steps on each batch; the code's default is 4.

    Notes
    -----
    The slips that are replayed:

    1. The weight starts anew with each batch.
    2. The first pair on a batch is the last trial step, taken or not, with a difference of
       gradients of two batches.
    3. The very first move is min(1, 1 / ||g||_1) along -g, taken whatever f does; -g itself is
       stored.
    4. No pair is tested, and the eigenvalues on the span of Psi lack gamma.

    Not replayed: the traps for values that are not finite (such a batch is left out, such a
    trial is a rejected step), the momentum that was begun in it, and a test batch in the closure.

    Examples
    --------
    An epoch of a loss on ``MiniBatches``::

        for number in range(len(batches)):
            run.step(lambda x: loss_and_grad(x, batches.part(epoch, number)))
    """

    def __init__(
        self, x: Any, *, memory: int = 5, initial_weight: float = 1e3, inner_steps: int = 4
    ) -> None:
        self.x = x
        self.matrix = ArcsCodeLSR1(x.shape[0], memory=memory, gamma=GAMMA, like=x)
        self._first_weight, self._inner_steps = initial_weight, inner_steps
        self._last: tuple[Any, Any] | None = None  # a trial step, and the gradient before it

    def step(self, value_and_grad: ValueAndGrad) -> Report:
        """Do all steps on one batch; `value_and_grad` is the loss on it."""
        f, g = value_and_grad(self.x)
        report = Report(f, np.nan, np.nan, False)
        if not _finite(f, g):
            return report
        weight, keep = self._first_weight, True
        for _ in range(self._inner_steps):
            if self._last is None:
                # 1. The very first move, and the step that is written down for it.
                step, decrease = -g, np.nan
                x_new = self.x - min(1.0, 1.0 / (float(abs(g).sum()) or 1.0)) * g
            else:
                # 2. The pair of the step before.
                if keep:
                    last, before = self._last
                    self.matrix.update(last, g - before)
                # 3. Minimiser of the regularised model.
                trial = QuadraticModel(g, self.matrix.spectrum()).regularised(weight, "shape")
                step, decrease = trial.step, trial.decrease
                if not decrease > 0.0:
                    break
                x_new = self.x + step
            # 4. Ratio, and weight.
            f_new, g_new = value_and_grad(x_new)
            keep, ratio = _finite(f_new, g_new), np.nan
            if self._last is not None:
                ratio = (f - f_new) / decrease if keep else np.nan
                weight *= next_factor(ratio)
                keep = ratio > SHARED["accept"]
            self._last = step, g
            # 5. Move.
            if keep:
                self.x, f, g = x_new, f_new, g_new
            report = Report(report.loss, ratio, weight, report.moved or keep)
        return report


def next_factor(ratio: float) -> float:
    """Return the factor of the weight: :class:`Midpoints`, and 100 where f was not finite."""
    if not np.isfinite(ratio):
        return 100.0
    if ratio > SHARED["shrink_above"]:
        return 0.5
    return 1.0 if ratio >= SHARED["grow_below"] else 5.5


def _finite(f: float, g: Any) -> bool:
    return bool(np.isfinite(f) and np.isfinite(float(abs(g).max())))
