"""The methods, an objective for any array library, and ways to spoil it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

import qnsolve
from qnsolve.arrays import to_host
from qnsolve.interface import METHODS as CALLABLES

METHODS = list(CALLABLES)

X0 = np.array([0.3, -0.9, 1.4, 0.2])

BAD = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def wells(x):
    """Sum of double wells: minimisers have entries +-1/sqrt(2), value -1/4 each."""
    xp = array_api_compat.array_namespace(x)
    return xp.sum(x**4 - x**2), 4 * x**3 - 2 * x


def minimize(
    method: str, fun: Callable, x0: Any, callback=None, args=(), hessp=None, **options: Any
):
    """Run one method on a function that returns its value and gradient."""
    hessp = hessp if method == "newton-tr" else None
    return qnsolve.minimize(
        fun, x0, args, jac=True, hessp=hessp, method=method, callback=callback, options=options
    )


class Spoilt:
    """An objective that returns something else from one evaluation on, or at a few.

    Parameters
    ----------
    fun : callable
    spoil : callable
        ``spoil(f, g) -> (f, g)``.
    at : container of int
        Numbers of the evaluations that are spoilt, from 0.
    """

    def __init__(self, fun: Callable, spoil: Callable, at: Any) -> None:
        self._fun, self._spoil, self._at = fun, spoil, at
        self.count = 0
        self.values: list[float] = []

    def __call__(self, x):
        f, g = self._fun(x)
        if self.count in self._at:
            f, g = self._spoil(f, g)
        self.count += 1
        self.values.append(float(f))
        return f, g


def put(value: float, where: str) -> Callable:
    """Return a function that puts `value` in place of f, into g, or both."""

    def spoil(f, g):
        return (
            f * 0 + value if "f" in where else f,
            g * 0 + value if "g" in where else g,
        )

    return spoil


def to_numpy(a) -> np.ndarray:
    return to_host(a)
