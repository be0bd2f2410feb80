"""The trust-region and cubic subproblems of a dense matrix, solved by full eigendecomposition.

These two functions say what the right answer is: the limited-memory solvers are judged against
them, and share no code with them.  They are meant to be read; the price is O(n^3) flops.

Both problems have the same solution up to one number.  A step s is a global minimiser if and only
if some multiplier x satisfies

    (B + x I) s = -g,    B + x I positive semidefinite,    ||s|| = length(x),

where the length is the radius for the trust region (or x = 0 and ||s|| <= radius), and x / weight
for the cubic.  In the basis of eigenvectors of B the first equation is one division per
coordinate, and the last one is an equation in x alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

EIGH_ROUNDING = 4.0
"""Errors of ``eigh`` in units of n eps ||B||; seen below 1 of these units."""

SYMMETRY_RTOL = float(np.sqrt(np.finfo(np.float64).eps))
"""Asymmetry accepted relative to max |B|: rounding in how B was formed, but not a wrong B."""

ROOT_RTOL = 4 * float(np.finfo(np.float64).eps)
"""Relative accuracy of the root, the smallest that ``brentq`` accepts."""

ROOT_XTOL = float(np.finfo(np.float64).smallest_subnormal)
"""Absolute accuracy of the root: none, because near the hard case the root itself is tiny."""

ROOT_MAXITER = 10_000
"""More than the bisections that separate any two positive floats (about 2100, three tries each)."""


@dataclass(frozen=True, eq=False)
class DenseSolution:
    """A global minimiser of a subproblem.

    Attributes
    ----------
    step : ndarray, shape (n,)
        The minimiser s; in the hard case one of several.
    decrease : float, >= 0
        Model value at zero minus model value at the step.
    multiplier : float or ndarray, >= 0
        The number x with ``(B + x I) s = -g`` and ``B + x I`` positive semidefinite; in a
        shape-changing norm one for each block.
    hard_case : bool
        True where the smallest eigenvalue is negative, g has no component along its eigenvectors,
        and the step had to be made longer along one of them.  Its sign is then free.
    """

    step: np.ndarray
    decrease: float
    multiplier: float | np.ndarray
    hard_case: bool


def trust_region_l2(g: np.ndarray, B: np.ndarray, radius: float) -> DenseSolution:
    r"""Minimise a quadratic, convex or not, over a ball.

    .. math:: \min_s \; g^T s + \tfrac12 s^T B s \quad \text{subject to} \quad \|s\|_2 \le \Delta

    Parameters
    ----------
    g : array_like, shape (n,)
        Gradient of the model at zero.
    B : array_like, shape (n, n)
        Symmetric matrix; may be indefinite or singular.
    radius : float, > 0
        Radius :math:`\Delta` of the ball.

    Returns
    -------
    DenseSolution
        A global minimiser, its decrease and its multiplier.

    Notes
    -----
    Let :math:`B = U \,\mathrm{diag}(\lambda)\, U^T` with
    :math:`\lambda_1 \le \dots \le \lambda_n`, :math:`a = U^T g` and :math:`v = U^T s`.  With
    :math:`x_0 = \max(0, -\lambda_1)`, the least multiplier that makes :math:`B + x I` positive
    semidefinite, and :math:`d_i = \lambda_i + x_0 \ge 0`, every candidate is

    .. math:: v_i(t) = -\frac{a_i}{d_i + t}, \qquad x = x_0 + t, \quad t \ge 0,

    and its length falls as t grows (:math:`0/0` counts as 0).  Three cases remain:

    1. :math:`\|v(0)\| \le \Delta` and :math:`\lambda_1 \ge 0`: the answer is v(0), with multiplier
       0.  If B is singular, this is the shortest of all minimisers.
    2. :math:`\|v(0)\| < \Delta` and :math:`\lambda_1 < 0`, the *hard case*: a has no component
       where :math:`d_i = 0`.  Moving along the eigenvector of :math:`\lambda_1` lowers the model
       and breaks no equation, so v(0) is completed along it until its length is
       :math:`\Delta`.  The multiplier is :math:`-\lambda_1`.
    3. :math:`\|v(0)\| > \Delta`, infinite included: one t > 0 has :math:`\|v(t)\| = \Delta`.

    The root is sought in t rather than in x: near the hard case t is far smaller than
    :math:`x_0`, and x would not hold its digits.  The relative error in the length is at
    most that in t.

    Multiplying the first equation by s gives the decrease as a sum of terms that are not
    negative, :math:`-\tfrac12 a^T v + \tfrac12 x \|v\|^2`, so that nothing cancels.

    References
    ----------
    .. [1] J. J. Moré and D. C. Sorensen, "Computing a trust region step", SIAM J. Sci. Stat.
       Comput. 4 (1983), 553-572.
    .. [2] A. R. Conn, N. I. M. Gould and P. L. Toint, "Trust-Region Methods", SIAM, 2000,
       section 7.3.

    Examples
    --------
    The gradient has no part along the direction of negative curvature: the hard case.

    >>> from tests.oracles.dense import trust_region_l2
    >>> solution = trust_region_l2([0.0, 4.0], [[-1.0, 0.0], [0.0, 1.0]], radius=2.5)
    >>> solution.multiplier, solution.hard_case
    (1.0, True)
    >>> print(solution.step, solution.decrease)
    [ 1.5 -2. ] 7.125
    """
    g, B = _check_model(g, B)
    radius = _check_positive(radius, "radius")
    lam, U, a = _eigenbasis(g, B)

    # With lengths measured in radii, v = radius u and u_i = -h_i / (d_i + t).
    h = a / radius
    least_multiplier = max(0.0, -lam[0])
    d = lam + least_multiplier

    # One coordinate alone fills the radius at t = |h_i| - d_i, all of them together at t <= ||h||.
    lower = max(0.0, np.max(np.abs(h) - d))
    t = _find_shift(h, d, lambda t: 1.0, lower, 2 * _norm(h))
    u = _coordinates(h, d, t)

    multiplier = least_multiplier + t
    hard_case = lam[0] < 0 and t == 0 and _norm(u) < 1
    if hard_case:
        u[0] = _missing_length(_norm(u), 1.0)
    elif multiplier > 0:
        u /= _norm(u)

    v = radius * u
    decrease = 0.5 * (-a @ v) + 0.5 * multiplier * (v @ v)
    return DenseSolution(U @ v, float(decrease), float(multiplier), bool(hard_case))


def cubic_l2(g: np.ndarray, B: np.ndarray, weight: float) -> DenseSolution:
    r"""Minimise a quadratic, convex or not, plus the cube of the length of the step.

    .. math:: \min_s \; g^T s + \tfrac12 s^T B s + \tfrac{w}{3} \|s\|_2^3

    Parameters
    ----------
    g : array_like, shape (n,)
        Gradient of the model at zero.
    B : array_like, shape (n, n)
        Symmetric matrix; may be indefinite or singular.
    weight : float, > 0
        Weight w of the cubic term.

    Returns
    -------
    DenseSolution
        A global minimiser, its decrease (of the whole model, cubic term included) and its
        multiplier :math:`x = w \|s\|`.

    Notes
    -----
    In the notation of :func:`trust_region_l2` every candidate is again :math:`v(t)`, but its
    length must now be :math:`x / w = (x_0 + t) / w`.  The left side falls and the right
    side rises with t, so that two cases remain:

    1. :math:`\|v(0)\| < x_0 / w`, the *hard case*, possible only for :math:`\lambda_1 < 0`: v(0)
       is completed along the eigenvector of :math:`\lambda_1` to the length :math:`x_0 / w`.
    2. Otherwise exactly one :math:`t \ge 0` has :math:`\|v(t)\| = (x_0 + t) / w`.  It is zero for
       a zero gradient and :math:`\lambda_1 \ge 0`: then the step is zero.

    The decrease is :math:`-\tfrac12 a^T v + \tfrac16 x \|v\|^2`.

    References
    ----------
    .. [1] C. Cartis, N. I. M. Gould and P. L. Toint, "Adaptive cubic regularisation methods for
       unconstrained optimization. Part I", Math. Program. 127 (2011), 245-295.
    .. [2] A. R. Conn, N. I. M. Gould and P. L. Toint, "Trust-Region Methods", SIAM, 2000,
       section 7.3.

    Examples
    --------
    In one variable, -4 s + s^2 / 2 + |s|^3 / 3 * 3 / 2 has its minimum where 3 s^2 / 2 + s = 4.

    >>> from tests.oracles.dense import cubic_l2
    >>> solution = cubic_l2([-4.0], [[1.0]], weight=1.5)
    >>> print(f"{solution.step[0]:.6f} {solution.multiplier:.6f}")
    1.333333 2.000000
    """
    g, B = _check_model(g, B)
    weight = _check_positive(weight, "weight")
    lam, U, a = _eigenbasis(g, B)

    # With s = u / weight the equation is ||u(t)|| = x_0 + t, where u_i = -h_i / (d_i + t).
    h = weight * a
    least_multiplier = max(0.0, -lam[0])
    d = lam + least_multiplier

    # One coordinate alone is long enough at the root of (d_i + t)(x_0 + t) = |h_i|, in the form
    # that subtracts nothing; all of them together are at most ||h|| / t.
    p = d + least_multiplier
    q = np.maximum(np.abs(h) - d * least_multiplier, 0.0)
    alone = np.divide(2 * q, p + np.hypot(p, 2 * np.sqrt(q)), out=np.zeros_like(q), where=q > 0)
    t = _find_shift(h, d, lambda t: least_multiplier + t, np.max(alone), 2 * math.sqrt(_norm(h)))
    u = _coordinates(h, d, t)

    multiplier = least_multiplier + t
    hard_case = lam[0] < 0 and t == 0 and _norm(u) < multiplier
    if hard_case:
        u[0] = _missing_length(_norm(u), multiplier)

    v = u / weight
    decrease = 0.5 * (-a @ v) + multiplier * (v @ v) / 6
    return DenseSolution(U @ v, float(decrease), float(multiplier), bool(hard_case))


def _find_shift(
    h: np.ndarray, d: np.ndarray, length: Callable[[float], float], lower: float, upper: float
) -> float:
    """Return the least t >= lower at which ``u(t)`` is no longer than ``length(t)``."""

    def excess(t: float) -> float:
        return _norm(_coordinates(h, d, t)) - length(t)

    if excess(lower) <= 0:
        return float(lower)
    return brentq(excess, lower, upper, xtol=ROOT_XTOL, rtol=ROOT_RTOL, maxiter=ROOT_MAXITER)


def _coordinates(h: np.ndarray, d: np.ndarray, t: float) -> np.ndarray:
    """Return ``-h / (d + t)``, and 0 where h is 0."""
    return np.divide(-h, d + t, out=np.zeros_like(h), where=h != 0)


def _missing_length(short: float, long: float) -> float:
    """Return ``sqrt(long^2 - short^2)``."""
    return math.sqrt((long - short) * (long + short))


def _norm(v: np.ndarray) -> float:
    """Return the Euclidean norm; `math.hypot` neither overflows nor underflows on the way."""
    return math.hypot(*v)


def _eigenbasis(g: np.ndarray, B: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ascending eigenvalues, eigenvectors in columns, and g in their basis.

    Rounding turns a zero eigenvalue into 1e-16 and a zero component of the gradient likewise, and
    a step of length |a_i| / 1e-16 would follow.  So what cannot be told from zero is set to zero;
    what this does to B and g is within the rounding errors of ``eigh`` itself.
    """
    if not np.any(B - np.diag(np.diag(B))):
        # A diagonal matrix is its own decomposition, and exact: nothing to clean.
        order = np.argsort(np.diag(B), kind="stable")
        return np.diag(B)[order], np.eye(g.size)[:, order], g[order]

    lam, U = np.linalg.eigh(B)
    a = U.T @ g
    rounding = EIGH_ROUNDING * g.size * np.finfo(np.float64).eps
    # A spectrum within rounding of its least eigenvalue counts as one repeated eigenvalue.
    resolution = rounding * np.max(np.abs(lam))
    leftmost = lam <= lam[0] + resolution
    lam[leftmost] = lam[0] if abs(lam[0]) > resolution else 0.0
    # Above zero the smallest component is harmless: it is divided by no small number.
    if lam[0] <= 0 and _norm(a[leftmost]) <= rounding * _norm(g):
        a[leftmost] = 0.0
    return lam, U, a


def _check_model(g: np.ndarray, B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    g, B = _check_real(g, "g"), _check_real(B, "B")
    if g.ndim != 1 or g.size == 0:
        raise ValueError(f"g must be a vector with at least one entry, got shape {g.shape}")
    if B.shape != (g.size, g.size):
        raise ValueError(f"B must have shape {(g.size, g.size)} to match g, got {B.shape}")
    if np.max(np.abs(B - B.T)) > SYMMETRY_RTOL * np.max(np.abs(B)):
        raise ValueError("B must be symmetric; pass (B + B.T) / 2 if its quadratic form is meant")
    return g, B / 2 + B.T / 2


def _check_real(array: np.ndarray, name: str) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    array = array.astype(np.float64)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite")
    return array


def _check_positive(number: float, name: str) -> float:
    number = float(number)
    if not (number > 0 and math.isfinite(number)):
        raise ValueError(f"{name} must be positive and finite, got {number}")
    return number
