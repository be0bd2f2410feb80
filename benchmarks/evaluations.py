"""Evaluation counts of any methods and presets beside SciPy's L-BFGS-B on the named problems.

    python -m benchmarks.evaluations [SOLVER ...] [--memory M] [--gtol 1e-5] [--markdown]

SOLVER is a method with options, such as lsr1-tr or lsr1-arc:norm=l2:weight_rule=cgt, or the name of
a preset, such as SC_SR1; lsr1-tr where none is given.  One evaluation is one call of fun, which
returns f and g.  All get the same start and tolerance on ||g||_inf, and methods the same memory as
L-BFGS-B, while a preset keeps its own unless --memory is given.  L-BFGS-B's test on f is switched
off (ftol = 0).
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Callable

import numpy as np
import scipy.optimize
from scipy.optimize import OptimizeResult

import qnsolve
from qnsolve import presets
from qnsolve.problems import Problem, get_problem

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
MEMORY = 10


Solver = Callable[[Problem], OptimizeResult]


def solver_named(text: str, memory: int | None, gtol: float) -> Solver:
    """Return the preset, or the method with options, that `text` names."""
    name, *given = text.split(":")
    preset = getattr(presets, name, None)
    if isinstance(preset, presets.Preset):
        method, options = preset.method, dict(preset)
    else:
        method, options = name, {} if name == "newton-tr" else {"memory": memory or MEMORY}
    if memory is not None and method != "newton-tr":
        options["memory"] = memory
    options |= dict(_option(item) for item in given)
    options |= {"gtol": gtol, "maxiter": BUDGET, "maxfev": BUDGET}
    return lambda problem: qnsolve.minimize(
        problem.fun, problem.x0, jac=True, method=method, options=options
    )


def _option(item: str) -> tuple[str, object]:
    """Return the name and value of ``name=value``."""
    name, _, value = item.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def lbfgsb(memory: int, gtol: float) -> Solver:
    """Return SciPy's L-BFGS-B."""
    options = {"maxcor": memory, "gtol": gtol, "ftol": 0.0, "maxiter": BUDGET, "maxfun": BUDGET}
    return lambda problem: scipy.optimize.minimize(
        problem.fun, problem.x0, jac=True, method="L-BFGS-B", options=options
    )


def cells_of(result: OptimizeResult, gtol: float) -> list[str]:
    """Return count, value and gradient norm; a count in brackets did not reach the tolerance."""
    g_norm = np.abs(result.jac).max()
    count = str(result.nfev) if g_norm <= gtol else f"({result.nfev})"
    return [count, f"{result.fun:.6e}", f"{g_norm:.1e}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("solvers", nargs="*", default=["lsr1-tr"], metavar="SOLVER")
    parser.add_argument("--memory", type=int, help=f"number of pairs (default {MEMORY})")
    parser.add_argument("--gtol", type=float, default=1e-5)
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    args = parser.parse_args()
    solvers = {text: solver_named(text, args.memory, args.gtol) for text in args.solvers}
    solvers["L-BFGS-B"] = lbfgsb(args.memory or MEMORY, args.gtol)

    columns = ["problem", "n"]
    row = "| {} | {} |" if args.markdown else "{:22} {:>6} |"
    for text in solvers:
        columns += [text, "f", "g"]
        row += (
            " {} | {} | {} |" if args.markdown else f" {{:>{max(8, len(text))}}} {{:>14}} {{:>8}} |"
        )
    print(row.format(*columns))
    if args.markdown:
        print("|" + "---|" * len(columns))
    for name, n in NAMED:
        problem = get_problem(name, n)
        cells = [problem.name, problem.n]
        for solve in solvers.values():
            cells += cells_of(solve(problem), args.gtol)
        print(row.format(*cells), flush=True)


if __name__ == "__main__":
    main()
