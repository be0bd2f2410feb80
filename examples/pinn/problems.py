"""The problems: an equation, a network that satisfies its conditions, and the reference.

The loss is the mean square of the residual at fixed collocation points, in float64; what is
compared is the relative error in L2 against the reference, on a grid of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from examples.pinn import references
from examples.pinn.networks import Ansatz, TanhNet

pi = math.pi
HIDDEN = (20, 20, 20)


@dataclass(frozen=True)
class Problem:
    """A loss of one flat vector.

    Attributes
    ----------
    name, title : str
    size : int
        Number of weights.
    initial : callable
        ``initial(seed)``, the weights to begin with, on the device.
    loss : callable
        Of the weights, by operations of torch.
    field, reference : callable and Tensor
        What is compared: its values of the weights, and those it should have.
    grid : Tensor, shape (points, coordinates)
        Where `field` is evaluated.
    """

    name: str
    title: str
    size: int
    initial: Callable[[int], Tensor]
    loss: Callable[[Tensor], Tensor]
    field: Callable[[Tensor], Tensor]
    reference: Tensor
    grid: Tensor

    def error(self, weights: Tensor) -> float:
        """Return the relative error in L2."""
        with torch.no_grad():
            gap = self.field(weights) - self.reference
            return float(gap.norm() / self.reference.norm())


def problem(
    name: str,
    title: str,
    ansatz: Ansatz,
    residual: Callable[..., Tensor],
    orders: tuple[int, ...],
    points: Tensor,
    grid: Tensor,
    reference: Tensor,
) -> Problem:
    """Return a problem whose loss is the mean square of ``residual(*jet)`` and nothing else."""
    jet = ansatz.at(points, orders)
    field = ansatz.at(grid, (0,) * len(orders))
    return Problem(
        name,
        title,
        ansatz.network.size,
        lambda seed: ansatz.network.initial(generator(seed)).to(points.device),
        lambda weights: residual(*jet(weights)).square().mean(),
        lambda weights: field(weights)[0][:, : reference.shape[1]],
        reference,
        grid,
    )


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def collocation(number: int, lower: tuple, upper: tuple, device: torch.device) -> Tensor:
    """Return scrambled Sobol points of a box."""
    low, high = torch.tensor(lower, dtype=torch.float64), torch.tensor(upper, dtype=torch.float64)
    drawn = torch.quasirandom.SobolEngine(len(lower), scramble=True, seed=0)
    return (low + (high - low) * drawn.draw(number, dtype=torch.float64)).to(device)


def mesh(*axes: np.ndarray, device: torch.device) -> Tensor:
    """Return all points of a grid, the last coordinate the fastest."""
    grids = np.meshgrid(*axes, indexing="ij")
    return torch.tensor(np.stack([g.ravel() for g in grids], 1), device=device)


def column(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.tensor(values.reshape(-1, 1), device=device)


def periodic(points: Tensor) -> Tensor:
    """Return (cos pi x, sin pi x, 2 t - 1): what is built on them has period 2 in x."""
    x, t = points[:, :1], points[:, 1:]
    return torch.cat([(pi * x).cos(), (pi * x).sin(), 2.0 * t - 1.0], 1)


def centred(points: Tensor) -> Tensor:
    """Return coordinates of the unit square from -1 to 1."""
    return 2.0 * points - 1.0


def time_of(points: Tensor) -> Tensor:
    return points[:, 1:2]


def burgers(points: int, device: torch.device, nu: float = 0.01 / pi) -> Problem:
    """u_t + u u_x = nu u_xx, u = 0 at x = -1 and 1, u = -sin(pi x) at t = 0: a shock at x = 0."""
    ansatz = Ansatz(
        TanhNet((2, *HIDDEN, 1)),
        lambda p: torch.cat([p[:, :1], 2.0 * p[:, 1:] - 1.0], 1),
        lambda p: -(pi * p[:, :1]).sin(),
        lambda p: p[:, 1:] * (1.0 - p[:, :1].square()),
    )
    grid = mesh(np.linspace(-1.0, 1.0, 201), np.linspace(0.0, 1.0, 51), device=device)
    x, t = grid.cpu().numpy().T
    return problem(
        "burgers" if nu < 0.01 else "burgers-smooth",
        f"Burgers, viscosity {nu:.3g}",
        ansatz,
        lambda u, u_x, u_xx, u_t: u_t + u * u_x - nu * u_xx,
        (2, 1),
        collocation(points, (-1.0, 0.0), (1.0, 1.0), device),
        grid,
        column(references.burgers(x, t, nu), device),
    )


def burgers_smooth(points: int, device: torch.device) -> Problem:
    """Burgers with a viscosity of 0.05, which leaves a steep front and no shock."""
    return burgers(points, device, 0.05)


def in_time(
    name: str,
    title: str,
    residual: Callable[..., Tensor],
    orders: tuple[int, int],
    start: Callable,
    solution: references.Solution,
    points: int,
    device: torch.device,
) -> Problem:
    """Return a problem periodic in x, with u = start(x) at t = 0; `start` is of NumPy and torch."""
    ansatz = Ansatz(
        TanhNet((3, *HIDDEN, 1)),
        periodic,
        lambda p: start(p[:, :1]),
        time_of,
    )
    x, t, u = solution
    every = len(x) // 128
    return problem(
        name,
        title,
        ansatz,
        residual,
        orders,
        collocation(points, (-1.0, 0.0), (1.0, 1.0), device),
        mesh(x[::every], t, device=device),
        column(u[:, ::every].T, device),
    )


def allen_cahn_start(x):
    """(1 - cos pi x) / 2 * cos pi x: as x^2 cos pi x, which has a kink where it is continued."""
    c = (pi * x).cos() if isinstance(x, Tensor) else np.cos(pi * x)
    return 0.5 * (1.0 - c) * c


def allen_cahn_reference(modes: int = 2048, steps: int = 10) -> references.Solution:
    return references.fourier(
        allen_cahn_start,
        lambda ik: 1e-4 * ik**2,
        lambda u, ik: np.fft.rfft(5.0 * (u - u**3)),
        50,
        modes,
        steps,
    )


def allen_cahn(points: int, device: torch.device) -> Problem:
    """u_t = 1e-4 u_xx + 5 (u - u^3), periodic: two phases with thin layers between them."""
    return in_time(
        "allen-cahn",
        "Allen-Cahn, diffusion 1e-4",
        lambda u, u_x, u_xx, u_t: u_t - 1e-4 * u_xx - 5.0 * (u - u**3),
        (2, 1),
        allen_cahn_start,
        allen_cahn_reference(),
        points,
        device,
    )


def korteweg_de_vries_start(x):
    return (pi * x).cos() if isinstance(x, Tensor) else np.cos(pi * x)


def korteweg_de_vries_reference(modes: int = 256, steps: int = 80) -> references.Solution:
    return references.fourier(
        korteweg_de_vries_start,
        lambda ik: -0.0025 * ik**3,
        lambda u, ik: -0.5 * ik * np.fft.rfft(u * u),
        50,
        modes,
        steps,
    )


def korteweg_de_vries(points: int, device: torch.device) -> Problem:
    """u_t + u u_x + 0.0025 u_xxx = 0, periodic, from a cosine, which breaks up into solitons."""
    return in_time(
        "kdv",
        "Korteweg-de Vries, dispersion 0.0025",
        lambda u, u_x, u_xx, u_xxx, u_t: u_t + u * u_x + 0.0025 * u_xxx,
        (3, 1),
        korteweg_de_vries_start,
        korteweg_de_vries_reference(),
        points,
        device,
    )


def poisson(points: int, device: torch.device, waves: int = 4) -> Problem:
    """-(u_xx + u_yy) = f on the unit square, u = 0 around: u = sin(4 pi x) sin(4 pi y).

    The residual is divided by the largest f.
    """

    def exact(p: Tensor) -> Tensor:
        return (waves * pi * p).sin().prod(1, keepdim=True)

    ansatz = Ansatz(
        TanhNet((2, *HIDDEN, 1)),
        centred,
        lambda p: torch.zeros_like(p[:, :1]),
        lambda p: (4.0 * p * (1.0 - p)).prod(1, keepdim=True),
    )
    inside = collocation(points, (0.0, 0.0), (1.0, 1.0), device)
    source, scale = exact(inside), 0.5 / (waves * pi) ** 2
    grid = mesh(*2 * [np.linspace(0.0, 1.0, 101)], device=device)
    return problem(
        "poisson",
        f"Poisson, {waves} half waves a side",
        ansatz,
        lambda u, u_x, u_xx, u_y, u_yy: scale * (u_xx + u_yy) + source,
        (2, 2),
        inside,
        grid,
        exact(grid),
    )


def navier_stokes(nu: float) -> Callable[..., Tensor]:
    """Return the residuals of momentum and mass of w = (u, v, pressure), three columns."""

    def residual(
        w: Tensor, w_x: Tensor, w_xx: Tensor, w_y: Tensor, w_yy: Tensor, w_t: Tensor
    ) -> Tensor:
        u, v = w[:, :1], w[:, 1:2]
        pressure = torch.cat([w_x[:, 2:], w_y[:, 2:]], 1)
        momentum = w_t + u * w_x + v * w_y - nu * (w_xx + w_yy)
        divergence = w_x[:, :1] + w_y[:, 1:2]
        return torch.cat([momentum[:, :2] + pressure, divergence], 1)

    return residual


def taylor_green(points: int, device: torch.device, nu: float = 0.1) -> Problem:
    """Navier-Stokes in two dimensions: decaying vortices in a periodic square of side 2 pi.

    Unknown are the velocity (u, v) and the pressure; compared is the velocity, for the pressure is
    known but for a constant.
    """

    def velocity(p: Tensor, decay: float | Tensor) -> Tensor:
        x, y = p[:, :1], p[:, 1:2]
        return torch.cat([-x.cos() * y.sin() * decay, x.sin() * y.cos() * decay], 1)

    def start(p: Tensor) -> Tensor:
        return torch.cat([velocity(p, 1.0), torch.zeros_like(p[:, :1])], 1)

    def factor(p: Tensor) -> Tensor:
        t = p[:, 2:]
        return torch.cat([t, t, torch.ones_like(t)], 1)

    ansatz = Ansatz(
        TanhNet((5, *HIDDEN, 3)),
        lambda p: torch.cat([p[:, :2].cos(), p[:, :2].sin(), p[:, 2:] - 1.0], 1),
        start,
        factor,
    )
    side = 2.0 * pi * np.arange(20) / 20
    grid = mesh(side, side, np.linspace(0.0, 2.0, 11), device=device)
    return problem(
        "taylor-green",
        f"Navier-Stokes, Taylor-Green vortices, viscosity {nu:g}",
        ansatz,
        navier_stokes(nu),
        (2, 2, 1),
        collocation(points, (0.0, 0.0, 0.0), (2.0 * pi, 2.0 * pi, 2.0), device),
        grid,
        velocity(grid, (-2.0 * nu * grid[:, 2:]).exp()),
    )


def conductivity(x):
    """The coefficient that `diffusivity` looks for."""
    return 0.1 * (1.0 + 0.5 * np.sin(2.0 * pi * x))


def diffusivity_reference(nodes: int = 40) -> references.Solution:
    return references.diffusion(conductivity, lambda x: np.sin(pi * x), 20, nodes)


def diffusivity(points: int, device: torch.device) -> Problem:
    """u_t = (k(x) u_x)_x: the unknown k(x) from temperatures u at 10 places and 20 times.

    Two networks: u, which satisfies the boundary and initial conditions, and k = 0.1 exp(network).
    The loss is the mean square of the residual plus that of the misfit; compared is k.
    """
    ansatz = Ansatz(
        TanhNet((2, *HIDDEN, 1)),
        centred,
        lambda p: (pi * p[:, :1]).sin(),
        lambda p: p[:, 1:] * p[:, :1] * (1.0 - p[:, :1]),
    )
    log_k = Ansatz(
        TanhNet((1, 10, 10, 1)),
        lambda p: 2.0 * p[:, :1] - 1.0,
        lambda p: torch.zeros_like(p[:, :1]),
        lambda p: torch.ones_like(p[:, :1]),
    )
    sizes = [ansatz.network.size, log_k.network.size]
    inside = collocation(points, (0.0, 0.0), (1.0, 1.0), device)
    x, t, u = diffusivity_reference()
    x, u = x[2:-2:4], u[1:, 2:-2:4]
    sensors = mesh(x, t[1:], device=device)
    measured = column(u.T, device)
    jet, jet_k = ansatz.at(inside, (2, 1)), log_k.at(inside, (1, 0))
    at_sensors = ansatz.at(sensors, (0, 0))
    grid = mesh(np.linspace(0.0, 1.0, 201), device=device)
    on_grid = log_k.at(grid, (0,))

    def initial(seed: int) -> Tensor:
        drawn = generator(seed)
        parts = [network.initial(drawn) for network in (ansatz.network, log_k.network)]
        return torch.cat(parts).to(device)

    def loss(weights: Tensor) -> Tensor:
        for_u, for_k = weights.split(sizes)
        _, u_x, u_xx, u_t = jet(for_u)
        log, log_x = jet_k(for_k)
        residual = u_t - 0.1 * log.exp() * (u_xx + log_x * u_x)
        return residual.square().mean() + (at_sensors(for_u)[0] - measured).square().mean()

    return Problem(
        "diffusivity",
        "Inverse: a conductivity from temperatures",
        sum(sizes),
        initial,
        loss,
        lambda weights: 0.1 * on_grid(weights.split(sizes)[1])[0].exp(),
        column(conductivity(grid.cpu().numpy()), device),
        grid,
    )


PROBLEMS: dict[str, Callable[[int, torch.device], Problem]] = {
    "burgers-smooth": burgers_smooth,
    "burgers": burgers,
    "poisson": poisson,
    "allen-cahn": allen_cahn,
    "kdv": korteweg_de_vries,
    "diffusivity": diffusivity,
    "taylor-green": taylor_green,
}
