"""Runs under bounds by every method that takes them, as users of SciPy's solvers rely on."""

from __future__ import annotations

import copy
import itertools
import warnings

import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import Bounds, rosen, rosen_der

import qnsolve
from qnsolve.arrays import to_host
from qnsolve.bounds import Box
from qnsolve.methods import METHODS, TABLE
from qnsolve.result import Status
from qnsolve.verify import check_bounded_minimum

BOUNDED = [name for name, row in TABLE.items() if row.takes_bounds]
WITH_DIFFERENCES = [(name, True) for name in BOUNDED]
WITH_DIFFERENCES += [(BOUNDED[0], "2-point"), (BOUNDED[0], "3-point")]
"""Methods and how they get their gradients, which is the business of none of them."""

GTOL = 1e-5
PRODUCT = [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)]


class Inside:
    """A function with its gradient, defined in a box only; it keeps the points."""

    def __init__(self, both, bounds):
        self.both, self.points = both, []
        self.bounds = bounds if isinstance(bounds, Bounds) else Bounds(*zip(*bounds, strict=True))

    def __call__(self, x):
        self.points.append(x.copy())
        assert ((self.bounds.lb <= x) & (x <= self.bounds.ub)).all(), "evaluated outside"
        return self.both(x)

    def value(self, x):
        return self(x)[0]


def valley(x):
    return rosen(x), rosen_der(x)


def cubic(x):
    return (x[0] + 1.0) ** 3 / 3.0 + x[1], np.array([(x[0] + 1.0) ** 2, 1.0])


def flat(x):
    d = x[1] - x[0]
    return x[1] + 1e-5 * d * d, np.array([-2e-5 * d, 1.0 + 2e-5 * d])


def product(x):
    others = np.array([np.prod(np.delete(x, i)) for i in range(5)])
    return 2.0 - np.prod(x) / 120.0, -others / 120.0


def wood(x):
    a, b, c, d = x
    u, v, p, q = b - a * a, d - c * c, b - 1.0, d - 1.0
    f = 100 * u * u + (1 - a) ** 2 + 90 * v * v + (1 - c) ** 2 + 10.1 * (p * p + q * q)
    g = [-400 * a * u - 2 * (1 - a), 200 * u + 20.2 * p + 19.8 * q]
    g += [-360 * c * v - 2 * (1 - c), 180 * v + 20.2 * q + 19.8 * p]
    return f + 19.8 * p * q, np.array(g)


def sine(x):
    a, b = x
    c = np.cos(a + b)
    f = np.sin(a + b) + (a - b) ** 2 - 1.5 * a + 2.5 * b + 1.0
    return f, np.array([c + 2 * (a - b) - 1.5, c - 2 * (a - b) + 2.5])


HOCK_SCHITTKOWSKI = {
    1: (valley, [-2.0, 1.0], [(-np.inf, np.inf), (-1.5, np.inf)], [1.0, 1.0]),
    2: (valley, [-2.0, 1.0], [(-np.inf, np.inf), (1.5, np.inf)], None),  # two minima
    3: (flat, [10.0, 1.0], [(-np.inf, np.inf), (0.0, np.inf)], [0.0, 0.0]),
    4: (cubic, [1.125, 0.125], [(1.0, np.inf), (0.0, np.inf)], [1.0, 0.0]),
    5: (sine, [0.0, 0.0], [(-1.5, 4.0), (-3.0, 3.0)], None),
    38: (wood, [-3.0, -1.0, -3.0, -1.0], [(-10.0, 10.0)] * 4, None),
    45: (product, [0.9, 1.9, 2.9, 3.9, 4.9], PRODUCT, [1.0, 2.0, 3.0, 4.0, 5.0]),
}


@pytest.mark.parametrize("number", HOCK_SCHITTKOWSKI)
@pytest.mark.parametrize(("method", "jac"), WITH_DIFFERENCES)
def test_problems_of_hock_and_schittkowski(method, number, jac):
    both, x0, bounds, minimum = HOCK_SCHITTKOWSKI[number]
    x0 = np.clip(x0, *np.transpose(bounds))
    fun = Inside(both, bounds)
    result = qnsolve.minimize(
        fun if jac is True else fun.value, x0, jac=jac, method=method, bounds=bounds
    )
    assert result.success, result.message
    check = check_bounded_minimum(both, result.x, bounds)
    # Forward differences have eight digits of the values at best.
    assert check.stationarity <= (GTOL if jac is True else 1e-3)
    assert result.fun == both(result.x)[0] <= both(x0)[0]
    assert result.nfev == len(fun.points)
    if minimum is not None and jac is True and number != 3:
        assert np.abs(result.x - minimum).max() <= 1e-3
    if number in (4, 45):
        assert np.array_equal(result.x, minimum), "a vertex is met exactly"


@pytest.mark.parametrize("method", BOUNDED)
def test_the_same_through_scipy_and_in_every_form(method):
    x0, low, high = np.array([0.3, 0.2, 0.5]), [0.0, -np.inf, 0.4], [0.8, 0.5, np.inf]
    pairs = [(0.0, 0.8), (None, 0.5), (0.4, None)]
    first = qnsolve.minimize(valley, x0, jac=True, method=method, bounds=Bounds(low, high))
    for bounds in (pairs, np.array([low, high]).T, tuple(map(tuple, pairs)), Bounds(low, high)):
        again = qnsolve.minimize(valley, x0, jac=True, method=method, bounds=bounds)
        theirs = scipy.optimize.minimize(
            valley, x0, jac=True, method=METHODS[method], bounds=bounds
        )
        for result in (again, theirs):
            assert np.array_equal(result.x, first.x)
            assert (result.nfev, result.status) == (first.nfev, first.status)


@pytest.mark.parametrize(("method", "jac"), WITH_DIFFERENCES)
def test_fixed_variables_are_those_of_a_smaller_problem(method, jac):
    """Every set of fixed ones but all; the chain couples each with its neighbours."""
    x0, at = np.array([-0.5, 0.4, 0.6, -0.2]), np.array([0.9, -0.3, 0.5, 0.2])
    for fixed in map(np.array, itertools.product([False, True], repeat=4)):
        if fixed.all() or not fixed.any():
            continue
        bounds = Bounds(np.where(fixed, at, -1.5), np.where(fixed, at, 1.5))
        start = np.where(fixed, at, x0)
        fun = Inside(valley, bounds)
        result = qnsolve.minimize(
            fun if jac is True else fun.value, start, jac=jac, method=method, bounds=bounds
        )
        assert np.array_equal(result.x[fixed], at[fixed])
        check = check_bounded_minimum(valley, result.x, bounds)
        assert check.stationarity <= (GTOL if jac is True else 1e-3)
        if jac is not True:
            # A gradient is one or two evaluations for each variable that is free; at the start
            # again, where steps are lengthened.
            each = {"2-point": 1, "3-point": 2}[jac] * int((~fixed).sum())
            assert result.nfev <= result.njev * each + result.nit + 1 + each
            assert (result.jac[fixed] == 0.0).all()


@pytest.mark.parametrize(("method", "jac"), WITH_DIFFERENCES)
def test_all_fixed(method, jac):
    calls = []

    def fun(x):
        calls.append(x.copy())
        return valley(x) if jac is True else rosen(x)

    at = np.array([0.3, 0.7, -0.1])
    with pytest.warns(RuntimeWarning, match="outside of the bounds in 2 of 3"):
        result = qnsolve.minimize(
            fun, [0.3, 1.0, 1.0], jac=jac, method=method, bounds=Bounds(at, at)
        )
    assert result.success
    assert (result.nit, result.nfev, len(calls)) == (0, 1, 1)
    assert np.array_equal(calls[0], at)
    assert np.array_equal(result.x, at)
    assert result.fun == rosen(at)


@pytest.mark.parametrize("method", BOUNDED)
def test_a_start_at_the_minimum_is_seen(method):
    result = qnsolve.minimize(
        cubic, [1.0, 0.0], jac=True, method=method, bounds=[(1, None), (0, 9)]
    )
    assert (result.nit, result.nfev, result.status) == (0, 1, Status.GTOL)
    assert (
        check_bounded_minimum(
            cubic, result.x, [(1, None), (0, 9)], multipliers=result.multipliers
        ).worst
        == 0.0
    )


@pytest.mark.parametrize("method", BOUNDED)
def test_a_start_outside_is_projected_and_never_evaluated(method):
    bounds = Bounds([0.0, 0.0, 0.0], [0.5, 0.5, 0.5])
    fun = Inside(valley, bounds)
    with pytest.warns(RuntimeWarning, match="projection") as caught:
        result = qnsolve.minimize(fun, [3.0, -2.0, 0.2], jac=True, method=method, bounds=bounds)
    assert len(caught) == 1
    assert fun.points[0].tolist() == [0.5, 0.0, 0.2]
    assert result.success


@pytest.mark.parametrize("method", BOUNDED)
def test_what_is_passed_is_left_as_it_is(method):
    x0, bounds = np.array([0.9, 0.9]), Bounds(np.zeros(2), np.array([0.5, 2.0]))
    pairs = [(0.0, 0.5), (0.0, None)]
    kept = copy.deepcopy((x0, bounds.lb, bounds.ub, pairs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = qnsolve.minimize(valley, x0, jac=True, method=method, bounds=bounds)
        qnsolve.minimize(valley, x0, jac=True, method=method, bounds=pairs)
    for before, after in zip(kept, (x0, bounds.lb, bounds.ub, pairs), strict=True):
        assert np.array_equal(before, after)
    # Nor is the result a part of the bounds.
    result.x[:] = 7.0
    assert bounds.ub.tolist() == [0.5, 2.0]


@pytest.mark.parametrize(("method", "jac"), WITH_DIFFERENCES[len(BOUNDED) :])
def test_a_function_that_ends_at_the_bounds(method, jac):
    """x log x - x and the root of 1 - x raise where x is negative or above one."""

    def fun(x):
        if (x < 0.0).any() or (x > 1.0).any():
            raise ValueError("outside of the domain")
        logs = np.where(x > 0.0, x * np.log(np.where(x > 0.0, x, 1.0)), 0.0)
        return float(np.sum(logs - 0.2 * np.sqrt(1.0 - x) * np.arange(1, x.size + 1)))

    x0 = np.array([0.0, 1.0, 0.5, 1e-9])
    result = qnsolve.minimize(fun, x0, jac=jac, method=method, bounds=Bounds(0, 1))
    assert result.fun < fun(x0)
    assert ((result.x >= 0.0) & (result.x <= 1.0)).all()


@pytest.mark.parametrize("method", BOUNDED)
def test_a_callback_sees_points_inside_and_may_stop(method):
    bounds, seen = Bounds(-1.5, 0.5), []

    def callback(intermediate_result):
        seen.append(intermediate_result.x)
        if len(seen) == 3:
            raise StopIteration

    result = qnsolve.minimize(
        valley, np.full(4, -1.2), jac=True, method=method, bounds=bounds, callback=callback
    )
    assert result.status == Status.CALLBACK_STOP
    assert all(((x >= -1.5) & (x <= 0.5)).all() for x in seen)


@pytest.mark.parametrize("method", BOUNDED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(6,), (2, 3), (6, 1)])
def test_shape_and_dtype_are_those_of_x0(method, dtype, shape):
    low = np.linspace(0.1, 0.6, 6)

    def fun(x):
        assert (x.shape, x.dtype) == (shape, dtype)
        assert (x.astype(np.float64).ravel() >= low).all()
        return 0.5 * float(np.sum(x * x)), x

    x0 = np.ones(shape, dtype)
    result = qnsolve.minimize(fun, x0, jac=True, method=method, bounds=Bounds(low, np.inf))
    assert result.success
    for vector in (result.x, result.jac, result.multipliers):
        assert (vector.shape, vector.dtype) == (shape, dtype)
    assert result.active.shape == shape
    assert (result.active == -1).all()
    assert np.array_equal(result.multipliers, result.x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", BOUNDED)
def test_arrays_stay_in_their_library_and_in_the_box(xp, method, dtype):
    """The bounds of some variables decide, others have none, one is fixed; x is a matrix."""
    weights = xp.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype)
    centre = xp.asarray([[-1.0, 0.5, 2.0], [0.25, 9.0, 0.0]], dtype)
    lower = xp.asarray([[0.0, 0.0, -np.inf], [-np.inf, -1.0, 0.5]], dtype)
    upper = xp.asarray([[1.0, 1.0, 1.5], [np.inf, 1.0, 0.5]], dtype)

    def fun(x):
        assert x.shape == (2, 3) and x.dtype == centre.dtype
        assert bool(xp.namespace.all((lower <= x) & (x <= upper)))
        d = x - centre
        return 0.5 * xp.namespace.sum(weights * d * d), weights * d

    x0 = xp.asarray([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]], dtype)
    options = {"gtol": 1e-4}
    result = qnsolve.minimize(
        fun, x0, jac=True, method=method, bounds=Box(lower, upper), options=options
    )
    assert result.success
    found = to_host(xp.namespace.reshape(result.x, (-1,)))
    assert found == pytest.approx([0.0, 0.5, 1.5, 0.25, 1.0, 0.5], abs=1e-3)
    active = to_host(xp.namespace.reshape(result.active, (-1,)))
    assert active.tolist()[:5] == [-1, 0, 1, 0, 1]
    assert result.x.dtype == result.multipliers.dtype == x0.dtype


# What calls a local method under bounds ----------------------------------------------------------

SQUARE = [(-2.0, 2.0), (-2.0, 0.5)]


def rastrigin(x):
    """Return Rastrigin's function without its constant; outside of the square it is not defined."""
    assert all(low <= z <= high for z, (low, high) in zip(x, SQUARE, strict=True))
    return float(np.sum(x**2 - np.cos(2.0 * np.pi * x)))


def slope(x):
    return 2.0 * x + 2.0 * np.pi * np.sin(2.0 * np.pi * x)


def by_annealing(method):
    kwargs = {"method": method, "jac": slope, "bounds": SQUARE}
    return scipy.optimize.dual_annealing(
        rastrigin, SQUARE, maxiter=20, rng=0, minimizer_kwargs=kwargs
    )


def by_hopping(method):
    """Its steps leave the square; the local method begins with their projection."""
    kwargs = {"method": method, "bounds": Bounds(*zip(*SQUARE, strict=True))}

    def inside(f_new=None, x_new=None, f_old=None, x_old=None):
        return bool(all(a <= z <= b for z, (a, b) in zip(x_new, SQUARE, strict=True)))

    return scipy.optimize.basinhopping(
        rastrigin, [0.2, 0.1], niter=5, rng=0, minimizer_kwargs=kwargs, accept_test=inside
    )


def by_shgo(method):
    def local(fun, x0, args=(), **arguments):
        return method(fun, x0, args, **arguments)

    local.lower = lambda: "_custom"
    return scipy.optimize.shgo(
        rastrigin, SQUARE, minimizer_kwargs={"method": local, "jac": slope, "bounds": SQUARE}
    )


def by_evolution(method):
    def polish(fun, x, bounds, constraints):
        return scipy.optimize.minimize(
            fun, x, method=method, bounds=bounds, constraints=constraints
        )

    return scipy.optimize.differential_evolution(
        rastrigin, SQUARE, maxiter=30, rng=0, polish=polish
    )


@pytest.mark.filterwarnings("ignore:x0 is outside of the bounds")
@pytest.mark.parametrize("caller", [by_annealing, by_hopping, by_shgo, by_evolution])
@pytest.mark.parametrize("method", BOUNDED)
def test_a_bounded_local_method_of(caller, method):
    result = caller(METHODS[method])
    moved = np.clip(result.x - slope(np.asarray(result.x)), *np.transpose(SQUARE)) - result.x
    assert np.abs(moved).max() <= 1e-4
