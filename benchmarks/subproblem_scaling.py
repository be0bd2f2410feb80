"""Time of the subproblem solvers against n: linear at fixed m; a re-solve does not see n at all.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.subproblem_scaling [--figure FILE]

For an L-SR1 matrix with m = 10 pairs and n = 10^3 ... 10^6: the median time of

    solve     projecting the gradient, solving, and forming the step: O(mn);
    re-solve  solving for another radius or weight on the same model: O(m);
    products  one product W v and one W' c, the floor of `solve`, in the same process.

Runs of the solvers are interleaved, and the medians of 7 (of 200 for re-solves) are taken.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import qnsolve

SIZES = (10**3, 10**4, 10**5, 10**6)
MEMORY = 10
REPEATS, RESOLVES = 7, 200
SOLVERS = {
    "trust region l2": lambda model, k: model.trust_region(1.0 + 0.01 * k, "l2"),
    "trust region shape-inf": lambda model, k: model.trust_region(1.0 + 0.01 * k, "shape-inf"),
    "trust region shape-2": lambda model, k: model.trust_region(1.0 + 0.01 * k, "shape-2"),
    "cubic l2": lambda model, k: model.regularised(1.0 + 0.01 * k, "l2"),
    "cubic shape": lambda model, k: model.regularised(1.0 + 0.01 * k, "shape"),
}


def matrix(n, rng):
    """Return an L-SR1 matrix with curvature of both signs."""
    B = qnsolve.LSR1(n, memory=MEMORY)
    curvature = np.sin(np.arange(n))
    for _ in range(MEMORY):
        s = rng.standard_normal(n)
        B.update(s, curvature * s)
    B.spectrum()
    return B


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(n, rng):
    """Return median seconds of the floor, and of solving and re-solving by each solver."""
    B, g = matrix(n, rng), rng.standard_normal(n)
    products = lambda: B.pairs.combine(B.pairs.products(g))  # noqa: E731
    floor, full = [], {name: [] for name in SOLVERS}
    for _ in range(REPEATS):
        floor.append(seconds(products))
        for name, solve in SOLVERS.items():
            full[name].append(
                seconds(lambda solve=solve: solve(qnsolve.QuadraticModel(g, B), 0).step)
            )
    model = qnsolve.QuadraticModel(g, B)
    again = {name: [] for name in SOLVERS}
    for k in range(RESOLVES):
        for name, solve in SOLVERS.items():
            again[name].append(seconds(lambda solve=solve, k=k: solve(model, k)))
    return (
        np.median(floor),
        {name: np.median(times) for name, times in full.items()},
        {name: np.median(times) for name, times in again.items()},
    )


def draw(sizes, rows, path):
    """Write both curves of every solver, readable on light and dark backgrounds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    grey = "#808080"
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    colours = ["#1f8fe0", "#e07b1f", "#2aa568", "#c94fb5", "#b3932a"]
    for name, colour in zip(SOLVERS, colours, strict=True):
        axes.loglog(sizes, [row[1][name] for row in rows], "o-", color=colour, label=name)
        axes.loglog(sizes, [row[2][name] for row in rows], "s--", color=colour)
    axes.loglog(sizes, [row[0] for row in rows], ":", color=grey, label="W v and W' c alone")
    axes.set_xlabel("n", color=grey)
    axes.set_ylabel("seconds", color=grey)
    axes.set_title(f"m = {MEMORY}: solve (solid), re-solve (dashed)", color=grey, fontsize=11)
    axes.tick_params(colors=grey, which="both")
    for spine in axes.spines.values():
        spine.set_color(grey)
    axes.grid(color=grey, alpha=0.25)
    legend = axes.legend(frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_color(grey)
    figure.savefig(path, transparent=True, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", help="write a figure to this file")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = [measure(n, rng) for n in SIZES]
    print("| solver | | " + " | ".join(f"n = {n:,}" for n in SIZES) + " |")
    print("|---|---|" + "---|" * len(SIZES))
    floors = " | ".join(f"{1e6 * row[0]:,.0f}" for row in rows)
    print(f"| W v and W' c | microseconds | {floors} |")
    for name in SOLVERS:
        full = " | ".join(f"{row[1][name] / row[0]:.2f}" for row in rows)
        again = " | ".join(f"{1e6 * row[2][name]:.0f}" for row in rows)
        print(f"| {name} | solve / (W v and W' c) | {full} |")
        print(f"| {name} | re-solve, microseconds | {again} |")
    if args.figure:
        draw(SIZES, rows, args.figure)


if __name__ == "__main__":
    main()
