"""Whether a run is over: tolerances, limits, and progress that is none any more."""

from __future__ import annotations

import math
import time

from qnsolve.options import SolverOptions
from qnsolve.result import Status
from qnsolve.solvers.along_step import GRADIENT_PROGRESS, ROUNDING_ACCEPT, ROUNDING_OF_F
from qnsolve.solvers.outcome import Outcome
from qnsolve.solvers.slopes import SlopeCheck
from qnsolve.state import Saved, Stateful

MAX_STALLED = 60
"""Iterations in which neither f nor the gradient falls noticeably after which a run is over."""

NOTICEABLE_F, NOTICEABLE = 1e4, 1e-3
"""By how much one of them has to fall: f in units of eps |f|, the gradient relative to itself."""

WINDOW, CREEP, CRAWL, KINKY = 100, 1e-3, 1e-4, 10
"""A run creeps where f falls, in WINDOW steps, by less than the part CREEP of its size and of all
it has fallen, x goes less than the part CRAWL of its way, the gradient is not halved, and at least
KINKY of the steps contradict it, as they do at kinks."""

MAX_LOST = 4
"""Steps in a row that are too small for f to tell what they were worth, while the gradient gets no
smaller, after which a run is over."""

FAINT_CONTRADICTIONS = 3
"""Contradictions to the gradient, above the error of f, from which on a run is no success."""

LEFT = 10.0
"""What may be left of f to fall by, for the least curvature seen, in units of what f can show."""

GAIN, FAINT = 0.25, 100.0
"""A fall of more than FAINT eps |f| and this part of what was predicted is progress."""

SMALL = 1e-2
"""Part of the largest gradient of a run that is a small one."""

FLAT = 10.0
"""Fall of a linear model of f over the length of x, in units of sqrt(eps) |f|, that is small."""

CUT = 0.5
"""A step at whose end f falls at more than this part of the rate at its beginning was cut short."""

STUCK = (Status.STEP_TOO_SMALL, Status.NO_MODEL_DECREASE, Status.LINE_SEARCH_FAILED)
"""Ends of a run that other pairs might have avoided."""


class Stopping(Stateful):
    """The question whether a run is over.

    Parameters
    ----------
    options : SolverOptions
    eps, gradient_eps : float
        Relative errors of f and, by rounding or differences, of its gradient.

    Attributes
    ----------
    slopes : SlopeCheck
        Whether the gradient is in doubt.
    limited_in_time : bool
    """

    slopes: Saved[SlopeCheck]
    _f: Saved[float]
    _fall: Saved[float]
    _stalled: Saved[int]
    _lost: Saved[int]
    _unseen: Saved[bool]
    creeping: Saved[bool]
    _start_f: Saved[float]
    _steps: Saved[int]
    _path: Saved[float]
    _window: Saved[list[float]]
    _curvatures: Saved[list[float]]
    _largest_g: Saved[float]
    _lowest_f: Saved[float]
    _smallest_g: Saved[float]
    _restart_f: Saved[float]
    _restart_g: Saved[float]

    def __init__(self, options: SolverOptions, eps: float, gradient_eps: float) -> None:
        self._options, self._eps = options, eps
        differences = gradient_eps > eps
        # Of differences of f, g has no more digits than they have.
        self._visible = gradient_eps if differences else ROUNDING_OF_F * eps
        self._gradient_error = 2.0 * gradient_eps if differences else 0.0
        self.limited_in_time = options.maxtime is not None
        self._deadline = time.monotonic() + (options.maxtime or 0.0)
        self.slopes = SlopeCheck(eps)
        self._f, self._fall, self._stalled, self._lost = math.inf, 0.0, 0, 0
        self._largest_g = 0.0
        self._unseen, self._curvatures = False, []
        self.creeping, self._start_f, self._steps = False, math.inf, 0
        self._path, self._window = 0.0, [math.inf, math.inf, 0.0, 0.0]
        self._lowest_f = self._smallest_g = math.inf
        self._restart_f = self._restart_g = math.inf

    def reason(
        self, largest_slope: float, g_norm: float, x_size: float, nit: int, nfev: int, late: bool
    ) -> Status | None:
        """Return why no further step is to be taken, or None.

        Parameters
        ----------
        largest_slope, x_size : float
            Of the gradient at the iterate, and of x.
        nit, nfev : int
        late : bool
        """
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
        if self._lost >= MAX_LOST and self.settled(largest_slope, g_norm, x_size):
            return Status.AS_FAR_AS_KNOWN
        if self.slopes.hopeless:
            return Status.WRONG_GRADIENT
        if self.creeping:
            return Status.STEP_TOO_SMALL
        return Status.STEP_TOO_SMALL if self._stalled >= MAX_STALLED else None

    @property
    def late(self) -> bool:
        """Whether the time is over, by the clock of this rank."""
        return time.monotonic() >= self._deadline

    def see(self, f: float, largest_slope: float, outcome: Outcome) -> None:
        """Take the iterate after a step into account."""
        fall, visible = self._f - f, self._visible * abs(f)
        unseen = outcome.predicted <= visible and fall <= visible
        closer = is_lower(largest_slope, self._smallest_g, 1.0 - GRADIENT_PROGRESS)
        self._unseen = unseen
        self._steps += 1
        self._path += outcome.length_2 if outcome.accepted else 0.0
        if self._steps % WINDOW == 0:
            old_f, old_g, old_path, old = self._window
            self.creeping = (
                old_f - f <= CREEP * min(self._start_f - f, abs(f))
                and self._path - old_path <= CRAWL * self._path
                and self._smallest_g > 0.5 * old_g
                and self.slopes.total - old >= KINKY
            )
            self._window = [f, self._smallest_g, self._path, float(self.slopes.total)]
        gained = fall > max(GAIN * outcome.predicted, FAINT * self._eps * abs(f))
        if gained and unseen:
            self._lost = max(0, self._lost - 1)
        else:
            self._lost = self._lost + 1 if unseen and not closer else 0
        length = outcome.length_2 or math.inf  # its square may leave the range
        curvature = (outcome.slope_new - outcome.slope) / length / length
        if fall > visible and 0.0 < curvature < math.inf:
            self._curvatures.append(curvature)
            del self._curvatures[:-MAX_STALLED]
        if largest_slope > self._largest_g:
            self._largest_g = largest_slope
        # The fall of a step that was cut short does not say how far f can fall.
        cut = outcome.slope_new < CUT * outcome.slope
        self._f, self._fall = f, 0.0 if cut else fall
        # A step may be accepted on its slopes where f has no digits left, or on the last digit of
        # f; not for ever.
        lower = is_lower(f, self._lowest_f, max(NOTICEABLE_F * self._eps, self._visible))
        smaller = (
            closer
            if self._gradient_error
            else is_lower(largest_slope, self._smallest_g, NOTICEABLE)
        )
        self._stalled = 0 if lower or smaller else self._stalled + 1
        if lower:
            self._lowest_f = f
        if smaller:
            self._smallest_g = largest_slope

    def start_at(self, f: float, largest_slope: float) -> None:
        """Take x0 into account."""
        self._f = self._start_f = f
        self._largest_g = largest_slope

    def at_the_floor(self, largest_slope: float, predicted: float) -> bool:
        """Tell whether nothing is left of the gradient but its error, and of f to gain."""
        f = abs(self._f)
        return largest_slope <= self._gradient_error * f and predicted <= FAINT * self._eps * f

    def in_vain(self, predicted: float) -> bool:
        """Tell whether a search for a step that promises this much would only find errors of g."""
        return self._gradient_error > 0.0 and predicted <= self._visible * abs(self._f)

    def settled(self, largest_slope: float, g_norm: float, x_size: float) -> bool:
        """Tell whether a run that f cannot lead any further is where f is flat.

        And not where its gradient is wrong, or f has a kink: there the gradient is as large as it
        was, and f has not changed as it says.
        """
        slopes = self.slopes
        f, left = abs(self._f), 0.0
        if self._curvatures:
            left = 0.5 * g_norm * (g_norm / min(self._curvatures))
        small = self._curvatures and largest_slope <= SMALL * self._largest_g
        flat = largest_slope * max(1.0, x_size) <= FLAT * math.sqrt(self._eps) * f
        doubtful = slopes.doubtful or (
            not self._gradient_error and slopes.faint >= FAINT_CONTRADICTIONS
        )
        return left <= LEFT * self._visible * f and (small or flat) and not doubtful

    def end(
        self, status: Status | None, largest_slope: float, g_norm: float, x_size: float
    ) -> Status | None:
        """Return the status of a run that may be stuck, and then as far as f is known."""
        if status in STUCK and self._unseen and self.settled(largest_slope, g_norm, x_size):
            return Status.AS_FAR_AS_KNOWN
        return status

    def another_try(self, f: float, g_norm: float) -> bool:
        """Tell whether a run that is stuck has come further since it last was.

        By more than rounding explains, or noticeably so where the gradient is in doubt.
        """
        doubt, self.creeping = self.slopes.doubtful or self.creeping, False
        tolerance = NOTICEABLE if doubt else max(ROUNDING_ACCEPT * self._eps, self._visible)
        lower = is_lower(f, self._restart_f, tolerance)
        if not (lower or g_norm <= GRADIENT_PROGRESS * self._restart_g):
            return False
        self._restart_f, self._restart_g, self._stalled = f, g_norm, 0
        return True


def is_lower(f: float, reference: float, tolerance: float) -> bool:
    """Tell whether `f` is below `reference` by more than `tolerance`, relative to the latter."""
    return f < reference - tolerance * abs(reference) if math.isfinite(reference) else True
