"""One run of one solver on one problem, with the counts taken outside the solver."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from qnsolve.problems import Problem

GTOL = 1e-5
TESTS = ("absolute", "relative")


@dataclass(frozen=True, eq=False)
class Objective:
    """A problem whose value and gradient are separate functions.

    Parameters
    ----------
    name : str
    n : int
        Number of variables.
    x0 : ndarray, shape (n,)
        Start point.
    fun, grad : callable
        ``fun(x) -> f`` and ``grad(x) -> g``.
    hess : callable, optional
        ``hess(x) -> H``, dense; for solvers that want second derivatives.
    box : (ndarray, ndarray), optional
        Lower and upper bounds, with infinite ones where there is none; `x0` is within.
    """

    name: str
    n: int
    x0: np.ndarray
    fun: Callable[[np.ndarray], Any]
    grad: Callable[[np.ndarray], Any]
    hess: Callable[[np.ndarray], Any] | None = None
    box: tuple[np.ndarray, np.ndarray] | None = None

    def slope(self, x: np.ndarray, g: np.ndarray) -> float:
        """Return ||g||_inf, in a box ||P(x - g) - x||_inf: what the tests are about."""
        if self.box is not None:
            g = np.clip(-g, self.box[0] - x, self.box[1] - x)
        return float(np.abs(g).max())

    def holds(self, x: np.ndarray) -> bool:
        """Tell whether `x` is in the box, to the last bit."""
        return self.box is None or bool(((self.box[0] <= x) & (x <= self.box[1])).all())


def objective_of(problem: Problem) -> Objective:
    """Return a problem of :mod:`qnsolve.problems` with value and gradient apart.

    Examples
    --------
    >>> from qnsolve.problems import woods
    >>> objective = objective_of(woods(4))
    >>> float(objective.fun(objective.x0)), objective.grad(objective.x0).shape
    (19192.0, (4,))
    """
    both = Latest(problem.fun)
    fun, grad = partial(part, both, 0), partial(part, both, 1)
    return Objective(problem.name, problem.n, problem.x0, fun, grad)


def part(both: Callable[[np.ndarray], tuple[Any, ...]], which: int, x: np.ndarray) -> Any:
    """Return one of the values of `both`, as a function that can be pickled."""
    return both(x)[which]


@dataclass(frozen=True)
class Run:
    """What one solver made of one problem.

    Parameters
    ----------
    problem, n, solver
        Which run it was.
    budget : int
        Evaluations the solver was allowed.
    limit : float
        Seconds of processor time it was allowed.
    status : {"returned", "budget", "timeout", "error"}
        How the run ended.
    message : str
        What the solver said, or the exception.
    cost_absolute, cost_relative : int or None
        The cost max(evaluations of f, evaluations of g) at the first evaluated point with
        ``||g||_inf <= GTOL``, and with ``||g||_inf <= GTOL max(1, ||g0||_inf)``.  None: there was
        no such point.  In a box g is P(x - g) - x, here and below, and a point outside of the box
        satisfies no test.
    nfev, njev : int
        Evaluations of f and g in all, at different points.
    f, g_norm : float
        At the point returned, else at the lowest point seen.
    g0_norm : float
        ||g||_inf at the start.
    seconds : float
        Processor time of the solver with its evaluations.
    nit, own_nfev, own_njev : int or None
        What the solver reports.
    outside : int or None
        Evaluations at points outside of the box; None where the problem has none.
    """

    problem: str
    n: int
    solver: str
    budget: int
    limit: float
    status: str
    message: str
    cost_absolute: int | None = None
    cost_relative: int | None = None
    nfev: int = 0
    njev: int = 0
    f: float = np.nan
    g_norm: float = np.nan
    g0_norm: float = np.nan
    seconds: float = np.nan
    nit: int | None = None
    own_nfev: int | None = None
    own_njev: int | None = None
    outside: int | None = None

    def cost(self, test: str) -> float:
        """Return the cost until `test` ("absolute" or "relative") held, inf if it never did."""
        cost = {"absolute": self.cost_absolute, "relative": self.cost_relative}[test]
        return np.inf if cost is None else float(cost)


class Spent(BaseException):
    """Ends a run from inside an evaluation; no solver's ``except Exception`` holds it up."""


class Meter:
    """The objective as the solver sees it: counts, tests and limits.

    A second call at the point of the last one is answered from memory and costs nothing, so that
    solvers pay the same whether they ask for value and gradient together or apart.

    Parameters
    ----------
    objective : Objective
    budget : int
        Most evaluations of f, and of g.  One more raises `Spent`.
    limit : float
        Seconds of processor time after which an evaluation raises `Spent`.  Unlike wall time it
        does not depend on what else the machine does.
    deadline : float
        The same for the clock ``time.perf_counter``.
    """

    def __init__(
        self, objective: Objective, budget: int, limit: float, deadline: float = np.inf
    ) -> None:
        self._objective = objective
        self._fun, self._grad = Latest(self._new_fun), Latest(self._new_grad)
        # The start's gradient sets the relative tolerance; no solver pays for it.
        g0 = _as_gradient(objective.grad(objective.x0), objective.n)
        self.g0_norm = objective.slope(objective.x0, g0)
        scale = max(1.0, self.g0_norm) if np.isfinite(self.g0_norm) else 1.0
        self._tolerances = {"absolute": GTOL, "relative": GTOL * scale}
        self.costs: dict[str, int | None] = dict.fromkeys(TESTS)
        self.nfev = self.njev = self.outside = 0
        self.spent: str | None = None
        self.lowest: tuple[float, np.ndarray] = (np.inf, objective.x0.copy())
        self._budget, self._limit, self._deadline = budget, limit, deadline
        self._start = time.process_time()

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Copies of the bounds."""
        box = self._objective.box
        return None if box is None else (box[0].copy(), box[1].copy())

    @property
    def seconds(self) -> float:
        """Processor time since the meter was made."""
        return time.process_time() - self._start

    def fun(self, x: np.ndarray) -> float:
        return self._fun(np.asarray(x, dtype=float))

    def grad(self, x: np.ndarray) -> np.ndarray:
        return self._grad(np.asarray(x, dtype=float)).copy()

    def hess(self, x: np.ndarray) -> np.ndarray:
        """Return the dense Hessian, which is not counted."""
        if self._objective.hess is None:
            raise ValueError(f"{self._objective.name} has no second derivatives")
        return np.asarray(self._objective.hess(x), dtype=float)

    def uncounted(self, x: np.ndarray) -> tuple[float, float]:
        """Return f and ||g||_inf at `x` for the report."""
        f = _as_value(self._objective.fun(x))
        g = _as_gradient(self._objective.grad(x), self._objective.n)
        return f, self._objective.slope(x, g)

    def _new_fun(self, x: np.ndarray) -> float:
        self._check_limits(self.nfev)
        self.nfev += 1
        inside = self._objective.holds(x)
        self.outside += not inside
        f = _as_value(self._objective.fun(x))
        if inside and f < self.lowest[0]:
            self.lowest = (f, x.copy())
        return f

    def _new_grad(self, x: np.ndarray) -> np.ndarray:
        self._check_limits(self.njev)
        self.njev += 1
        g = _as_gradient(self._objective.grad(x), self._objective.n)
        norm = self._objective.slope(x, g)
        inside = self._objective.holds(x)
        for test, tolerance in self._tolerances.items():
            if self.costs[test] is None and norm <= tolerance and inside:
                self.costs[test] = max(self.nfev, self.njev)
        return g

    def _check_limits(self, count: int) -> None:
        if count >= self._budget:
            self.spent = "budget"
        elif self.seconds > self._limit or time.perf_counter() > self._deadline:
            self.spent = "timeout"
        if self.spent:
            raise Spent(self.spent)


class Latest:
    """A function that remembers its last argument and value."""

    def __init__(self, function: Callable[[np.ndarray], Any]) -> None:
        self._function = function
        self._key: bytes | None = None
        self._value: Any = None

    def __call__(self, x: np.ndarray) -> Any:
        key = x.tobytes()
        if key != self._key:
            self._key = None  # stays so where the function raises
            self._value = self._function(x.copy())
            self._key = key
        return self._value


def measure(
    objective: Objective,
    contender: Any,
    budget: int,
    limit: float,
    deadline: float = np.inf,
) -> Run:
    """Run `contender` on `objective`; whatever it does ends in a `Run`.

    Parameters
    ----------
    objective : Objective
    contender : Contender
    budget : int
        Most evaluations.
    limit : float
        Most seconds of processor time; looked at when the solver evaluates.
    deadline : float, optional
        When to end in any case, by ``time.perf_counter``.

    Returns
    -------
    Run

    Examples
    --------
    >>> from qnsolve.problems import extended_rosenbrock
    >>> from benchmarks.profiling.contenders import parse_contender
    >>> solver = parse_contender("scipy:L-BFGS-B")
    >>> run = measure(objective_of(extended_rosenbrock(10)), solver, 5000, 60.0)
    >>> run.status, run.cost("absolute") <= run.nfev == run.own_nfev
    ('returned', True)
    >>> measure(objective_of(extended_rosenbrock(10)), solver, 5, 60.0).status
    'budget'
    """
    result: Any = {}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        meter = Meter(objective, budget, limit, deadline)
        try:
            result = contender.solve(meter, objective.x0.copy(), GTOL)
            status, message = "returned", str(result.get("message", ""))
        except (Spent, Exception) as error:
            # Code in between may have turned our exception into another.
            status = meter.spent or "error"
            message = "" if meter.spent else f"{type(error).__name__}: {error}"
        seconds = meter.seconds
        f, g_norm = meter.uncounted(_end(meter, result.get("x"), objective.n))
    return Run(
        problem=objective.name,
        n=objective.n,
        solver=contender.label,
        budget=budget,
        limit=limit,
        status=status,
        message=message,
        cost_absolute=meter.costs["absolute"],
        cost_relative=meter.costs["relative"],
        nfev=meter.nfev,
        njev=meter.njev,
        f=f,
        g_norm=g_norm,
        g0_norm=meter.g0_norm,
        seconds=seconds,
        nit=_as_count(result.get("nit")),
        own_nfev=_as_count(result.get("nfev")),
        own_njev=_as_count(result.get("njev")),
        outside=None if objective.box is None else meter.outside,
    )


def _end(meter: Meter, x: Any, n: int) -> np.ndarray:
    return meter.lowest[1] if x is None else np.asarray(x, dtype=float).reshape(n)


def _as_value(f: Any) -> float:
    return float(np.asarray(f, dtype=float).item())


def _as_gradient(g: Any, n: int) -> np.ndarray:
    return np.asarray(g, dtype=float).reshape(n)


def _as_count(value: Any) -> int | None:
    return None if value is None else int(value)
