"""The tables of a profile, as plain text or Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.profiling.measure import GTOL, Run
from benchmarks.profiling.statistics import BINS, FACTORS, Comparison, Problem, compare, wins

WORST = 20

TEST_TEXT = {
    "absolute": f"||g||_inf <= {GTOL:g}",
    "relative": f"||g||_inf <= {GTOL:g} max(1, ||g0||_inf)",
}

IN_A_BOX = "g is the projected gradient, x - P(x - g)"


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], markdown: bool) -> str:
    """Return a table whose first column is left- and whose others are right-aligned.

    Examples
    --------
    >>> print(table(("solver", "solved"), [("ours", 12)], markdown=False))
    solver  solved
    ours        12
    >>> print(table(("solver", "solved"), [("ours", 12)], markdown=True))
    | solver | solved |
    |---|---:|
    | ours | 12 |
    """
    cells = [[str(cell) for cell in row] for row in (heads, *rows)]
    if markdown:
        lines = ["| " + " | ".join(row) + " |" for row in cells]
        lines.insert(1, "|" + "|".join(["---", *["---:"] * (len(heads) - 1)]) + "|")
        return "\n".join(lines)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def report(
    runs: Mapping[str, Mapping[Problem, Run]],
    test: str,
    reference: str,
    *,
    markdown: bool = False,
    names: bool = True,
) -> str:
    """Return the tables for one test on the gradient.

    Parameters
    ----------
    runs : mapping of solver to mapping of problem to Run
    test : {"absolute", "relative"}
    reference : str
        The solver to which ratios are taken.
    markdown : bool
    names : bool
        Whether to list the worst and the unsolved problems of each solver.

    Returns
    -------
    str
    """
    results = [compare(of, runs[reference], test) for of in runs.values()]
    bounded = any(run.outside is not None for of in runs.values() for run in of.values())
    where = f"; {IN_A_BOX}" if bounded else ""
    heading = f"Test: {TEST_TEXT[test]}{where}.  Reference: {reference}."
    parts = [f"### {heading}" if markdown else heading, overview(results, markdown=markdown)]
    if bounded:
        parts += ["Evaluations outside of the box:", _outside(runs, markdown)]
    if len(runs) > 2:
        parts += ["Problems on which the row is cheaper than the column:"]
        parts += [_wins(runs, test, markdown)]
    if names:
        for result in results:
            if result.solver != reference:
                parts += _names(result, runs[result.solver], test, markdown)
    return "\n\n".join(parts)


def overview(results: Sequence[Comparison], *, markdown: bool = False) -> str:
    """Return the table with a row for each comparison, and what its columns mean."""
    sizes = [f"{low}-{high}" if high < math.inf else f">={low}" for low, high in BINS]
    heads = ["solver", "run", "solved", "joint", "ratio", "families", "same min.", "ratio there"]
    heads += [f"n {size}" for size in sizes]
    heads += [f"within {factor:g}" for factor in FACTORS]
    heads += ["cheaper", "dearer", "equal"]
    rows = [
        (
            result.solver,
            result.problems,
            result.solved,
            result.joint,
            _ratio(result.ratio),
            _ratio(result.family_ratio),
            result.same_minimum,
            _ratio(result.same_minimum_ratio),
            *(f"{_ratio(ratio)} ({count})" for count, ratio in result.by_size),
            *(_ratio(share) for share in result.within),
            result.wins,
            result.losses,
            result.ties,
        )
        for result in results
    ]
    note = (
        "run: problems that solver and reference were both run on.  ratio: geometric mean of the\n"
        "cost ratio to the reference on jointly solved problems; in brackets their number.\n"
        "families: the same where all sizes of a problem count as one.  same min.: jointly solved\n"
        "with the same final value.  within: share of all problems solved at no more than so many\n"
        "times the lower cost of the two.  cost: max(evaluations of f, evaluations of g) at the\n"
        "first point that satisfies the test."
    )
    return f"{table(heads, rows, markdown)}\n\n{note}"


def _outside(runs: Mapping[str, Mapping[Problem, Run]], markdown: bool) -> str:
    rows = []
    for solver, of in runs.items():
        counts = [run.outside or 0 for run in of.values()]
        rows.append((solver, sum(counts), sum(count > 0 for count in counts)))
    return table(("solver", "evaluations", "problems"), rows, markdown)


def _wins(runs: Mapping[str, Mapping[Problem, Run]], test: str, markdown: bool) -> str:
    counts = wins(runs, test)
    numbers = {solver: f"[{i}]" for i, solver in enumerate(runs, 1)}
    rows = [(f"{numbers[a]} {a}", *("" if a == b else counts[a, b] for b in runs)) for a in runs]
    return table(["", *numbers.values()], rows, markdown)


def _names(
    result: Comparison, runs: Mapping[Problem, Run], test: str, markdown: bool
) -> Iterable[str]:
    rows = [
        (name, n, f"{ratio:.2f}", f"{cost:.0f}", f"{base:.0f}")
        for (name, n), ratio, cost, base in result.worst[:WORST]
        if ratio > 1.0
    ]
    if rows:
        yield f"{result.solver}: the largest ratios"
        yield table(("problem", "n", "ratio", "cost", "reference"), rows, markdown)
    if result.unsolved:
        yield f"{result.solver}: not solved ({len(result.unsolved)})"
        yield table(
            ("problem", "n", "end", "||g||_inf", "reference"),
            [
                (
                    *problem,
                    runs[problem].status,
                    f"{runs[problem].g_norm:.1e}",
                    "solved" if by_reference else "not solved",
                )
                for problem, by_reference in result.unsolved
            ],
            markdown,
        )


def _ratio(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
