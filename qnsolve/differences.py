"""Gradients made of differences of values: how long the steps are, and who evaluates."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from qnsolve.bounds import Box
from qnsolve.state import Saved, Stateful

DIFFERENCE_ORDERS = {"2-point": 1, "3-point": 2}
"""Finite-difference schemes by name, with the order of their error in the step."""

EPS = float(np.finfo(np.float64).eps)
"""Values are float64 at best, whatever x is."""

LEAST_CHANGE = 1e-2
"""Part of its size by which f must change, were x to change by its own, so that a step of the size
of x is used; where f hardly feels it, rounding asks for a longer one."""

SCALE = 1.0
"""Size of a variable of which nothing is known, as everywhere in SciPy."""

Values = Callable[[Sequence[np.ndarray]], Sequence[float]]
"""Returns the values of f at some points."""


class Differences(Stateful):
    r"""The gradient by forward or central differences.

    The step along :math:`x_i` is :math:`\epsilon^{1/(p+1)} \max(|x_i|, t_i)`, which balances
    truncation, of order p in the step, against rounding.  The typical size :math:`t_i` is that of
    the start, at which f shows whether it will do: where f changes by less than rounding asks for,
    or :math:`x_i` is 0, :math:`t_i` is larger, up to 1.

    In a box a step turns round where it would leave, and is shortened where it fits on neither
    side; a central difference becomes one of second order on the side with more room.  Variables
    that the box fixes get no difference; their component is 0.

    Parameters
    ----------
    scheme : {"2-point", "3-point"}
    x0 : ndarray, shape (n,)
        Start point, in the box.
    box : Box, optional

    Attributes
    ----------
    absolute, relative : ndarray, shape (n,), or None
        Steps that the user wants, as they are or relative to that size.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1e-4, 0.0])
    >>> g = Differences("3-point", x)
    >>> def values(points):
    ...     return [np.sin(1e4 * p[0]) + 1e4 * p[1] for p in points]
    >>> np.allclose(g.gradient(x, np.sin(1.0), values, EPS), [1e4 * np.cos(1.0), 1e4], rtol=1e-9)
    True
    """

    _typical: Saved[np.ndarray]
    _known: Saved[bool]

    def __init__(self, scheme: str, x0: np.ndarray, box: Box | None = None) -> None:
        self._order = DIFFERENCE_ORDERS[scheme]
        self._box = box
        self.absolute: np.ndarray | None = None
        self.relative: np.ndarray | None = None
        size = np.abs(x0).astype(np.float64)
        largest = min(SCALE, float(size.max())) or SCALE
        # Tiny is what would be lost if it were added to the others.
        self._typical = np.where(size < EPS * largest, largest, size)
        self._known = False

    def gradient(self, x: np.ndarray, f: float, values: Values, eps: float) -> np.ndarray:
        """Return g at `x`, where f is finite, as float64; `eps` is the relative error of values."""
        steps = self._steps(x, eps)
        changes, made = self._changes(x, f, steps, values, np.full(x.shape, True))
        if not self._known:
            self._known = True
            self._lengthen(x, f, values, eps, changes, made)
            longest = np.abs(made).max(axis=0)
            # Of steps that the box has cut short nothing follows.
            whole = (longest > 0.0) & (longest >= np.abs(steps) / 2)
            if math.isfinite(f) and whole.any() and not changes.any():
                self._warn(float(longest.max()))
        with np.errstate(over="ignore", invalid="ignore"):
            # The part of each before the sum, which then has the range of its terms.
            g = np.zeros(x.shape)
            for change, h, part in zip(changes, made, self._parts(made), strict=True):
                g += change / np.where(h == 0.0, 1.0, h) * part
            return g

    def relative_error(self, eps: float) -> float:
        """Return the relative error of a gradient; `eps` is that of values."""
        h = self.absolute if self.relative is None else self.relative
        if h is None:
            return eps ** (self._order / (self._order + 1))
        return float(np.max(h**self._order + eps / h))

    def least_step(self, eps: float) -> float:
        """Return the shortest step, at points no smaller than the start."""
        h = self.absolute
        if h is None:
            h = self._fraction(eps) * self._typical
        if self._box is not None:
            width = self._box.upper.astype(np.float64) - self._box.lower
            # On the side with more room is half of it, for as many steps as the order says.
            h = np.minimum(h, width / (2 * self._order))[width > 0.0]
        return float(h.min(initial=np.inf))

    def _fraction(self, eps: float) -> Any:
        return eps ** (1 / (self._order + 1)) if self.relative is None else self.relative

    def _steps(self, x: np.ndarray, eps: float) -> np.ndarray:
        """Return the steps, away from 0."""
        size, info = np.abs(x), np.finfo(x.dtype)
        shortest = np.maximum(size * info.eps, info.smallest_subnormal)  # x + h is not x
        h: Any = self.absolute
        if h is None:
            h = self._fraction(eps) * np.maximum(size, self._typical)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.copysign(np.maximum(h, shortest), x).astype(x.dtype)

    def _changes(
        self, x: np.ndarray, f: float, steps: np.ndarray, values: Values, where: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what f changes by and the steps made, one or two for each variable.

        The change is NaN where a step leads nowhere, and 0 where there is none.
        """
        ends = self._ends(x, steps)
        # The steps that the rounded x + step really makes, which are those that fun sees.
        made = ends.astype(np.float64) - x.astype(np.float64)
        changes = np.where(made == 0.0, 0.0, np.nan)
        points, places = [], []
        for k, i in np.argwhere(where & np.isfinite(ends) & (made != 0.0)):
            point = x.copy()
            point[i] = ends[k, i]
            points.append(point)
            places.append((k, i))
        found = values(points)
        with np.errstate(over="ignore", invalid="ignore"):
            for place, value in zip(places, found, strict=True):
                changes[place] = value - np.float64(f)
        return changes, made

    def _ends(self, x: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Return what takes the place of each entry of x, once or twice."""
        box = self._box
        if box is None:
            with np.errstate(over="ignore"):
                return np.array([x + steps, x - steps][: self._order])
        with np.errstate(over="ignore"):
            up, down = box.upper - x, x - box.lower
            longest = np.abs(steps)
            if self._order == 1:
                ahead, behind = np.where(steps > 0.0, (up, down), (down, up))
                turned = (ahead < longest) & (ahead < behind)
                step = np.minimum(longest, np.maximum(np.where(turned, behind, ahead), 0.0))
                ends = [x + np.copysign(step, np.where(turned, -steps, steps))]
            else:
                least, most = np.minimum(up, down), np.maximum(up, down)
                far = np.minimum(2 * longest, most)  # of the two steps to one side
                central = (least > 0.0) & (least >= far / 2)
                step = np.copysign(np.minimum(longest, least), steps)
                far = np.where(up >= down, far, -far)
                ends = [np.where(central, x + step, x + far / 2)]
                ends += [np.where(central, x - step, x + far)]
        # x + (upper - x) may be a rounding error beyond it.
        return np.array([box.project(end) for end in ends])

    def _parts(self, made: np.ndarray) -> np.ndarray:
        """Return the weights of the difference quotients, for each of the steps made."""
        if self._box is None or self._order == 1:
            return np.full(made.shape, 1.0 / self._order)
        a, b = made
        # The slope at x of the parabola through the three points; of the line through two of them
        # where a step is too short for the numbers there.
        both = (a != 0.0) & (b != 0.0) & (a != b)
        of_first = np.divide(b, b - a, out=np.where(b == 0.0, 1.0, 0.0), where=both)
        return np.array([of_first, 1.0 - of_first])

    def _lengthen(
        self,
        x: np.ndarray,
        f: float,
        values: Values,
        eps: float,
        changes: np.ndarray,
        made: np.ndarray,
    ) -> None:
        """Take longer steps, in place, where f hardly changes over those of the size of x."""
        if self.absolute is not None or self.relative is not None:
            return
        least = LEAST_CHANGE * self._fraction(eps) * abs(f)
        size = np.maximum(np.abs(x).astype(np.float64), self._typical)
        # False for NaN: at an edge of the domain a longer step is no better.
        weak = (np.abs(changes).max(axis=0) < least) & (size < SCALE)
        if not weak.any():
            return
        before, self._typical = self._typical, np.where(weak, SCALE, self._typical)
        longer = self._changes(x, f, self._steps(x, eps), values, weak)
        weak &= np.isfinite(longer[0]).all(axis=0)
        self._typical = np.where(weak, SCALE, before)
        changes[:, weak], made[:, weak] = longer[0][:, weak], longer[1][:, weak]

    def _warn(self, longest: float) -> None:
        warnings.warn(
            f"fun does not change at all over the first steps of finite differences (up to "
            f"{longest:.1e}): it is constant around x0, or has fewer digits than its dtype; give "
            "jac, or longer steps by the options eps or finite_diff_rel_step",
            RuntimeWarning,
            stacklevel=2,
        )


def map_of(workers: int | Callable[..., Any] | None) -> Callable[..., Iterable[Any]]:
    """Return the map that `workers` stands for: itself, or one over so many threads."""
    if callable(workers):
        return workers
    if workers is None or workers == 1:
        return map
    return partial(_threaded, (os.cpu_count() or 1) if workers == -1 else workers)


def _threaded(workers: int, function: Callable[..., Any], items: Iterable[Any]) -> list[Any]:
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, items))
