"""Worst residuals of the exact subproblem solvers over many random cases.

    python -m benchmarks.subproblem_accuracy [--cases 100000] [--seed 0] [--only NAME] [--markdown]

Two kinds of input.  `spectrum`: eigenvalues of either sign with zeros, repeats and gaps of 1e-12,
scales from 1e-6 to 1e6, radius or weight from 1e-8 to 1e8, with an explicit orthonormal basis.
`compact`: L-SR1 matrices with 0 to 10 pairs of a random indefinite quadratic in 1 to 200
dimensions, split by the condition of the compact form (the larger of the condition numbers of the
scaled columns Psi and of the scaled inner matrix: B itself is only known to eps times that).

Each in four cases.  `random`; `hard`, where the gradient has no part on the leftmost eigenvectors;
`near hard`, where that part is 1e-12 of the rest; `in span`, where it has none in the complement.

Every result is judged by its certificate, formed with products by B on the n-vector, and, in the l2
norm, by the gap to a dual lower bound in extended precision, which trusts no solver.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np

import qnsolve
from tests.oracles.duality import cubic_bound, trust_region_bound

CASES = ("random", "hard", "near hard", "in span")
WELL_CONDITIONED = 1e4
SOLVERS = {
    "trust region, l2": (lambda model, r: model.trust_region(r, "l2"), trust_region_bound),
    "trust region, shape-inf": (lambda model, r: model.trust_region(r, "shape-inf"), None),
    "trust region, shape-2": (lambda model, r: model.trust_region(r, "shape-2"), None),
    "cubic, l2": (lambda model, w: model.regularised(w, "l2"), cubic_bound),
    "cubic, shape": (lambda model, w: model.regularised(w, "shape"), None),
    "quartic, l2": (lambda model, w: model.regularised(w, "l2", 4.0), None),
}


def random_spectrum(rng):
    """Return a partial spectrum with an explicit basis."""
    n = int(rng.integers(1, 13))
    r = int(rng.integers(0, n + 1))
    values = rng.choice([-1.0, 1.0], r + 1) * 10.0 ** rng.uniform(-6, 0, r + 1)
    values[rng.random(r + 1) < 0.2] = 0.0
    for i in np.flatnonzero(rng.random(r + 1) < 0.3):
        values[i] = values[0] * (1 + rng.choice([0.0, 1e-12]))
    values *= 10.0 ** rng.uniform(-6, 6)
    basis = np.linalg.qr(rng.standard_normal((n, n)))[0][:r]
    return qnsolve.PartialSpectrum.from_basis(values[-1], values[:-1], basis)


def random_compact(rng):
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


def random_gradient(rng, spectrum, case):
    """Return a gradient of the given kind."""
    g = rng.standard_normal(spectrum.space.size) * 10.0 ** rng.uniform(-6, 6)
    r = len(spectrum.eigenvalues)
    if case == "random" or r == 0:
        return g
    par = rng.standard_normal(r) * np.linalg.norm(g)
    beta = 0.0 if case == "in span" else 1.0
    if case in ("hard", "near hard"):
        part = 0.0 if case == "hard" else 1e-12
        lowest = spectrum.all_eigenvalues.min()
        par[spectrum.eigenvalues == lowest] *= part
        if spectrum.gamma == lowest:
            beta *= part
    return spectrum.lift(par, beta, g)


def figures_of(result, bound):
    certificate = result.certificate()
    figures = [
        certificate.stationarity,
        certificate.complementarity,
        max(0.0, -certificate.min_eig),
        certificate.feasibility,
    ]
    if bound is None:
        return np.array([*figures, np.nan])
    model = result.model
    lam, (par, norm_perp) = model.spectrum.all_eigenvalues, model.spectrum.project(model.gradient)
    a = np.append(par, norm_perp) if model.spectrum.complement_dim else par
    parameter = getattr(result.term, "radius", None) or result.term.weight
    value = bound(lam, a, parameter).value
    # Where g is so small that its coordinates are rounding error there is nothing to compare.
    gap = abs(-result.decrease - value) / abs(value) if value else result.decrease
    return np.array([*figures, gap])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000, help="cases for each solver")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(SOLVERS), help="one solver; the cases are the same")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    args = parser.parse_args()
    solvers = {args.only: SOLVERS[args.only]} if args.only else SOLVERS
    rng = np.random.default_rng(args.seed)
    worst = defaultdict(lambda: np.zeros(5))
    count, unsolved = defaultdict(int), 0
    for k in range(args.cases):
        case = CASES[k % len(CASES)]
        if (k // len(CASES)) % 2:
            B, kind = random_spectrum(rng), "spectrum"
            spectrum = B
        else:
            B, condition = random_compact(rng)
            kind = "compact, good" if condition <= WELL_CONDITIONED else "compact, poor"
            spectrum = B.spectrum()
        model = qnsolve.QuadraticModel(random_gradient(rng, spectrum, case), B)
        parameter = 10.0 ** rng.uniform(-8, 8)
        for name, (solve, bound) in solvers.items():
            result = solve(model, parameter)
            unsolved += result.status is not qnsolve.SubproblemStatus.SOLVED
            key = (name, kind, case)
            worst[key] = np.fmax(worst[key], figures_of(result, bound))
            count[key] += 1
    header = ("solver", "input", "case", "cases")
    header += ("stationarity", "complement.", "-min_eig", "feasib.", "gap")
    row = "{:24} {:14} {:10} {:>7} {:>12} {:>12} {:>9} {:>9} {:>9}"
    if args.markdown:
        row = "| " + " | ".join(["{}"] * 9) + " |"
    print(row.format(*header))
    if args.markdown:
        print("|" + "---|" * 9)
    for key in sorted(worst):
        cells = [f"{figure:.1e}" for figure in worst[key]]
        if SOLVERS[key[0]][1] is None:
            cells[-1] = "-"
        print(row.format(*key, count[key], *cells))
    print(f"\nNot solved: {unsolved} of {args.cases * len(solvers)}.")


if __name__ == "__main__":
    main()
