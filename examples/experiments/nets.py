"""Networks of the papers, as PyTorch modules in their default initialisation."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn


def mlp() -> nn.Module:
    """784-128-10, tanh: 101,770 weights (Kohler et al.)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.Tanh(), nn.Linear(128, 10))


def autoencoder() -> nn.Module:
    """784-100-16-100-784, tanh: 161,000 weights."""
    sizes = [784, 100, 16, 100, 784]
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in pairwise(sizes[:-1]):
        layers += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def lenet(batch_norm: bool = False, channels: int = 1, size: int = 28) -> nn.Module:
    """LeNet-5, 6/16 channels, 120-84-10: 61,706 weights on 28 x 28 images."""
    # Either size gives 16 maps of 5 x 5 before the first dense layer.
    padding = {28: 2, 32: 0}[size]

    def normed(layer: nn.Module, norm: nn.Module) -> list[nn.Module]:
        return [layer, norm] if batch_norm else [layer]

    return nn.Sequential(
        *normed(nn.Conv2d(channels, 6, 5, padding=padding), nn.BatchNorm2d(6)),
        nn.ReLU(),
        nn.MaxPool2d(2),
        *normed(nn.Conv2d(6, 16, 5), nn.BatchNorm2d(16)),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        *normed(nn.Linear(16 * 5 * 5, 120), nn.BatchNorm1d(120)),
        nn.ReLU(),
        *normed(nn.Linear(120, 84), nn.BatchNorm1d(84)),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def squared_error(output: Tensor, images: Tensor) -> Tensor:
    """Sum of squares over the pixels, mean over the images."""
    return ((output - images.flatten(1)) ** 2).sum(1).mean()


Loss = Callable[[Tensor, Tensor], Tensor]
cross_entropy: Loss = nn.functional.cross_entropy


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return a module with the initial weights of a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()
