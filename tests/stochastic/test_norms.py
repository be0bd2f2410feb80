"""The norms make the steps of the first-order methods that they are named after."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve.arrays import new_space, space_of
from qnsolve.solvers.moving_norms import SecondMoments
from tests.tolerances import EPS

DECAY, EPSILON, RATE = 0.9, 1e-8, 0.05
STEP_RTOL = 64 * EPS
"""Roots of squares, 20 of them accumulated, against squares: a few roundings each."""


def second_moment(kind, gradients):
    """v-hat by its definition, in squares."""
    v = np.zeros_like(gradients[0])
    for g in gradients:
        v = v + g**2 if kind == "adagrad" else DECAY * v + (1.0 - DECAY) * g**2
    return v / (1.0 - DECAY ** len(gradients)) if kind == "adam" else v


@pytest.mark.parametrize("kind", ["adagrad", "rmsprop", "adam"])
def test_linear_model_in_the_ellipsoid_gives_the_first_order_step(kind):
    gradients = np.random.default_rng(0).standard_normal((20, 7))
    moments = SecondMoments(kind, decay=DECAY, epsilon=EPSILON, space=space_of(gradients[0]))
    for g in gradients:
        moments.update(g)
    A, g = moments.norm(), gradients[-1]
    radius = RATE * A.dual_norm(g)
    step = -radius / A.dual_norm(g) * A.solve(g)
    expected = -RATE * g / (np.sqrt(second_moment(kind, gradients)) + EPSILON)
    np.testing.assert_allclose(step, expected, rtol=STEP_RTOL)
    assert A.norm(step) == pytest.approx(radius, rel=STEP_RTOL)


def test_squares_that_overflow_do_no_harm():
    moments = SecondMoments("adam", decay=DECAY, epsilon=EPSILON, space=new_space(2))
    moments.update(np.array([1e200, 0.0]))
    assert moments.norm().d == pytest.approx([1e200, EPSILON], rel=STEP_RTOL)


def test_state_goes_round():
    a, b = (
        SecondMoments("adam", decay=DECAY, epsilon=EPSILON, space=new_space(2)) for _ in range(2)
    )
    a.update(np.array([1.0, 2.0]))
    b.restore(a.snapshot())
    assert (a.norm().d == b.norm().d).all()
