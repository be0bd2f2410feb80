"""Options of the solvers: every field with its meaning, range and where its default comes from.

Fields are checked when an instance is made, so a solver never meets a value out of range.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np

from qnsolve.checks import (
    BETWEEN_ZERO_AND_ONE,
    FROM_ZERO_TO_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    POSITIVE_FINITE,
    Number,
    at_least,
    flag,
    function_or_none,
    one_of,
    scalar,
)
from qnsolve.norms import DiagonalNorm
from qnsolve.quasi_newton.scaling import Constant, GammaRule, resolve_rule
from qnsolve.subproblem.regions import REGULARISATIONS, TRUST_REGIONS

GTOL = 1e-5
"""Default gtol, as in SciPy; in narrow dtypes it is eps**(1/3), what their gradients can reach."""

NEWTON_NORMS = ("l2", "adagrad", "rmsprop")
"""Named norms of the trust region of Newton's method."""

WEIGHT_RULES = ("interpolation", "arcs", "cgt")
"""Named rules for the weight of the regulariser."""

INNER_SOLVERS = ("steihaug", "gltr")
"""Solvers of the subproblem by products."""

SAME_AS = {
    "maxfun": "maxfev",
    "maxcor": "memory",
    "pgtol": "gtol",
    "rel_step": "finite_diff_rel_step",
    "eta": "accept",
    "initial_trust_radius": "initial_radius",
    "initial_tr_radius": "initial_radius",
    "max_trust_radius": "max_radius",
    "maxCGit": "inner_maxiter",
    "max_iter": "maxiter",
    "max_eval": "maxfev",
    "history_size": "memory",
    "c1": "decrease",
    "c2": "curvature",
}
"""Options of SciPy's methods and of PyTorch's L-BFGS that mean the same as ours."""

INSTEAD = {
    "factr": "use ftol = factr * 2.2e-16, which is relative to |f|",
    "fatol": "use ftol, which is relative to |f|",
    "xatol": "use xtol, which is relative to |x|",
    "xrtol": "use xtol, which is relative to |x|",
    "iprint": "use disp=True for a summary, and a callback to follow the run",
    "verbose": "use disp=True for a summary, and a callback to follow the run",
    "return_all": "use history=True for numbers, and a callback for the iterates",
    "maxls": "there is no limit for one search; use maxfev for all evaluations",
    "norm": "gtol is for the largest component, and for no other norm",
    "hess_inv0": "the matrix to begin with is I / gamma; use gamma",
    "lr": "a step has no rate, its length follows from the trust region; use initial_radius",
    "learning_rate": "a step has no rate; use initial_radius for the length of the first one",
    "tolerance_grad": "use gtol, which is for the largest component too",
    "tolerance_change": "use ftol, which is relative to |f|, or xtol, which is relative to |x|",
    "line_search_fn": "method='lsr1-ls' is the method with a line search",
    "callback": "callback is an argument beside options",
    "bounds": "bounds is an argument beside options",
    "tol": "tol is an argument beside options; gtol is the option",
}
"""Options of others that are none of ours, and what to do about it."""


def option(default: Any, check: Callable[[Any, str], Any]) -> Any:
    """Return a field whose values `check` tests and converts."""
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True, kw_only=True)
class Options:
    """What classes of options share: fields that check themselves, and names that help.

    Every field is an :func:`option`.
    """

    ORDERED: ClassVar[tuple[str, ...]] = ()
    """Relations such as "decrease < curvature" that hold between two numbers."""

    def __post_init__(self) -> None:
        kind: Any = type(self)
        checks, defaults = _checks(kind)
        for name, value in vars(self).copy().items():
            if value is not defaults[name]:
                object.__setattr__(self, name, checks[name](value, name))
        for low, sign, high in map(str.split, self.ORDERED):
            pair = a, b = getattr(self, low), getattr(self, high)
            if any(value is None or isinstance(value, str) for value in pair):
                continue  # a choice that is left to the method
            if not (a < b or (sign == "<=" and a == b)):
                raise ValueError(f"{low} must be {sign} {high}, got {a!r} and {b!r}")

    @classmethod
    def from_user(cls, options: Mapping[str, Any]) -> Self:
        """Return the options that a user's mapping asks for.

        Raises
        ------
        TypeError
            For an unknown name, with what to use instead, or a value of the wrong type.
        ValueError
            For a value out of range.
        """
        kind: Any = cls
        names, given = list(_checks(kind)[0]), dict(options)
        for name in options:
            ours = SAME_AS.get(name)
            if name in names:
                continue
            if ours not in names:
                raise TypeError(f"unknown option {name!r}; {_way_out(name, names)}")
            if ours in options:
                raise TypeError(f"{name} is another name for {ours}; give one of them")
            given[ours] = given.pop(name)
        return cls(**given)


@cache
def _checks(kind: Any) -> tuple[dict[str, Callable[[Any, str], Any]], dict[str, Any]]:
    """Return the checks of the options by name, and the defaults, which need none."""
    every = fields(kind)
    for each in every:
        each.metadata["check"](each.default, each.name)
    checks = {each.name: each.metadata["check"] for each in every}
    return checks, {each.name: each.default for each in every}


def _way_out(name: str, names: list[str]) -> str:
    if name in INSTEAD:
        return INSTEAD[name]
    near = [] if name in SAME_AS else difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(names)}"


def norm_or_one_of(names: Iterable[str]) -> Callable[[Any, str], Any]:
    """Return the check of a norm: a DiagonalNorm, or one of `names`."""
    return _other_or_one_of(names, lambda value: isinstance(value, DiagonalNorm), "a DiagonalNorm")


def rule_or_one_of(names: Iterable[str]) -> Callable[[Any, str], Any]:
    """Return the check of a rule: a callable, or one of `names`."""
    return _other_or_one_of(names, callable, "a callable")


def _other_or_one_of(
    names: Iterable[str], is_other: Callable[[Any], bool], other: str
) -> Callable[[Any, str], Any]:
    def check(value: Any, name: str) -> Any:
        if is_other(value):
            return value
        wanted = f"{name} must be one of {tuple(names)} or {other}"
        if not isinstance(value, str):
            raise TypeError(f"{wanted}, got {type(value).__name__}")
        if value not in tuple(names):
            raise ValueError(f"{wanted}, got {value!r}")
        return value

    return check


def check_disp(value: Any, name: str) -> bool:
    if value is None:
        return False
    given = scalar(value)
    if isinstance(given, int) and given > 1:
        raise ValueError(f"{name} must be True or False, 1 or 0, got {value!r}: there is one level")
    return flag(value, name)


def check_initial_radius(value: Any, name: str) -> float | str | None:
    if not isinstance(value, str):
        return LENGTH(value, name)
    if value != "gradient":
        raise ValueError(f'{name} must be a number > 0, "gradient" or None, got {value!r}')
    return value


def check_gamma(value: Any, name: str) -> Any:
    resolve_rule(value)  # raises; the solver resolves it again for its own matrix
    return value


def check_positive_gamma(value: Any, name: str) -> Any:
    if value is not None:
        rule = resolve_rule(value)
        if isinstance(rule, Constant) and not rule.value > 0.0:
            raise ValueError(f"{name} must be positive, for BFGS updates start there; got {value}")
    return value


def check_which_rejected(value: Any, name: str) -> bool | str:
    if not isinstance(value, str):
        return flag(value, name)
    if value != "near":
        raise ValueError(f'{name} must be True, False or "near", got {value!r}')
    return value


def check_path(value: Any, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a path or None, got {type(value).__name__} {value!r}")
    path = os.fspath(value)
    if not isinstance(path, str) or not path:
        raise ValueError(f"{name} must be a path in text, not empty, got {value!r}")
    return path


def check_steps(value: Any, name: str) -> float | tuple[float, ...] | None:
    if value is None:
        return None
    wanted = f"{name} must be a number > 0, an array of such with the size of x, or None"
    try:
        steps = np.asarray(value)
    except ValueError:  # lists in lists of several lengths
        steps = np.empty(0)
    if steps.dtype.kind not in "iuf" or not steps.size:
        raise TypeError(f"{wanted}, got {type(value).__name__} {value!r}")
    numbers = steps.astype(float)
    if not (np.isfinite(numbers) & (numbers > 0.0)).all():
        raise ValueError(f"{wanted}, got {value!r}")
    return float(numbers) if numbers.ndim == 0 else tuple(numbers.ravel().tolist())


def check_workers(value: Any, name: str) -> Any:
    if value is None or callable(value) or (isinstance(value, int) and value == -1):
        return value
    return Number("an integer >= 1, -1 or map-like callable", lambda n: n >= 1, kind=int)(
        value, name
    )


def check_norm_bounds(value: Any, name: str) -> tuple[float, float]:
    wanted = f"{name} must be a pair of numbers 0 < low <= high with a finite low"
    pair = isinstance(value, tuple | list) and len(value) == 2
    if not pair or not all(isinstance(bound, Real) for bound in value):
        raise TypeError(f"{wanted}, got {type(value).__name__} {value!r}")
    low, high = (float(bound) for bound in value)
    if not 0.0 < low <= high or low == math.inf:
        raise ValueError(f"{wanted}, got {value!r}")
    return low, high


WORKERS = Number("an integer >= 1, -1 or map-like callable", lambda n: n >= 1, int)
SECONDS = Number("a number of seconds > 0 or None", lambda value: value > 0, optional=True)
LENGTH = Number("a finite number > 0 or None", POSITIVE_FINITE.holds, optional=True)


@dataclass(frozen=True, kw_only=True)
class SolverOptions(Options):
    """Options that every solver takes.

    Parameters
    ----------
    gtol : float, >= 0
        Stop where the largest gradient component in modulus is at most `gtol` (absolute).  Default
        1e-5, as in SciPy, or eps**(1/3) of the dtype of x where that is larger (4.9e-3 in float32).
        ``tol`` is another name for it; where both are given `gtol` counts.
    ftol : float, >= 0
        Stop where an accepted step lowers f by at most ``ftol * |f|``, unless it was cut short: f
        still falls at its end at more than half the rate.  Default 0, which leaves the decision to
        the gradient.
    xtol : float, >= 0
        Stop where the step moves no component of x by more than `xtol` of itself, or nothing that
        f and its gradient could show.  Default: eps of the dtype of x, below which x + step is x.
    maxiter : int, >= 0
        Most iterations.  Default 15000, as in SciPy's L-BFGS-B.
    maxfev : int, >= 1, or None
        No iteration begins after this many evaluations of fun, those of finite differences
        included.  Default None: no limit.
    maxtime : float, > 0, or None
        No iteration begins after this many seconds of wall time.  Default None: no limit.
    evaluate_last : bool
        Evaluate once more, at the x that is returned, where the last point that fun saw is another:
        for a fun that keeps what it last computed.  Counted, beyond `maxfev`.  Default False.
    disp : bool
        Print a summary at the end, as SciPy does.  Default False, as is None; to follow a run use
        `callback`.
    history : bool
        Keep one record an iteration in the result's ``history``: counts, f, norm of the gradient,
        whether the step was taken, and as ``pair`` the :class:`qnsolve.UpdateStatus` of its pair,
        None where none was offered.  Default False.
    checkpoint : path-like or None
        File to write the state of the run to.  Where it exists the run goes on from it, and every
        iterate is that of a run which was not broken off, bit for bit.  Written as the two options
        below say, at the end, and where an exception breaks the run off.  Default None: no file.
    checkpoint_every : int, >= 1, or None
        Write before the next iteration when so many have passed since the file was written.
        Default None: only by the clock.
    checkpoint_seconds : float, > 0, or None
        Write before the next iteration when so many seconds have passed.  Default 60.
    eps : float or array, > 0, or None
        Steps of finite differences as they are: one number, or one for each variable.  Default
        None: by the size of each variable and the precision of fun (:mod:`qnsolve.differences`).
    finite_diff_rel_step : float or array, > 0, or None
        The same relative to the size of each variable.  ``rel_step`` is another name for it.
    workers : int, map-like callable or None
        So many threads evaluate the points of a finite difference, -1 stands for as many as there
        are processors; or ``workers(function, points)`` does, such as the ``map`` of a process
        pool.  Default None: one after the other.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong type or out of range.

    Examples
    --------
    >>> options = SolverOptions.from_user({"maxfun": 100, "tol": 1e-8}, eps=2.0**-52)
    >>> options.maxfev, options.gtol, options.xtol == 2.0**-52
    (100, 1e-08, True)
    >>> SolverOptions.from_user({"maxitr": 100}, eps=2.0**-52)
    Traceback (most recent call last):
    ...
    TypeError: unknown option 'maxitr'; did you mean 'maxiter'?
    """

    gtol: float = option(GTOL, NOT_NEGATIVE)
    ftol: float = option(0.0, NOT_NEGATIVE)
    xtol: float = option(2.0**-52, NOT_NEGATIVE)
    maxiter: int = option(15000, at_least(0))
    maxfev: int | None = option(None, at_least(1).or_none())
    maxtime: float | None = option(None, SECONDS)
    evaluate_last: bool = option(False, flag)
    disp: bool = option(False, check_disp)
    history: bool = option(False, flag)
    checkpoint: str | None = option(None, check_path)
    checkpoint_every: int | None = option(None, at_least(1).or_none())
    checkpoint_seconds: float | None = option(60.0, SECONDS)
    eps: float | tuple[float, ...] | None = option(None, check_steps)
    finite_diff_rel_step: float | tuple[float, ...] | None = option(None, check_steps)
    workers: int | Callable[..., Any] | None = option(None, check_workers)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.eps is not None and self.finite_diff_rel_step is not None:
            raise ValueError("eps and finite_diff_rel_step are both steps; give one of them")
        if self.checkpoint is None and self.checkpoint_every is not None:
            raise ValueError("checkpoint_every needs a checkpoint to write to")

    @classmethod
    def from_user(cls, options: Mapping[str, Any], eps: float = 2.0**-52) -> Self:
        """Return the options that a user's mapping asks for.

        Parameters
        ----------
        options : mapping
            Names and values; ``tol`` is taken for ``gtol``, as SciPy hands it on, and names of
            SciPy's for ours where both mean the same.
        eps : float
            Distance from 1 to the next number of the dtype of x; `gtol` and `xtol` depend on it.

        Raises
        ------
        TypeError
            For an unknown name, with what to use instead, or a value of the wrong type.
        ValueError
            For a value out of range.
        """
        given = dict(options)
        tol = given.pop("tol", None)
        if given.get("gtol") is None and "pgtol" not in given:
            given["gtol"] = max(GTOL, eps ** (1 / 3)) if tol is None else tol
        if given.get("xtol") is None:
            given["xtol"] = eps
        return super().from_user(given)


@dataclass(frozen=True, kw_only=True)
class PairOptions(SolverOptions):
    """Options of the methods that keep pairs, on top of :class:`SolverOptions`.

    Parameters
    ----------
    memory : int, >= 1
        Number of pairs (s, y) kept, m.  The solver stores 2 m vectors of length n.  Default 10, as
        in SciPy's L-BFGS-B (``maxcor``).
    """

    memory: int = option(10, at_least(1))


@dataclass(frozen=True, kw_only=True)
class ModelOptions(PairOptions):
    """Options of the solvers that trust a model as far as it has proved right.

    Parameters
    ----------
    gamma : float, str or callable
        Curvature of the model off the stored pairs, B0 = gamma I (gamma A in the norm of A): a
        number, a rule or its name, one of "latest", "smoothed", "length-ratio", "window-max" and
        "eigenvalue" (:mod:`qnsolve.quasi_newton.scaling`).  Default "window-max" (ACM Algorithm
        1030).
    store_rejected : bool or "near"
        Offer the pair of a rejected step to the memory too: it says where the model was wrong.
        True is Algorithm 6.2 of Nocedal and Wright (2006).  Default "near": unless f grew by more
        than 1e6 times the decrease predicted, for such a pair would drown the others.
    modified_secant : bool
        Offer (s, y + theta s / s's), whose curvature along s is that at the end of the step, by the
        cubic through both ends, in place of its mean (Zhang, Deng and Chen 1999).  Default False.
    matrix : callable or None
        ``matrix(space, options, initial_gamma)`` replaces the method's matrix
        (:mod:`qnsolve.solvers.matrices`).  Default None.
    first_step : callable or None
        Replaces the model's first step (:mod:`qnsolve.solvers.first_step`).  Default None.
    """

    gamma: float | str | GammaRule | None = option("window-max", check_gamma)
    store_rejected: bool | str = option("near", check_which_rejected)
    modified_secant: bool = option(False, flag)
    matrix: Callable[..., Any] | None = option(None, function_or_none)
    first_step: Callable[..., Any] | None = option(None, function_or_none)


@dataclass(frozen=True, kw_only=True)
class RadiusOptions(SolverOptions):
    """Options that say when a trust region shrinks and grows.

    Parameters
    ----------
    initial_radius : float, > 0 and finite, "gradient" or None
        Radius of the first region, which the first step reaches; "gradient" is the norm of the
        gradient at x0.  Default None: chosen from x0, f and g there.
    max_radius : float, > 0
        The radius never grows beyond it.  Default inf.
    radius_rule : callable or None
        ``radius_rule(radius, outcome, options)`` (:mod:`qnsolve.solvers.radius`).  Default None:
        interpolation along the step.
    accept : float, in [0, 1)
        A step is taken where the actual reduction of f is more than `accept` times the predicted
        one.  Default 1e-4, in the range (0, 1e-3) of Nocedal and Wright (2006), Algorithm 6.2.
    shrink_below : float, in (0, 1) and >= accept
        The radius shrinks where that ratio is less.  Default 0.1, as in the same algorithm.
    grow_above : float, in (0, 1) and > shrink_below
        The radius grows where the ratio is more and the step used the region.  Default 0.75, as in
        the same algorithm.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong type or out of range.

    Examples
    --------
    >>> TrustRegionOptions(accept=0.2)
    Traceback (most recent call last):
    ...
    ValueError: accept must be <= shrink_below, got 0.2 and 0.1
    """

    initial_radius: float | str | None = option(None, check_initial_radius)
    max_radius: float = option(math.inf, POSITIVE)
    radius_rule: Callable[..., Any] | None = option(None, function_or_none)
    accept: float = option(1e-4, FROM_ZERO_TO_ONE)
    shrink_below: float = option(0.1, BETWEEN_ZERO_AND_ONE)
    grow_above: float = option(0.75, BETWEEN_ZERO_AND_ONE)

    # A step rejected without a smaller radius would be tried again for ever.
    ORDERED = (
        "accept <= shrink_below",
        "shrink_below < grow_above",
        "initial_radius <= max_radius",
    )


@dataclass(frozen=True, kw_only=True)
class TrustRegionOptions(RadiusOptions, ModelOptions):
    """Options of the trust-region solvers: :class:`ModelOptions`, :class:`RadiusOptions` and

    Parameters
    ----------
    norm : {"l2", "shape-inf", "shape-2"} or DiagonalNorm
        Norm of the region, as in :func:`qnsolve.solve_trs`; radii are lengths in it.  Default "l2".
    compiled : bool
        Use the compiled model where it is installed and has what is asked for: NumPy float64
        vectors of one process, the norm "l2", the method's own matrix and rule for gamma, at most
        100 pairs.  It gives the same run to rounding.  Default True.
    """

    norm: str | DiagonalNorm = option("l2", norm_or_one_of(TRUST_REGIONS))
    compiled: bool = option(True, flag)


@dataclass(frozen=True, kw_only=True)
class HybridOptions(TrustRegionOptions):
    """Options of the hybrid trust-region solver: those of :class:`TrustRegionOptions`.

    Defaults that differ: `memory` 20; `gamma` None, the rules of :class:`qnsolve.HybridLSR1`;
    `modified_secant` True; `radius_rule` shrinks to no less than a quarter of the step; and without
    an `initial_radius` the first region is larger.  docs/decisions.md says what each choice buys.

    Examples
    --------
    >>> HybridOptions().memory
    20
    """

    memory: int = option(20, at_least(1))
    gamma: float | str | GammaRule | None = option(None, check_positive_gamma)
    modified_secant: bool = option(True, flag)


@dataclass(frozen=True, kw_only=True)
class NewtonOptions(RadiusOptions):
    """Options of the trust-region Newton method, on top of :class:`RadiusOptions`.

    Parameters
    ----------
    norm : {"l2", "adagrad", "rmsprop"} or DiagonalNorm
        Norm of the region; radii are lengths in it.  The second and third follow the gradients at
        the iterates (:mod:`qnsolve.solvers.moving_norms`).  The radius is left as it is when the
        norm changes.  Default "l2".
    decay : float, in (0, 1)
        beta in the mean of the squared gradients of "rmsprop".  Default 0.9.
    norm_bounds : (float, float), 0 < low <= high
        Range to which the diagonals of "adagrad" and "rmsprop" are clipped.  Default (1e-4, 1).
    normalise : bool
        Divide those diagonals by their largest entry before.  Default True.
    inner : {"steihaug", "gltr"}
        Solver of the subproblem: :func:`qnsolve.steihaug_cg`, which stores four vectors, or
        :func:`qnsolve.gltr`, which stores one for each product.  Default "steihaug".
    inner_maxiter : int, >= 1, or None
        Most products with the Hessian an iteration.  Default None: that of the inner solver.
    forcing : float, in (0, 1)
        The inner solver stops where the residual is min(`forcing`, sqrt(||g|| / ||g0||)) times the
        gradient, g0 being that at x0.  Default 0.5.

    Examples
    --------
    >>> NewtonOptions(norm="adam")
    Traceback (most recent call last):
    ...
    ValueError: norm must be one of ('l2', 'adagrad', 'rmsprop') or a DiagonalNorm, got 'adam'
    """

    norm: str | DiagonalNorm = option("l2", norm_or_one_of(NEWTON_NORMS))
    decay: float = option(0.9, BETWEEN_ZERO_AND_ONE)
    norm_bounds: tuple[float, float] = option((1e-4, 1.0), check_norm_bounds)
    normalise: bool = option(True, flag)
    inner: str = option("steihaug", one_of(INNER_SOLVERS))
    inner_maxiter: int | None = option(None, at_least(1).or_none())
    forcing: float = option(0.5, BETWEEN_ZERO_AND_ONE)
    # There are no pairs to store or to modify.
    store_rejected: ClassVar[bool] = False
    modified_secant: ClassVar[bool] = False
    first_step: ClassVar[None] = None


@dataclass(frozen=True, kw_only=True)
class CubicOptions(ModelOptions):
    """Options of the cubic-regularisation solver, on top of :class:`ModelOptions`.

    Parameters
    ----------
    norm : {"shape", "l2"} or DiagonalNorm
        Norm of the regulariser, as in :func:`qnsolve.solve_cubic`.  Default "shape".
    initial_weight : float, > 0 and finite, or None
        Weight w of the first model, in the unit of f over that of `norm` cubed.  Default None: with
        it the first step has the length that the trust-region method's would have.
    weight_rule : {"interpolation", "arcs", "cgt"} or callable
        How w follows the ratio of the actual to the predicted reduction
        (:mod:`qnsolve.solvers.weight`).  Default "interpolation".
    accept : float, in [0, 1)
        A step is taken where that ratio is more than `accept`.  Default 1e-4.
    grow_below : float, in (0, 1) and >= accept
        The weight grows where the ratio is less.  Default 0.1 (Cartis, Gould and Toint 2011).
    shrink_above : float, in (0, 1) and > grow_below
        The weight shrinks where the ratio is more.  Default 0.75.
    longest_step : float, > 0
        A step longer than `longest_step` times the longest of those recently taken is not
        evaluated; the weight is raised instead.  Before one has been taken, the length that the
        first step has by default is the limit.  inf lets steps of any length pass.  Default 100.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong type or out of range.

    Examples
    --------
    >>> CubicOptions(shrink_above=0.05)
    Traceback (most recent call last):
    ...
    ValueError: grow_below must be < shrink_above, got 0.1 and 0.05
    """

    norm: str | DiagonalNorm = option("shape", norm_or_one_of(REGULARISATIONS))
    initial_weight: float | None = option(None, LENGTH)
    weight_rule: str | Callable[..., Any] = option("interpolation", rule_or_one_of(WEIGHT_RULES))
    accept: float = option(1e-4, FROM_ZERO_TO_ONE)
    grow_below: float = option(0.1, BETWEEN_ZERO_AND_ONE)
    shrink_above: float = option(0.75, BETWEEN_ZERO_AND_ONE)
    longest_step: float = option(100.0, POSITIVE)

    # A step rejected without a larger weight would be tried again for ever.
    ORDERED = ("accept <= grow_below", "grow_below < shrink_above")


@dataclass(frozen=True, kw_only=True)
class LineSearchOptions(PairOptions):
    """Options of the line-search solver, on top of :class:`PairOptions`.

    Parameters
    ----------
    gamma : float, str or callable
        Curvature off the stored pairs, H0 = I / gamma: a number, a rule or its name, as in
        :class:`qnsolve.options.ModelOptions`.  Default "window-max".
    initial_step : float, > 0 and finite, or None
        Euclidean length of the first trial step.  Default None: with a constant gamma that of
        g / gamma, else chosen from x0, f and g there.
    first_trial : {"unit", "previous"}
        Step length that a search tries first: 1, or min(1, 2 t) with t the last one found, as in
        Algorithm 2 of Ramamurthy and Duffy (2017).  Default "unit".
    modify : {"indefinite", "ascent"}
        When to replace the direction -Hg by one that uses the positive eigenvalues of H alone, and
        H0 in place of the others: whenever H is indefinite, or only where -Hg is no direction of
        descent.  Default "indefinite", which needs fewer evaluations.
    decrease : float, in (0, 1)
        c1 of the strong Wolfe conditions.  Default 1e-4 (Nocedal and Wright 2006, section 3.1).
    curvature : float, in (0, 1) and > decrease
        c2 of these.  Default 0.9, as there for quasi-Newton directions.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong type or out of range.

    Examples
    --------
    >>> LineSearchOptions(decrease=0.5, curvature=0.1)
    Traceback (most recent call last):
    ...
    ValueError: decrease must be < curvature, got 0.5 and 0.1
    """

    gamma: float | str | GammaRule = option("window-max", check_gamma)
    initial_step: float | None = option(None, LENGTH)
    first_trial: str = option("unit", one_of(("unit", "previous")))
    modify: str = option("indefinite", one_of(("indefinite", "ascent")))
    decrease: float = option(1e-4, BETWEEN_ZERO_AND_ONE)
    curvature: float = option(0.9, BETWEEN_ZERO_AND_ONE)

    ORDERED = ("decrease < curvature",)
