"""Evaluation counts of the five methods, and the table of what they were: what may not get worse.

One count says little where a rounding error may change the path: the median of several starts an
ulp apart is judged.  The problems are those of many whose medians were within 9 % of each other on
the kernels SkylakeX, Haswell, Sandybridge, Nehalem and Prescott of OpenBLAS.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import qnsolve
from qnsolve.methods import METHODS
from qnsolve.problems import get_problem
from tests.starts import an_ulp_apart

TABLE = Path(__file__).with_suffix(".csv")

STARTS = 5

MAXFEV = 600

PROBLEMS = (
    *(("extended-rosenbrock", n) for n in (2, 20, 100)),
    ("powell-singular", 4),
    *(("dixon-price", n) for n in (4, 10)),
    *(("broyden-tridiagonal", n) for n in (10, 100, 1000)),
    *(("styblinski-tang", n) for n in (5, 50)),
    ("chained-rosenbrock", 4),
    *(("cosine", n) for n in (5, 100)),
    ("trigonometric", 8),
    ("monkey-saddle", 2),
    *(("minimal-surface", n) for n in (49, 225)),
    ("phase-retrieval", 50),
    ("matrix-factorisation", 60),
)


def median_count(name: str, n: int, method: str) -> float:
    """Return the median number of evaluations, infinite for a start that is not solved."""
    problem, counts = get_problem(name, n), []
    for x0 in an_ulp_apart(problem.x0, STARTS):
        result = qnsolve.minimize(
            problem.fun, x0, jac=True, method=method, options={"maxfev": MAXFEV}
        )
        counts.append(result.nfev if result.success else np.inf)
    return float(np.median(counts))


def read() -> Iterator[tuple[str, int, str, int]]:
    """Yield name, n, method and count of every entry of the table."""
    with TABLE.open(newline="") as lines:
        for row in csv.DictReader(lines):
            for method in METHODS:
                yield row["problem"], int(row["n"]), method, int(row[method])


def write() -> None:
    """Measure the table anew."""
    with TABLE.open("w", newline="") as lines:
        rows = csv.writer(lines, lineterminator="\n")
        rows.writerow(["problem", "n", *METHODS])
        for name, n in PROBLEMS:
            counts = [median_count(name, n, method) for method in METHODS]
            rows.writerow([name, n, *map(int, counts)])
