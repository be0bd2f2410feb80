"""What a test problem is: a start, a function with gradient, and what is known of its minimum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Function = Callable[[Any], tuple[Any, Any]]
"""``fun(x) -> (f, g)``."""


@dataclass(frozen=True, eq=False)
class Problem:
    """An unconstrained minimisation problem with its standard starting point.

    Parameters
    ----------
    name : str
    n : int
        Number of variables.
    x0 : ndarray, shape (n,)
        Starting point, float64.
    fun : callable
        ``fun(x) -> (f, g)`` with `g` of the shape of `x`.
    f_min : float or None
        The global minimum where it is known.
    source : str
        Where the problem is taken from.
    x_min : ndarray, shape (n,), or None
        A minimiser with value `f_min` where one is known in closed form.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.problems import Problem
    >>> bowl = Problem("bowl", 2, np.ones(2), lambda x: (x @ x, 2 * x), f_min=0.0, source="example")
    >>> f, g = bowl.fun(bowl.x0)
    >>> float(f), g.tolist()
    (2.0, [2.0, 2.0])
    """

    name: str
    n: int
    x0: np.ndarray
    fun: Function
    f_min: float | None
    source: str
    x_min: np.ndarray | None = None
