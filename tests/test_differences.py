"""Gradients by differences: steps, their options, and what is said of values that do not change."""

from __future__ import annotations

import multiprocessing
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.optimize

import qnsolve
from qnsolve.differences import EPS
from qnsolve.objective import Objective

SCHEMES = {"2-point": 1, "3-point": 2}
BALANCE = 20.0
"""Error of a difference in units of eps**(p/(p+1)), where f and x are of the size of one in their
own units: derivatives of the sine, half or a third of them, and the rounding of f."""

HESSIANLESS = ["hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls"]


def bowl(x):
    """A function of the module, which processes can be given."""
    return float(np.sum((x - 1.0) ** 2))


def error_in_units(unit, jac, x, dtype=np.float64):
    """Return the error, relative to the largest entry, of the gradient of 1 + sum sin(x / unit)."""
    objective = Objective(lambda x: float(1.0 + np.sin(x / unit).sum()), unit * x, jac=jac)
    _, g = objective(objective.x0)
    exact = np.cos(x) / unit
    return np.abs((g - exact) * unit).max()


@pytest.mark.parametrize("jac", SCHEMES)
@pytest.mark.parametrize("unit", [1e-12, 1e-8, 1e-4, 1.0, 1e4, 1e8])
def test_steps_follow_the_unit_of_x(jac, unit):
    order = SCHEMES[jac]
    limit = BALANCE * EPS ** (order / (order + 1))
    assert error_in_units(unit, jac, np.array([0.7, 1.0, -2.0])) < limit


@pytest.mark.parametrize("jac", SCHEMES)
def test_each_variable_has_its_own_unit(jac):
    order, unit = SCHEMES[jac], np.array([1e-6, 1.0, 1e6])
    limit = BALANCE * EPS ** (order / (order + 1))
    assert error_in_units(unit, jac, np.array([0.7, -2.0, 1.0])) < limit


@pytest.mark.parametrize("jac", SCHEMES)
@pytest.mark.parametrize("x", [0.0, 1e-12, 1e-7, 1e-3])
def test_a_variable_that_f_hardly_feels_gets_a_longer_step(jac, x):
    """It is close to zero, not small: its unit is that of the others."""
    order = SCHEMES[jac]
    limit = BALANCE * EPS ** (order / (order + 1))
    assert error_in_units(1.0, jac, np.array([x, 1.0])) < limit
    assert error_in_units(1.0, jac, np.array([x, x])) < limit


@pytest.mark.parametrize("jac", SCHEMES)
def test_where_all_of_x_is_zero_the_step_is_as_in_scipy(jac):
    points = []
    objective = Objective(lambda x: points.append(x.copy()) or float(x.sum()), np.zeros(2), jac=jac)
    objective(objective.x0)
    assert abs(points[1][0]) == EPS ** (1 / (SCHEMES[jac] + 1))


@pytest.mark.parametrize("jac", SCHEMES)
@pytest.mark.parametrize("method", HESSIANLESS)
def test_a_fit_in_small_units(method, jac):
    """A least-squares fit of a decay with x in units of 1e-4, f of the size of one."""
    t, unit = np.linspace(0.0, 3.0, 20), 1e-4

    def fun(x):
        return float(np.sum((x[0] / unit * np.exp(-x[1] / unit * t) - 2.0 * np.exp(-t)) ** 2))

    result = qnsolve.minimize(
        fun, unit * np.array([1.0, 0.5]), jac=jac, method=method, options={"gtol": 1e-3 / unit}
    )
    np.testing.assert_allclose(result.x / unit, [2.0, 1.0], rtol=1e-2)


@pytest.mark.parametrize("jac", SCHEMES)
def test_values_in_float32_at_a_start_in_float64(jac):
    def fun(x):
        return np.float32(1.0 + np.sum((x - 2.0) ** 2))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        objective = Objective(fun, np.array([1.0, -3.0]), jac=jac)
        _, g = objective(objective.x0)
    order, eps = SCHEMES[jac], 2.0**-23
    np.testing.assert_allclose(g, [-2.0, -10.0], atol=BALANCE * 27 * eps ** (order / (order + 1)))
    assert objective.gradient_eps == eps ** (order / (order + 1))


def test_a_fun_with_fewer_digits_than_its_type_is_told():
    def fun(x):
        return float(np.float32(1.0 + np.sum((x - 2.0) ** 2)))

    with pytest.warns(RuntimeWarning, match=r"does not change at all .* options eps"):
        qnsolve.minimize(fun, np.array([1.0, -3.0]))
    result = qnsolve.minimize(fun, np.array([1.0, -3.0]), options={"eps": 1e-3, "gtol": 1e-2})
    np.testing.assert_allclose(result.x, 2.0, atol=1e-2)


def test_steps_that_are_asked_for():
    x0, points = np.array([[2.0, -4.0]]), []

    def fun(x):
        points.append(x.copy())
        return float(x.sum())

    def steps(**options):
        points.clear()
        qnsolve.minimize(fun, x0, options={"maxiter": 0, **options})
        return np.diag(np.reshape(points[1:], (2, 2)) - x0)

    np.testing.assert_allclose(steps(eps=1e-3), [1e-3, -1e-3], rtol=1e-12)
    np.testing.assert_allclose(steps(eps=[[1e-3, 1e-2]]), [1e-3, -1e-2], rtol=1e-12)
    np.testing.assert_allclose(steps(finite_diff_rel_step=1e-3), [2e-3, -4e-3], rtol=1e-12)
    np.testing.assert_allclose(steps(rel_step=np.array([1e-3, 1e-2])), [2e-3, -4e-2], rtol=1e-12)
    # No step is shorter than the spacing of numbers.
    assert (steps(eps=1e-30) != 0.0).all()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"eps": np.ones(3)}, ValueError, "eps has 3 entries, x0 has 2"),
        ({"finite_diff_rel_step": [1.0] * 3}, ValueError, "rel_step has 3 entries, x0 has 2"),
        ({"eps": 1e-8, "finite_diff_rel_step": 1e-8}, ValueError, "give one of them"),
        ({"eps": [[1.0], [1.0, 2.0]]}, TypeError, "eps must be a number > 0"),
        ({"workers": "all"}, TypeError, "workers must be an integer >= 1"),
    ],
)
def test_wrong_steps_are_refused_before_the_first_evaluation(options, error, words):
    with pytest.raises(error, match=words):
        qnsolve.minimize(lambda x: 1 / 0, np.ones(2), options=options)


@pytest.mark.parametrize("workers", [1, 2, -1, map, "threads", "processes"])
def test_workers_give_the_run_of_one(workers):
    x0 = np.array([3.0, -1.0, 0.0])
    alone = qnsolve.minimize(bowl, x0, jac="3-point")
    if workers == "threads":
        with ThreadPoolExecutor(2) as pool:
            result = qnsolve.minimize(bowl, x0, jac="3-point", options={"workers": pool.map})
    elif workers == "processes":
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            result = qnsolve.minimize(bowl, x0, jac="3-point", options={"workers": pool.map})
    else:
        result = qnsolve.minimize(bowl, x0, jac="3-point", options={"workers": workers})
    np.testing.assert_array_equal(result.x, alone.x)
    assert result.nfev == alone.nfev


def test_workers_that_lose_values_are_an_error():
    with pytest.raises(ValueError, match="workers gave 0 values of fun for 2 points"):
        qnsolve.minimize(bowl, np.ones(2), options={"workers": lambda call, points: []})


def test_options_come_through_scipy():
    result = scipy.optimize.minimize(
        bowl, np.ones(2) / 3, method=qnsolve.hybrid_tr, options={"eps": 1e-6, "workers": 2}
    )
    np.testing.assert_allclose(result.x, 1.0, atol=1e-5)


def test_error_of_a_gradient():
    given = Objective(lambda x: (0.0, x), np.ones(2), jac=True)
    assert given.gradient_error(5.0, 3.0) == 3.0 * EPS
    given(given.x0)
    assert given.gradient_error(5.0, 3.0) == 3.0 * EPS
    narrow = Objective(lambda x: (0.0, x.astype(np.float32)), np.ones(2), jac=True)
    narrow(narrow.x0)
    assert narrow.gradient_error(5.0, 3.0) == 3.0 * 2.0**-23
    measured = Objective(bowl, np.array([2.0, 4.0]))
    np.testing.assert_allclose(measured.gradient_error(5.0, 0.0), 5.0 * EPS**0.5 / 2.0)
    measured.take_steps(1e-3, None, None)
    np.testing.assert_allclose(measured.gradient_error(5.0, 0.0), 5.0 * EPS / 1e-3)


@pytest.mark.parametrize("jac", SCHEMES)
def test_a_checkpoint_keeps_the_sizes(jac, tmp_path):
    """Steps that were lengthened at the start are long in the rest of the run."""
    path = tmp_path / "run.npz"
    x0 = np.array([1e-7, -0.5, 2.0])

    def run(**options):
        return qnsolve.minimize(scipy.optimize.rosen, x0, jac=jac, options=options)

    whole = run()
    run(maxiter=5, checkpoint=path)
    np.testing.assert_array_equal(run(checkpoint=path).x, whole.x)
