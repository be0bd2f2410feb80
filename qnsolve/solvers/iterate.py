"""Where a run stands: the current point, its value, and the model around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qnsolve.arrays import Array
from qnsolve.solvers.models import End
from qnsolve.state import Saved, Stateful


@dataclass
class Iterate(Stateful):
    """The current point, its value, and the model of the function around it."""

    x: Saved[Array]
    f: Saved[float]
    f_start: Saved[float]
    model: Saved[Any]

    def fall_to(self, end: End) -> None:
        """Go to a point at which f is unbounded; its gradient may not be finite."""
        model, space = self.model, self.model.space
        self.x, self.f = end.x, end.f
        finite = np.isfinite(end.gradient_norm)
        model.gradient = end.g if finite else space.zeros(space.length) + np.nan
        model.largest_slope = end.largest_slope
