"""Self-scaled Broyden with a dense matrix, transcribed from the publication.

Jorge F. Urban, Petros Stefanou, Jose A. Pons, "Unveiling the optimization process of physics
informed neural networks: How accurate and competitive can PINNs be?", J. Comput. Phys. 523 (2025)
113656, equations 13 to 23, where the choice of tau and phi is Al-Baali's.  In the terms of the
matrix B and the pair (s, y)

    B+ = tau (B - B s s'B / s'Bs + theta s'Bs w w') + y y' / y's,   w = y / y's - B s / s'Bs,

and what is stored is H = inv(B), at first the identity.  The line search ensures the strong Wolfe
conditions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

DECREASE, CURVATURE = 1e-4, 0.9
"""Constants of the Wolfe conditions, those of SciPy's BFGS and of the paper."""

LONGEST_SEARCH = 30
"""Evaluations of one line search at most."""

Evaluate = Callable[[Tensor], tuple[float, Tensor]]


@dataclass
class Point:
    """A point of a line: the step length, f, the slope along the line, x and the gradient."""

    step: float
    f: float
    slope: float
    x: Tensor
    g: Tensor


def minimise(evaluate: Evaluate, x: Tensor) -> None:
    """Minimise until `evaluate` raises, or until no step from a fresh matrix leads down."""
    f, g = evaluate(x)
    H = None
    while True:
        fresh = H is None
        d = -g if H is None else -(H @ g)
        start = Point(0.0, f, float(g @ d), x, g)
        found = None
        if start.slope < 0.0:
            first = min(1.0, 1.0 / float(g.norm())) if fresh else 1.0
            found = wolfe(evaluate, start, d, first)
        if found is None:
            if fresh:
                return
            H = None  # rounding errors have spoilt the matrix
            continue
        s, y = found.x - x, found.g - g
        if H is None:
            H = torch.eye(len(x), dtype=x.dtype, device=x.device)
        # s'Bs / y's, from B d = -g.
        H = update(H, s, y, -found.step * float(g @ s) / float(s @ y))
        x, f, g = found.x, found.f, found.g


def update(H: Tensor, s: Tensor, y: Tensor, b: float) -> Tensor:
    """Return the inverse of the next matrix; `b` is s'Bs / y's."""
    n, sy, Hy = len(s), float(s @ y), H @ y
    yHy = float(y @ Hy)
    tau, theta = scaling(n, b, yHy / sy)
    a = b * yHy / sy - 1.0
    phi = (1.0 - theta) / (1.0 + a * theta)
    v = s / sy - Hy / yHy
    # Three rank-one terms as one product.
    left = torch.stack([Hy, v, s])
    weights = [-1.0 / (yHy * tau), phi * yHy / tau, 1.0 / sy]
    scaled = left * torch.tensor(weights, dtype=s.dtype, device=s.device)[:, None]
    return torch.addmm(H, scaled.T, left, beta=1.0 / tau)


def scaling(n: int, b: float, h: float) -> tuple[float, float]:
    """Return tau and theta of b = s'Bs / y's and h = y'Hy / y's."""
    a = b * h - 1.0
    # a >= 0 by Cauchy and Schwarz; where s and B^-1 y are parallel all members agree.
    if a <= n * torch.finfo(torch.float64).eps:
        return min(1.0, 1.0 / b), 0.0
    c = math.sqrt(a / (1.0 + a))
    rho_minus = min(1.0, h * (1.0 - c))
    theta_minus = (rho_minus - 1.0) / a
    theta = max(theta_minus, min(1.0 / rho_minus, (1.0 - b) / b))
    sigma = 1.0 + theta * a
    rho = min(1.0, 1.0 / b)
    power = sigma ** (1.0 / (1.0 - n))
    tau = min(rho * power, sigma) if theta <= 0.0 else rho * min(power, 1.0 / theta)
    return tau, theta


def wolfe(evaluate: Evaluate, start: Point, d: Tensor, first: float) -> Point | None:
    """Return a point that satisfies the strong Wolfe conditions, or None.

    Nocedal and Wright, Numerical Optimization, 2nd edition, algorithms 3.5 and 3.6, with minimisers
    of cubics.
    """

    def at(step: float) -> Point:
        x = start.x + step * d
        f, g = evaluate(x)
        return Point(step, f, float(g @ d), x, g)

    def above(point: Point) -> bool:
        return not point.f <= start.f + DECREASE * point.step * start.slope

    low, high, step = start, None, first
    for _ in range(LONGEST_SEARCH):
        point = at(step)
        if above(point) or (point.f >= low.f and low is not start):
            high = point
        elif abs(point.slope) <= -CURVATURE * start.slope:
            return point
        else:
            if high is not None:
                turned = point.slope * (high.step - low.step) >= 0.0
            else:
                turned = point.slope >= 0.0
            if turned:
                high = low
            low = point
        if high is None:
            step = 2.0 * low.step
            continue
        width = abs(high.step - low.step)
        if width <= torch.finfo(torch.float64).eps * max(low.step, high.step):
            return None
        step = between(low, high)
    return None


def between(low: Point, high: Point) -> float:
    """Return where the cubic through two points is least, at least a tenth from either end."""
    width = high.step - low.step
    d1 = low.slope + high.slope - 3.0 * (high.f - low.f) / width
    square = d1 * d1 - low.slope * high.slope
    part = 0.5
    if math.isfinite(square) and square >= 0.0:
        d2 = math.copysign(math.sqrt(square), width)
        denominator = high.slope - low.slope + 2.0 * d2
        if denominator != 0.0:
            part = 1.0 - (high.slope + d2 - d1) / denominator
    return low.step + min(max(part, 0.1), 0.9) * width
