"""Whether a run is over: tolerances, limits, and progress that is none any more."""

from __future__ import annotations

import math
import time

from qnsolve.options import SolverOptions
from qnsolve.result import Status
from qnsolve.solvers.along_step import GRADIENT_PROGRESS, ROUNDING_ACCEPT
from qnsolve.solvers.slopes import SlopeCheck
from qnsolve.state import Saved, Stateful

MAX_STALLED = 60
"""Iterations in which neither f nor the gradient falls noticeably after which a run is over."""

NOTICEABLE_F, NOTICEABLE = 1e4, 1e-3
"""By how much one of them has to fall: f in units of eps |f|, the gradient relative to itself."""

STUCK = (Status.STEP_TOO_SMALL, Status.NO_MODEL_DECREASE)
"""Ends of a run that other pairs might have avoided."""


class Stopping(Stateful):
    """The question whether a run is over.

    Parameters
    ----------
    options : SolverOptions
    eps : float
        Relative rounding error of f.

    Attributes
    ----------
    slopes : SlopeCheck
        Whether the gradient is in doubt.
    """

    slopes: Saved[SlopeCheck]
    _f: Saved[float]
    _fall: Saved[float]
    _stalled: Saved[int]
    _lowest_f: Saved[float]
    _smallest_g: Saved[float]
    _restart_f: Saved[float]
    _restart_g: Saved[float]

    def __init__(self, options: SolverOptions, eps: float) -> None:
        self._options, self._eps = options, eps
        self._deadline = math.inf
        if options.maxtime is not None:
            self._deadline = time.monotonic() + options.maxtime
        self.slopes = SlopeCheck(eps)
        self._f, self._fall, self._stalled = math.inf, 0.0, 0
        self._lowest_f = self._smallest_g = math.inf
        self._restart_f = self._restart_g = math.inf

    def reason(self, largest_slope: float, nit: int, nfev: int, late: bool) -> Status | None:
        """Return why no further step is to be taken, or None."""
        options = self._options
        if largest_slope <= options.gtol:
            return Status.GTOL
        if 0.0 < self._fall <= options.ftol * abs(self._f):
            return Status.FTOL
        if nit >= options.maxiter:
            return Status.MAXITER
        if options.maxfev is not None and nfev >= options.maxfev:
            return Status.MAXFEV
        if late:
            return Status.MAXTIME
        if self.slopes.hopeless:
            return Status.WRONG_GRADIENT
        return Status.STEP_TOO_SMALL if self._stalled >= MAX_STALLED else None

    @property
    def limited_in_time(self) -> bool:
        return self._deadline < math.inf

    @property
    def late(self) -> bool:
        """Whether the time is over, by the clock of this rank."""
        return time.monotonic() >= self._deadline

    def see(self, f: float, largest_slope: float) -> None:
        """Take the iterate after a step into account."""
        self._f, self._fall = f, self._f - f
        # A step may be accepted on its slopes where f has no digits left, or on the last digit of
        # f; not for ever.
        lower = is_lower(f, self._lowest_f, NOTICEABLE_F * self._eps)
        smaller = is_lower(largest_slope, self._smallest_g, NOTICEABLE)
        self._stalled = 0 if lower or smaller else self._stalled + 1
        self._lowest_f = f if lower else self._lowest_f
        self._smallest_g = largest_slope if smaller else self._smallest_g

    def start_at(self, f: float) -> None:
        """Take the value at x0 into account."""
        self._f = f

    def another_try(self, f: float, g_norm: float) -> bool:
        """Tell whether a run that is stuck has come further since it last was.

        By more than rounding explains, or noticeably so where the gradient is in doubt.
        """
        tolerance = NOTICEABLE if self.slopes.doubtful else ROUNDING_ACCEPT * self._eps
        lower = is_lower(f, self._restart_f, tolerance)
        if not (lower or g_norm <= GRADIENT_PROGRESS * self._restart_g):
            return False
        self._restart_f, self._restart_g, self._stalled = f, g_norm, 0
        return True


def is_lower(f: float, reference: float, tolerance: float) -> bool:
    """Tell whether `f` is below `reference` by more than `tolerance`, relative to the latter."""
    return f < reference - tolerance * abs(reference) if math.isfinite(reference) else True
