"""Figures of the gallery: what is drawn is what was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from examples.gallery import figures
from qnsolve import DiagonalNorm, QuadraticModel, solve_trs

B = np.array([[-1.0, 0.5], [0.5, 2.0]])
G = np.array([0.3, 1.0])


def region_outline(axes):
    """Return the points of the line around the shaded region."""
    outlines = [c for c in axes.collections if len(c.get_paths()) == 1 and c.get_linewidth() > 1.0]
    return np.concatenate([p.vertices for c in outlines for p in c.get_paths()])


@pytest.mark.parametrize("norm", ["l2", "shape-inf", "shape-2", "ellipse"])
def test_the_outline_of_a_region_is_its_boundary(norm):
    metric = DiagonalNorm(np.array([1.0, 9.0]))
    radius = 1.5
    if norm == "ellipse":
        result = solve_trs(G, B, radius, norm=metric)
    else:
        result = QuadraticModel(G, B).trust_region(radius, norm)
    (axes,) = figures.regions({norm: result}).axes
    points = region_outline(axes)
    eigenvectors = np.linalg.eigh(B)[1]
    lengths = {
        "l2": np.linalg.norm(points, axis=1),
        "shape-2": np.linalg.norm(points, axis=1),
        "shape-inf": np.abs(points @ eigenvectors).max(axis=1),
        "ellipse": np.sqrt(points**2 @ metric.d),
    }[norm]
    # A contour line on a grid: cells are 1/115 of the radius, and a kink is cut within one.
    assert np.abs(lengths / radius - 1.0).max() < 0.01
    assert len(points) > 20


def test_regions_are_for_two_variables():
    with pytest.raises(ValueError, match="two variables"):
        figures.regions({"a": solve_trs(np.ones(3), np.eye(3), 1.0)})


def test_the_root_of_the_secular_equation_is_marked():
    figure = figures.secular([-1.0, 2.0], {"easy": [0.5, 1.0], "hard": [0.0, 1.0]}, radius=1.0)
    above, below = figure.axes
    marked = [line.get_xydata()[0] for line in above.lines if line.get_marker() in ("o", "s")]
    sigma = solve_trs(np.array([0.5, 1.0]), np.diag([-1.0, 2.0]), 1.0).multipliers[0]
    assert np.allclose(marked, [[sigma, 1.0], [1.0, 1.0]])
    assert np.isclose(
        next(line.get_xydata()[0, 1] for line in below.lines if len(line.get_xdata()) == 1), 0
    )


def test_spectra_of_changing_size():
    figure = figures.spectra([[1.0], [-2.0, 3.0]], [[-1.0, 4.0], [-2.0, 5.0]])
    lines = figure.axes[0].lines
    assert [line.get_ydata().tolist() for line in lines[:2]] == [[-1.0, -2.0], [4.0, 5.0]]
    assert lines[2].get_xydata().tolist() == [[0.0, 1.0], [1.0, -2.0], [1.0, 3.0]]
