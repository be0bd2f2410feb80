"""A loss that counts its evaluations, ends a run and notes how far it has come."""

from __future__ import annotations

import csv
import math
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from examples.pinn.problems import Problem

MARKS = sorted({round(10 ** (k / 12)) for k in range(12 * 7)})
"""Numbers of evaluations after which a run is measured, twelve a decade."""


class BudgetSpent(Exception):
    """Raised by a loss to end the run of whatever calls it."""


@dataclass(frozen=True)
class Row:
    """One measurement: the lowest loss so far, and the error in L2 where it was found.

    Seconds are of the processor on a CPU and of the clock on another device, without those of the
    measurements.
    """

    problem: str
    contender: str
    seed: int
    evaluations: int
    seconds: float
    loss: float
    error: float


class Measured:
    """Loss and gradient of a problem, for contenders.

    Parameters
    ----------
    problem : Problem
    contender : str
    seed : int
    budget : int
        Evaluations of loss and gradient.
    seconds : float
        The run ends after these at the latest.
    graph : bool
        Record the kernels once and replay them: on a GPU a small network waits for launches.
    """

    def __init__(
        self,
        problem: Problem,
        contender: str,
        seed: int,
        budget: int,
        seconds: float = math.inf,
        graph: bool = False,
    ) -> None:
        self.problem, self.budget = problem, budget
        self.rows: list[Row] = []
        self._labels = (problem.name, contender, seed)
        self._most = seconds
        self.x0 = problem.initial(seed)
        on_cpu = self.x0.device.type == "cpu"
        self._clock = time.process_time if on_cpu else time.perf_counter
        self._both = Recorded(problem.loss, self.x0) if graph else differentiated(problem.loss)
        self._both(self.x0)
        self.evaluations, self._best, self._x = 0, math.inf, self.x0
        self._paused, self._began = 0.0, self._clock()

    @property
    def seconds(self) -> float:
        return self._clock() - self._began - self._paused

    def __call__(self, x: Tensor) -> tuple[float, Tensor]:
        """Return loss and gradient; raise where the budget is spent."""
        if self.evaluations >= self.budget or self.seconds >= self._most:
            raise BudgetSpent
        value, g = self._both(x)
        f = float(value)
        self.evaluations += 1
        if f < self._best:
            self._best, self._x = f, x.detach().clone()
        if self.evaluations in _MARKS or self.evaluations == self.budget:
            self.note()
        return f, g

    def note(self) -> None:
        """Measure, unless that has been done since the last evaluation."""
        if self.rows and self.rows[-1].evaluations == self.evaluations:
            return
        spent, since = self.seconds, self._clock()
        numbers = (self.evaluations, spent, self._best, self.problem.error(self._x))
        self.rows.append(Row(*self._labels, *numbers))
        self._paused += self._clock() - since


_MARKS = frozenset(MARKS)


def differentiated(loss):
    """Return the function that gives loss and gradient."""

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        f = loss(x)
        return f.detach(), torch.autograd.grad(f, x)[0]

    return both


class Recorded:
    """Loss and gradient as one recorded graph of CUDA, replayed at every call."""

    def __init__(self, loss, x0: Tensor) -> None:
        both = differentiated(loss)
        self._x = x0.detach().clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # what libraries set up at a first call cannot be recorded
                both(self._x)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._f, self._g = both(self._x)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._x.copy_(x.detach())
        self._graph.replay()
        return self._f, self._g.clone()


def append(path: Path, rows: list[Row]) -> None:
    """Write rows after those that are there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow([f.name for f in fields(Row)])
        writer.writerows(
            [f"{v:.6g}" if isinstance(v, float) else v for v in asdict(row).values()]
            for row in rows
        )


def read(path: Path) -> list[list[Row]]:
    """Return the runs of a file, none if there is no file."""
    if not path.exists():
        return []
    kinds = {"str": str, "int": int, "float": float}
    runs: dict[tuple, list[Row]] = {}
    with open(path, newline="") as file:
        for line in csv.DictReader(file):
            row = Row(**{f.name: kinds[f.type](line[f.name]) for f in fields(Row)})
            runs.setdefault((row.problem, row.contender, row.seed), []).append(row)
    return list(runs.values())
