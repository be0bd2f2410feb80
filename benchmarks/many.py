"""Many small problems at once beside one after the other: calls of fun, and seconds.

    python -m benchmarks.many [--markdown]

k starts of the chained Rosenbrock function, once with a vectorised function that costs next to
nothing, once with one that takes 10 ms a call however many rows it is asked for (a simulation, a
request; counted at 10 ms a call, not slept).  The others call it for one row at a time.  Seconds
are of the process's clock, the least of the repeats, taken in turn.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

# Before NumPy is loaded.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402
import scipy.optimize  # noqa: E402

import qnsolve  # noqa: E402

COUNTS, SIZES = (10, 100, 1000), (2, 10, 50)
LATENCY = 0.01
OPTIONS = {"gtol": 1e-5, "maxiter": 2000}
REPEATS = {10: 5, 100: 3, 1000: 1}


class Rosenbrock:
    """The chained Rosenbrock function of many rows, or of one; counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, X: np.ndarray) -> tuple[Any, np.ndarray]:
        self.calls += 1
        gap, rest = X[..., 1:] - X[..., :-1] ** 2, 1.0 - X[..., :-1]
        G = np.zeros_like(X)
        G[..., 1:] = 200.0 * gap
        G[..., :-1] -= 400.0 * gap * X[..., :-1] + 2.0 * rest
        return np.sum(100.0 * gap**2 + rest**2, axis=-1), G


def together(fun: Any, X0: np.ndarray) -> int:
    """Return the evaluations of the longest run."""
    return int(qnsolve.minimize_many(fun, X0, options=OPTIONS).nfev.max())


def ours(fun: Any, X0: np.ndarray) -> int:
    return max(qnsolve.minimize(fun, x0, jac=True, options=OPTIONS).nfev for x0 in X0)


def lbfgsb(fun: Any, X0: np.ndarray) -> int:
    options = {"gtol": 1e-5, "ftol": 0.0, "maxiter": 2000, "maxfun": 20_000}
    return max(
        scipy.optimize.minimize(fun, x0, jac=True, method="L-BFGS-B", options=options).nfev
        for x0 in X0
    )


CONTENDERS: dict[str, Callable[[Any, np.ndarray], int]] = {
    "minimize_many": together,
    "minimize, one by one": ours,
    "L-BFGS-B, one by one": lbfgsb,
}


def measure(X0: np.ndarray, repeats: int) -> dict[str, tuple[int, int, float]]:
    """Return calls of fun, evaluations of the longest run, and seconds of every contender."""
    found: dict[str, tuple[int, int, float]] = {}
    for _ in range(repeats):
        for name, solve in CONTENDERS.items():
            fun, before = Rosenbrock(), time.process_time()
            longest = solve(fun, X0)
            seconds = time.process_time() - before
            least = min(seconds, found[name][2]) if name in found else seconds
            found[name] = fun.calls, longest, least
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--markdown", action="store_true", help="print a table for the docs")
    separator = " | " if parser.parse_args().markdown else "  "
    heads = ["k", "n", "calls / longest run", "calls: many", "ours", "L-BFGS-B"]
    heads += ["seconds, cheap: many", "ours", "L-BFGS-B", "us a row and call"]
    heads += ["L-BFGS-B / many, 10 ms a call"]
    print(separator.join(heads))
    if separator.strip():
        print(separator.join("---:" for _ in heads))
    for k in COUNTS:
        for n in SIZES:
            X0 = np.random.default_rng(0).uniform(-1.5, 1.5, (k, n))
            found = measure(X0, REPEATS[k])
            (calls, longest, seconds), one, theirs = found.values()
            rows = one[0]
            gain = (theirs[2] + LATENCY * theirs[0]) / (seconds + LATENCY * calls)
            cells = [k, n, f"{calls / longest:.2f}", calls, one[0], theirs[0]]
            cells += [f"{s:.3g}" for s in (seconds, one[2], theirs[2])]
            cells += [f"{1e6 * seconds / rows:.0f}", f"{gain:.1f}"]
            print(separator.join(map(str, cells)), flush=True)


if __name__ == "__main__":
    main()
