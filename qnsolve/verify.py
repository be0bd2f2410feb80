"""Checks that trust nobody: derivatives, secant equations and answers to subproblems.

Nothing in the solvers imports this module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qnsolve.arrays import Array, VectorSpace, new_space
from qnsolve.arrays.libraries import to_number
from qnsolve.bounds import Box
from qnsolve.checks import integer
from qnsolve.curvature import measured_ratios
from qnsolve.hessian import Hessian
from qnsolve.judging import judge
from qnsolve.norms import DiagonalNorm
from qnsolve.objective import Objective
from qnsolve.subproblem.arguments import checked_positive, checked_power
from qnsolve.subproblem.model import Matrix, space_of_matrix
from qnsolve.subproblem.regions import (
    REGULARISATIONS,
    TRUST_REGIONS,
    Regularisation,
    TrustRegion,
)
from qnsolve.subproblem.step_check import StepCheck


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


@dataclass(frozen=True, eq=False)
class HessianCheck:
    """Comparison of products with a Hessian with central differences of the gradient.

    Attributes
    ----------
    error : float
        Largest disagreement of a component, relative to the largest component in modulus.
    component : tuple of int
        Index of that component in x.
    given, measured : float
        That component as the user's product has it, and by differences.
    direction : array, like x
        The direction of that product.
    noise : float
        Disagreement, in the unit of `error`, that rounding in the gradient alone could explain.
    asymmetry : float
        Largest ``|u'Hv - v'Hu|`` over ``|u| |Hv| + |v| |Hu|`` of two directions.
    """

    error: float
    component: tuple[int, ...]
    given: float
    measured: float
    direction: Array
    noise: float
    asymmetry: float

    @property
    def consistent(self) -> bool:
        """True where the Hessian is symmetric and that of the gradient, as far as can be seen."""
        allowed = max(1e-5, 10.0 * self.noise)
        return self.error <= allowed and self.asymmetry <= allowed


def check_hessp(
    fun: Callable[..., Any],
    x: Any,
    hessp: Callable[..., Any] | None = None,
    args: Any = (),
    jac: Any = True,
    *,
    hess: Callable[..., Any] | None = None,
    directions: int = 3,
    seed: int = 0,
) -> HessianCheck:
    """Compare products with a Hessian with central differences of the gradient.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> f``, or ``-> (f, g)`` with ``jac=True``.
    x : array, of any library
        Where to compare.
    hessp : callable, optional
        ``hessp(x, p, *args) -> H p``, with p of the shape of x.
    args : tuple, optional
    jac : callable or True
        The gradient is taken for right: :func:`check_grad` first.
    hess : callable, optional
        ``hess(x, *args) -> H``, in place of `hessp`: in every form that :func:`qnsolve.minimize`
        takes.
    directions : int, >= 1
        Random directions.  Each sees a slip in any column with certainty, unless by accident.
    seed : int
        Of the directions.

    Returns
    -------
    HessianCheck
        ``check.consistent`` is the verdict, ``check.component`` the worst component.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described, or the gradient is not finite at x.

    Notes
    -----
    A product and two gradients a direction, and one more gradient.  The step is
    ``eps**(1/3) max(1, |x|_inf)`` in the largest component of the direction.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.verify import check_hessp
    >>> fun = lambda x: (np.sum(x**4), 4 * x**3)
    >>> check_hessp(fun, np.array([1.0, 2.0]), lambda x, p: 12 * x**2 * p).consistent
    True
    >>> check = check_hessp(fun, np.array([1.0, 2.0]), lambda x, p: [12, 24] * x**2 * p)
    >>> check.consistent, check.component
    (False, (1,))
    """
    if jac is not True and not callable(jac):
        raise TypeError(f"jac must be True or a callable, got {type(jac).__name__}")
    if (hess is None) == (hessp is None):
        raise TypeError("one of hessp and hess is wanted, got " + ("both", "none")[hess is None])
    count = integer(directions, "directions", 1)
    rng = np.random.default_rng(integer(seed, "seed", 0))
    objective = Objective(fun, x, args, jac)
    hessian = Hessian(objective, hess, hessp, args)
    x0, space = objective.x0, objective.space
    g = objective.gradient(x0)
    if not np.isfinite(space.norm_inf(g)):
        raise ValueError("the gradient is not finite at x")
    h = float(space.eps) ** (1 / 3) * max(1.0, space.norm_inf(x0))
    found: list[HessianCheck] = []
    made: list[tuple[Array, Array]] = []
    for _ in range(count):
        v = space.from_host(rng.uniform(0.5, 1.0, space.size) * rng.choice([-1.0, 1.0], space.size))
        product = hessian.product(x0, g, v)
        ahead, behind = objective.gradient(x0 + h * v), objective.gradient(x0 - h * v)
        with np.errstate(over="ignore", invalid="ignore"):
            measured = (ahead - behind) / (2.0 * h)
        rounding = space.eps * max(space.norm_inf(ahead), space.norm_inf(behind)) / h
        asymmetry = max((_asymmetry(space, v, product, *other) for other in made), default=0.0)
        made.append((v, product))
        found.append(_compared(objective, v, product, measured, rounding, asymmetry))
    worst = max(found, key=lambda check: check.error)
    return replace(worst, asymmetry=max(check.asymmetry for check in found))


@np.errstate(over="ignore", invalid="ignore")
def _compared(
    objective: Objective,
    v: Array,
    product: Array,
    measured: Array,
    rounding: float,
    asymmetry: float,
) -> HessianCheck:
    space, xp = objective.space, objective.space.xp
    scale = max(space.norm_inf(product), space.norm_inf(measured)) or 1.0
    disagreement = xp.abs(product - measured)
    ranked = xp.where(xp.isnan(disagreement), xp.full_like(disagreement, np.inf), disagreement)
    worst = int(xp.argmax(ranked))
    error = to_number(disagreement[worst]) / scale
    return HessianCheck(
        error=error if np.isfinite(error) else np.inf,
        component=tuple(int(i) for i in np.unravel_index(worst, objective.shape)),
        given=to_number(product[worst]),
        measured=to_number(measured[worst]),
        direction=objective.shaped(v),
        noise=float(rounding / scale) if np.isfinite(scale) else 0.0,
        asymmetry=asymmetry,
    )


@np.errstate(over="ignore", invalid="ignore")
def _asymmetry(space: VectorSpace, v: Array, Hv: Array, u: Array, Hu: Array) -> float:
    size = space.norm(u) * space.norm(Hv) + space.norm(v) * space.norm(Hu)
    error = abs(space.dot(u, Hv) - space.dot(v, Hu)) / size if size else 0.0
    return error if np.isfinite(error) else np.inf


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
    B: Any,
    radius: float,
    step: Array,
    multipliers: float | np.ndarray | None = None,
    *,
    norm: str | DiagonalNorm = "l2",
    basis: Array | None = None,
) -> StepCheck:
    """Return how good `step`, from whatever solver, is over a region.

    Parameters
    ----------
    g : array, shape (n,)
    B : matrix, shape (n, n), symmetric
        LSR1, LBFGS, ScaledMatrix, PartialSpectrum; a dense array of any library or nested list; or
        what is known by its products: a sparse matrix or array, a LinearOperator, ``B(v)``.
    radius : float, > 0
        In `norm`.
    step : array, shape (n,)
    multipliers : float or ndarray, >= 0, optional
        As in the result of :func:`qnsolve.solve_trs`.  By default those that fit the step best: of
        a block v of the norm ``max(0, -v'(B s + g) / v'v)``, less for a short block well inside.
    norm : {"l2", "shape-inf", "shape-2"} or DiagonalNorm
        As in :func:`qnsolve.solve_trs`.  The shape norms need a B that is not known by its products
        only.
    basis : array, shape (r, n), optional
        For the shape norms and a dense B: the r orthonormal eigenvectors of B, one a row, that the
        norm measures on their own.  On their complement B must be a multiple of the identity.  By
        default the norm measures all n eigenvectors so.

    Returns
    -------
    StepCheck
        A :class:`qnsolve.Certificate` with ``verdict``, ``fraction``, ``cauchy`` and more; its
        ``str`` says all of it in a sentence.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described.

    Notes
    -----
    With a spectrum, the share of the greatest decrease is bounded by the dual problem at the best
    multiplier: O(n^3) for a dense B.  By products alone the bound is that of a minimiser which the
    Lanczos process finds, with some tens of products, and the least curvature the least that it
    meets: it overlooks a lower one with a chance of 1e-6.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.verify import check_trs
    >>> check = check_trs(np.array([1.0, 0.0]), np.eye(2), 0.5, np.array([-0.5, 0.0]))
    >>> check.worst <= 1e-15, check.min_eig, check.verdict.name
    (True, 1.0, 'EXACT')
    >>> short = check_trs(np.array([1.0, 0.0]), np.eye(2), 0.5, np.array([-0.25, 0.0]))
    >>> print(f"{short.fraction:.4f} of the greatest decrease")
    0.5833 of the greatest decrease
    """
    radius = checked_positive(radius, "radius")
    term = TrustRegion(radius, norm if isinstance(norm, str) else "l2")
    return judge(g, B, step, term, multipliers, norm, TRUST_REGIONS, basis)


def check_cubic(
    g: Array,
    B: Any,
    weight: float,
    step: Array,
    multipliers: float | np.ndarray | None = None,
    *,
    norm: str | DiagonalNorm = "shape",
    power: float = 3.0,
    basis: Array | None = None,
) -> StepCheck:
    """Return how good `step`, from whatever solver, is for a cubic model.

    Parameters
    ----------
    g : array, shape (n,)
    B : matrix, shape (n, n), symmetric
        As for :func:`check_trs`.
    weight : float, > 0
    step : array, shape (n,)
    multipliers : float or ndarray, >= 0, optional
        As in the result of :func:`qnsolve.solve_cubic`.  By default those of the step's lengths.
    norm : {"shape", "l2"} or DiagonalNorm
        As in :func:`qnsolve.solve_cubic`.  "shape" needs a B that is not known by its products
        only.
    power : float, >= 2
    basis : array, shape (r, n), optional
        As for :func:`check_trs`.

    Returns
    -------
    StepCheck

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
    term = Regularisation(weight, norm if isinstance(norm, str) else "l2", power)
    return judge(g, B, step, term, multipliers, norm, REGULARISATIONS, basis)


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
        If an argument is not of the kind described, a variable of the result is on one of its
        bounds, or the result has no matrix.
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
