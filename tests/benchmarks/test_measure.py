"""Counts, tests and limits of a run, with solvers whose every step is known."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from benchmarks.profiling.measure import GTOL, Meter, Objective, Run, measure, objective_of
from qnsolve.problems import extended_rosenbrock


def quadratic(scale=1.0):
    """f = scale |x|^2 / 2 from (1, 1), whose gradient is scale x."""
    return Objective(
        "quadratic",
        2,
        np.ones(2),
        lambda x: 0.5 * scale * (x @ x),
        lambda x: scale * x,
    )


@dataclass
class Script:
    """A solver that does what it is told."""

    act: Any
    label: str = "script"

    def solve(self, meter, x0, gtol):
        return self.act(meter, x0) or {}


def run(act, objective=None, budget=100, limit=60.0, **keywords):
    return measure(objective or quadratic(), Script(act), budget, limit, **keywords)


def test_cost_is_the_count_at_the_first_point_that_satisfies_each_test():
    def act(meter, x0):
        # g0 is 1e4, so the relative test holds from |x| = 1e-5 on, the absolute from 1e-9 on.
        for t in (1.0, 1e-3, 0.9e-5, 1e-6, 0.9e-9, 1e-12):
            meter.fun(t * x0)
            meter.grad(t * x0)
        return {"x": 1e-12 * x0, "nit": 5}

    result = run(act, quadratic(1e4))
    assert (result.cost_relative, result.cost_absolute) == (3, 5)
    assert (result.nfev, result.njev, result.nit) == (6, 6, 5)
    assert result.g0_norm == 1e4
    assert result.g_norm == pytest.approx(1e-8)


def test_cost_is_the_larger_of_the_two_counts():
    def act(meter, x0):
        for t in (1.0, 0.5, 0.2):
            meter.fun(t * x0)
        meter.grad(1e-6 * x0)

    result = run(act)
    assert (result.nfev, result.njev, result.cost_absolute) == (3, 1, 3)


def test_a_repeated_point_is_free():
    def act(meter, x0):
        for _ in range(3):
            meter.fun(x0)
            meter.grad(x0)
        meter.fun(2 * x0)
        meter.fun(x0)  # only the last point is remembered

    assert (run(act).nfev, run(act).njev) == (3, 1)


def test_what_the_solver_does_to_its_arrays_changes_nothing():
    def act(meter, x0):
        x = x0.copy()
        g = meter.grad(x)
        g[:] = np.nan
        assert np.array_equal(meter.grad(x), x0)
        x[:] = 7.0
        assert np.array_equal(meter.grad(x), [7.0, 7.0])

    assert run(act).njev == 2


def test_in_a_box_the_projected_gradient_counts_and_points_outside_are_counted():
    box = (np.array([0.5, -np.inf]), np.array([np.inf, 2.0]))
    objective = replace(quadratic(), box=box)
    assert run(lambda meter, x0: None).outside is None

    def act(meter, x0):
        for x in ([0.0, 0.0], [0.0, 3.0], [0.5, 0.0], [0.5, 1e-9]):
            meter.fun(np.array(x))
            meter.grad(np.array(x))
        assert np.array_equal(meter.box, box)
        return {"x": np.array([0.5, 1e-9])}

    result = run(act, objective)
    # The origin, where g is 0, is outside; at (1/2, 0) only the way out of the box goes down.
    assert (result.outside, result.cost_absolute) == (2, 3)
    assert result.g_norm == 1e-9
    assert result.g0_norm == 1.0
    # The lowest point that counts is inside.
    assert run(lambda meter, x0: act(meter, x0) and None, objective).f == 0.125


def test_budget_ends_the_run_whatever_the_solver_catches():
    def act(meter, x0):
        for k in range(1000):
            try:
                meter.fun((k + 1) * x0)
            except Exception:
                continue

    result = run(act, budget=7)
    assert (result.status, result.nfev, result.cost_absolute) == ("budget", 7, None)
    # What is reported is the lowest point, here the start.
    assert (result.f, result.g_norm) == (1.0, 1.0)


def test_budget_is_reported_though_another_exception_takes_its_place():
    def act(meter, x0):
        try:
            for k in range(1000):
                meter.grad((k + 1) * x0)
        except BaseException as error:
            raise SystemError("returned with an exception set") from error

    assert run(act, budget=7).status == "budget"


def endless(meter, x0):
    k = 0.0
    while True:
        k += 1.0
        meter.fun(k * x0)


def test_limits_of_time():
    assert run(endless, limit=0.0).status == "timeout"
    assert run(endless, budget=10**9, limit=60.0, deadline=time.perf_counter()).status == "timeout"


def test_exception_of_a_solver_is_a_record():
    def act(meter, x0):
        meter.grad(1e-9 * x0)
        raise ZeroDivisionError("oh")

    result = run(act)
    assert (result.status, result.message) == ("error", "ZeroDivisionError: oh")
    assert result.cost_absolute == 1


@pytest.mark.parametrize("value", [np.nan, np.array(np.nan), np.array([[np.nan]])])
def test_nan_satisfies_no_test(value):
    objective = replace(quadratic(), fun=lambda x: value, grad=lambda x: np.full((2, 1), np.nan))

    def act(meter, x0):
        assert np.isnan(meter.fun(x0))
        assert meter.grad(x0).shape == (2,)

    result = run(act, objective)
    assert (result.cost_absolute, result.cost_relative) == (None, None)
    assert np.isnan(result.f)
    assert np.isinf(result.cost("absolute"))


def test_hessian_is_refused_where_there_is_none():
    with pytest.raises(ValueError, match="no second derivatives"):
        Meter(quadratic(), 10, 1.0).hess(np.ones(2))


def test_shipped_problem_is_evaluated_once_for_value_and_gradient():
    calls = []
    problem = extended_rosenbrock(4)
    counted = replace(problem, fun=lambda x: (calls.append(x), problem.fun(x))[1])
    objective = objective_of(counted)
    f, g = objective.fun(problem.x0), objective.grad(problem.x0)
    assert len(calls) == 1
    assert f == problem.fun(problem.x0)[0]
    assert np.array_equal(g, problem.fun(problem.x0)[1])


def test_cost_of_a_run_that_failed_is_infinite():
    failed = Run("P", 2, "s", 10, 1.0, "budget", "", cost_relative=3)
    assert (failed.cost("absolute"), failed.cost("relative")) == (np.inf, 3.0)
    with pytest.raises(KeyError):
        failed.cost("any")


def test_tolerance_is_the_documented_one():
    def at(norm):
        return run(lambda meter, x0: meter.grad(norm * x0) is None).cost_absolute

    assert (at(GTOL), at(np.nextafter(GTOL, 1.0))) == (1, None)
