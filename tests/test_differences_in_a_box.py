"""Gradients by differences of points that all lie in a box."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st

from qnsolve.bounds import Box
from qnsolve.differences import EPS
from qnsolve.objective import Objective

SCHEMES = {"2-point": 1, "3-point": 2}

BALANCE = 50.0
"""Error of a difference in units of eps**(p/(p+1)), where f, its derivatives and x are of the size
of one: a one-sided difference of second order has 4 times the error of a central one, and a step
that is half as long makes twice as much of the rounding."""


class Seen:
    """A sum of sines, and the points at which it was called."""

    def __init__(self):
        self.points = []

    def __call__(self, x):
        self.points.append(x.copy())
        return float(np.sin(x.astype(np.float64)).sum())

    def steps(self):
        """Return the steps along each variable from the first point."""
        x, *others = self.points
        moved = [(int(np.flatnonzero(z != x)[0]), z) for z in others]
        return {i: sorted(float(z[i]) - float(x[i]) for j, z in moved if j == i) for i, _ in moved}


def gradient(fun, x, lower, upper, jac, **steps):
    x = np.asarray(x)
    objective = Objective(fun, x, jac=jac)
    objective.keep_inside(Box.of(scipy.optimize.Bounds(lower, upper), objective.space))
    objective.take_steps(steps.get("eps"), steps.get("rel_step"), None)
    assert np.array_equal(objective.x0, x), "the tests start inside"
    return objective(objective.x0)[1]


@st.composite
def boxes(draw):
    """Return x, lower, upper, of which some are fixed, narrow, half infinite or none at all."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    x, lower, upper = [], [], []
    for _ in range(draw(st.integers(1, 4))):
        size = draw(st.sampled_from([0.0, 5e-324, 1e-300, 1e-12, 1e-3, 1.0, 1e5, 1e30]))
        at = dtype(size * draw(st.sampled_from([-1.0, 1.0]))) * dtype(draw(st.floats(0.5, 2.0)))
        ends = [at, at]
        for k, far in enumerate((dtype(-np.inf), dtype(np.inf))):
            kind = draw(st.sampled_from(["here", "ulp", "two ulps", "near", "wide", "none"]))
            near = np.nextafter(at, far)
            sign = dtype(np.sign(far))
            ends[k] = {
                "here": at,
                "ulp": near,
                "two ulps": np.nextafter(near, far),
                "near": at + sign * dtype(max(size, 1e-30) * 1e-9),
                "wide": at + sign * dtype(max(1.0, size)),
                "none": far,
            }[kind]
        x.append(at)
        lower.append(ends[0])
        upper.append(ends[1])
    return np.array(x, dtype), np.array(lower, dtype), np.array(upper, dtype)


@given(boxes(), st.sampled_from(list(SCHEMES)), st.sampled_from([None, 1e-3, 1e3]))
def test_no_point_is_outside_and_every_free_variable_moves(box, jac, eps):
    x, lower, upper = box
    fun = Seen()
    g = gradient(fun, x, lower, upper, jac, eps=eps)
    for point in fun.points:
        assert ((lower <= point) & (point <= upper)).all()
    free = np.flatnonzero(lower < upper)
    moved = {int(i) for point in fun.points for i in np.flatnonzero(point != x)}
    assert moved == set(free.tolist())
    assert np.isfinite(g).all()
    assert (g[lower == upper] == 0.0).all()
    # Twice where f asks for longer steps.
    assert len(fun.points) <= 1 + 2 * SCHEMES[jac] * len(free)


@pytest.mark.parametrize("jac", SCHEMES)
@pytest.mark.parametrize("side", ["lower", "upper", "both", "near"])
def test_as_exact_at_a_bound_as_elsewhere(jac, side):
    x = np.array([0.7, -1.1, 2.0])
    order, room = SCHEMES[jac], {"near": 1e-7}.get(side, 0.0)
    lower = x - room if side in ("lower", "near") else x - 1.0
    upper = x + room if side == "upper" else x + 1.0
    if side == "both":  # half the width is enough for a step
        lower, upper = x - 1e-4, x + 1e-4
    g = gradient(Seen(), x, lower, upper, jac)
    assert np.abs(g - np.cos(x)).max() <= BALANCE * EPS ** (order / (order + 1))


@pytest.mark.parametrize("jac", SCHEMES)
def test_a_wide_box_changes_no_bit(jac):
    x = np.array([0.7, -1.1, 0.0, 1e-9])
    alone = Objective(Seen(), x, jac=jac)
    _, g = alone(alone.x0)
    if jac == "2-point":
        assert np.array_equal(gradient(Seen(), x, -10.0, 10.0, jac), g)
    else:  # the parts of the two quotients are those of the rounded steps
        assert gradient(Seen(), x, -10.0, 10.0, jac) == pytest.approx(g, rel=1e-9)
    fun, free = Seen(), Seen()
    gradient(fun, x, -10.0, 10.0, jac)
    Objective(free, x, jac=jac)(x)
    assert np.array_equal(fun.points, free.points)


def test_forward_steps_turn_round_or_end_at_the_farther_bound():
    fun = Seen()
    x = np.array([1.0, 1.0, 1.0, 1.0])
    lower, upper = [0.0, 1.0, 1.0 - 1e-4, 1.0], [1.0, 2.0, 1.0 + 1e-5, 1.0]
    gradient(fun, x, lower, upper, "2-point", eps=1e-3)
    assert fun.steps() == {
        0: [pytest.approx(-1e-3)],
        1: [pytest.approx(1e-3)],
        2: [1.0 - 1e-4 - 1.0],
    }


def test_central_steps_are_shortened_or_go_aside():
    fun = Seen()
    x = np.ones(4)
    lower = [1.0 - 1e-4, 1.0, 0.0, 1.0 - 1e-4]
    upper = [2.0, 2.0, 1.0 + 2e-5, 1.0 + 9e-5]
    gradient(fun, x, lower, upper, "3-point", eps=1e-3)
    steps = fun.steps()
    assert steps[0] == pytest.approx([1e-3, 2e-3])
    assert steps[1] == pytest.approx([1e-3, 2e-3])
    assert steps[2] == pytest.approx([-2e-3, -1e-3])
    assert steps[3] == pytest.approx([-9e-5, 9e-5])


@pytest.mark.parametrize("rel_step", [1e-4, [1e-4, 1e-3]])
def test_steps_that_are_asked_for_are_made_where_they_fit(rel_step):
    fun = Seen()
    gradient(fun, np.array([2.0, -4.0]), [0.0, -4.0], [5.0, 0.0], "2-point", rel_step=rel_step)
    first, second = np.broadcast_to(rel_step, 2)
    assert fun.steps() == {0: [pytest.approx(2 * first)], 1: [pytest.approx(4 * second)]}


@pytest.mark.parametrize("jac", SCHEMES)
def test_all_fixed_is_one_evaluation_and_no_warning(jac):
    fun = Seen()
    g = gradient(fun, np.array([0.5, 1.0]), [0.5, 1.0], [0.5, 1.0], jac)
    assert len(fun.points) == 1
    assert g.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("jac", SCHEMES)
def test_the_error_to_be_expected_knows_of_short_steps(jac):
    x = np.array([0.5, 0.5])
    objective = Objective(Seen(), x, jac=jac)
    before = objective.gradient_error(1.0, 1.0)
    objective.keep_inside(Box.of([(0.5, 0.5 + 1e-9), (0.5, 0.5)], objective.space))
    assert objective.gradient_error(1.0, 1.0) >= EPS / 1e-9 > before
