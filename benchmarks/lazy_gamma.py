"""What a gamma that changes seldom costs lsr1-tr in evaluations.

    python benchmarks/lazy_gamma.py [--max-n 120] [--stride 2] [--budget 1000] [--seconds 10]
        [--markdown]

While gamma stays, L-SR1 needs only Psi = Y - gamma S: m stored vectors in place of 2m.  A change of
gamma needs S for the new Psi, or a memory that forgets its pairs.  Compared on the problems of
problems-open.csv, n up to --max-n, every --stride-th:

    window-max   the rule of lsr1-tr, a new gamma at nearly every pair
    factor F     gamma stays until that rule is off by more than F, either way
    every K      gamma follows that rule at every K-th pair
    ..., forget  the same, and a change forgets all pairs but the newest: Psi-only storage
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

import qnsolve
from benchmarks.profiling import Objective, table
from benchmarks.profiling.cutest import cutest
from benchmarks.profiling.problem_sets import read_list
from qnsolve.arrays import Array
from qnsolve.quasi_newton.base import UpdateStatus
from qnsolve.quasi_newton.factored import Judgement
from qnsolve.quasi_newton.lsr1 import LSR1
from qnsolve.quasi_newton.pairs import GramBlocks
from qnsolve.quasi_newton.scaling import GammaRule, WindowMax
from qnsolve.solvers.matrices import Build

HERE = Path(__file__).parent
USUAL = WindowMax()
BASE = "window-max"


class Within:
    """gamma stays while the usual rule is within a factor of it."""

    def __init__(self, factor: float) -> None:
        self._factor = factor

    def __call__(self, blocks: GramBlocks, ratios: Sequence[float], current: float) -> float:
        usual = USUAL(blocks, ratios, current)
        near = 1.0 / self._factor <= usual / current <= self._factor
        return current if near and len(blocks) > 1 else usual


class Every:
    """gamma follows the usual rule at every k-th pair offered."""

    def __init__(self, period: int) -> None:
        self._period, self._offered = period, 0

    def __call__(self, blocks: GramBlocks, ratios: Sequence[float], current: float) -> float:
        self._offered += 1
        due = len(blocks) == 1 or self._offered % self._period == 0
        return USUAL(blocks, ratios, current) if due else current


class Counting(LSR1):
    """An LSR1 that counts the changes of gamma after its first pair."""

    changes = 0

    def update(self, s: Array, y: Array, **products: np.ndarray) -> UpdateStatus:
        before, had = self.gamma, self.n_pairs
        status = super().update(s, y, **products)
        Counting.changes += bool(had and self.gamma != before)
        return status


class PsiOnly(Counting):
    """One that has no S to make a new Psi from: with another gamma only the newest pair stays."""

    _changed: Judgement | None = None

    def update(self, s: Array, y: Array, **products: np.ndarray) -> UpdateStatus:
        self._changed = None
        return super().update(s, y, **products)

    def _judge(self, blocks: GramBlocks, gamma: float) -> Judgement:
        if gamma != self.gamma:
            self._changed = super()._judge(blocks.newest(1), gamma)
            return self._changed
        if self._changed is not None and self._changed.stored:
            # The present gamma would keep more pairs, but a change is due.
            return Judgement(UpdateStatus.ILL_CONDITIONED, blocks, None)
        return super()._judge(blocks, gamma)


VARIANTS: dict[str, tuple[Callable[[], GammaRule], type[LSR1]]] = {BASE: (WindowMax, Counting)}
for _name, _rule in {
    "factor 2": partial(Within, 2.0),
    "factor 10": partial(Within, 10.0),
    "factor 100": partial(Within, 100.0),
    "every 5": partial(Every, 5),
    "every 20": partial(Every, 20),
}.items():
    VARIANTS[_name] = (_rule, Counting)
    VARIANTS[f"{_name}, forget"] = (_rule, PsiOnly)


def evaluations(objective: Objective, variant: str, budget: int, seconds: float) -> tuple[int, int]:
    """Return the evaluations, 0 where the run failed, and the changes of gamma."""
    rule, matrix = VARIANTS[variant]
    deadline = time.process_time() + seconds

    def watch(x: np.ndarray) -> None:
        if time.process_time() > deadline:
            raise StopIteration

    Counting.changes = 0
    result = qnsolve.minimize(
        objective.fun,
        objective.x0,
        jac=objective.grad,
        method="lsr1-tr",
        callback=watch,
        options={
            "matrix": Build(matrix),
            "gamma": rule(),
            "maxfev": budget,
            "maxiter": budget,
            "gtol": 1e-5,
        },
    )
    return (result.nfev if result.success else 0), Counting.changes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--max-n", type=int, default=120)
    parser.add_argument("--stride", type=int, default=2)
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()

    chosen = [(name, n) for name, n in read_list(HERE / "problems-open.csv") if n <= args.max_n]
    counts: dict[str, list[int]] = {variant: [] for variant in VARIANTS}
    changes: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for name, n in chosen[:: args.stride]:
        objective = cutest(name, n)
        for variant in VARIANTS:
            done, changed = evaluations(objective, variant, args.budget, args.seconds)
            counts[variant].append(done)
            if done:
                changes[variant].append(changed / done)
        print(name, *(counts[variant][-1] for variant in VARIANTS), flush=True)

    rows = []
    for variant, own in counts.items():
        both = [(a, b) for a, b in zip(own, counts[BASE], strict=True) if a and b]
        ratio = statistics.geometric_mean(a / b for a, b in both)
        rows.append(
            (
                variant,
                sum(map(bool, own)),
                f"{ratio:.2f}",
                sum(a > b for a, b in both),
                sum(a < b for a, b in both),
                f"{statistics.median(changes[variant]):.2f}",
            )
        )
    heads = ("gamma", "solved", "evaluations", "more", "fewer", "changes an evaluation")
    print(f"\n{len(counts[BASE])} problems; evaluations: geometric mean of the ratio to {BASE}.\n")
    print(table(heads, rows, args.markdown))


if __name__ == "__main__":
    main()
