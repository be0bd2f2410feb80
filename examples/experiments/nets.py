"""Networks of the papers, as PyTorch modules in their default initialisation."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]


def mlp(shape: Shape = (1, 28, 28)) -> nn.Module:
    """inputs-128-10, tanh: 101,770 weights on 28 x 28 images (Kohler et al.)."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(shape), 128), nn.Tanh(), nn.Linear(128, 10)
    )


def iris_net(shape: Shape = (4,)) -> nn.Module:
    """4-50-50-3, ReLU: 2,953 weights (the code of ARCs-LSR1)."""
    return nn.Sequential(
        nn.Linear(*shape, 50), nn.ReLU(), nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 3)
    )


def autoencoder() -> nn.Module:
    """784-100-16-100-784, tanh: 161,000 weights."""
    sizes = [784, 100, 16, 100, 784]
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in pairwise(sizes[:-1]):
        layers += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def lenet(shape: Shape = (1, 28, 28), batch_norm: bool = False) -> nn.Module:
    """LeNet-5, 6/16 channels, 120-84-10: 61,706 weights on 28 x 28 images."""
    channels, size, _ = shape
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


class Residual(nn.Module):
    """Two convolutions and a shortcut, which halves the image and pads channels with zeros."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.stride = 1 if channels_in == channels else 2
        self.padding = channels - channels_in
        self.first = nn.Conv2d(channels_in, channels, 3, self.stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.first_norm(self.first(x)))
        short = x[:, :, :: self.stride, :: self.stride]
        short = nn.functional.pad(short, (0, 0, 0, 0, 0, self.padding))
        return torch.relu(self.second_norm(self.second(inner)) + short)


def resnet20(shape: Shape = (3, 32, 32)) -> nn.Module:
    """ResNet-20: 16, 32 and 64 channels, three blocks each; 269,722 weights on colour images."""
    blocks = [Residual(a, b) for a, b in pairwise([16, 16, 16, 16, 32, 32, 32, 64, 64, 64])]
    module = nn.Sequential(
        nn.Conv2d(shape[0], 16, 3, 1, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return module


class CharacterModel(nn.Module):
    """An LSTM over characters: logits of the next one, shape (samples, alphabet, length)."""

    def __init__(self, alphabet: int, width: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(alphabet, 16)
        self.memory = nn.LSTM(16, width, batch_first=True)
        self.output = nn.Linear(width, alphabet)

    def forward(self, characters: Tensor) -> Tensor:
        states, _ = self.memory(self.embedding(characters))
        return self.output(states).transpose(1, 2)


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
