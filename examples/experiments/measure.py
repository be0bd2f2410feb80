"""Runs of methods on the same problem, from the same weights, measured in the same way."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from problems import Problem
from torch import nn

if TYPE_CHECKING:
    from contenders import Contender

MEASUREMENTS = 50
"""How often a run is measured, where it has as many steps."""

LONGEST_GRID = 8
"""Values of one number that are tried at most."""


@dataclass(frozen=True)
class Row:
    """One measurement.

    A product with a Hessian counts as two gradients in `passes` and as one in `backprops`, the unit
    of the adaptive norms paper.  Seconds are of processor time, on a GPU of the clock,
    measurements not included.  `skipped` is the share of pairs so far that the matrix did not take,
    in percent; NaN for a method without pairs.
    """

    problem: str
    contender: str
    setting: str
    batch_size: int
    seed: int
    epoch: float
    passes: float
    backprops: float
    seconds: float
    train_loss: float
    score: float
    skipped: float = math.nan


class Clock:
    """Time of the run, without that of the measurements: the processor's, or a GPU's."""

    def __init__(self, on_gpu: bool) -> None:
        self._on_gpu = on_gpu
        self.spent, self._since = 0.0, self._now()

    def _now(self) -> float:
        if not self._on_gpu:
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def pause(self) -> float:
        self.spent += self._now() - self._since
        return self.spent

    def go_on(self) -> None:
        self._since = self._now()


class Meter:
    """Measures a run and says when it is over.

    Parameters
    ----------
    problem : Problem
    labels : dict
        Contender, setting, batch size and seed, for the rows.
    passes : float
        Budget: gradients, in passes over the training samples.
    interval : float
        Passes between two measurements.
    target : float or None
        The run is over when the score is at most this.
    epochs : float
        Budget in passes of new samples.
    """

    def __init__(
        self,
        problem: Problem,
        labels: dict[str, Any],
        passes: float,
        interval: float,
        target: float | None = None,
        epochs: float = math.inf,
    ) -> None:
        self._problem, self._labels = problem, labels
        self._passes, self._interval, self._target = passes, interval, target
        self._epochs = epochs
        self._next = interval
        self.rows: list[Row] = []
        self.clock = Clock(problem.on_gpu)

    def due(self, passes: float) -> bool:
        """Return whether it is time for a measurement."""
        return passes >= min(self._next, self._passes)

    def over(
        self,
        epoch: float,
        passes: float,
        backprops: float,
        module: nn.Module,
        skipped: float = math.nan,
    ) -> bool:
        """Measure; return whether the budget is spent, the target met or the run lost."""
        seconds = self.clock.pause()
        loss, score = self._problem.measure(module)
        numbers = (epoch, passes, backprops, seconds, loss, score, skipped)
        self.rows.append(Row(self._problem.name, *self._labels.values(), *numbers))
        self._next = self._interval * (math.floor(passes / self._interval) + 1)
        self.clock.go_on()
        met = self._target is not None and score <= self._target
        spent = passes >= self._passes or epoch >= self._epochs
        return met or spent or not math.isfinite(loss)


def one_run(
    contender: Contender,
    problem: Problem,
    value: float | None,
    batch: int,
    seed: int,
    budget: dict[str, Any],
) -> list[Row]:
    """Return the measurements of one run."""
    setting = "default" if value is None else f"{contender.tuned} {value:g}"
    labels = {
        "contender": contender.name,
        "setting": setting,
        "batch_size": batch,
        "seed": seed,
    }
    meter = Meter(problem, labels, **budget)
    contender.run(problem, value, batch, seed, meter)
    return meter.rows


def first_at(rows: Iterable[Row], target: float) -> Row | None:
    """Return the first measurement with a score of at most `target`."""
    return next((row for row in rows if row.score <= target), None)


def tuned_value(
    contender: Contender, problem: Problem, batch: int, passes: float, target: float
) -> tuple[float | None, list[list[Row]]]:
    """Return the value that comes to the target in the fewest passes, and the runs that tell.

    They have a seed of their own, 0.  Where none comes there, the lowest score at the end decides.
    The grid grows at an end that is the best, so the answer is inside unless the grid is at its
    longest.  A run is broken off where it cannot be the best any more.
    """
    if not contender.grid:
        return None, []
    tried: dict[float, tuple[float, float]] = {}
    runs = []
    waiting = list(contender.grid)
    while waiting:
        value = waiting.pop(0)
        best = min((quality for quality, _ in tried.values()), default=math.inf)
        budget = {
            "passes": min(passes, best),
            "interval": passes / MEASUREMENTS,
            "target": target,
        }
        runs.append(one_run(contender, problem, value, batch, 0, budget))
        hit, last = first_at(runs[-1], target), runs[-1][-1].score
        tried[value] = (
            math.inf if hit is None else hit.passes,
            last if math.isfinite(last) else math.inf,
        )
        if not waiting and len(tried) < LONGEST_GRID:
            winner = min(tried, key=tried.__getitem__)
            if winner == min(tried):
                waiting.append(neighbour(winner, -1))
            elif winner == max(tried):
                waiting.append(neighbour(winner, 1))
    return min(tried, key=tried.__getitem__), runs


def neighbour(value: float, direction: int) -> float:
    """Return the next number of ..., 0.3, 1, 3, 10, ... up (1) or down (-1)."""
    return float(f"{10 ** ((round(2 * math.log10(value)) + direction) / 2):.0e}")


def append_csv(path: Path, rows: list[Any]) -> None:
    """Write dataclass instances, one a line, after those that are there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow([f.name for f in fields(rows[0])])
        writer.writerows(
            [f"{v:.6g}" if isinstance(v, float) else v for v in asdict(row).values()]
            for row in rows
        )


def read_runs(path: Path) -> list[list[Row]]:
    """Return the runs of a file of rows, none if there is no file."""
    if not path.exists():
        return []
    kinds = {"str": str, "int": int, "float": float}
    runs: dict[tuple, list[Row]] = {}
    with open(path, newline="") as file:
        for line in csv.DictReader(file):
            row = Row(**{f.name: kinds[f.type](line[f.name]) for f in fields(Row)})
            key = (row.problem, row.batch_size, row.contender, row.setting, row.seed)
            runs.setdefault(key, []).append(row)
    return list(runs.values())
