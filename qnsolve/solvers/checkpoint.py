"""When the state of a run is written to its file, and what is in it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields
from typing import Any

from qnsolve.arrays import Array, VectorSpace
from qnsolve.callables import Callables
from qnsolve.checkpoint import (
    in_words,
    load,
    noting,
    prepare,
    reading,
    refuse_other,
    save,
    save_or_warn,
)
from qnsolve.options import SolverOptions
from qnsolve.questions import Answer, Asking, Evaluate
from qnsolve.solvers.models import End
from qnsolve.state import Stateful

MAY_DIFFER = (
    *("gtol", "ftol", "maxiter", "maxfev", "maxtime", "evaluate_last"),
    *("disp", "compiled", "workers"),
    *("checkpoint", "checkpoint_every", "checkpoint_seconds"),
)
"""Options that say when to end and to write, and who computes: no iterate depends on them, but for
rounding."""

REPEATS = 4
"""Evaluations that show how far fun differs from itself, where it is not what the file says."""

NOISE = 10.0
"""How many times that it may differ from the file: the largest of so few is a rough measure."""


def distance(answer: Answer, f: float, g: Array | None, space: VectorSpace) -> tuple[float, float]:
    """Return how far f and the entries of g are from an answer; 0 for a g that it lacks."""
    gap = 0.0 if answer.g is None or g is None else space.norm_inf(answer.g - g)
    return abs(answer.f - f), gap


NOTHING = nullcontext()


class NoCheckpoint:
    """What stands for the file of a run that has none."""

    saved: dict[str, Any] | None = None

    def watch(self, owners: Mapping[str, Stateful], counters: Mapping[str, Stateful]) -> None:
        pass

    def iteration(self) -> AbstractContextManager[None]:
        return NOTHING

    def note(self) -> None:
        pass

    def changing(self) -> None:
        pass

    def write(self) -> None:
        pass


def checkpoint_of(callables: Callables, options: SolverOptions) -> Checkpoint | NoCheckpoint:
    """Return the checkpoint that the options ask for."""
    if options.checkpoint is None:
        return NoCheckpoint()
    return Checkpoint(options.checkpoint, callables, options)


def identity_of(callables: Callables, options: SolverOptions) -> dict[str, Any]:
    """Return, as plain values, what tells a run from others that cannot go on from its file."""
    return {
        "program": "minimize",
        **callables.identity(),
        "options": type(options).__name__,
        **{
            option.name: in_words(getattr(options, option.name))
            for option in fields(options)
            if option.name not in MAY_DIFFER
        },
    }


class Checkpoint:
    """The file that a run is written to, between two iterations, and gone on from.

    Counters change while a trial is evaluated, everything else only after it.  So the counters are
    noted between the iterations, and an iteration that an exception breaks off before it has
    changed anything else can be left out: what is written then is the state before it.

    Parameters
    ----------
    path : str
        The file.
    callables : Callables
    options : SolverOptions

    Attributes
    ----------
    saved : dict or None
        What the file holds, until it has been taken over.

    Raises
    ------
    ValueError
        If the file is no checkpoint, is one of another run, or cannot be written; with ranks.
    """

    saved: dict[str, Any] | None

    def __init__(self, path: str, callables: Callables, options: SolverOptions) -> None:
        if callables.space.sharded:
            raise ValueError("checkpoint is not supported with comm; keep x by a callback")
        self._options = options
        self._identity = identity_of(callables, options)
        self._owners: dict[str, Stateful] = {}
        self._counters: dict[str, Stateful] = {}
        self._noted: dict[str, Any] | None = None
        self._passed, self._written = 0, time.monotonic()
        self.saved = None
        self._path, exists = prepare(path)
        if exists:
            self.saved = load(self._path, callables.space)
            with reading(self._path):
                refuse_other(self.saved["identity"], self._identity)

    def watch(self, owners: Mapping[str, Stateful], counters: Mapping[str, Stateful]) -> None:
        """Put all parts into the state of the file, if any; write them from now on."""
        self._owners, self._counters = dict(owners), dict(counters)
        if self.saved is not None:
            with reading(self._path):
                for name, part in {**owners, **counters}.items():
                    part.restore(self.saved["state"][name])
            self.saved = None

    def start(self, measure: Callable[[Array], End], space: VectorSpace) -> Asking[End]:
        """Return the point of the file, once fun is known to be the function that it is of."""
        with reading(self._path):
            state = (self.saved or {})["state"]
            at, sizes = state["at"], state["run"]["_sizes"]
            x, f, g = at["x"], at["f"], at["model"]["gradient"]
            if not x.shape == g.shape == (space.length,):
                raise TypeError(f"x has shape {x.shape}, g has {g.shape}")
            part = math.sqrt(space.eps)
            f_room, g_room = part * max(sizes[0], abs(f)), part * max(sizes[1], space.norm_inf(g))
        first = yield Evaluate(x, at_start=True, cheap=True)
        f_gap, g_gap = distance(first, f, g, space)
        if not (f_gap <= f_room and g_gap <= g_room):
            for _ in range(REPEATS):
                again = yield Evaluate(x, at_start=True, cheap=True)
                f_noise, g_noise = distance(again, first.f, first.g, space)
                f_room, g_room = f_room + NOISE * f_noise, g_room + NOISE * g_noise
        what, gap = ("fun", f_gap) if not f_gap <= f_room else ("its gradient", g_gap)
        if not (f_gap <= f_room and g_gap <= g_room):
            raise ValueError(
                f"the checkpoint {self._path} is of another function: at its x {what} differs by "
                f"{gap:.3g} from what it says; delete it to start anew"
            )
        end = measure(x)
        return end.answered(Answer(f, g, space.reduce(end.request(g))))

    def note(self) -> None:
        """Note the counters: all parts belong together now."""
        self._noted = {name: part.snapshot() for name, part in self._counters.items()}

    def changing(self) -> None:
        """Say that the parts do not belong together until the next :meth:`note`."""
        self._noted = None

    @contextmanager
    def iteration(self) -> Iterator[None]:
        """Write before the iteration, where it is time to, and where an exception breaks it off."""
        try:
            self._write_in_time()
            yield
        except GeneratorExit:
            raise  # a loop that nobody asks any more, perhaps for long: the file may be newer
        except BaseException as error:
            with noting(error):
                self.write(save)
            raise

    def _write_in_time(self) -> None:
        options = self._options
        every, seconds = options.checkpoint_every, options.checkpoint_seconds
        due = every is not None and self._passed >= every
        late = seconds is not None and time.monotonic() - self._written >= seconds
        self.note()
        if due or late:
            self.write()
        self._passed += 1

    def write(self, writer: Callable[[str, dict[str, Any]], None] = save_or_warn) -> None:
        """Write the state to the file, if the parts belong together."""
        if self._noted is None:
            return
        writer(self._path, self.tree())
        self._passed, self._written = 0, time.monotonic()

    def tree(self) -> dict[str, Any]:
        """Return what the file holds: the state before the iteration, which is None at x0."""
        state = None
        if self._noted is not None:
            parts = {name: part.snapshot() for name, part in self._owners.items()}
            state = {**parts, **self._noted}
        return {"identity": self._identity, "state": state}


class Snapshot(Checkpoint):
    """What a run is gone on from whose questions are answered by somebody else: no file of its own.

    It is the state before the iteration, and the answers since then.

    Parameters
    ----------
    callables : Callables
    options : SolverOptions
    method : str

    Attributes
    ----------
    answers : list of dict
        As they were given.
    """

    def __init__(self, callables: Callables, options: SolverOptions, method: str) -> None:
        self._options, self._path = options, "the snapshot"
        self._identity = {**identity_of(callables, options), "program": "Solver", "method": method}
        self._owners, self._counters, self._noted = {}, {}, None
        self.saved = None
        self.answers: list[dict[str, Any]] = []

    def start(self, measure: Callable[[Array], End], space: VectorSpace) -> Asking[End]:
        """Return the point of the snapshot; its answer is known."""
        state = (self.saved or {})["state"]
        at = state["at"]
        end = measure(at["x"])
        g = at["model"]["gradient"]
        return end.answered(Answer(at["f"], g, space.reduce(end.request(g))))
        yield  # asks for nothing, unlike a checkpoint

    @contextmanager
    def iteration(self) -> Iterator[None]:
        """Note the state before the iteration; the answers are those of this one from now on."""
        self.note()
        self.answers = []
        yield

    def write(self, writer: Callable[[str, dict[str, Any]], None] = save_or_warn) -> None:
        """Write nothing: who asks, writes."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state and the answers since then to a file."""
        answers = {str(i): answer for i, answer in enumerate(self.answers)}
        save(path, {**self.tree(), "answers": answers})

    def load(self, path: str | os.PathLike[str], space: VectorSpace) -> list[dict[str, Any]]:
        """Let the run begin with what a file holds; return the answers to be given then.

        Raises
        ------
        ValueError
            If the file is no snapshot, damaged, or one of another run.
        """
        tree = load(path, space)
        with reading(os.fspath(path)):
            refuse_other(tree["identity"], self._identity)
            self.saved = tree if tree["state"] is not None else None
            return [tree["answers"][str(i)] for i in range(len(tree["answers"]))]
