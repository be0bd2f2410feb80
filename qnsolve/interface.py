"""``minimize``: the call that SciPy's users know."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from scipy.optimize import OptimizeResult

from qnsolve.arrays import agreed
from qnsolve.comm import as_comm
from qnsolve.methods import METHODS

DEFAULT_METHOD = "hybrid-tr"

OF_SCIPY = (
    *("nelder-mead", "powell", "cg", "bfgs", "newton-cg", "l-bfgs-b", "lbfgs", "tnc", "cobyla"),
    *("cobyqa", "slsqp", "trust-constr", "dogleg", "trust-ncg", "trust-exact", "trust-krylov"),
)
"""Methods that users know from elsewhere, to say where they are."""


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: Any = (),
    method: str | None = None,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
    comm: Any = None,
    warm_start: Any = None,
) -> OptimizeResult:
    r"""Find a local minimiser of a smooth function of n real variables.

    .. math::

        \min_{x \in \mathbb{R}^n} f(x)

    The arguments are those of :func:`scipy.optimize.minimize`.  Unlike there, x may have any shape
    and be an array of any library that follows the Python array API standard; vectors of length n
    stay where the user put them.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> f``, one real number, or ``-> (f, g)`` with ``jac=True``, the form to
        prefer.  x has the shape, dtype, library and device of `x0`; it is a copy.
    x0 : array_like of real numbers, any shape but not empty
        Start point.  float32 and float64 are kept, integers become float64, half precision is
        refused.  A plain number becomes an array of shape (1,).
    args : tuple, optional
        Further arguments of `fun` and `jac`.
    method : {"hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls", "newton-tr"}, optional
        Upper and lower case are one.  A trust region on SR1 re-applied to the L-BFGS matrix (the
        default: it needs the fewest evaluations), or on the limited-memory SR1 matrix; cubic
        regularisation or a line search with the latter; Newton's method in a trust region by
        products with the Hessian.
    jac : callable, True, None, False, "2-point" or "3-point", optional
        ``jac(x, *args) -> g``, with the shape of x or flat; True where `fun` returns both.  None,
        False and "2-point" are forward, "3-point" central differences (NumPy arrays only), at n
        and 2n evaluations each, with steps by the size of each variable or by the options ``eps``
        and ``finite_diff_rel_step``; the option ``workers`` takes them at the same time.
    hess, hessp : callable, optional
        The Hessian, ``hess(x, *args)`` of shape (n, n), or its products, ``hessp(x, p, *args)``,
        for "newton-tr" (:func:`qnsolve.newton_tr`).  Other methods do not use them; a
        RuntimeWarning says so, once.
    bounds : scipy.optimize.Bounds, sequence of pairs, or qnsolve.bounds.Box, optional
        Lower and upper bounds, as in SciPy; None or an infinity where there is none, equal ones
        where x is fixed.  `fun` is never called outside, by differences neither, and `x0` is
        projected, with a warning where it was outside.  For "hybrid-tr", "lsr1-tr" and "lsr1-arc",
        in the l2 norm (the default "shape" of "lsr1-arc" gives way) and without `comm`; other
        methods refuse them.
    constraints : optional
        Refused where there are any.
    tol : float, optional
        The option ``gtol``, unless that is given: stop where no gradient component is larger, or
        under bounds no component of P(x - g) - x, P the projection on the box.
    callback : callable, optional
        Called after each iteration as ``callback(intermediate_result=result)`` where that is its
        only parameter, else as ``callback(xk)``.  Ends the run by raising StopIteration.
    options : mapping, optional
        Fields of the method's class in :mod:`qnsolve.options`: ``memory``, ``gtol``, ``maxiter``,
        ``maxfev``, ``norm`` and others.  An unknown name is an error.  :mod:`qnsolve.presets` has
        the options of published methods.
    comm : qnsolve.comm.Comm or mpi4py communicator, optional
        Ranks that solve one problem together.  Every rank calls with its own slice of `x0`, of any
        length from 0, and with a `fun` that returns *its part* of f, which is the sum over all
        ranks, and its slice of the gradient of that sum.  The result has the slice of x and of the
        gradient, everything else is the same on every rank, and so must `method` be, and all
        options but ``disp``, ``history`` and ``maxtime``; a callback may be given on some.  What is
        wrong with an argument, or raised by a callable, on one rank ends all of them: the others
        raise :class:`qnsolve.comm.RankError` with its message.
    warm_start : OptimizeResult or State, optional
        A result of a similar problem with as many variables, by any method but over ranks: the run
        begins with its pairs, as far as they pass the tests of this method's matrix, its gamma and
        its radius, in place of none.  `x0` is given all the same, often ``result.x``.
        Where a checkpoint is gone on from, that counts.

    Returns
    -------
    scipy.optimize.OptimizeResult
        With ``x`` (the last point accepted, the lowest to rounding in fun; shape of `x0`), ``fun``,
        ``jac`` (shape of `x0`), ``nit``, ``nfev``, ``njev``, ``status``
        (:class:`qnsolve.Status`), ``success``, ``message``, ``n_pairs``, ``skipped``,
        ``restarts``, ``radius`` or ``weight`` and, where asked for, ``history``.  ``hess`` and
        ``hess_inv`` are the matrix of the last model and its inverse, on flat vectors in the
        variables of `fun`, as SciPy's LinearOperator (``@``, ``solve``, ``diagonal()``,
        ``todense()``); where it is singular, the inverse raises ``numpy.linalg.LinAlgError``.  They
        and ``state`` hold the pairs of the run, 2 m vectors, and cost nothing until they are used.
        "newton-tr" has no matrix and, with `comm`, nobody has the whole of it.  "newton-tr" adds
        ``nhev``, its products with the Hessian, "lsr1-ls" ``n_modified``, its iterations along
        another direction than -Hg.  Under bounds there are ``active``, -1 where x is on its lower
        bound, 1 on the upper and 0 on none, and ``multipliers``, the entries of the gradient that
        are held by a bound and 0 elsewhere (shape of `x0`).

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong, before the first evaluation.  Numerical trouble is a status of the
        result.  What `fun`, `jac` or `callback` raise comes through unchanged.

    Notes
    -----
    The last point at which `fun` was called need not be the x that is returned: the last trial may
    have been rejected.  A `fun` that keeps what it has computed, such as a simulation, is brought
    there by calling it once more with ``result.x``.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.interface import minimize
    >>> def fun(x):
    ...     return np.sum(x**4 - x**2), 4 * x**3 - 2 * x
    >>> result = minimize(fun, np.full((2, 2), 0.1), jac=True)
    >>> result.success, result.x.shape, np.round(result.fun, 6)
    (True, (2, 2), np.float64(-1.0))
    """
    comm = as_comm(comm)

    def chosen() -> Callable[..., OptimizeResult]:
        if options is not None and not isinstance(options, Mapping):
            raise TypeError(
                f"options must be a mapping such as a dict, got {type(options).__name__}"
            )
        return METHODS[name_of_method(method)]

    return agreed(comm, chosen)(
        fun,
        x0,
        args,
        jac=jac,
        hess=hess,
        hessp=hessp,
        bounds=bounds,
        constraints=constraints,
        callback=callback,
        comm=comm,
        warm_start=warm_start,
        **{"tol": tol, **(options or {})},
    )


def name_of_method(method: str | None) -> str:
    """Return the name of a method in the table; None is the default."""
    method = DEFAULT_METHOD if method is None else method
    if callable(method):
        raise TypeError(
            "method must be a name; call a callable method through scipy.optimize.minimize"
        )
    if not isinstance(method, str):
        raise TypeError(f"method must be a name, got {type(method).__name__}")
    if method.lower() not in METHODS:
        near = difflib.get_close_matches(method.lower(), METHODS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        if method.lower() in OF_SCIPY:
            hint = f"scipy.optimize.minimize has it, {DEFAULT_METHOD!r} takes its place here. "
        raise ValueError(f"unknown method {method!r}; {hint}The methods are {', '.join(METHODS)}")
    return method.lower()
