"""Seconds to the solution of cheap problems, and microseconds an iteration, beside L-BFGS-B.

    python -m benchmarks.seconds [--memory 10 20] [--methods METHOD ...] [--sizes N ...]
        [--repeats 5] [--numpy] [--markdown]

Where fun costs next to nothing, the solver itself is what takes the time.  Solvers take turns in
one process, on one thread, by the process's clock; a figure is the least of the repeats.  The first
table is of runs to the same gradient tolerance, fun included, as ratios to L-BFGS-B with its 10
corrections; the second of an iteration on the chained Rosenbrock function, fun excluded.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

# Before NumPy is loaded.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402
import scipy.optimize  # noqa: E402

import qnsolve  # noqa: E402
from benchmarks.profiling import table  # noqa: E402
from qnsolve.compiled import BUILD  # noqa: E402
from qnsolve.problems import get_problem  # noqa: E402

CHEAP = (
    ("convex-quadratic", 20),
    ("convex-quadratic", 200),
    ("chained-rosenbrock", 10),
    ("chained-rosenbrock", 50),
    ("extended-rosenbrock", 20),
    ("extended-rosenbrock", 200),
    ("dixon-price", 20),
    ("powell-singular", 40),
    ("woods", 40),
    ("trigonometric", 20),
    ("styblinski-tang", 20),
    ("broyden-tridiagonal", 100),
    ("cosine", 100),
    ("saddle-chain", 30),
    ("robust-regression", None),
)
"""Names and sizes; None is the problem's own."""

GTOL, MOST = 1e-5, 3000
SIZES = (10, 100, 1000, 10_000)
ITERATIONS = 150
REFERENCE = "L-BFGS-B"

Solve = Callable[[Any, np.ndarray, float, int], Any]


def lbfgsb(fun: Any, x0: np.ndarray, gtol: float, most: int) -> Any:
    options = {"gtol": gtol, "ftol": 0.0, "maxiter": most, "maxfun": 10 * most}
    return scipy.optimize.minimize(fun, x0, jac=True, method="L-BFGS-B", options=options)


def ours(method: str, memory: int, compiled: bool) -> Solve:
    def solve(fun: Any, x0: np.ndarray, gtol: float, most: int) -> Any:
        options = {"memory": memory, "gtol": gtol, "maxiter": most, "compiled": compiled}
        return qnsolve.minimize(fun, x0, jac=True, method=method, options=options)

    return solve


class Clocked:
    """An objective that adds up the time spent in it."""

    def __init__(self, fun: Any) -> None:
        self._fun, self.seconds = fun, 0.0

    def __call__(self, x: np.ndarray) -> Any:
        start = time.process_time()
        answer = self._fun(x)
        self.seconds += time.process_time() - start
        return answer


def to_the_solution(solvers: dict[str, Solve], repeats: int) -> dict[str, list[float]]:
    """Return the seconds to the solution of each problem, by solver; inf where there was none."""
    seconds: dict[str, list[float]] = {name: [] for name in solvers}
    for problem_name, n in CHEAP:
        problem = get_problem(problem_name, n)
        best = dict.fromkeys(solvers, np.inf)
        for _ in range(repeats):
            for name, solve in solvers.items():
                start = time.process_time()
                result = solve(problem.fun, problem.x0, GTOL, MOST)
                took = time.process_time() - start
                if np.abs(result.jac).max() <= GTOL:
                    best[name] = min(best[name], took)
        for name, took in best.items():
            seconds[name].append(took)
    return seconds


def an_iteration(solvers: dict[str, Solve], n: int, repeats: int) -> dict[str, float]:
    """Return the seconds an iteration on the chained Rosenbrock function, without fun."""
    problem = get_problem("chained-rosenbrock", n)
    best = dict.fromkeys(solvers, np.inf)
    for _ in range(repeats):
        for name, solve in solvers.items():
            fun, start = Clocked(problem.fun), time.process_time()
            result = solve(fun, problem.x0, 0.0, ITERATIONS)
            took = time.process_time() - start - fun.seconds
            best[name] = min(best[name], took / result.nit)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", type=int, nargs="+", default=[10, 20])
    parser.add_argument("--methods", nargs="+", default=["hybrid-tr", "lsr1-tr"])
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--numpy", action="store_true", help="also without the compiled model")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()

    solvers: dict[str, Solve] = {REFERENCE: lbfgsb}
    for method in args.methods:
        for memory in args.memory:
            solvers[f"{method}, m = {memory}"] = ours(method, memory, True)
            if args.numpy:
                solvers[f"{method}, m = {memory}, NumPy"] = ours(method, memory, False)

    seconds = to_the_solution(solvers, args.repeats)
    rows = []
    for name, took in seconds.items():
        ratios = np.array(took) / seconds[REFERENCE]
        solved = np.isfinite(ratios)
        mean = statistics.geometric_mean(ratios[solved].tolist())
        rows.append((name, f"{mean:.2f}", f"{ratios[solved].max():.2f}", f"{int(solved.sum())}"))
    heads = ("solver", "geometric mean", "worst", f"solved of {len(CHEAP)}")
    print(table(heads, rows, args.markdown), end="\n\n")

    rows = [(name,) for name in solvers]
    for n in args.sizes:
        took = an_iteration(solvers, n, args.repeats)
        rows = [
            (*row, f"{1e6 * took[row[0]]:.0f} ({took[row[0]] / took[REFERENCE]:.2f})")
            for row in rows
        ]
    print(table(("solver", *(f"n = {n:,}" for n in args.sizes)), rows, args.markdown))
    print(f"\nMicroseconds (ratio); compiled model: {BUILD}; load {os.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    main()
