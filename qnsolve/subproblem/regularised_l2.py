"""The subproblem with a power of the l2 norm as regulariser, on a partial spectrum."""

from __future__ import annotations

import math

import numpy as np

from qnsolve.subproblem.types import ReducedProblem, ReducedStep, SubproblemStatus

MAX_NEWTON = 100
"""Limit on the steps of the secular equation; a dozen is usual."""


def regularised_l2(problem: ReducedProblem, weight: float, power: float = 3.0) -> ReducedStep:
    r"""Minimise a quadratic plus a power of the length, in the eigenvector coordinates.

    .. math::

        \min_p \; a^T p + \tfrac12 p^T \Lambda p + \frac{w}{q} \|p\|_2^q,
        \qquad \Lambda = \mathrm{diag}(\lambda_1, \dots, \lambda_r, \gamma),

    where the last coordinate is the one along the gradient's part in the complement.

    Parameters
    ----------
    problem : ReducedProblem
    weight : float, > 0
        w.
    power : float, >= 2
        q; 3 is the cubic model.

    Returns
    -------
    ReducedStep
        ``multiplier`` is :math:`w \|p\|^{q-2}`, ``decrease`` is that of the whole model,
        ``on_boundary`` is False.  A model without a finite minimiser gives the zero step and the
        status UNBOUNDED.

    Notes
    -----
    For q > 2, p is a global minimiser if and only if :math:`(\Lambda + x I) p = -a` and
    :math:`\Lambda + x I \succeq 0` with :math:`x = w \|p\|^{q-2}`.  It is enough, because

    .. math::

        m(v) - m(p) = \tfrac12 (v - p)^T (\Lambda + x I) (v - p)
        + \left[ \tfrac{w}{q} \|v\|^q - \tfrac{x}{2} \|v\|^2 \right]
        - \left[ \tfrac{w}{q} \|p\|^q - \tfrac{x}{2} \|p\|^2 \right],

    and the bracket, a convex function of :math:`\|v\|^2`, is least where
    :math:`w \|v\|^{q-2} = x`.  The same two facts give the decrease without a difference,
    :math:`\tfrac12 \sum_i (\lambda_i + x) p_i^2 + (\tfrac12 - \tfrac1q)\, x \|p\|^2`.  The cases:

    1. zero: a = 0 and :math:`\Lambda \succeq 0`.
    2. hard: a vanishes on the eigenspace of :math:`\lambda_{min} < 0` and the least solution at
       :math:`x = -\lambda_{min}` is too short for it; a vector of that eigenspace makes it longer.
    3. otherwise x solves the secular equation
       :math:`w \|(\Lambda + x I)^{-1} a\|^{q-2} = x`.
    4. q = 2: x = w is given.  The model is unbounded below unless :math:`\Lambda + w I \succeq 0`
       and a vanishes on its null space.

    Curvature and gradient are scaled to 1 first, and x is measured from
    :math:`\max(0, -\lambda_{min})`, so no case is decided by a tolerance.  Cost O(r).

    References
    ----------
    C. Cartis, N. I. M. Gould, P. L. Toint, "Adaptive cubic regularisation methods for unconstrained
    optimization. Part I", Math. Program. 127 (2011), section 6.1.

    Examples
    --------
    Least of :math:`-4 p + p^2 / 2 + |p|^3 / 2`, where 3 p^2 / 2 + p = 4:

    >>> import numpy as np
    >>> from qnsolve.subproblem.regularised_l2 import regularised_l2
    >>> from qnsolve.subproblem.types import ReducedProblem
    >>> problem = ReducedProblem.of(np.array([1.0]), np.array([-4.0]))
    >>> step = regularised_l2(problem, weight=1.5)
    >>> print(f"{step.par[0]:.6f} {step.multiplier:.6f}")
    1.333333 2.000000
    """
    lam, a = problem
    if power == 2.0:
        p, x, decrease = _shifted_system(lam, a, weight)
        nit, converged, hard_case = 0, True, False
    else:
        # 0. Units in which curvature, gradient and weight are at most 1.
        unit, length = _units(lam, a, weight, power)
        # 1. Nothing to gain from the gradient, nor from the curvature.
        if length == 0.0:
            return ReducedStep.zero(len(lam) - 1)
        if not np.isfinite(length):
            return _unbounded(lam, max(0.0, -float(lam.min())))
        with np.errstate(under="ignore", over="ignore"):
            p, x, decrease, nit, converged, hard_case = _scaled(
                lam / unit, a / unit / length, weight / unit * length ** (power - 2.0), power
            )
            p, x, decrease = length * p, unit * x, unit * length * decrease * length
    if not np.isfinite(decrease):
        return _unbounded(lam, float(x))
    return ReducedStep(
        p,
        np.array([float(x)]),
        float(decrease),
        hard_case=hard_case,
        nit=nit,
        status=SubproblemStatus.SOLVED if converged else SubproblemStatus.ITERATION_LIMIT,
    )


def _unbounded(lam: np.ndarray, x: float) -> ReducedStep:
    status = SubproblemStatus.UNBOUNDED
    return ReducedStep(np.zeros_like(lam), np.array([x]), 0.0, status=status)


def _units(lam: np.ndarray, a: np.ndarray, weight: float, power: float) -> tuple[float, float]:
    """Return units of curvature and of length; the length is 0 if the minimiser is."""
    steepest, lowest = np.abs(a).max(), np.maximum(0.0, -lam.min())
    # The second is the multiplier that the gradient alone would lead to.
    unit = max(
        np.abs(lam).max(), weight ** (1.0 / (power - 1.0)) * steepest ** (1.0 - 1.0 / (power - 1.0))
    )
    if unit == 0.0:
        return 0.0, 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        # The least length that the gradient, and that negative curvature, would lead to.
        return unit, max(steepest / unit, (lowest / weight) ** (1.0 / (power - 2.0)))


def _scaled(
    lam: np.ndarray, a: np.ndarray, weight: float, power: float
) -> tuple[np.ndarray, float, float, int, bool, bool]:
    """Return p, x, decrease, iterations, converged and hard_case of the scaled problem."""
    lowest = max(0.0, -float(lam.min()))
    base = lam + lowest
    moving = a != 0.0
    equation = _Secular(base[moving], a[moving], lowest, weight, power)

    p = np.zeros_like(a)
    delta, nit, converged = 0.0, 0, True
    hard_case = lowest > 0.0 and bool(equation.ratio(0.0)[0] < 1.0)
    if hard_case:
        # 2. Any vector of the leftmost eigenspace, of the length that is missing.
        p[moving] = -a[moving] / base[moving]
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            wanted = (equation.lowest / equation.weight) ** (1.0 / (power - 2.0))
            share = _norm(p) / wanted
            p[np.argmin(lam)] = wanted * np.sqrt((1.0 - share) * (1.0 + share))
    else:
        # 3. The root of the secular equation.
        delta, nit, converged = equation.root()
        with np.errstate(divide="ignore", over="ignore"):
            p[moving] = -a[moving] / (base[moving] + delta)

    x = lowest + delta
    with np.errstate(over="ignore", invalid="ignore"):
        decrease = 0.5 * ((base + delta) @ p**2) + (0.5 - 1.0 / power) * x * (p @ p)
    return p, x, decrease, nit, converged, hard_case


class _Secular:
    r"""The equation :math:`w \|a / (base + \delta)\|^{q-2} = lowest + \delta`.

    Notes
    -----
    With :math:`N(\delta) = 1 / \|p(\delta)\|`, concave and increasing, the equation is
    :math:`N^s - (w / x)^t = 0` for exponents of the ratio s : t = (q - 2) : 1.  The larger of the
    two is set to 1.  Then both terms are concave and increasing, so that Newton's method from a
    point left of the root stays left of it and increases; and no power overflows.
    """

    def __init__(
        self, base: np.ndarray, a: np.ndarray, lowest: float, weight: float, power: float
    ) -> None:
        self.base, self.a = base, a
        # NumPy's scalars overflow to inf where Python's raise.
        self.lowest, self.weight = np.float64(lowest), np.float64(weight)
        self.s, self.t = min(1.0, power - 2.0), min(1.0, 1.0 / (power - 2.0))

    def ratio(self, delta: float) -> tuple[float, float]:
        """Return :math:`(w / x)^t / N^s`, above 1 left of the root, and :math:`N' / N`."""
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            shifted = self.base + delta
            p = self.a / shifted
            length = _norm(p)
            # p / length is a unit vector, and cannot overflow when it is squared.
            direction = p / length
            slope = float(direction @ (direction / shifted))
            return (self.weight / (self.lowest + delta)) ** self.t * length**self.s, slope

    def bracket(self) -> tuple[float, float]:
        """Return a point left of the root and one right of it.

        ``||p|| <= ||a|| / delta`` bounds the root from above.  The length of the whole at that
        bound, and the length of each component, bound it from below.
        """
        s, t, lowest, weight = self.s, self.t, self.lowest, self.weight
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            # delta^s (lowest + delta)^t <= bound
            bound = weight**t * np.float64(_norm(self.a)) ** s
            upper = np.fmin(bound ** (1.0 / (s + t)), (bound / lowest**t) ** (1.0 / s))
            shortest = np.float64(_norm(self.a / (self.base + upper)))
            longest = ((lowest + upper) / weight) ** (t / s)
            # Bounds that rounding has moved must not exclude the root.
            rounding = 8.0 * np.finfo(float).eps
            upper = (1.0 + rounding) * upper
            by_whole = (1.0 - rounding) * weight * shortest ** (s / t) - lowest
            by_each = (1.0 - rounding) * np.abs(self.a) / longest - self.base
        # fmax passes over a bound that is 0 times infinity.
        return float(np.fmax.reduce(by_each, initial=np.fmax(by_whole, 0.0))), float(upper)

    def root(self) -> tuple[float, int, bool]:
        """Return the root delta >= 0, the number of Newton steps and whether they converged."""
        eps = float(np.finfo(float).eps)
        delta, upper = self.bracket()
        if self.lowest + delta == 0.0:
            # The multiplier is below the smallest number there is.
            return 0.0, 0, True
        for nit in range(1, MAX_NEWTON + 1):
            ratio, slope = self.ratio(delta)
            if not ratio < np.inf:
                # The step is longer than the largest number there is; the caller finds out.
                return delta, nit, True
            increase = (ratio - 1.0) / (self.s * slope + self.t * ratio / (self.lowest + delta))
            trial = delta + increase if delta + increase < upper else 0.5 * (delta + upper)
            # The second test ends a run that has reached the last bit of delta.
            if ratio - 1.0 <= 4.0 * eps or trial == delta:
                return delta, nit, True
            delta = trial
        return delta, MAX_NEWTON, False


def _shifted_system(
    lam: np.ndarray, a: np.ndarray, weight: float
) -> tuple[np.ndarray, float, float]:
    """Return p, x and the decrease for power 2, whose multiplier is the weight itself."""
    shifted = lam + weight
    moving = a != 0.0
    p = np.zeros_like(a)
    # 4. Unbounded along a direction of negative curvature, or of none and a slope.
    if shifted.min() < 0.0 or (shifted[moving] == 0.0).any():
        return p, weight, np.inf
    p[moving] = -a[moving] / shifted[moving]
    return p, weight, 0.5 * float(shifted @ p**2)


def _norm(v: np.ndarray) -> float:
    """Return the Euclidean norm, also where the squares over- or underflow."""
    return math.hypot(*v)
