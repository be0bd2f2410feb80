"""Options of the solvers: every field with its meaning, range and where its default comes from.

Fields are checked when an instance is made, so a solver never meets a value out of range.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np

from qnsolve.norms import DiagonalNorm
from qnsolve.quasi_newton.scaling import Constant, GammaRule, resolve_rule

GTOL = 1e-5
"""Default gtol, as in SciPy; in narrow dtypes it is eps**(1/3), what their gradients can reach."""

REGION_NORMS = ("l2", "shape-inf", "shape-2")
"""Named norms of the trust region."""

NEWTON_NORMS = ("l2", "adagrad", "rmsprop")
"""Named norms of the trust region of Newton's method."""

REGULARISER_NORMS = ("shape", "l2")
"""Named norms of the cubic regulariser."""

WEIGHT_RULES = ("interpolation", "arcs", "cgt")
"""Named rules for the weight of the regulariser."""

SCIPY_NAMES = {"maxcor": "memory", "eta": "accept"}
"""Options of SciPy's methods whose name here is not to be guessed from theirs."""


@dataclass(frozen=True)
class Number:
    """Checks and converts a number; `wanted` says in words what `holds` tests."""

    kind: type
    wanted: str
    holds: Callable[[Any], bool]
    optional: bool = False

    def __call__(self, name: str, value: Any) -> Any:
        if value is None and self.optional:
            return None
        abstract = Integral if self.kind is int else Real
        if isinstance(value, bool) or not isinstance(value, abstract):
            raise TypeError(f"{name} must be {self.wanted}, got {type(value).__name__} {value!r}")
        if not self.holds(value):
            raise ValueError(f"{name} must be {self.wanted}, got {value!r}")
        return self.kind(value)


def check_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {type(value).__name__} {value!r}")
    return bool(value)


def check_norm(*names: str) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        wanted = f"{name} must be one of {names} or a DiagonalNorm"
        if isinstance(value, DiagonalNorm):
            return value
        if not isinstance(value, str):
            raise TypeError(f"{wanted}, got {type(value).__name__}")
        if value not in names:
            raise ValueError(f"{wanted}, got {value!r}")
        return value

    return check


def check_rule(name: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a callable or None, got {type(value).__name__}")
    return value


def check_weight_rule(name: str, value: Any) -> Any:
    wanted = f"{name} must be one of {WEIGHT_RULES} or a callable"
    if isinstance(value, str) and value not in WEIGHT_RULES:
        raise ValueError(f"{wanted}, got {value!r}")
    if not isinstance(value, str) and not callable(value):
        raise TypeError(f"{wanted}, got {type(value).__name__}")
    return value


def check_initial_radius(name: str, value: Any) -> float | str | None:
    if not isinstance(value, str):
        return RADIUS(name, value)
    if value != "gradient":
        raise ValueError(f'{name} must be a number > 0, "gradient" or None, got {value!r}')
    return value


def check_gamma(name: str, value: Any) -> Any:
    resolve_rule(value)  # raises; the solver resolves it again for its own matrix
    return value


def check_positive_gamma(name: str, value: Any) -> Any:
    if value is not None:
        rule = resolve_rule(value)
        if isinstance(rule, Constant) and not rule.value > 0.0:
            raise ValueError(f"{name} must be positive, for BFGS updates start there; got {value}")
    return value


def at_least(low: int, *, optional: bool = False) -> Number:
    return Number(int, f"an integer >= {low}", lambda value: value >= low, optional)


def check_which_rejected(name: str, value: Any) -> bool | str:
    if not isinstance(value, str):
        return check_flag(name, value)
    if value != "near":
        raise ValueError(f'{name} must be True, False or "near", got {value!r}')
    return value


def check_one_of(*names: str) -> Callable[[str, Any], str]:
    def check(name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be one of {names}, got {type(value).__name__}")
        if value not in names:
            raise ValueError(f"{name} must be one of {names}, got {value!r}")
        return value

    return check


TOLERANCE = Number(float, "a number >= 0", lambda value: value >= 0)
SECONDS = Number(float, "a number of seconds > 0 or None", lambda value: value > 0, True)
POSITIVE = Number(float, "a number > 0", lambda value: value > 0)
RADIUS = Number(float, "a finite number > 0 or None", lambda value: 0 < value < math.inf, True)
FROM_ZERO_TO_ONE = Number(float, "a number in [0, 1)", lambda value: 0 <= value < 1)
BETWEEN_ZERO_AND_ONE = Number(float, "a number in (0, 1)", lambda value: 0 < value < 1)


def check_path(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a path or None, got {type(value).__name__} {value!r}")
    path = os.fspath(value)
    if not isinstance(path, str) or not path:
        raise ValueError(f"{name} must be a path in text, not empty, got {value!r}")
    return path


def check_norm_bounds(name: str, value: Any) -> tuple[float, float]:
    wanted = f"{name} must be a pair of numbers 0 < low <= high with a finite low"
    pair = isinstance(value, tuple | list) and len(value) == 2
    if not pair or not all(isinstance(bound, Real) for bound in value):
        raise TypeError(f"{wanted}, got {type(value).__name__} {value!r}")
    low, high = (float(bound) for bound in value)
    if not 0.0 < low <= high or low == math.inf:
        raise ValueError(f"{wanted}, got {value!r}")
    return low, high


def checked_by(check: Callable[[str, Any], Any]) -> dict[str, Any]:
    """Return the metadata of a field whose values `check` tests and converts."""
    return {"check": check}


@dataclass(frozen=True, kw_only=True)
class SolverOptions:
    """Options that every solver takes.

    Parameters
    ----------
    memory : int, >= 1
        Number of pairs (s, y) kept, m.  The solver stores 2 m vectors of length n.  Default 10, as
        in SciPy's L-BFGS-B (``maxcor``).
    gtol : float, >= 0
        Stop where the largest gradient component in modulus is at most `gtol` (absolute).  Default
        1e-5, as in SciPy, or eps**(1/3) of the dtype of x where that is larger (4.9e-3 in float32).
        ``tol`` is another name for it; where both are given `gtol` counts.
    ftol : float, >= 0
        Stop where an accepted step lowers f by at most ``ftol * |f|``.  Default 0, which leaves the
        decision to the gradient.
    xtol : float, >= 0
        Stop where the step is at most ``xtol * |x|`` in the Euclidean norm.  Default: eps of the
        dtype of x, below which x + step is x.
    maxiter : int, >= 0
        Most iterations.  Default 15000, as in SciPy's L-BFGS-B.
    maxfev : int, >= 1, or None
        No iteration begins after this many evaluations of fun, those of finite differences
        included.  Default None: no limit.
    maxtime : float, > 0, or None
        No iteration begins after this many seconds of wall time.  Default None: no limit.
    disp : bool
        Print a summary at the end, as SciPy does.  Default False; to follow a run use `callback`.
    history : bool
        Keep one record an iteration in the result's ``history``.  Default False.
    checkpoint : path-like or None
        File to write the state of the run to.  Where it exists the run goes on from it, and every
        iterate is that of a run which was not broken off, bit for bit.  Written as the two options
        below say, at the end, and where an exception breaks the run off.  Default None: no file.
    checkpoint_every : int, >= 1, or None
        Write before the next iteration when so many have passed since the file was written.
        Default None: only by the clock.
    checkpoint_seconds : float, > 0, or None
        Write before the next iteration when so many seconds have passed.  Default 60.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong type or out of range.

    Examples
    --------
    >>> options = SolverOptions.from_user({"memory": 5, "tol": 1e-8}, eps=2.0**-52)
    >>> options.memory, options.gtol, options.xtol == 2.0**-52
    (5, 1e-08, True)
    >>> SolverOptions.from_user({"maxfun": 100}, eps=2.0**-52)
    Traceback (most recent call last):
    ...
    TypeError: unknown option 'maxfun'; did you mean 'maxfev'?
    """

    memory: int = field(default=10, metadata=checked_by(at_least(1)))
    gtol: float = field(default=GTOL, metadata=checked_by(TOLERANCE))
    ftol: float = field(default=0.0, metadata=checked_by(TOLERANCE))
    xtol: float = field(default=2.0**-52, metadata=checked_by(TOLERANCE))
    maxiter: int = field(default=15000, metadata=checked_by(at_least(0)))
    maxfev: int | None = field(default=None, metadata=checked_by(at_least(1, optional=True)))
    maxtime: float | None = field(default=None, metadata=checked_by(SECONDS))
    disp: bool = field(default=False, metadata=checked_by(check_flag))
    history: bool = field(default=False, metadata=checked_by(check_flag))
    checkpoint: str | None = field(default=None, metadata=checked_by(check_path))
    checkpoint_every: int | None = field(
        default=None, metadata=checked_by(at_least(1, optional=True))
    )
    checkpoint_seconds: float | None = field(default=60.0, metadata=checked_by(SECONDS))

    def __post_init__(self) -> None:
        for option in fields(self):
            value = option.metadata["check"](option.name, getattr(self, option.name))
            object.__setattr__(self, option.name, value)
        if self.checkpoint is None and self.checkpoint_every is not None:
            raise ValueError("checkpoint_every needs a checkpoint to write to")

    @classmethod
    def from_user(cls, options: Mapping[str, Any], eps: float) -> Self:
        """Return the options that a user's mapping asks for.

        Parameters
        ----------
        options : mapping
            Names and values; ``tol`` is taken for ``gtol``, as SciPy hands it on.
        eps : float
            Distance from 1 to the next number of the dtype of x; `gtol` and `xtol` depend on it.

        Raises
        ------
        TypeError
            For an unknown name, with the nearest one that exists, or a value of the wrong type.
        ValueError
            For a value out of range.
        """
        given = dict(options)
        tol = given.pop("tol", None)
        names = [option.name for option in fields(cls)]
        for name in given:
            if name not in names:
                raise TypeError(f"unknown option {name!r}; {suggestion(name, names)}")
        if given.get("gtol") is None:
            given["gtol"] = max(GTOL, eps ** (1 / 3)) if tol is None else tol
        if given.get("xtol") is None:
            given["xtol"] = eps
        return cls(**given)


@dataclass(frozen=True, kw_only=True)
class ModelOptions(SolverOptions):
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

    gamma: float | str | GammaRule | None = field(
        default="window-max", metadata=checked_by(check_gamma)
    )
    store_rejected: bool | str = field(default="near", metadata=checked_by(check_which_rejected))
    modified_secant: bool = field(default=False, metadata=checked_by(check_flag))
    matrix: Callable[..., Any] | None = field(default=None, metadata=checked_by(check_rule))
    first_step: Callable[..., Any] | None = field(default=None, metadata=checked_by(check_rule))


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

    initial_radius: float | str | None = field(
        default=None, metadata=checked_by(check_initial_radius)
    )
    max_radius: float = field(default=math.inf, metadata=checked_by(POSITIVE))
    radius_rule: Callable[..., Any] | None = field(default=None, metadata=checked_by(check_rule))
    accept: float = field(default=1e-4, metadata=checked_by(FROM_ZERO_TO_ONE))
    shrink_below: float = field(default=0.1, metadata=checked_by(BETWEEN_ZERO_AND_ONE))
    grow_above: float = field(default=0.75, metadata=checked_by(BETWEEN_ZERO_AND_ONE))

    def __post_init__(self) -> None:
        super().__post_init__()
        # A step rejected without a smaller radius would be tried again for ever.
        if self.accept > self.shrink_below:
            raise ValueError(
                f"accept must be <= shrink_below, got {self.accept!r} and {self.shrink_below!r}"
            )
        if self.shrink_below >= self.grow_above:
            raise ValueError(
                "shrink_below must be < grow_above, "
                f"got {self.shrink_below!r} and {self.grow_above!r}"
            )
        given = self.initial_radius
        if isinstance(given, float) and given > self.max_radius:
            raise ValueError(
                f"initial_radius must be <= max_radius, got {given!r} and {self.max_radius!r}"
            )


@dataclass(frozen=True, kw_only=True)
class TrustRegionOptions(RadiusOptions, ModelOptions):
    """Options of the trust-region solvers: :class:`ModelOptions`, :class:`RadiusOptions` and

    Parameters
    ----------
    norm : {"l2", "shape-inf", "shape-2"} or DiagonalNorm
        Norm of the region, as in :func:`qnsolve.solve_trs`; radii are lengths in it.  Default "l2".
    """

    norm: str | DiagonalNorm = field(default="l2", metadata=checked_by(check_norm(*REGION_NORMS)))


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

    memory: int = field(default=20, metadata=checked_by(at_least(1)))
    gamma: float | str | GammaRule | None = field(
        default=None, metadata=checked_by(check_positive_gamma)
    )
    modified_secant: bool = field(default=True, metadata=checked_by(check_flag))


@dataclass(frozen=True, kw_only=True)
class NewtonOptions(RadiusOptions):
    """Options of the trust-region Newton method, on top of :class:`RadiusOptions`.

    `memory` has no effect, as there are no pairs.

    Parameters
    ----------
    norm : {"l2", "adagrad", "rmsprop"} or DiagonalNorm
        Norm of the region; radii are lengths in it.  The second and third follow the gradients at
        the iterates (:mod:`qnsolve.solvers.adaptive_norm`).  The radius is left as it is when the
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

    norm: str | DiagonalNorm = field(default="l2", metadata=checked_by(check_norm(*NEWTON_NORMS)))
    decay: float = field(default=0.9, metadata=checked_by(BETWEEN_ZERO_AND_ONE))
    norm_bounds: tuple[float, float] = field(
        default=(1e-4, 1.0), metadata=checked_by(check_norm_bounds)
    )
    normalise: bool = field(default=True, metadata=checked_by(check_flag))
    inner: str = field(default="steihaug", metadata=checked_by(check_one_of("steihaug", "gltr")))
    inner_maxiter: int | None = field(default=None, metadata=checked_by(at_least(1, optional=True)))
    forcing: float = field(default=0.5, metadata=checked_by(BETWEEN_ZERO_AND_ONE))
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

    norm: str | DiagonalNorm = field(
        default="shape", metadata=checked_by(check_norm(*REGULARISER_NORMS))
    )
    initial_weight: float | None = field(default=None, metadata=checked_by(RADIUS))
    weight_rule: str | Callable[..., Any] = field(
        default="interpolation", metadata=checked_by(check_weight_rule)
    )
    accept: float = field(default=1e-4, metadata=checked_by(FROM_ZERO_TO_ONE))
    grow_below: float = field(default=0.1, metadata=checked_by(BETWEEN_ZERO_AND_ONE))
    shrink_above: float = field(default=0.75, metadata=checked_by(BETWEEN_ZERO_AND_ONE))
    longest_step: float = field(default=100.0, metadata=checked_by(POSITIVE))

    def __post_init__(self) -> None:
        super().__post_init__()
        # A step rejected without a larger weight would be tried again for ever.
        if self.accept > self.grow_below:
            raise ValueError(
                f"accept must be <= grow_below, got {self.accept!r} and {self.grow_below!r}"
            )
        if self.grow_below >= self.shrink_above:
            raise ValueError(
                "grow_below must be < shrink_above, "
                f"got {self.grow_below!r} and {self.shrink_above!r}"
            )


@dataclass(frozen=True, kw_only=True)
class LineSearchOptions(SolverOptions):
    """Options of the line-search solver, on top of :class:`SolverOptions`.

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

    gamma: float | str | GammaRule = field(default="window-max", metadata=checked_by(check_gamma))
    initial_step: float | None = field(default=None, metadata=checked_by(RADIUS))
    first_trial: str = field(default="unit", metadata=checked_by(check_one_of("unit", "previous")))
    modify: str = field(
        default="indefinite", metadata=checked_by(check_one_of("indefinite", "ascent"))
    )
    decrease: float = field(default=1e-4, metadata=checked_by(BETWEEN_ZERO_AND_ONE))
    curvature: float = field(default=0.9, metadata=checked_by(BETWEEN_ZERO_AND_ONE))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.decrease >= self.curvature:
            raise ValueError(
                f"decrease must be < curvature, got {self.decrease!r} and {self.curvature!r}"
            )


def suggestion(name: str, names: list[str]) -> str:
    known = SCIPY_NAMES.get(name)
    near = [known] if known in names else difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(names)}"
