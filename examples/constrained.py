"""Bounds and constraints: SciPy's trust-constr with a limited-memory SR1 Hessian.

python examples/constrained.py [n]
"""

import sys
import time

import numpy as np
from scipy.optimize import SR1, Bounds, NonlinearConstraint, minimize
from scipy.sparse import csr_array

from qnsolve import LSR1Strategy


def tilted_wells(x):
    """Return a chain of double wells, each tilted its own way, and its gradient."""
    wall, pull, slope = x**2 - 1, np.diff(x), 2 * np.sin(np.arange(x.size))
    g = 4 * x * wall + slope
    g[1:] += pull
    g[:-1] -= pull
    return wall @ wall + 0.5 * pull @ pull + slope @ x, g


def ball(n, strategy):
    """Return the constraint mean(x^2) <= 1/2; its Jacobian is sparse, its Hessian a strategy."""
    return NonlinearConstraint(
        lambda x: [x @ x / n],
        -np.inf,
        0.5,
        jac=lambda x: csr_array(2 / n * x[np.newaxis]),
        hess=strategy,
    )


def main(n=2000):
    results = {}
    for strategy in (LSR1Strategy, SR1):
        # One strategy for the objective and another for each nonlinear constraint.
        cases = {
            "x >= 0": {"bounds": Bounds(0, np.inf)},
            "mean(x^2) <= 1/2": {"constraints": ball(n, strategy())},
        }
        for name, restriction in cases.items():
            start = time.perf_counter()
            result = minimize(
                tilted_wells,
                np.full(n, 0.5),
                jac=True,
                method="trust-constr",
                hess=strategy(),
                **restriction,
            )
            seconds = time.perf_counter() - start
            results[name, strategy.__name__] = result
            print(
                f"{name:17} {strategy.__name__:13} f {result.fun:.6f}   {result.nit:4d} iterations"
                f"   {result.cg_niter:5d} CG steps   {seconds:6.1f} s   {result.message}"
            )
    return results


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
