"""Figures of runs: what is drawn is what was asked for, and can be read."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve import plotting
from qnsolve.problems import extended_rosenbrock


def test_recorder_counts_every_call_and_changes_nothing():
    fun = plotting.Recorder(lambda x: (x @ x, 2 * x))
    f, g = fun(np.array([1.0, -3.0]))
    assert (f, g.tolist()) == (10.0, [2.0, -6.0])
    fun(np.array([0.0, 1.0]))
    assert fun.rows == [(10.0, 6.0), (1.0, 2.0)]


@pytest.mark.parametrize(
    "rows",
    [
        [(0.0, 0.0)],
        [(np.nan, np.nan), (1.0, 1.0), (np.inf, 1.0)],
        [(-1.0, 1.0), (-2.0, 0.0)],
        [(1e5, 1.0), (1e-5, 1e-9)],
    ],
)
def test_figure_of_odd_runs(rows, tmp_path):
    pytest.importorskip("matplotlib")
    figure = plotting.convergence({"a run": rows, "the same": rows}, gtol=1e-5)
    figure.savefig(tmp_path / "odd.png")
    for axes in figure.axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel()


def test_figure_can_be_read_on_white_and_on_black():
    colors = pytest.importorskip("matplotlib.colors")

    def luminance(colour):
        """Relative luminance of WCAG 2."""
        rgb = np.array(colors.to_rgb(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    for colour in (plotting.TEXT, *plotting.COLOURS):
        assert 1.05 / (luminance(colour) + 0.05) >= 3.0
        assert (luminance(colour) + 0.05) / 0.05 >= 3.0


def test_contours_and_paths():
    pytest.importorskip("matplotlib")
    problem = extended_rosenbrock(2)
    path = [problem.x0, np.ones(2)]
    figure = plotting.contours(
        lambda x: problem.fun(x)[0], {"two points": path}, xlim=(-2, 2), ylim=(-1, 2), levels=5
    )
    (axes,) = figure.axes
    assert axes.lines[0].get_xydata().tolist() == np.array(path).tolist()
    assert len(axes.collections[0].get_paths()) == 5


def test_training_curves_leave_out_the_start():
    pytest.importorskip("matplotlib")
    figure = plotting.training({"a": [(0, 2.0, 0.9), (1, 1.0, 0.2), (2, 0.5, 0.1)]})
    assert figure.axes[1].get_ylim() == pytest.approx((0.0, 0.22))
