"""How good a step is where the matrix is known by its products only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qnsolve.arrays import Array, VectorSpace
from qnsolve.krylov.gltr import gltr, lanczos_cubic
from qnsolve.krylov.model import KrylovModel, KrylovResult, random_unit_vector
from qnsolve.krylov.products import Steps, answered
from qnsolve.norms import DiagonalNorm
from qnsolve.subproblem.certificate import ROUNDINGS, Certificate, tighter
from qnsolve.subproblem.regions import Regularisation, Term, TrustRegion
from qnsolve.subproblem.step_check import StepCheck, cauchy_decrease
from qnsolve.subproblem.types import ReducedProblem

ASYMMETRY = 1e-5
"""Products by differences are symmetric to 1e-8 or so; a slip is not symmetric at all."""


def check_by_products(
    g: Array,
    hessp: Callable[[Array], Array],
    term: Term,
    step: Array,
    multipliers: np.ndarray | None,
    eps: float,
    *,
    norm: DiagonalNorm | None = None,
) -> StepCheck:
    r"""Return how good `step` is, by products with the matrix alone.

    Parameters
    ----------
    g, step : array, shape (n,)
    hessp : callable
        ``hessp(v) -> B v``.
    term : TrustRegion or Regularisation
        In the l2 norm.
    multipliers : ndarray or None
        None for those that fit the step best.
    eps : float
        The rounding error that the numbers of the step have.
    norm : DiagonalNorm, optional
        In which the step is measured.

    Raises
    ------
    ValueError
        If two products show that B is not symmetric.

    Notes
    -----
    The Lanczos process finds a minimiser p of its own, whose certificate bounds the greatest
    decrease there is by :math:`\delta_p / (1 - \mathrm{gap}_p)`: a good bound where p is good, and
    one that no error of p makes wrong.  What it takes for the least curvature is the least Ritz
    value of that search, which has overlooked a lower one with a chance of 1e-6
    (:func:`qnsolve.gltr`), or the curvature along s or s - p, should that be lower.
    """
    if isinstance(term, TrustRegion):
        answer = gltr(g, hessp, term.radius, norm=norm)
    else:
        assert isinstance(term, Regularisation)
        answer = lanczos_cubic(g, hessp, term.weight, norm=norm, power=term.power)
    return answered(_steps(answer, term, step, multipliers, eps), hessp)


@np.errstate(over="ignore", invalid="ignore")
def _steps(
    answer: KrylovResult, term: Term, step: Array, multipliers: np.ndarray | None, eps: float
) -> Steps[StepCheck]:
    model = answer.model
    space, gradient = model.space, model.gradient
    steepness = space.norm(gradient)
    # 1. The products with the step, the minimiser and the direction of the Cauchy point.
    p, best = model.operator.unscale(step), model.operator.unscale(answer.step)
    unit = gradient / (steepness or 1.0)
    products = []
    for vector in (p, best, unit):
        product = yield from model.operator.product(vector)
        if product is None:
            nothing = Certificate.of_nothing(term.infeasibility(np.array([space.norm(p)])))
            return StepCheck.of(nothing, np.zeros(1), -math.inf, 1.0, eps)
        products.append(product)
    Bp, B_best, B_unit = products
    yield from _require_symmetry(model, p, Bp)
    # 2. The certificates of both, with the least curvature that is known.
    ritz = answer.ritz.copy()
    if ritz.size:
        away = _curvature(space, p - best, Bp - B_best, space.norm(Bp) + space.norm(B_best))
        ritz[0] = min(ritz[0], _curvature(space, p, Bp, space.norm(Bp)), away)
    if multipliers is None:
        slopes = np.array([space.dot(p, Bp + gradient)])
        multipliers = term.fit_multipliers(np.array([space.norm(p)]), slopes)
    own = yield from model.certify(step, float(multipliers[0]), ritz)
    of_best = yield from model.certify(answer.step, float(answer.multipliers[0]), ritz)
    # 3. The decreases, and the bound on the greatest.
    decrease, decrease_of_best = (
        -space.dot(s, gradient + 0.5 * Bs) - term.value(np.array([space.norm(s)]), 1.0)
        for s, Bs in ((p, Bp), (best, B_best))
    )
    if of_best.gap < 1.0 and decrease_of_best > 0.0:
        gap = 1.0 - decrease / decrease_of_best * (1.0 - of_best.gap)
        own = replace(own, gap=tighter(own.gap, max(0.0, gap)))
    curvature = np.array([space.dot(unit, B_unit)])
    cauchy = cauchy_decrease(term, ReducedProblem(curvature, np.array([steepness])))
    return StepCheck.of(own, multipliers, decrease, cauchy, eps)


def _curvature(space: VectorSpace, v: Array, product: Array, terms: float) -> float:
    """Return v'Bv / v'v and what rounding may have taken from it; infinite without a direction.

    `terms` is the size of what the product is the sum of.
    """
    length = space.norm(v)
    if not 0.0 < length < math.inf:
        return math.inf
    rounding = ROUNDINGS * space.eps * terms / length
    return space.dot(v / length, product / length) + rounding


def _require_symmetry(model: KrylovModel, p: Array, product: Array) -> Steps[None]:
    space = model.space
    v = random_unit_vector(space, np.random.default_rng(0))
    of_v = yield from model.operator.product(v)
    if of_v is None:
        return
    one, other = space.dot(v, product), space.dot(p, of_v)
    size = space.norm(product) + space.norm(p) * space.norm(of_v)
    if abs(one - other) > ASYMMETRY * size:
        raise ValueError(
            "B must be symmetric: with v a random vector and s the step, v'Bs is "
            f"{one:.6g} and s'Bv is {other:.6g}"
        )
