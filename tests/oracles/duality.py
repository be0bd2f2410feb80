"""Lower bounds that prove how good a step is, with no trust in the solver that found it.

For every multiplier x that makes B + x I positive semidefinite, the minimum of the Lagrangian is a
lower bound on the minimum of the subproblem.  The largest of these bounds *equals* the minimum,
hard case included.  So the model value of any feasible step, minus the bound, says how far that
step is from optimal; and a multiplier that is not quite the best one only makes the bound weaker,
never wrong.

The functions take the problem in a basis of eigenvectors: eigenvalues of B, and the components of
the gradient along them.  A partial spectrum, gamma I outside r eigenvectors, is a problem in r + 1
such numbers: append gamma and the norm of the gradient's part outside.  (Leave gamma out if there
is no outside: it would weaken the bound.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

Extended = np.longdouble
"""80 bits on x86: eleven more than the numbers that are being judged; 64 on some machines."""

BISECTIONS = 300
"""Halvings of the bracket: 64 fix the digits, the rest reach roots 70 decades below its end."""


class DualBound(NamedTuple):
    """A lower bound on the minimum of a subproblem, and the multiplier that proves it.

    Attributes
    ----------
    value : float, <= 0
        The bound, rounded down.
    multiplier : float, >= 0
        Where the bound is attained, rounded to nearest.
    """

    value: float
    multiplier: float


def trust_region_bound(eigenvalues: ArrayLike, a: ArrayLike, radius: float) -> DualBound:
    r"""Bound the trust-region subproblem from below, tightly.

    .. math::

        \min_{\|v\| \le \Delta} \; a^T v + \tfrac12 \sum_i \lambda_i v_i^2
        \;=\; \max_{x \ge \max(0, -\lambda_1)} \;
        -\tfrac12 \sum_i \frac{a_i^2}{\lambda_i + x} - \tfrac12 x \Delta^2

    Parameters
    ----------
    eigenvalues : array_like, shape (r,)
        Eigenvalues of B, in any order.
    a : array_like, shape (r,)
        Components of the gradient along the eigenvectors.
    radius : float, > 0
        Radius :math:`\Delta` of the ball.

    Returns
    -------
    DualBound
        The right-hand side and its maximiser.

    Notes
    -----
    Terms with :math:`a_i = 0` are 0.  The dual is concave and its derivative,
    :math:`\tfrac12 \|v(x)\|^2 - \tfrac12 \Delta^2`, falls: the maximiser is found by bisection
    on its sign.  The variable is :math:`t = x - \max(0, -\lambda_1)`, so that
    :math:`\lambda_i + x` is a sum of numbers that are not negative.  All terms of the bound have
    one sign, and nothing cancels.

    References
    ----------
    .. [1] F. Rendl and H. Wolkowicz, "A semidefinite framework for trust region subproblems with
       applications to large scale minimization", Math. Program. 77 (1997), 273-299.

    Examples
    --------
    >>> from tests.oracles.duality import trust_region_bound
    >>> bound = trust_region_bound([-1.0, 2.0], [0.0, 3.0], radius=2.0)
    >>> print(f"{bound.value:.12f} {bound.multiplier:.12f}")
    -3.500000000000 1.000000000000
    """
    a, d, x0 = _shifted_spectrum(eigenvalues, a)
    Delta = _check_positive(radius, "radius")

    # At t = |a_i| / Delta - d_i one coordinate fills the radius; at ||a|| / Delta all are inside.
    lower = max(Extended(0), np.max(np.abs(a) / Delta - d))
    upper = np.sqrt(np.sum(a**2)) / Delta
    t = _maximise(lambda t: np.sum(_ratio(a, d, t) ** 2) - Delta**2, lower, upper)

    value = -np.sum(a * _ratio(a, d, t)) / 2 - (x0 + t) * Delta**2 / 2
    return DualBound(_round_down(value), float(x0 + t))


def cubic_bound(eigenvalues: ArrayLike, a: ArrayLike, weight: float) -> DualBound:
    r"""Bound the cubic subproblem from below, tightly.

    .. math::

        \min_v \; a^T v + \tfrac12 \sum_i \lambda_i v_i^2 + \tfrac{w}{3} \|v\|^3
        \;=\; \max_{x \ge \max(0, -\lambda_1)} \;
        -\tfrac12 \sum_i \frac{a_i^2}{\lambda_i + x} - \frac{x^3}{6 w^2}

    Parameters
    ----------
    eigenvalues : array_like, shape (r,)
        Eigenvalues of B, in any order.
    a : array_like, shape (r,)
        Components of the gradient along the eigenvectors.
    weight : float, > 0
        Weight w of the cubic term.

    Returns
    -------
    DualBound
        The right-hand side and its maximiser.

    Notes
    -----
    As for :func:`trust_region_bound`; the derivative is
    :math:`\tfrac12 \|v(x)\|^2 - \tfrac12 (x / w)^2`.

    References
    ----------
    .. [1] C. Cartis, N. I. M. Gould and P. L. Toint, "Adaptive cubic regularisation methods for
       unconstrained optimization. Part I", Math. Program. 127 (2011), 245-295.

    Examples
    --------
    >>> from tests.oracles.duality import cubic_bound
    >>> bound = cubic_bound([-1.0], [0.0], weight=0.5)
    >>> print(f"{bound.value:.12f} {bound.multiplier:.12f}")
    -0.666666666667 1.000000000000
    """
    a, d, x0 = _shifted_spectrum(eigenvalues, a)
    w = _check_positive(weight, "weight")

    # ||v(t)|| <= ||a|| / t, and the length wanted is at least t / w.
    upper = np.sqrt(w * np.sqrt(np.sum(a**2)))
    # One coordinate has the length wanted at the root of (d_i + t)(x0 + t) = w |a_i|.
    p, q = d + x0, np.maximum(w * np.abs(a) - d * x0, 0)
    alone = np.divide(2 * q, p + np.sqrt(p**2 + 4 * q), out=np.zeros_like(q), where=q > 0)
    t = _maximise(
        lambda t: np.sum(_ratio(a, d, t) ** 2) - ((x0 + t) / w) ** 2, np.max(alone), upper
    )

    value = -np.sum(a * _ratio(a, d, t)) / 2 - (x0 + t) ** 3 / (6 * w**2)
    return DualBound(_round_down(value), float(x0 + t))


def _maximise(slope: Callable[[Extended], Extended], lower: Extended, upper: Extended) -> Extended:
    """Return the point of [lower, upper] where the falling function `slope` changes sign."""
    if not slope(lower) > 0:
        return lower
    for _ in range(BISECTIONS):
        # Far apart, halve the exponent: otherwise a root near zero takes one step per bit.
        middle = np.sqrt(lower) * np.sqrt(upper) if 0 < 4 * lower < upper else (lower + upper) / 2
        if not lower < middle < upper:
            break
        if slope(middle) > 0:
            lower = middle
        else:
            upper = middle
    return upper


def _shifted_spectrum(
    eigenvalues: ArrayLike, a: ArrayLike
) -> tuple[np.ndarray, np.ndarray, Extended]:
    """Return a, ``d = eigenvalues + x0`` and ``x0 = max(0, -min(eigenvalues))``."""
    eigenvalues = _check_vector(eigenvalues, "eigenvalues")
    a = _check_vector(a, "a")
    if a.shape != eigenvalues.shape:
        raise ValueError(
            f"a must have one entry for each of the {eigenvalues.size} eigenvalues, got {a.size}"
        )
    x0 = max(Extended(0), -np.min(eigenvalues))
    return a, eigenvalues + x0, x0


def _ratio(a: np.ndarray, d: np.ndarray, t: Extended) -> np.ndarray:
    """Return ``a / (d + t)``, and 0 where a is 0."""
    return np.divide(a, d + t, out=np.zeros_like(a), where=a != 0)


def _round_down(value: Extended) -> float:
    """Return a float that is at most the exact bound, given that `value` has digits to spare."""
    return float(np.nextafter(float(value), -np.inf)) if value < 0 else 0.0


def _check_vector(array: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a vector with at least one entry, got {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite")
    return array.astype(Extended)


def _check_positive(number: float, name: str) -> Extended:
    extended = Extended(number)
    if not (extended > 0 and np.isfinite(extended)):
        raise ValueError(f"{name} must be positive and finite, got {number}")
    return extended
