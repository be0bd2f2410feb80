"""The first-order conditions under bounds: each is seen where it alone is violated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import Bounds

from qnsolve.arrays import to_host
from qnsolve.verify import check_bounded_minimum

CENTRE = np.array([-1.0, 0.25, 3.0, 2.0])
BOX = Bounds([0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0])
MINIMUM = np.array([0.0, 0.25, 1.0, 1.0])
MULTIPLIERS = np.array([1.0, 0.0, -2.0, -1.0])


def bowl(x):
    d = x - CENTRE
    return 0.5 * d @ d, d


def test_at_the_minimum_all_is_zero():
    for multipliers in (None, MULTIPLIERS):
        check = check_bounded_minimum(bowl, MINIMUM, BOX, multipliers=multipliers)
        assert check.worst == check.infeasibility == 0.0
        assert (check.active, check.degenerate) == (3, 0)


@pytest.mark.parametrize(
    ("x", "multipliers", "found"),
    [
        # Not there yet: along the second variable, or off a bound that f wants to leave.
        ([0.0, 0.5, 1.0, 1.0], None, {"stationarity": 0.25, "lagrangian": 0.25}),
        ([1.0, 0.25, 1.0, 1.0], None, {"stationarity": 1.0, "lagrangian": 2.0}),
        # As close to a bound as this the projected step is short, whatever g is.
        ([0.125, 0.25, 1.0, 1.0], None, {"stationarity": 0.125, "lagrangian": 1.125}),
        # A multiplier of something else.
        (MINIMUM, [1.5, 0.0, -2.0, -1.0], {"lagrangian": 0.5}),
        # Signs and slack.
        (MINIMUM, [-1.0, 0.0, -2.0, 5.0], {"lagrangian": 6.0, "sign": 1.0, "complementarity": 1.0}),
        (MINIMUM, [1.0, 0.125, -2.0, -1.0], {"lagrangian": 0.125, "complementarity": 0.125}),
        (MINIMUM, [1.0, -3.0, -2.0, -1.0], {"lagrangian": 3.0, "complementarity": 0.75}),
    ],
)
def test_what_is_violated_is_seen(x, multipliers, found):
    check = check_bounded_minimum(bowl, np.array(x), BOX, multipliers=multipliers)
    conditions = ("stationarity", "lagrangian", "sign", "complementarity")
    for name in conditions:
        assert getattr(check, name) == found.get(name, 0.0), name
    assert check.worst == max(found.values())
    assert check.infeasibility == 0.0


def test_outside_is_the_worst_and_never_evaluated():
    seen = []

    def fun(x):
        seen.append(x.copy())
        return bowl(x)

    check = check_bounded_minimum(fun, [-0.5, 0.25, 1.0, 1.25], BOX)
    assert (check.infeasibility, check.worst) == (0.5, np.inf)
    assert np.array_equal(seen, [MINIMUM])
    assert check.stationarity == 0.0


def test_degenerate_is_on_a_bound_without_a_multiplier():
    check = check_bounded_minimum(bowl, MINIMUM, Bounds(-np.inf, [0.0, 0.25, 1.0, 1.0]))
    assert (check.active, check.degenerate) == (4, 2)  # f wants to leave the first one
    assert (check.stationarity, check.lagrangian) == (1.0, 1.0)


def test_a_small_gradient_far_from_the_origin_is_no_zero():
    def fun(x):
        return 1e-9 * (x[0] - x[1]), np.array([1e-9, -1e-9])

    assert check_bounded_minimum(fun, np.array([1e9, 1e9]), Bounds(0.0, 2e9)).worst == 1e-9


def test_without_bounds_it_is_the_gradient():
    for bounds in (None, Bounds()):
        check = check_bounded_minimum(bowl, np.zeros(4), bounds)
        assert (check.stationarity, check.lagrangian, check.active) == (3.0, 3.0, 0)


@pytest.mark.parametrize("jac", ["2-point", "3-point", lambda x: bowl(x)[1]])
def test_the_gradient_by_any_means(jac):
    points = []

    def fun(x):
        points.append(x.copy())
        return bowl(x)[0]

    check = check_bounded_minimum(fun, MINIMUM, BOX, jac=jac)
    # Of a variable that the box fixes there is no difference, so its multiplier is not seen.
    assert check.worst < 1e-6
    assert all(((BOX.lb <= x) & (x <= BOX.ub)).all() for x in points)


def test_arrays_of_any_library_and_shape(xp):
    def fun(x):
        d = x - xp.asarray(CENTRE.reshape(2, 2).tolist())
        return 0.5 * xp.namespace.sum(d * d), d

    x = xp.asarray(MINIMUM.reshape(2, 2).tolist())
    check = check_bounded_minimum(fun, x, BOX)
    assert check.worst == 0.0
    wrong = xp.asarray((-MULTIPLIERS).reshape(2, 2).tolist())
    check = check_bounded_minimum(fun, x, BOX, multipliers=wrong)
    assert (check.lagrangian, check.sign) == (4.0, 2.0)
    assert to_host(xp.namespace.reshape(x, (-1,))).tolist() == MINIMUM.tolist()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"multipliers": np.ones(3)}, ValueError, "multipliers has shape"),
        ({"multipliers": "abcd"}, TypeError, "multipliers"),
        ({"bounds": [(0, 1)] * 3}, ValueError, "3 bounds"),
        ({"x": [0.0, np.nan, 0.0, 0.0]}, ValueError, "x"),
        ({"fun": lambda x: (0.0, x * np.nan)}, ValueError, "gradient is not finite"),
    ],
)
def test_wrong_arguments(changes, error, words):
    given = {"fun": bowl, "x": MINIMUM, "bounds": BOX, **changes}
    with pytest.raises(error, match=words):
        check_bounded_minimum(**given)


@given(
    st.lists(
        st.tuples(st.floats(0.1, 10.0), st.floats(-5.0, 5.0), st.floats(-5.0, 5.0)), min_size=1
    )
)
def test_the_minimum_of_a_separable_bowl(rows):
    """Its minimiser is the projection of the centre."""
    d, centre, low = np.array(rows).T

    def fun(x):
        return 0.5 * d @ (x - centre) ** 2, d * (x - centre)

    box = Bounds(low, low + 1.0)
    x = np.clip(centre, box.lb, box.ub)
    assert check_bounded_minimum(fun, x, box).worst == 0.0
