"""The 35 problems of Moré, Garbow and Hillstrom (1981) as sums of squares of residuals.

J. J. Moré, B. S. Garbow, K. E. Hillstrom, "Testing unconstrained optimization software", ACM Trans.
Math. Softw. 7 (1981).  Numbers of the problems, starting points and minima are those of the paper;
number 11 without its misprint.  The residuals are analytic, so that their Jacobian is the imaginary
part of one evaluation a column (the complex step), exact to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

TINY = 1e-100
"""The complex step: its square vanishes, so there is no truncation error."""


@dataclass(frozen=True)
class SumOfSquares:
    """f(x) = |r(x)|^2 with its gradient; `minima` are the values of the local minima known."""

    name: str
    residuals: Callable[[np.ndarray], np.ndarray]
    x0: np.ndarray
    minima: tuple[float, ...]

    def __call__(self, x):
        columns = x[:, None] + TINY * 1j * np.eye(len(x))
        # Far out the exponentials overflow; the solvers know what to do about that.
        with np.errstate(over="ignore", invalid="ignore"):
            r = self.residuals(x)
            J = np.stack([self.residuals(column).imag / TINY for column in columns.T], axis=1)
            return r @ r, 2.0 * (J.T @ r)


PROBLEMS: list[SumOfSquares] = []


def problem(x0, *minima):
    """Enter the residuals that follow, with their starting point and minima."""

    def enter(residuals):
        name = residuals.__name__.replace("_", "-")
        PROBLEMS.append(SumOfSquares(name, residuals, np.array(x0, float), minima))
        return residuals

    return enter


def upto(m):
    """Return 1, ..., m."""
    return np.arange(1.0, m + 1.0)


@problem([-1.2, 1.0], 0.0)
def rosenbrock(x):
    return np.array([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]])


@problem([0.5, -2.0], 0.0, 48.98425)
def freudenstein_roth(x):
    a, b = x
    return np.array([-13.0 + a + ((5.0 - b) * b - 2.0) * b, -29.0 + a + ((b + 1.0) * b - 14.0) * b])


@problem([0.0, 1.0], 0.0)
def powell_badly_scaled(x):
    return np.array([1e4 * x[0] * x[1] - 1.0, np.exp(-x[0]) + np.exp(-x[1]) - 1.0001])


@problem([1.0, 1.0], 0.0)
def brown_badly_scaled(x):
    return np.array([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2.0])


@problem([1.0, 1.0], 0.0)
def beale(x):
    return np.array([1.5, 2.25, 2.625]) - x[0] * (1.0 - x[1] ** upto(3))


@problem([0.3, 0.4], 124.3622)
def jennrich_sampson(x):
    i = upto(10)
    return 2.0 + 2.0 * i - (np.exp(i * x[0]) + np.exp(i * x[1]))


@problem([-1.0, 0.0, 0.0], 0.0)
def helical_valley(x):
    turn = np.arctan(x[1] / x[0]) / (2.0 * np.pi) + (0.5 if x[0].real < 0.0 else 0.0)
    return np.array(
        [10.0 * (x[2] - 10.0 * turn), 10.0 * (np.sqrt(x[0] ** 2 + x[1] ** 2) - 1), x[2]]
    )


@problem([1.0, 1.0, 1.0], 8.214877e-3, 17.42869)
def bard(x):
    y = [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39]
    u = upto(15)
    v = 16.0 - u
    return np.array(y) - (x[0] + u / (v * x[1] + np.minimum(u, v) * x[2]))


@problem([0.4, 1.0, 0.0], 1.127932e-8)
def gaussian(x):
    half = [0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521]
    t = (8.0 - upto(15)) / 2.0
    return x[0] * np.exp(-x[1] * (t - x[2]) ** 2 / 2.0) - np.array([*half, 0.3989, *half[::-1]])


@problem([0.02, 4000.0, 250.0], 87.94586)
def meyer(x):
    y = [34780.0, 28610.0, 23650.0, 19630.0, 16370.0, 13720.0, 11540.0, 9744.0, 8261.0, 7030.0]
    y += [6005.0, 5147.0, 4427.0, 3820.0, 3307.0, 2872.0]
    return x[0] * np.exp(x[1] / (45.0 + 5.0 * upto(16) + x[2])) - np.array(y)


@problem([5.0, 2.5, 0.15], 0.0)
def gulf(x):
    t = upto(99) / 100.0
    distance = 25.0 + (-50.0 * np.log(t)) ** (2.0 / 3.0) - x[1]
    distance = np.where(distance.real < 0.0, -distance, distance)
    return np.exp(-(distance ** x[2]) / x[0]) - t


@problem([0.0, 10.0, 20.0], 0.0)
def box(x):
    t = 0.1 * upto(10)
    return np.exp(-t * x[0]) - np.exp(-t * x[1]) - x[2] * (np.exp(-t) - np.exp(-10.0 * t))


@problem([3.0, -1.0, 0.0, 1.0], 0.0)
def powell_singular(x):
    a, b, c, d = x
    return np.array(
        [a + 10.0 * b, math.sqrt(5) * (c - d), (b - 2.0 * c) ** 2, math.sqrt(10) * (a - d) ** 2]
    )


@problem([-3.0, -1.0, -3.0, -1.0], 0.0)
def wood(x):
    a, b, c, d = x
    return np.array(
        [
            *(10.0 * (b - a**2), 1.0 - a, math.sqrt(90) * (d - c**2), 1.0 - c),
            *(math.sqrt(10) * (b + d - 2.0), (b - d) / math.sqrt(10)),
        ]
    )


@problem([0.25, 0.39, 0.415, 0.39], 3.075056e-4, 1.027345e-3)
def kowalik_osborne(x):
    y = [0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]
    u = np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
    return np.array(y) - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


@problem([25.0, 5.0, -5.0, -1.0], 85822.20)
def brown_dennis(x):
    t = upto(20) / 5.0
    return (x[0] + t * x[1] - np.exp(t)) ** 2 + (x[2] + x[3] * np.sin(t) - np.cos(t)) ** 2


@problem([0.5, 1.5, -1.0, 0.01, 0.02], 5.464895e-5)
def osborne_1(x):
    y = [0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685]
    y += [0.658, 0.628, 0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448]
    y += [0.438, 0.431, 0.424, 0.420, 0.414, 0.411, 0.406]
    t = 10.0 * (upto(33) - 1.0)
    return np.array(y) - (x[0] + x[1] * np.exp(-t * x[3]) + x[2] * np.exp(-t * x[4]))


@problem([1.0, 2.0, 1.0, 1.0, 1.0, 1.0], 5.655650e-3, 0.0)
def biggs_exp6(x):
    t = 0.1 * upto(13)
    y = np.exp(-t) - 5.0 * np.exp(-10.0 * t) + 3.0 * np.exp(-4.0 * t)
    return x[2] * np.exp(-t * x[0]) - x[3] * np.exp(-t * x[1]) + x[5] * np.exp(-t * x[4]) - y


@problem([1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5], 4.013774e-2)
def osborne_2(x):
    y = [1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608]
    y += [0.655, 0.616, 0.606, 0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661]
    y += [0.612, 0.558, 0.533, 0.495, 0.500, 0.423, 0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428]
    y += [0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668, 0.645, 0.632, 0.591, 0.559]
    y += [0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098, 0.054]
    t = (upto(65) - 1.0) / 10.0
    bumps = [x[k] * np.exp(-((t - x[k + 7]) ** 2) * x[k + 4]) for k in (1, 2, 3)]
    return np.array(y) - (x[0] * np.exp(-t * x[4]) + sum(bumps))


@problem(np.zeros(6), 2.287670e-3)
def watson(x):
    t, j = upto(29)[:, None] / 29.0, np.arange(6)
    slope = (j[1:] * t ** (j[1:] - 1)) @ x[1:]
    return np.concatenate([slope - (t**j @ x) ** 2 - 1.0, [x[0], x[1] - x[0] ** 2 - 1.0]])


@problem([-1.2, 1.0] * 5, 0.0)
def extended_rosenbrock(x):
    return np.concatenate([10.0 * (x[1::2] - x[::2] ** 2), 1.0 - x[::2]])


@problem([3.0, -1.0, 0.0, 1.0] * 3, 0.0)
def extended_powell(x):
    return np.concatenate([powell_singular(part) for part in x.reshape(-1, 4)])


@problem(upto(10), 7.087651e-5)
def penalty_1(x):
    return np.append(math.sqrt(1e-5) * (x - 1.0), (x**2).sum() - 0.25)


@problem(np.full(10, 0.5), 2.936605e-4)
def penalty_2(x):
    n, e = len(x), np.exp(x / 10.0)
    i = upto(n)[1:]
    y = np.exp(i / 10.0) + np.exp((i - 1.0) / 10.0)
    inner = np.concatenate([e[1:] + e[:-1] - y, e[1:] - np.exp(-0.1)])
    total = (upto(n)[::-1] * x**2).sum() - 1.0
    return np.concatenate([[x[0] - 0.2], math.sqrt(1e-5) * inner, [total]])


@problem(1.0 - upto(10) / 10.0, 0.0)
def variably_dimensioned(x):
    total = (upto(len(x)) * (x - 1.0)).sum()
    return np.concatenate([x - 1.0, [total, total**2]])


@problem(np.full(10, 0.1), 0.0, 2.795056e-5)
def trigonometric(x):
    n = len(x)
    return n - np.cos(x).sum() + upto(n) * (1.0 - np.cos(x)) - np.sin(x)


@problem(np.full(10, 0.5), 0.0, 1.0)
def brown_almost_linear(x):
    return np.append(x[:-1] + x.sum() - (len(x) + 1.0), np.prod(x) - 1.0)


def grid(n):
    """Return the spacing and the inner points of [0, 1]."""
    return 1.0 / (n + 1.0), upto(n) / (n + 1.0)


@problem(grid(10)[1] * (grid(10)[1] - 1.0), 0.0)
def discrete_boundary_value(x):
    h, t = grid(len(x))
    padded = np.concatenate([[0.0], x, [0.0]])
    return 2.0 * x - padded[:-2] - padded[2:] + h**2 * (x + t + 1.0) ** 3 / 2.0


@problem(grid(10)[1] * (grid(10)[1] - 1.0), 0.0)
def discrete_integral_equation(x):
    h, t = grid(len(x))
    cube = (x + t + 1.0) ** 3
    below, above = np.cumsum(t * cube), (1.0 - t) * cube
    return x + h * ((1.0 - t) * below + t * (above.sum() - np.cumsum(above))) / 2.0


@problem(-np.ones(10), 0.0)
def broyden_tridiagonal(x):
    padded = np.concatenate([[0.0], x, [0.0]])
    return (3.0 - 2.0 * x) * x - padded[:-2] - 2.0 * padded[2:] + 1.0


@problem(-np.ones(10), 0.0)
def broyden_banded(x):
    n, part = len(x), x * (1.0 + x)
    near = [part[max(0, i - 5) : i + 2].sum() - part[i] for i in range(n)]
    return x * (2.0 + 5.0 * x**2) + 1.0 - np.array(near)


@problem(np.ones(10), 10.0)
def linear_full_rank(x):
    m = 20
    rest = np.concatenate([x, np.zeros(m - len(x))])
    return rest - 2.0 / m * x.sum() - 1.0


@problem(np.ones(10), 20 * 19 / (2 * 41))
def linear_rank_one(x):
    return upto(20) * (upto(len(x)) @ x) - 1.0


@problem(np.ones(10), (20**2 + 3 * 20 - 6) / (2 * 37))
def linear_rank_one_with_zeros(x):
    total = upto(len(x))[1:-1] @ x[1:-1]
    return np.concatenate([[-1.0], upto(18) * total - 1.0, [-1.0]])


@problem(upto(8) / 9.0, 3.516874e-3)
def chebyquad(x):
    n, z = len(x), 2.0 * x - 1.0
    T = [np.ones_like(z), z]
    for _ in range(n - 1):
        T.append(2.0 * z * T[-1] - T[-2])
    i = upto(n)
    even = i % 2 == 0
    integral = np.where(even, -1.0 / np.where(even, i**2 - 1.0, 1.0), 0.0)
    return np.stack(T[1:]).mean(axis=1) - integral
