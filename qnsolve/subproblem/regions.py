"""The two ways to keep a step short, each in several norms.

A norm here is a division of the r + 1 coordinates (r eigenvectors and the complement) into blocks.
The l2 length of each block is what the radius bounds or the weight penalises, and each block has a
multiplier of its own.  A step of which the length alone is known is the case r = 0 in the l2 norm.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qnsolve.subproblem.regularised_l2 import regularised_l2
from qnsolve.subproblem.shape_changing import (
    cubic_shape,
    trust_region_shape_2,
    trust_region_shape_inf,
)
from qnsolve.subproblem.trust_region_l2 import trust_region_l2
from qnsolve.subproblem.types import ReducedProblem, ReducedStep, SubproblemStatus


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


class Term(ABC):
    """What keeps a step short: solves a reduced problem, and says what a solution must satisfy.

    In the methods `v` are the r + 1 coordinates of a step, its length in the complement the last.
    """

    norm: str

    @property
    @abstractmethod
    def blocks(self) -> Callable[[int], np.ndarray]:
        """What gives each of r + 1 coordinates, r its argument, the number of its block."""

    def solve(self, problem: ReducedProblem) -> ReducedStep:
        """Return a global minimiser in reduced coordinates."""
        if not np.isfinite(problem.slopes).all():
            # A gradient at the end of the range has coordinates beyond it.
            r = len(problem.slopes) - 1
            return ReducedStep.zero(r, SubproblemStatus.NONFINITE, int(self.blocks(r)[-1]) + 1)
        return self._minimiser(problem)

    def leaves_free(self, length: float) -> bool:
        """Tell whether a minimiser of the model alone, of that l2 length, is one with this term."""
        return False

    @abstractmethod
    def _minimiser(self, problem: ReducedProblem) -> ReducedStep:
        """Return a global minimiser of a problem of finite numbers."""

    @abstractmethod
    def fit_multipliers(self, v: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Return the multipliers that fit a step best.

        `slopes`, of shape (r + 1,), are the products of each coordinate with that of Bs + g.
        """

    @abstractmethod
    def complementarity(self, v: np.ndarray, multipliers: np.ndarray, scale: float) -> float:
        """Return how badly step and multipliers belong together, relative to curvature `scale`."""

    @abstractmethod
    def infeasibility(self, v: np.ndarray) -> float:
        """Return by how much, relative to the radius, the step is too long."""

    @abstractmethod
    def value(self, v: np.ndarray, unit: float) -> float:
        """Return what the term adds to the model, over `unit`, a length like that of the step."""

    @abstractmethod
    def slack(self, v: np.ndarray, multipliers: np.ndarray, unit: float) -> float:
        r"""Return what the multipliers leave to the term beyond their quadratic, over `unit`.

        With t the term, :math:`q(v) = \tfrac12 \sum_b \sigma_b \|v_b\|^2` and the least over all w
        that t admits, this is :math:`[t(v) - q(v)] - \min_w [t(w) - q(w)] \ge 0`.
        """

    @abstractmethod
    def reach(self, v: np.ndarray, problem: ReducedProblem) -> np.ndarray:
        """Return how far the coordinates of a minimiser may be from those of `v`, at most."""

    @abstractmethod
    def along(self, unit: np.ndarray) -> Term:
        """Return the term of the steps along `unit`, of length 1, as one of their length alone."""

    def reach_of_gain(
        self, v: np.ndarray, multipliers: np.ndarray, slopes: np.ndarray, shifted: np.ndarray
    ) -> np.ndarray:
        """Return how far from `v` a coordinate goes at most where the most is gained.

        `slopes` are the moduli of the residual, `shifted` the curvatures of B + C.
        """
        return np.full(len(v), np.inf)

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
    norm: str = "l2"

    @property
    def blocks(self) -> Callable[[int], np.ndarray]:
        return TRUST_REGIONS[self.norm][1]

    def leaves_free(self, length: float) -> bool:
        return self.norm == "l2" and length <= self.radius and length < math.inf

    def _minimiser(self, problem: ReducedProblem) -> ReducedStep:
        return TRUST_REGIONS[self.norm][0](problem, self.radius)

    def fit_multipliers(self, v: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        # Least squares of both conditions: that the residual is zero, and, for a block inside, the
        # multiplier.  This counts for as much as the block is short of the step, since the residual
        # of a block that hardly contributes to the step says nothing of its multiplier.
        length = math.hypot(*v.tolist())
        if length == 0.0:
            return self.sums(np.zeros(len(v)))
        lengths = self.lengths(v)
        share, room = (lengths / length) ** 2, 1.0 - lengths / self.radius
        weight = length * (share + np.maximum(0.0, 1.0 - share) * room**2)
        fit = -self.sums(slopes / length)
        # Zero also where a step is not finite.
        return np.divide(fit, weight, where=(fit > 0.0) & (weight > 0.0), out=np.zeros_like(fit))

    def complementarity(self, v: np.ndarray, multipliers: np.ndarray, scale: float) -> float:
        size = scale + float(multipliers.max())
        gap = np.abs(self.lengths(v) / self.radius - 1.0)
        return float((multipliers * gap).max()) / size if size else 0.0

    def infeasibility(self, v: np.ndarray) -> float:
        return max(0.0, float(self.lengths(v).max()) / self.radius - 1.0)

    def value(self, v: np.ndarray, unit: float) -> float:
        return 0.0

    def slack(self, v: np.ndarray, multipliers: np.ndarray, unit: float) -> float:
        lengths = self.lengths(v)
        room = np.maximum(0.0, self.radius - lengths)
        return float((0.5 * multipliers * room / unit * (self.radius + lengths)).sum())

    def reach(self, v: np.ndarray, problem: ReducedProblem) -> np.ndarray:
        return self.shifts(self.radius + self.lengths(v), len(v) - 1)

    def along(self, unit: np.ndarray) -> TrustRegion:
        return TrustRegion(self.radius / float(self.lengths(unit).max()))


@dataclass(frozen=True)
class Regularisation(Term):
    """The model is raised by weight / power times the sum of the blocks' lengths to that power."""

    weight: float
    norm: str = "l2"
    power: float = 3.0

    @property
    def blocks(self) -> Callable[[int], np.ndarray]:
        return REGULARISATIONS[self.norm][1]

    def _minimiser(self, problem: ReducedProblem) -> ReducedStep:
        powers = (self.power,) if self.norm == "l2" else ()
        return REGULARISATIONS[self.norm][0](problem, self.weight, *powers)

    def fit_multipliers(self, v: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        return self.weight * self.lengths(v) ** (self.power - 2.0)

    def complementarity(self, v: np.ndarray, multipliers: np.ndarray, scale: float) -> float:
        size = scale + float(multipliers.max())
        error = np.abs(multipliers - self.fit_multipliers(v, v))
        return float(error.max()) / size if size else 0.0

    def infeasibility(self, v: np.ndarray) -> float:
        return 0.0

    def value(self, v: np.ndarray, unit: float) -> float:
        lengths = self.lengths(v)
        return float((self.fit_multipliers(v, v) * lengths / unit * lengths).sum()) / self.power

    def slack(self, v: np.ndarray, multipliers: np.ndarray, unit: float) -> float:
        x, q = multipliers, self.power
        fit, lengths = self.fit_multipliers(v, v), self.lengths(v)
        at_step = (fit / q - 0.5 * x) * lengths / unit * lengths
        if q == 2.0:
            # No longer step has the slope of a larger multiplier: the least is where v is not.
            slack = np.where(x > fit, np.inf, at_step)
        else:
            fitting = (x / self.weight) ** (1.0 / (q - 2.0))
            slack = at_step + (0.5 - 1.0 / q) * x * fitting / unit * fitting
        return float(np.where(x == fit, 0.0, np.maximum(0.0, slack)).sum())

    def reach(self, v: np.ndarray, problem: ReducedProblem) -> np.ndarray:
        # Stationary, w l^{q-1} <= ||a|| + b l, where the least curvature is -b.
        blocks, q = self.blocks(len(v) - 1), self.power
        steepest, lowest = self.lengths(problem.slopes), self._lowest(problem.curvatures)
        if q == 2.0:
            room = self.weight - lowest
            longest = np.where(room > 0.0, steepest / room, np.inf)
        else:
            longest = np.maximum(
                (2.0 * steepest / self.weight) ** (1.0 / (q - 1.0)),
                (2.0 * lowest / self.weight) ** (1.0 / (q - 2.0)),
            )
        return (longest + self.lengths(v))[blocks]

    def reach_of_gain(
        self, v: np.ndarray, multipliers: np.ndarray, slopes: np.ndarray, shifted: np.ndarray
    ) -> np.ndarray:
        q = self.power
        if q == 2.0:
            return super().reach_of_gain(v, multipliers, slopes, shifted)
        # As a function of the length P >= r - ||v|| at the end of a way of length r, what t grows
        # beyond its tangent is F(P) = w P^q / q - x P^2 / 2, least at L = (x / w)^{1/(q-2)}.  The
        # best way is stationary, F'(r - ||v||) <= ||slopes|| + b r, where the least curvature is
        # -b; and F' >= .9 w P^{q-1} beyond 10^{1/(q-2)} L, r <= 1.1 P beyond 10 ||v||.  Of the
        # growth the slopes take nine tenths, or the curvature takes one.
        lengths, w = self.lengths(v), self.weight
        ends = (
            10.0 * lengths,
            (10.0 * multipliers / w) ** (1.0 / (q - 2.0)),
            (self.lengths(slopes) / (0.81 * w)) ** (1.0 / (q - 1.0)),
            (1.1 / 0.09 * self._lowest(shifted) / w) ** (1.0 / (q - 2.0)),
        )
        return (lengths + np.max(ends, axis=0))[self.blocks(len(v) - 1)]

    def along(self, unit: np.ndarray) -> Regularisation:
        share = float((self.lengths(unit) ** self.power).sum())
        return Regularisation(self.weight * share, power=self.power)

    def _lowest(self, curvatures: np.ndarray) -> np.ndarray:
        """Return for each block how far below zero its least curvature is."""
        blocks = self.blocks(len(curvatures) - 1)
        lowest = np.zeros(blocks[-1] + 1)
        np.maximum.at(lowest, blocks, -curvatures)
        return lowest
