"""Checks that trust nobody: gradients, secant equations and answers to subproblems.

Nothing in the solvers imports this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qnsolve.arrays import Array, new_space
from qnsolve.bounds import Box
from qnsolve.curvature import measured_ratios
from qnsolve.norms import DiagonalNorm
from qnsolve.objective import Objective
from qnsolve.solve import checked_problem, in_metric
from qnsolve.subproblem.arguments import checked_positive, checked_power
from qnsolve.subproblem.certificate import Certificate
from qnsolve.subproblem.model import Matrix, QuadraticModel, space_of_matrix
from qnsolve.subproblem.regions import (
    REGULARISATIONS,
    TRUST_REGIONS,
    Regularisation,
    Term,
    TrustRegion,
)


@dataclass(frozen=True)
class GradientCheck:
    """Comparison of a gradient with central differences.

    Attributes
    ----------
    error : float
        Largest disagreement of a component, relative to the largest component in modulus.
    component : tuple of int
        Index of that component in x.
    given, measured : float
        That component as the user's gradient has it, and by differences.
    noise : float
        Disagreement, in the unit of `error`, that rounding in fun alone could explain.
    """

    error: float
    component: tuple[int, ...]
    given: float
    measured: float
    noise: float

    @property
    def consistent(self) -> bool:
        """True where the disagreement is within truncation and rounding of the differences."""
        return self.error <= max(1e-5, 10.0 * self.noise)


def check_grad(fun: Callable[..., Any], x: Any, args: Any = (), jac: Any = True) -> GradientCheck:
    """Compare a gradient with central differences of its function, component by component.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> f``, or ``-> (f, g)`` with ``jac=True``.
    x : ndarray
        Where to compare.
    args : tuple, optional
    jac : callable or True

    Returns
    -------
    GradientCheck
        ``check.consistent`` is the verdict, ``check.component`` the worst component.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described, or fun or its gradient is not finite at x.

    Notes
    -----
    2n + 1 evaluations.  The step ``eps**(1/3) max(1, |x_i|)`` balances truncation, of the order
    eps**(2/3) times the third derivative, against rounding, of the order eps**(2/3) times f.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.verify import check_grad
    >>> wrong = lambda x: (np.sum(x**2), np.array([2.0, -2.0]) * x)
    >>> check = check_grad(wrong, np.array([1.0, 3.0]))
    >>> check.consistent, check.component
    (False, (1,))
    """
    if jac is not True and not callable(jac):
        raise TypeError(f"jac must be True or a callable, got {type(jac).__name__}")
    exact = Objective(fun, x, args, jac)
    value_only = (lambda z, *a: fun(z, *a)[0]) if jac is True else fun
    differences = Objective(value_only, x, args, "3-point")
    f, g = exact(exact.x0, at_start=True)
    if not (np.isfinite(f) and np.isfinite(g).all()):
        raise ValueError("fun or its gradient is not finite at x")
    _, measured = differences(differences.x0, at_start=True)
    scale = max(np.abs(g).max(), np.abs(measured).max()) or 1.0
    disagreement = np.abs(g - measured) / scale
    worst = int(np.argmax(np.where(np.isnan(disagreement), np.inf, disagreement)))
    return GradientCheck(
        error=float(disagreement[worst]),
        component=tuple(int(i) for i in np.unravel_index(worst, exact.shape)),
        given=float(g[worst]),
        measured=float(measured[worst]),
        noise=float(exact.space.eps ** (2 / 3) * abs(f) / scale),
    )


@dataclass(frozen=True)
class BoundedMinimumCheck:
    """The first-order conditions of a minimum under bounds, each as a number that is 0 there.

    Attributes
    ----------
    infeasibility : float
        Largest distance of an entry of x from its interval.
    stationarity : float
        ||P(x - g) - x||_inf, P the projection on the box.
    lagrangian : float
        ||g - multipliers||_inf.
    sign : float
        Largest multiplier in modulus of the wrong sign: they are >= 0 for lower bounds, <= 0 for
        upper ones, and of either sign where both are the same number.
    complementarity : float
        Largest over the variables of the smaller one of \\|multiplier\\| and the distance from the
        bound that it belongs to.
    active, degenerate : int
        Variables on a bound, and those of them with a multiplier of 0.
    """

    infeasibility: float
    stationarity: float
    lagrangian: float
    sign: float
    complementarity: float
    active: int
    degenerate: int

    @property
    def worst(self) -> float:
        """The largest of the conditions; infinite where x is outside of the box."""
        rest = (self.stationarity, self.lagrangian, self.sign, self.complementarity)
        return max(rest) if self.infeasibility == 0.0 else np.inf


def check_bounded_minimum(
    fun: Callable[..., Any],
    x: Any,
    bounds: Any,
    args: Any = (),
    jac: Any = True,
    *,
    multipliers: Any = None,
) -> BoundedMinimumCheck:
    r"""Return how far x, from whatever solver, is from the first-order conditions under bounds.

    .. math::

        l \le x \le u, \qquad g = \lambda, \qquad
        \lambda_i \ge 0 \text{ where } x_i = l_i, \quad
        \lambda_i \le 0 \text{ where } x_i = u_i, \quad
        \lambda_i = 0 \text{ elsewhere}

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> f``, or ``-> (f, g)`` with ``jac=True``.
    x : array of real numbers
        Of any shape and library.  Where it is outside of the box, g is taken at its projection.
    bounds : scipy.optimize.Bounds, sequence of pairs, or qnsolve.bounds.Box
        As in :func:`qnsolve.minimize`.
    args : tuple, optional
    jac : callable, True, None, "2-point" or "3-point"
        As in :func:`qnsolve.minimize`.
    multipliers : array, shape of x, optional
        As in its result.  By default the entries of g that push x against a bound that it is on.

    Returns
    -------
    BoundedMinimumCheck
        ``check.worst`` is the verdict, in the unit of g: compare it with ``gtol``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described, or the gradient is not finite.

    Notes
    -----
    One evaluation.  A saddle point satisfies the conditions, too: they are of first order.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.verify import check_bounded_minimum
    >>> bowl = lambda x: (0.5 * x @ x, x)
    >>> check_bounded_minimum(bowl, np.array([1.0, 0.0]), [(1, 3), (-1, 1)]).worst
    0.0
    >>> check_bounded_minimum(bowl, np.array([3.0, 0.0]), [(1, 3), (-1, 1)]).stationarity
    2.0
    """
    objective = Objective(fun, x, args, jac)
    space, xp = objective.space, objective.space.xp
    whole = space.zeros(space.length) + np.inf
    box = Box.of(bounds, space, objective.border) or Box(-whole, whole)
    given, point = objective.x0, box.project(objective.x0)
    objective.x0 = point
    objective.keep_inside(box)
    _, g = objective(point, at_start=True)
    if not np.isfinite(space.norm_inf(g)):
        raise ValueError("the gradient is not finite at x")
    low, high, zero = point <= box.lower, point >= box.upper, xp.zeros_like(g)
    if multipliers is None:
        held = (low & high) | (low & (g > 0.0)) | (high & (g < 0.0))
        lam = xp.where(held, g, zero)
    else:
        lam = objective.flat(multipliers, "multipliers")
    # P(x - g) - x, with the digits of g that x - g would lose.
    to_lower, to_upper = box.lower - point, box.upper - point
    moved = xp.where(-g < to_lower, to_lower, xp.where(-g > to_upper, to_upper, -g))
    wrong = (low & ~high & (lam < 0.0)) | (high & ~low & (lam > 0.0))
    size, slack = xp.abs(lam), xp.where(lam > 0.0, -to_lower, to_upper)
    return BoundedMinimumCheck(
        infeasibility=space.norm_inf(given - point),
        stationarity=space.norm_inf(moved),
        lagrangian=space.norm_inf(g - lam),
        sign=space.norm_inf(xp.where(wrong, lam, zero)),
        complementarity=space.norm_inf(xp.where(size < slack, size, slack)),
        active=int(xp.count_nonzero(low | high)),
        degenerate=int(xp.count_nonzero((low | high) & (lam == 0.0))),
    )


def check_secant(B: Matrix, s: Array, y: Array) -> float:
    """Return ``||B s - y|| / (||B s|| + ||y||)``, 0 where the secant equation holds.

    Infinite where a number is not finite.  Raises TypeError or ValueError where s and y are not
    real vectors of one length.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve import LSR1
    >>> from qnsolve.verify import check_secant
    >>> s, y = np.array([1.0, 2.0]), np.array([-1.0, 3.0])
    >>> B = LSR1(2)
    >>> _ = B.update(s, y)
    >>> check_secant(B, s, y) < 1e-15
    True
    """
    space = space_of_matrix(B) or new_space(np.size(s))
    s, y = space.checked(s, "s"), space.checked(y, "y")
    with np.errstate(over="ignore", invalid="ignore"):
        Bs = B @ s
        size, error = space.norm(Bs) + space.norm(y), space.norm(Bs - y)
    if not np.isfinite(size):
        return np.inf
    return error / size if size else 0.0


def check_trs(
    g: Array,
    B: Matrix,
    radius: float,
    step: Array,
    multipliers: float | np.ndarray | None = None,
    *,
    norm: str | DiagonalNorm = "l2",
) -> Certificate:
    """Return how far `step`, from whatever solver, is from a global minimiser over a region.

    Parameters
    ----------
    g : array, shape (n,)
    B : LSR1, LBFGS, ScaledMatrix, PartialSpectrum, or dense symmetric NumPy array, shape (n, n)
    radius : float, > 0
        In `norm`.
    step : array, shape (n,)
    multipliers : float or ndarray, >= 0, optional
        As in the result of :func:`qnsolve.solve_trs`.  By default those that fit the step best: for
        each block v of the norm ``max(0, -v'(B s + g) / v'v)``.
    norm : {"l2", "shape-inf", "shape-2"} or DiagonalNorm
        As in :func:`qnsolve.solve_trs`; a DiagonalNorm needs a dense B or a ScaledMatrix in it.

    Returns
    -------
    Certificate

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.verify import check_trs
    >>> certificate = check_trs(np.array([1.0, 0.0]), np.eye(2), 0.5, np.array([-0.5, 0.0]))
    >>> certificate.worst <= 1e-15, certificate.min_eig
    (True, 1.0)
    """
    radius = checked_positive(radius, "radius")
    model = _checked_model(g, B, norm, TRUST_REGIONS)
    term = TrustRegion(radius, norm if isinstance(norm, str) else "l2")
    return _certify(model, step, term, multipliers)


def check_cubic(
    g: Array,
    B: Matrix,
    weight: float,
    step: Array,
    multipliers: float | np.ndarray | None = None,
    *,
    norm: str | DiagonalNorm = "shape",
    power: float = 3.0,
) -> Certificate:
    """Return how far `step`, from whatever solver, is from a global minimiser of a cubic model.

    Parameters
    ----------
    g : array, shape (n,)
    B : LSR1, LBFGS, ScaledMatrix, PartialSpectrum, or dense symmetric NumPy array, shape (n, n)
    weight : float, > 0
    step : array, shape (n,)
    multipliers : float or ndarray, >= 0, optional
        As in the result of :func:`qnsolve.solve_cubic`.  By default those of the step's lengths.
    norm : {"shape", "l2"} or DiagonalNorm
        As in :func:`qnsolve.solve_cubic`; a DiagonalNorm needs a dense B or a ScaledMatrix in it.
    power : float, >= 2

    Returns
    -------
    Certificate

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described.

    Examples
    --------
    The minimiser of -2 s + s^2 / 2 + |s|^3 / 3 is 1:

    >>> import numpy as np
    >>> from qnsolve.verify import check_cubic
    >>> check_cubic(np.array([-2.0]), np.eye(1), 1.0, np.array([1.0])).worst <= 1e-15
    True
    """
    weight, power = checked_positive(weight, "weight"), checked_power(power, norm)
    model = _checked_model(g, B, norm, REGULARISATIONS)
    term = Regularisation(weight, norm if isinstance(norm, str) else "l2", power)
    return _certify(model, step, term, multipliers)


@dataclass(frozen=True, eq=False)
class HessianError:
    """Comparison of the matrix of a run with differences of gradients.

    Attributes
    ----------
    ratios : ndarray, shape (k,)
        Curvature of the function over that of the matrix, along the directions measured, ascending;
        all 1 where the matrix is right.
    nfev : int
        Evaluations of fun.
    """

    ratios: np.ndarray
    nfev: int

    @property
    def factor(self) -> float:
        """Largest factor between the two curvatures, either way; infinite where H is not positive.

        A standard error from the matrix alone may be wrong by its root.
        """
        if not len(self.ratios) or not self.ratios[0] > 0.0:  # or no gradient there was finite
            return np.inf
        return max(float(self.ratios[-1]), 1.0 / float(self.ratios[0]))


def hessian_error(
    fun: Callable[..., Any], result: Any, k: int = 5, args: Any = (), jac: Any = True
) -> HessianError:
    """Compare the matrix of a run with the Hessian at its end, along k directions.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> (f, g)``, or ``-> f`` with a `jac`.
    result : OptimizeResult
        Of :func:`qnsolve.minimize`, with a matrix.
    k : int, from 1 to n
        Number of directions.
    args, jac
        As in :func:`qnsolve.minimize`.

    Returns
    -------
    HessianError

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described, or the result has no matrix.
    numpy.linalg.LinAlgError
        If the matrix is singular.

    Notes
    -----
    k + 1 evaluations.  The ratios are Ritz values of B^{-1/2} H B^{-1/2}, negative eigenvalues of B
    replaced by their moduli: with few directions they show the largest errors first.

    Examples
    --------
    >>> import numpy as np
    >>> import qnsolve
    >>> d = np.array([1.0, 10.0, 100.0])
    >>> fun = lambda x: (0.5 * x @ (d * x), d * x)
    >>> result = qnsolve.minimize(fun, np.ones(3), jac=True, options={"gtol": 1e-10})
    >>> check = qnsolve.verify.hessian_error(fun, result, k=3)
    >>> check.factor < 1.01, check.nfev
    (True, 4)
    """
    return HessianError(*measured_ratios(fun, result, k, args, jac))


def _checked_model(
    g: Array, B: Matrix, norm: str | DiagonalNorm, names: Iterable[str]
) -> QuadraticModel:
    g, B = checked_problem(g, B, norm, names)
    known = in_metric(B, norm)
    if known is None:
        raise ValueError(
            "the smallest eigenvalue in this norm is only known for a dense B or a ScaledMatrix "
            "in the same metric"
        )
    return QuadraticModel(g, known)


def _certify(
    model: QuadraticModel, step: Array, term: Term, multipliers: float | np.ndarray | None
) -> Certificate:
    step = model.spectrum.space.checked(step, "step")
    if multipliers is not None:
        multipliers = np.atleast_1d(np.asarray(multipliers))
        if multipliers.dtype.kind not in "iuf":
            raise TypeError(f"multipliers must be real numbers, got dtype {multipliers.dtype}")
        multipliers = multipliers.astype(float)
        wanted = (int(term.blocks(len(model.spectrum.eigenvalues))[-1]) + 1,)
        if multipliers.shape != wanted:
            raise ValueError(f"multipliers must have shape {wanted}, got {multipliers.shape}")
        if not ((multipliers >= 0.0) & np.isfinite(multipliers)).all():
            raise ValueError(f"multipliers must be at least 0 and finite, got {multipliers}")
    return model.certify(step, term, multipliers)
