"""The methods: what each consists of, and as callables for ``scipy.optimize.minimize``."""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass
from functools import partial
from typing import Any

from scipy.optimize import OptimizeResult

from qnsolve.arrays import VectorSpace, agreed
from qnsolve.bounds import Box
from qnsolve.callables import Callables
from qnsolve.callback import wrap_callback
from qnsolve.checkpoint import require_same
from qnsolve.checks import warn_unused
from qnsolve.comm import as_comm
from qnsolve.hessian import Hessian
from qnsolve.norms import options_inside
from qnsolve.objective import Objective
from qnsolve.options import (
    CubicOptions,
    HybridOptions,
    LineSearchOptions,
    ModelOptions,
    NewtonOptions,
    SolverOptions,
    TrustRegionOptions,
)
from qnsolve.quasi_newton.hybrid import regime_of
from qnsolve.questions import Asking, drive
from qnsolve.solvers.bounds import BoundedModel
from qnsolve.solvers.compiled_model import CompiledModel, fits
from qnsolve.solvers.line_search import minimise_on_lines
from qnsolve.solvers.loop import Parts, minimise
from qnsolve.solvers.matrices import MatrixFactory, build_hybrid, build_lsr1
from qnsolve.solvers.metric import Metric, named_norm
from qnsolve.solvers.models import NewtonModel, SecantModel
from qnsolve.solvers.moving_norms import AdaptiveNorm
from qnsolve.solvers.radius import Interpolated, RadiusRule, interpolated_radius
from qnsolve.solvers.reach import Radius, Weight
from qnsolve.solvers.run import Run
from qnsolve.solvers.start import FirstReach
from qnsolve.solvers.weight import rule_of
from qnsolve.subproblem.regions import TRUST_REGIONS

MAX_BLIND = 10
"""Steps in a row without a finite product with the Hessian, after which there is none."""

VECTORS = frozenset(("x", "jac", "active", "multipliers"))
"""Fields of a result that have the shape of x."""

OF_A_RANK = ("disp", "history", "maxtime")
"""Options that may differ from rank to rank; all others steer the run."""

HYBRID_SHRINKAGE = 0.25
"""Part of a poor step to which the radius shrinks at least: the new pair mends the model, too."""


def secant_model(build: MatrixFactory, options: ModelOptions, metric: Metric) -> SecantModel:
    """Return the model with a limited-memory matrix."""
    make = partial(options.matrix or build, metric.space, options)
    if isinstance(options, TrustRegionOptions) and fits(options, metric.space):
        return CompiledModel(make, metric)
    return SecantModel(make, metric)


def bounded_model(
    build: MatrixFactory, options: TrustRegionOptions | CubicOptions, metric: Metric, box: Box
) -> BoundedModel:
    """Return the model with a limited-memory matrix whose steps stay in a box.

    Raises
    ------
    ValueError
        If an option asks for what has no meaning there, or is not known to.
    """
    wrong: dict[str, Any] = {"matrix": options.matrix, "first_step": options.first_step}
    if options.norm not in ("l2", "shape"):
        wrong["norm"] = options.norm
    given = [name for name, value in wrong.items() if value is not None]
    if given:
        raise ValueError(f"with bounds the option {given[0]} is not supported; leave it out")
    return BoundedModel(partial(build, metric.space, options), metric, box)


def newton_model(options: NewtonOptions, metric: Metric) -> NewtonModel:
    """Return the model with the Hessian."""
    moving = None
    if options.norm in ("adagrad", "rmsprop"):
        decay = options.decay if options.norm == "rmsprop" else None
        moving = AdaptiveNorm(decay, options.norm_bounds, options.normalise, metric.space)
    return NewtonModel(
        metric,
        moving,
        inner=options.inner,
        inner_maxiter=options.inner_maxiter,
        forcing=options.forcing,
        superlinear=True,
        max_blind=MAX_BLIND,
    )


def radius(rule: RadiusRule, options: TrustRegionOptions | NewtonOptions) -> Radius:
    """Return the radius of a trust region, before the start."""
    rule, norm = options.radius_rule or rule, options.norm
    norm = norm if isinstance(norm, str) and norm in TRUST_REGIONS else "l2"
    return Radius(options, rule, norm, most=options.max_radius, first=options.initial_radius)


def weight(options: CubicOptions) -> Weight:
    """Return the weight of the regulariser, before the start."""
    rule, norm = rule_of(options.weight_rule), named_norm(options.norm)
    return Weight(options, rule, norm, options.longest_step, options.initial_weight)


def hybrid_reach(n: int) -> FirstReach:
    """Return how far the first step of the default method goes."""
    regime = regime_of(n)
    return FirstReach(regime.reach_of_x, regime.reach_of_fall)


@dataclass(frozen=True)
class Method:
    """What tells one method from another.

    Attributes
    ----------
    options : type
    parts : Parts or callable
        The parts of the loop; or, for a method with its own, ``loop(options, run)``.
    words : str
        Its name in words.
    uses_hessian : bool
    """

    options: type[SolverOptions]
    parts: Parts | Callable[[Any, Run], Asking[OptimizeResult]]
    words: str
    uses_hessian: bool = False

    @property
    def takes_bounds(self) -> bool:
        """Whether its steps can be kept in a box."""
        return isinstance(self.parts, Parts) and self.parts.bounded is not None

    def loop(self, options: SolverOptions, run: Run) -> Asking[OptimizeResult]:
        """Return the loop, which has not begun."""
        if isinstance(self.parts, Parts):
            return minimise(self.parts, options, run)
        return self.parts(options, run)


TABLE = {
    "hybrid-tr": Method(
        HybridOptions,
        Parts(
            partial(secant_model, build_hybrid),
            partial(radius, Interpolated(HYBRID_SHRINKAGE)),
            hybrid_reach,
            partial(bounded_model, build_hybrid),
        ),
        "a trust region on SR1 re-applied to the limited-memory BFGS matrix",
    ),
    "lsr1-tr": Method(
        TrustRegionOptions,
        Parts(
            partial(secant_model, build_lsr1),
            partial(radius, interpolated_radius),
            bounded=partial(bounded_model, build_lsr1),
        ),
        "the limited-memory SR1 trust-region method",
    ),
    "lsr1-arc": Method(
        CubicOptions,
        Parts(
            partial(secant_model, build_lsr1), weight, bounded=partial(bounded_model, build_lsr1)
        ),
        "adaptive cubic regularisation with the limited-memory SR1 matrix",
    ),
    "lsr1-ls": Method(
        LineSearchOptions,
        minimise_on_lines,
        "limited-memory SR1 in inverse form with a line search",
    ),
    "newton-tr": Method(
        NewtonOptions,
        Parts(newton_model, partial(radius, interpolated_radius)),
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
    bounds
        {bounds}
    constraints
        Refused where there are any.
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

BOUNDS_REFUSED = "Refused where they restrict x; other methods take them."

BOUNDS_TAKEN = """As in :func:`qnsolve.minimize`, in any of SciPy's forms; `keep_feasible` is
        always true."""

HESSIAN_UNUSED = "Not used; a RuntimeWarning says so once where one is given."

HESSIAN_USED = """``hess(x, *args)``, of shape (n, n): an array or, for NumPy, also a sparse matrix
        or a LinearOperator.  Or ``hessp(x, p, *args)``, with the shape of x.  With neither,
        products are differences of gradients."""


def _callable(name: str) -> Callable[..., OptimizeResult]:
    """Return the method of that name as a callable with its own name and docstring."""

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
        method = TABLE[name]
        comm = as_comm(comm)
        agreed(comm, lambda: _refuse_constraints(name, constraints))
        objective = Objective(fun, x0, args, jac, comm)
        space = objective.space

        def arguments() -> tuple[SolverOptions, Hessian | None, Any]:
            inside = options_inside(options, objective.border)
            checked, hessian = method.options.from_user(inside, space.eps), None
            box = Box.of(bounds, space, objective.border)
            if box is not None:
                _require_bounds(name, space)
            objective.keep_inside(box)
            objective.take_steps(checked.eps, checked.finite_diff_rel_step, checked.workers)
            if method.uses_hessian:
                if hess is not None and space.sharded:
                    raise ValueError("with comm no rank has all rows of hess; give hessp")
                hessian = Hessian(objective, hess, hessp, args)
            return checked, hessian, wrap_callback(callback)

        checked, hessian, shown = space.agreed(arguments)
        if space.sharded:
            require_same(space, method=name, jac=jac is True)
            require_same(space, **{n: v for n, v in vars(checked).items() if n not in OF_A_RANK})
            require_same(space, hessp=hessian is not None and hessp is not None)
        if hessian is None:
            warn_unused(name, hess=hess, hessp=hessp)
        callables = Callables(objective, hessian)
        run = Run(callables, checked, _on_all_ranks(shown, space))
        result = drive(method.loop(checked, run), callables.answer)
        for vector in VECTORS.intersection(result):
            result[vector] = objective.shaped(result[vector])
        if checked.disp and space.leader:
            _print_summary(result)
        return result

    method = TABLE[name]
    solve.__name__ = solve.__qualname__ = name.replace("-", "_")
    solve.__doc__ = DOCSTRING.format(
        name=solve.__name__,
        words=method.words,
        options=method.options.__name__,
        hessian=HESSIAN_USED if method.uses_hessian else HESSIAN_UNUSED,
        bounds=BOUNDS_TAKEN if method.takes_bounds else BOUNDS_REFUSED,
    )
    return solve


METHODS = {name: _callable(name) for name in TABLE}
"""Callables by name, for ``qnsolve.minimize``."""

hybrid_tr = METHODS["hybrid-tr"]
lsr1_tr = METHODS["lsr1-tr"]
lsr1_arc = METHODS["lsr1-arc"]
lsr1_ls = METHODS["lsr1-ls"]
newton_tr = METHODS["newton-tr"]


def _on_all_ranks(
    callback: Callable[[OptimizeResult], bool] | None, space: VectorSpace
) -> Callable[[OptimizeResult], bool] | None:
    """Return the callback with one answer for all ranks: stop where one of them wants to.

    A rank may do without one.
    """
    if not space.sharded:
        return callback
    if not space.any(callback is not None):
        return None

    def here(intermediate: OptimizeResult) -> bool:
        return callback is not None and callback(intermediate)

    return lambda intermediate: space.any(space.agreed(lambda: here(intermediate)))


def _print_summary(result: OptimizeResult) -> None:
    """Print what SciPy's solvers print for ``disp=True``."""
    print(result.message)
    print(f"         Current function value: {result.fun:.6e}")
    print(f"         Iterations: {result.nit}")
    print(f"         Function evaluations: {result.nfev}")
    print(f"         Gradient evaluations: {result.njev}")
    if "nhev" in result:
        print(f"         Products with the Hessian: {result.nhev}")


def _refuse_constraints(method: str, constraints: Any) -> None:
    none_given = isinstance(constraints, Sized) and len(constraints) == 0
    if constraints is not None and not none_given:
        raise ValueError(
            f"{method} takes no constraints; use scipy.optimize.minimize(..., "
            "method='trust-constr', hess=qnsolve.LSR1Strategy()), or add a penalty to fun"
        )


def _require_bounds(method: str, space: VectorSpace) -> None:
    """Refuse bounds where a method, or a home of vectors, has no part for them."""
    bounded = " or ".join(repr(name) for name, row in TABLE.items() if row.takes_bounds)
    if not TABLE[method].takes_bounds:
        raise ValueError(
            f"{method} takes no bounds; use method {bounded}, or transform the variables"
        )
    if space.sharded:
        raise ValueError("with comm no method takes bounds; transform the variables")
