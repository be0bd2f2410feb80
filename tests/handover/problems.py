"""One function that every array library can evaluate, and the methods with a matrix."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace

from qnsolve.methods import METHODS

WITH_MATRIX = [name for name in METHODS if name != "newton-tr"]
GTOL = 1e-8


def fun(x):
    """Return f and g of a smooth convex function that is no quadratic, whatever array x is."""
    xp, level = array_namespace(x), 0.1
    weight = xp.cumulative_sum(xp.ones_like(x))
    total = xp.sum(x)
    f = xp.sum(weight * (0.5 * x**2 + level * x**4 - x)) + 0.5 * total * total
    return f, weight * (x + 4.0 * level * x**3 - 1.0) + total


def hessian(x):
    """Return the matrix of second derivatives, x a NumPy array."""
    weight = np.arange(1.0, x.size + 1.0)
    return np.diag(weight * (1.0 + 1.2 * x**2)) + np.ones((x.size, x.size))


def start(n, seed=0):
    return np.random.default_rng(seed).standard_normal(n)
