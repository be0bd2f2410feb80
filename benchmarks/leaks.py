"""Memory over many solves: whatever a call leaves behind adds up.

    python -m benchmarks.leaks [--solves 100000] [--threads 1]

Short runs of hybrid-tr and lsr1-tr, with the compiled model where it has been built and without in
turn, some of them broken off by an exception of fun, some by an end of the loop that nobody asks
any more.  The size of the process and the blocks of Python's allocator are printed ten times; the
second half of them must not grow.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.optimize

import qnsolve
from qnsolve.compiled import BUILD

SIZES = (2, 11, 14, 60)
LOOKS = 10


def rosenbrock(x: np.ndarray) -> tuple[float, np.ndarray]:
    return scipy.optimize.rosen(x), scipy.optimize.rosen_der(x)


def failing(x: np.ndarray) -> tuple[float, np.ndarray]:
    if x[0] > -1.0:
        raise RuntimeError("as it sometimes goes")
    return rosenbrock(x)


def solve(number: int) -> None:
    """Run one solve, of the kind with that number."""
    n, kind = SIZES[number % len(SIZES)], number // len(SIZES)
    options = {"maxiter": 12, "memory": 1 + kind % 7, "compiled": kind % 8 != 7}
    method = ("hybrid-tr", "lsr1-tr")[kind % 2]
    x0 = np.tile([-1.2, 1.0], (n + 1) // 2)[:n]
    try:
        fun = failing if kind % 5 == 4 else rosenbrock
        qnsolve.minimize(fun, x0, jac=True, method=method, options=options)
    except RuntimeError:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--solves", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    print(f"compiled model: {BUILD}; {args.threads} threads")
    print("solves     MB resident, most    blocks of Python")
    each, blocks, sizes, started = args.solves // LOOKS, [], [], time.monotonic()
    with ThreadPoolExecutor(args.threads) as pool:
        for look in range(LOOKS):
            list(pool.map(solve, range(look * each, (look + 1) * each)))
            gc.collect()
            blocks.append(sys.getallocatedblocks())
            sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            print(f"{(look + 1) * each:9,d}  {sizes[-1]:12.1f}  {blocks[-1]:18,d}", flush=True)
    half = LOOKS // 2
    grown = sizes[-1] - sizes[half], blocks[-1] - blocks[half]
    print(f"the second half: {grown[0]:+.1f} MB, {grown[1]:+,d} blocks")
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
