"""The trust-region subproblem in the l2 norm, on a partial spectrum (Brust, Erway, Marcia 2017)."""

from __future__ import annotations

import math

import numpy as np

from qnsolve.subproblem.secular import boundary_shift
from qnsolve.subproblem.types import ReducedProblem, ReducedStep, SubproblemStatus

LARGEST_QUOTIENT = 1e300
"""Bound on the quotients of a division that cannot overflow."""


def trust_region_l2(problem: ReducedProblem, radius: float) -> ReducedStep:
    r"""Minimise a quadratic over an l2 ball, in the eigenvector coordinates of its matrix.

    .. math::

        \min_p \; a^T p + \tfrac12 p^T \Lambda p \quad \text{subject to} \quad \|p\|_2 \le \Delta,
        \qquad \Lambda = \mathrm{diag}(\lambda_1, \dots, \lambda_r, \gamma),

    where the last coordinate is the one along the gradient's part in the complement.

    Parameters
    ----------
    problem : ReducedProblem
    radius : float, > 0
        Delta.

    Returns
    -------
    ReducedStep

    Notes
    -----
    p solves the problem if and only if, for some :math:`\sigma \ge 0`,
    :math:`(\Lambda + \sigma I) p = -a`, :math:`\Lambda + \sigma I \succeq 0` and
    :math:`\sigma (\Delta - \|p\|) = 0` (More and Sorensen 1983).  The cases:

    1. interior: :math:`\Lambda \succ 0` and :math:`\|\Lambda^{-1} a\| \le \Delta`; sigma = 0.
    2. hard: a vanishes on the eigenspace of :math:`\lambda_{min} \le 0` and the least solution at
       :math:`\sigma = -\lambda_{min}` is inside; if :math:`\lambda_{min} < 0`, a vector of that
       eigenspace reaches the boundary.
    3. boundary: sigma solves the secular equation :math:`\|(\Lambda + \sigma I)^{-1} a\| = \Delta`.

    In cases 2 and 3 radius and curvature are scaled to 1, and sigma is measured from
    :math:`\max(0, -\lambda_{min})`, so no case is decided by a tolerance.  Cost O(r).

    References
    ----------
    J. Brust, J. B. Erway, R. F. Marcia, "On solving L-SR1 trust-region subproblems", Comput. Optim.
    Appl. 66 (2017), Algorithm 1.

    J. J. More, D. C. Sorensen, "Computing a trust region step", SIAM J. Sci. Stat. Comput. 4
    (1983).
    """
    lam, a = problem
    lowest = float(lam.min())
    # 1. The unconstrained minimiser, if it lies inside.
    if lowest >= 0.0:
        p, length = _least_norm_solution(lam, a)
        if length <= radius:
            # vdot never warns of an overflow.
            return ReducedStep(p, np.zeros(1), 0.5 * float(np.vdot(np.abs(a), np.abs(p))))

    # Otherwise in units in which the radius is 1 and the largest curvature or gradient is 1.
    largest = max(float(lam.max()), -lowest)
    size = max(largest * radius, float(np.abs(a).max()))
    if 0.0 < size < math.inf:
        unit, lam, a = size / radius, lam / size * radius, a / size
    else:
        unit, lam, a = largest, lam / largest, a / largest / radius
    lowest = max(0.0, -float(lam.min()))
    base = lam + lowest
    p, length = _least_norm_solution(base, a)
    delta, nit, status = 0.0, 0, SubproblemStatus.SOLVED
    hard_case = lowest > 0.0 and length < 1.0
    if hard_case:
        # 2. Any vector of the leftmost eigenspace, of the length that is missing.
        p[lam.argmin()] = math.sqrt((1.0 - length) * (1.0 + length))
    elif not length <= 1.0:
        # 3. The root of the secular equation.
        moving = a != 0.0
        if moving.all():  # as nearly always: no copies
            moving = slice(None)
        delta, nit, converged = boundary_shift(base[moving], a[moving])
        p[moving] = -a[moving] / (base[moving] + delta)
        status = SubproblemStatus.SOLVED if converged else SubproblemStatus.ITERATION_LIMIT

    sigma = lowest + delta
    squares = p * p
    decrease = 0.5 * float((base + delta) @ squares) + 0.5 * sigma * float(squares.sum())
    return ReducedStep(
        radius * p,
        np.array([unit * sigma]),
        size * decrease * radius if decrease else 0.0,
        # Slopes that vanish in these units alone may have led outside.
        on_boundary=hard_case or not length < 1.0,
        hard_case=hard_case,
        nit=nit,
        status=status,
    )


def _least_norm_solution(lam: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, float]:
    """Return p of least norm with lam p = -a, and its length: inf where there is none."""
    if lam.min() > np.abs(a).max() / LARGEST_QUOTIENT:
        p = -a / lam
    else:
        with np.errstate(divide="ignore", over="ignore"):
            p = np.divide(-a, lam, where=a != 0.0, out=np.zeros_like(a))
    return p, math.hypot(*p.tolist())
