"""Several minimisations at once on the workers of a cluster: futures of dask.distributed.

    python -m examples.dask_starts

One process asks; whichever evaluation is ready first is told to its solver.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from distributed import Client, LocalCluster, as_completed
from scipy.optimize import OptimizeResult

from qnsolve import Solver


def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
    """Return f and g of a function with many minima."""
    return float(np.sum(np.cos(3.0 * x)) + 0.1 * x @ x), -3.0 * np.sin(3.0 * x) + 0.2 * x


def minimise_all(client: Any, starts: np.ndarray) -> list[OptimizeResult]:
    """Minimise from every start."""
    solvers = [Solver(x0) for x0 in starts]
    waiting = {client.submit(evaluate, solver.ask(), pure=False): solver for solver in solvers}
    ready = as_completed(waiting)
    for future in ready:
        solver = waiting.pop(future)
        solver.tell(*future.result())
        if not solver.done:
            following = client.submit(evaluate, solver.ask(), pure=False)
            waiting[following] = solver
            ready.add(following)
    return [solver.result() for solver in solvers]


def main(count: int = 6, n: int = 3, *, processes: bool = True) -> list[OptimizeResult]:
    starts = np.random.default_rng(0).uniform(-3.0, 3.0, (count, n))
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, processes=processes, dashboard_address=None
    )
    with cluster, Client(cluster) as client:
        results = minimise_all(client, starts)
    best = min(results, key=lambda result: result.fun)
    total = sum(result.nfev for result in results)
    print(f"{total} evaluations from {count} starts; the lowest f is {best.fun:.6f}")
    return results


if __name__ == "__main__":
    main()
