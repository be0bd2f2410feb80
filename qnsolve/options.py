"""Options of the solvers: every field with its meaning, range and where its default comes from.

Fields are checked when an instance is made, so a solver never meets a value out of range.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any, Self

import numpy as np

from qnsolve.quasi_newton.scaling import GammaRule, resolve_rule

GTOL = 1e-5
"""Default gtol, as in SciPy; in narrow dtypes it is eps**(1/3), what their gradients can reach."""

NORMS = ("l2",)
"""Norms of the trust region."""

SCIPY_NAMES = {"maxcor": "memory", "eta": "accept"}
"""Options of SciPy's methods whose name here is not to be guessed from theirs."""


@dataclass(frozen=True)
class _Number:
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


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {type(value).__name__} {value!r}")
    return bool(value)


def _norm(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {NORMS}, got {type(value).__name__}")
    if value not in NORMS:
        raise ValueError(f"{name} must be one of {NORMS}, got {value!r}")
    return value


def _gamma(name: str, value: Any) -> Any:
    resolve_rule(value)  # raises; the solver resolves it again for its own matrix
    return value


def _at_least(low: int, *, optional: bool = False) -> _Number:
    return _Number(int, f"an integer >= {low}", lambda value: value >= low, optional)


def _one_of(*names: str) -> Callable[[str, Any], str]:
    def check(name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be one of {names}, got {type(value).__name__}")
        if value not in names:
            raise ValueError(f"{name} must be one of {names}, got {value!r}")
        return value

    return check


_TOLERANCE = _Number(float, "a number >= 0", lambda value: value >= 0)
_OPTIONAL_TOLERANCE = _Number(float, "a number >= 0 or None", lambda value: value >= 0, True)
_SECONDS = _Number(float, "a number of seconds > 0 or None", lambda value: value > 0, True)
_POSITIVE = _Number(float, "a number > 0", lambda value: value > 0)
_RADIUS = _Number(float, "a finite number > 0 or None", lambda value: 0 < value < math.inf, True)
_FROM_ZERO_TO_ONE = _Number(float, "a number in [0, 1)", lambda value: 0 <= value < 1)
_BETWEEN_ZERO_AND_ONE = _Number(float, "a number in (0, 1)", lambda value: 0 < value < 1)


def _checked_by(check: Callable[[str, Any], Any]) -> dict[str, Any]:
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

    memory: int = field(default=10, metadata=_checked_by(_at_least(1)))
    gtol: float | None = field(default=None, metadata=_checked_by(_OPTIONAL_TOLERANCE))
    ftol: float = field(default=0.0, metadata=_checked_by(_TOLERANCE))
    xtol: float | None = field(default=None, metadata=_checked_by(_OPTIONAL_TOLERANCE))
    maxiter: int = field(default=15000, metadata=_checked_by(_at_least(0)))
    maxfev: int | None = field(default=None, metadata=_checked_by(_at_least(1, optional=True)))
    maxtime: float | None = field(default=None, metadata=_checked_by(_SECONDS))
    disp: bool = field(default=False, metadata=_checked_by(_flag))
    history: bool = field(default=False, metadata=_checked_by(_flag))

    def __post_init__(self) -> None:
        for option in fields(self):
            value = option.metadata["check"](option.name, getattr(self, option.name))
            object.__setattr__(self, option.name, value)

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
                raise TypeError(f"unknown option {name!r}; {_suggestion(name, names)}")
        if given.get("gtol") is None:
            given["gtol"] = max(GTOL, eps ** (1 / 3)) if tol is None else tol
        if given.get("xtol") is None:
            given["xtol"] = eps
        return cls(**given)


@dataclass(frozen=True, kw_only=True)
class TrustRegionOptions(SolverOptions):
    """Options of the trust-region solvers, on top of :class:`SolverOptions`.

    Parameters
    ----------
    gamma : float, str or callable
        Curvature of the model off the stored pairs, B0 = gamma I: a number, the name of a rule or a
        rule (:mod:`qnsolve.quasi_newton.scaling`).  Default "window-max" (ACM Algorithm 1030).
    norm : {"l2"}
        Norm of the region; radii are lengths in it.
    initial_radius : float, > 0 and finite, or None
        Radius of the first region, which the first step reaches.  Default None: chosen from x0, f
        and g there.
    max_radius : float, > 0
        The radius never grows beyond it.  Default inf.
    accept : float, in [0, 1)
        A step is taken where the actual reduction of f is more than `accept` times the predicted
        one.  Default 1e-4, in the range (0, 1e-3) of Nocedal and Wright (2006), Algorithm 6.2.
    shrink_below : float, in (0, 1) and >= accept
        The radius shrinks where that ratio is less.  Default 0.1, as in the same algorithm.
    grow_above : float, in (0, 1) and > shrink_below
        The radius grows where the ratio is more and the step used the region.  Default 0.75, as in
        the same algorithm.
    store_rejected : bool
        Offer the pair of a rejected step to the memory too: it says where the model was wrong.
        Default True, as in the same algorithm.

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

    gamma: float | str | GammaRule = field(default="window-max", metadata=_checked_by(_gamma))
    norm: str = field(default="l2", metadata=_checked_by(_norm))
    initial_radius: float | None = field(default=None, metadata=_checked_by(_RADIUS))
    max_radius: float = field(default=math.inf, metadata=_checked_by(_POSITIVE))
    accept: float = field(default=1e-4, metadata=_checked_by(_FROM_ZERO_TO_ONE))
    shrink_below: float = field(default=0.1, metadata=_checked_by(_BETWEEN_ZERO_AND_ONE))
    grow_above: float = field(default=0.75, metadata=_checked_by(_BETWEEN_ZERO_AND_ONE))
    store_rejected: bool = field(default=True, metadata=_checked_by(_flag))

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
        if self.initial_radius is not None and self.initial_radius > self.max_radius:
            raise ValueError(
                "initial_radius must be <= max_radius, "
                f"got {self.initial_radius!r} and {self.max_radius!r}"
            )


@dataclass(frozen=True, kw_only=True)
class LineSearchOptions(SolverOptions):
    """Options of the line-search solver, on top of :class:`SolverOptions`.

    Parameters
    ----------
    gamma : float, str or callable
        Curvature off the stored pairs, H0 = I / gamma: a number, the name of a rule or a rule
        (:mod:`qnsolve.quasi_newton.scaling`).  Default "window-max".
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
    decrease, curvature : float, 0 < decrease < curvature < 1
        c1 and c2 of the strong Wolfe conditions.  Default 1e-4 and 0.9 (Nocedal and Wright 2006,
        section 3.1, for quasi-Newton directions).

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

    gamma: float | str | GammaRule = field(default="window-max", metadata=_checked_by(_gamma))
    initial_step: float | None = field(default=None, metadata=_checked_by(_RADIUS))
    first_trial: str = field(default="unit", metadata=_checked_by(_one_of("unit", "previous")))
    modify: str = field(default="indefinite", metadata=_checked_by(_one_of("indefinite", "ascent")))
    decrease: float = field(default=1e-4, metadata=_checked_by(_BETWEEN_ZERO_AND_ONE))
    curvature: float = field(default=0.9, metadata=_checked_by(_BETWEEN_ZERO_AND_ONE))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.decrease >= self.curvature:
            raise ValueError(
                f"decrease must be < curvature, got {self.decrease!r} and {self.curvature!r}"
            )


def _suggestion(name: str, names: list[str]) -> str:
    known = SCIPY_NAMES.get(name)
    near = [known] if known in names else difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(names)}"
