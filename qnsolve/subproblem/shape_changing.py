"""Subproblems in the shape-changing norms, which come apart into one problem a block."""

from __future__ import annotations

import numpy as np

from qnsolve.subproblem.trust_region_l2 import trust_region_l2
from qnsolve.subproblem.types import ReducedProblem, ReducedStep, SubproblemStatus


def trust_region_shape_inf(problem: ReducedProblem, radius: float) -> ReducedStep:
    r"""Minimise a quadratic over the (P, inf) region, in closed form.

    .. math::

        \min_s \; g^T s + \tfrac12 s^T B s \quad \text{subject to} \quad
        \max(\|U^T s\|_\infty, \|P_\perp s\|_2) \le \Delta

    Parameters
    ----------
    problem : ReducedProblem
    radius : float, > 0
        Delta, for each component on an eigenvector and for the length in the complement.

    Returns
    -------
    ReducedStep
        ``multipliers`` has r + 1 entries, one an eigenvector and the last for the complement;
        ``hard_case`` is True where a sign or direction is free.

    Notes
    -----
    The eigenvectors and the complement do not interact: r + 1 problems in one variable,
    :math:`\min a v + \lambda v^2 / 2` over :math:`|v| \le \Delta`.  The minimiser is
    :math:`-a / \lambda` where :math:`\lambda > 0` and that lies inside, else an end point.
    Cost O(r).

    References
    ----------
    O. Burdakov, L. Gong, S. Zikrin, Y. Yuan, "On efficiently combining limited-memory and
    trust-region techniques", Math. Program. Comput. 9 (2017), section 3.2.

    J. J. Brust, O. Burdakov, J. B. Erway, R. F. Marcia, "Algorithm 1030: SC-SR1", ACM Trans. Math.
    Softw. 48 (2022), section 3.
    """
    lam, a = problem
    size = np.abs(a)
    with np.errstate(over="ignore"):
        there = lam * radius
    inside = (lam > 0.0) & (size <= there)
    still = (a == 0.0) & (lam == 0.0)
    v = np.where(a == 0.0, radius, -np.sign(a) * radius)  # in the hard case either end will do
    v[inside] = -a[inside] / lam[inside]
    v[still] = 0.0
    # Slope left at an end of the interval, the multiplier times the radius.
    excess = np.where(inside | still, 0.0, size - there)
    with np.errstate(over="ignore"):
        decrease = 0.5 * float((size + excess) @ np.abs(v))
        multipliers = excess / radius
    hard = (a == 0.0) & (lam < 0.0)
    return ReducedStep(
        v,
        multipliers,
        decrease,
        on_boundary=bool((np.abs(v) == radius).any()),
        hard_case=bool(hard.any()),
    )


def trust_region_shape_2(problem: ReducedProblem, radius: float) -> ReducedStep:
    r"""Minimise a quadratic over the (P, 2) region: a ball in the eigenvectors, one off them.

    .. math::

        \min_s \; g^T s + \tfrac12 s^T B s \quad \text{subject to} \quad
        \max(\|U^T s\|_2, \|P_\perp s\|_2) \le \Delta

    Parameters
    ----------
    problem : ReducedProblem
    radius : float, > 0
        Delta, for both lengths.

    Returns
    -------
    ReducedStep
        ``multipliers`` has two entries, for the eigenvectors and for the complement.

    Notes
    -----
    On the eigenvectors this is the l2 problem without a complement
    (:func:`~qnsolve.subproblem.trust_region_l2.trust_region_l2`), on the complement a problem in
    one variable.  Cost O(r).

    References
    ----------
    O. Burdakov, L. Gong, S. Zikrin, Y. Yuan, "On efficiently combining limited-memory and
    trust-region techniques", Math. Program. Comput. 9 (2017), section 3.1.

    J. J. Brust, O. Burdakov, J. B. Erway, R. F. Marcia, "Algorithm 1030: SC-SR1", ACM Trans. Math.
    Softw. 48 (2022), section 3.
    """
    par = trust_region_l2(problem.on_eigenvectors, radius)
    perp = trust_region_shape_inf(problem.on_complement, radius)
    return ReducedStep(
        np.append(par.par, perp.perp),
        np.append(par.multipliers, perp.multipliers),
        par.decrease + perp.decrease,
        on_boundary=par.on_boundary or perp.on_boundary,
        hard_case=par.hard_case or perp.hard_case,
        nit=par.nit,
        status=par.status,
    )


def cubic_shape(problem: ReducedProblem, weight: float) -> ReducedStep:
    r"""Minimise a quadratic plus a shape-changing cubic, in closed form.

    .. math::

        \min_s \; g^T s + \tfrac12 s^T B s
        + \frac{w}{3} \left( \|U^T s\|_3^3 + \|P_\perp s\|_2^3 \right)

    Parameters
    ----------
    problem : ReducedProblem
    weight : float, > 0
        w.

    Returns
    -------
    ReducedStep
        ``multipliers`` has r + 1 entries :math:`w |v_i|`; ``hard_case`` is True where a sign or
        direction is free; ``decrease`` counts the regulariser.

    Notes
    -----
    r + 1 problems in one variable, :math:`\min a v + \lambda v^2 / 2 + w |v|^3 / 3`.  The global
    minimiser is :math:`-\mathrm{sign}(a)\, t` with :math:`|a| = \lambda t + w t^2`,

    .. math:: t = \frac{-\lambda + \sqrt{\lambda^2 + 4 w |a|}}{2 w},

    written for :math:`\lambda \ge 0` with the root in the denominator; the decrease is
    :math:`|a| t / 2 + w t^3 / 6`.  The regulariser is the cube of the l2 norm on the complement,
    not the sum of the cubes of n - r coordinates: that sum depends on the basis chosen there, and
    for gamma < 0 its minimum is elsewhere.  On the span of U and the gradient they agree.  Cost
    O(r).

    References
    ----------
    A. Ranganath, M. Singhal, R. Marcia, "Symmetric rank-one quasi-Newton methods for deep learning
    using cubic regularization", arXiv 2502.12298.
    """
    lam, a = problem
    size = np.abs(a)
    root = np.hypot(lam, 2.0 * np.sqrt(weight) * np.sqrt(size))
    bending, rising = lam < 0.0, (lam >= 0.0) & (size > 0.0)
    t = np.zeros_like(lam)
    with np.errstate(over="ignore", invalid="ignore"):
        t[bending] = (root[bending] - lam[bending]) / (2.0 * weight)
        t[rising] = 2.0 * size[rising] / (lam[rising] + root[rising])
        v = np.where(a == 0.0, t, -np.sign(a) * t)
        multipliers = weight * t
        decrease = float(size @ t) / 2.0 + float((multipliers * t) @ t) / 6.0
    if not np.isfinite(decrease):
        status = SubproblemStatus.UNBOUNDED
        return ReducedStep(np.zeros_like(v), multipliers, 0.0, status=status)
    hard = bending & (a == 0.0)
    return ReducedStep(v, multipliers, decrease, hard_case=bool(hard.any()))
