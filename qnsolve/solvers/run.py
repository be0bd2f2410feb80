"""One run of a solver: its counts, its history, its checkpoint, and its result."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from scipy.optimize import OptimizeResult

from qnsolve.arrays import Array
from qnsolve.bounds import Box
from qnsolve.callables import Callables
from qnsolve.options import SolverOptions
from qnsolve.quasi_newton.base import UpdateStatus
from qnsolve.questions import Asking, Evaluate
from qnsolve.result import Status, make_result
from qnsolve.solvers.checkpoint import Checkpoint, checkpoint_of
from qnsolve.solvers.handover import handed_over
from qnsolve.solvers.models import End, Model
from qnsolve.solvers.outcome import Outcome
from qnsolve.solvers.start import WarmStart
from qnsolve.solvers.stopping import STUCK, Stopping
from qnsolve.state import Saved, Stateful

DOUBT = (
    "Along the last steps fun did not change as its gradient says: fun may have kinks there, where "
    "no smooth method converges; verify.check_grad tells whether the gradient is right."
)
"""What the message of a run ends with where that is so."""

TO_BE_CONTINUED = (
    *(Status.GTOL, Status.FTOL),
    *(Status.MAXITER, Status.MAXFEV, Status.MAXTIME, Status.CALLBACK_STOP),
)
"""Ends of a run beyond which it would go on if it were asked for more."""


class Run(Stateful):
    """One run of a solver.

    Parameters
    ----------
    callables : Callables
        Where its questions go, for their counts.
    options : SolverOptions
    callback : callable or None
        As made by :func:`qnsolve.callback.wrap_callback`.
    warm : WarmStart, optional
        What is known from a former run.
    checkpoint : Checkpoint, optional
        In place of the one that the options ask for.

    Attributes
    ----------
    nit, skipped, restarts : int
        Iterations, pairs that were offered and not stored, and how often all were forgotten.
    stopping : Stopping
    """

    nit: Saved[int]
    skipped: Saved[int]
    restarts: Saved[int]
    stopping: Saved[Stopping]
    _history: Saved[list[dict[str, Any]]]
    _sizes: Saved[list[float]]
    """|f| and the largest slope at x0: what is rounding is judged by them."""

    def __init__(
        self,
        callables: Callables,
        options: SolverOptions,
        callback: Callable[[OptimizeResult], bool] | None,
        warm: WarmStart | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.options, self.warm = options, warm
        self.nit = self.skipped = self.restarts = 0
        self.stopping = Stopping(options, callables.space.eps, callables.objective.gradient_eps)
        self.callables, self.callback, self.space = callables, callback, callables.space
        self._history, self._sizes = [], [0.0, 0.0]
        self._pair: UpdateStatus | None = None
        self._checkpoint = checkpoint or checkpoint_of(callables, options)
        self._parts: dict[str, Any] = {}
        self._root_n = math.sqrt(callables.space.size)

    @property
    def box(self) -> Box | None:
        """What x stays in; None where nothing bounds it."""
        return self.callables.box

    def start(self, measure: Callable[[Array], End]) -> Asking[End]:
        """Return the point to begin with, x0 or that of the checkpoint, with f, g and its norms.

        ``measure(x)`` says what is asked of it.
        """
        if isinstance(self._checkpoint, Checkpoint) and self._checkpoint.saved is not None:
            return (yield from self._checkpoint.start(measure, self.space))
        end = measure(self.callables.x0)
        end = end.answered((yield Evaluate(end.x, end.request, at_start=True)))
        self.stopping.start_at(end.f, end.largest_slope)
        self._sizes = [abs(end.f), end.largest_slope]
        return end

    def keeps(self, **parts: Stateful) -> None:
        """Say what the state of the loop consists of; put it into that of the checkpoint, if any.

        Parameters
        ----------
        **parts
            All but what changes while a trial is evaluated, which this run knows; `at` among them:
            the iterate.
        """
        self._parts = parts
        self._checkpoint.watch(parts, {"run": self, "callables": self.callables})

    @property
    def at(self) -> Any:
        """The iterate, once there is one."""
        return self._parts.get("at")

    def iteration(self) -> AbstractContextManager[None]:
        """Return the context of an iteration, in which no exception loses what was computed."""
        return self._checkpoint.iteration()

    def changing(self) -> None:
        """Say that the state is none to go on from until :meth:`after_step`."""
        self._checkpoint.changing()

    def before_step(self, model: Model) -> Status | None:
        """Return why no further step is to be taken, or None."""
        stopping = self.stopping
        # The clocks of several ranks differ; what they do must not.
        late = stopping.limited_in_time and self.space.any(stopping.late)
        x_size = model.point_norm / self._root_n
        norms = model.largest_slope, model.gradient_norm, x_size
        return stopping.reason(*norms, self.nit, self.callables.objective.nfev, late)

    def saw_pair(self, status: UpdateStatus | None) -> None:
        """Take down what became of the pair of this iteration; None where none was offered."""
        self.skipped += status is not None and not status.stored
        self._pair = status

    def after_step(
        self, x: Array, f: float, model: Model, outcome: Outcome, record: Callable[[], Any]
    ) -> Status | None:
        """Count the iteration, record it, and return why the callback ends the run, or None.

        ``record()`` returns what there is to say of the iteration.
        """
        self.nit += 1
        self.stopping.see(f, model.largest_slope, outcome)
        pair, self._pair = self._pair, None
        if self.options.history:
            of_loop = {**self.counts(), "fun": f, "accepted": outcome.accepted}
            # By its name: a history is part of a checkpoint.
            of_pair = {"pair": None if pair is None else pair.name}
            self._history.append({**of_loop, **record(), **of_pair})
        if math.isfinite(f) and math.isfinite(model.largest_slope):
            self._checkpoint.note()
        if self.callback is None:
            return None
        shaped, counts = self.callables.shaped, self.counts()
        arrays = {"x": shaped(x), "jac": shaped(model.gradient)}
        stop = self.callback(OptimizeResult(**arrays, fun=f, **counts, **record(), pair=pair))
        return Status.CALLBACK_STOP if stop else None

    def broken_off(self, status: Status) -> OptimizeResult:
        """Return the result of a run that is not to be asked any more, once it has an iterate."""
        model, reach = self.at.model, self._parts.get("reach")
        fields = {"n_pairs": model.n_pairs, **({} if reach is None else {reach.word: reach.size})}
        if hasattr(model, "n_modified"):
            fields["n_modified"] = model.n_modified
        fields |= model.report(self.at.x, model.gradient)
        return self.result(status, self.at.x, self.at.f, model.gradient, **fields)

    def settled(self, model: Model) -> bool:
        """Tell whether f is flat at the iterate, as far as it is known."""
        return self.stopping.settled(*self._norms(model))

    def ended(self, status: Status | None, model: Model) -> Status | None:
        """Return why the run is over: where it is stuck, it may be as far as fun is known."""
        return self.stopping.end(status, *self._norms(model))

    def restart(self, status: Status | None, f: float, model: Model) -> bool:
        """Tell whether a run that is stuck shall forget its pairs, which may be why, and go on."""
        g_norm = model.gradient_norm
        if status not in STUCK or not model.n_pairs or not self.stopping.another_try(f, g_norm):
            return False
        self.changing()
        self.restarts += 1
        return True

    def result(self, status: Status, x: Array, f: float, g: Array, **fields: Any) -> OptimizeResult:
        """Return the result of the run; x and jac are flat."""
        if status in TO_BE_CONTINUED:
            self._checkpoint.write()
        if self.options.history:
            fields["history"] = [{**row, "pair": _pair_of(row)} for row in self._history]
        if self._parts and not self.space.sharded:
            fields |= handed_over(self._parts, resumable=status in TO_BE_CONTINUED)
        counts = {**self.counts(), "skipped": self.skipped, "restarts": self.restarts}
        result = make_result(status, x=x, fun=f, jac=g, **counts, **fields)
        slopes = self.stopping.slopes
        doubtful = slopes.doubtful or (slopes.kinks.near and status in STUCK)
        if doubtful and status is not Status.WRONG_GRADIENT:
            result.message += f" {DOUBT}"
        return result

    def restored(self) -> None:
        for row in self._history:
            _pair_of(row)  # refuses what is no record

    def _norms(self, model: Model) -> tuple[float, float, float]:
        """Return the largest slope, and the size of a component of x."""
        return model.largest_slope, model.gradient_norm, model.point_norm / self._root_n

    def counts(self) -> dict[str, int]:
        """Return iterations, and evaluations by kind."""
        return {"nit": self.nit, **self.callables.counts()}


def _pair_of(row: dict[str, Any]) -> UpdateStatus | None:
    """Return what became of the pair of an iteration, by its record."""
    name = row["pair"]
    return None if name is None else UpdateStatus[name]
