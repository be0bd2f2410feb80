"""The methods as callables, for ``scipy.optimize.minimize(..., method=qnsolve.lsr1_tr)``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sized
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import Bounds, OptimizeResult

from qnsolve.callback import wrap_callback
from qnsolve.comm import Comm, agreed, as_comm
from qnsolve.objective import Objective
from qnsolve.options import (
    CubicOptions,
    HybridOptions,
    LineSearchOptions,
    NewtonOptions,
    SolverOptions,
    TrustRegionOptions,
)
from qnsolve.solvers.arc import minimize_cubic
from qnsolve.solvers.hessian import Hessian
from qnsolve.solvers.hybrid import minimize_hybrid
from qnsolve.solvers.line_search import minimize_line_search
from qnsolve.solvers.matrices import build_lsr1
from qnsolve.solvers.newton_tr import minimize_newton
from qnsolve.solvers.trust_region import minimize_trust_region


@dataclass(frozen=True)
class Solver:
    """What tells one method from another: its options, its loop, and its name in words.

    The loop of a method that `uses_hessian` takes a Hessian as a further argument.
    """

    options: type[SolverOptions]
    run: Callable[..., OptimizeResult]
    words: str
    uses_hessian: bool = False


SOLVERS = {
    "hybrid-tr": Solver(
        HybridOptions,
        minimize_hybrid,
        "a trust region on SR1 re-applied to the limited-memory BFGS matrix",
    ),
    "lsr1-tr": Solver(
        TrustRegionOptions,
        partial(minimize_trust_region, build_matrix=build_lsr1),
        "the limited-memory SR1 trust-region method",
    ),
    "lsr1-arc": Solver(
        CubicOptions,
        partial(minimize_cubic, build_matrix=build_lsr1),
        "adaptive cubic regularisation with the limited-memory SR1 matrix",
    ),
    "lsr1-ls": Solver(
        LineSearchOptions,
        minimize_line_search,
        "limited-memory SR1 in inverse form with a line search",
    ),
    "newton-tr": Solver(
        NewtonOptions,
        minimize_newton,
        "Newton's method in a trust region, by products with the Hessian",
        uses_hessian=True,
    ),
}
"""Methods by name."""

DOCSTRING = """Minimise a smooth function by {words}.

    Usable on its own and as the `method` of :func:`scipy.optimize.minimize`.

    Parameters
    ----------
    fun, x0, args, jac
        As in :func:`qnsolve.minimize`.  SciPy does not hand the names of difference schemes on to
        a method of this kind: through it ``jac="3-point"`` arrives as None and means forward
        differences.
    hess, hessp
        {hessian}
    bounds, constraints
        Refused where they restrict x.
    callback, comm : optional
        As in :func:`qnsolve.minimize`.
    **options
        The fields of :class:`qnsolve.options.{options}`, and ``tol`` for ``gtol``.

    Returns
    -------
    scipy.optimize.OptimizeResult
        As :func:`qnsolve.minimize` returns it.

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong, before the first evaluation.

    Examples
    --------
    >>> import scipy.optimize
    >>> from qnsolve.methods import {name}
    >>> rosen, rosen_der = scipy.optimize.rosen, scipy.optimize.rosen_der
    >>> result = scipy.optimize.minimize(rosen, [-1.2, 1.0], jac=rosen_der, method={name})
    >>> result.success, result.x.round(3)
    (True, array([1., 1.]))
    """

HESSIAN_UNUSED = "Not used; a RuntimeWarning says so where one is given."

HESSIAN_USED = """``hess(x, *args)``, of shape (n, n): an array or, for NumPy, also a sparse matrix
        or a LinearOperator.  Or ``hessp(x, p, *args)``, with the shape of x.  With neither,
        products are differences of gradients."""


def _callable(method: str) -> Callable[..., OptimizeResult]:
    """Return the method as a callable with its own name and docstring."""

    def solve(
        fun: Callable[..., Any],
        x0: Any,
        args: Any = (),
        *,
        jac: Any = None,
        hess: Any = None,
        hessp: Any = None,
        bounds: Any = None,
        constraints: Any = (),
        callback: Callable[..., Any] | None = None,
        comm: Any = None,
        **options: Any,
    ) -> OptimizeResult:
        _refuse_restrictions(method, bounds, constraints)
        solver = SOLVERS[method]
        comm = None if comm is None else as_comm(comm)
        objective = Objective(fun, x0, args, jac, comm)
        checked = solver.options.from_user(options, objective.space.eps)
        further = {}
        if solver.uses_hessian:
            if hess is not None and comm is not None:
                raise ValueError("with comm no rank has all rows of hess; give hessp")
            further["hessian"] = Hessian(objective, hess, hessp, args)
        else:
            _warn_unused(method, hess=hess, hessp=hessp)
        callback = wrap_callback(callback)
        if comm is not None and callback is not None:
            callback = _on_all_ranks(callback, comm)
        result = solver.run(objective, checked, callback, **further)
        result.x = objective.shaped(result.x)
        result.jac = objective.shaped(result.jac)
        if checked.disp and (comm is None or comm.rank == 0):
            _print_summary(result)
        return result

    name, solver = method.replace("-", "_"), SOLVERS[method]
    solve.__name__ = solve.__qualname__ = name
    solve.__doc__ = DOCSTRING.format(
        name=name,
        words=solver.words,
        options=solver.options.__name__,
        hessian=HESSIAN_USED if solver.uses_hessian else HESSIAN_UNUSED,
    )
    return solve


hybrid_tr = _callable("hybrid-tr")
lsr1_tr = _callable("lsr1-tr")
lsr1_arc = _callable("lsr1-arc")
lsr1_ls = _callable("lsr1-ls")
newton_tr = _callable("newton-tr")

METHODS: dict[str, Callable[..., OptimizeResult]] = {
    "hybrid-tr": hybrid_tr,
    "lsr1-tr": lsr1_tr,
    "lsr1-arc": lsr1_arc,
    "lsr1-ls": lsr1_ls,
    "newton-tr": newton_tr,
}
"""Callables by name, for ``qnsolve.minimize``."""


def _on_all_ranks(callback: Callable[..., Any], comm: Comm) -> Callable[[OptimizeResult], bool]:
    """Return the callback with one answer for all ranks: stop where one of them wants to."""

    def together(intermediate: OptimizeResult) -> bool:
        stop = agreed(comm, lambda: callback(intermediate))
        return bool(comm.allreduce_sum(np.array([float(stop)]))[0])

    return together


def _print_summary(result: OptimizeResult) -> None:
    """Print what SciPy's solvers print for ``disp=True``."""
    print(result.message)
    print(f"         Current function value: {result.fun:.6e}")
    print(f"         Iterations: {result.nit}")
    print(f"         Function evaluations: {result.nfev}")
    print(f"         Gradient evaluations: {result.njev}")
    if "nhev" in result:
        print(f"         Products with the Hessian: {result.nhev}")


def _refuse_restrictions(method: str, bounds: Any, constraints: Any) -> None:
    way_out = "use scipy.optimize.minimize(..., method='trust-constr', hess=qnsolve.LSR1Strategy())"
    if _restricts(bounds):
        raise ValueError(f"{method} takes no bounds; {way_out}, or transform the variables")
    none_given = isinstance(constraints, Sized) and len(constraints) == 0
    if constraints is not None and not none_given:
        raise ValueError(f"{method} takes no constraints; {way_out}, or add a penalty to fun")


def _restricts(bounds: Any) -> bool:
    """Tell whether `bounds`, in any of SciPy's forms, keep x from going anywhere."""
    if bounds is None:
        return False
    if isinstance(bounds, Bounds):
        low, high = bounds.lb, bounds.ub
    else:
        low = [-np.inf if pair[0] is None else pair[0] for pair in bounds]
        high = [np.inf if pair[1] is None else pair[1] for pair in bounds]
    return not (np.all(np.isneginf(low)) and np.all(np.isposinf(high)))


def _warn_unused(method: str, **derivatives: Any) -> None:
    for name, value in derivatives.items():
        if value is not None:
            message = f"Method {method} does not use Hessian information ({name})."
            warnings.warn(message, RuntimeWarning, stacklevel=3)
