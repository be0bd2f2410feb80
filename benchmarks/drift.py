"""Drift of the Gram matrix over 1,000 iterations, in units of eps relative to |w_i| |w_j|.

A memory's Gram matrix W W' is never recomputed: each pair adds one row and column, from one product
with W for s (direct) and one for y, shared with the gradient ("switched", see
qnsolve.quasi_newton.tracking).  This script replays whole runs, recomputes W W' in extended
precision every few iterations and prints the largest error seen of

    switched   what the solver does,
    difference W y = W g_new - W g always, without the switch,

on an ill-conditioned quadratic (n = 1000), chained Rosenbrock (n = 100), logistic regression
(n = 300) and a nonconvex sum of cosines and quartics (n = 500), in float64 and float32.

    python -m benchmarks.drift
"""

from __future__ import annotations

import numpy as np

import qnsolve.quasi_newton.tracking as tracking
from qnsolve.quasi_newton.lsr1 import LSR1
from qnsolve.quasi_newton.tracking import TrackedGradient
from qnsolve.subproblem.model import QuadraticModel

ITERATIONS = 1000
CHECK_EVERY = 5


def quadratic(dtype):
    d = np.logspace(0, 5, 1000).astype(dtype)
    return lambda x: (0.5 * float(d @ (x * x)), d * x), np.ones(1000, dtype)


def chained_rosenbrock(dtype):
    def fun(x):
        t = x[1:] - x[:-1] ** 2
        g = np.zeros_like(x)
        g[:-1] = -400 * x[:-1] * t - 2 * (1 - x[:-1])
        g[1:] += 200 * t
        return float(np.sum(100 * t**2 + (1 - x[:-1]) ** 2)), g

    return fun, np.tile(np.array([-1.2, 1.0], dtype), 50)


def logistic(dtype):
    rng = np.random.default_rng(0)
    A = (rng.standard_normal((600, 300)) * np.logspace(0, 2, 300)).astype(dtype)
    labels = np.sign(A @ rng.standard_normal(300) + 5 * rng.standard_normal(600)).astype(dtype)

    def fun(x):
        z = labels * (A @ x)
        p = np.exp(-np.logaddexp(0, z))
        f = np.logaddexp(0, -z).mean() + 5e-4 * (x @ x)
        return float(f), -(A.T @ (labels * p)) / len(z) + dtype(1e-3) * x

    return fun, np.zeros(300, dtype)


def nonconvex(dtype):
    scale = np.linspace(1, 30, 500).astype(dtype)

    def fun(x):
        f = np.sum(scale * (1 - np.cos(x))) + 0.01 * np.sum(x**4) + 0.5 * np.sum(np.diff(x) ** 2)
        g = scale * np.sin(x) + dtype(0.04) * x**3
        d = np.diff(x)
        g[1:] += d
        g[:-1] -= d
        return float(f), g

    return fun, (2 + np.sin(np.arange(500))).astype(dtype)


def worst_drift(fun, x, direct):
    """Run the trust-region iteration by hand and return the largest relative Gram error."""
    tracking.DIRECT = direct
    f, g = fun(x)
    B = LSR1(len(x), memory=10, like=x)
    current, radius, worst = TrackedGradient.of(g, B.pairs), 1.0, 0.0
    for k in range(ITERATIONS):
        trial = QuadraticModel(current.vector, B, products=current.products).trust_region(radius)
        if not trial.decrease > 0.0 or trial.length <= np.finfo(x.dtype).tiny:
            break
        step = trial.step.astype(x.dtype)
        f_new, g_new = fun(x + step)
        new, y, y_products = current.change_to(g_new, B.pairs.space.norm(g_new))
        if not B.pairs.space.norm(y) > 0.0:
            break  # the run has stagnated at the last bit
        ratio = (f - f_new) / trial.decrease
        stored = B.update(step, y, y_products=y_products).stored
        if ratio > 0.75 and trial.on_boundary:
            radius *= 2.0
        elif not ratio > 0.1:
            radius = 0.25 * trial.length
        if ratio > 1e-4 or (f_new <= f and new.norm < current.norm):
            x, f, current = x + step, f_new, new
        if stored:
            current.account_for_newest()
        if k % CHECK_EVERY == 0:
            worst = max(worst, gram_error(B.pairs))
    return worst, k + 1


def gram_error(pairs):
    """Return max |G - W W'| / (|w_i| |w_j|) over the live rows, W W' in extended precision."""
    live = np.sort(np.concatenate([pairs.s_rows, pairs.s_rows + 1]))
    W = pairs.rows[live].astype(np.longdouble)
    exact = W @ W.T
    norms = np.sqrt(exact.diagonal())
    return float(np.abs((pairs.gram[np.ix_(live, live)] - exact) / np.outer(norms, norms)).max())


def main():
    problems = {
        "quadratic": quadratic,
        "rosenbrock": chained_rosenbrock,
        "logistic": logistic,
        "nonconvex": nonconvex,
    }
    switch = tracking.DIRECT
    header = ("problem", "dtype", "iterations", "switched / eps", "difference / eps")
    print("{:12} {:8} {:>10} {:>15} {:>17}".format(*header))
    for name, make in problems.items():
        for dtype in (np.float64, np.float32):
            eps = float(np.finfo(np.float64).eps)
            results = [worst_drift(*make(dtype), direct) for direct in (switch, 0.0)]
            (safe, iterations), (unsafe, _) = results
            print(
                f"{name:12} {np.dtype(dtype).name:8} {iterations:10d} {safe / eps:15.1f} "
                f"{unsafe / eps:17.1f}"
            )
    tracking.DIRECT = switch


if __name__ == "__main__":
    main()
