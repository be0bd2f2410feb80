"""Training on mini-batches with the methods of :mod:`qnsolve.stochastic`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

from qnsolve.arrays import Array, VectorSpace, agreed, space_of
from qnsolve.arrays.border import Border
from qnsolve.arrays.libraries import is_array, namespace_of
from qnsolve.arrays.user import floating_vector, require_digits, require_finite
from qnsolve.checkpoint import (
    in_words,
    load,
    noting,
    prepare,
    reading,
    require_same,
    save,
    save_or_warn,
)
from qnsolve.checks import at_least, function, function_or_none, warn_unused
from qnsolve.comm import Comm, as_comm
from qnsolve.norms import options_inside
from qnsolve.stochastic.batch_function import BatchFunction, LossAndGrad
from qnsolve.stochastic.batches import (
    ResumableBatches,
    StreamedBatches,
    by_number,
    stream_of,
)
from qnsolve.stochastic.line_search import LineSearchSolver
from qnsolve.stochastic.options import (
    CubicStepOptions,
    LineSearchStepOptions,
    LSR1StepOptions,
    NewtonStepOptions,
    StepOptions,
    TrustRegionStepOptions,
)
from qnsolve.stochastic.progress import Callback, StoppedByCallback, Training, TrainResult
from qnsolve.stochastic.step import ModelSolver, newton_model, radius, secant_model, weight

METHODS: dict[str, tuple[type[StepOptions], Callable[[Any], ModelSolver | LineSearchSolver]]] = {
    "hybrid-tr": (
        TrustRegionStepOptions,
        partial(ModelSolver, model=secant_model, reach=radius),
    ),
    "lsr1-tr": (LSR1StepOptions, partial(ModelSolver, model=secant_model, reach=radius)),
    "lsr1-arc": (CubicStepOptions, partial(ModelSolver, model=secant_model, reach=weight)),
    "lsr1-ls": (LineSearchStepOptions, LineSearchSolver),
    "newton-tr": (NewtonStepOptions, partial(ModelSolver, model=newton_model, reach=radius)),
}
"""Options of each method, and what makes its solver."""


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
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"method must be one of {tuple(METHODS)}, got {method!r}")
    kind, solver = METHODS[method]
    return solver(kind.from_user(options))


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
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    progress: bool | None = None,
    comm: Any = None,
    **options: Any,
) -> TrainResult:
    r"""Minimise the mean of a loss over samples that come in mini-batches.

    .. math:: \min_x \; \frac1N \sum_{i=1}^N f_i(x)

    Every step minimises a model of one function, the mean over its batch, or with `overlap` over
    its batch and the one before.  The ratio that judges it and its pair (s, y) are of the same
    samples at both ends: those of the new batch, or by the option `measure` those of both.

    Parameters
    ----------
    loss_and_grad : callable
        ``loss_and_grad(params, batch) -> (loss, gradient)``, the mean over the batch with all
        penalties, such as weight decay, in both.  Called with `params` that it must not change; the
        gradient may be the same array each time.
    params : array, shape (n,)
        Where to start: flat, float32 or float64, finite, of any array library.
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
        Write after so many steps, besides at the end of every epoch and where a callback or an
        exception, an interrupt too, ends the run.
    progress : bool, optional
        Show a progress bar, which needs tqdm.  Default: on a terminal, if tqdm is installed.
    comm : qnsolve.comm.Comm or mpi4py communicator, optional
        Ranks that train one model together, each with its own slice of `params`, of any length from
        0.  `loss_and_grad` returns *its part* of the loss, which is the sum over all ranks, and its
        slice of the gradient of that sum, as in :func:`qnsolve.minimize`.  Batches must be as many
        on every rank.  What a callable raises on one rank ends all of them.  Not for ranks that
        hold shards of the data and all parameters: those add up loss and gradient in the callable.
    **options
        Those of the method: :mod:`qnsolve.stochastic.options`.

    Returns
    -------
    TrainResult

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described, or a checkpoint is of another run.

    Warns
    -----
    RuntimeWarning
        If `hessp` is given to a method that does not use it, a checkpoint cannot be written, or,
        once, whole epochs of 20 steps or more have left the parameters as they were although the
        gradient is not 0.

    Notes
    -----
    A step costs two gradients of its batch, with and without `overlap`: what the batch before gave
    at the end of the last step is known.  With ``measure="both"`` it costs three.  A batch whose
    loss or gradient is not finite is left out; a trial point where they are not is a step too long.

    On the CPU, parameters of PyTorch and JAX are computed with as the NumPy arrays that share their
    memory; `loss_and_grad` and callbacks see those of their library.

    References
    ----------
    V. Ramamurthy, N. Duffy, "L-SR1: a second order optimization method for deep learning", 2017.

    M. Yousefi, A. Martinez, "Deep neural networks training by stochastic quasi-Newton trust-region
    methods", Algorithms 16(10) (2023), 490.

    A. S. Berahas, J. Nocedal, M. Takac, "A multi-batch L-BFGS method for machine learning", NIPS
    2016, arXiv 1605.06049.

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
    comm = as_comm(comm)
    agreed(comm, lambda: make_solver(method, **options))  # refuses what is wrong with them
    stream = agreed(comm, lambda: stream_of(batches))
    required = {"loss_and_grad": loss_and_grad}
    optional = {"hessp": hessp, "callback": callback, "step_callback": step_callback}
    agreed(comm, lambda: _check_arguments(required, optional, epochs, checkpoint_every))
    if method != "newton-tr":
        warn_unused(method, hessp=hessp)
    border, space = _space_of(params, comm)
    solver = make_solver(method, **options_inside(options, border))
    if space.sharded:
        _check_ranks(space, stream, checkpoint)
        require_same(space, method=method, epochs=epochs, hessp=hessp is not None)
        require_same(space, **vars(solver.options))
    space.agreed(lambda: _check_batches(stream, solver.options, checkpoint, checkpoint_every))
    function = BatchFunction(loss_and_grad, space, solver.options.overlap, hessp, border)
    # A copy: the caller's array is neither changed nor returned.
    x = function.own(params, "params")
    run = Training(solver, function, stream, x, space, border)
    # 2. The state of a run that was broken off.
    place = ""
    if checkpoint is not None:
        numbered = by_number(stream, "a checkpoint")
        run.identity = _identity(method, solver.options, params, numbered)
        place, exists = prepare(checkpoint)
        if exists:
            tree = load(place, space)
            with reading(place):
                run.restore(tree)
        run.note()

    def write(writer: Any = save_or_warn) -> None:
        tree = run.snapshot()
        if tree is not None:
            writer(place, tree)

    bar = space.agreed(lambda: _progress_bar(progress if space.leader else False, epochs))
    tells, tells_steps = (space.any(f is not None) for f in (callback, step_callback))
    message = f"all of {epochs} epochs are done"
    try:
        while run.epoch < epochs:
            # 3. Go back if the loss on all samples has not fallen.
            run.check_pivot()
            for batch in run.batches():
                # 4. A step on the next batch, and what it teaches.
                run.step(batch)
                bar.advance(run)
                # 5. Write down, and tell.
                if checkpoint_every and run.steps % checkpoint_every == 0:
                    write()
                if tells_steps:
                    run.tell(step_callback, run.progress())
            # 6. The next epoch, unless the batches have run out.
            if run.number == 0:
                if run.steps == 0:
                    raise ValueError("batches is empty: the first epoch had none")
                message = f"batches had none left for epoch {run.epoch}"
                break
            run.warn_if_stuck()
            shown = run.progress() if run.steps else None
            run.next_epoch()
            write()
            if tells and shown is not None:
                run.tell(callback, shown)
    except StoppedByCallback:
        message = "stopped by the callback"
        write()
    except BaseException as error:
        with noting(error):
            write(save)
        raise
    finally:
        bar.close()
    return run.result(message)


class _NoBar:
    """A progress bar that nobody sees."""

    def advance(self, run: Training) -> None:
        pass

    def close(self) -> None:
        pass


class _Bar:
    """A progress bar of tqdm, one tick a step."""

    def __init__(self, tqdm: Any, epochs: int) -> None:
        self._epochs = epochs
        self._bar = tqdm(unit="step")

    def advance(self, run: Training) -> None:
        # A resumed run begins where it was broken off, and batches may have grown.
        left = run.steps_left(self._epochs)
        self._bar.total = None if left is None else run.steps + left
        self._bar.update(run.steps - self._bar.n)
        self._bar.set_postfix(epoch=run.epoch, loss=run.progress().info.loss, refresh=False)

    def close(self) -> None:
        self._bar.close()


def _progress_bar(progress: bool | None, epochs: int) -> _NoBar | _Bar:
    if progress is False or (progress is None and not sys.stderr.isatty()):
        return _NoBar()
    try:
        from tqdm import tqdm
    except ImportError:
        if progress:
            raise ValueError("progress=True needs tqdm; pip install qnsolve[experiments]") from None
        return _NoBar()
    return _Bar(tqdm, epochs)


def _space_of(params: Array, comm: Comm | None) -> tuple[Border, VectorSpace]:
    def checked() -> Border:
        if not is_array(params):
            raise TypeError(f"params must be an array, got {type(params).__name__}")
        vector = floating_vector(params, "params", comm=comm)
        require_digits(namespace_of(vector), vector.dtype, "params")
        require_finite(vector, "params")
        return Border(params)

    border = agreed(comm, checked)
    return border, space_of(border.inside(params), comm)


def _check_ranks(
    space: VectorSpace, stream: ResumableBatches | StreamedBatches, checkpoint: Any
) -> None:
    """Refuse slices and batches that do not belong to one run; collective."""
    if not space.same(space.eps):
        raise ValueError(f"params have dtype {space.dtype} here and another one on another rank")
    if space.size == 0:
        raise ValueError("params are empty on every rank")
    source = space.agreed(lambda: by_number(stream, "comm")).source
    if not space.same(float(len(source))):
        raise ValueError(f"there are {len(source)} batches here, not so on another rank")
    if space.any(checkpoint is not None):
        raise ValueError("checkpoint is not supported with comm; keep params by a callback")


def _check_arguments(
    required: dict[str, Any], optional: dict[str, Any], epochs: Any, every: Any
) -> None:
    for name, value in required.items():
        function(value, name)
    for name, value in optional.items():
        function_or_none(value, name)
    at_least(0)(epochs, "epochs")
    at_least(1).or_none()(every, "checkpoint_every")


def _check_batches(
    stream: ResumableBatches | StreamedBatches,
    options: StepOptions,
    checkpoint: Any,
    every: int | None,
) -> None:
    """Refuse what these batches cannot be used for."""
    if checkpoint is None and every is not None:
        raise ValueError("checkpoint_every needs a checkpoint to write to")
    if checkpoint is not None:
        by_number(stream, "a checkpoint")
    if options.pivot_every is not None and options.batch_growth > 1.0 and not stream.samples:
        raise TypeError("batch_growth > 1 needs MiniBatches, or an object with their methods")


def _identity(
    method: str, options: StepOptions, params: Array, stream: ResumableBatches
) -> dict[str, Any]:
    """Return what a checkpoint must share with the run that goes on from it."""
    values = {option.name: getattr(options, option.name) for option in fields(options)}
    return {
        "program": "train",
        "method": method,
        "options": {name: in_words(value) for name, value in values.items()},
        "n": params.shape[0],
        "dtype": str(params.dtype),
        "library": namespace_of(params).__name__,
        "batches": stream.describe(),
    }
