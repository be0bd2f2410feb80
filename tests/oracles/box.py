"""The quadratic model in a box, and in a box and a ball, on a dense matrix.

Two answers that share no code with the solver: the first local minimiser along the projected path,
with vectors and products formed anew on each piece of it, and the global minimum over the box, by
every face.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

MOST = 8
"""Variables up to which every face is looked at: there are 3^n."""


def model(g: np.ndarray, B: np.ndarray, s: np.ndarray) -> float:
    """Return g's + s'Bs / 2."""
    return float(g @ s + 0.5 * s @ B @ s)


def cauchy_point(
    g: np.ndarray, B: np.ndarray, lower: np.ndarray, upper: np.ndarray, radius: float = math.inf
) -> np.ndarray:
    """Return the first local minimiser of the model along P(-t g) that is no longer than radius.

    Raises ValueError where the model falls for ever.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        times = np.where(g < 0.0, upper / -g, np.where(g > 0.0, lower / -g, np.inf))

    def at(t: float) -> np.ndarray:
        # Finite by construction where a bound is infinite: such a variable has no breakpoint.
        return np.where(times <= t, np.where(g < 0.0, upper, lower), -t * g)

    now = 0.0
    for t in [*np.unique(times[(times > 0.0) & (times < math.inf)]), math.inf]:
        s, d = np.where(g == 0.0, 0.0, at(now)), np.where(times <= now, 0.0, -g)
        slope, curvature = float((g + B @ s) @ d), float(d @ B @ d)
        if not slope < 0.0:
            return s
        end = now - slope / curvature if curvature > 0.0 else math.inf
        if radius < math.inf:
            # ||s + tau d|| = radius, whichever root is positive.
            a, b, c = float(d @ d), float(s @ d), float(s @ s) - radius * radius
            root = math.sqrt(max(0.0, b * b - a * c))
            end = min(end, now + (-c / (b + root) if b > 0.0 else (root - b) / a))
        if end < t:
            return np.where(g == 0.0, 0.0, s + (end - now) * d)
        if t == math.inf:
            raise ValueError("unbounded below")
        now = float(t)
    raise AssertionError("the last piece has no end")


def global_minimum(
    g: np.ndarray, B: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the least value of the model over a finite box, and where it is taken.

    A minimiser is, on the face that it lies inside, stationary, and B is positive semidefinite
    there.  Where it is singular there the value is the same on a line, and so on a smaller face.
    """
    n = len(g)
    if n > MOST or not np.isfinite([lower, upper]).all():
        raise ValueError(f"a finite box of at most {MOST} variables is wanted")
    best, where = math.inf, np.zeros(n)
    for sides in itertools.product((-1, 0, 1), repeat=n):
        side = np.array(sides)
        s = np.where(side < 0, lower, np.where(side > 0, upper, 0.0))
        free = side == 0
        if free.any():
            inner = B[np.ix_(free, free)]
            rhs = -(g + B @ s)[free]
            try:
                np.linalg.cholesky(inner)
                s[free] = np.linalg.solve(inner, rhs)
            except np.linalg.LinAlgError:
                continue
            if not ((s >= lower) & (s <= upper)).all():
                continue
        value = model(g, B, s)
        if value < best:
            best, where = value, s
    return best, where
