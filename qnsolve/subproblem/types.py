"""What a subproblem solver returns, in reduced coordinates and to the user."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np


class SubproblemStatus(Enum):
    """How a subproblem solver ended; the value is the message."""

    SOLVED = "a global minimiser to working precision"
    ITERATION_LIMIT = "the secular equation was not solved to working precision"


@dataclass(frozen=True)
class ReducedStep:
    """A minimiser in the r+1 coordinates of a partial spectrum.

    Attributes
    ----------
    par : ndarray, shape (r,)
        Components on the eigenvectors.
    perp : float
        Component along g_perp / ||g_perp||, or along any unit vector of the complement where g_perp
        is zero.
    multiplier : float
        sigma >= 0.
    decrease : float
        Model decrease -m(s) >= 0, a sum of terms that are not negative.
    on_boundary, hard_case : bool
    nit : int
        Iterations of the secular equation.
    status : SubproblemStatus
    """

    par: np.ndarray
    perp: float
    multiplier: float
    decrease: float
    on_boundary: bool
    hard_case: bool
    nit: int
    status: SubproblemStatus

    @classmethod
    def zero(cls, r: int) -> ReducedStep:
        """Return the zero step, the minimiser of the zero model."""
        return cls(np.zeros(r), 0.0, 0.0, 0.0, False, False, 0, SubproblemStatus.SOLVED)

    @property
    def length(self) -> float:
        """||s||_2."""
        return float(np.hypot(np.linalg.norm(self.par), self.perp))


@dataclass(frozen=True)
class Certificate:
    """How far a step is from satisfying the optimality conditions of its subproblem.

    All four are dimensionless, measured relative to the sizes of the quantities that enter them;
    ||B|| stands for the larger of the norm of B and |gamma|, of which B is made.

    Attributes
    ----------
    stationarity : float
        ``||(B + sigma I) s + g|| / (||g|| + (||B|| + sigma) ||s||)``.
    complementarity : float
        ``sigma / (||B|| + sigma) * | ||s|| - Delta | / Delta``.
    min_eig : float
        Smallest eigenvalue of ``B + sigma I`` over ``||B|| + sigma``: not below -eps.
    feasibility : float
        ``max(0, ||s|| / Delta - 1)``.
    """

    stationarity: float
    complementarity: float
    min_eig: float
    feasibility: float

    @property
    def worst(self) -> float:
        """The largest violation of the four."""
        return max(self.stationarity, self.complementarity, self.feasibility, -self.min_eig)
