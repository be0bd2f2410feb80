"""A tanh network as a function of one flat vector, with its derivatives by the coordinates.

A *jet* is a tensor whose first axis holds a function and its pure derivatives at all points: for
``orders = (2, 1)`` and coordinates (x, t) the rows u, u_x, u_xx, u_t.  Derivatives are carried
forward through the layers, so that one backward pass gives the gradient of a loss of them, and a
layer is one product of matrices however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]
"""A smooth function of points: (N, d) to (N, outputs)."""


@dataclass(frozen=True)
class TanhNet:
    """A fully connected network with tanh between its layers.

    Attributes
    ----------
    widths : tuple of int
        Of all layers, from the inputs to the outputs.
    """

    widths: tuple[int, ...]

    @property
    def sizes(self) -> list[int]:
        """Lengths of the pieces of the vector: weights and biases in turn."""
        return [k for a, b in pairwise(self.widths) for k in (a * b, b)]

    @property
    def size(self) -> int:
        return sum(self.sizes)

    def initial(self, generator: torch.Generator) -> Tensor:
        """Return weights after Glorot, with biases of zero."""
        pieces = []
        for a, b in pairwise(self.widths):
            drawn = torch.randn(a * b, generator=generator, dtype=torch.float64)
            pieces += [drawn * (2.0 / (a + b)) ** 0.5, torch.zeros(b, dtype=torch.float64)]
        return torch.cat(pieces)

    def jet(self, weights: Tensor, inputs: Tensor, orders: Sequence[int]) -> tuple[Tensor, ...]:
        """Return the rows of the jet of the outputs, each (N, outputs), from that of the inputs."""
        pieces = weights.split(self.sizes)
        last = len(self.widths) - 2
        for i, (a, b) in enumerate(pairwise(self.widths)):
            rows = (inputs @ pieces[2 * i].view(a, b)).unbind(0)
            rows = (rows[0] + pieces[2 * i + 1], *rows[1:])
            if i == last:
                return rows
            inputs = torch.stack(tanh_jet(rows, orders))
        raise AssertionError("a network has layers")


def tanh_jet(z: Sequence[Tensor], orders: Sequence[int]) -> list[Tensor]:
    """Return the jet of tanh(z), up to third derivatives by one coordinate."""
    t = z[0].tanh()
    slope = 1.0 - t * t
    rows, at = [t], 1
    for order in orders:
        if order >= 1:
            z1 = z[at]
            t1 = slope * z1
            rows.append(t1)
        if order >= 2:
            z2 = z[at + 1]
            slope1 = -2.0 * t * t1
            t2 = slope * z2 + slope1 * z1
            rows.append(t2)
        if order >= 3:
            slope2 = -2.0 * (t1 * t1 + t * t2)
            rows.append(slope * z[at + 2] + 2.0 * slope1 * z2 + slope2 * z1)
        at += order
    return rows


def times(a: Sequence[Tensor], b: Sequence[Tensor], orders: Sequence[int]) -> list[Tensor]:
    """Return the jet of a product by Leibniz's rule."""
    rows, at = [a[0] * b[0]], 1
    for order in orders:
        a1, b1 = [a[0], *a[at : at + order]], [b[0], *b[at : at + order]]
        if order >= 1:
            rows.append(a1[1] * b1[0] + a1[0] * b1[1])
        if order >= 2:
            rows.append(a1[2] * b1[0] + 2.0 * a1[1] * b1[1] + a1[0] * b1[2])
        if order >= 3:
            rows.append(
                a1[3] * b1[0] + 3.0 * (a1[2] * b1[1] + a1[1] * b1[2]) + a1[0] * b1[3],
            )
        at += order
    return rows


def jet_of(function: Function, points: Tensor, orders: Sequence[int]) -> Tensor:
    """Return the jet of a function that is written down, by repeated automatic differentiation."""
    points = points.detach().requires_grad_()
    rows = [function(points)]
    for i, order in enumerate(orders):
        row = rows[0]
        for _ in range(order):
            row = torch.stack([_derivative(each, points)[:, i] for each in row.unbind(1)], 1)
            rows.append(row)
    return torch.stack(rows).detach()


def _derivative(values: Tensor, points: Tensor) -> Tensor:
    """Return the gradients of values, each of which depends on its own point only."""
    if not values.requires_grad:  # a constant
        return torch.zeros_like(points)
    (gradients,) = torch.autograd.grad(
        values.sum(), points, create_graph=True, materialize_grads=True
    )
    return gradients


@dataclass(frozen=True)
class Ansatz:
    """u = lift + factor * network(features): boundary and initial conditions hold exactly.

    `lift` satisfies them, `factor` is zero where they are given, and periodic `features` make u
    periodic.
    """

    network: TanhNet
    features: Function
    lift: Function
    factor: Function

    def at(self, points: Tensor, orders: Sequence[int]) -> Callable[[Tensor], list[Tensor]]:
        """Return the function from weights to the jet of u at these points.

        What does not depend on the weights is computed once.
        """
        inputs = jet_of(self.features, points, orders)
        lift = jet_of(self.lift, points, orders).unbind(0)
        factor = jet_of(self.factor, points, orders).unbind(0)

        def jet(weights: Tensor) -> list[Tensor]:
            product = times(factor, self.network.jet(weights, inputs, orders), orders)
            return [a + b for a, b in zip(lift, product, strict=True)]

        return jet
