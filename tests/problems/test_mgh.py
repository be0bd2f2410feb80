"""Every method on the problems of Moré, Garbow and Hillstrom, from their standard starts."""

from __future__ import annotations

import os

import numpy as np
import pytest

import qnsolve
from qnsolve.methods import METHODS
from qnsolve.verify import check_grad
from tests.problems.mgh import PROBLEMS

SOLVED = 1e-6
"""Part of the way from f(x0) down to a minimum of the paper that may be left (Moré and Wild 2009);
the paper gives six digits of each minimum."""

DROWNED = 1e-4
"""The same where the curvature along a valley drowns.  On its way powell-badly-scaled has a Hessian
of norm 2e8 x_1^2, and at f the curvature 2 f along the valley: of that a matrix of differences of
gradients holds something for as long as f is a hundred roundings of the norm or more."""

LEFT = {("powell-badly-scaled", "lsr1-ls"): DROWNED}

MAXFEV = 2500

LONG = {
    *(("powell-badly-scaled", method) for method in ("lsr1-tr", "lsr1-arc")),
    *(("penalty-2", method) for method in ("lsr1-tr", "lsr1-arc", "lsr1-ls")),
    *(("meyer", method) for method in ("hybrid-tr", "newton-tr")),
    *(("osborne-1", "lsr1-arc"), ("osborne-2", "lsr1-arc"), ("biggs-exp6", "newton-tr")),
}
"""From 350 to 2300 evaluations: left to the thorough profile."""

TOO_LONG = {("meyer", method) for method in ("lsr1-tr", "lsr1-arc", "lsr1-ls")}
"""Not within MAXFEV: on its way the Hessian has a condition of 8e12 to 1e16."""


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_gradient(problem):
    x = problem.x0 + 0.01 * (1.0 + np.abs(problem.x0))
    assert check_grad(problem, x).consistent


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_ends_in_a_known_minimum(problem, method):
    if (problem.name, method) in TOO_LONG:
        pytest.skip("takes more evaluations than MAXFEV")
    if (problem.name, method) in LONG and "QNSOLVE_THOROUGH" not in os.environ:
        pytest.skip("takes many evaluations")
    options = {"gtol": 1e-8, "maxfev": MAXFEV}
    result = qnsolve.minimize(problem, problem.x0, jac=True, method=method, options=options)
    f0, _ = problem(problem.x0)
    left = min(abs(result.fun - f) for f in problem.minima)
    allowed = LEFT.get((problem.name, method), SOLVED)
    assert left <= allowed * (f0 - min(problem.minima))
    assert result.nfev < MAXFEV
