"""The problems of the experiments: a network, its loss and its data."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import data
import nets
import torch
from data import Images
from nets import Loss
from torch import Tensor, nn

SAMPLE = 5_000
"""Training samples on which the loss is measured."""

PIECE = 1_000
"""Samples a measurement looks at at once."""


@dataclass(frozen=True)
class Problem:
    """A network, its loss and its data.

    `score` is what the runs are compared by, of (output, target), the smaller the better; `decay`
    the weight decay, in the loss of every method; `chunk` the ghost batches of batch norm.
    """

    name: str
    build: Callable[[], nn.Module]
    loss: Loss
    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    score: Loss
    score_name: str
    decay: float = 1e-4
    chunk: int | None = None

    @property
    def on_gpu(self) -> bool:
        return self.train[0].is_cuda

    def to(self, device: str) -> Problem:
        """Return the problem with its module and its data on a device."""

        def build() -> nn.Module:
            return self.build().to(device)

        def there(part: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            return part[0].to(device), part[1].to(device)

        return replace(self, build=build, train=there(self.train), test=there(self.test))

    def measure(self, module: nn.Module) -> tuple[float, float]:
        """Return the loss on training samples and the score on the test part."""
        with torch.no_grad():
            module = self._for_use(module)
            train = tuple(part[:SAMPLE] for part in self.train)
            return _mean(self.loss, module, train), _mean(self.score, module, self.test)

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
        for piece in _pieces(self.train[0][:SAMPLE], self.chunk or SAMPLE):
            module(piece)
        return module.eval()


def _mean(function: Loss, module: nn.Module, part: tuple[Tensor, Tensor]) -> float:
    pieces = zip(_pieces(part[0], PIECE), _pieces(part[1], PIECE), strict=True)
    total = sum(float(function(module(X), target)) * len(X) for X, target in pieces)
    return total / len(part[0])


def _pieces(samples: Tensor, size: int) -> Iterator[Tensor]:
    return (samples[first : first + size] for first in range(0, len(samples), size))


def error_percent(output: Tensor, target: Tensor) -> Tensor:
    """Return the part of wrong answers in percent."""
    return 100.0 * (output.argmax(1) != target).double().mean()


def bits(output: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy in bits."""
    return nets.cross_entropy(output, target) / math.log(2.0)


@dataclass(frozen=True)
class Source:
    """Where data come from and how much of them is used."""

    data: str = "fashion-mnist"
    folder: str | Path | None = None
    train: int | None = None
    test: int | None = None

    def images(self) -> Images:
        return data.load(self.data, self.folder).first(self.train, self.test)


def classification(name: str, build: Callable, images: Images, **rest: object) -> Problem:
    """Return a problem on standardised inputs and their classes; `build` takes their shape."""
    mean, scale = images.train.mean(), images.train.std()
    shape = images.train.shape[1:]
    return Problem(
        f"{name}, {images.name}",
        lambda: build(shape),
        nets.cross_entropy,
        (torch.as_tensor((images.train - mean) / scale), torch.as_tensor(images.train_labels)),
        (torch.as_tensor((images.test - mean) / scale), torch.as_tensor(images.test_labels)),
        error_percent,
        "test error %",
        **rest,
    )


def mlp(source: Source) -> Problem:
    return classification("MLP 128", nets.mlp, source.images())


def lenet(source: Source) -> Problem:
    return classification("LeNet-5", nets.lenet, source.images())


def lenet_bn(source: Source) -> Problem:
    return classification("LeNet-5 with batch norm", _normed(nets.lenet), source.images())


def lenet_cifar(source: Source) -> Problem:
    return classification("LeNet for CIFAR", nets.lenet_cifar, source.images(), decay=1e-3)


def lenet_cifar_bn(source: Source) -> Problem:
    build = _normed(nets.lenet_cifar)
    name = "LeNet for CIFAR with batch norm"
    return classification(name, build, source.images(), decay=1e-3)


def _normed(build: Callable) -> Callable:
    return lambda shape: build(shape, batch_norm=True)


def resnet(source: Source) -> Problem:
    return classification("ResNet-20", nets.resnet20, source.images(), chunk=125)


def autoencoder(source: Source) -> Problem:
    """Return the reconstruction of images, pixels in [0, 1]."""
    images = source.images()
    train, test = torch.as_tensor(images.train), torch.as_tensor(images.test)
    return Problem(
        f"autoencoder, {images.name}",
        nets.autoencoder,
        nets.squared_error,
        (train, train),
        (test, test),
        nets.squared_error,
        "test loss",
    )


def fitted(problem: Problem) -> Problem:
    """Return the problem judged by its training loss."""
    train = (problem.train[0][:SAMPLE], problem.train[1][:SAMPLE])
    return replace(problem, test=train, score=problem.loss, score_name="train loss")


def iris(source: Source) -> Problem:
    return classification("MLP 50-50", nets.iris_net, data.iris())


def characters(source: Source) -> Problem:
    """Return the prediction of the next character of a text."""
    text = data.python_reference().first(source.train, source.test)
    return Problem(
        f"LSTM 64, {text.name}",
        lambda: nets.CharacterModel(len(text.alphabet)),
        nets.cross_entropy,
        tuple(map(torch.as_tensor, data.shifted(text.train))),
        tuple(map(torch.as_tensor, data.shifted(text.test))),
        bits,
        "test bits a character",
        decay=0.0,
    )


PROBLEMS: dict[str, Callable[[Source], Problem]] = {
    "mlp": mlp,
    "mlp-fit": lambda source: fitted(mlp(source)),
    "autoencoder": autoencoder,
    "autoencoder-fit": lambda source: fitted(autoencoder(source)),
    "lenet": lenet,
    "lenet-bn": lenet_bn,
    "lenet-cifar": lenet_cifar,
    "lenet-cifar-bn": lenet_cifar_bn,
    "resnet": resnet,
    "iris": iris,
    "characters": characters,
}
