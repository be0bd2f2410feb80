"""Figures of runs.  matplotlib is imported when one is drawn; no window or global state is touched.

What other figures of the same look are made of comes after them: `new_figure`, `line_style`,
`dress`, `finish`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["Recorder", "contours", "convergence", "training"]

# Text and lines have a contrast of at least 3 with white and with black, so that a figure with a
# transparent background can be read on either.  The colours are close to Okabe and Ito's, which
# people with any kind of colour vision tell apart; the markers serve those who print in grey.
TEXT = "#767676"
COLOURS = ("#2B83C6", "#D55E00", "#009E73", "#CC79A7")
MARKERS = ("o", "s", "^", "D")
# A second and third round through the colours is told apart by the line.
LINES = ("-", "--", ":")
LEGEND_WIDTH = 80
"""Characters of names that fit on a line below a figure."""


class Recorder:
    """An objective that notes value and largest gradient component of each of its calls.

    Parameters
    ----------
    fun : callable
        ``fun(x) -> (f, g)``.

    Attributes
    ----------
    rows : list of (float, float)
        What :func:`convergence` draws.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve import minimize
    >>> from qnsolve.plotting import Recorder
    >>> fun = Recorder(lambda x: (x @ x, 2 * x))
    >>> result = minimize(fun, np.array([1.0, -3.0]), jac=True)
    >>> fun.rows[0], len(fun.rows) == result.nfev
    ((10.0, 6.0), True)
    """

    def __init__(self, fun: Callable[[np.ndarray], tuple[float, np.ndarray]]) -> None:
        self._fun = fun
        self.rows: list[tuple[float, float]] = []

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        f, g = self._fun(x)
        self.rows.append((float(f), float(np.abs(g).max())))
        return f, g


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
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = new_figure(9.0, 4.0)
    value_axes, gradient_axes = figure.subplots(1, 2)
    lowest, largest, steepest = np.inf, 0.0, 0.0
    for i, (name, rows) in enumerate(runs.items()):
        # fmin passes over NaN, which a failed trial leaves.
        value, gradient = np.fmin.accumulate(np.asarray(rows, dtype=float), axis=0).T
        value = value - offset
        evaluations = np.arange(1, value.size + 1)
        lowest, largest = min(lowest, value.min()), max(largest, value.max())
        steepest = max(steepest, gradient.max())
        style = line_style(i, markevery=[-1], markersize=6, drawstyle="steps-post")
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
    dress(value_axes, value_label)
    dress(gradient_axes, gradient_label)
    return finish(figure, value_axes if len(runs) > 1 else None, title)


def contours(
    fun: Callable[[np.ndarray], float],
    paths: Mapping[str, Any],
    *,
    xlim: tuple[float, float],
    ylim: tuple[float, float],
    levels: int = 18,
    labels: tuple[str, str] = ("$x_1$", "$x_2$"),
    title: str | None = None,
) -> Any:
    """Draw iterates over the contour lines of a function of two variables.

    Parameters
    ----------
    fun : callable
        ``fun(x) -> f``, x of shape (2,).
    paths : mapping of str to array_like, shape (points, 2)
        For each run its iterates, in order.
    xlim, ylim : (float, float)
        What is shown.
    levels : int
        Number of contour lines; they are closer together where f is low.
    labels : (str, str)
        Of the axes.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
        With a transparent background; ``figure.savefig("file.png")`` writes it.

    Examples
    --------
    >>> from qnsolve.plotting import contours
    >>> bowl = lambda x: x @ x
    >>> figure = contours(bowl, {"a run": [(1, 1), (0, 0)]}, xlim=(-1, 1), ylim=(-1, 1))
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['a run']
    """
    figure = new_figure(6.4, 5.0)
    axes = figure.subplots()
    points = grid(xlim, ylim)
    values = np.array([[float(fun(point)) for point in row] for row in points])
    contour_lines(axes, points, values, levels)
    for i, (name, path) in enumerate(paths.items()):
        x, y = np.asarray(path, dtype=float).T
        axes.plot(x, y, label=name, **line_style(i, markersize=5, linewidth=1.6))
    dress(axes, labels[1], labels[0])
    axes.set_xlim(*xlim)
    axes.set_ylim(*ylim)
    return finish(figure, axes, title)


def training(
    curves: Mapping[str, Any],
    *,
    xlabel: str = "passes over the training data",
    loss_label: str = "training loss",
    error_label: str = "test error",
    title: str | None = None,
) -> Any:
    """Draw loss and error of trained models against what the training cost.

    Parameters
    ----------
    curves : mapping of str to array_like, shape (points, 3)
        For each run its points: cost so far, loss, and share of errors.
    xlabel, loss_label, error_label : str
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
        With a transparent background; ``figure.savefig("file.png")`` writes it.

    Examples
    --------
    >>> from qnsolve.plotting import training
    >>> figure = training({"a run": [(0, 2.3, 0.9), (2, 0.5, 0.1), (4, 0.2, 0.05)]})
    >>> [line.get_ydata().tolist() for line in figure.axes[1].lines]
    [[0.9, 0.1, 0.05]]
    """
    from matplotlib.ticker import PercentFormatter

    figure = new_figure(9.0, 4.0)
    loss_axes, error_axes = figure.subplots(1, 2)
    for i, (name, rows) in enumerate(curves.items()):
        cost, loss, error = np.asarray(rows, dtype=float).T
        style = line_style(i, markersize=4)
        loss_axes.plot(cost, loss, label=name, **style)
        error_axes.plot(cost, error, **style)
    loss_axes.set_yscale("log")
    dress(loss_axes, loss_label, xlabel)
    dress(error_axes, error_label, xlabel)
    # The first point of a run is its start, which would press all others together.
    later = [row[2] for rows in curves.values() for row in list(rows)[1:]]
    error_axes.set_ylim(0.0, 1.1 * max(later, default=1.0) or 1.0)
    error_axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    return finish(figure, loss_axes, title)


def new_figure(width: float, height: float) -> Any:
    """Return an empty transparent figure, of a size in inches."""
    from matplotlib.figure import Figure

    # Without pyplot there is no backend to choose and no figure to close.
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="none")
    figure.get_layout_engine().set(wspace=0.06)
    return figure


def line_style(i: int, **more: Any) -> dict[str, Any]:
    """Return what tells the line of number `i` from the others."""
    return {
        "color": COLOURS[i % len(COLOURS)],
        "marker": MARKERS[i % len(MARKERS)],
        "linestyle": LINES[i // len(COLOURS) % len(LINES)],
        "linewidth": 1.8,
        **more,
    }


def grid(xlim: tuple[float, float], ylim: tuple[float, float], n: int = 121) -> np.ndarray:
    """Return the points of a grid, shape (n, n, 2)."""
    return np.stack(np.meshgrid(np.linspace(*xlim, n), np.linspace(*ylim, n)), axis=-1)


def contour_lines(axes: Any, points: np.ndarray, values: np.ndarray, levels: int) -> None:
    """Draw contour lines that are closer together where the values are low."""
    low, high = values.min(), values.max()
    steps = low + (high - low) * (np.arange(1, levels + 1) / (levels + 1)) ** 2
    x, y = np.moveaxis(points, -1, 0)
    axes.contour(x, y, values, levels=steps, colors=TEXT, linewidths=0.7, alpha=0.6)


def finish(figure: Any, axes: Any, title: str | None) -> Any:
    """Return `figure` with a title, and below it a legend for the lines of `axes` if given."""
    if axes is not None:
        handles, names = axes.get_legend_handles_labels()
        figure.legend(
            handles,
            names,
            loc="outside lower center",
            ncols=max(1, min(4, len(names), LEGEND_WIDTH // max(map(len, names), default=1))),
            frameon=False,
            labelcolor=TEXT,
            handlelength=2.6,
        )
    if title:
        figure.suptitle(title, color=TEXT, fontsize="medium")
    return figure


def dress(axes: Any, label: str, xlabel: str = "evaluations of f and its gradient") -> None:
    """Label the axes, and give them colours and lines that any background bears."""
    axes.set_facecolor("none")
    axes.set_xlabel(xlabel, color=TEXT)
    axes.set_ylabel(label, color=TEXT)
    axes.set_xlim(left=0)
    axes.tick_params(which="both", colors=TEXT)
    axes.grid(True, color=TEXT, alpha=0.25, linewidth=0.6)
    for side, spine in axes.spines.items():
        spine.set_color(TEXT)
        spine.set_visible(side in ("left", "bottom"))
