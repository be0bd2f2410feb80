"""Tables and figures of runs: medians over the seeds, and their range."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from examples.pinn.measure import MARKS, Row

Runs = dict[str, list[list[Row]]]
"""The runs by contender, one a seed."""

UNITS = {"evaluations": "evaluations of loss and gradient", "seconds": "seconds"}
JUDGED = {"loss": "loss", "error": "relative error in L2"}


def panels(runs: list[list[Row]]) -> dict[str, Runs]:
    """Return the runs by problem, then by contender."""
    result: dict[str, Runs] = {}
    for rows in runs:
        panel = result.setdefault(rows[0].problem, {})
        panel.setdefault(rows[0].contender, []).append(rows)
    return result


def at(rows: list[Row], evaluations: int) -> Row:
    """Return the last measurement until then: a run that has ended stays where it is."""
    return [row for row in rows if row.evaluations <= evaluations][-1]


def spread(values: list[float]) -> str:
    """Return the median and, of several values, the range."""
    middle = f"{statistics.median(values):.1e}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.0e} to {max(values):.0e})"


def table(problem: str, runs: Runs) -> str:
    """Return a table in Markdown: loss and error along the run, and the seconds of the whole."""
    budget = max(row.evaluations for group in runs.values() for rows in group for row in rows)
    early = max(mark for mark in MARKS if mark <= max(1, budget // 4))
    seeds = max(map(len, runs.values()))
    lines = [
        f"{problem}: median of {seeds} seeds, and range",
        "",
        f"| | loss at {early:,} | loss at {budget:,} | error at {early:,} | error at {budget:,} "
        "| evaluations | seconds |",
        "|---" * 7 + "|",
    ]
    for name, group in runs.items():
        cells = [
            spread([getattr(at(rows, when), what) for rows in group])
            for what in JUDGED
            for when in (early, budget)
        ]
        ends = [rows[-1] for rows in group]
        used = statistics.median(row.evaluations for row in ends)
        seconds = statistics.median(row.seconds for row in ends)
        missing = "" if len(group) == seeds else f" ({len(group)} seeds)"
        lines.append(
            f"| {name}{missing} | {' | '.join(cells)} | {used:,.0f} | {seconds:.3g} |",
        )
    return "\n".join([*lines, ""])


def draw(path: Path, title: str, runs: Runs) -> None:
    """Draw loss and error against evaluations and seconds: median, and range over the seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 8.0), layout="constrained")
    figure.suptitle(title, fontsize=11)
    handles: dict[str, Any] = {}
    for axes, what in zip(figure.subplots(2, 2, sharey="row"), JUDGED, strict=True):
        for axis, unit in zip(axes, UNITS, strict=True):
            for k, (name, group) in enumerate(runs.items()):
                style = {"color": f"C{k % 10}", "ls": ("-", "--")[k // 10 % 2]}
                # The measurements that every seed has come to.
                marks = [row.evaluations for row in min(group, key=len)]
                rows = [[at(run, mark) for run in group] for mark in marks]
                where = [statistics.median(getattr(row, unit) for row in each) for each in rows]
                values = [[getattr(row, what) for row in each] for each in rows]
                (handles[name],) = axis.plot(
                    where, [statistics.median(v) for v in values], lw=1.4, **style
                )
                axis.fill_between(
                    where, list(map(min, values)), list(map(max, values)), alpha=0.12, lw=0, **style
                )
            axis.set(xscale="log", yscale="log", xlabel=UNITS[unit])
            axis.grid(alpha=0.3)
        axes[0].set_ylabel(JUDGED[what])
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(path, dpi=110)
