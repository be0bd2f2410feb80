"""Worst residuals of the exact subproblem solvers over many random cases.

    python benchmarks/subproblem_accuracy.py [--cases 10000] [--seed 0]

A case is an L-SR1 matrix with 0 to 10 pairs of a random indefinite quadratic in 1 to 200
dimensions, a gradient and a radius between 1e-8 and 1e8.  Kinds: `random`; `hard`, where the
gradient has no part on the leftmost eigenvectors; `near hard`, where that part is 1e-12 of the
rest; `in span`, where the gradient has no part in the complement.  Every result is judged twice: by
its certificate, with products by B in its compact form, and by the gap to the dual lower bound, in
extended precision on the spectrum.  The cases are split by the condition of the compact form, the
larger of the condition numbers of the scaled columns Psi and of the scaled inner matrix: beyond it
B itself is only known to eps times that number.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np

import qnsolve
from qnsolve.subproblem.duality import trust_region_bound

KINDS = ("random", "hard", "near hard", "in span")
CONDITIONS = (1e2, 1e4, 1e6, np.inf)


def random_matrix(rng):
    """Return an L-SR1 matrix and the condition number of its compact form."""
    n = int(np.exp(rng.uniform(0.0, np.log(200.0)))) + 1
    gamma = rng.choice([-1.0, 1.0]) * 10.0 ** rng.uniform(-3, 3)
    B = qnsolve.LSR1(n, memory=int(rng.integers(1, 11)), gamma=gamma)
    H = rng.standard_normal((n, n))
    H = (H + H.T) * 10.0 ** rng.uniform(-3, 3)
    for _ in range(rng.integers(0, 12)):
        s = rng.standard_normal(n) * 10.0 ** rng.uniform(-4, 4)
        B.update(s, H @ s)
    live = B.pairs.s_rows
    psi = B.pairs.rows[live + 1] - B.gamma * B.pairs.rows[live]
    if not len(psi):
        return B, 1.0
    psi = psi / np.linalg.norm(psi, axis=1, keepdims=True)
    inner = np.abs(B._inner.weights)
    return B, float(max(np.linalg.cond(psi), inner.max() / inner.min()))


def random_gradient(rng, B, kind):
    """Return a gradient of the given kind for the matrix B."""
    g = rng.standard_normal(B.n) * 10.0 ** rng.uniform(-6, 6)
    spectrum = B.spectrum()
    r = len(spectrum.eigenvalues)
    if kind == "random" or r == 0:
        return g
    par = rng.standard_normal(r) * np.linalg.norm(g)
    beta = 0.0 if kind == "in span" else 1.0
    if kind in ("hard", "near hard"):
        left = spectrum.eigenvalues <= spectrum.all_eigenvalues.min()
        if spectrum.complement_dim and not left.any():
            beta = 0.0 if kind == "hard" else 1e-12
        par[left] *= 0.0 if kind == "hard" else 1e-12
    return spectrum.lift(par, beta, g)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    worst = defaultdict(lambda: np.zeros(6))
    for case in range(args.cases):
        B, condition = random_matrix(rng)
        kind = KINDS[case % len(KINDS)]
        g = random_gradient(rng, B, kind)
        result = qnsolve.solve_trs(g, B, 10.0 ** rng.uniform(-8, 8))
        certificate = result.certificate()
        par, norm_perp = B.spectrum().project(g)
        a = np.append(par, norm_perp) if B.spectrum().complement_dim else par
        bound = trust_region_bound(B.spectrum().all_eigenvalues, a, result.radius).value
        gap = (-result.decrease - bound) / abs(bound) if bound else result.decrease
        key = (kind, next(limit for limit in CONDITIONS if condition <= limit))
        figures = [
            certificate.stationarity,
            certificate.complementarity,
            -certificate.min_eig,
            certificate.feasibility,
            abs(gap),
        ]
        worst[key] = np.append(np.maximum(worst[key][:5], figures), worst[key][5] + 1)
    header = (
        "kind",
        "condition <=",
        "cases",
        "stationarity",
        "complement.",
        "-min_eig",
        "feasib.",
        "gap",
    )
    print("{:10} {:>12} {:>7} {:>13} {:>12} {:>10} {:>10} {:>10}".format(*header))
    for (kind, condition), figures in sorted(worst.items()):
        row = "{:10} {:12.0e} {:7d} {:13.1e} {:12.1e} {:10.1e} {:10.1e} {:10.1e}"
        print(row.format(kind, condition, int(figures[5]), *figures[:5]))


if __name__ == "__main__":
    main()
