"""A step length with the strong Wolfe conditions (Nocedal and Wright 2006, Algorithms 3.5, 3.6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any

from qnsolve.solvers.along_step import actual_reduction, hermite_minimiser

MAX_TRIALS = 50
"""Trials in one search: enough to go from a step of 1 to a fall of 1e30 in tenfold steps."""

NON_FINITE_SHRINK = 0.1
"""Part of the bracket that is tried next after a value that is not finite at its far end."""

EDGE = 0.1
"""Part of the bracket at either end in which no trial is made."""

SLOW = 0.5
"""A bracket that keeps more than this part of its length is bisected next."""


@dataclass(frozen=True, eq=False)
class LinePoint:
    """A point on the line x + t d.

    Attributes
    ----------
    t, f, slope : float
        Step length, value and derivative there; the slope is NaN where one of f and g is not
        finite.
    end
        What belongs to the point; handed through.
    unbounded : bool
        Whether f is so low that the search is over.
    """

    t: float
    f: float
    slope: float
    end: Any = None
    unbounded: bool = False


def strong_wolfe(
    start: LinePoint,
    first: float,
    *,
    decrease: float,
    curvature: float,
    too_short: Callable[[float], bool],
    eps: float,
) -> Generator[float, LinePoint, LinePoint | None]:
    r"""Find t > 0 that satisfies the strong Wolfe conditions on the line.

    .. math::

        f(t) \le f(0) + c_1 t f'(0), \qquad |f'(t)| \le c_2 |f'(0)|

    Parameters
    ----------
    line : callable
        ``line(t) -> LinePoint``: one evaluation of f and its gradient at x + t d.
    start : LinePoint
        t = 0, with a negative slope.
    first : float, > 0
        The first t to try.
    decrease, curvature : float
        c1 and c2, 0 < c1 < c2 < 1.
    too_short : callable
        ``too_short(t)`` tells of a bracket's length whether it is not to be refined.
    eps : float
        Relative rounding error of f.

    Yields
    ------
    float
        A step length; the LinePoint there is what the generator wants to be sent.

    Returns
    -------
    LinePoint or None
        A t that satisfies both conditions; or, where the search has to end before there is one,
        the lowest that satisfies the first and has a lower f; None if there is none either.  A
        trial with a value that is not finite is never returned, unless it is unbounded below.

    Notes
    -----
    The two algorithms of the reference are one loop on a bracket from `low`, the lowest trial with
    a sufficient decrease, to `high`, which is at infinity until a trial says otherwise.

    Differences of f that are rounding error are replaced by the slopes' trapezoidal rule, which
    turns the first condition into :math:`f'(t) \le (2 c_1 - 1) f'(0)`, the approximate Wolfe
    condition (W. W. Hager, H. Zhang, SIAM J. Optim. 16 (2005)).
    """
    low, high, t, bisect = start, None, first, False
    for _ in range(MAX_TRIALS):
        trial = yield t
        if trial.unbounded:
            return trial
        before = math.inf if high is None else abs(high.t - low.t)

        # 1. Where the minimiser is: before the trial, at it, or beyond.
        if not (
            _fall(start, trial, eps) >= -decrease * t * start.slope and _fall(low, trial, eps) > 0.0
        ):
            high = _numbers(trial)
        elif abs(trial.slope) <= -curvature * start.slope:
            return trial
        else:
            previous, beyond = _numbers(low), math.inf if high is None else high.t
            if trial.slope * (beyond - low.t) >= 0.0:
                high = previous
            low = trial

        # 2. The next trial.
        if high is None:
            t = _further(previous, low)
            continue
        width = high.t - low.t
        if too_short(abs(width)):
            break
        bisect = not bisect and abs(width) > SLOW * before
        t = low.t + (0.5 if bisect else _inside(low, high)) * width
    # Without the second condition, slopes alone prove nothing: they may have the wrong sign.
    return low if low.f < start.f else None


def _numbers(trial: LinePoint) -> LinePoint:
    """Return the trial without its vectors: only `low` needs them."""
    return replace(trial, end=None)


def _fall(a: LinePoint, b: LinePoint, eps: float) -> float:
    """Return f(a) - f(b); NaN where f(b) or its slope is not finite."""
    if not math.isfinite(b.slope):
        return math.nan
    width = b.t - a.t
    return actual_reduction(a.f, b.f, width * a.slope, width * b.slope, eps)


def _inside(low: LinePoint, high: LinePoint) -> float:
    """Return where the cubic through both ends has its minimum, as a part of the bracket."""
    if not math.isfinite(high.slope):
        return NON_FINITE_SHRINK
    width = high.t - low.t
    part = hermite_minimiser(width * low.slope, width * high.slope, low.f - high.f)
    return 0.5 if math.isnan(part) else min(max(part, EDGE), 1.0 - EDGE)


def _further(previous: LinePoint, low: LinePoint) -> float:
    """Return where the slope would vanish, by the secant, at 2 to 10 times the step."""
    change = 1.0 - low.slope / previous.slope
    target = previous.t + (low.t - previous.t) / change if change > 0.0 else math.inf
    return min(max(target, 2.0 * low.t), 10.0 * low.t)
