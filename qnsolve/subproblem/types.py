"""What a subproblem solver returns, in reduced coordinates and to the user."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np


class SubproblemStatus(Enum):
    """How a subproblem solver ended; the value is the message."""

    SOLVED = "a global minimiser to working precision"
    ITERATION_LIMIT = "the secular equation was not solved to working precision"
    UNBOUNDED = "the model is unbounded below, or its minimiser overflows"
    APPROXIMATE = "at least the Cauchy decrease, but in general not a global minimiser"
    KRYLOV = "a minimiser over the Krylov space of the gradient; the hard case was not looked for"
    PRODUCT_LIMIT = "the limit on products with the matrix was reached before the tolerance"
    NONFINITE = "a product was not finite; the step uses those before it"


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
    multipliers : ndarray
        One for each block of the norm: a single sigma for the l2 norm, one for the eigenvectors and
        one for the complement, or one an eigenvector and the last for the complement.
    decrease : float
        Model decrease -m(s) >= 0, a sum of terms that are not negative; inf where it is more than
        the largest number.
    on_boundary, hard_case : bool
    nit : int
        Iterations of the secular equation.
    status : SubproblemStatus
    """

    par: np.ndarray
    perp: float
    multipliers: np.ndarray
    decrease: float
    on_boundary: bool
    hard_case: bool
    nit: int
    status: SubproblemStatus

    @classmethod
    def of(
        cls,
        v: np.ndarray,
        multipliers: np.ndarray,
        decrease: float,
        *,
        on_boundary: bool = False,
        hard_case: bool = False,
        nit: int = 0,
        status: SubproblemStatus = SubproblemStatus.SOLVED,
    ) -> ReducedStep:
        """Return the step with the r + 1 coordinates `v`, the last of them off the eigenvectors."""
        perp, decrease = float(v[-1]), float(decrease)
        return cls(v[:-1], perp, multipliers, decrease, on_boundary, hard_case, nit, status)

    @classmethod
    def zero(cls, r: int) -> ReducedStep:
        """Return the zero step, the minimiser of the zero model."""
        return cls.of(np.zeros(r + 1), np.zeros(1), 0.0)

    @classmethod
    def unbounded(cls, r: int, multipliers: np.ndarray) -> ReducedStep:
        """Return the zero step of a model without a finite minimiser."""
        return cls.of(np.zeros(r + 1), multipliers, 0.0, status=SubproblemStatus.UNBOUNDED)

    @property
    def multiplier(self) -> float:
        """The multiplier of a norm with a single block."""
        (multiplier,) = self.multipliers
        return float(multiplier)

    @property
    def length(self) -> float:
        """||s||_2."""
        return math.hypot(*self.par.tolist(), self.perp)


def with_complement(
    eigenvalues: np.ndarray, gamma: float, a_par: np.ndarray, norm_perp: float, complement_dim: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the r + 1 curvatures and slopes of a model in reduced coordinates.

    Without a complement the last of each is 0: a coordinate in which nothing is to be gained.
    """
    r = len(eigenvalues)
    lam, a = np.empty(r + 1), np.empty(r + 1)
    lam[:r], a[:r] = eigenvalues, a_par
    lam[r], a[r] = (gamma, norm_perp) if complement_dim else (0.0, 0.0)
    return lam, a


@dataclass(frozen=True)
class Certificate:
    """How far a step is from satisfying the optimality conditions of its subproblem.

    The conditions are ``(B + C) s = -g`` with B + C positive semidefinite, where C multiplies each
    block of the norm (all of s in the l2 norm) by that block's multiplier sigma >= 0, and
    ``sigma (Delta - ||block||) = 0`` in a trust region, ``sigma = w ||block||^(q-2)`` with a
    regulariser.  All figures are dimensionless: ||B|| stands for the larger of the norm of B and
    |gamma|, of which B is made, and sigma without index for the largest multiplier.  The first
    three are infinitely bad where there is nothing to certify: the zero step that stands for the
    minimiser of an unbounded model, and a matrix whose products are not finite.

    Attributes
    ----------
    stationarity : float
        ``||(B + C) s + g|| / (||g|| + (||B|| + sigma) ||s||)``.
    complementarity : float
        The largest ``sigma_b / (||B|| + sigma) * | ||block b|| - Delta | / Delta``; with a
        regulariser ``|sigma_b - w ||block b||^(q-2)| / (||B|| + sigma)``.
    min_eig : float
        Smallest eigenvalue of ``B + C`` over ``||B|| + sigma``: not below -eps.
    feasibility : float
        ``max(0, ||block|| / Delta - 1)`` of the longest block; 0 with a regulariser.
    """

    stationarity: float
    complementarity: float
    min_eig: float
    feasibility: float

    @classmethod
    def of_nothing(cls, feasibility: float = 0.0) -> Certificate:
        """Return the certificate of a step that satisfies no condition but, perhaps, the bound."""
        return cls(np.inf, np.inf, -np.inf, feasibility)

    @property
    def worst(self) -> float:
        """The largest violation of the four."""
        return max(self.stationarity, self.complementarity, self.feasibility, -self.min_eig)
