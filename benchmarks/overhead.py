"""What an iteration costs beyond the objective, beside L-BFGS-B and beside the memory's speed.

    python -m benchmarks.overhead [--methods METHOD ...] [--memory 10] [--sizes N ...]
        [--dtypes float64 float32] [--repeats 5] [--compiled] [--torch] [--markdown]
        [--figure FILE]

The objective is a diagonal quadratic of condition 1e5, and the time spent in it is taken off.  A
run starts with enough iterations to fill the memory; those after are timed, from one evaluation to
the next, by the process's clock, on one thread.  Solvers take turns, and all figures are medians:
of the overhead an iteration, of its ratio to L-BFGS-B's in the same turn, and of its ratio to the
floor.  The floor is the time to read (4m + 6) n floats, two passes over 2m stored vectors and six
others, at the speed at which one inner product reads a block of 2mn floats in the same turn.

L-BFGS-B computes in float64 always; with float32 vectors the objective converts for it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# Before NumPy is loaded.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402
import scipy.optimize  # noqa: E402

import qnsolve  # noqa: E402
from benchmarks.profiling import table  # noqa: E402
from qnsolve.solvers.matrices import build_psi  # noqa: E402

SIZES = (10**2, 10**3, 10**4, 10**5, 10**6)
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in ("hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls")},
    "PsiLSR1": ("lsr1-tr", {"matrix": build_psi}),
}
"""Rows of the table: method and options.  The last stores half as much."""

DEFAULT_METHODS = ("hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls")
REFERENCE, TORCH, FLOOR, COMPILED = "L-BFGS-B", "torch LBFGS", "floor", ", compiled"
CONDITION = 1e5
WARM_UP = 2
"""Iterations before timing, beyond those that fill the memory."""

ENTRIES = 2e7
"""Iterations that are timed, times n; but at least 10 and at most 100."""


@dataclass
class Quadratic:
    """The objective, with the process's clock at the beginning and end of each evaluation."""

    d: np.ndarray
    times: list[tuple[float, float]] = field(default_factory=list)

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        start = time.process_time()
        g = self.d * x.astype(self.d.dtype, copy=False)
        f = 0.5 * float(g @ x)
        self.times.append((start, time.process_time()))
        return f, g

    def outside(self, first: int) -> float:
        """Return the seconds between evaluations, from the one with index `first` on."""
        pairs = zip(self.times[first:], self.times[first + 1 :], strict=False)
        return sum(after[0] - before[1] for before, after in pairs)


Solver = Callable[[Quadratic, np.ndarray, int, int], int]
"""Runs a number of iterations from a point with a memory; returns how many it did."""


def ours(name: str) -> Solver:
    method, chosen = METHODS[name]

    def solve(fun: Quadratic, x0: np.ndarray, memory: int, iterations: int) -> int:
        pairs = {} if method == "newton-tr" else {"memory": memory}
        options = {**pairs, "maxiter": iterations, "gtol": 0.0, **chosen}
        return qnsolve.minimize(fun, x0, jac=True, method=method, options=options).nit

    return solve


def with_loops(solve: Solver) -> Solver:
    """Return `solve` with the compiled loops for the passes over the stored pairs."""
    from qnsolve import kernels

    def solve_compiled(fun: Quadratic, x0: np.ndarray, memory: int, iterations: int) -> int:
        kernels.use()
        try:
            return solve(fun, x0, memory, iterations)
        finally:
            kernels.use(False)

    return solve_compiled


def lbfgsb(fun: Quadratic, x0: np.ndarray, memory: int, iterations: int) -> int:
    options = {"maxcor": memory, "maxiter": iterations, "maxfun": 10**6, "gtol": 0.0, "ftol": 0.0}
    return scipy.optimize.minimize(fun, x0, jac=True, method="L-BFGS-B", options=options).nit


def torch_lbfgs(fun: Quadratic, x0: np.ndarray, memory: int, iterations: int) -> int:
    import torch

    torch.set_num_threads(1)
    x = torch.tensor(x0, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [x],
        history_size=memory,
        max_iter=iterations,
        max_eval=10**6,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        f, g = fun(x.detach().numpy())
        x.grad = torch.from_numpy(g)
        return f

    optimizer.step(closure)
    return optimizer.state[x]["n_iter"]


def seconds_an_iteration(
    solve: Solver, x0: np.ndarray, d: np.ndarray, memory: int, iterations: int, filling: int
) -> float:
    """Return the seconds outside the objective, an iteration; `filling` evaluations are left out.

    `filling` is the number of evaluations in the first memory + WARM_UP iterations.
    """
    fun = Quadratic(d)
    done = solve(fun, x0, memory, memory + WARM_UP + iterations)
    return fun.outside(filling - 1) / (done - memory - WARM_UP)


def evaluations_while_filling(solve: Solver, x0: np.ndarray, d: np.ndarray, memory: int) -> int:
    fun = Quadratic(d)
    solve(fun, x0, memory, memory + WARM_UP)
    return len(fun.times)


def floor(block: np.ndarray, memory: int) -> float:
    """Return the seconds in which (4m + 6) n floats are read, `block` having 2mn."""
    start = time.process_time()
    passes = max(1, int(1e6 / block.size))
    for _ in range(passes):
        block @ block
    return (time.process_time() - start) / passes * (4 * memory + 6) / (2 * memory)


def measure(
    solvers: dict[str, Solver], n: int, dtype: str, memory: int, repeats: int
) -> dict[str, list[float]]:
    """Return the overhead an iteration of each solver in seconds, and the floor, turn by turn."""
    d = np.logspace(0.0, np.log10(CONDITION), n).astype(dtype)
    x0, block = np.ones(n, dtype), np.ones(2 * memory * n, dtype)
    iterations = int(min(100, max(10, ENTRIES / n)))
    filling = {
        name: evaluations_while_filling(solve, x0, d, memory) for name, solve in solvers.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in (*solvers, FLOOR)}
    for _ in range(repeats):
        for name, solve in solvers.items():
            seconds[name].append(
                seconds_an_iteration(solve, x0, d, memory, iterations, filling[name])
            )
        seconds[FLOOR].append(floor(block, memory))
    return seconds


def ratio(seconds: dict[str, list[float]], name: str, to: str) -> float:
    """Return the median over the turns of the ratio of two solvers."""
    return statistics.median(a / b for a, b in zip(seconds[name], seconds[to], strict=True))


def draw(results: dict[tuple[str, int], dict[str, list[float]]], path: str) -> None:
    """Draw the overhead against n, one panel a dtype, readable on light and dark backgrounds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    grey = "#808080"
    dtypes = list(dict.fromkeys(dtype for dtype, _ in results))
    figure, panels = plt.subplots(
        1, len(dtypes), figsize=(5 * len(dtypes), 4.2), layout="constrained", sharey=True
    )
    colours = dict(
        zip(
            (*METHODS, REFERENCE, TORCH, FLOOR),
            ("#1f8fe0", "#e07b1f", "#2aa568", "#c94fb5", "#8a6fd1", "#d0404a", "#b3932a", grey),
            strict=True,
        )
    )
    for dtype, axes in zip(dtypes, np.atleast_1d(panels), strict=True):
        sizes = [n for kind, n in results if kind == dtype]
        for name in results[dtype, sizes[0]]:
            medians = [1e6 * statistics.median(results[dtype, n][name]) for n in sizes]
            style = ":" if name == FLOOR else "o--" if name.endswith(COMPILED) else "o-"
            colour = colours[name.removesuffix(COMPILED)]
            axes.loglog(sizes, medians, style, color=colour, label=name, markersize=4)
        axes.set_title(dtype, color=grey, fontsize=11)
        axes.set_xlabel("n", color=grey)
        axes.tick_params(colors=grey, which="both")
        axes.grid(color=grey, alpha=0.25)
        for spine in axes.spines.values():
            spine.set_color(grey)
    first = np.atleast_1d(panels)[0]
    first.set_ylabel("microseconds an iteration, beyond the objective", color=grey)
    for text in first.legend(frameon=False, fontsize=9).get_texts():
        text.set_color(grey)
    figure.savefig(path, transparent=True, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=DEFAULT_METHODS)
    parser.add_argument("--memory", type=int, default=10)
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--dtypes", nargs="+", default=["float64"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compiled", action="store_true", help="also with qnsolve.kernels in use")
    parser.add_argument("--torch", action="store_true", help="also torch.optim.LBFGS")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--figure", help="write a figure to this file")
    args = parser.parse_args()

    solvers: dict[str, Solver] = {method: ours(method) for method in args.methods}
    if args.compiled:
        solvers |= {name + COMPILED: with_loops(solve) for name, solve in solvers.items()}
    solvers[REFERENCE] = lbfgsb
    if args.torch:
        solvers[TORCH] = torch_lbfgs
    results, rows = {}, []
    load = [os.getloadavg()[0]]
    for dtype in args.dtypes:
        for n in args.sizes:
            seconds = measure(solvers, n, dtype, args.memory, args.repeats)
            results[dtype, n] = seconds
            load.append(os.getloadavg()[0])
            for name in seconds:
                rows.append(
                    (
                        dtype,
                        f"{n:,}",
                        name,
                        f"{1e6 * statistics.median(seconds[name]):,.0f}",
                        f"{ratio(seconds, name, REFERENCE):.2f}",
                        f"{ratio(seconds, name, FLOOR):.1f}",
                    )
                )
                print(*rows[-1], flush=True)
    heads = ("dtype", "n", "solver", "microseconds", f"/ {REFERENCE}", f"/ {FLOOR}")
    print(f"\n{table(heads, rows, args.markdown)}")
    print(f"\nm = {args.memory}; load of the machine {min(load):.1f} to {max(load):.1f}.")
    if args.figure:
        draw(results, args.figure)


if __name__ == "__main__":
    main()
