"""Bounds in all that is handed over: ask and tell, many problems, the matrix, warm starts."""

from __future__ import annotations

import numpy as np
import pytest

import qnsolve
from qnsolve import Solver, minimize_many
from qnsolve.arrays.libraries import to_host
from qnsolve.methods import TABLE
from tests.handover.problems import GTOL, fun, hessian, start
from tests.handover.test_many import Rows
from tests.handover.test_solver import answer, assert_same, drive

N = 6
BOUNDED = [name for name, row in TABLE.items() if row.takes_bounds]
BOX = [(-2.0, 0.25), (None, 0.1), (0.3, 0.3), (None, None), (-0.1, 2.0), (0.2, None)]
LOW, HIGH = [-2.0, -np.inf, 0.3, -np.inf, -0.1, 0.2], [0.25, 0.1, 0.3, np.inf, 2.0, np.inf]
INSIDE = np.clip(start(N), LOW, HIGH)
OPTIONS = {"gtol": GTOL, "history": True}


def bounded(x0, method, **arguments):
    return qnsolve.minimize(
        fun, x0, jac=True, method=method, bounds=BOX, options=OPTIONS, **arguments
    )


@pytest.mark.parametrize("method", BOUNDED)
def test_ask_and_tell_is_the_run_of_minimize(method, xp, tmp_path):
    x0 = xp.asarray(INSIDE)
    alone = bounded(x0, method)
    assert alone.success
    assert int((to_host(alone.active) != 0).sum()) >= 2
    solver = Solver(x0, method=method, bounds=BOX, options=OPTIONS)
    for _ in range(4):
        answer(solver)
    solver.save(tmp_path / "run")
    again = Solver(x0, method=method, bounds=BOX, options=OPTIONS)
    again.load(tmp_path / "run")
    for each in (solver, again):
        result = drive(each)
        assert_same(result, alone)
        for name in ("active", "multipliers"):
            np.testing.assert_array_equal(to_host(result[name]), to_host(alone[name]))


def test_a_file_of_a_run_in_another_box_is_refused(tmp_path):
    solver = Solver(INSIDE, bounds=BOX)
    answer(solver)
    solver.save(tmp_path / "run")
    with pytest.raises(ValueError, match="bounds"):
        Solver(INSIDE, bounds=[(-1, 1)] * N).load(tmp_path / "run")


@pytest.mark.parametrize("method", BOUNDED)
def test_many_problems_in_a_box(method, xp):
    X0 = xp.asarray(np.stack([INSIDE, [0.1, 0.0, 0.3, 1.0, 0.0, 1.0]]))
    many = minimize_many(Rows(), X0, method=method, bounds=BOX, options=OPTIONS)
    for i, result in enumerate(many.results):
        assert_same(result, bounded(X0[i, ...], method))


@pytest.mark.parametrize("method", BOUNDED)
def test_the_matrix_and_a_warm_start(method):
    first = bounded(INSIDE, method)
    B, free = first.hess.todense(), first.active == 0
    np.testing.assert_allclose(B, B.T, rtol=0, atol=1e-12 * np.abs(B).max())
    # The secant equation of free variables says nothing of the others.
    exact = hessian(first.x)[np.ix_(free, free)]
    v = np.linalg.eigh(exact)[1][:, -1]
    assert v @ B[np.ix_(free, free)] @ v == pytest.approx(v @ exact @ v, rel=0.5)
    again = bounded(INSIDE, method, warm_start=first)
    assert again.success
    assert again.nfev <= first.nfev
    np.testing.assert_allclose(again.x, first.x, rtol=0, atol=1e-6)


def test_a_start_outside_is_projected_once():
    outside = INSIDE + 3.0
    with pytest.warns(RuntimeWarning, match="outside of the bounds") as heard:
        solver = Solver(outside, bounds=BOX)
        x = solver.ask()
    assert len(heard) == 1
    np.testing.assert_array_equal(x, np.clip(outside, LOW, HIGH))


def test_errors_are_those_of_variables_that_no_bound_holds():
    held = bounded(INSIDE, None)
    with pytest.raises(ValueError, match=r"\d variables of the result are on their bounds"):
        qnsolve.standard_errors(fun, held)
    with pytest.raises(ValueError, match="on their bounds"):
        qnsolve.verify.hessian_error(fun, held)
    wide = qnsolve.minimize(fun, INSIDE, jac=True, bounds=[(-9, 9)] * N, options=OPTIONS)
    errors = qnsolve.standard_errors(fun, wide).errors
    exact = np.sqrt(np.diag(np.linalg.inv(hessian(wide.x))))
    np.testing.assert_allclose(errors, exact, rtol=1e-6)


def test_methods_without_bounds_and_options_without_a_caller_are_refused():
    with pytest.raises(ValueError, match="takes no bounds"):
        Solver(INSIDE, method="lsr1-ls", bounds=BOX)
    with pytest.raises(ValueError, match="takes no bounds"):
        minimize_many(Rows(), INSIDE[None, :], method="newton-tr", bounds=BOX)
    with pytest.raises(ValueError, match="evaluate_last"):
        Solver(INSIDE, options={"evaluate_last": True})
