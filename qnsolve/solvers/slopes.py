"""Whether f changes along the steps as its gradient says.

Where f is smooth and its gradient right, steps that get shorter agree with both ever better.  Where
one component has the wrong sign or a factor is forgotten they never do, and a loop that only ever
rejects or creeps would go on to its limits.
"""

from __future__ import annotations

import math

from qnsolve.solvers.kinks import KinkCheck
from qnsolve.state import Saved, Stateful

CONTRADICTION = 0.2
"""Difference of f from the trapezoidal rule on the slopes, in units of the largest of the three
numbers, from which on a step contradicts the gradient; a forgotten factor of 2 makes 1/4."""

FORGIVEN = 2
"""Contradictions that one step makes up for that agrees: far from a minimiser steps are long, and
up to half of them may contradict a gradient that is right."""

FAINTEST, SURPRISE = 100.0, 10.0
"""The least change that may contradict a gradient, in units of eps |f|; and the change of f, in
units of what its slopes say, that no gradient explains."""

DOUBTFUL = 5
"""Contradictions in a row, or nearly, from which on the end of a run mentions them."""

HOPELESS = 500
"""As many end the run.  With a right gradient at most 24 in a row were seen; on functions with
kinks, 360."""


class SlopeCheck(Stateful):
    """Counts the steps along which f does not change as its gradient says.

    Parameters
    ----------
    eps : float
        Relative rounding error of f.

    Attributes
    ----------
    contradictions : int
        How many there were, less those made up for.
    total : int
        How many there were.
    kinks : KinkCheck
        Whether f may have kinks there.

    Notes
    -----
    Along a step with slopes a and b at its ends f falls by ``-(a + b) / 2``, up to a term of third
    order in the length.

    Examples
    --------
    >>> check = SlopeCheck(eps=2.0**-52)
    >>> for _ in range(5):
    ...     check.add(f=1.0, f_new=1.5, slope=-1.0, slope_new=-1.0, length=1.0)
    >>> check.doubtful, check.hopeless
    (True, False)
    """

    contradictions: Saved[int]
    total: Saved[int]
    kinks: Saved[KinkCheck]
    _faint: Saved[list[float]]

    def __init__(self, eps: float) -> None:
        self._eps, self._visible = eps, math.sqrt(eps)
        self.contradictions, self.total, self._faint = 0, 0, []
        self.kinks = KinkCheck()

    def add(self, f: float, f_new: float, slope: float, slope_new: float, length: float) -> None:
        """Take a step into account; without effect where a difference of f has too few digits."""
        fall, expected = f - f_new, -0.5 * (slope + slope_new)
        largest, size = max(abs(f), abs(f_new)), max(abs(fall), abs(slope), abs(slope_new))
        error = abs(fall - expected)
        if not FAINTEST * self._eps * largest < size < math.inf:
            return
        visible, contradicts = abs(fall) > self._visible * largest, error > CONTRADICTION * size
        self.total += contradicts
        if visible:
            self.kinks.add(float(length), float(error), float(size))
            if contradicts:
                self.contradictions += 1
            elif self.contradictions:
                self.contradictions = max(0, self.contradictions - FORGIVEN)
        elif error > SURPRISE * max(abs(slope), abs(slope_new)):
            # No gradient explains that, but an error of f, which explains smaller ones, too.
            self._faint = [size for size in self._faint if size > SURPRISE * error]
            return
        if contradicts:
            self._faint = [*self._faint, size][-HOPELESS:]
        elif self._faint:
            del self._faint[-FORGIVEN:]

    @property
    def faint(self) -> int:
        """As `contradictions`, where the error of f is only just too small to explain them."""
        return len(self._faint)

    @property
    def doubtful(self) -> bool:
        """True where the gradient has been contradicted by the last steps."""
        return self.contradictions >= DOUBTFUL

    @property
    def hopeless(self) -> bool:
        """True where it has been contradicted for so long that there is no point in going on."""
        return self.contradictions >= HOPELESS
