"""Where a call of :func:`qnsolve.stochastic.train` stands: position, history and results."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from qnsolve.arrays import Array, VectorSpace
from qnsolve.arrays.border import Border
from qnsolve.checkpoint import refuse_other
from qnsolve.stochastic.batch_function import BatchFunction
from qnsolve.stochastic.batches import ResumableBatches, StreamedBatches, by_number
from qnsolve.stochastic.pivot import Pivot
from qnsolve.stochastic.step import StepInfo

PRODUCT_COST, VALUE_COST = 2.0, 1.0 / 3.0
"""Cost of a product with the Hessian, and of a loss alone, in gradients."""

KINDS = {"n_pairs": int, "accepted": bool, "stored": bool, "finite": bool}
"""Of the fields of a StepInfo that are no floats."""

COUNTS = ("epoch", "gradients", "products", "values")
"""Columns of the history beside those."""

LONG = 20
"""Steps without a move that are worth a word: a radius has shrunk by 1e6 at least by then."""

_END = object()


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What a run of :func:`train` has done.

    Attributes
    ----------
    params : array, shape (n,)
        The parameters after the last step.
    epochs : int
        Epochs that were finished.
    steps : int
    passes : float
        Gradients in passes over the batches of an epoch, a product with the Hessian as two and a
        loss alone as a third; NaN where the number of batches is not known.
    message : str
        Why the run is over.
    history : dict of str to ndarray, shape (steps,)
        One entry a step: the fields of :class:`StepInfo`, `epoch`, `gradients`, `products` and
        `values`, the last three counted from the start of the run.
    pivots : dict of str to ndarray
        One entry a comparison (option `pivot_every`): `epoch`, `loss` on all samples, `undone`,
        and the `batch_size` until then.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.stochastic import train
    >>> result = train(lambda x, batch: (x @ x, 2.0 * x), np.ones(3), [None], epochs=2)
    >>> result.steps, result.history["loss"].shape
    (2, (2,))
    """

    params: Array
    epochs: int
    steps: int
    passes: float
    message: str
    history: dict[str, np.ndarray]
    pivots: dict[str, np.ndarray]

    def __repr__(self) -> str:
        """Say how it went in one line; arrays are as long as they are."""
        loss = self.history["loss_new"][-1] if self.steps else math.nan
        return (
            f"TrainResult({self.message!r}: {self.epochs} epochs, {self.steps} steps, "
            f"{self.passes:.4g} passes, last loss {loss:.6g}; params, history, pivots)"
        )


@dataclass(frozen=True, eq=False)
class Progress:
    """What a callback sees.

    Attributes
    ----------
    params : array, shape (n,)
        The parameters; not to be changed.
    epoch : int
        Number of the epoch, from 0.
    step : int
        Steps so far.
    passes : float
        As in :class:`TrainResult`.
    info : StepInfo
        The last step.
    """

    params: Array
    epoch: int
    step: int
    passes: float
    info: StepInfo


Callback = Callable[[Progress], Any]


class StoppedByCallback(Exception):
    """A callback has asked for the end; what other callables raise is not taken for that."""


class Training:
    """Where a run stands between two steps.

    Parameters
    ----------
    solver : ModelSolver or a class with its methods
    function : BatchFunction
    stream : ResumableBatches or StreamedBatches
    x : array, shape (n,)
        Vector of `space` to start from.
    space : VectorSpace
    border : Border
        What callbacks are shown in place of x.

    Attributes
    ----------
    epoch, number, steps : int
        The epoch, batches done in it, and steps in all.
    identity : dict
        What a checkpoint must share with the run that goes on from it; empty where there is none.

    Notes
    -----
    Between two steps all parts belong together.  They are noted then, so that a step that an
    exception breaks off can be left out, or gone on from where it was: its state says whether it
    has begun to learn.
    """

    def __init__(
        self,
        solver: Any,
        function: BatchFunction,
        stream: ResumableBatches | StreamedBatches,
        x: Array,
        space: VectorSpace,
        border: Border,
    ) -> None:
        self._solver, self._function, self._stream = solver, function, stream
        self._space, self._border = space, border
        self._loss = function.loss
        options = solver.options
        self._measured = function.newest if options.overlap and options.measure == "new" else None
        self.state = solver.init(x, space)
        self.epoch = self.number = self.steps = 0
        self.identity: dict[str, Any] = {}
        self._noted: dict[str, Any] | None = None
        self.pivot = Pivot(options)
        # Passes at the last change of the batch size, and the cost in gradients by then.
        self._paid = self._cost_paid = 0.0
        self._infos: list[StepInfo] = []
        # Where x has been since which step, as far as the ends of epochs show.
        self._standing, self._has_warned = (self.state.x, 0), False
        self._counts: list[tuple[int, int, int, int]] = []

    def batches(self) -> Iterator[Any]:
        """Iterate over what is left of the epoch."""
        return self._on_all_ranks(self._stream.epoch(self.epoch, self.number))

    def step(self, batch: Any) -> None:
        """Do one step on `batch`."""
        function, x = self._function, self.state.x
        function.advance(batch)
        self.state, info = self._solver.step(self.state, function, function.product, self._measured)
        self._noted = None
        if self.state.x is not x:
            self._loss.moved(self._border.outside(self.state.x))
        self.number += 1
        self.steps += 1
        self._infos.append(info)
        counts = (function.gradients, function.products, function.values)
        self._counts.append((self.epoch, *counts))
        self.note()

    def next_epoch(self) -> None:
        """Go on to the next epoch."""
        self._noted = None
        self.epoch, self.number = self.epoch + 1, 0
        self.note()

    def warn_if_stuck(self) -> None:
        """Warn, once a run, where no epoch has moved x for long, though its gradient is not 0."""
        x, first = self._standing
        with np.errstate(over="ignore"):
            moved = self.state.x is not x and self._space.norm_inf(self.state.x - x) != 0.0
        if moved:
            self._standing = self.state.x, len(self._infos)
        infos = self._infos[first:]
        at_rest = all(info.gradient_norm == 0.0 for info in infos)
        if moved or self._has_warned or len(infos) < LONG or at_rest:
            return
        self._has_warned = True
        finite, accepted = (sum(getattr(i, n) for i in infos) for n in ("finite", "accepted"))
        warnings.warn(
            f"the parameters have not moved in {len(infos)} steps up to epoch {self.epoch}; "
            f"{finite} were on a finite loss and {accepted} accepted.  The steps are below "
            "rounding, the gradient is not that of the loss (verify.check_grad tells), or the loss "
            "is no function of the parameters alone",
            RuntimeWarning,
            stacklevel=3,
        )

    def check_pivot(self) -> None:
        """At the beginning of an epoch, go back if the loss is not lower than at the last pivot."""
        if self.number or not self.pivot.due(self.epoch):
            return
        loss = self._loss_on_all(self.state.x)
        kept = dict(self._loss.snapshot())
        self._noted = None
        undone = self.pivot.check(self.epoch, loss, self.state.x, kept, self._stream.batch_size)
        if undone:
            self.state.x = self.pivot.x
            self._loss.restore(self.pivot.kept)
            self._set_batch_size(self.pivot.larger(self._stream))
        self.note()

    @property
    def passes(self) -> float:
        """Gradients so far in passes over the batches."""
        if not isinstance(self._stream, ResumableBatches) or not len(self._stream.source):
            return float("nan")
        return self._paid + (self._cost - self._cost_paid) / len(self._stream.source)

    def steps_left(self, epochs: int) -> int | None:
        """Return how many steps are left; None where the number of batches is not known."""
        if not isinstance(self._stream, ResumableBatches):
            return None
        return (epochs - self.epoch) * len(self._stream.source) - self.number

    def tell(self, callback: Callback | None, progress: Progress) -> None:
        """Call `callback`, if any; raise StoppedByCallback where a rank wants to stop."""
        stop = False

        def call() -> None:
            nonlocal stop
            try:
                if callback is not None:
                    callback(progress)
            except StopIteration:
                stop = True

        self._space.agreed(call)
        if self._space.any(stop):
            raise StoppedByCallback

    def progress(self) -> Progress:
        """Return what a callback is shown after a step."""
        x = self._border.outside(self.state.x)
        return Progress(x, self.epoch, self.steps, self.passes, self._infos[-1])

    def result(self, message: str) -> TrainResult:
        """Return the result of a run that is over."""
        x = self._border.outside(self.state.x)
        history, pivots = self._history(), self.pivot.history()
        return TrainResult(x, self.epoch, self.steps, self.passes, message, history, pivots)

    def note(self) -> None:
        """Note where the run stands: all parts belong together now."""
        if not self.identity:
            return
        self._noted, self.state.whole = None, True
        self._noted = {
            "identity": self.identity,
            "epoch": self.epoch,
            "number": self.number,
            "steps": self.steps,
            "function": self._function.snapshot(self.state.x),
            "pivot": self.pivot.snapshot(),
            "batch_size": self._stream.batch_size,
            "paid": [self._paid, self._cost_paid],
        }

    def snapshot(self) -> dict[str, Any] | None:
        """Return the state as nested dictionaries of plain values and arrays, as of the last note.

        None where a step was broken off while it learned.
        """
        noted = self._noted
        if noted is None or not self.state.whole:
            return None
        history = {name: column[: noted["steps"]] for name, column in self._history().items()}
        loss = dict(self._loss.snapshot())
        return {**noted, "state": self.state.snapshot(), "history": history, "loss": loss}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from where :meth:`snapshot` was called."""
        refuse_other(saved["identity"], self.identity)
        stream = by_number(self._stream, "a checkpoint")
        self.epoch, self.number, self.steps = saved["epoch"], saved["number"], saved["steps"]
        if saved["batch_size"] != stream.batch_size:
            self._stream = stream = stream.resized(saved["batch_size"])
        self._paid, self._cost_paid = saved["paid"]
        self.pivot.restore(saved["pivot"])
        self.state = self._solver.restore(saved["state"], self._space)
        last = stream.before(self.epoch, self.number) if self.steps else None
        self._function.restore(saved["function"], self.state.x, last)
        history = {name: values.tolist() for name, values in saved["history"].items()}
        names = StepInfo._fields
        self._infos = [StepInfo(*row) for row in zip(*(history[n] for n in names), strict=True)]
        counts = (history[name] for name in COUNTS)
        self._counts = list(zip(*counts, strict=True))
        self._standing = self.state.x, len(self._infos)
        self._loss.restore(saved["loss"])
        self.note()

    @property
    def _cost(self) -> float:
        """All that was evaluated, in gradients of one batch."""
        function = self._function
        products = PRODUCT_COST * function.products
        return function.gradients + products + VALUE_COST * function.values

    def _on_all_ranks(self, items: Iterator[Any]) -> Iterator[Any]:
        """Yield `items`; what the iterator raises on one rank ends all."""
        while True:
            item = self._space.agreed(lambda: next(items, _END))
            if item is _END:
                return
            yield item

    def _loss_on_all(self, x: Array) -> float:
        total = weights = 0.0
        for weight, batch in self._on_all_ranks(self._stream.whole()):
            total += weight * self._function.value(x, batch)
            weights += weight
        return total / weights if weights else float("nan")

    def _set_batch_size(self, size: int) -> None:
        if size == self._stream.batch_size:
            return
        self._paid, self._cost_paid = self.passes, self._cost
        self._stream = by_number(self._stream, "batch_growth").resized(size)
        # The batch before has another size: it cannot be half of the next function.
        self._function.forget()

    def _history(self) -> dict[str, np.ndarray]:
        columns: dict[str, np.ndarray] = {
            name: np.array([getattr(info, name) for info in self._infos], KINDS.get(name, float))
            for name in StepInfo._fields
        }
        counts = np.array(self._counts, dtype=int).reshape(-1, 4).T
        return {**columns, **dict(zip(COUNTS, counts, strict=True))}
