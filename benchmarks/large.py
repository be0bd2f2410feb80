"""Large problems: evaluations and time of qnsolve beside SciPy's L-BFGS-B.

    python -m benchmarks.large [--methods METHOD ...] [--memory 10] [--repeats 3] [--name REGEX]
        [--min-n N] [--max-n N] [--markdown]

A run ends where ||g||_inf <= 1e-5 min(1, ||g0||_inf).  Where the start's gradient is small, as of a
mean over samples or of a fine grid, 1e-5 alone would ask for little; where it is large, 1e-5 times
it would be met at saddle points (on Woods at f = 19692 instead of 0).  Both solvers get the same
number of pairs, and L-BFGS-B's test on f is off (ftol = 0).  Runs are interleaved, on one thread,
timed by the process's clock; the ratio is the median over the repeats.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import statistics
import time
from dataclasses import dataclass

# Before NumPy is loaded.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402
import scipy.optimize  # noqa: E402

import qnsolve  # noqa: E402
from benchmarks.profiling import table  # noqa: E402
from qnsolve.interface import METHODS  # noqa: E402
from qnsolve.problems import Problem, get_problem  # noqa: E402

TOLERANCE = 1e-5
BUDGET = 2000
REFERENCE = "L-BFGS-B"
# (name, n); the numbers of variables of the grids are 100^2, 316^2 and 1000^2.  The Fourier
# features are made from the shipped breast cancer data.
CASES = (
    ("extended-rosenbrock", 10_000),
    ("extended-rosenbrock", 100_000),
    ("extended-rosenbrock", 1_000_000),
    ("woods", 10_000),
    ("woods", 100_000),
    ("woods", 1_000_000),
    ("broyden-tridiagonal", 10_000),
    ("broyden-tridiagonal", 100_000),
    ("broyden-tridiagonal", 1_000_000),
    ("minimal-surface", 10_000),
    ("minimal-surface", 99_856),
    ("ginzburg-landau", 10_000),
    ("ginzburg-landau", 99_856),
    ("ginzburg-landau", 1_000_000),
    ("fourier-logistic", 10_000),
    ("fourier-robust", 10_000),
)


@dataclass(frozen=True)
class Outcome:
    """One run: evaluations, seconds, and where it ended."""

    evaluations: int
    seconds: float
    f: float
    solved: bool


def solve(solver: str, problem: Problem, memory: int, gtol: float) -> Outcome:
    """Run `solver`, a method of qnsolve or the reference."""
    calls = 0

    def fun(x):
        nonlocal calls
        calls += 1
        return problem.fun(x)

    common = {"gtol": gtol, "maxiter": BUDGET}
    start = time.process_time()
    if solver == REFERENCE:
        options = {**common, "maxcor": memory, "ftol": 0.0, "maxfun": BUDGET}
        result = scipy.optimize.minimize(
            fun, problem.x0, jac=True, method="L-BFGS-B", options=options
        )
    else:
        pairs = {} if solver == "newton-tr" else {"memory": memory}
        options = {**common, **pairs, "maxfev": BUDGET}
        result = qnsolve.minimize(fun, problem.x0, jac=True, method=solver, options=options)
    seconds = time.process_time() - start
    return Outcome(calls, seconds, float(result.fun), float(np.abs(result.jac).max()) <= gtol)


def interleaved(
    problem: Problem, methods: list[str], memory: int, repeats: int
) -> dict[str, list[Outcome]]:
    """Return the outcomes of each solver, run in turn."""
    _, g0 = problem.fun(problem.x0)
    gtol = TOLERANCE * min(1.0, float(np.abs(g0).max()))
    solvers = [REFERENCE, *methods]
    outcomes: dict[str, list[Outcome]] = {solver: [] for solver in solvers}
    for _ in range(repeats):
        for solver in solvers:
            outcomes[solver].append(solve(solver, problem, memory, gtol))
    return outcomes


def ratios(ours: list[Outcome], theirs: list[Outcome]) -> tuple[float, float]:
    """Return the medians of the ratios of evaluations and of seconds, run by run."""
    pairs = list(zip(ours, theirs, strict=True))
    return (
        statistics.median(a.evaluations / b.evaluations for a, b in pairs),
        statistics.median(a.seconds / b.seconds for a, b in pairs),
    )


def count(outcomes: list[Outcome]) -> str:
    """Return the evaluations, in brackets where the tolerance was not met."""
    text = f"{statistics.median(o.evaluations for o in outcomes):g}"
    return text if all(o.solved for o in outcomes) else f"({text})"


def summary(values: list[float]) -> tuple[str, str]:
    """Return the geometric mean and the worst."""
    if not values:
        return "-", "-"
    return f"{math.exp(statistics.fmean(map(math.log, values))):.2f}", f"{max(values):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--memory", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--name", default="", metavar="REGEX")
    parser.add_argument("--min-n", type=int, default=1)
    parser.add_argument("--max-n", type=int, default=10**9)
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()

    rows = []
    kept: dict[str, list[tuple[float, float]]] = {method: [] for method in args.methods}
    for name, n in CASES:
        if not args.min_n <= n <= args.max_n or not re.search(args.name, name):
            continue
        outcomes = interleaved(get_problem(name, n), args.methods, args.memory, args.repeats)
        theirs = outcomes[REFERENCE]
        for method in args.methods:
            ours = outcomes[method]
            by_evaluations, by_time = ratios(ours, theirs)
            if all(o.solved for o in ours + theirs):
                kept[method].append((by_evaluations, by_time))
            rows.append(
                (
                    name,
                    n,
                    method,
                    count(ours),
                    count(theirs),
                    f"{by_evaluations:.2f}",
                    f"{statistics.median(o.seconds for o in ours):.2f}",
                    f"{statistics.median(o.seconds for o in theirs):.2f}",
                    f"{by_time:.2f}",
                    f"{ours[0].f:.6g}",
                    f"{theirs[0].f:.6g}",
                )
            )
            print(*rows[-1], flush=True)
    heads = ("problem", "n", "method", "evaluations", REFERENCE, "ratio")
    heads += ("seconds", REFERENCE, "ratio", "f", REFERENCE)
    print(f"\n{table(heads, rows, args.markdown)}\n")
    totals = []
    for method, values in kept.items():
        evaluations, seconds = summary([e for e, _ in values]), summary([t for _, t in values])
        totals.append((method, len(values), *evaluations, *seconds))
    heads = ("method", "solved by both", "evaluations: mean", "worst", "time: mean", "worst")
    print(table(heads, totals, args.markdown))
    print("\nRatios to L-BFGS-B, geometric means; in brackets above: tolerance not met.")


if __name__ == "__main__":
    main()
