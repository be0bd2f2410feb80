"""The trust-region subproblem by truncated conjugate gradients (Steihaug 1983, Toint 1981)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

from qnsolve.arrays import Array
from qnsolve.comm import Comm
from qnsolve.krylov.model import KrylovModel, KrylovResult
from qnsolve.krylov.products import Steps
from qnsolve.norms import DiagonalNorm
from qnsolve.subproblem.arguments import (
    checked_count,
    checked_positive,
    checked_tolerance,
)
from qnsolve.subproblem.regions import TrustRegion
from qnsolve.subproblem.types import SubproblemStatus

LEAST_UNIT = 5e-324
"""Of curvature: the least number, where |g| / radius is less."""

PRODUCTS = 10
"""Default limit on the products for each unknown: rounding errors delay the convergence."""


def steihaug_cg(
    g: Array,
    hessp: Callable[[Array], Array],
    radius: float,
    *,
    norm: DiagonalNorm | None = None,
    tol: float | None = None,
    maxiter: int | None = None,
    comm: Comm | None = None,
) -> KrylovResult:
    r"""Follow conjugate gradients until they converge or leave the trust region.

    .. math::

        \min_s \; g^T s + \tfrac12 s^T B s \quad \text{subject to} \quad \|s\|_A \le \Delta,
        \qquad \text{approximately}

    Parameters
    ----------
    g : array, shape (n,)
        Gradient: real floating and finite, in any array library.
    hessp : callable
        ``hessp(v) -> B v``, B symmetric, possibly indefinite.
    radius : float, > 0
        Delta, in the norm of A.
    norm : DiagonalNorm, optional
        A, the preconditioner; the identity by default.
    tol : float in [0, 1), optional
        Stop at :math:`\|B s + g\|_{A^{-1}} \le tol\, \|g\|_{A^{-1}}`; the square root of the
        dtype's rounding by default.
    maxiter : int, optional
        Limit on the products with B; 10 n by default.
    comm : Comm, optional
        Ranks over which the vectors are sharded; g, the diagonal of A and the products are slices.

    Returns
    -------
    KrylovResult
        **Not a global minimiser** in general, and its status says so: APPROXIMATE.  It is one if B
        is positive definite and the step inside.  If B is positive definite, the decrease is at
        least half of the greatest possible; for any B, it is at least that of the Cauchy step.
        PRODUCT_LIMIT and NONFINITE come with the last iterate.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described; before the first product.

    Notes
    -----
    The lengths :math:`\|s\|_A` increase from one iterate to the next, so that the first point on
    the boundary is as far as the path need be followed.  They are kept by recurrences, which need
    no inner products; where the path is cut, and at its end, the length is measured, as the
    recurrences drift with the rounding errors.  Cost: one product, two inner products and three
    combinations of n-vectors an iteration; storage 4 n.

    References
    ----------
    T. Steihaug, "The conjugate gradient method and trust regions in large scale optimization", SIAM
    J. Numer. Anal. 20 (1983).

    A. R. Conn, N. I. M. Gould, P. L. Toint, "Trust-Region Methods", SIAM 2000, section 7.5.1.

    Y. Yuan, "On the truncated conjugate gradient method", Math. Program. 87 (2000).

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.krylov.steihaug import steihaug_cg
    >>> result = steihaug_cg(np.array([3.0, 4.0]), lambda v: -v, radius=2.0)
    >>> result.decrease, result.on_boundary, result.status.name
    (12.0, True, 'APPROXIMATE')
    """
    steps = steihaug_steps(g, radius, norm=norm, tol=tol, maxiter=maxiter, comm=comm)
    return KrylovResult.by_products(steps, hessp)


def steihaug_steps(
    g: Array,
    radius: float,
    *,
    norm: DiagonalNorm | None = None,
    tol: float | None = None,
    maxiter: int | None = None,
    comm: Comm | None = None,
) -> Steps[KrylovResult]:
    """Return the generator behind :func:`steihaug_cg`: it yields v and receives B v.

    The arguments, all but the products, are those of :func:`steihaug_cg`, and are checked in the
    call.
    """
    term = TrustRegion(checked_positive(radius, "radius"))
    model = KrylovModel.checked(g, norm, term, comm)
    tol = checked_tolerance(tol, model.space)
    maxiter = checked_count(maxiter, "maxiter", PRODUCTS * model.space.size, low=1)
    assert isinstance(model.term, TrustRegion)
    return _steps(model, model.term.radius, tol, maxiter)


def _steps(model: KrylovModel, radius: float, tol: float, maxiter: int) -> Steps[KrylovResult]:
    space, operator = model.space, model.operator
    # 0. In the variables of the ball, and in units in which radius and gradient are 1; but s is in
    #    its own unit, for in that of a large radius it might be below the range of the dtype.
    steepness = space.norm(model.gradient)
    unit = max(steepness / radius, LEAST_UNIT) if steepness else 1.0
    s, r = space.zeros(space.length), model.gradient / (steepness or 1.0)
    # A radius below the range of the dtype is none to divide by; s is zero then.
    info = space.xp.finfo(space.dtype)
    ball = max(radius, float(info.smallest_normal) * float(info.eps))
    # r = B s + g, d is the direction; the rest are ||r||^2, ||s||^2, s'd and ||d||^2.
    d, rr = -r, space.dot(r, r)
    ss, sd, dd = 0.0, 0.0, rr
    # Below rounding the recurrence for r goes on to fall, but has nothing to do with B s + g.
    wanted = max(tol, space.eps)
    decrease, slope, beta, on_boundary = 0.0, 0.0, 0.0, False
    status = SubproblemStatus.APPROXIMATE
    pivots: list[float] = []
    ratios: list[float] = []
    while not math.sqrt(rr) <= wanted:
        # 1. Curvature along the direction.
        if operator.count >= maxiter:
            status = SubproblemStatus.PRODUCT_LIMIT
            break
        Bd = yield from operator.product(d)
        curvature = math.nan if Bd is None else space.dot(d, Bd) / unit
        if Bd is None or not math.isfinite(curvature):
            status = SubproblemStatus.NONFINITE
            break
        pivots.append(curvature / rr)
        ratios.append(beta)

        # 2. Cut the path where the direction has no minimiser or has it outside.
        alpha = rr / curvature if curvature > 0.0 else math.inf
        longer = ss + alpha * (2.0 * sd + alpha * dd)
        if not longer < 1.0:
            part = s / ball
            alpha = min(
                alpha, _to_boundary(space.dot(part, part), space.dot(part, d), space.dot(d, d))
            )
            on_boundary = True
        # Both factors are in the range of the dtype.
        s = s + (radius * (alpha * d) if alpha > 1.0 else (alpha * radius) * d)
        # g's + s'Bs / 2 falls by alpha rr - alpha^2 d'Bd / 2, and alpha d'Bd is at most rr.
        decrease += 0.5 * alpha * (rr + max(0.0, rr - alpha * curvature))
        if on_boundary:
            # Far out B s may be too large for the dtype of the vectors: s'r from numbers alone.
            part = s / ball
            slope = unit * space.dot(part, r) + alpha * space.dot(part, Bd)
            break
        with np.errstate(over="ignore", invalid="ignore"):
            r = r + (alpha / unit) * Bd

        # 3. The next direction.
        before, rr = rr, space.dot(r, r)
        if not rr < math.inf:
            status = SubproblemStatus.NONFINITE
            break
        beta = rr / before
        ss, sd, dd = longer, beta * (sd + alpha * dd), rr + beta * beta * dd
        d = beta * d - r

    length = space.norm(s)
    if length > radius:
        if not on_boundary:
            # The recurrences have drifted.  Along a line through 0 and its minimiser, m is flat.
            slope, on_boundary = unit * space.dot(s / ball, r), True
        s = s * (radius / length)
    sigma = max(0.0, -slope)
    with np.errstate(over="ignore", invalid="ignore"):
        ritz = unit * _extreme_ritz_values(np.array(pivots), np.array(ratios))
        step = operator.scale(s)
    return KrylovResult(
        step=step,
        decrease=steepness * decrease * radius,
        multipliers=np.array([sigma]),
        on_boundary=on_boundary,
        hard_case=False,
        nit=operator.count,
        status=status,
        model=model,
        ritz=ritz,
    )


def _to_boundary(ss: float, sd: float, dd: float) -> float:
    """Return the larger root of ``||s + tau d|| = 1``, in the form that does not cancel."""
    room = (1.0 - math.sqrt(ss)) * (1.0 + math.sqrt(ss))
    root = math.sqrt(max(0.0, sd * sd + dd * room))
    return room / (sd + root) if sd > 0.0 else (root - sd) / dd


def _extreme_ritz_values(pivots: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Return the least and the greatest Ritz value of the space that conjugate gradients span.

    NaN where they are beyond the range.

    With the pivots d'Bd / r'r and the ratios of successive r'r, the Lanczos matrix is L D L', where
    D holds the pivots and L has a unit diagonal and -sqrt(ratio) below it.
    """
    if not pivots.size:
        return pivots
    diagonal = pivots.copy()
    diagonal[1:] += ratios[1:] * pivots[:-1]
    off_diagonal = -np.sqrt(ratios[1:]) * pivots[:-1]
    if not (np.isfinite(diagonal).all() and np.isfinite(off_diagonal).all()):
        return np.full(2, np.nan)
    return eigvalsh_tridiagonal(diagonal, off_diagonal)[[0, -1]]
