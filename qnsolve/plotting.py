"""Figures.  matplotlib is imported when one is drawn, and no window or global state is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# Text and lines have a contrast of at least 3 with white and with black, so that a figure with a
# transparent background can be read on either.  The colours are close to Okabe and Ito's, which
# people with any kind of colour vision tell apart; the markers serve those who print in grey.
TEXT = "#767676"
COLOURS = ("#2B83C6", "#D55E00", "#009E73", "#CC79A7")
MARKERS = ("o", "s", "^", "D")
# A second and third round through the colours is told apart by the line.
LINES = ("-", "--", ":")


def convergence(
    runs: Mapping[str, Any],
    *,
    gtol: float | None = None,
    offset: float = 0.0,
    value_label: str = "lowest f so far",
    gradient_label: str = r"smallest $\|g\|_\infty$ so far",
    title: str | None = None,
) -> Any:
    """Draw value and gradient against the number of evaluations.

    Both panels show the least so far, which rejected trial points do not disturb: where a line
    crosses a level is the number of evaluations that it takes to get there.

    Parameters
    ----------
    runs : mapping of str to array_like, shape (evaluations, 2)
        For each run the value and the largest gradient component of each evaluation, in order.
    gtol : float, optional
        Tolerance on the gradient, drawn as a line.
    offset : float
        Subtracted from the values, such as a known minimum.
    value_label, gradient_label : str
        Labels of the vertical axes, with the unit.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
        With a transparent background; ``figure.savefig("file.png")`` writes it.

    Examples
    --------
    >>> from qnsolve.plotting import convergence
    >>> figure = convergence({"a run": [(2.0, 1.0), (1.0, 0.1), (3.0, 4.0)]}, gtol=1e-2)
    >>> [line.get_ydata().tolist() for line in figure.axes[0].lines]
    [[2.0, 1.0, 1.0]]
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    # Without pyplot there is no backend to choose and no figure to close.
    figure = Figure(figsize=(9.0, 4.0), layout="constrained", facecolor="none")
    figure.get_layout_engine().set(wspace=0.06)
    value_axes, gradient_axes = figure.subplots(1, 2)
    lowest, largest, steepest = np.inf, 0.0, 0.0
    for i, (name, rows) in enumerate(runs.items()):
        # fmin passes over NaN, which a failed trial leaves.
        value, gradient = np.fmin.accumulate(np.asarray(rows, dtype=float), axis=0).T
        value = value - offset
        evaluations = np.arange(1, value.size + 1)
        lowest, largest = min(lowest, value.min()), max(largest, value.max())
        steepest = max(steepest, gradient.max())
        style = {
            "color": COLOURS[i % len(COLOURS)],
            "marker": MARKERS[i % len(MARKERS)],
            "markevery": [-1],
            "markersize": 6,
            "linewidth": 1.8,
            "drawstyle": "steps-post",
        }
        value_axes.plot(evaluations, value, label=name, **style)
        gradient_axes.plot(evaluations, gradient, label=name, **style)
    if 0.0 < lowest < 0.1 * largest:
        value_axes.set_yscale("log")
        if largest < 1e3 * lowest:
            # Over few decades plain numbers at 1, 2, 5 read better than powers of ten.
            value_axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            value_axes.yaxis.set_major_formatter("{x:g}")
            value_axes.yaxis.set_minor_formatter(NullFormatter())
    if steepest > 0.0:
        gradient_axes.set_yscale("log")
    if gtol:
        gradient_axes.axhline(gtol, color=TEXT, linewidth=1.0, linestyle=":")
        gradient_axes.annotate(
            f"gtol = {gtol:g}",
            (0.0, gtol),
            xycoords=gradient_axes.get_yaxis_transform(),
            xytext=(4, 3),
            textcoords="offset points",
            color=TEXT,
        )
    _dress(value_axes, value_label)
    _dress(gradient_axes, gradient_label)
    if len(runs) > 1:
        figure.legend(
            *value_axes.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=len(runs),
            frameon=False,
            labelcolor=TEXT,
            handlelength=3.0,
        )
    if title:
        figure.suptitle(title, color=TEXT, fontsize="medium")
    return figure


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
    >>> from qnsolve.plotting import profiles
    >>> figure = profiles({"ours": [2.0, 6.0], "theirs": [4.0, float("inf")]})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['ours', 'theirs']
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, PercentFormatter

    from qnsolve.profiling import data_profile, performance_profile

    figure = Figure(figsize=(9.0, 4.4), layout="constrained", facecolor="none")
    figure.get_layout_engine().set(wspace=0.06)
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
                color=COLOURS[i % len(COLOURS)],
                linestyle=LINES[i // len(COLOURS) % len(LINES)],
                marker=MARKERS[i % len(MARKERS)],
                # Apart, so that the markers of lines that run together do not cover each other.
                markevery=(0.02 + 0.03 * i, 0.25),
                markersize=5,
                linewidth=1.8,
                drawstyle="steps-post",
            )
        _dress(axes, "share of problems solved", label)
        axes.set_xscale("log", base=2 if label != unit else 10)
        axes.set_xlim(1.0, largest)
        axes.set_ylim(0.0, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(4, len(costs)),
        frameon=False,
        labelcolor=TEXT,
        handlelength=3.0,
    )
    if title:
        figure.suptitle(title, color=TEXT, fontsize="medium")
    return figure


def _dress(axes: Any, label: str, xlabel: str = "evaluations of f and its gradient") -> None:
    axes.set_facecolor("none")
    axes.set_xlabel(xlabel, color=TEXT)
    axes.set_ylabel(label, color=TEXT)
    axes.set_xlim(left=0)
    axes.tick_params(which="both", colors=TEXT)
    axes.grid(True, color=TEXT, alpha=0.25, linewidth=0.6)
    for side, spine in axes.spines.items():
        spine.set_color(TEXT)
        spine.set_visible(side in ("left", "bottom"))
