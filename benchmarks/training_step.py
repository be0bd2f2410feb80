"""Processor time of a training step, against a step of Adam on as many samples.

    python -m benchmarks.training_step --batch 10000 --memory 10

Both run in turn in one process with one thread, on samples of random numbers; a ratio is the
median of the ratios of a turn.  A turn is as many steps as the norm is kept for, so that each has
one change of it.  Columns: "gradients" is the time within the loss; "norm" that of following the
gradients and of rescaling the pairs; "model" the spectrum and the gradient in its coordinates;
"pair" the pair and its products with the others; "rest" the step itself and everything else.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from qnsolve.arrays.border import Border
from qnsolve.stochastic import make_solver
from qnsolve.stochastic.batch_function import BatchFunction
from qnsolve.stochastic.torch_adapter import ModuleLoss

CLASSES = 10


def mlp() -> nn.Module:
    """Return 784-128-10 with tanh: 101,770 weights."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.Tanh(), nn.Linear(128, CLASSES))


def lenet() -> nn.Module:
    """Return LeNet-5 with 6 and 16 maps, 120 and 84 units."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, CLASSES),
    )


def autoencoder() -> nn.Module:
    """Return 784-100-16-100-784 with tanh."""
    sizes = (784, 100, 16, 100, 784)
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


NETS: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp,
    "lenet": lenet,
    "autoencoder": autoencoder,
}


@dataclass
class Timed:
    """A callable with the processor time spent in it."""

    call: Callable
    seconds: float = 0.0

    def __call__(self, *arguments: Any) -> Any:
        start = time.process_time()
        try:
            return self.call(*arguments)
        finally:
            self.seconds += time.process_time() - start


STAGES = ("gradients", "norm", "model", "pair")


class AdamSteps:
    """Steps of torch.optim.Adam."""

    def __init__(self, module: nn.Module, loss: Callable, batches: list[tuple]) -> None:
        self._module, self._loss, self._batches = module, loss, batches
        self._optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
        self.stages = {"gradients": Timed(self._gradient)}
        self._count = 0

    def step(self) -> None:
        self.stages["gradients"](self._batches[self._count % len(self._batches)])
        self._optimizer.step()
        self._count += 1

    def _gradient(self, batch: tuple) -> None:
        self._optimizer.zero_grad()
        self._loss(self._module(batch[0]), batch[1]).backward()


class ModelSteps:
    """Steps of a method of :func:`qnsolve.stochastic.train`."""

    def __init__(
        self, module: nn.Module, loss: Callable, batches: list[tuple], method: str, options: dict
    ) -> None:
        # A step with overlap sees two batches.
        self._batches = batches
        if options.get("overlap", True):
            half = len(batches[0][0]) // 2
            self._batches = [
                tuple(a[part] for a in batch)
                for batch in batches
                for part in (slice(half), slice(half, None))
            ]
        adapter = ModuleLoss(module, loss)
        border = Border(adapter.params())
        x = border.inside(adapter.params())
        self._solver = make_solver(method, **options)
        chosen = self._solver.options
        self._state = self._solver.init(x)
        gradient = Timed(adapter)
        self._function = BatchFunction(gradient, self._state.space, chosen.overlap, border=border)
        partly = chosen.overlap and chosen.measure == "new"
        self._measured = self._function.newest if partly else None
        self._count = 0
        self.stages = {"gradients": gradient}
        model = self._state.model
        for stage, name in (("norm", "observe"), ("model", "quadratic"), ("pair", "learn")):
            self.stages[stage] = Timed(getattr(model, name))
            setattr(model, name, self.stages[stage])

    @property
    def n_pairs(self) -> int:
        return self._state.model.n_pairs

    def step(self) -> None:
        self._function.advance(self._batches[self._count % len(self._batches)])
        self._state, _ = self._solver.step(self._state, self._function, measured=self._measured)
        self._count += 1


def measure(
    contenders: dict[str, AdamSteps | ModelSteps], turns: int, steps: int
) -> dict[str, dict[str, list[float]]]:
    """Return milliseconds a step of each turn, in all and by stage; contenders take turns."""
    times: dict[str, dict[str, list[float]]] = {name: {} for name in contenders}
    for _ in range(turns):
        for name, contender in contenders.items():
            for stage in contender.stages.values():
                stage.seconds = 0.0
            start = time.process_time()
            for _ in range(steps):
                contender.step()
            spent = {"whole": time.process_time() - start}
            spent |= {key: stage.seconds for key, stage in contender.stages.items()}
            spent["rest"] = 2.0 * spent["whole"] - sum(spent.values())
            for key, seconds in spent.items():
                times[name].setdefault(key, []).append(1e3 * seconds / steps)
    return times


def report(net: str, batch: int, turns: int, steps: int, options: dict) -> str:
    """Return the rows of one net."""
    torch.manual_seed(0)
    batches = []
    for _ in range(4):
        X = torch.randn(batch, 1, 28, 28)
        target = X.flatten(1) if net == "autoencoder" else torch.randint(CLASSES, (batch,))
        batches.append((X, target))
    loss = nn.functional.mse_loss if net == "autoencoder" else nn.functional.cross_entropy
    model = ModelSteps(NETS[net](), loss, batches, "hybrid-tr", options)
    adam = AdamSteps(NETS[net](), loss, batches)
    while model.n_pairs < options["memory"]:
        model.step()
    adam.step()
    times = measure({"Adam": adam, "hybrid-tr": model}, turns, steps)
    rows = []
    for name, t in times.items():
        ratios = (a / b for a, b in zip(t["whole"], times["Adam"]["whole"], strict=True))
        cells = [f"{statistics.median(t['whole']):.1f}", f"{statistics.median(ratios):.2f}"]
        for stage in (*STAGES, "rest"):
            cells.append(f"{statistics.median(t[stage]):.1f}" if stage in t else "")
        rows.append(f"| {net} | {batch:,} | {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--batch", nargs="+", type=int, default=[5000, 10000])
    parser.add_argument("--memory", type=int, default=10)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--refresh", type=int, default=3)
    parser.add_argument("--measure", choices=("new", "both"), default="new")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    options = {name: getattr(arguments, name) for name in ("memory", "refresh", "measure")}
    print("| net | samples a step | method | ms a step | of Adam | gradients |", end="")
    print(" norm | model | pair | rest |")
    print("|---|---:|---|" + 7 * "---:|")
    for net in arguments.nets:
        for batch in arguments.batch:
            print(report(net, batch, arguments.turns, arguments.refresh, options), flush=True)


if __name__ == "__main__":
    main()
