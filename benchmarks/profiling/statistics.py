"""What runs say about solvers: ratios to a reference, performance profiles, data profiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.profiling.measure import GTOL, Run
from benchmarks.profiling.problem_sets import base_name

BINS = ((1, 4), (5, 12), (13, 59), (60, 120), (121, math.inf))
FACTORS = (1.0, 1.5, 2.0, 4.0)
# Two final values are one minimum's where they agree to this, relatively.
SAME_MINIMUM = 1e-3

Problem = tuple[str, int]


@dataclass(frozen=True)
class Comparison:
    """One solver against the reference on the problems that both were run on.

    Parameters
    ----------
    solver, reference : str
    problems : int
        How many both were run on.
    solved, reference_solved, joint : int
        How many each solved, and both.
    ratio : float
        Geometric mean of cost / cost of the reference, on jointly solved problems.
    family_ratio : float
        The same of the families' means: one problem in several sizes is a family.
    by_size : tuple of (int, float)
        For each of `BINS` how many were jointly solved, and the mean ratio.
    same_minimum : int
        On how many jointly solved problems both end at the same value.
    same_minimum_ratio : float
        The mean ratio on these.
    within : tuple of float
        For each of `FACTORS` the share of all problems that the solver solves at a cost of at most
        so many times the lower of the two.
    wins, losses, ties : int
        On how many problems the solver is cheaper than, dearer than, and equal to the reference;
        unsolved is dearer than solved.
    worst : tuple of (problem, ratio, cost, cost of the reference)
        Jointly solved problems, largest ratio first.
    unsolved : tuple of (problem, bool)
        Problems the solver did not solve, and whether the reference did.
    """

    solver: str
    reference: str
    problems: int
    solved: int
    reference_solved: int
    joint: int
    ratio: float
    family_ratio: float
    by_size: tuple[tuple[int, float], ...]
    same_minimum: int
    same_minimum_ratio: float
    within: tuple[float, ...]
    wins: int
    losses: int
    ties: int
    worst: tuple[tuple[Problem, float, float, float], ...]
    unsolved: tuple[tuple[Problem, bool], ...]


def by_solver(runs: Iterable[Run]) -> dict[str, dict[Problem, Run]]:
    """Return the runs of each solver by problem, solvers in the order of their first run."""
    table: dict[str, dict[Problem, Run]] = {}
    for run in runs:
        table.setdefault(run.solver, {})[run.problem, run.n] = run
    return table


def compare(
    solver: Mapping[Problem, Run], reference: Mapping[Problem, Run], test: str
) -> Comparison:
    """Compare two solvers on the problems that both were run on.

    Parameters
    ----------
    solver, reference : mapping of problem to Run
    test : {"absolute", "relative"}
        Which test on the gradient ends a run.

    Returns
    -------
    Comparison
        Means and shares over no problem at all are nan.

    Examples
    --------
    >>> def run(solver, problem, cost):
    ...     return Run(problem, 2, solver, 9, 9.0, "returned", "", cost_absolute=cost, f=0.0)
    >>> ours = {("P", 2): run("a", "P", 2), ("Q", 2): run("a", "Q", None)}
    >>> theirs = {("P", 2): run("b", "P", 4), ("Q", 2): run("b", "Q", 5)}
    >>> result = compare(ours, theirs, "absolute")
    >>> result.ratio, result.solved, result.wins, result.losses, result.within[0]
    (0.5, 1, 1, 1, 0.5)
    """
    shared = [problem for problem in solver if problem in reference]
    cost = np.array([solver[problem].cost(test) for problem in shared], dtype=float)
    base = np.array([reference[problem].cost(test) for problem in shared], dtype=float)
    solved, base_solved = np.isfinite(cost), np.isfinite(base)
    joint = solved & base_solved
    ratio = np.full(len(shared), np.nan)
    ratio[joint] = cost[joint] / base[joint]
    n = np.array([size for _, size in shared], dtype=float)
    same = joint & np.array([same_minimum(solver[p].f, reference[p].f) for p in shared], dtype=bool)
    lower = np.minimum(cost, base)
    order = sorted(np.flatnonzero(joint), key=lambda i: -ratio[i])
    return Comparison(
        solver=_name(solver),
        reference=_name(reference),
        problems=len(shared),
        solved=int(solved.sum()),
        reference_solved=int(base_solved.sum()),
        joint=int(joint.sum()),
        ratio=_geometric_mean(ratio[joint]),
        family_ratio=_mean_of_families([shared[i][0] for i in np.flatnonzero(joint)], ratio[joint]),
        by_size=tuple(
            (int(part.sum()), _geometric_mean(ratio[part]))
            for part in (joint & (low <= n) & (n <= high) for low, high in BINS)
        ),
        same_minimum=int(same.sum()),
        same_minimum_ratio=_geometric_mean(ratio[same]),
        within=tuple(_share(solved & (cost <= factor * lower)) for factor in FACTORS),
        wins=int((cost < base).sum()),
        losses=int((base < cost).sum()),
        ties=int((joint & (cost == base)).sum()),
        worst=tuple((shared[i], float(ratio[i]), float(cost[i]), float(base[i])) for i in order),
        unsolved=tuple((shared[i], bool(base_solved[i])) for i in np.flatnonzero(~solved)),
    )


def same_minimum(f: float, other: float) -> bool:
    """Return whether two final values may be those of one minimum.

    They may differ by 1e-3 relatively, or by GTOL absolutely, which a gradient of that size leaves
    open along a way of length one.

    Examples
    --------
    >>> same_minimum(1.0, 1.0005), same_minimum(1.0, 1.1), same_minimum(1e-9, 1e-14)
    (True, False, True)
    """
    return abs(f - other) <= max(GTOL, SAME_MINIMUM * max(abs(f), abs(other)))


def wins(table: Mapping[str, Mapping[Problem, Run]], test: str) -> dict[tuple[str, str], int]:
    """Return for each pair of solvers on how many problems the first is the cheaper."""
    return {(a, b): compare(table[a], table[b], test).wins for a in table for b in table if a != b}


def cost_table(
    table: Mapping[str, Mapping[Problem, Run]], test: str
) -> tuple[list[Problem], dict[str, np.ndarray]]:
    """Return the problems that every solver was run on, and each solver's costs on them."""
    first, *others = table.values()
    shared = [p for p in first if all(p in runs for runs in others)]
    return shared, {
        solver: np.array([runs[p].cost(test) for p in shared], dtype=float)
        for solver, runs in table.items()
    }


def performance_profile(costs: Mapping[str, Sequence[float]]) -> dict[str, np.ndarray]:
    r"""Return for each solver the sorted ratios to the best cost of each problem.

    .. math::

        \rho_s(\tau) = \frac1{|P|} \bigl|\{ p : t_{ps} \le \tau \min_{s'} t_{ps'} \}\bigr|

    The share at ratio i (from 1) of the sorted ratios is i / |P|; unsolved is inf.

    Parameters
    ----------
    costs : mapping of str to sequence of float
        For each solver the cost of each problem, inf where it was not solved.

    References
    ----------
    E. D. Dolan and J. J. Moré, "Benchmarking optimization software with performance profiles",
    Math. Program. 91 (2002), 201-213.

    Examples
    --------
    >>> profile = performance_profile({"a": [2.0, 9.0], "b": [4.0, 3.0]})
    >>> profile["a"].tolist(), profile["b"].tolist()
    ([1.0, 3.0], [1.0, 2.0])
    """
    best = np.min(list(costs.values()), axis=0)
    # Where nobody solved the problem the ratio is inf, not inf / inf.
    best = np.where(np.isfinite(best), best, 1.0)
    return {solver: np.sort(np.asarray(cost, dtype=float) / best) for solver, cost in costs.items()}


def data_profile(costs: Mapping[str, Sequence[float]]) -> dict[str, np.ndarray]:
    r"""Return for each solver its sorted costs.

    .. math::

        d_s(\kappa) = \frac1{|P|} \bigl|\{ p : t_{ps} \le \kappa \}\bigr|

    With gradients the natural unit is one evaluation, not the n + 1 of the derivative-free case.

    Parameters
    ----------
    costs : mapping of str to sequence of float
        For each solver the cost of each problem, inf where it was not solved.

    References
    ----------
    J. J. Moré and S. M. Wild, "Benchmarking derivative-free optimization algorithms", SIAM J.
    Optim. 20 (2009), 172-191.

    Examples
    --------
    >>> data_profile({"a": [2.0, float("inf"), 1.0]})["a"].tolist()
    [1.0, 2.0, inf]
    """
    return {solver: np.sort(np.asarray(cost, dtype=float)) for solver, cost in costs.items()}


def _name(runs: Mapping[Problem, Run]) -> str:
    return next((run.solver for run in runs.values()), "")


def _mean_of_families(names: Sequence[str], ratios: np.ndarray) -> float:
    families = np.array([base_name(name) for name in names])
    means = [_geometric_mean(ratios[families == family]) for family in dict.fromkeys(families)]
    return _geometric_mean(np.array(means))


def _geometric_mean(ratios: np.ndarray) -> float:
    return float(np.exp(np.mean(np.log(ratios)))) if ratios.size else math.nan


def _share(chosen: np.ndarray) -> float:
    return float(chosen.mean()) if chosen.size else math.nan
