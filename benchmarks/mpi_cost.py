"""What an iteration costs on MPI ranks, and a model of it in n, m and the number of ranks.

    python -m benchmarks.mpi_cost [--ranks 1 2 4] [--sizes 10000 ... 1000000] [--memories 5 10 20]

Every case is launched by mpiexec.  Timed is what lsr1-tr does between the end of one evaluation and
the beginning of the next, on every rank, the slowest of which counts.  The model is

    seconds = a + c m^2 + v n / p + w m n / p + t log2(p)

with p ranks: overhead, work on small matrices on the host, traffic of single vectors and of the
stored rows (16 m n / p bytes each time they are read), and the latency of an all-reduce.  It is
fitted by least squares to relative errors, all coefficients >= 0, and printed with the error of
each case.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
TERMS = ("overhead", "m^2", "n / p", "m n / p", "log2 p")


def terms(n: float, m: float, p: float) -> list[float]:
    """Return the terms of the model."""
    return [1.0, m * m, n / p, m * n / p, math.log2(p)]


def on_rank(n: int, m: int, repeats: int) -> None:
    """Time one case on this rank and print it on the first."""
    from mpi4py import MPI as library

    import qnsolve
    from qnsolve.comm import MPI

    world = library.COMM_WORLD
    rank, size = world.Get_rank(), world.Get_size()
    mine = slice(n * rank // size, n * (rank + 1) // size)
    d = 1.0 + 30.0 * np.arange(n)[mine] / n
    begun, ended = [], []

    class Counted(MPI):
        count = total = 0

        def allreduce_sum(self, a):
            self.count += 1
            self.total += a.nbytes
            return super().allreduce_sum(a)

    def fun(x):
        begun.append(time.perf_counter())
        wall = x * x - 1.0
        f, g = float(0.5 * (d * x) @ x + 0.25 * wall @ wall), (d + wall) * x
        # Ranks that wait for each other's objective would count it as communication.
        world.Barrier()
        ended.append(time.perf_counter())
        return f, g

    comm, medians = Counted(), []
    for _ in range(repeats):
        begun.clear(), ended.clear()
        result = qnsolve.minimize(
            fun,
            0.5 + np.arange(n)[mine] / n,
            jac=True,
            method="lsr1-tr",
            comm=comm,
            options={"memory": m, "maxiter": 2 * m + 20, "gtol": 0.0, "xtol": 0.0},
        )
        gaps = np.array(begun[1:]) - np.array(ended[:-1])
        slowest = np.empty_like(gaps)
        world.Allreduce(gaps, slowest, op=library.MAX)
        medians.append(float(np.median(slowest[m + 2 :])))
    if rank == 0:
        runs = comm.count / repeats / result.nit
        found = {"seconds": min(medians), "messages": runs, "bytes": comm.total / comm.count}
        print(json.dumps(found))


def measured(p: int, n: int, m: int, repeats: int) -> dict[str, float]:
    """Launch one case."""
    case = ["--case", str(n), str(m), str(repeats)]
    done = subprocess.run(
        [MPIEXEC, "-n", str(p), sys.executable, __file__, *case],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def fit(cases: list[tuple[int, int, int]], seconds: list[float]) -> np.ndarray:
    """Return the coefficients of least squares in relative errors, none of them negative."""
    rows = np.array([terms(n, m, p) for p, n, m in cases]) / np.array(seconds)[:, None]
    scale = np.linalg.norm(rows, axis=0)
    scale[scale == 0.0] = 1.0  # one rank alone has no latency to fit
    return nnls(rows / scale, np.ones(len(seconds)))[0] / scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--sizes", nargs="+", type=int, default=[10**4, 10**5, 10**6])
    parser.add_argument("--memories", nargs="+", type=int, default=[5, 10, 20])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--case", nargs=3, type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.case:
        on_rank(*chosen.case)
        return
    if MPIEXEC is None:
        sys.exit("no mpiexec: pip install mpi4py mpich")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    cases = [(p, n, m) for p in chosen.ranks for n in chosen.sizes for m in chosen.memories]
    found = [measured(*case, chosen.repeats) for case in cases]
    seconds = [entry["seconds"] for entry in found]
    coefficients = fit(cases, seconds)
    print("| ranks | n | m | ms | model ms | messages an iteration | bytes each |")
    print("|---|---|---|---|---|---|---|")
    for (p, n, m), entry in zip(cases, found, strict=True):
        model = 1e3 * float(np.dot(coefficients, terms(n, m, p)))
        ms, messages = 1e3 * entry["seconds"], entry["messages"]
        print(f"| {p} | {n:.0e} | {m} | {ms:.3g} | {model:.3g} | {messages:.2f} ", end="")
        print(f"| {entry['bytes']:.0f} |")
    print(
        "\nseconds =", " + ".join(f"{c:.2e} {t}" for c, t in zip(coefficients, TERMS, strict=True))
    )
    errors = [
        abs(np.dot(coefficients, terms(n, m, p)) / s - 1.0)
        for (p, n, m), s in zip(cases, seconds, strict=True)
    ]
    print(f"error of the model: median {np.median(errors):.0%}, largest {max(errors):.0%}")
    prediction = float(np.dot(coefficients, terms(1e11, 10, 1e3)))
    print(f"predicted, not measured: n = 1e11, m = 10, 1000 ranks: {prediction:.2g} s")


if __name__ == "__main__":
    main()
