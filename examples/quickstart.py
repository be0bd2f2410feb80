"""Minimise a function of 10,000 variables, watch it, and check its gradient first.

python examples/quickstart.py
"""

import numpy as np

import qnsolve


def double_wells(x):
    """Return a chain of double wells, each drawn to its neighbours, and its gradient.

    x = 0 is a saddle point with n directions downwards.
    """
    wall, pull = x**2 - 1, np.diff(x)
    g = 4 * x * wall
    g[1:] += pull
    g[:-1] -= pull
    return wall @ wall + 0.5 * pull @ pull, g


def main():
    # 1. A wrong gradient is the commonest reason for a run that fails: 2n + 1 evaluations tell.
    check = qnsolve.verify.check_grad(double_wells, np.linspace(-1, 1, 20))
    print(f"gradient consistent: {check.consistent} (relative error {check.error:.1e})")

    # 2. A callback sees the whole state; raising StopIteration would end the run.
    def report(intermediate_result):
        if intermediate_result.nit % 10 == 0:
            r = intermediate_result
            print(f"iteration {r.nit:4d}   f {r.fun:12.6e}   radius {r.radius:8.2e}")

    # 3. A start near the saddle.
    x0 = 1e-3 * np.random.default_rng(0).standard_normal(10_000)

    # 4. The call is SciPy's; memory is the number of pairs kept.
    result = qnsolve.minimize(double_wells, x0, jac=True, callback=report, options={"memory": 20})
    print(result.message)
    print(f"f = {result.fun:.3e} after {result.nfev} evaluations")
    return result


if __name__ == "__main__":
    main()
