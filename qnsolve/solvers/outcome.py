"""What a trial step was worth."""

from __future__ import annotations

import math
from typing import NamedTuple

from qnsolve.result import Status


class Outcome(NamedTuple):
    """What a trial step was worth.

    Attributes
    ----------
    length : float
        Length in the region's norm, or of the longest block of the regulariser's.
    length_2 : float
        Length in the l2 norm (in the metric A where there is one).
    slope, slope_new : float
        Derivative of f along the step at its beginning and at its end.
    predicted, reduction, ratio : float
        Reduction of the model, of f, and their ratio.
    finite : bool
        Whether f and its gradient are finite at the end; where not, the last four are NaN.
    accepted : bool
        Whether the step was taken.
    kinks : bool
        Whether f has kinks, by the steps before.
    status : Status or None
        Why the run ends here, if it does.
    """

    length: float
    length_2: float
    slope: float
    predicted: float
    slope_new: float = math.nan
    reduction: float = math.nan
    ratio: float = math.nan
    finite: bool = True
    accepted: bool = False
    kinks: bool = False
    status: Status | None = None
