"""Networks of the papers, as PyTorch modules; weights as drawn there, or PyTorch's defaults."""

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
    """20 and 50 maps, 500 tanh, 10: 431,080 weights on 28 x 28 images (L-SR1, for MNIST)."""
    channels, *sides = shape
    maps = 50 * math.prod(((side - 4) // 2 - 4) // 2 for side in sides)
    layers = [
        *_block(nn.Conv2d(channels, 20, 5), nn.ReLU(), 0.1, batch_norm),
        nn.MaxPool2d(2),
        *_block(nn.Conv2d(20, 50, 5), nn.ReLU(), 0.1, batch_norm),
        nn.MaxPool2d(2),
        nn.Flatten(),
        *_block(nn.Linear(maps, 500), nn.Tanh(), 0.1, batch_norm),
        _gaussian(nn.Linear(500, 10), 0.1),
    ]
    return nn.Sequential(*layers)


def lenet_cifar(shape: Shape = (3, 32, 32), batch_norm: bool = False) -> nn.Module:
    """32, 32 and 64 maps, 64 ReLU, 10: 145,578 weights on colour images (L-SR1, for CIFAR-10)."""
    channels, *sides = shape
    layers: list[nn.Module] = []
    for a, b in pairwise([channels, 32, 32, 64]):
        layers += _block(nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), 0.01, batch_norm)
        layers += [nn.MaxPool2d(2)]
    maps = 64 * math.prod(side // 8 for side in sides)
    layers += [nn.Flatten(), *_block(nn.Linear(maps, 64), nn.ReLU(), 0.1, batch_norm)]
    return nn.Sequential(*layers, _gaussian(nn.Linear(64, 10), 0.1))


def _block(
    layer: nn.Conv2d | nn.Linear, activation: nn.Module, deviation: float, batch_norm: bool
) -> list[nn.Module]:
    """Return a layer, its activation and batch norm, in the order of the appendix of L-SR1."""
    layers = [_gaussian(layer, deviation), activation]
    if not batch_norm:
        return layers
    if isinstance(layer, nn.Conv2d):
        return [*layers, nn.BatchNorm2d(layer.out_channels)]
    return [*layers, nn.BatchNorm1d(layer.out_features)]


def _gaussian(layer: nn.Conv2d | nn.Linear, deviation: float) -> nn.Module:
    nn.init.normal_(layer.weight, std=deviation)
    nn.init.zeros_(layer.bias)
    return layer


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
