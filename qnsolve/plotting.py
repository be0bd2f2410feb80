"""Figures.  matplotlib is imported when one is drawn, and no window or global state is touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
        _legend_below(figure, value_axes)
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
    _legend_below(figure, figure.axes[0])
    if title:
        figure.suptitle(title, color=TEXT, fontsize="medium")
    return figure


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
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.0), layout="constrained", facecolor="none")
    axes = figure.subplots()
    points = _grid(xlim, ylim)
    values = np.array([[float(fun(point)) for point in row] for row in points])
    _contour_lines(axes, points, values, levels)
    for i, (name, path) in enumerate(paths.items()):
        x, y = np.asarray(path, dtype=float).T
        axes.plot(
            x,
            y,
            label=name,
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            markersize=5,
            linewidth=1.6,
        )
    _dress(axes, labels[1], labels[0])
    axes.set_xlim(*xlim)
    axes.set_ylim(*ylim)
    _legend_below(figure, axes)
    if title:
        figure.suptitle(title, color=TEXT, fontsize="medium")
    return figure


def regions(results: Mapping[str, Any], *, half_width: float | None = None) -> Any:
    """Draw model, region and step of subproblems in two variables, a panel each.

    A region is shaded; of a regularised model the contour lines are those with the regulariser.

    Parameters
    ----------
    results : mapping of str to SubproblemResult
        As :func:`qnsolve.solve_trs` and :func:`qnsolve.solve_cubic` return them, n = 2.
    half_width : float, optional
        The panels show steps of up to this size in each variable; by default a little more than the
        longest step.

    Returns
    -------
    matplotlib.figure.Figure
        With a transparent background; ``figure.savefig("file.png")`` writes it.

    Raises
    ------
    ValueError
        If a result is of another dimension than two.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve import solve_trs
    >>> from qnsolve.plotting import regions
    >>> figure = regions({"a ball": solve_trs(np.ones(2), np.diag([-1.0, 2.0]), 1.0)})
    >>> figure.axes[0].get_title()
    'a ball'
    """
    from matplotlib.figure import Figure

    from qnsolve.subproblem.regions import TrustRegion

    for name, result in results.items():
        if result.step.shape != (2,):
            raise ValueError(f"{name} must be a step in two variables, got {result.step.shape}")
    if half_width is None:
        half_width = 1.35 * max(float(np.abs(result.step).max()) for result in results.values())
    limits = (-half_width, half_width)
    columns = min(2, len(results))
    rows = -(-len(results) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.6 * rows), layout="constrained", facecolor="none")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, result) in zip(panels, results.items(), strict=False):
        points = _grid(limits, limits)
        _contour_lines(axes, points, _model_of(result, points), 16)
        if isinstance(result.term, TrustRegion):
            _shade(axes, result)
        axes.plot(0.0, 0.0, marker="+", color=TEXT, markersize=9)
        axes.annotate(
            "",
            result.step,
            (0.0, 0.0),
            arrowprops={"arrowstyle": "->", "color": COLOURS[1], "linewidth": 2.2},
        )
        _dress(axes, "$s_2$", "$s_1$")
        axes.set_xlim(*limits)
        axes.set_ylim(*limits)
        axes.set_aspect("equal")
        axes.set_title(name, color=TEXT, fontsize="medium")
    for axes in panels[len(results) :]:
        axes.set_visible(False)
    return figure


def secular(
    eigenvalues: Any, gradients: Mapping[str, Any], radius: float, *, title: str | None = None
) -> Any:
    r"""Draw the secular equation of the trust region, in both of its forms.

    Above: the length :math:`\|p(\sigma)\|` of the step against the multiplier, the radius, and the
    root, where they cross.  Below: :math:`1/\|p(\sigma)\| - 1/\Delta`, to which Newton's method is
    applied, because it is nearly a line.

    Parameters
    ----------
    eigenvalues : array_like, shape (r,)
        Of B.
    gradients : mapping of str to array_like, shape (r,)
        Components of the gradient on the eigenvectors: a line for each.
    radius : float, > 0
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
        With a transparent background; ``figure.savefig("file.png")`` writes it.

    Examples
    --------
    >>> from qnsolve.plotting import secular
    >>> figure = secular([-1.0, 2.0], {"easy": [0.5, 1.0]}, radius=1.0)
    >>> len(figure.axes)
    2
    """
    from matplotlib.figure import Figure

    from qnsolve.subproblem.trust_region_l2 import trust_region_l2
    from qnsolve.subproblem.types import ReducedProblem

    lam = np.asarray(eigenvalues, dtype=float)
    lowest = max(0.0, -float(lam.min()))
    rows = {name: np.asarray(a, dtype=float) for name, a in gradients.items()}
    roots = {
        name: trust_region_l2(ReducedProblem.of(lam, a), radius).multiplier
        for name, a in rows.items()
    }
    width = 2.0 * max(max(roots.values()) - lowest, 0.5 * float(np.abs(lam).max()))
    # Close to the pole the curve needs points as dense as it is steep.
    offset = width * np.geomspace(1e-6, 1.0, 600)
    sigma = np.concatenate([np.linspace(lowest - 0.4 * width, lowest, 300)[:-1], lowest + offset])
    figure = Figure(figsize=(6.4, 6.0), layout="constrained", facecolor="none")
    above, below = figure.subplots(2, 1, sharex=True)
    for i, (name, a) in enumerate(rows.items()):
        with np.errstate(divide="ignore", invalid="ignore"):
            length = np.linalg.norm(a / (lam + sigma[:, None]), axis=1)
            style = {"color": COLOURS[i % len(COLOURS)], "linewidth": 1.8}
            above.plot(sigma, length, label=name, linestyle=LINES[i % len(LINES)], **style)
            right = sigma > lowest
            below.plot(
                sigma[right],
                1.0 / length[right] - 1.0 / radius,
                linestyle=LINES[i % len(LINES)],
                **style,
            )
        marker = {"marker": MARKERS[i % len(MARKERS)], "markersize": 7, "linestyle": "none"}
        above.plot(roots[name], radius, color=style["color"], **marker)
        at_root = np.linalg.norm(a[a != 0.0] / (lam[a != 0.0] + roots[name]))
        below.plot(roots[name], 1.0 / at_root - 1.0 / radius, color=style["color"], **marker)
    above.axhline(radius, color=TEXT, linewidth=1.0, linestyle=":")
    below.axhline(0.0, color=TEXT, linewidth=1.0, linestyle=":")
    for axes in (above, below):
        axes.axvline(lowest, color=TEXT, linewidth=1.0)
    above.set_ylim(0.0, 4.0 * radius)
    below.set_ylim(-1.1 / radius, 1.6 / radius)
    above.annotate(
        r"$\Delta$", (sigma[0], radius), xytext=(4, 4), textcoords="offset points", color=TEXT
    )
    above.annotate(
        r"$-\lambda_{\min}$",
        (lowest, 3.7 * radius),
        xytext=(4, 0),
        textcoords="offset points",
        color=TEXT,
    )
    _dress(above, r"$\|p(\sigma)\|$", "")
    _dress(below, r"$1/\|p(\sigma)\| - 1/\Delta$", r"multiplier $\sigma$")
    below.set_xlim(sigma[0], sigma[-1])
    _legend_below(figure, above)
    if title:
        figure.suptitle(title, color=TEXT, fontsize="medium")
    return figure


def spectra(
    estimates: Sequence[Any],
    exact: Sequence[Any] | None = None,
    *,
    xlabel: str = "iteration",
    title: str | None = None,
) -> Any:
    """Draw the eigenvalues of a matrix along a run, beside those of the true Hessian.

    Parameters
    ----------
    estimates : sequence of array_like
        For each iteration the eigenvalues of the matrix, such as
        ``B.spectrum().all_eigenvalues``; their number may change.
    exact : sequence of array_like, shape (n,), optional
        For each iteration the eigenvalues of the Hessian, in increasing order.
    xlabel : str
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
        With a transparent background; ``figure.savefig("file.png")`` writes it.  Linear between -1
        and 1, logarithmic beyond.

    Examples
    --------
    >>> from qnsolve.plotting import spectra
    >>> figure = spectra([[1.0], [-1.0, 2.0]], [[-1.0, 2.0], [-1.0, 2.0]])
    >>> figure.axes[0].get_yscale()
    'symlog'
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.6), layout="constrained", facecolor="none")
    axes = figure.subplots()
    if exact is not None:
        for j, line in enumerate(np.asarray(exact, dtype=float).T):
            label = "eigenvalues of the Hessian" if j == 0 else None
            axes.plot(line, color=TEXT, linewidth=1.0, alpha=0.8, label=label)
    numbers = np.concatenate([np.full(len(row), i) for i, row in enumerate(estimates)])
    axes.plot(
        numbers,
        np.concatenate([np.asarray(row, dtype=float) for row in estimates]),
        linestyle="none",
        marker=MARKERS[0],
        markersize=4.5,
        color=COLOURS[0],
        label="of the matrix",
    )
    axes.set_yscale("symlog", linthresh=1.0)
    _dress(axes, "eigenvalue", xlabel)
    axes.axhline(0.0, color=TEXT, linewidth=1.0)
    _legend_below(figure, axes)
    if title:
        figure.suptitle(title, color=TEXT, fontsize="medium")
    return figure


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
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(9.0, 4.0), layout="constrained", facecolor="none")
    figure.get_layout_engine().set(wspace=0.06)
    loss_axes, error_axes = figure.subplots(1, 2)
    for i, (name, rows) in enumerate(curves.items()):
        cost, loss, error = np.asarray(rows, dtype=float).T
        style = {
            "color": COLOURS[i % len(COLOURS)],
            "marker": MARKERS[i % len(MARKERS)],
            "markersize": 4,
            "linestyle": LINES[i // len(COLOURS) % len(LINES)],
            "linewidth": 1.8,
        }
        loss_axes.plot(cost, loss, label=name, **style)
        error_axes.plot(cost, error, **style)
    loss_axes.set_yscale("log")
    _dress(loss_axes, loss_label, xlabel)
    _dress(error_axes, error_label, xlabel)
    # The first point of a run is its start, which would press all others together.
    later = [row[2] for rows in curves.values() for row in list(rows)[1:]]
    error_axes.set_ylim(0.0, 1.1 * max(later, default=1.0) or 1.0)
    error_axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    _legend_below(figure, loss_axes)
    if title:
        figure.suptitle(title, color=TEXT, fontsize="medium")
    return figure


def _grid(xlim: tuple[float, float], ylim: tuple[float, float], n: int = 121) -> np.ndarray:
    """Return the points of a grid, shape (n, n, 2)."""
    return np.stack(np.meshgrid(np.linspace(*xlim, n), np.linspace(*ylim, n)), axis=-1)


def _contour_lines(axes: Any, points: np.ndarray, values: np.ndarray, levels: int) -> None:
    """Draw contour lines that are closer together where the values are low."""
    low, high = values.min(), values.max()
    steps = low + (high - low) * (np.arange(1, levels + 1) / (levels + 1)) ** 2
    x, y = np.moveaxis(points, -1, 0)
    axes.contour(x, y, values, levels=steps, colors=TEXT, linewidths=0.7, alpha=0.6)


def _model_of(result: Any, steps: np.ndarray) -> np.ndarray:
    """Return the model that `result` minimises, its regulariser included, at each of `steps`."""
    model, term = result.model, result.term
    B = np.stack([model.matvec(unit) for unit in np.eye(2)])
    values = steps @ model.gradient + 0.5 * np.einsum("...i,ij,...j->...", steps, B, steps)
    if hasattr(term, "weight"):
        values += term.weight / term.power * (_lengths(result, steps) ** term.power).sum(axis=-1)
    return values


def _lengths(result: Any, steps: np.ndarray) -> np.ndarray:
    """Return the length of each block of each of `steps`, in the norm of `result`."""
    spectrum, metric = result.model.spectrum, result.model.metric
    p = steps if metric is None else steps * np.sqrt(metric.d)
    par = p @ np.stack([spectrum.project(unit)[0] for unit in np.eye(2)])
    perp = np.sqrt(np.maximum(0.0, (p**2).sum(axis=-1) - (par**2).sum(axis=-1)))
    v = np.concatenate([par, perp[..., None]], axis=-1)
    blocks = result.term.blocks(par.shape[-1])
    squares = [(v[..., blocks == block] ** 2).sum(axis=-1) for block in np.unique(blocks)]
    return np.sqrt(np.stack(squares, axis=-1))


def _shade(axes: Any, result: Any) -> None:
    """Shade the steps in the region of `result`."""
    radius = result.term.radius
    # At most three blocks, each no longer than the radius.
    metric = result.model.metric
    reach = np.sqrt(3.0) * radius / (1.0 if metric is None else float(np.sqrt(metric.d.min())))
    points = _grid((-reach, reach), (-reach, reach), 401)
    x, y = np.moveaxis(points, -1, 0)
    lengths = _lengths(result, points).max(axis=-1)
    axes.contourf(x, y, lengths, levels=[0.0, radius], colors=[COLOURS[0]], alpha=0.18)
    axes.contour(x, y, lengths, levels=[radius], colors=[COLOURS[0]], linewidths=1.6)


LEGEND_WIDTH = 80
"""Characters of names that fit on a line below a figure."""


def _legend_below(figure: Any, axes: Any) -> None:
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
