"""Runs of methods on the same problem, from the same weights, measured in the same way."""

from __future__ import annotations

import copy
import csv
import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from nets import Loss, seeded
from torch import Tensor, nn

from qnsolve.stochastic import MiniBatches, Progress, train
from qnsolve.stochastic.torch_adapter import ModuleLoss

CHECKS = 4
"""Measurements an epoch, where it has as many steps."""

SAMPLE = 5_000
"""Training samples on which the loss is measured."""


@dataclass(frozen=True)
class Problem:
    """A network, its loss and its data.

    `decay` is the weight decay, in the loss of every method; `chunk` the ghost batches of batch
    norm.  The score is the test error in percent, or without labels the loss on the test part.
    """

    name: str
    build: Callable[[], nn.Module]
    loss: Loss
    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    score_name: str = "test error %"
    decay: float = 1e-4
    chunk: int | None = None

    def train_loss(self, module: nn.Module) -> float:
        X, target = (a[:SAMPLE] for a in self.train)
        with torch.no_grad():
            return float(self.loss(self._for_use(module)(X), target))

    def score(self, module: nn.Module) -> float:
        X, target = self.test
        with torch.no_grad():
            output = self._for_use(module)(X)
            if self.score_name != "test error %":
                return float(self.loss(output, target))
            return 100.0 * float((output.argmax(1) != target).double().mean())

    def _for_use(self, module: nn.Module) -> nn.Module:
        """Return the module in evaluation mode, statistics of batch norm taken at its weights."""
        norms = (nn.BatchNorm1d, nn.BatchNorm2d)
        if not any(isinstance(layer, norms) for layer in module.modules()):
            return module
        module = copy.deepcopy(module)
        for layer in module.modules():
            if isinstance(layer, norms):
                layer.reset_running_stats()
                layer.momentum = None
        module.train()
        for first in range(0, min(SAMPLE, len(self.train[0])), self.chunk or SAMPLE):
            module(self.train[0][first : first + (self.chunk or SAMPLE)])
        return module.eval()


@dataclass(frozen=True)
class Row:
    """One measurement.  Seconds are of processor time, measurements not included."""

    problem: str
    contender: str
    setting: str
    batch_size: int
    seed: int
    epoch: float
    passes: float
    seconds: float
    train_loss: float
    score: float


@dataclass
class Clock:
    """Processor time of the run, without that of the measurements."""

    spent: float = 0.0
    since: float = field(default_factory=time.process_time)

    def pause(self) -> float:
        self.spent += time.process_time() - self.since
        return self.spent

    def go_on(self) -> None:
        self.since = time.process_time()


class Meter:
    """Measures a run and says when it is over.

    Parameters
    ----------
    problem : Problem
    labels : dict
        Contender, setting, batch size and seed, for the rows.
    passes : float
        Budget: gradients, in passes over the training samples.
    target : float or None
        The run is over when the score is at most this.
    """

    def __init__(
        self,
        problem: Problem,
        labels: dict[str, Any],
        *,
        passes: float,
        target: float | None = None,
    ) -> None:
        self._problem, self._labels = problem, labels
        self._passes, self._target = passes, target
        self.rows: list[Row] = []
        self.clock = Clock()

    def over(self, epoch: float, passes: float, module: nn.Module) -> bool:
        """Measure; return whether the budget is spent, the target met or the run lost."""
        seconds = self.clock.pause()
        loss, score = self._problem.train_loss(module), self._problem.score(module)
        numbers = (epoch, passes, seconds, loss, score)
        self.rows.append(Row(self._problem.name, **self._labels, **_named(numbers)))
        self.clock.go_on()
        met = self._target is not None and score <= self._target
        return met or not math.isfinite(loss) or passes >= self._passes


def _named(numbers: tuple[float, ...]) -> dict[str, float]:
    return dict(zip(("epoch", "passes", "seconds", "train_loss", "score"), numbers, strict=True))


@dataclass(frozen=True)
class Training:
    """A method of :func:`qnsolve.stochastic.train`."""

    name: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        return {"default": {}}

    def run(self, problem: Problem, setting: str, batch: int, seed: int, meter: Meter) -> None:
        """Train until the meter says stop."""
        overlap = self.options.get("overlap", True)
        loss = ModuleLoss(
            seeded(problem.build, seed),
            problem.loss,
            weight_decay=problem.decay,
            chunk=problem.chunk,
        )
        # A step of a method with overlap sees two batches: together they are as many samples.
        size = batch // 2 if overlap else batch
        batches = MiniBatches(*problem.train, batch_size=size, seed=seed)
        every = max(1, len(batches) // CHECKS)

        def measure(progress: Progress) -> None:
            if progress.step % every:
                return
            loss.load(progress.params)
            if meter.over(progress.step / len(batches), progress.passes, loss.module):
                raise StopIteration

        meter.clock.go_on()
        train(
            loss,
            loss.params(),
            batches,
            method=self.method,
            epochs=10**6,
            hessp=loss.hessp,
            step_callback=measure,
            progress=False,
            **self.options,
        )


@dataclass(frozen=True)
class FirstOrder:
    """An optimizer of torch.optim with a grid of learning rates.

    `batch_of` gives its own batch size for the one of the contest; `forget` makes a new optimizer
    every so many steps.
    """

    name: str
    build: Callable[..., torch.optim.Optimizer]
    rates: tuple[float, ...]
    batch_of: Callable[[int], int] = lambda batch: batch
    forget: int | None = None

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        return {f"lr {rate:g}": {"lr": rate} for rate in self.rates}

    def run(self, problem: Problem, setting: str, batch: int, seed: int, meter: Meter) -> None:
        """Train until the meter says stop."""
        module = seeded(problem.build, seed)
        params = list(module.parameters())
        build = lambda: self.build(params, **self.settings[setting])  # noqa: E731
        optimizer = build()
        batches = MiniBatches(*problem.train, batch_size=self.batch_of(batch), seed=seed)
        every = max(1, len(batches) // CHECKS)
        step = 0
        meter.clock.go_on()
        while True:
            for k in range(len(batches)):
                part = batches.part(step // len(batches), k)
                if self.forget and step % self.forget == 0:
                    optimizer = build()
                optimizer.step(lambda part=part: self._closure(problem, module, params, part))
                step += 1
                done = step / len(batches)
                if step % every == 0 and meter.over(done, done, module):
                    return

    def _closure(
        self, problem: Problem, module: nn.Module, params: list[Tensor], part: tuple
    ) -> Tensor:
        module.zero_grad()
        X, target = part
        size = problem.chunk or len(X)
        total = torch.zeros(())
        with torch.enable_grad():
            for first in range(0, len(X), size):
                piece = target[first : first + size]
                loss = problem.loss(module(X[first : first + size]), piece)
                loss = loss * (len(piece) / len(X))
                loss.backward()
                total += loss.detach()
        with torch.no_grad():
            for p in params:
                p.grad.add_(p, alpha=problem.decay)
                total += 0.5 * problem.decay * (p * p).sum()
        return total


Contender = Training | FirstOrder


def forgetful_lbfgs(params: list[Tensor], lr: float) -> torch.optim.LBFGS:
    """One step of L-BFGS a batch, five pairs."""
    return torch.optim.LBFGS(params, lr=lr, max_iter=1, history_size=5)


def baselines() -> list[FirstOrder]:
    """Return the optimizers of PyTorch, each with a grid of learning rates."""

    def sgd(params: list[Tensor], lr: float) -> torch.optim.SGD:
        return torch.optim.SGD(params, lr=lr, momentum=0.9)

    def nag(params: list[Tensor], lr: float) -> torch.optim.SGD:
        return torch.optim.SGD(params, lr=lr, momentum=0.9, nesterov=True)

    adam = torch.optim.Adam
    return [
        FirstOrder("Adam", adam, (1e-3, 3e-3, 1e-2, 3e-2)),
        FirstOrder("Adam, half the batch", adam, (1e-3, 3e-3, 1e-2, 3e-2), lambda b: b // 2),
        FirstOrder("Adam, batch 100", adam, (3e-4, 1e-3, 3e-3), lambda b: min(b, 100)),
        FirstOrder("NAG", nag, (3e-2, 1e-1, 3e-1, 1.0)),
        FirstOrder("SGD, momentum", sgd, (3e-2, 1e-1, 3e-1, 1.0)),
        FirstOrder("RMSprop", torch.optim.RMSprop, (3e-4, 1e-3, 3e-3, 1e-2)),
        FirstOrder("L-BFGS, forgetting", forgetful_lbfgs, (1e-2, 1e-1, 1.0), forget=5),
    ]


@dataclass(frozen=True)
class Reached:
    """What a contender needed to come to a score; medians over the seeds that did."""

    problem: str
    contender: str
    setting: str
    batch_size: int
    target: float
    seeds: int
    reached: int
    epochs: float
    passes: float
    seconds: float


def first_at(rows: Iterable[Row], target: float) -> Row | None:
    """Return the first measurement with a score of at most `target`."""
    return next((row for row in rows if row.score <= target), None)


def reached(runs: list[list[Row]], target: float) -> Reached:
    """Return what the runs of one contender, one a seed, needed."""
    hits = [hit for rows in runs if (hit := first_at(rows, target)) is not None]
    row = runs[0][0]
    median = {
        name: statistics.median(getattr(hit, attribute) for hit in hits) if hits else math.nan
        for name, attribute in (("epochs", "epoch"), ("passes", "passes"), ("seconds", "seconds"))
    }
    labels = (row.problem, row.contender, row.setting, row.batch_size, target)
    return Reached(*labels, seeds=len(runs), reached=len(hits), **median)


def best_setting(
    contender: Contender, problem: Problem, batch: int, budget: dict[str, float], target: float
) -> str:
    """Return the setting that comes to the target in the fewest passes, on a seed of its own.

    Where none does, the one with the lowest score at the end.
    """
    settings = list(contender.settings)
    if len(settings) == 1:
        return settings[0]

    def quality(setting: str) -> tuple[float, float]:
        rows = one_run(contender, problem, setting, batch, 0, {**budget, "target": target})
        hit = first_at(rows, target)
        last = rows[-1].score if math.isfinite(rows[-1].score) else math.inf
        return (math.inf if hit is None else hit.passes, last)

    return min(settings, key=quality)


def one_run(
    contender: Contender,
    problem: Problem,
    setting: str,
    batch: int,
    seed: int,
    budget: dict[str, Any],
) -> list[Row]:
    """Return the measurements of one run."""
    labels = {
        "contender": contender.name,
        "setting": setting,
        "batch_size": batch,
        "seed": seed,
    }
    meter = Meter(problem, labels, **budget)
    contender.run(problem, setting, batch, seed, meter)
    return meter.rows


def write_csv(path: Path, rows: list[Any]) -> None:
    """Write dataclass instances, one a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f.name for f in fields(rows[0])])
        writer.writerows(
            [f"{v:.6g}" if isinstance(v, float) else v for v in asdict(row).values()]
            for row in rows
        )
