"""Reference solutions: exact, or by spectral methods; the tests refine each of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg

Array = np.ndarray
Solution = tuple[Array, Array, Array]
"""Coordinates x and t, and u with a row for each t."""


def burgers(x: Array, t: Array, nu: float, nodes: int = 200) -> Array:
    """Return u of u_t + u u_x = nu u_xx with u = -sin(pi x) at t = 0, exactly.

    The integrals of the Cole-Hopf transformation, by Gauss-Hermite quadrature.  `x` and `t` are of
    one shape.
    """
    z, weights = np.polynomial.hermite.hermgauss(nodes)
    at = x[..., None] - np.sqrt(4.0 * nu * t)[..., None] * z
    # Scaled by its largest value: the exponent is up to 1 / (2 pi nu).
    density = weights * np.exp(-(np.cos(np.pi * at) + 1.0) / (2.0 * np.pi * nu))
    return -(np.sin(np.pi * at) * density).sum(-1) / density.sum(-1)


def fourier(
    start: Callable[[Array], Array],
    symbol: Callable[[Array], Array],
    nonlinear: Callable[[Array, Array], Array],
    times: int,
    modes: int,
    steps: int,
) -> Solution:
    """Return x, t and u of u_t = L u + N(u), periodic on [-1, 1], for t from 0 to 1.

    Fourier in x, and in t the Runge-Kutta method of order four with an integrating factor, so that
    the stiff linear part is exact.

    Parameters
    ----------
    start : callable
        u(x) at t = 0.
    symbol : callable
        Multiplier of L of the wave number i k.
    nonlinear : callable
        Transform of N of (u, i k), k the wave numbers.
    times, modes, steps : int
        Intervals of the output in t, points in x, and steps between two outputs.

    Returns
    -------
    x : ndarray, shape (modes,)
    t : ndarray, shape (times + 1,)
    u : ndarray, shape (times + 1, modes)
    """
    x = -1.0 + 2.0 * np.arange(modes) / modes
    ik = 1j * np.pi * np.arange(modes // 2 + 1)
    h = 1.0 / (times * steps)
    half = np.exp(0.5 * h * symbol(ik))
    whole = half * half
    kept = np.arange(modes // 2 + 1) <= modes // 3  # no aliasing of quadratic terms

    def slope(v: Array) -> Array:
        return kept * nonlinear(np.fft.irfft(v, modes), ik)

    v = np.fft.rfft(start(x))
    rows = [start(x)]
    for _ in range(times):
        for _ in range(steps):
            a = slope(v)
            b = slope(half * (v + 0.5 * h * a))
            c = slope(half * v + 0.5 * h * b)
            d = slope(whole * v + h * half * c)
            v = whole * v + h / 6.0 * (whole * a + 2.0 * half * (b + c) + d)
        rows.append(np.fft.irfft(v, modes))
    return x, np.linspace(0.0, 1.0, times + 1), np.array(rows)


def chebyshev(nodes: int) -> tuple[Array, Array]:
    """Return the Chebyshev points of [0, 1], from 1 to 0, and the matrix of the derivative there.

    Trefethen, Spectral Methods in MATLAB, chapter 6.
    """
    k = np.arange(nodes + 1)
    x = np.cos(np.pi * k / nodes)
    c = np.where((k == 0) | (k == nodes), 2.0, 1.0) * (-1.0) ** k
    D = np.outer(c, 1.0 / c) / (x[:, None] - x[None, :] + np.eye(nodes + 1))
    D -= np.diag(D.sum(axis=1))
    return 0.5 * (x + 1.0), 2.0 * D


def diffusion(
    k: Callable[[Array], Array], start: Callable[[Array], Array], times: int, nodes: int
) -> Solution:
    """Return x, t and u of u_t = (k(x) u_x)_x on [0, 1], zero at both ends, for t from 0 to 1.

    Chebyshev collocation in x; in t the exponential of the matrix, without error.
    """
    x, D = chebyshev(nodes)
    step = scipy.linalg.expm((D @ np.diag(k(x)) @ D)[1:-1, 1:-1] / times)
    rows = [start(x)]
    for _ in range(times):
        rows.append(np.zeros_like(x))
        rows[-1][1:-1] = step @ rows[-2][1:-1]
    return x, np.linspace(0.0, 1.0, times + 1), np.array(rows)
