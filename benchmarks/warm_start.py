"""Evaluations on sequences of 20 problems that change slowly, with and without ``warm_start=``.

    python -m benchmarks.warm_start

Every problem starts from the minimiser of the one before, so that what is saved is due to pairs,
radius and gamma alone.  The figures are evaluations of the 19 problems after the first, and their
ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import qnsolve
from qnsolve.methods import METHODS

LENGTH, GTOL = 20, 1e-5

Fun = Callable[[np.ndarray], tuple[float, np.ndarray]]


def rolling_regression(n: int = 30, window: int = 400, step: int = 10) -> Iterator[Fun]:
    """Logistic regressions on a window that moves by 10 of 400 rows, while the truth drifts."""
    rng = np.random.default_rng(0)
    rows = window + LENGTH * step
    X = rng.standard_normal((rows, n)) * np.geomspace(0.2, 3.0, n)
    truth = rng.standard_normal(n) + 0.3 * np.linspace(0.0, 1.0, rows)[:, None]
    y = (rng.random(rows) < 1.0 / (1.0 + np.exp(-(X * truth).sum(axis=1) / 3.0))).astype(float)
    for i in range(LENGTH):
        part = slice(i * step, i * step + window)

        def fun(w: np.ndarray, X: Any = X[part], y: Any = y[part]) -> tuple[float, np.ndarray]:
            z = X @ w
            p = 1.0 / (1.0 + np.exp(-z))
            return float(np.mean(np.logaddexp(0.0, z) - y * z)), X.T @ (p - y) / len(y)

        yield fun


def continuation(n: int = 100) -> Iterator[Fun]:
    """Bratu's problem u'' + t exp(u) = 0 as an energy, t from 0.1 to 3."""
    h = 1.0 / (n + 1)
    for t in np.linspace(0.1, 3.0, LENGTH):

        def fun(u: np.ndarray, t: float = float(t)) -> tuple[float, np.ndarray]:
            d = np.diff(u, prepend=0.0, append=0.0) / h
            e = np.exp(u)
            return float(h * (0.5 * d @ d - t * e.sum())), -np.diff(d) - h * t * e

        yield fun


def moving_rosenbrock(n: int = 20) -> Iterator[Fun]:
    """The chained Rosenbrock function with a valley that becomes steeper and moves."""
    for t in np.linspace(0.0, 1.0, LENGTH):

        def fun(x: np.ndarray, t: float = float(t)) -> tuple[float, np.ndarray]:
            z, steep = x - 0.5 * t, 100.0 * (1.0 + t)
            gap, rest = z[1:] - z[:-1] ** 2, 1.0 - z[:-1]
            g = np.zeros_like(x)
            g[1:] = 2.0 * steep * gap
            g[:-1] -= 4.0 * steep * gap * z[:-1] + 2.0 * rest
            return float(steep * gap @ gap + rest @ rest), g

        yield fun


SEQUENCES: dict[str, tuple[Callable[[], Iterator[Fun]], int]] = {
    "rolling logistic regression": (rolling_regression, 30),
    "continuation of Bratu's problem": (continuation, 100),
    "Rosenbrock's valley that moves": (moving_rosenbrock, 20),
}


def evaluations(
    sequence: Callable[[], Iterator[Fun]], n: int, method: str, memory: int, *, warm: bool
) -> int:
    """Return the evaluations of all problems but the first."""
    x, previous, total = np.zeros(n), None, 0
    options = {"gtol": GTOL} if method == "newton-tr" else {"gtol": GTOL, "memory": memory}
    for i, fun in enumerate(sequence()):
        given = previous if warm else None
        previous = qnsolve.minimize(
            fun, x, jac=True, method=method, options=options, warm_start=given
        )
        if not previous.success:
            raise RuntimeError(f"{method} on problem {i}: {previous.message}")
        x, total = previous.x, total + previous.nfev * (i > 0)
    return total


def main() -> None:
    print("| sequence | method | memory | without | with | ratio |")
    print("|---|---|---:|---:|---:|---:|")
    for name, (sequence, n) in SEQUENCES.items():
        for method in METHODS:
            for memory in (20, 2 * n):
                cold, warm = (
                    evaluations(sequence, n, method, memory, warm=w) for w in (False, True)
                )
                print(f"| {name} | {method} | {memory} | {cold} | {warm} | {warm / cold:.2f} |")


if __name__ == "__main__":
    main()
