"""The two ways to keep a step short, each in several norms.

A norm here is a division of the r + 1 coordinates (r eigenvectors and the complement) into blocks.
The l2 length of each block is what the radius bounds or the weight penalises, and each block has a
multiplier of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qnsolve.quasi_newton.spectrum import PartialSpectrum, Split
from qnsolve.subproblem.regularised_l2 import regularised_l2
from qnsolve.subproblem.shape_changing import (
    cubic_shape,
    trust_region_shape_2,
    trust_region_shape_inf,
)
from qnsolve.subproblem.trust_region_l2 import trust_region_l2
from qnsolve.subproblem.types import ReducedStep, SubproblemStatus

Reduced = tuple[np.ndarray, float, np.ndarray, float, int]
"""Eigenvalues, gamma, U'g, ||g_perp|| and n - r: all finite."""


def _all_in_one(r: int) -> np.ndarray:
    return np.zeros(r + 1, dtype=int)


def _eigenvectors_and_complement(r: int) -> np.ndarray:
    return np.append(np.zeros(r, dtype=int), 1)


def _each_alone(r: int) -> np.ndarray:
    return np.arange(r + 1)


TRUST_REGIONS = {
    "l2": (trust_region_l2, _all_in_one),
    "shape-inf": (trust_region_shape_inf, _each_alone),
    "shape-2": (trust_region_shape_2, _eigenvectors_and_complement),
}
"""Solver and blocks of each norm of the trust region."""

REGULARISATIONS = {"l2": (regularised_l2, _all_in_one), "shape": (cubic_shape, _each_alone)}
"""Solver and blocks of each norm of the regulariser."""


AT_THE_RADIUS = 1e-6
"""Relative distance from the radius at which a block of a given step counts as touching it."""


class Term(ABC):
    """What keeps a step short: solves on a spectrum, and says what a solution must satisfy."""

    norm: str

    @property
    @abstractmethod
    def blocks(self) -> Callable[[int], np.ndarray]:
        """What gives each of r + 1 coordinates, r its argument, the number of its block."""

    def solve(self, spectrum: PartialSpectrum, gradient: Split) -> ReducedStep:
        """Return a global minimiser in reduced coordinates."""
        a_par, norm_perp, r = gradient.par, gradient.norm_perp, len(spectrum.eigenvalues)
        if not (np.isfinite(a_par).all() and np.isfinite(norm_perp)):
            # A gradient at the end of the range has coordinates beyond it.
            blocks = self.blocks(r)[-1] + 1
            status = SubproblemStatus.NONFINITE
            return ReducedStep.of(np.zeros(r + 1), np.zeros(blocks), 0.0, status=status)
        eigenvalues, gamma, dim_perp = spectrum.eigenvalues, spectrum.gamma, spectrum.complement_dim
        return self.minimiser((eigenvalues, gamma, a_par, norm_perp, dim_perp))

    @abstractmethod
    def minimiser(self, reduced: Reduced) -> ReducedStep:
        """Return a global minimiser, given the reduced problem."""

    @abstractmethod
    def fit_multipliers(self, v: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Return the multipliers that fit a step best.

        Parameters
        ----------
        v : ndarray, shape (r + 1,)
            The step's coordinates; the last is its length in the complement.
        slopes : ndarray, shape (r + 1,)
            The products of each coordinate with that of Bs + g.
        """

    @abstractmethod
    def complementarity(self, v: np.ndarray, multipliers: np.ndarray, scale: float) -> float:
        """Return how badly step and multipliers belong together, relative to curvature `scale`."""

    @abstractmethod
    def infeasibility(self, v: np.ndarray) -> float:
        """Return by how much, relative to the radius, the step is too long."""

    def lengths(self, v: np.ndarray) -> np.ndarray:
        """Return the length of each block, also where its square over- or underflows."""
        blocks = self.blocks(len(v) - 1)
        lengths = np.zeros(blocks[-1] + 1)
        np.hypot.at(lengths, blocks, v)
        return lengths

    def sums(self, w: np.ndarray) -> np.ndarray:
        """Return the sum of `w` over each block."""
        return np.bincount(self.blocks(len(w) - 1), weights=w)

    def shifts(self, multipliers: np.ndarray, r: int) -> np.ndarray:
        """Return the multiplier that belongs to each of the r + 1 coordinates."""
        return multipliers[self.blocks(r)]


@dataclass(frozen=True)
class TrustRegion(Term):
    """Every block of the step is at most `radius` long."""

    radius: float
    norm: str

    @property
    def blocks(self) -> Callable[[int], np.ndarray]:
        return TRUST_REGIONS[self.norm][1]

    def minimiser(self, reduced: Reduced) -> ReducedStep:
        return TRUST_REGIONS[self.norm][0](*reduced, self.radius)

    def fit_multipliers(self, v: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        lengths, slopes = self.lengths(v), self.sums(slopes)
        # A multiplier belongs to a block at the radius; for one inside it must be zero.
        reached = np.abs(lengths / self.radius - 1.0) <= AT_THE_RADIUS
        fit = np.divide(-slopes, lengths**2, where=reached, out=np.zeros_like(lengths))
        return np.maximum(0.0, fit)

    def complementarity(self, v: np.ndarray, multipliers: np.ndarray, scale: float) -> float:
        size = scale + float(multipliers.max())
        gap = np.abs(self.lengths(v) / self.radius - 1.0)
        return float((multipliers * gap).max()) / size if size else 0.0

    def infeasibility(self, v: np.ndarray) -> float:
        return max(0.0, float(self.lengths(v).max()) / self.radius - 1.0)


@dataclass(frozen=True)
class Regularisation(Term):
    """The model is raised by weight / power times the sum of the blocks' lengths to that power."""

    weight: float
    norm: str
    power: float = 3.0

    @property
    def blocks(self) -> Callable[[int], np.ndarray]:
        return REGULARISATIONS[self.norm][1]

    def minimiser(self, reduced: Reduced) -> ReducedStep:
        powers = (self.power,) if self.norm == "l2" else ()
        return REGULARISATIONS[self.norm][0](*reduced, self.weight, *powers)

    def fit_multipliers(self, v: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        return self.weight * self.lengths(v) ** (self.power - 2.0)

    def complementarity(self, v: np.ndarray, multipliers: np.ndarray, scale: float) -> float:
        size = scale + float(multipliers.max())
        error = np.abs(multipliers - self.fit_multipliers(v, v))
        return float(error.max()) / size if size else 0.0

    def infeasibility(self, v: np.ndarray) -> float:
        return 0.0
