"""The figures that several pages of the gallery draw: regions, secular equation, spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qnsolve import plotting, solve_trs
from qnsolve.plotting import COLOURS, LINES, MARKERS, TEXT


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

    Raises
    ------
    ValueError
        If a result is of another dimension than two.
    """
    for name, result in results.items():
        if result.step.shape != (2,):
            raise ValueError(f"{name} must be a step in two variables, got {result.step.shape}")
    if half_width is None:
        half_width = 1.35 * max(float(np.abs(result.step).max()) for result in results.values())
    limits = (-half_width, half_width)
    columns = min(2, len(results))
    rows = -(-len(results) // columns)
    figure = plotting.new_figure(3.4 * columns, 3.6 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, result) in zip(panels, results.items(), strict=False):
        points = plotting.grid(limits, limits)
        plotting.contour_lines(axes, points, _model_of(result, points), 16)
        if hasattr(result.term, "radius"):
            _shade(axes, result)
        axes.plot(0.0, 0.0, marker="+", color=TEXT, markersize=9)
        axes.annotate(
            "",
            result.step,
            (0.0, 0.0),
            arrowprops={"arrowstyle": "->", "color": COLOURS[1], "linewidth": 2.2},
        )
        plotting.dress(axes, "$s_2$", "$s_1$")
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
    """
    lam = np.asarray(eigenvalues, dtype=float)
    lowest = max(0.0, -float(lam.min()))
    rows = {name: np.asarray(a, dtype=float) for name, a in gradients.items()}
    roots = {
        name: float(solve_trs(a, np.diag(lam), radius).multipliers[0]) for name, a in rows.items()
    }
    width = 2.0 * max(max(roots.values()) - lowest, 0.5 * float(np.abs(lam).max()))
    # Close to the pole the curve needs points as dense as it is steep.
    offset = width * np.geomspace(1e-6, 1.0, 600)
    sigma = np.concatenate([np.linspace(lowest - 0.4 * width, lowest, 300)[:-1], lowest + offset])
    figure = plotting.new_figure(6.4, 6.0)
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
    plotting.dress(above, r"$\|p(\sigma)\|$", "")
    plotting.dress(below, r"$1/\|p(\sigma)\| - 1/\Delta$", r"multiplier $\sigma$")
    below.set_xlim(sigma[0], sigma[-1])
    return plotting.finish(figure, above, title)


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
        Linear between -1 and 1, logarithmic beyond.
    """
    figure = plotting.new_figure(6.4, 4.6)
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
    plotting.dress(axes, "eigenvalue", xlabel)
    axes.axhline(0.0, color=TEXT, linewidth=1.0)
    return plotting.finish(figure, axes, title)


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
    points = plotting.grid((-reach, reach), (-reach, reach), 401)
    x, y = np.moveaxis(points, -1, 0)
    lengths = _lengths(result, points).max(axis=-1)
    axes.contourf(x, y, lengths, levels=[0.0, radius], colors=[COLOURS[0]], alpha=0.18)
    axes.contour(x, y, lengths, levels=[radius], colors=[COLOURS[0]], linewidths=1.6)
