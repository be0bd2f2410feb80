"""Values of f against the slopes along the steps: when a gradient is doubted, and when given up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qnsolve import Status, minimize
from qnsolve.problems import get_problem
from qnsolve.solvers.run import DOUBT
from qnsolve.solvers.slopes import DOUBTFUL, FORGIVEN, HOPELESS, SlopeCheck
from tests.tolerances import EPS


def counted(f=1.0, f_new=0.5, slope=-1.0, slope_new=0.0):
    """Return whether a step contradicts the gradient."""
    check = SlopeCheck(EPS)
    check.add(f, f_new, slope, slope_new, 1.0)
    return check.contradictions == 1


@pytest.mark.parametrize(
    ("step", "contradicts"),
    [
        ({}, False),  # a parabola, to its minimiser
        ({"slope": -2.0}, True),  # the same with a gradient twice too large
        ({"slope": -0.5}, True),  # half of it
        ({"slope": 1.0}, True),
        ({"f_new": 1.5}, True),
        ({"f": 1e12, "f_new": 1e12 + 1e3}, False),  # too few digits left to tell
        ({"f_new": math.nan}, False),
        ({"f_new": math.inf}, False),
        ({"slope_new": math.nan}, False),
    ],
)
def test_one_step(step, contradicts):
    assert counted(**step) is contradicts


def test_agreement_makes_up_for_contradictions():
    check = SlopeCheck(EPS)
    for _ in range(DOUBTFUL):
        assert not check.doubtful
        check.add(1.0, 2.0, -1.0, -1.0, 1.0)
    assert check.doubtful and not check.hopeless
    check.add(1.0, 0.5, -1.0, 0.0, 1.0)
    assert check.contradictions == DOUBTFUL - FORGIVEN and not check.doubtful


def test_a_factor_of_two_ends_the_run():
    problem = get_problem("extended-rosenbrock", 6)

    def doubled(x):
        f, g = problem.fun(x)
        return f, 2.0 * g

    # Near the minimum a run may end within gtol by chance, with a word of doubt.
    starts = [problem.x0 * (1.0 + 4 * k * EPS) for k in range(15)]
    results = [minimize(doubled, x0, jac=True, method="lsr1-tr") for x0 in starts]
    ended = [result for result in results if result.status == 10]
    assert all(result.status == 10 or DOUBT in result.message for result in results)
    assert len(ended) > len(starts) // 2
    for result in ended:
        assert result.message == Status.WRONG_GRADIENT.message
        assert HOPELESS <= result.nit < 2 * HOPELESS


@pytest.mark.parametrize("method", ["hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls", "newton-tr"])
def test_a_right_gradient_is_not_doubted(method):
    for name in ("extended-rosenbrock", "woods", "styblinski-tang", "monkey-saddle"):
        problem = get_problem(name, 12)
        result = minimize(problem.fun, problem.x0, jac=True, method=method)
        assert result.message == Status.GTOL.message
    offset = minimize(lambda x: (1e9 + x @ x, 2 * x), np.ones(4), jac=True, method=method)
    assert "check_grad" not in offset.message or offset.status == Status.STEP_TOO_SMALL
