r"""Variational problems on the unit square, with as many variables as a grid has inner points.

A value and its gradient cost O(n) together.  NumPy arrays only, real or complex (the complex-step
check needs the latter).
"""

from __future__ import annotations

import math
import operator
from functools import partial

import numpy as np

from qnsolve.problems.problem import Problem


def minimal_surface(n: int = 100) -> Problem:
    r"""Return the area of a surface over the unit square that is fixed at the boundary.

    .. math::

        f(u) = \sum_{\text{cells}} h^2 \sqrt{1 + \frac{(u_{00} - u_{11})^2
        + (u_{01} - u_{10})^2}{2 h^2}},
        \qquad u = (2x - 1)^2 - (2y - 1)^2 \text{ on the boundary}

    where :math:`u_{00}, \dots, u_{11}` are the heights at the corners of a cell of side h.  f is
    convex; the condition of its Hessian grows like n.

    Parameters
    ----------
    n : int, a square
        Inner points of the grid.

    Returns
    -------
    Problem
        Started at zero inside.

    References
    ----------
    A. Griewank and P. L. Toint, "Partitioned variable metric updates for large structured
    optimization problems", Numer. Math. 39 (1982), 119-137.

    Examples
    --------
    >>> from qnsolve.problems import minimal_surface
    >>> problem = minimal_surface(25)
    >>> f, g = problem.fun(problem.x0)
    >>> g.shape
    (25,)
    """
    side = _side("minimal_surface", n)
    t = np.linspace(-1.0, 1.0, side + 2)
    frame = t**2 - t[:, np.newaxis] ** 2
    frame[1:-1, 1:-1] = 0.0
    fun = partial(_minimal_surface, frame)
    return Problem("minimal-surface", n, np.zeros(n), fun, None, "Griewank and Toint (1982)")


def _minimal_surface(frame: np.ndarray, x: np.ndarray) -> tuple[float, np.ndarray]:
    cells = frame.shape[0] - 1
    u = _inside(frame, x)
    falling = u[:-1, :-1] - u[1:, 1:]
    rising = u[:-1, 1:] - u[1:, :-1]
    h2 = 1.0 / cells**2
    root = np.sqrt(1.0 + (falling * falling + rising * rising) / (2.0 * h2))
    falling /= 2.0 * root
    rising /= 2.0 * root
    g = falling[1:, 1:] - falling[:-1, :-1] + rising[1:, :-1] - rising[:-1, 1:]
    return h2 * np.sum(root), g.ravel()


def ginzburg_landau(n: int = 100, *, width: float = 0.05, seed: int = 0) -> Problem:
    r"""Return the energy of two phases on the unit square, zero at its boundary.

    .. math::

        f(u) = \frac12 \sum_{\text{edges}} (u_i - u_j)^2
        + \frac{h^2}{4 \varepsilon^2} \sum_i (1 - u_i^2)^2

    The five-point form of :math:`\int \tfrac12 |\nabla u|^2 + \tfrac{1}{4 \varepsilon^2}
    (1 - u^2)^2`.  At u = 0 the Hessian is indefinite; a descent method parts the square into
    regions near +1 and -1, with walls of width :math:`\varepsilon` that vanish slowly.

    Parameters
    ----------
    n : int, a square
        Inner points of the grid.
    width : float, > 0
        :math:`\varepsilon`.
    seed : int
        Of the random start, normal with standard deviation 0.1.

    Returns
    -------
    Problem

    References
    ----------
    J. W. Cahn and J. E. Hilliard, "Free energy of a nonuniform system. I. Interfacial free
    energy", J. Chem. Phys. 28 (1958), 258-267.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.problems import ginzburg_landau
    >>> f, g = ginzburg_landau(9, width=0.5).fun(np.zeros(9))
    >>> round(float(f), 12), float(abs(g).max())  # 9 h^2 / (4 width^2), with h = 1/4
    (0.5625, 0.0)
    """
    side = _side("ginzburg_landau", n)
    if not 0.0 < width < np.inf:
        raise ValueError(f"ginzburg_landau: width must be positive and finite, got {width!r}")
    x0 = 0.1 * np.random.default_rng(seed).standard_normal(n)
    weight = 1.0 / ((side + 1) * width) ** 2
    fun = partial(_ginzburg_landau, side, weight)
    return Problem("ginzburg-landau", n, x0, fun, None, "Cahn and Hilliard (1958)")


def _ginzburg_landau(side: int, weight: float, x: np.ndarray) -> tuple[float, np.ndarray]:
    u = _inside(np.zeros((side + 2, side + 2)), x)
    down, right = np.diff(u[:, 1:-1], axis=0), np.diff(u[1:-1, :], axis=1)
    well = 1.0 - x * x
    f = 0.5 * (np.sum(down * down) + np.sum(right * right)) + 0.25 * weight * (well @ well)
    g = down[:-1] - down[1:] + right[:, :-1] - right[:, 1:]
    return f, g.ravel() - weight * well * x


def _inside(frame: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the values on the whole grid: `x` inside, `frame` at the boundary."""
    u = frame.astype(np.result_type(frame, x))
    u[1:-1, 1:-1] = x.reshape(frame.shape[0] - 2, -1)
    return u


def _side(name: str, n: int) -> int:
    n = operator.index(n)
    side = math.isqrt(max(n, 0))
    if n < 1 or side * side != n:
        near = max(side, 1)
        raise ValueError(
            f"{name}: n must be a square, such as {near**2} or {(near + 1) ** 2}, got {n}"
        )
    return side
