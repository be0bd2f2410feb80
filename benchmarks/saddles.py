"""How many evaluations each method spends next to a saddle point, and in all.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.saddles [--figure FILE] [--seeds 5]

Starts at distance 1e-8, 1e-4 and 1e-2 from a saddle, in random directions.  One evaluation is one
call of fun, which returns f and g; newton-tr, trust-ncg and trust-krylov get products with the
exact Hessian, Hv, which are counted as well.  A run has left the saddle at the first evaluation at
which f has fallen by a tenth of the way to its minimum, and has ended at the first after that at
which max |g| <= 1e-6.  Until then no method may stop: its own tolerances are zero, since a gradient
of 1e-8 next to a saddle would satisfy those of every method.  "a / b" are the median over the runs
that left the saddle and over those that found the minimum; "(k, l of 5)" counts both where they are
not all.  A run that left and did not find the minimum has ended at another saddle.

Before that the same starts, and the saddle itself, with every method's default options.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import warnings
from dataclasses import dataclass

import numpy as np
import scipy.optimize

import qnsolve
from qnsolve.interface import METHODS
from qnsolve.problems import SaddleProblem, get_problem

PROBLEMS = ("linear-network", "matrix-factorisation", "phase-retrieval", "saddle-chain")
SCIPY = ("L-BFGS-B", "trust-ncg", "trust-krylov")
SECOND_ORDER = ("newton-tr", "trust-ncg", "trust-krylov")
DISTANCES = (1e-8, 1e-4, 1e-2)
GTOL = 1e-6
LEFT = 0.1
BUDGET = 2000
AT_MINIMUM = 1e-6
"""f - f_low, relative to the height of the saddle, up to which a run has found the minimum."""


class Ended(Exception):
    """The run has left the saddle and come to a stationary point."""


@dataclass
class Run:
    """Evaluations until f left the saddle and in all, products with the Hessian, and the end."""

    left: int | None
    total: int
    products: int
    f: float
    stationary: bool


def suite():
    """Return the problems, the monkey saddle (Hessian zero) among them."""
    monkey = get_problem("monkey-saddle", 20)
    yield SaddleProblem(**vars(monkey), saddle=np.zeros(20))
    for name in PROBLEMS:
        yield get_problem(name)


def minimise(method, fun, x0, hessp, options):
    """Run `method` by name, from this package or from SciPy."""
    home = qnsolve if method in METHODS else scipy.optimize
    second_order = method in SECOND_ORDER
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return home.minimize(
            fun,
            x0,
            jac=True,
            method=method,
            hessp=hessp if second_order else None,
            options=options,
        )


def unending(method):
    """Return options under which `method` goes on while it can."""
    if method == "L-BFGS-B":
        return {"ftol": 0.0, "gtol": 0.0, "maxiter": BUDGET, "maxfun": BUDGET}
    if method in METHODS:
        return {"gtol": 0.0, "maxiter": BUDGET, "maxfev": BUDGET}
    return {"gtol": 0.0, "maxiter": BUDGET}


def run(problem, method, x0, f_low):
    """Return one :class:`Run`; `f_low` is the value of the minimum."""
    f_saddle = problem.fun(problem.saddle)[0]
    record = Run(None, 0, 0, f_saddle, False)

    def fun(x):
        f, g = problem.fun(x)
        record.total += 1
        record.f = min(record.f, f)
        if record.left is None and f <= f_saddle - LEFT * (f_saddle - f_low):
            record.left = record.total
        if record.left is not None and np.abs(g).max() <= GTOL:
            record.f, record.stationary = f, True
            raise Ended
        if record.total >= BUDGET:
            raise Ended
        return f, g

    def hessp(x, v):
        record.products += 1
        return problem.hessp(x, v)

    with contextlib.suppress(Ended):
        minimise(method, fun, x0, hessp, unending(method))
    return record


def lowest(problem):
    """Return the minimum, or the lowest value that L-BFGS-B finds from 20 starts further away."""
    if problem.f_min is not None:
        return problem.f_min
    values = [
        scipy.optimize.minimize(
            problem.fun,
            problem.start(3.0, seed),
            jac=True,
            method="L-BFGS-B",
            options={"gtol": 1e-9, "ftol": 0.0, "maxiter": BUDGET},
        ).fun
        for seed in range(20)
    ]
    return min(values)


def cell(problem, f_low, runs):
    """Return the text of one cell: median evaluations next to the saddle / in all (products)."""
    height = problem.fun(problem.saddle)[0] - f_low
    left = [r for r in runs if r.left is not None]
    found = [r for r in left if r.stationary and r.f - f_low <= AT_MINIMUM * height]
    parts = [
        str(int(statistics.median(r.left for r in left))) if left else "-",
        str(int(statistics.median(r.total for r in found))) if found else "-",
    ]
    text = " / ".join(parts)
    if any(r.products for r in found):
        text += f" + {int(statistics.median(r.products for r in found))} Hv"
    return text if len(found) == len(runs) else f"{text} ({len(left)}, {len(found)} of {len(runs)})"


def print_defaults(problems, methods):
    """Print what each method does next to the saddle when nobody sets a tolerance."""
    print("| problem | distance | " + " | ".join(methods) + " |")
    print("|---|---|" + "---|" * len(methods))
    for problem in problems:
        f_saddle = problem.fun(problem.saddle)[0]
        height = f_saddle - lowest(problem)
        for distance in (0.0, *DISTANCES):
            cells = []
            for method in methods:
                r = minimise(method, problem.fun, problem.start(distance), problem.hessp, {})
                at = "left" if r.fun <= f_saddle - LEFT * height else "at the saddle"
                cells.append(f"{r.nfev}, {'success' if r.success else 'failure'}, {at}")
            print(f"| {problem.name} | {distance:.0e} | " + " | ".join(cells) + " |", flush=True)


def draw(table, problems, methods, path):
    """Write the evaluations until f left the saddle, readable on light and dark backgrounds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    grey = "#808080"
    colours = [
        "#1f8fe0",
        "#e07b1f",
        "#2aa568",
        "#c94fb5",
        "#b3932a",
        "#7a6fe0",
        "#d0505a",
        "#1fb0b0",
    ]
    figure, axes = plt.subplots(2, 3, figsize=(9, 5.5), layout="constrained", sharey=True)
    for problem, axis in zip(problems, axes.flat, strict=False):
        for k, method in enumerate(methods):
            # Beside each other, not on top: the counts are small integers.
            place = [d * 10 ** (0.12 * (k - len(methods) / 2)) for d in DISTANCES]
            colour = colours[k % len(colours)]
            left = []
            for x, distance in zip(place, DISTANCES, strict=True):
                runs = table[problem.name, distance, method]
                counts = [r.left for r in runs if r.left is not None]
                left.append(statistics.median(counts) if len(counts) > len(runs) / 2 else np.nan)
                if np.isnan(left[-1]):
                    axis.plot(x, 150, "x", color=colour, markersize=7)
            style = "s--" if method in SCIPY else "o-"
            axis.semilogx(place, left, style, color=colour, markersize=4, linewidth=1.2)
        axis.set_yscale("log")
        axis.set_title(problem.name, color=grey, fontsize=10)
        axis.set_xticks(DISTANCES)
        axis.minorticks_off()
        axis.set_yticks([2, 5, 10, 20, 50, 100, 150])
        axis.set_yticklabels(["2", "5", "10", "20", "50", "100", "never"])
        axis.tick_params(colors=grey)
        axis.grid(color=grey, alpha=0.25)
        for spine in axis.spines.values():
            spine.set_color(grey)
    for axis in axes[:, 0]:
        axis.set_ylabel("evaluations near the saddle", color=grey)
    for axis in axes[-1]:
        axis.set_xlabel("distance of the start", color=grey)
    last = axes.flat[-1]
    last.axis("off")
    lines = [
        plt.Line2D(
            [],
            [],
            color=colours[k % len(colours)],
            label=m,
            linestyle="--" if m in SCIPY else "-",
            marker="s" if m in SCIPY else "o",
            markersize=4,
        )
        for k, m in enumerate(methods)
    ]
    legend = last.legend(handles=lines, loc="center", frameon=False, fontsize=10)
    for text in legend.get_texts():
        text.set_color(grey)
    figure.savefig(path, transparent=True, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--figure", help="write a figure to this file")
    args = parser.parse_args()
    methods, problems = [*METHODS, *SCIPY], list(suite())
    print_defaults(problems, methods)
    print("\n| problem | distance | " + " | ".join(methods) + " |")
    print("|---|---|" + "---|" * len(methods))
    table = {}
    for problem in problems:
        f_low = lowest(problem)
        for distance in DISTANCES:
            for method in methods:
                table[problem.name, distance, method] = [
                    run(problem, method, problem.start(distance, seed), f_low)
                    for seed in range(args.seeds)
                ]
            cells = [cell(problem, f_low, table[problem.name, distance, m]) for m in methods]
            print(f"| {problem.name} | {distance:.0e} | " + " | ".join(cells) + " |", flush=True)
    if args.figure:
        draw(table, problems, methods, args.figure)


if __name__ == "__main__":
    main()
