"""Training on mini-batches with the methods of :mod:`qnsolve.stochastic`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import array_api_compat
import numpy as np

from qnsolve.array import Array, VectorSpace
from qnsolve.checkpoint import in_words, load, prepare, refuse_other, save
from qnsolve.stochastic.batch_function import BatchFunction, LossAndGrad
from qnsolve.stochastic.batches import ResumableBatches, stream_of
from qnsolve.stochastic.line_search import LineSearchSolver
from qnsolve.stochastic.options import (
    CubicStepOptions,
    LineSearchStepOptions,
    LSR1StepOptions,
    NewtonStepOptions,
    StepOptions,
    TrustRegionStepOptions,
)
from qnsolve.stochastic.step import ModelSolver, StepInfo

METHODS: dict[str, type[StepOptions]] = {
    "hybrid-tr": TrustRegionStepOptions,
    "lsr1-tr": LSR1StepOptions,
    "lsr1-arc": CubicStepOptions,
    "lsr1-ls": LineSearchStepOptions,
    "newton-tr": NewtonStepOptions,
}
"""Methods and their options."""

PRODUCT_COST = 2.0
"""Cost of a product with the Hessian, in gradients."""


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
        Gradients in passes over the batches of an epoch, a product with the Hessian as two; NaN
        where the number of batches is not known.
    message : str
        Why the run is over.
    history : dict of str to ndarray, shape (steps,)
        One entry a step: the fields of :class:`StepInfo`, `epoch`, `gradients` and `products`, the
        last two counted from the start of the run.

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


def make_solver(method: str = "hybrid-tr", **options: Any) -> ModelSolver | LineSearchSolver:
    """Return the solver of a method in step form.

    Parameters
    ----------
    method : {"hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls", "newton-tr"}
    **options
        As for :func:`train`; `overlap` has no effect, the function of a step is the caller's.

    Returns
    -------
    ModelSolver or LineSearchSolver
        ``solver.init(x)`` returns a state, ``solver.step(state, value_and_grad)`` the next one and
        what was done.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.stochastic import make_solver
    >>> solver = make_solver(initial_rate=0.1, norm="l2")
    >>> state = solver.init(np.array([3.0, 4.0]))
    >>> state, info = solver.step(state, lambda x: (float(x @ x) / 2, x))
    >>> state.x, info.accepted
    (array([2.7, 3.6]), True)
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {tuple(METHODS)}, got {method!r}")
    checked = METHODS[method].from_user(options)
    return LineSearchSolver(checked) if method == "lsr1-ls" else ModelSolver(checked)


def train(
    loss_and_grad: LossAndGrad,
    params: Array,
    batches: Any,
    *,
    method: str = "hybrid-tr",
    epochs: int = 10,
    hessp: Callable[[Array, Array, Any], Array] | None = None,
    callback: Callback | None = None,
    step_callback: Callback | None = None,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: int | None = None,
    progress: bool | None = None,
    **options: Any,
) -> TrainResult:
    r"""Minimise the mean of a loss over samples that come in mini-batches.

    .. math:: \min_x \; \frac1N \sum_{i=1}^N f_i(x)

    Every step belongs to one function, the mean over its batch, or with `overlap` over its batch
    and the one before: value and gradient at both ends, their ratio and the pair (s, y) are all of
    that function.

    Parameters
    ----------
    loss_and_grad : callable
        ``loss_and_grad(params, batch) -> (loss, gradient)``, the mean over the batch with all
        penalties, such as weight decay, in both.  Called with `params` that it must not change.
    params : array, shape (n,)
        Where to start: flat, real floating, of any array library.
    batches : MiniBatches, sequence or iterable
        What an epoch runs through; an iterable, such as a torch DataLoader, is run through anew
        each epoch.  All batches count the same.
    method : {"hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls", "newton-tr"}
        Trust region with SR1 re-applied on L-BFGS, trust region with L-SR1, cubic regularisation
        with L-SR1 (ARCs-LSR1), line search with L-SR1, trust-region Newton.
    epochs : int, >= 0
    hessp : callable, optional
        ``hessp(params, v, batch)``, the Hessian of the batch times v, for "newton-tr"; without it
        products are forward differences of gradients.
    callback, step_callback : callable, optional
        Called with a :class:`Progress` after every epoch, and after every step.  To end the run it
        raises StopIteration.
    checkpoint : path-like, optional
        File to write the state to.  If it exists the run goes on from it, and every iterate is the
        one of a run that was not broken off, bit for bit, given the same arguments.  Needs
        `batches` that can be asked for by number: MiniBatches, a sequence, or an object with
        ``__len__`` and ``part(epoch, number)``.
    checkpoint_every : int, >= 1, optional
        Write after so many steps, besides at the end of every epoch.
    progress : bool, optional
        Show a progress bar, which needs tqdm.  Default: on a terminal, if tqdm is installed.
    **options
        Those of the method: :mod:`qnsolve.stochastic.options`.

    Returns
    -------
    TrainResult

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described, or a checkpoint is of another run.

    Notes
    -----
    A step costs two gradients of its batch; with `overlap` three, as the second half of a batch is
    the first half of the next one, where its value is known.  A batch whose loss or gradient is not
    finite is left out; a trial point where they are not is a step too long.

    References
    ----------
    V. Ramamurthy, N. Duffy, "L-SR1: a second order optimization method for deep learning", 2017.

    M. Yousefi, A. Martinez, "On the efficiency of limited-memory quasi-Newton training using
    second-order approximations with overlapping batches", Algorithms 16 (2023), arXiv 2205.09121.

    J. Kohler, L. Adolphs, A. Lucchi, "Adaptive norms for deep learning with regularized Newton
    methods", arXiv 1905.09201.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.stochastic import MiniBatches, train
    >>> rng = np.random.default_rng(0)
    >>> X, w = rng.standard_normal((1000, 5)), np.arange(5.0)
    >>> def loss_and_grad(x, batch):
    ...     A, b = batch
    ...     r = A @ x - b
    ...     return r @ r / (2 * len(b)), A.T @ r / len(b)
    >>> result = train(loss_and_grad, np.zeros(5), MiniBatches(X, X @ w, batch_size=100), epochs=5)
    >>> bool(np.abs(result.params - w).max() < 1e-3)
    True
    """
    # 1. Arguments.
    space = _space_of(params)
    solver = make_solver(method, **options)
    stream = stream_of(batches)
    _check_arguments(loss_and_grad, epochs, callback, step_callback, checkpoint_every)
    if checkpoint is None and checkpoint_every is not None:
        raise ValueError("checkpoint_every needs a checkpoint to write to")
    if checkpoint is not None and not isinstance(stream, ResumableBatches):
        raise TypeError(
            "a checkpoint needs batches that can be asked for by number: MiniBatches, a sequence, "
            "or an object with __len__ and part(epoch, number)"
        )
    function = BatchFunction(loss_and_grad, space, solver.options.overlap, hessp)
    run = _Run(solver, function, stream, params)
    bar = _progress_bar(progress, epochs, stream)
    # 2. The state of a run that was broken off.
    if checkpoint is not None:
        run.identity = _identity(method, solver.options, space, stream)
        if prepare(checkpoint):
            run.restore(load(checkpoint, space))
    message = f"all of {epochs} epochs are done"
    try:
        while run.epoch < epochs:
            for batch in stream.epoch(run.epoch, run.number):
                # 3. A step on the next batch, and what it teaches.
                run.step(batch)
                bar.advance(run)
                # 4. Tell, and write down.
                if step_callback is not None:
                    step_callback(run.progress())
                if checkpoint_every and run.steps % checkpoint_every == 0 and checkpoint:
                    save(checkpoint, run.snapshot())
            # 5. The next epoch.
            shown = run.progress() if run.steps else None
            run.epoch, run.number = run.epoch + 1, 0
            if checkpoint is not None:
                save(checkpoint, run.snapshot())
            if callback is not None and shown is not None:
                callback(shown)
    except StopIteration:
        message = "stopped by the callback"
    finally:
        bar.close()
    return run.result(message)


class _Run:
    """The state of one run: the solver's, the position in the batches, and the history."""

    def __init__(self, solver: Any, function: BatchFunction, stream: Any, params: Array) -> None:
        self._solver, self._function, self._stream = solver, function, stream
        self._moved = getattr(function.loss_and_grad, "moved", None)
        self.state = solver.init(params)
        self.epoch = self.number = self.steps = 0
        self.identity: dict[str, Any] = {}
        self._infos: list[StepInfo] = []
        self._counts: list[tuple[int, int, int]] = []

    def step(self, batch: Any) -> None:
        self._function.advance(batch)
        x = self.state.x
        self.state, info = self._solver.step(self.state, self._function, self._function.product)
        if self._moved is not None and self.state.x is not x:
            self._moved(self.state.x)
        self.number += 1
        self.steps += 1
        self._infos.append(info)
        self._counts.append((self.epoch, self._function.gradients, self._function.products))

    @property
    def passes(self) -> float:
        """Gradients so far in passes over the batches."""
        if not isinstance(self._stream, ResumableBatches):
            return float("nan")
        function = self._function
        cost = function.gradients + PRODUCT_COST * function.products
        return cost / len(self._stream.source)

    def progress(self) -> Progress:
        info = self._infos[-1]
        return Progress(self.state.x, self.epoch, self.steps, self.passes, info)

    def result(self, message: str) -> TrainResult:
        return TrainResult(
            self.state.x, self.epoch, self.steps, self.passes, message, self._history()
        )

    def snapshot(self) -> dict[str, Any]:
        loss = self._function.loss_and_grad
        return {
            "identity": self.identity,
            "epoch": self.epoch,
            "number": self.number,
            "steps": self.steps,
            "history": self._history(),
            "function": self._function.snapshot(self.state.x),
            "state": self._solver.snapshot(self.state),
            "loss": loss.snapshot() if hasattr(loss, "snapshot") else {},
        }

    def restore(self, saved: dict[str, Any]) -> None:
        refuse_other(saved["identity"], self.identity)
        self.epoch, self.number, self.steps = saved["epoch"], saved["number"], saved["steps"]
        self.state = self._solver.restore(saved["state"])
        last = self._stream.before(self.epoch, self.number) if self.steps else None
        self._function.restore(saved["function"], self.state.x, last)
        history = {name: values.tolist() for name, values in saved["history"].items()}
        names = StepInfo._fields
        self._infos = [StepInfo(*row) for row in zip(*(history[n] for n in names), strict=True)]
        counts = (history[name] for name in ("epoch", "gradients", "products"))
        self._counts = list(zip(*counts, strict=True))
        loss = self._function.loss_and_grad
        if hasattr(loss, "restore"):
            loss.restore(saved["loss"])

    def _history(self) -> dict[str, np.ndarray]:
        kinds = {"n_pairs": int, "accepted": bool, "stored": bool, "finite": bool}
        columns = {
            name: np.array([getattr(info, name) for info in self._infos], kinds.get(name, float))
            for name in StepInfo._fields
        }
        counts = np.array(self._counts, dtype=int).reshape(-1, 3)
        return {
            **columns,
            "epoch": counts[:, 0],
            "gradients": counts[:, 1],
            "products": counts[:, 2],
        }


class _NoBar:
    """A progress bar that nobody sees."""

    def advance(self, run: _Run) -> None:
        pass

    def close(self) -> None:
        pass


class _Bar:
    """A progress bar of tqdm, one tick a step."""

    def __init__(self, tqdm: Any, total: int | None) -> None:
        self._bar = tqdm(total=total, unit="step")

    def advance(self, run: _Run) -> None:
        # A resumed run begins where it was broken off.
        self._bar.update(run.steps - self._bar.n)
        self._bar.set_postfix(epoch=run.epoch, loss=run.progress().info.loss, refresh=False)

    def close(self) -> None:
        self._bar.close()


def _progress_bar(progress: bool | None, epochs: int, stream: Any) -> _NoBar | _Bar:
    if progress is False or (progress is None and not sys.stderr.isatty()):
        return _NoBar()
    try:
        from tqdm import tqdm
    except ImportError:
        if progress:
            raise ValueError("progress=True needs tqdm; pip install qnsolve[experiments]") from None
        return _NoBar()
    known = isinstance(stream, ResumableBatches)
    return _Bar(tqdm, epochs * len(stream.source) if known else None)


def _space_of(params: Array) -> VectorSpace:
    if not array_api_compat.is_array_api_obj(params):
        raise TypeError(f"params must be an array, got {type(params).__name__}")
    xp = array_api_compat.array_namespace(params)
    if not xp.isdtype(params.dtype, "real floating"):
        raise TypeError(f"params must be real floating, got dtype {params.dtype}")
    if params.ndim != 1 or params.shape[0] == 0:
        raise ValueError(f"params must have shape (n,), n >= 1, got {tuple(params.shape)}")
    return VectorSpace.of(params)


def _check_arguments(
    loss_and_grad: Any, epochs: Any, callback: Any, step_callback: Any, every: Any
) -> None:
    for name, value, optional in (
        ("loss_and_grad", loss_and_grad, False),
        ("callback", callback, True),
        ("step_callback", step_callback, True),
    ):
        if not callable(value) and not (optional and value is None):
            raise TypeError(f"{name} must be callable, got {type(value).__name__}")
    for name, value, least in (("epochs", epochs, 0), ("checkpoint_every", every, 1)):
        if name == "checkpoint_every" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")


def _identity(
    method: str, options: StepOptions, space: VectorSpace, stream: ResumableBatches
) -> dict[str, Any]:
    """Return what a checkpoint must share with the run that goes on from it."""
    values = {option.name: getattr(options, option.name) for option in fields(options)}
    return {
        "program": "train",
        "method": method,
        "options": {name: in_words(value) for name, value in values.items()},
        "n": space.size,
        "dtype": str(space.dtype),
        "library": space.xp.__name__,
        "batches": stream.describe(),
    }
