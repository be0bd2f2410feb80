"""Several minimisations at once, whose evaluations are awaited: asyncio.

    python -m examples.asyncio_starts

Each solver waits for its own answers while the others go on.  Here an evaluation is a short sleep;
it may be a request to a server.
"""

from __future__ import annotations

import asyncio

import numpy as np
from scipy.optimize import OptimizeResult

from qnsolve import Solver

SECONDS = 0.002


async def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
    """Return f and g of a function with many minima, after a while."""
    await asyncio.sleep(SECONDS)
    return float(np.sum(np.cos(3.0 * x)) + 0.1 * x @ x), -3.0 * np.sin(3.0 * x) + 0.2 * x


async def minimise(x0: np.ndarray) -> OptimizeResult:
    solver = Solver(x0)
    while not solver.done:
        solver.tell(*await evaluate(solver.ask()))
    return solver.result()


async def minimise_all(starts: np.ndarray) -> list[OptimizeResult]:
    return await asyncio.gather(*map(minimise, starts))


def main(count: int = 8, n: int = 3) -> list[OptimizeResult]:
    starts = np.random.default_rng(0).uniform(-3.0, 3.0, (count, n))
    results = asyncio.run(minimise_all(starts))
    best = min(results, key=lambda result: result.fun)
    total = sum(result.nfev for result in results)
    print(f"{total} evaluations from {count} starts; the lowest f is {best.fun:.6f}")
    return results


if __name__ == "__main__":
    main()
