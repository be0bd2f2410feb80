"""Kinks: how they are told from functions that are only far from a cubic, and what is done."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qnsolve.options import TrustRegionOptions
from qnsolve.solvers.kinks import CERTAIN, GROWTH, MISSED, WINDOW, KinkCheck
from qnsolve.solvers.outcome import Outcome
from qnsolve.solvers.radius import FREED, LEAST_AT_KINKS, interpolated_radius

steps = st.lists(st.tuples(st.floats(0.0, 2.0), st.floats(1e-3, 1.0)), min_size=5, max_size=60)


def add_step(check, f, slope, x, length):
    """Add the step from x to x + length of a function of one variable."""
    change, slopes = f(x + length) - f(x), length * np.array([slope(x), slope(x + length)])
    check.add(length, abs(change - slopes.mean()), max(abs(change), *np.abs(slopes)))


@given(steps)
def test_bounded_third_derivatives_are_no_kinks(steps):
    """What the rule misses is L^3 / 12 times a value of f''', here between 1 and e^3 < GROWTH."""
    check = KinkCheck()
    for x, length in steps:
        add_step(check, math.exp, math.exp, x, length)
    assert not check.near and math.exp(3.0) < GROWTH


@given(st.floats(0.0, 0.4), st.floats(0.1, 10.0))
def test_steps_of_all_lengths_across_a_kink(before, height):
    """A step on one side agrees; of those across, the longest misses as much as the shortest."""

    def f(x):
        return height * abs(x)

    def slope(x):
        return height * np.sign(x)

    check = KinkCheck()
    add_step(check, f, slope, 1.0, 1.0)
    for length in 10.0 ** -np.arange(1.0, CERTAIN + 1.0):
        assert not check.near
        add_step(check, f, slope, -before * length, length)
    assert check.near


def test_waves_shorter_than_the_steps_are_no_kinks():
    """Nothing agrees there until the steps are as short as a wave."""
    check = KinkCheck()
    for length in [100.0, 30.0, 10.0, 3.0]:
        check.add(length, missed=0.5, size=1.0)
    assert not check.near


def test_what_was_long_ago_is_forgotten():
    check = KinkCheck()
    check.add(1.0, 0.0, 1.0)
    for length in 10.0 ** -np.arange(1.0, CERTAIN + 1.0):
        check.add(length, 2.0 * MISSED, 1.0)
    for _ in range(WINDOW - 2):
        assert check.near
        check.add(1.0, 0.0, 1.0)
    check.add(1.0, 0.0, 1.0)
    assert not check.near


@given(steps, st.integers(0, 4))
def test_goes_on_from_its_state(steps, cut):
    def add(check, steps):
        for part, length in steps:
            check.add(length**9, part, 1.0)
        return check

    whole, second = add(KinkCheck(), steps), KinkCheck()
    second.restore(add(KinkCheck(), steps[:cut]).snapshot())
    assert add(second, steps[cut:]).snapshot() == whole.snapshot()


def test_lengths_at_the_ends_of_the_range():
    check = KinkCheck()
    for length in [0.0, 5e-324, 1e-200, 1e200, 1e308]:
        check.add(length, missed=0.5, size=1.0)
    assert not check.near


TAKEN = Outcome(1.0, 1.0, -1.0, 0.5, -0.5, 0.01, 0.02, accepted=True, kinks=True)


def test_radius_at_kinks():
    options = TrustRegionOptions()
    assert interpolated_radius(2.0, TAKEN, options) == FREED
    assert interpolated_radius(2.0 * FREED, TAKEN, options) == 2.0 * FREED
    # The parabola with f = 0 and slope -1 at 0, f = 1 at 1 has its minimum at 1/4.
    refused = Outcome(1.0, 1.0, -1.0, 0.5, 5.0, -1.0, -2.0, kinks=True)
    assert interpolated_radius(2.0, refused, options) == 0.25
    far = Outcome(1.0, 1.0, -1.0, 0.5, 5.0, -1e3, -2e3, kinks=True)
    assert interpolated_radius(2.0, far, options) == LEAST_AT_KINKS
    flat = Outcome(1.0, 1.0, -1.0, 2.0, -1.0, 1.0, -0.5, kinks=True)
    assert interpolated_radius(2.0, flat, options) == 0.5
