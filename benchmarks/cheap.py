"""Time to the solution of cheap problems, fun included, and time an iteration, beside its peers.

    python -m benchmarks.cheap [--memory 10 20] [--methods METHOD ...] [--sizes N ...]
        [--repeats 5] [--numpy] [--problems NAME ...] [--markdown] [--figure cheap.png]

Where fun costs next to nothing, the solver itself is what takes the time.  Solvers take turns in
one process, on one thread, by the process's clock; a figure is the least of the repeats.  The first
table is of runs to the same largest entry of the gradient, fun included, as ratios to L-BFGS-B with
its 10 corrections; the second of an iteration on the chained Rosenbrock function, fun excluded.
BFGS, which stores n x n numbers, takes part up to n = 1,000, and torch.optim.LBFGS, with its strong
Wolfe line search, where PyTorch is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

# Before NumPy is loaded.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402
import scipy.linalg  # noqa: E402
import scipy.optimize  # noqa: E402

import qnsolve  # noqa: E402
from benchmarks.profiling import table  # noqa: E402
from qnsolve.compiled import BUILD  # noqa: E402
from qnsolve.problems import Problem, breast_cancer, get_problem  # noqa: E402

SIZES = (10, 100, 1000, 10_000)
ITERATIONS = 150
GTOL, MOST = 1e-5, 3000
LARGEST_DENSE = 1000
REFERENCE, BFGS, TORCH = "L-BFGS-B", "BFGS", "torch LBFGS"
GREY = "#808080"
COLOURS = ("#1f8fe0", "#8a6fd1", "#2aa568", "#c94fb5", "#e07b1f", "#d0404a")

Function = Callable[[np.ndarray], tuple[float, np.ndarray]]


def rosenbrock(x: np.ndarray) -> tuple[float, np.ndarray]:
    return scipy.optimize.rosen(x), scipy.optimize.rosen_der(x)


def process_likelihood(distances: np.ndarray, values: np.ndarray, x: np.ndarray) -> Any:
    """Negative log likelihood of a Gaussian process in the logarithms of its three scales."""
    length, height, noise = np.exp(2.0 * x)
    correlation = height * np.exp(-0.5 * distances / length)
    factor = scipy.linalg.cho_factor(correlation + noise * np.eye(len(values)), check_finite=False)
    weights = scipy.linalg.cho_solve(factor, values, check_finite=False)
    inverse = scipy.linalg.cho_solve(factor, np.eye(len(values)), check_finite=False)
    by_matrix = 0.5 * (inverse - np.outer(weights, weights))
    changes = correlation * distances / length, 2.0 * correlation
    g = [float((by_matrix * change).sum()) for change in changes]
    g.append(2.0 * noise * float(np.trace(by_matrix)))
    return 0.5 * float(values @ weights) + np.log(factor[0].diagonal()).sum(), np.array(g)


def gaussian_process() -> tuple[Function, np.ndarray]:
    rng = np.random.default_rng(0)
    t = np.sort(rng.uniform(0.0, 10.0, 40))
    values = np.sin(t) + 0.1 * rng.standard_normal(40)
    distances = (t[:, None] - t) ** 2
    return partial(process_likelihood, distances, values), np.zeros(3)


def logistic(rows: np.ndarray, signs: np.ndarray, x: np.ndarray) -> tuple[float, np.ndarray]:
    """Logistic loss of a linear classifier, with a ridge of 1e-3."""
    margins = signs * (rows @ x)
    slopes = -signs / (1.0 + np.exp(np.minimum(margins, 500.0)))
    loss = np.logaddexp(0.0, -margins).mean() + 0.5e-3 * float(x @ x)
    return loss, rows.T @ slopes / len(signs) + 1e-3 * x


def breast_cancer_logistic() -> tuple[Function, np.ndarray]:
    features, classes = breast_cancer().part("train")
    rows = np.column_stack([features, np.ones(len(features))])
    return partial(logistic, rows, 2.0 * classes - 1.0), np.zeros(rows.shape[1])


def bratu(side: int, x: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy of -Laplace u = e^u on the unit square, whose minimum nearby solves the equation."""
    u = np.zeros((side + 2, side + 2))
    u[1:-1, 1:-1] = x.reshape(side, side)
    h2 = 1.0 / (side + 1) ** 2
    down, right, growth = np.diff(u, axis=0), np.diff(u, axis=1), h2 * np.exp(u[1:-1, 1:-1])
    f = 0.5 * float((down * down).sum() + (right * right).sum()) - float(growth.sum())
    g = -np.diff(down, axis=0)[:, 1:-1] - np.diff(right, axis=1)[1:-1] - growth
    return f, g.ravel()


def of_package(name: str, n: int | None = None) -> tuple[Function, np.ndarray]:
    problem: Problem = get_problem(name, n)
    return problem.fun, problem.x0


CHEAP: dict[str, Callable[[], tuple[Function, np.ndarray]]] = {
    "Rosenbrock, n = 2": lambda: (rosenbrock, np.array([-1.2, 1.0])),
    "Gaussian process, 3": gaussian_process,
    "chained Rosenbrock, 10": partial(of_package, "chained-rosenbrock", 10),
    "convex quadratic, 20": partial(of_package, "convex-quadratic", 20),
    "extended Rosenbrock, 20": partial(of_package, "extended-rosenbrock", 20),
    "Dixon-Price, 20": partial(of_package, "dixon-price", 20),
    "trigonometric, 20": partial(of_package, "trigonometric", 20),
    "Styblinski-Tang, 20": partial(of_package, "styblinski-tang", 20),
    "saddle chain, 30": partial(of_package, "saddle-chain", 30),
    "robust regression, 30": partial(of_package, "robust-regression"),
    "logistic regression, 31": breast_cancer_logistic,
    "Powell singular, 40": partial(of_package, "powell-singular", 40),
    "Woods, 40": partial(of_package, "woods", 40),
    "linear network, 48": partial(of_package, "linear-network"),
    "chained Rosenbrock, 50": partial(of_package, "chained-rosenbrock", 50),
    "matrix factorisation, 60": partial(of_package, "matrix-factorisation"),
    "Broyden tridiagonal, 100": partial(of_package, "broyden-tridiagonal", 100),
    "cosine, 100": partial(of_package, "cosine", 100),
    "Fourier logistic, 100": partial(of_package, "fourier-logistic", 100),
    "small network, 161": partial(of_package, "breast-cancer-network", 161),
    "convex quadratic, 200": partial(of_package, "convex-quadratic", 200),
    "extended Rosenbrock, 200": partial(of_package, "extended-rosenbrock", 200),
    "minimal surface, 400": partial(of_package, "minimal-surface", 400),
    "Ginzburg-Landau, 900": partial(of_package, "ginzburg-landau", 900),
    "Bratu, 2,500": lambda: (partial(bratu, 50), np.zeros(2500)),
    "cosine, 10,000": partial(of_package, "cosine", 10_000),
    "Broyden tridiagonal, 10,000": partial(of_package, "broyden-tridiagonal", 10_000),
}
"""The problems: what makes fun and x0."""

Solve = Callable[[Function, np.ndarray, float, int], tuple[float, int]]
"""Returns the largest entry of the last gradient, and the iterations."""


def scipys(method: str, fun: Function, x0: np.ndarray, gtol: float, most: int) -> tuple[float, int]:
    options: dict[str, Any] = {"gtol": gtol, "maxiter": most}
    if method == REFERENCE:
        options |= {"ftol": 0.0, "maxfun": 10 * most}
    result = scipy.optimize.minimize(fun, x0, jac=True, method=method, options=options)
    return float(np.abs(result.jac).max()), result.nit


def ours(method: str, memory: int | None, compiled: bool) -> Solve:
    chosen = {} if memory is None else {"memory": memory}

    def solve(fun: Function, x0: np.ndarray, gtol: float, most: int) -> tuple[float, int]:
        options = {**chosen, "gtol": gtol, "maxiter": most, "compiled": compiled}
        result = qnsolve.minimize(fun, x0, jac=True, method=method, options=options)
        return float(np.abs(result.jac).max()), result.nit

    return solve


def torchs(fun: Function, x0: np.ndarray, gtol: float, most: int) -> tuple[float, int]:
    import torch

    torch.set_num_threads(1)
    x = torch.tensor(x0, requires_grad=True)
    limits = {"max_iter": most, "max_eval": 10 * most, "history_size": 10}
    tolerances = {"tolerance_grad": gtol, "tolerance_change": 0.0}
    optimizer = torch.optim.LBFGS([x], line_search_fn="strong_wolfe", **limits, **tolerances)

    def closure() -> float:
        f, g = fun(x.detach().numpy())
        x.grad = torch.from_numpy(g)
        return f

    optimizer.step(closure)
    return float(np.abs(fun(x.detach().numpy())[1]).max()), optimizer.state[x]["n_iter"]


class Clocked:
    """An objective that adds up the time spent in it."""

    def __init__(self, fun: Function) -> None:
        self._fun, self.seconds, self.calls = fun, 0.0, 0

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        start = time.process_time()
        answer = self._fun(x)
        self.seconds += time.process_time() - start
        self.calls += 1
        return answer


def to_the_solution(
    solvers: dict[str, Solve], names: list[str], repeats: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return seconds and evaluations to the solution, by solver; inf where there was none."""
    seconds: dict[str, list[float]] = {name: [] for name in solvers}
    counts: dict[str, list[float]] = {name: [] for name in solvers}
    for problem in names:
        fun, x0 = CHEAP[problem]()
        taking_part = {k: v for k, v in solvers.items() if k != BFGS or len(x0) <= LARGEST_DENSE}
        best, solved = dict.fromkeys(solvers, math.inf), {}
        for name, solve in taking_part.items():
            clocked = Clocked(fun)
            solved[name] = solve(clocked, x0, GTOL, MOST)[0] <= GTOL
            counts[name].append(clocked.calls if solved[name] else math.inf)
        for _ in range(repeats):
            for name, solve in taking_part.items():
                start = time.process_time()
                solve(fun, x0, GTOL, MOST)
                took = time.process_time() - start
                best[name] = min(best[name], took) if solved[name] else math.inf
        for name, took in best.items():
            seconds[name].append(took)
            if name not in taking_part:
                counts[name].append(math.inf)
    return seconds, counts


def an_iteration(solvers: dict[str, Solve], n: int, repeats: int) -> dict[str, float]:
    """Return the seconds an iteration on the chained Rosenbrock function, without fun."""
    inner, x0 = of_package("chained-rosenbrock", n)
    best = dict.fromkeys(solvers, math.inf)
    for _ in range(repeats):
        for name, solve in solvers.items():
            if name == BFGS and n > LARGEST_DENSE:
                continue
            fun, start = Clocked(inner), time.process_time()
            _, iterations = solve(fun, x0, 0.0, ITERATIONS)
            took = time.process_time() - start - fun.seconds
            best[name] = min(best[name], took / iterations)
    return best


def ratios(figures: dict[str, list[float]], name: str) -> np.ndarray:
    """Return the ratios to L-BFGS-B; NaN where one of them has no solution."""
    found = np.array(figures[name]) / np.array(figures[REFERENCE])
    return np.where(np.isfinite(found) & (found > 0.0), found, np.nan)


def draw(seconds: dict[str, list[float]], names: list[str], path: str) -> None:
    """Draw the ratios, a problem a row, readable on light and dark backgrounds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 0.26 * len(names) + 1.2), layout="constrained")
    rows = np.arange(len(names))[::-1]
    others = [name for name in seconds if name != REFERENCE]
    for name, colour in zip(others, COLOURS, strict=False):
        axes.semilogx(ratios(seconds, name), rows, "o", color=colour, label=name, markersize=5)
    axes.axvline(1.0, color=GREY, linewidth=1.0)
    axes.set_yticks(rows, names)
    axes.set_xlabel(f"time to the solution, fun included, over that of {REFERENCE}", color=GREY)
    axes.tick_params(colors=GREY, which="both")
    axes.grid(color=GREY, alpha=0.25)
    for spine in axes.spines.values():
        spine.set_color(GREY)
    for text in axes.legend(frameon=False, fontsize=9).get_texts():
        text.set_color(GREY)
    figure.savefig(path, transparent=True, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", type=int, nargs="*", default=[10, 20])
    parser.add_argument("--methods", nargs="+", default=["hybrid-tr", "lsr1-tr"])
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--problems", nargs="+", choices=CHEAP, default=list(CHEAP))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--numpy", action="store_true", help="also without the compiled model")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--figure", help="write a figure to this file")
    args = parser.parse_args()

    solvers: dict[str, Solve] = {REFERENCE: partial(scipys, REFERENCE), BFGS: partial(scipys, BFGS)}
    if importlib.util.find_spec("torch"):
        solvers[TORCH] = torchs
    for method in args.methods:
        for memory in args.memory or [None]:
            name = method if memory is None else f"{method}, m = {memory}"
            solvers[name] = ours(method, memory, True)
            if args.numpy:
                solvers[f"{name}, NumPy"] = ours(method, memory, False)

    seconds, counts = to_the_solution(solvers, args.problems, args.repeats)
    rows = []
    for name in solvers:
        of_time, of_counts = ratios(seconds, name), ratios(counts, name)
        solved = of_time[np.isfinite(of_time)]
        means = [
            f"{statistics.geometric_mean(r[np.isfinite(r)].tolist()):.2f}"
            for r in (of_time, of_counts)
        ]
        rows.append((name, *means, f"{solved.max(initial=0.0):.2f}", str(len(solved))))
    heads = ("solver", "time", "evaluations", "worst time", f"solved of {len(args.problems)}")
    print(table(heads, rows, args.markdown), end="\n\n")

    rows = []
    for at, problem in enumerate(args.problems):
        found = [ratios(seconds, name)[at] for name in solvers if name != REFERENCE]
        others = ("-" if math.isnan(ratio) else f"{ratio:.2f}" for ratio in found)
        rows.append((problem, f"{1e3 * seconds[REFERENCE][at]:.2f} ms", *others))
    print(table(("problem", *solvers), rows, args.markdown), end="\n\n")

    rows = [(name,) for name in solvers]
    for n in args.sizes:
        took = an_iteration(solvers, n, args.repeats)
        rows = [
            (*row, f"{1e6 * took[row[0]]:.0f} ({took[row[0]] / took[REFERENCE]:.2f})")
            if took[row[0]] < math.inf
            else (*row, "-")
            for row in rows
        ]
    print(table(("solver", *(f"n = {n:,}" for n in args.sizes)), rows, args.markdown))
    print(f"\nMicroseconds (ratio); compiled model: {BUILD}; load {os.getloadavg()[0]:.1f}.")
    if args.figure:
        draw(seconds, args.problems, args.figure)


if __name__ == "__main__":
    main()
