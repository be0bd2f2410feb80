"""When the state of a run is written to its file, and what is in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields
from typing import Any

from qnsolve.callables import Callables
from qnsolve.checkpoint import in_words, load, prepare, refuse_other, save, save_or_warn
from qnsolve.options import SolverOptions
from qnsolve.state import Stateful

MAY_DIFFER = (
    *("gtol", "ftol", "maxiter", "maxfev", "maxtime", "disp", "compiled"),
    *("checkpoint", "checkpoint_every", "checkpoint_seconds"),
)
"""Options that say when to end and to write, and who computes: no iterate depends on them, but for
rounding."""


class NoCheckpoint:
    """What stands for the file of a run that has none."""

    saved: dict[str, Any] | None = None

    def watch(self, owners: Mapping[str, Stateful], counters: Mapping[str, Stateful]) -> None:
        pass

    def iteration(self) -> AbstractContextManager[None]:
        return nullcontext()

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
        self._path, self._options = path, options
        self._identity = {
            "program": "minimize",
            **callables.identity(),
            "options": type(options).__name__,
            **{
                option.name: in_words(getattr(options, option.name))
                for option in fields(options)
                if option.name not in MAY_DIFFER
            },
        }
        self._owners: dict[str, Stateful] = {}
        self._counters: dict[str, Stateful] = {}
        self._noted: dict[str, Any] | None = None
        self._passed, self._written = 0, time.monotonic()
        self.saved = None
        if prepare(path):
            self.saved = load(path, callables.space)
            refuse_other(self.saved["identity"], self._identity)

    def watch(self, owners: Mapping[str, Stateful], counters: Mapping[str, Stateful]) -> None:
        """Put all parts into the state of the file, if any; write them from now on."""
        self._owners, self._counters = dict(owners), dict(counters)
        if self.saved is not None:
            for name, part in {**owners, **counters}.items():
                part.restore(self.saved["state"][name])
            self.saved = None

    def note(self) -> None:
        """Note the counters: all parts belong together now."""
        self._noted = {name: part.snapshot() for name, part in self._counters.items()}

    def changing(self) -> None:
        """Say that the parts do not belong together until the next :meth:`note`."""
        self._noted = None

    @contextmanager
    def iteration(self) -> Iterator[None]:
        """Write before the iteration, where it is time to, and where an exception breaks it off."""
        self._write_in_time()
        try:
            yield
        except BaseException as error:
            try:
                self.write(save)
            except OSError as failure:
                error.add_note(f"The checkpoint could not be written: {failure}")
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
        parts = {name: part.snapshot() for name, part in self._owners.items()}
        state = {**parts, **self._noted}
        writer(self._path, {"identity": self._identity, "state": state})
        self._passed, self._written = 0, time.monotonic()
