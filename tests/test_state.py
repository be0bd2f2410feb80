"""State is declared where it lives: what is annotated is saved, and nothing else."""

from __future__ import annotations

import inspect
import json
from collections import deque
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import qnsolve
from qnsolve.state import Saved, Stateful


class Inner(Stateful):
    count: Saved[int]

    def __init__(self):
        self.count = 0


class Outer(Stateful):
    x: Saved[np.ndarray]
    ratios: Saved[deque[float]]
    inner: Saved[Inner]
    absent: Saved[Inner | None]

    def __init__(self):
        self.x, self.ratios, self.inner, self.absent = np.zeros(2), deque([1.0]), Inner(), None
        self.cache = object()


class Extended(Outer):
    extra: Saved[float]

    def __init__(self):
        super().__init__()
        self.extra, self.restorations = 0.5, 0

    def restored(self):
        self.restorations += 1


def test_goes_round():
    a, b = Extended(), Extended()
    a.x, a.extra, a.inner.count = np.array([3.0, 4.0]), 7.0, 5
    a.ratios.append(2.0)
    inner = b.inner
    b.restore(a.snapshot())
    assert (b.extra, b.inner.count, b.absent, list(b.ratios)) == (7.0, 5, None, [1.0, 2.0])
    np.testing.assert_array_equal(b.x, a.x)
    assert b.inner is inner  # its owner may be known elsewhere
    assert b.restorations == 1


def test_snapshot_is_plain():
    state = Extended().snapshot()
    assert list(state) == ["x", "ratios", "inner", "absent", "extra"]
    assert isinstance(state.pop("x"), np.ndarray)
    assert json.loads(json.dumps(state)) == state


def stateful_classes():
    root = Path(qnsolve.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if "Stateful" not in path.read_text() or path.name in ("state.py", "__main__.py"):
            continue
        module = import_module("qnsolve." + ".".join(path.relative_to(root).with_suffix("").parts))
        for cls in vars(module).values():
            own = inspect.isclass(cls) and cls.__module__ == module.__name__
            if own and issubclass(cls, Stateful):
                yield cls


@pytest.mark.parametrize("cls", list(stateful_classes()), ids=lambda cls: cls.__qualname__)
def test_every_stateful_class_declares_a_state(cls):
    declared = [
        name
        for base in cls.__mro__
        for name, kind in vars(base).get("__annotations__", {}).items()
        if str(kind).startswith("Saved[")
    ]
    own = any("snapshot" in vars(base) for base in cls.__mro__[:-2])
    assert declared or own
    assert len(set(declared)) == len(declared)
