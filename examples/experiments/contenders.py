"""The methods that are compared: those of qnsolve, and the optimizers of PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from measure import Meter
from nets import seeded
from problems import Problem
from torch import Tensor, nn

from qnsolve.presets import Preset
from qnsolve.stochastic import MiniBatches, Progress, presets, train
from qnsolve.stochastic.torch_adapter import ModuleLoss


class Contender(Protocol):
    """A method with one number that is tuned, or none.

    `grid` has the values of the number `tuned` to begin with; it grows at an end that is the best.
    `run` trains until the meter says stop.
    """

    name: str
    tuned: str
    grid: tuple[float, ...]

    def run(
        self, problem: Problem, value: float | None, batch: int, seed: int, meter: Meter
    ) -> None: ...


@dataclass(frozen=True)
class Training:
    """A method of :func:`qnsolve.stochastic.train`."""

    name: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)
    tuned: str = ""
    grid: tuple[float, ...] = ()

    def run(
        self, problem: Problem, value: float | None, batch: int, seed: int, meter: Meter
    ) -> None:
        """Train until the meter says stop."""
        options = self.options if value is None else {**self.options, self.tuned: value}
        loss = _CountedLoss(
            seeded(problem.build, seed),
            problem.loss,
            weight_decay=problem.decay,
            chunk=problem.chunk,
        )
        # A step of a method with overlap sees two batches: together they are as many samples.
        size = batch // 2 if options.get("overlap", True) else batch
        batches = MiniBatches(*problem.train, batch_size=size, seed=seed)
        first_steps = [0]
        steps = skipped = 0

        def measure(progress: Progress) -> None:
            nonlocal steps, skipped
            steps += progress.info.finite
            skipped += progress.info.finite and not progress.info.stored
            if len(first_steps) == progress.epoch:
                first_steps.append(progress.step - 1)
            if not meter.due(progress.passes):
                return
            loss.load(progress.params)
            # Batches may grow, so what they have seen of the epoch is counted in samples.
            done = (progress.step - first_steps[-1]) * loss.samples / batches.samples
            backprops = progress.passes - loss.multiplied / batches.samples
            epoch, share = progress.epoch + min(1.0, done), math.nan
            if self.method != "newton-tr":
                share = 100.0 * skipped / max(1, steps)
            if meter.over(epoch, progress.passes, backprops, loss.module, share):
                raise StopIteration

        meter.clock.go_on()
        train(
            loss,
            loss.params(),
            batches,
            method=self.method,
            epochs=10**6,
            hessp=loss.hessp if self.method == "newton-tr" else None,
            step_callback=measure,
            progress=False,
            **options,
        )


class _CountedLoss(ModuleLoss):
    """A loss that knows the size of its last batch and of all that it has multiplied with."""

    samples = multiplied = 0

    def __call__(self, x: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        self.samples = len(batch[-1])
        return super().__call__(x, batch)

    def hessp(self, x: Tensor, v: Tensor, batch: Any) -> Tensor:
        self.multiplied += len(batch[-1])
        return super().hessp(x, v, batch)


@dataclass(frozen=True)
class FirstOrder:
    """An optimizer of torch.optim with a grid of learning rates.

    `batch_of` gives its own batch size for the one of the contest; `forget` makes a new optimizer
    every so many steps.
    """

    name: str
    build: Callable[..., torch.optim.Optimizer]
    grid: tuple[float, ...]
    batch_of: Callable[[int], int] = lambda batch: batch
    forget: int | None = None
    tuned: str = "lr"

    def run(
        self, problem: Problem, value: float | None, batch: int, seed: int, meter: Meter
    ) -> None:
        """Train until the meter says stop."""
        module = seeded(problem.build, seed)
        params = list(module.parameters())
        given = {} if value is None else {self.tuned: value}
        optimizer = self.build(params, **given)
        batches = MiniBatches(*problem.train, batch_size=self.batch_of(batch), seed=seed)
        step = 0
        meter.clock.go_on()
        while True:
            for k in range(len(batches)):
                part = batches.part(step // len(batches), k)
                if self.forget and step and step % self.forget == 0:
                    optimizer = self.build(params, **given)
                optimizer.step(lambda part=part: _closure(problem, module, params, part))
                step += 1
                done = step / len(batches)
                if meter.due(done) and meter.over(done, done, done, module):
                    return


def _closure(problem: Problem, module: nn.Module, params: list[Tensor], part: tuple) -> Tensor:
    """Return the loss of a batch and leave its gradient in the parameters, decay included."""
    module.zero_grad()
    X, target = part
    size = problem.chunk or len(X)
    total = params[0].new_zeros(())
    with torch.enable_grad():
        for first in range(0, len(X), size):
            piece = target[first : first + size]
            loss = problem.loss(module(X[first : first + size]), piece) * (len(piece) / len(X))
            loss.backward()
            total += loss.detach()
    with torch.no_grad():
        for p in params:
            p.grad.add_(p, alpha=problem.decay)
            total += 0.5 * problem.decay * (p * p).sum()
    return total


def sgd(momentum: float = 0.0, nesterov: bool = False) -> Callable[..., torch.optim.SGD]:
    """Return a maker of SGD."""
    return lambda params, lr: torch.optim.SGD(params, lr=lr, momentum=momentum, nesterov=nesterov)


def lbfgs(params: list[Tensor], lr: float) -> torch.optim.LBFGS:
    """One step of L-BFGS a batch, five pairs."""
    return torch.optim.LBFGS(params, lr=lr, max_iter=1, history_size=5)


def baselines() -> list[FirstOrder]:
    """Return the optimizers of PyTorch, each with the learning rates that its grid begins with."""
    optim = torch.optim
    rates = (1e-3, 3e-3, 1e-2)
    return [
        FirstOrder("Adam", optim.Adam, rates),
        FirstOrder("Adam, half the batch", optim.Adam, rates, lambda b: b // 2),
        FirstOrder("Adam, batch 100", optim.Adam, (3e-4, 1e-3, 3e-3), lambda b: min(b, 100)),
        FirstOrder("NAG", sgd(0.9, nesterov=True), (1e-2, 3e-2, 1e-1, 3e-1)),
        FirstOrder("SGD, momentum", sgd(0.9), (1e-2, 3e-2, 1e-1, 3e-1)),
        FirstOrder("SGD", sgd(), (1e-1, 3e-1, 1.0)),
        FirstOrder("RMSprop", optim.RMSprop, (3e-4, 1e-3, 3e-3)),
        FirstOrder("Adagrad", optim.Adagrad, (3e-3, 1e-2, 3e-2)),
        FirstOrder("AdaDelta", optim.Adadelta, (1.0, 3.0, 10.0)),
        *both_lbfgs(),
    ]


def both_lbfgs() -> list[FirstOrder]:
    """Return L-BFGS with and without forgetting its pairs every five steps."""
    rates = (3e-2, 1e-1, 3e-1)
    return [
        FirstOrder("L-BFGS, forgetting", lbfgs, rates, forget=5),
        FirstOrder("L-BFGS", lbfgs, rates),
    ]


def as_printed(batch: int, lr: float) -> list[Contender]:
    """Return the contenders of figures 1 and 2 of L-SR1, with its batch and rate of first order.

    The paper gives L-BFGS no rate, so that one is tuned.  Ours and Adam, in its own defaults, are
    beside them.
    """
    optim = torch.optim

    def fixed(name: str, build: Callable[..., torch.optim.Optimizer], **given: float) -> FirstOrder:
        return FirstOrder(f"{name}, batch {batch}", partial(build, **given), (), lambda _: batch)

    return [
        *second_order()[:3],
        *both_lbfgs(),
        fixed("NAG", sgd(0.9, nesterov=True), lr=lr),
        fixed("SGD, momentum", sgd(0.9), lr=lr),
        fixed("SGD", sgd(), lr=lr),
        fixed("AdaDelta", optim.Adadelta),
        fixed("Adam", optim.Adam),
    ]


def preset(name: str, options: Preset) -> Training:
    """Return a published method with the constants of its paper."""
    return Training(name, options.method, dict(options))


def second_order() -> list[Training]:
    """Return the methods of qnsolve: its default, and the published ones as their presets."""
    return [
        Training("hybrid-tr", "hybrid-tr"),
        preset("L-SR1 TR", presets.RAMAMURTHY_DUFFY),
        preset("L-SR1 line search", presets.RAMAMURTHY_DUFFY_LS),
        preset("sL-SR1-TR", presets.YOUSEFI_MARTINEZ),
        preset("ARCs-LSR1", presets.ARCS_LSR1),
        # The first radius of the preset is for thousands of steps on small batches.
        Training("Newton-CG, ellipsoid", "newton-tr", {"overlap": False}),
    ]


def regions() -> list[Contender]:
    """Return Newton-CG in a sphere and in ellipsoids, each with a grid of first radii."""
    published = {
        "sphere": presets.ADAPTIVE_NORMS_UNIFORM,
        "Adagrad": presets.ADAPTIVE_NORMS_ADAGRAD,
        "RMSProp": presets.ADAPTIVE_NORMS,
    }
    return [
        Training(f"Newton-CG, {norm}", p.method, dict(p), "initial_radius", (1e-2, 1e-1, 1.0))
        for norm, p in published.items()
    ]


def hybrid_regions() -> list[Training]:
    """Return the default method in a sphere and in its ellipsoid."""
    return [
        Training("hybrid-tr, sphere", "hybrid-tr", {"norm": "l2"}),
        Training("hybrid-tr, ellipsoid", "hybrid-tr"),
    ]


def variations() -> list[Training]:
    """Return L-SR1 TR with other constants (figure 6 of its paper), and the default likewise."""

    def varied(name: str, base: Preset, **change: Any) -> Training:
        label = ", ".join(f"{key} {value:g}" for key, value in change.items())
        return Training(f"{name}: {label}", base.method, {**base, **change})

    published, ours = presets.RAMAMURTHY_DUFFY, Preset("hybrid-tr", "the default")
    return [
        *(
            varied("L-SR1 TR", published, shrink=shrink, grow=grow)
            for shrink in (0.2, 0.5, 0.8)
            for grow in (1.2, 2.0)
        ),
        *(varied("L-SR1 TR", published, memory=memory) for memory in (2, 5, 10)),
        *(varied("hybrid-tr", ours, memory=memory) for memory in (5, 10, 20)),
        *(varied("hybrid-tr", ours, initial_rate=rate) for rate in (1e-4, 1e-3, 1e-2)),
        *(varied("hybrid-tr", ours, grow=grow) for grow in (1.2, 4.0)),
    ]
