"""Checks that trust nobody: gradients, secant equations and answers to subproblems.

Nothing in the solvers imports this module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qnsolve.array import Array, VectorSpace
from qnsolve.objective import Objective
from qnsolve.quasi_newton.base import CompactMatrix
from qnsolve.quasi_newton.spectrum import PartialSpectrum
from qnsolve.subproblem.model import Matrix, checked_model, checked_radius
from qnsolve.subproblem.types import Certificate


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


def check_grad(fun: Callable, x: Any, args: Any = (), jac: Any = True) -> GradientCheck:
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


def check_secant(B: CompactMatrix | PartialSpectrum | np.ndarray, s: Array, y: Array) -> float:
    """Return ``||B s - y|| / (||B s|| + ||y||)``, 0 where the secant equation holds.

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
    space = VectorSpace.of(y)
    Bs = B @ s if isinstance(B, np.ndarray) else B.matvec(s)
    size = space.norm(Bs) + space.norm(y)
    return space.norm(Bs - y) / size if size else 0.0


def check_trs(
    g: Array, B: Matrix, radius: float, step: Array, multiplier: float | None = None
) -> Certificate:
    """Return how far `step`, from whatever solver, is from a global minimiser in the l2 ball.

    Parameters
    ----------
    g : array, shape (n,)
    B : LSR1, LBFGS, PartialSpectrum, or dense symmetric NumPy array, shape (n, n)
    radius : float, > 0
    step : array, shape (n,)
    multiplier : float, >= 0, optional
        By default the one that fits best: ``max(0, -s'(B s + g) / s's)``.

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
    model, radius = checked_model(g, B), checked_radius(radius)
    space = model.spectrum.space
    if step.shape != g.shape:
        raise ValueError(f"step must have shape {tuple(g.shape)}, got {tuple(step.shape)}")
    if multiplier is None:
        square = space.dot(step, step)
        along = space.dot(step, model.matvec(step)) + space.dot(step, g)
        multiplier = max(0.0, -along / square) if square else 0.0
    elif not multiplier >= 0.0:
        raise ValueError(f"multiplier must be at least 0, got {multiplier!r}")
    return model.certify(step, float(multiplier), radius)
