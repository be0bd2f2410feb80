"""Solve trust-region and cubic subproblems with 10^5 variables, and prove the answers.

python examples/certificate.py
"""

import numpy as np

import qnsolve


def main(n=100_000):
    # An indefinite L-SR1 matrix: five pairs of a function with curvature of both signs.
    rng = np.random.default_rng(0)
    B = qnsolve.LSR1(n, memory=5)
    for _ in range(5):
        s = rng.standard_normal(n)
        B.update(s, np.cos(np.arange(n)) * s)
    print(f"eigenvalues {B.spectrum().eigenvalues.round(3)}, {B.gamma:.3f} elsewhere")

    # One projection of the gradient serves every norm, radius and weight.
    model = qnsolve.QuadraticModel(rng.standard_normal(n), B)
    results = {
        "trust region, l2": model.trust_region(10.0),
        "trust region, shape-inf": model.trust_region(10.0, "shape-inf"),
        "trust region, shape-2": model.trust_region(10.0, "shape-2"),
        "cubic, l2": model.regularised(1.0),
        "cubic, shape": model.regularised(1.0, "shape"),
    }
    for name, result in results.items():
        c = result.certificate()
        print(
            f"{name:24} decrease {result.decrease:10.4f}   stationarity {c.stationarity:.0e}   "
            f"complementarity {c.complementarity:.0e}   smallest eigenvalue {c.min_eig:.1e}"
        )
    return results


if __name__ == "__main__":
    main()
