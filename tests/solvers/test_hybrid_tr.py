"""hybrid-tr: its defaults, the modified secant, and the reach of its first step."""

from __future__ import annotations

import numpy as np
import pytest

import qnsolve
from qnsolve.options import HybridOptions
from qnsolve.problems import get_problem
from qnsolve.solvers.along_step import VALUE_NOISE, secant_correction
from tests.starts import an_ulp_apart


def test_defaults():
    options = HybridOptions.from_user({}, eps=2.0**-52)
    assert (options.memory, options.gamma, options.modified_secant) == (20, None, True)
    assert HybridOptions(gamma="latest").gamma == "latest"
    with pytest.raises(ValueError, match="gamma"):
        HybridOptions(gamma="none")
    with pytest.raises(ValueError, match="gamma must be positive"):
        HybridOptions(gamma=-1.0)


def test_correction_gives_the_curvature_at_the_end_of_a_cubic():
    # f(t) = t^3 + 2 t^2 - 5 t on [0, 1]: f'' = 10 at the end, 7 on average.
    f0, f1, slope0, slope1 = 0.0, -2.0, -5.0, 2.0
    theta = secant_correction(slope0, slope1, f0 - f1, f0)
    assert slope1 - slope0 + theta == 10.0


def test_correction_is_bounded_and_wants_digits():
    size = 1.0 - (-5.0)
    assert secant_correction(-5.0, 1.0, 100.0, 1.0) == size
    assert secant_correction(-5.0, 1.0, -100.0, 1.0) == -0.9 * size
    assert secant_correction(-5.0, 1.0, 0.5 * VALUE_NOISE, 1.0) == 0.0


def test_correction_changes_the_step_after_the_first_pair(xp):
    def fun(x):
        return float(xp.namespace.sum(x**4)), 4.0 * x**3

    def after(iterations, modified):
        options = {"modified_secant": modified, "maxiter": iterations}
        return float(qnsolve.minimize(fun, xp.asarray([1.0]), jac=True, options=options).x[0])

    assert after(1, True) == after(1, False)
    assert after(2, True) != after(2, False)


@pytest.mark.parametrize(("name", "n"), [("extended-rosenbrock", 50), ("dixon-price", 20)])
def test_float32(name, n):
    problem = get_problem(name, n)
    x0 = problem.x0.astype(np.float32)

    def fun(x):
        f, g = problem.fun(x.astype(float))
        return f, g.astype(np.float32)

    result = qnsolve.minimize(fun, x0, jac=True)
    assert result.success and result.x.dtype == np.float32


def test_fewer_evaluations_than_pure_sr1_where_pairs_are_few():
    # Where memory is far below n, SR1 invents curvature off its pairs: about 700 are enough here,
    # and 1600 to 1900 are needed without.
    problem = get_problem("convex-quadratic", 100)
    hybrid, pure = (
        np.median(
            [
                qnsolve.minimize(
                    problem.fun,
                    x0,
                    jac=True,
                    method=method,
                    options={"memory": 10, "maxfev": 1000},
                ).nfev
                for x0 in an_ulp_apart(problem.x0, 3)
            ]
        )
        for method in ("hybrid-tr", "lsr1-tr")
    )
    assert hybrid < 0.9 * pure == 900.0
