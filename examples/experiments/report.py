"""Tables and figures of runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import Row, first_at

UNITS = {
    "epoch": "epochs",
    "passes": "gradients, in passes over the data",
    "backprops": "backpropagations, in passes over the data",
    "seconds": "seconds of processor time",
}


@dataclass(frozen=True)
class Reached:
    """What a contender needed to come to a score; medians over the seeds that did."""

    problem: str
    contender: str
    setting: str
    batch_size: int
    target: float
    seeds: int
    reached: int
    epochs: float
    passes: float
    backprops: float
    seconds: float


def reached(runs: list[list[Row]], target: float) -> Reached:
    """Return what the runs of one contender, one a seed, needed."""
    hits = [hit for rows in runs if (hit := first_at(rows, target)) is not None]
    row = runs[0][0]
    middle = [
        statistics.median(getattr(hit, unit) for hit in hits) if hits else math.nan
        for unit in UNITS
    ]
    labels = (row.problem, row.contender, row.setting, row.batch_size, target)
    return Reached(*labels, len(runs), len(hits), *middle)


def panels(runs: list[list[Row]]) -> dict[tuple[str, int], dict[str, list[list[Row]]]]:
    """Return the runs by (problem, batch size), then by contender; one run a seed."""
    result: dict[tuple[str, int], dict[str, list[list[Row]]]] = {}
    for rows in runs:
        panel = result.setdefault((rows[0].problem, rows[0].batch_size), {})
        panel.setdefault(rows[0].contender, []).append(rows)
    return dict(sorted(result.items()))


def entries(runs: list[list[Row]], targets: dict[str, Iterable[float]]) -> list[Reached]:
    """Return what every contender needed to come to every target, given by problem."""
    return [
        reached(group, target)
        for (problem, _), panel in panels(runs).items()
        for group in panel.values()
        for target in targets[problem]
    ]


def label(rows: list[Row]) -> str:
    """Return contender and setting of a run, the latter where it was tuned."""
    row = rows[0]
    return row.contender if row.setting == "default" else f"{row.contender}, {row.setting}"


def at_the_end(group: list[list[Row]], name: str) -> list[float]:
    """Return a field of the last measurements."""
    return [getattr(rows[-1], name) for rows in group]


def markdown(runs: list[list[Row]], targets: dict[str, Iterable[float]]) -> str:
    """Return a table for each problem and batch size: epochs / passes / seconds to each target."""
    lines = []
    for (problem, batch), panel in panels(runs).items():
        scores = list(targets[problem])
        lines += [f"{problem}, batch {batch:,}: epochs / passes / seconds to a score", ""]
        columns = [*(f"{score:g}" for score in scores), "passes", "train loss", "score"]
        lines += [f"| | {' | '.join(columns)} | pairs skipped % |"]
        lines += ["|---" * (len(columns) + 2) + "|"]
        for group in panel.values():
            cells = [cell(reached(group, score)) for score in scores]
            ends = [
                f"{statistics.median(at_the_end(group, name)):.4g}"
                for name in ("passes", "train_loss", "score", "skipped")
            ]
            ends[-1] = ends[-1].replace("nan", "")
            lines += [f"| {' | '.join([label(group[0]), *cells, *ends])} |"]
        lines += [""]
    return "\n".join(lines)


def cell(entry: Reached) -> str:
    """Return epochs / passes / seconds, with the number of seeds where not all came there."""
    if not entry.reached:
        return "-"
    some = "" if entry.reached == entry.seeds else f" ({entry.reached} of {entry.seeds})"
    return f"{entry.epochs:.3g} / {entry.passes:.3g} / {entry.seconds:.3g}{some}"


def by_batch(runs: list[list[Row]], targets: dict[str, float]) -> str:
    """Return epochs to one score by batch size, the form of Table 1 of L-SR1."""
    lines = []
    for problem in dict.fromkeys(rows[0].problem for rows in runs):
        groups = {key: panel for key, panel in panels(runs).items() if key[0] == problem}
        names = dict.fromkeys(name for panel in groups.values() for name in panel)
        lines += [f"{problem}: epochs (passes) to {targets[problem]:g}", ""]
        lines += [f"| | {' | '.join(f'batch {batch:,}' for _, batch in groups)} |"]
        lines += ["|---" * (len(groups) + 1) + "|"]
        for name in names:
            found = [
                reached(panel[name], targets[problem]) if name in panel else None
                for panel in groups.values()
            ]
            lines += [f"| {' | '.join([name, *map(_epochs, found)])} |"]
        lines += [""]
    return "\n".join(lines)


def _epochs(entry: Reached | None) -> str:
    if entry is None or not entry.reached:
        return "-"
    some = "" if entry.reached == entry.seeds else f", {entry.reached} of {entry.seeds} seeds"
    return f"{entry.epochs:.3g} ({entry.passes:.3g}{some})"


def draw_curves(
    path: Path,
    title: str,
    runs: list[list[Row]],
    score_names: dict[str, str],
    units: tuple[str, ...],
) -> None:
    """Draw the score against each unit, one row a problem and batch size: median and range."""
    from matplotlib.figure import Figure

    groups = panels(runs)
    names = list(dict.fromkeys(name for panel in groups.values() for name in panel))
    styles = _styles(names)
    lines = math.ceil(len(names) / 4)
    figure = Figure(figsize=(11.0, 0.6 + 3.6 * len(groups) + 0.25 * lines), layout="constrained")
    axes = figure.subplots(len(groups), len(units), squeeze=False)
    figure.suptitle(title, fontsize=11)
    handles: dict[str, Any] = {}
    for ((problem, batch), panel), row in zip(groups.items(), axes, strict=True):
        for name, group in panel.items():
            count = min(map(len, group))
            scores = [[rows[i].score for rows in group] for i in range(count)]
            for axis, unit in zip(row, units, strict=True):
                at = [
                    statistics.median(getattr(rows[i], unit) for rows in group)
                    for i in range(count)
                ]
                (handles[name],) = axis.plot(
                    at, [statistics.median(s) for s in scores], lw=1.4, **styles[name]
                )
                axis.fill_between(
                    at,
                    [min(s) for s in scores],
                    [max(s) for s in scores],
                    color=styles[name]["color"],
                    alpha=0.15,
                    lw=0,
                )
        low, high = _limits([[r.score for r in rows] for g in panel.values() for rows in g])
        for axis, unit in zip(row, units, strict=True):
            scale = "log" if score_names[problem] == "train loss" else "linear"
            axis.set(xlabel=UNITS[unit], ylabel=score_names[problem], yscale=scale)
            axis.set_ylim(low, high)
            axis.set_title(f"{problem}, batch {batch:,}", fontsize=9)
            axis.grid(alpha=0.3)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(path, dpi=110)


def draw_ends(path: Path, title: str, runs: list[list[Row]], score_names: dict[str, str]) -> None:
    """Draw the score at the end of each contender: median and range over the seeds."""
    from matplotlib.figure import Figure

    groups = panels(runs)
    names = list(dict.fromkeys(name for panel in groups.values() for name in panel))
    figure = Figure(figsize=(11.0, 1.4 + 0.28 * len(names)), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
    for ((problem, batch), panel), axis in zip(groups.items(), axes, strict=True):
        for k, name in enumerate(names):
            ends = [end for end in at_the_end(panel.get(name, []), "score") if math.isfinite(end)]
            if ends:
                axis.plot([min(ends), max(ends)], [k, k], color="C0", lw=3, alpha=0.4)
                axis.plot(statistics.median(ends), k, "o", color="C0", ms=5)
        axis.set_title(f"batch {batch:,}", fontsize=9)
        axis.set(xlabel=f"{score_names[problem]} at the end")
        axis.grid(alpha=0.3)
    axes[0].set_yticks(range(len(names)), names, fontsize=8)
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=110)


def _styles(names: list[str]) -> dict[str, dict[str, Any]]:
    """Return ten colours in full lines, then the same in dashed and dotted ones."""
    lines = ("-", "--", ":")
    return {
        name: {"color": f"C{k % 10}", "ls": lines[k // 10 % len(lines)]}
        for k, name in enumerate(names)
    }


def _limits(runs: list[list[float]]) -> tuple[float, float]:
    """Return limits of an axis on which the ends of the better half can be told apart."""
    finite = [score for scores in runs for score in scores if math.isfinite(score)]
    ends = sorted(min(scores) for scores in runs)
    low, middle = min(finite), ends[len(ends) // 2]
    room = max(middle - low, 0.1 * abs(low))
    return max(low - 0.1 * room, 0.9 * low), min(max(finite), middle + 8.0 * room)
