"""Milliseconds of an iteration on a GPU, beside the bandwidth of the card and the two-pass floor.

    python -m benchmarks.gpu [--libraries cupy torch] [--dtypes float32 float64]
                             [--sizes 100000 ... 100000000] [--memory 10] [--vectors host]

Every method runs on arrays of each library in float32 and float64.  Timed is what the solver does
between the end of one evaluation and the beginning of the next, with the device synchronised at
both; the objective's own time is left out.  The floor is two passes over the 2m stored rows and
over what else an iteration must touch, 4m + 6 vectors, at the bandwidth of a plain copy.  Newton's
method stores no rows and makes up to ten products, by differences of gradients: it has no floor.

Short vectors are carried to the host with each evaluation, which counts as time between two of
them; ``--vectors`` keeps all of them on the device or carries all of them, to see where that pays.

At the smallest size the iterates are compared with those of NumPy.  TF32 is off, and before
anything is timed a long inner product is checked to be accumulated in float64.

Where there is no GPU that says so, and nothing is measured.  ``--libraries numpy torch-cpu`` runs
the program itself on a CPU.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import qnsolve
import qnsolve.arrays.border
import qnsolve.arrays.device
from qnsolve.arrays import space_of, to_host

METHODS = ("hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls", "newton-tr")
DTYPES = ("float32", "float64")
SIZES = (10**5, 10**6, 10**7, 10**8)
CHECKED_ITERATIONS = 5
"""Iterations after which device and NumPy are compared; later ones magnify rounding."""

SCRATCH = 12
"""Vectors of length n beside the pairs, the objective's own included, to tell what fits."""

COPY_BYTES = 2**30


@dataclass(frozen=True)
class Library:
    """An array library on one device."""

    name: str
    namespace: Any
    device: Any
    synchronise: Callable[[], None]
    free_bytes: Callable[[], float]
    card: str

    def asarray(self, values: np.ndarray, dtype: str) -> Any:
        place = {} if self.device is None else {"device": self.device}
        return self.namespace.asarray(values, dtype=getattr(self.namespace, dtype), **place)


def open_library(name: str) -> Library | str:
    """Return the library, or why there is none."""
    if name == "numpy":
        return Library(name, np, None, lambda: None, lambda: np.inf, "CPU")
    if name in ("torch", "torch-cpu"):
        try:
            import torch
        except ImportError:
            return "torch is not installed"
        if name == "torch-cpu":
            torch.set_num_threads(1)
            return Library(name, torch, "cpu", lambda: None, lambda: np.inf, "CPU")
        if not torch.cuda.is_available():
            return "torch finds no CUDA device"
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
        return Library(
            name,
            torch,
            torch.device("cuda", 0),
            torch.cuda.synchronize,
            lambda: torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved(),
            torch.cuda.get_device_name(0),
        )
    try:
        import cupy
    except ImportError:
        return "cupy is not installed"
    if not cupy.cuda.is_available():
        return "cupy finds no CUDA device"
    pool = cupy.get_default_memory_pool()
    return Library(
        name,
        cupy,
        None,
        cupy.cuda.Device().synchronize,
        lambda: cupy.cuda.Device().mem_info[0] + pool.free_bytes(),
        cupy.cuda.runtime.getDeviceProperties(0)["name"].decode(),
    )


def copy_bandwidth(library: Library, size: int = COPY_BYTES) -> float:
    """Return bytes read and written a second by a copy."""
    source = library.asarray(np.zeros(size // 4), "float32")
    target = source + 0.0
    seconds = []
    for _ in range(10):
        library.synchronise()
        start = time.perf_counter()
        target[...] = source
        library.synchronise()
        seconds.append(time.perf_counter() - start)
    return 2 * size / statistics.median(seconds)


def accumulation_error(library: Library, n: int) -> float:
    """Return the relative error of the inner product of n float32 ones with 0.1 each."""
    v = library.asarray(np.full(n, 0.1), "float32")
    w = library.asarray(np.ones(n), "float32")
    exact = n * float(np.float32(0.1))
    return abs(space_of(v).dot(v, w) - exact) / exact


class Chain:
    """f = sum_i d_i x_i^2 / 2 + (x_i^2 - 1)^2 / 4, its parts in one vector and one temporary."""

    def __init__(self, library: Library, n: int, dtype: str) -> None:
        self._synchronise = library.synchronise
        # Made on the device, or 10^8 numbers would have to be carried there.
        xp, place = library.namespace, {} if library.device is None else {"device": library.device}
        ramp = xp.arange(n, dtype=getattr(xp, dtype), **place)
        ramp /= n
        self.d = 30.0 * ramp + 1.0
        self.x0 = 0.5 + ramp
        del ramp
        self.begun: list[float] = []
        self.ended: list[float] = []

    def __call__(self, x: Any) -> tuple[Any, Any]:
        self._synchronise()
        self.begun.append(time.perf_counter())
        wall = x * x
        wall -= 1.0
        g = wall + self.d
        g *= x
        wall *= wall
        wall *= 0.25
        wall += 0.5 * self.d * x * x
        value = wall.sum()
        self._synchronise()
        self.ended.append(time.perf_counter())
        return value, g

    @property
    def gaps(self) -> list[float]:
        """Seconds from the end of an evaluation to the beginning of the next."""
        return [b - e for e, b in zip(self.ended, self.begun[1:], strict=False)]


class Crossings:
    """Counts the arrays that are copied to the host while it is entered, and their bytes."""

    def __enter__(self) -> Crossings:
        self.count, self.largest = 0, 0

        def counted(a: Any) -> np.ndarray:
            host = to_host(a)
            if not isinstance(a, np.ndarray):
                self.count += 1
                self.largest = max(self.largest, host.nbytes)
            return host

        qnsolve.arrays.device.to_host = counted
        return self

    def __exit__(self, *_: Any) -> None:
        qnsolve.arrays.device.to_host = to_host


def difference_to_numpy(library: Library, n: int, dtype: str, method: str, memory: int) -> float:
    """Return the largest difference of x after a few iterations, relative to the largest |x|."""
    options = {"maxiter": CHECKED_ITERATIONS, "gtol": 0.0, **own_options(method, memory)}
    found = []
    for where in (open_library("numpy"), library):
        fun = Chain(where, n, dtype)
        result = qnsolve.minimize(fun, fun.x0, jac=True, method=method, options=options)
        found.append(to_host(result.x))
    host, there = found
    return float(np.abs(host - there).max() / np.abs(host).max())


def own_options(method: str, memory: int) -> dict[str, int]:
    """Return the option that bounds the work of an iteration."""
    return {"inner_maxiter": 10} if method == "newton-tr" else {"memory": memory}


def measure(library: Library, n: int, dtype: str, method: str, memory: int) -> dict[str, float]:
    """Return the median milliseconds of an iteration with a full memory, and what crossed."""
    fun = Chain(library, n, dtype)
    options = {"maxiter": memory + 12, "gtol": 0.0, "xtol": 0.0, **own_options(method, memory)}
    with Crossings() as crossings:
        result = qnsolve.minimize(fun, fun.x0, jac=True, method=method, options=options)
    # The memory fills, and libraries compile and find their buffers, before what is timed.
    settled = fun.gaps[min(memory + 2, len(fun.gaps) // 2) :]
    evaluations = max(1, result.nfev - 1)
    return {
        "ms": 1e3 * statistics.median(settled) * evaluations / max(1, result.nit),
        "crossings": crossings.count / max(1, result.nit),
        "bytes": crossings.largest,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--libraries", nargs="+", default=["cupy", "torch"])
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--dtypes", nargs="+", default=list(DTYPES), choices=DTYPES)
    parser.add_argument("--memory", type=int, default=10)
    parser.add_argument("--vectors", default="default", choices=("default", "device", "host"))
    parser.add_argument("--copy-bytes", type=int, default=COPY_BYTES)
    chosen = parser.parse_args(arguments)
    carried = {"device": -1, "host": max(chosen.sizes)}
    qnsolve.arrays.border.CARRIED = carried.get(chosen.vectors, qnsolve.arrays.border.CARRIED)
    measured = 0
    for name in chosen.libraries:
        library = open_library(name)
        if isinstance(library, str):
            print(f"{name}: {library}; nothing measured")
            continue
        bandwidth = copy_bandwidth(library, chosen.copy_bytes)
        error = accumulation_error(library, max(chosen.sizes))
        print(f"\n{name} on {library.card}: copy {bandwidth / 1e9:.0f} GB/s, TF32 off, ", end="")
        print(f"float32 accumulated to {error:.0e}, m = {chosen.memory}")
        if error > 1e-12:
            print("inner products are not accumulated in float64: no timing is of use")
            return 1
        print("| method | dtype | n | ms | floor ms | ratio | crossings | bytes | vs NumPy |")
        print("|---|---|---|---|---|---|---|---|---|")
        for method in chosen.methods:
            for dtype in chosen.dtypes:
                for n in chosen.sizes:
                    print(row(library, method, dtype, n, chosen, bandwidth), flush=True)
                    measured += 1
    if not measured:
        print("no GPU, no figures")
    return 0


def row(
    library: Library,
    method: str,
    dtype: str,
    n: int,
    chosen: argparse.Namespace,
    bandwidth: float,
) -> str:
    """Return one row of the table."""
    itemsize, m = np.dtype(dtype).itemsize, chosen.memory
    stored = 0 if method == "newton-tr" else 2 * m
    # Float32 rows are widened 256 MiB at a time, in a few arrays of that size.
    needed = (stored + SCRATCH) * n * itemsize + 2**30
    if needed > library.free_bytes():
        return f"| {method} | {dtype} | {n:.0e} | does not fit ({needed / 2**30:.0f} GiB) |"
    check = ""
    if n == min(chosen.sizes):
        check = f"{difference_to_numpy(library, n, dtype, method, m):.0e}"
    found = measure(library, n, dtype, method, m)
    floor = f"{'':5} | {'':5}"
    if stored:
        ms = 1e3 * (4 * m + 6) * n * itemsize / bandwidth
        floor = f"{ms:.3g} | {found['ms'] / ms:.2f}"
    return (
        f"| {method} | {dtype} | {n:.0e} | {found['ms']:.3g} | {floor} "
        f"| {found['crossings']:.1f} | {found['bytes']:.0f} | {check} |"
    )


if __name__ == "__main__":
    sys.exit(main())
