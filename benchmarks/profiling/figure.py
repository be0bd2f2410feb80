"""The figure of a profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.profiling.statistics import data_profile, performance_profile
from qnsolve import plotting


def profiles(
    costs: Mapping[str, Any],
    *,
    unit: str = "evaluations",
    title: str | None = None,
) -> Any:
    """Draw the performance profile and the data profile of several solvers.

    Left: the share of problems that a solver solves at no more than so many times the lowest cost
    of all.  Right: the share that it solves at no more than so many evaluations.

    Parameters
    ----------
    costs : mapping of str to array_like, shape (problems,)
        For each solver the cost of each problem, in the same order; inf where it was not solved.
    unit : str
        What costs are counted in.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
        With a transparent background; ``figure.savefig("file.png")`` writes it.

    Examples
    --------
    >>> from benchmarks.profiling import profiles
    >>> figure = profiles({"ours": [2.0, 6.0], "theirs": [4.0, float("inf")]})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['ours', 'theirs']
    """
    from matplotlib.ticker import NullFormatter, PercentFormatter

    figure = plotting.new_figure(9.0, 4.4)
    panels = zip(
        figure.subplots(1, 2),
        (performance_profile(costs), data_profile(costs)),
        ("cost / lowest cost of all", unit),
        strict=True,
    )
    for axes, profile, label in panels:
        finite = np.concatenate([values[np.isfinite(values)] for values in profile.values()])
        largest = max(2.0, finite.max(initial=1.0))
        for i, (name, values) in enumerate(profile.items()):
            solved = values[np.isfinite(values)]
            # A step for each problem, and the last one drawn out to the edge.
            x = np.concatenate([[1.0], solved, [largest]])
            share = np.concatenate([[0], np.arange(1, solved.size + 1), [solved.size]])
            axes.plot(
                x,
                share / max(1, values.size),
                label=name,
                # Apart, so that the markers of lines that run together do not cover each other.
                **plotting.line_style(i, markevery=(0.02 + 0.03 * i, 0.25), markersize=5),
                drawstyle="steps-post",
            )
        plotting.dress(axes, "share of problems solved", label)
        axes.set_xscale("log", base=2 if label != unit else 10)
        axes.set_xlim(1.0, largest)
        axes.set_ylim(0.0, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    return plotting.finish(figure, figure.axes[0], title)
