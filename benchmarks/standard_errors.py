"""Standard errors from the matrix of a run, refined with k differences, beside the exact ones.

    python -m benchmarks.standard_errors

Each figure is the median and the worst, over the variables, of the relative error of a standard
error; negative is too small.  The last column is the largest factor between the curvatures of f and
of the matrix along 5 directions, as `qnsolve.verify.hessian_error` measures it, and its root.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import qnsolve

GTOL = 1e-5
METHODS = ("hybrid-tr", "lsr1-tr")


class Fit(NamedTuple):
    """A function with gradient, its exact Hessian, and a start."""

    fun: Callable[[np.ndarray], tuple[float, np.ndarray]]
    hess: Callable[[np.ndarray], np.ndarray]
    x0: np.ndarray


def logistic(n: int, rows: int, seed: int) -> Fit:
    """Logistic regression: correlated columns of sizes from 0.3 to 3."""
    rng = np.random.default_rng(seed)
    gaps = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    X = rng.standard_normal((rows, n)) @ np.linalg.cholesky(0.5**gaps).T * np.geomspace(0.3, 3.0, n)
    y = (rng.random(rows) < expit(X @ rng.standard_normal(n) / np.sqrt(n))).astype(float)

    def fun(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = X @ w
        return float(np.sum(np.logaddexp(0.0, z) - y * z)), X.T @ (expit(z) - y)

    def hess(w: np.ndarray) -> np.ndarray:
        p = expit(X @ w)
        return (X.T * (p * (1.0 - p))) @ X

    return Fit(fun, hess, np.zeros(n))


def poisson(n: int, rows: int, seed: int) -> Fit:
    """Poisson regression with columns of sizes from 0.1 to 1."""
    rng = np.random.default_rng(seed)
    X = 2.0 * rng.standard_normal((rows, n)) * np.geomspace(0.1, 1.0, n) / np.sqrt(n)
    y = rng.poisson(np.exp(np.minimum(X @ rng.standard_normal(n), 4.0)))

    def fun(w: np.ndarray) -> tuple[float, np.ndarray]:
        mean = np.exp(X @ w)
        return float(np.sum(mean - y * (X @ w))), X.T @ (mean - y)

    return Fit(fun, lambda w: (X.T * np.exp(X @ w)) @ X, np.zeros(n))


def peaks(n: int, rows: int, seed: int) -> Fit:
    """Least squares: heights and places of n / 2 overlapping Gaussian peaks, noise of 0.05."""
    rng, m = np.random.default_rng(seed), n // 2
    t, width, noise = np.linspace(0.0, 1.0, rows)[:, None], 0.6 / m, 0.05
    places, heights = (np.arange(m) + 0.5) / m, 1.0 + rng.random(m)

    def shapes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = (t - x[m:]) / width
        return u, np.exp(-0.5 * u**2)

    data = shapes(np.r_[heights, places])[1] @ heights + noise * rng.standard_normal(rows)

    def fun(x: np.ndarray) -> tuple[float, np.ndarray]:
        u, E = shapes(x)
        r = (E @ x[:m] - data) / noise
        return float(0.5 * r @ r), np.r_[E.T @ r, (u / width * E * x[:m]).T @ r] / noise

    def hess(x: np.ndarray) -> np.ndarray:
        u, E = shapes(x)
        r = (E @ x[:m] - data) / noise
        slope = u / width * E
        J = np.hstack([E, slope * x[:m]]) / noise
        mixed = np.diag(slope.T @ r) / noise
        bend = np.diag(((u**2 - 1.0) / width**2 * E * x[:m]).T @ r) / noise
        return J.T @ J + np.block([[np.zeros((m, m)), mixed], [mixed, bend]])

    return Fit(fun, hess, np.r_[0.8 * heights, places + 0.1 * width])


def expit(z: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-z))


FITS: dict[str, Fit] = {
    "logistic, n = 30": logistic(30, 500, 0),
    "logistic, n = 100": logistic(100, 2000, 1),
    "Poisson, n = 50": poisson(50, 1000, 2),
    "peaks, n = 20": peaks(20, 400, 3),
}


def relative_errors(fit: Fit, result: Any, k: int) -> np.ndarray:
    """Return the relative errors of the standard errors, one a variable."""
    exact = np.sqrt(np.diag(np.linalg.inv(fit.hess(result.x))))
    return qnsolve.standard_errors(fit.fun, result, k).errors / exact - 1.0


def main() -> None:
    print("| | pairs | k = 0 | 5 | 20 | n | factor along 5 |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, fit in FITS.items():
        n = fit.x0.size
        for method in METHODS:
            for memory in (20, 2 * n):
                options = {"gtol": GTOL, "memory": memory, "maxiter": 5000}
                result = qnsolve.minimize(fit.fun, fit.x0, jac=True, method=method, options=options)
                cells = []
                for k in (0, 5, 20, n):
                    errors = relative_errors(fit, result, k)
                    worst = errors[np.argmax(np.abs(errors))]
                    cells.append(f"{np.median(errors):+.2f} ({worst:+.2f})")
                factor = qnsolve.verify.hessian_error(fit.fun, result, 5).factor
                row = [f"{name}, {method}", result.n_pairs, *cells, f"{factor:.3g}"]
                print("| " + " | ".join(map(str, row)) + " |")


if __name__ == "__main__":
    main()
