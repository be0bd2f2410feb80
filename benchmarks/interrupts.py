"""Interrupt runs at random moments, go on from their checkpoints, compare with the unbroken run.

Usage: python -m benchmarks.interrupts [--interrupts 5000] [--seconds 60] [--seed 0]

A timer raises an exception of its own, as Ctrl-C does, wherever the process is, every few
milliseconds.  Most of the time goes into writing, so many strike there.  A loss is a file that is
no whole checkpoint or an older one than before, another exception than that of the timer, or a
result that is not, bit for bit, that of the run without interrupts.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import qnsolve
from qnsolve.arrays import new_space
from qnsolve.checkpoint import load
from qnsolve.methods import METHODS
from qnsolve.problems import TanhNetwork, woods
from qnsolve.stochastic import MiniBatches, train

SHORT, SLOWER = 0.005, 1.01
"""Seconds until the first interrupt of a run, at most, and the growth of that, so that it ends."""

MOST_LOSSES = 100
"""After which there is no point in going on."""


class Interrupt(BaseException):
    """What Ctrl-C is like: not an Exception."""


class Timer:
    """Raises an Interrupt at a random moment, and sometimes a second one right after it."""

    def __init__(self, chance: random.Random, counts: Counter[str]) -> None:
        self.chance, self.counts, self.left = chance, counts, 0
        self.longest = SHORT
        signal.signal(signal.SIGALRM, self._strike)

    def _strike(self, number: int, frame: Any) -> None:
        if self.left == 0:
            return
        self.left -= 1
        self.counts["interrupts"] += 1
        if self.left:
            signal.setitimer(signal.ITIMER_REAL, self.chance.uniform(1e-6, 1e-3))
        raise Interrupt

    def call(self, run: Callable[[], Any]) -> Any:
        """Return ``run()``, or raise what comes out of it."""
        self.left = 1 + (self.chance.random() < 0.2)
        signal.setitimer(signal.ITIMER_REAL, self.chance.uniform(1e-5, self.longest))
        self.longest *= SLOWER
        try:
            return run()
        finally:
            self.left = 0
            signal.setitimer(signal.ITIMER_REAL, 0.0)


def to_the_end(
    run: Callable[..., Any], path: Path, place: Callable[[Any], int], counts: Counter[str]
) -> Any:
    """Return the result of a run that is interrupted again and again; `place` is how far it is.

    Python itself drops what a signal raises in a finaliser: such interrupts are counted apart.
    """
    timer, reached = Timer(random.Random(counts["interrupts"]), counts), -1

    def dropped(unraisable: Any) -> None:
        counts["dropped by Python"] += isinstance(unraisable.exc_value, Interrupt)

    hook, sys.unraisablehook = sys.unraisablehook, dropped
    try:
        return _to_the_end(run, path, place, counts, timer, reached)
    finally:
        sys.unraisablehook = hook


def _to_the_end(
    run: Callable[..., Any],
    path: Path,
    place: Callable[[Any], int],
    counts: Counter[str],
    timer: Timer,
    reached: int,
) -> Any:
    while True:
        before = counts["interrupts"]
        try:
            result = timer.call(lambda: run(checkpoint=path))
        except Interrupt:
            pass
        except BaseException as error:
            counts[f"other exception: {type(error).__name__}: {error}"[:100]] += 1
            counts["losses"] += 1
            if counts["losses"] > MOST_LOSSES:
                raise
        else:
            counts["swallowed"] += counts["interrupts"] > before
            return result
        timer.left = 0
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        if not path.exists():
            counts["losses"] += reached >= 0
            continue
        try:
            now = place(load(path, new_space(1)))
        except ValueError:
            counts["losses"] += 1
            counts["damaged"] += 1
            path.unlink()
            now = reached = -1
        counts["losses"] += now < reached
        reached = now


def solve_of(method: str, n: int, every: int) -> tuple[Callable[..., Any], Callable[[Any], int]]:
    """Return a solve and how far its file is."""
    problem = woods(4 * (n // 4))
    x0 = np.concatenate([problem.x0, np.full(n % 4, 0.5)])

    def fun(x: np.ndarray) -> tuple[float, np.ndarray]:
        f, g = problem.fun(x[: problem.n])
        rest = x[problem.n :]
        return f + float(rest @ rest), np.concatenate([g, 2.0 * rest])

    def run(checkpoint: Path | None = None) -> Any:
        options: dict[str, Any] = {"maxiter": 40}
        if checkpoint is not None:
            options |= {"checkpoint": checkpoint, "checkpoint_every": every}
        result = qnsolve.minimize(fun, x0, jac=True, method=method, options=options)
        return [result.x, result.jac, result.nit, result.nfev, result.status]

    return run, lambda tree: int(tree["state"]["run"]["nit"])


def training_of(method: str, every: int) -> tuple[Callable[..., Any], Callable[[Any], int]]:
    """Return a training run and how far its file is."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    network = TanhNetwork((3, 2, 1))
    batches = MiniBatches(X, (X.sum(1) > 0).astype(float), batch_size=20, seed=1)

    def loss(params: np.ndarray, batch: Any) -> tuple[float, np.ndarray]:
        return network.value_and_grad(*batch, 1e-3, params)

    def run(checkpoint: Path | None = None) -> Any:
        options: dict[str, Any] = {"progress": False, "epochs": 10, "method": method}
        if checkpoint is not None:
            options |= {"checkpoint": checkpoint, "checkpoint_every": every}
        result = train(loss, network.initial(seed=0), batches, **options)
        return [result.params, result.steps, *result.history.values()]

    return run, lambda tree: int(tree["steps"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--interrupts", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    chance, end = random.Random(arguments.seed), time.monotonic() + arguments.seconds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.npz")
        while counts["interrupts"] < arguments.interrupts and time.monotonic() < end:
            method, every = chance.choice(list(METHODS)), chance.choice([1, 3])
            kind = chance.choice(["solve 4", "solve 14", "train"])
            if kind == "train":
                run, place = training_of(method, every)
            else:
                run, place = solve_of(method, int(kind.split()[1]), every)
            expected = run()
            result = to_the_end(run, path, place, counts)
            counts["runs"] += 1
            same = all(
                np.array_equal(a, b, equal_nan=True) for a, b in zip(result, expected, strict=True)
            )
            counts["other result"] += not same
            counts["losses"] += not same
            path.unlink(missing_ok=True)
    for name, count in counts.items():
        print(f"{name}: {count}")
    raise SystemExit(bool(counts["losses"]))


if __name__ == "__main__":
    main()
