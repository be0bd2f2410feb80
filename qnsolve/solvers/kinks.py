"""Whether f has kinks where a run is.

Along a step of length L on which f is smooth, the trapezoidal rule on its slopes misses the change
of f by M L^3 / 12, M a third derivative.  Across a kink it misses a part of the slopes, however
short the step: an M that grows without bound as steps get shorter.  So it does on waves that are
shorter than the steps, but there longer steps miss as much; beside a kink some do not.
"""

from __future__ import annotations

from collections import deque

from qnsolve.state import Saved, Stateful

WINDOW = 100
"""Steps that are remembered."""

FAR = 4.0
"""How many times as long a step must be to say what M is, of a shorter one."""

GROWTH = 30.0
"""M of a step, in units of the largest of those longer ones, from which on it may cross a kink."""

MISSED = 0.1
"""What the rule has to miss for that, as a part of the change of f and the slopes, while it missed
less on a longer step."""

CERTAIN = 2
"""Such steps in a window at which f is said to have kinks.  Of 180 smooth functions 19 have so
many, most of them with ripples on several scales."""


class KinkCheck(Stateful):
    """Looks for steps across a kink among the last ones.

    Attributes
    ----------
    near : bool
        Whether there are some.

    Examples
    --------
    >>> check = KinkCheck()
    >>> for length, part in [(1.0, 0.01), (0.1, 0.2), (0.01, 0.3)]:
    ...     check.add(length, missed=part * length, size=length)
    >>> check.near
    True
    """

    _lengths: Saved[deque[float]]
    _thirds: Saved[deque[float]]
    _agreed: Saved[deque[bool]]
    _steps: Saved[int]
    _found: Saved[deque[float]]

    def __init__(self) -> None:
        self._lengths, self._thirds = deque(maxlen=WINDOW), deque(maxlen=WINDOW)
        self._agreed, self._found = deque(maxlen=WINDOW), deque(maxlen=CERTAIN)
        self._steps = 0

    def restored(self) -> None:
        self._lengths = deque(self._lengths, WINDOW)
        self._thirds = deque(self._thirds, WINDOW)
        self._agreed, self._found = deque(self._agreed, WINDOW), deque(self._found, CERTAIN)

    @property
    def near(self) -> bool:
        found = self._found
        return len(found) == CERTAIN and self._steps - found[0] < WINDOW

    def add(self, length: float, missed: float, size: float) -> None:
        """Take a step into account.

        Parameters
        ----------
        length : float
        missed, size : float
            By how much the rule misses the change of f, and the largest of that and the slopes.
        """
        if not length > 0.0:
            return
        third = missed / length / length / length  # the cube may be zero
        agreed = missed <= MISSED * size
        if not agreed and self._is_new_below(length, third):
            self._found.append(self._steps)
        self._lengths.append(length)
        self._thirds.append(third)
        self._agreed.append(agreed)
        self._steps += 1

    def _is_new_below(self, length: float, third: float) -> bool:
        """Tell whether longer steps knew nothing of so large a third derivative."""
        steps = zip(self._lengths, self._thirds, self._agreed, strict=True)
        longer = [(m, agreed) for other, m, agreed in steps if other >= FAR * length]
        known = any(agreed for _, agreed in longer)
        return known and third >= GROWTH * max(m for m, _ in longer)
