"""Evaluation counts of lsr1-tr beside SciPy's L-BFGS-B on the named problems.

    python benchmarks/evaluations.py [--memory 10] [--gtol 1e-5] [--markdown]

One evaluation is one call of fun, which returns f and g.  Both solvers get the same memory, start
and tolerance on ||g||_inf; L-BFGS-B's test on f is switched off (ftol = 0).
"""

from __future__ import annotations

import argparse

import numpy as np
import scipy.optimize

import qnsolve
from qnsolve.problems import get_problem

NAMED = [
    ("extended-rosenbrock", 100),
    ("extended-rosenbrock", 10_000),
    ("powell-singular", 100),
    ("powell-singular", 10_000),
    ("dixon-price", 50),
    ("broyden-tridiagonal", 100),
    ("broyden-tridiagonal", 10_000),
    ("styblinski-tang", 100),
    ("styblinski-tang", 10_000),
    ("woods", 100),
    ("chained-rosenbrock", 20),
    ("cosine", 100),
    ("trigonometric", 100),
    ("convex-quadratic", 100),
    ("monkey-saddle", 2),
    ("breast-cancer-network", None),
    ("digits-network", None),
    ("robust-regression", None),
]
BUDGET = 20_000


def run(problem, memory, gtol):
    """Return the results of lsr1-tr and of L-BFGS-B."""
    ours = qnsolve.minimize(
        problem.fun,
        problem.x0,
        jac=True,
        method="lsr1-tr",
        options={"memory": memory, "gtol": gtol, "maxiter": BUDGET, "maxfev": BUDGET},
    )
    theirs = scipy.optimize.minimize(
        problem.fun,
        problem.x0,
        jac=True,
        method="L-BFGS-B",
        options={
            "maxcor": memory,
            "gtol": gtol,
            "ftol": 0.0,
            "maxiter": BUDGET,
            "maxfun": BUDGET,
        },
    )
    return ours, theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", type=int, default=10)
    parser.add_argument("--gtol", type=float, default=1e-5)
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    args = parser.parse_args()
    columns = ("problem", "n", "lsr1-tr", "f", "g", "L-BFGS-B", "f", "g")
    row = (
        "| {} | {} | {} | {} | {} | {} | {} | {} |"
        if args.markdown
        else ("{:22} {:>6} | {:>7} {:>14} {:>8} | {:>8} {:>14} {:>8}")
    )
    print(row.format(*columns))
    if args.markdown:
        print("|" + "---|" * len(columns))
    for name, n in NAMED:
        problem = get_problem(name, n)
        cells = [problem.name, problem.n]
        for result in run(problem, args.memory, args.gtol):
            g_norm = np.abs(result.jac).max()
            # A count in brackets is a run that did not reach the tolerance.
            count = str(result.nfev) if g_norm <= args.gtol else f"({result.nfev})"
            cells += [count, f"{result.fun:.6e}", f"{g_norm:.1e}"]
        print(row.format(*cells), flush=True)


if __name__ == "__main__":
    main()
