"""How far a step is from solving its subproblem: the optimality conditions, measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qnsolve.arrays import Array, VectorSpace
from qnsolve.subproblem.regions import Term
from qnsolve.subproblem.types import ReducedProblem

ROUNDINGS = 8.0
"""A coordinate of the residual, or a decrease, of this many roundings of its terms is none."""


@dataclass(frozen=True)
class Certificate:
    r"""How far a step is from satisfying the optimality conditions of its subproblem.

    The conditions are ``(B + C) s = -g`` with B + C positive semidefinite, where C multiplies each
    block of the norm (all of s in the l2 norm) by that block's multiplier sigma >= 0, and
    ``sigma (Delta - ||block||) = 0`` in a trust region, ``sigma = w ||block||^(q-2)`` with a
    regulariser.  All figures are dimensionless: ||B|| stands for the larger of the norm of B and
    |gamma|, of which B is made, and sigma without index for the largest multiplier.  All but the
    feasibility are infinitely bad where there is nothing to certify: the zero step that stands for
    the minimiser of an unbounded model, numbers beyond the range, and a matrix whose products are
    not finite.  No figure is NaN.

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
    gap : float
        Upper bound on the share of the greatest possible decrease that the step misses.  At least 1
        where it misses more than all of that, uphill, or goes nowhere although there is a way down.

    Notes
    -----
    The first three compare with the norm of B.  Where its eigenvalues differ by many orders of
    magnitude they say nothing about the directions of small curvature: a step that is wrong there
    solves another problem, whose matrix differs from B by little.  The gap judges the decrease.
    With :math:`\rho = (B + C) s + g` and t for the regulariser (0 in a region), for all v allowed

    .. math::

        m(v) + t(v) \ge m(s) + t(s) - d, \qquad
        d = \sum_i \max_{|\tau| \le R_i} \left( |\rho_i| \tau - \tfrac12 c_i \tau^2 \right) + e,

    where i counts the coordinates on the eigenvectors of B and the complement, :math:`c_i` are the
    eigenvalues of B + C, and e is what the multipliers leave: :math:`\tfrac12 \sum_b \sigma_b
    (\Delta^2 - \|s_b\|^2)` in a region.  In coordinate i no minimiser is farther away than
    :math:`R_i`; nor, with a regulariser, is the point where its growth stops the gain.
    If the decrease is :math:`\delta = -m(s) - t(s)` then none is greater than
    :math:`\delta + d`, and the gap is :math:`d / (\delta + d)`.  For a step that is right to
    rounding it is of the order of the rounding's square, and in the hard case of the rounding times
    the root of the ratio of curvatures.  What rounding explains is not held against the step: 8
    roundings of the terms that :math:`\rho` and :math:`\delta` are summed up from, and of the step
    itself.  A :math:`\rho_i` of more than twice that counts in full.
    """

    stationarity: float
    complementarity: float
    min_eig: float
    feasibility: float
    gap: float

    @classmethod
    def of_nothing(cls, feasibility: float = 0.0) -> Certificate:
        """Return the certificate of a step that satisfies no condition but, perhaps, the bound."""
        return cls(np.inf, np.inf, -np.inf, feasibility, np.inf)

    @property
    def worst(self) -> float:
        """The largest violation of the five; infinite if one is not a number."""
        figures = (self.stationarity, self.complementarity, -self.min_eig, self.feasibility)
        return max(math.inf if math.isnan(figure) else figure for figure in (*figures, self.gap))


def tighter(gap: float, other: float) -> float:
    """Return the gap of the tighter of two bounds on the greatest decrease."""
    # Of a step that leads uphill it is the larger one.
    return max(gap, other) if 1.0 < gap < math.inf and 1.0 < other < math.inf else min(gap, other)


@dataclass(frozen=True, eq=False)
class Measured:
    r"""What is measured of a step s, on vectors of length n.

    Attributes
    ----------
    v : ndarray, shape (r + 1,)
        Its coordinates, or their lengths.
    residual : ndarray, shape (r + 1,)
        Those of :math:`(B + C) s + g`.
    fall, fall_rounding : float
        :math:`-(g + \tfrac12 B s)^T s / \|s\|`, and the rounding error that it may have.
    rounding, step_rounding : float
        The rounding errors that a coordinate of the residual, and one of the step, may have.
    """

    v: np.ndarray
    residual: np.ndarray
    fall: float
    fall_rounding: float
    rounding: float
    step_rounding: float


def measured_on(
    space: VectorSpace,
    v: np.ndarray,
    shifts: np.ndarray,
    residual: np.ndarray,
    s: Array,
    Bs: Array,
    g: Array,
    terms: Array,
) -> Measured:
    """Return what is measured of a step `s`.

    `terms` are, entry by entry, the moduli of what `Bs` is summed up from.
    """
    xp, rounding = space.xp, ROUNDINGS * space.eps
    length = space.norm(s)
    unit = s / (length or 1.0)
    size = space.norm(g) + space.norm(terms) + math.hypot(*(shifts * v).tolist())
    return Measured(
        v,
        residual,
        fall=-space.dot(unit, g + 0.5 * Bs),
        fall_rounding=rounding * space.dot(xp.abs(unit), xp.abs(g) + 0.5 * terms),
        rounding=rounding * size,
        step_rounding=rounding * length,
    )


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def certificate_of(
    term: Term, problem: ReducedProblem, multipliers: np.ndarray, measured: Measured, scale: float
) -> Certificate:
    """Return the certificate of a step.

    Parameters
    ----------
    term : Term
    problem : ReducedProblem
        Curvatures of B, inf where there is no such coordinate, and coordinates of g.
    multipliers : ndarray
        One a block.
    measured : Measured
    scale : float
        ||B||.
    """
    v, residual = measured.v, measured.residual
    sigma, length = float(multipliers.max()), math.hypot(*v.tolist())
    curvature = scale + sigma
    size = math.hypot(*problem.slopes.tolist()) + curvature * length
    feasibility = term.infeasibility(v)
    if math.isnan(feasibility):
        feasibility = math.inf
    if not math.isfinite(size):
        return Certificate.of_nothing(feasibility)
    shifted = problem.curvatures + term.shifts(multipliers, len(v) - 1)
    figures = (
        math.hypot(*residual.tolist()) / size if size else 0.0,
        term.complementarity(v, multipliers, scale),
        -float(shifted.min()) / curvature if curvature else 0.0,
        float(_gap(term, problem, multipliers, measured, shifted)),
    )
    stationarity, complementarity, indefinite, gap = (
        math.inf if math.isnan(figure) else figure for figure in figures
    )
    return Certificate(stationarity, complementarity, 0.0 - indefinite, feasibility, gap)


def _gap(
    term: Term,
    problem: ReducedProblem,
    multipliers: np.ndarray,
    measured: Measured,
    shifted: np.ndarray,
) -> float:
    """Return d / (delta + d) of the certificate's notes, from both over the length of the step."""
    v = measured.v
    unit = math.hypot(*v.tolist()) or 1.0
    added = term.value(v, unit)
    fall = measured.fall - added
    rounding = measured.fall_rounding + ROUNDINGS * np.finfo(float).eps * added
    uphill = fall < -rounding
    slopes = np.abs(measured.residual)
    if not uphill:
        of_step = measured.step_rounding * np.where(np.isfinite(shifted), np.abs(shifted), 0.0)
        # Whole where it is twice as large as rounding explains: the gap is a bound there.
        explained = measured.rounding + of_step
        slopes = np.clip(2.0 * (slopes - explained), 0.0, slopes)
    # The farthest that this coordinate can still fall, and by how much.
    reach = np.fmin(term.reach(v, problem), term.reach_of_gain(v, multipliers, slopes, shifted))
    bottom = np.where(shifted > 0.0, slopes / shifted, np.inf)
    farthest = np.where(bottom <= reach, bottom, reach)
    flat = (slopes == 0.0) & (shifted >= 0.0)
    missed = farthest / unit * (slopes - 0.5 * np.where(flat, 0.0, shifted) * farthest)
    total = float(missed[~flat].sum()) + term.slack(v, multipliers, unit)
    if uphill:
        best = fall + total
        return max(1.0, total / best) if best > 0.0 else math.inf
    return 1.0 / (1.0 + max(rounding, fall) / total) if total else 0.0
