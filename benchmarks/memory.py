"""Peak memory of the methods beyond what the objective itself takes, in vectors of length n.

    python -m benchmarks.memory [--n 1000000] [--memory 10] [--iterations 40]

The objective is chained: a sum of squares with neighbours, written without temporaries beyond its
gradient and one residual, and its own peak is measured alone, first.  tracemalloc sees every NumPy
allocation.
"""

from __future__ import annotations

import argparse
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult, minimize

import qnsolve
from qnsolve.solvers.matrices import build_psi

METHODS = ("hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls")


def objective(x):
    """Broyden tridiagonal as a sum of squares; two vectors of its own."""
    r = 3.0 - 2.0 * x
    r *= x
    r += 1.0
    r[1:] -= x[:-1]
    r[:-1] -= 2.0 * x[1:]
    f = float(r @ r)
    g = 3.0 - 4.0 * x
    g *= r
    g[:-1] -= r[1:]
    g[1:] -= 2.0 * r[:-1]
    g *= 2.0
    return f, g


def peak(run) -> int:
    """Return the peak of traced memory while `run` runs, above what was there before."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    run()
    _, top = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return top - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10**6)
    parser.add_argument("--memory", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=40)
    args = parser.parse_args()
    n, m = args.n, args.memory
    x0 = -np.ones(n)
    vector = 8 * n
    own = peak(lambda: objective(x0)) / vector
    common = {"maxiter": args.iterations, "gtol": 0.0}
    runs: dict[str, tuple[Callable[..., OptimizeResult], dict[str, Any]]] = {
        **{
            method: (
                partial(qnsolve.minimize, method=method),
                {} if method == "newton-tr" else {"memory": m},
            )
            for method in METHODS
        },
        "lsr1-tr on PsiLSR1": (
            partial(qnsolve.minimize, method="lsr1-tr"),
            {"memory": m, "matrix": build_psi},
        ),
        "L-BFGS-B": (partial(minimize, method="L-BFGS-B"), {"maxcor": m, "ftol": 0.0}),
    }
    print(f"n = {n}, m = {m}, {args.iterations} iterations, vectors of length n:")
    print(f"  {'objective alone':20} {own:6.2f}")
    print(f"  beyond it, where 2m + 6 = {2 * m + 6} and m + 6 = {m + 6}:")
    for name, (solve, options) in runs.items():
        whole = peak(partial(solve, objective, x0, jac=True, options={**common, **options}))
        print(f"  {name:20} {whole / vector - own:6.2f}")


if __name__ == "__main__":
    main()
