"""What a subproblem solver is given, and what it returns: r + 1 numbers each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import NamedTuple

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


class ReducedProblem(NamedTuple):
    r"""The model :math:`a^T v + \tfrac12 v^T \Lambda v` in the r + 1 coordinates of a spectrum.

    The first r are those on the eigenvectors.  The last is the one along the gradient's part in the
    complement: nothing is to be gained anywhere else there.

    Attributes
    ----------
    curvatures : ndarray, shape (r + 1,)
        :math:`\lambda_1, \dots, \lambda_r, \gamma`.  Without a complement the last is 0.
    slopes : ndarray, shape (r + 1,)
        U'g and then :math:`\|g_\perp\| \ge 0`, 0 without a complement.
    """

    curvatures: np.ndarray
    slopes: np.ndarray

    @classmethod
    def of(
        cls, eigenvalues: np.ndarray, par: np.ndarray, gamma: float = 0.0, norm_perp: float = 0.0
    ) -> ReducedProblem:
        """Return the problem of a spectrum and a gradient; without `gamma`, of no complement."""
        r = len(eigenvalues)
        curvatures, slopes = np.empty(r + 1), np.empty(r + 1)
        curvatures[:r], curvatures[r] = eigenvalues, gamma
        slopes[:r], slopes[r] = par, norm_perp
        return cls(curvatures, slopes)

    @property
    def on_eigenvectors(self) -> ReducedProblem:
        """The problem without the complement."""
        return ReducedProblem.of(self.curvatures[:-1], self.slopes[:-1])

    @property
    def on_complement(self) -> ReducedProblem:
        """The problem without the eigenvectors."""
        return ReducedProblem(self.curvatures[-1:], self.slopes[-1:])


@dataclass(frozen=True, eq=False)
class ReducedStep:
    """A minimiser in the r + 1 coordinates of a partial spectrum.

    Attributes
    ----------
    v : ndarray, shape (r + 1,)
        Components on the eigenvectors; and along g_perp / ||g_perp||, or along any unit vector of
        the complement where g_perp is zero.
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

    v: np.ndarray
    multipliers: np.ndarray
    decrease: float
    on_boundary: bool = False
    hard_case: bool = False
    nit: int = 0
    status: SubproblemStatus = SubproblemStatus.SOLVED

    @classmethod
    def zero(
        cls, r: int, status: SubproblemStatus = SubproblemStatus.SOLVED, blocks: int = 1
    ) -> ReducedStep:
        """Return the zero step: of the zero model, or where there is no minimiser."""
        return cls(np.zeros(r + 1), np.zeros(blocks), 0.0, status=status)

    @property
    def par(self) -> np.ndarray:
        """Components on the eigenvectors."""
        return self.v[:-1]

    @property
    def perp(self) -> float:
        """The component in the complement."""
        return float(self.v[-1])

    @property
    def multiplier(self) -> float:
        """The multiplier of a norm with a single block."""
        (multiplier,) = self.multipliers
        return float(multiplier)

    @cached_property
    def length(self) -> float:
        """||s||_2."""
        return math.hypot(*self.v.tolist())
