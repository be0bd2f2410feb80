"""When the state of a run is written to its file, and what is in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, Protocol

from qnsolve.checkpoint import in_words, load, prepare, refuse_other, save, save_or_warn
from qnsolve.objective import Objective
from qnsolve.options import SolverOptions

MAY_DIFFER = (
    *("gtol", "ftol", "maxiter", "maxfev", "maxtime", "disp"),
    *("checkpoint", "checkpoint_every", "checkpoint_seconds"),
)
"""Options that say when to end and to write: no iterate depends on them."""


class Stateful(Protocol):
    """Something with a state of plain values and arrays."""

    def snapshot(self) -> dict[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


class Numbers:
    """The base of small classes whose attributes are numbers: those are the state."""

    def snapshot(self) -> dict[str, Any]:
        """Return the state, for :meth:`restore`."""
        return dict(vars(self))

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to the state that :meth:`snapshot` has returned."""
        vars(self).update(state)


class Checkpoint:
    """The file that a run is written to, between two iterations, and gone on from.

    Counters change while a trial is evaluated, everything else only after it.  So the counters are
    noted between the iterations, and an iteration that an exception breaks off before it has
    changed anything else can be left out: what is written then is the state before it.

    Parameters
    ----------
    path : str
        The file.
    objective : Objective
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

    def __init__(self, path: str, objective: Objective, options: SolverOptions) -> None:
        if objective.space.comm is not None:
            raise ValueError("checkpoint is not supported with comm; keep x by a callback")
        self._path, self._options = path, options
        self._identity = {
            "program": "minimize",
            **objective.identity(),
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
        self.saved: dict[str, Any] | None = None
        if prepare(path):
            self.saved = load(path, objective.space)
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
