"""What is cubic regularisation's own: rules for the weight, and the limit on the step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnsolve
from qnsolve.options import CubicOptions
from qnsolve.problems import get_problem
from qnsolve.solvers.outcome import Outcome
from qnsolve.solvers.reach import Weight, along
from qnsolve.solvers.weight import Along, CartisGouldToint, Midpoints, interpolated_weight
from qnsolve.subproblem.model import QuadraticModel
from tests.starts import an_ulp_apart

OPTIONS = CubicOptions()


def run(problem, x0=None, **options):
    x0 = problem.x0 if x0 is None else x0
    return qnsolve.minimize(
        problem.fun, x0, jac=True, method="lsr1-arc", options={"maxfev": 3000, **options}
    )


@pytest.mark.parametrize("norm", ["shape", "l2"])
@pytest.mark.parametrize("rule", ["interpolation", "arcs", "cgt"])
@pytest.mark.parametrize(
    ("name", "n"),
    [("extended-rosenbrock", 20), ("powell-singular", 12), ("woods", 8), ("styblinski-tang", 30)],
)
def test_every_rule_and_norm_converges(norm, rule, name, n):
    assert run(get_problem(name, n), norm=norm, weight_rule=rule).success


def test_limit_on_the_step_ends_the_feedback_of_giant_pairs():
    """Dixon-Price with negative curvature: without a limit the pair of a giant rejected step
    brings a giant curvature, and the next step is longer still."""
    problem = get_problem("dixon-price", 20)
    counts = []
    for x0 in an_ulp_apart(problem.x0, 5):
        chosen = {"weight_rule": "arcs", "initial_weight": 1.0, "history": True}
        limited = run(problem, x0, **chosen)
        with np.errstate(over="ignore"):
            free = run(problem, x0, **chosen, longest_step=np.inf)
        assert limited.success
        assert limited.restarts == 0
        # It got stuck, and went on only after its pairs were forgotten.
        assert free.restarts >= 1
        largest = [max(row["weight"] for row in result.history) for result in (limited, free)]
        assert largest[1] > 1e20 * largest[0]
        counts.append((limited.nfev, free.nfev))
    limited, free = np.median(counts, axis=0)
    assert free > 1.5 * limited


@pytest.mark.parametrize("norm", ["shape", "l2"])
def test_no_step_is_evaluated_beyond_the_limit(norm):
    problem = get_problem("dixon-price", 30)
    points, longest = [], []

    def fun(x):
        points.append(x.copy())
        return problem.fun(x)

    def callback(intermediate_result):
        x, previous = intermediate_result.x, longest[-1][0] if longest else problem.x0
        longest.append((x.copy(), np.linalg.norm(points[-1] - previous)))

    qnsolve.minimize(
        fun,
        problem.x0,
        jac=True,
        method="lsr1-arc",
        callback=callback,
        options={"norm": norm, "longest_step": 2.0, "maxiter": 60, "initial_weight": 1e-8},
    )
    taken, moved = 0.0, False
    before = problem.x0
    for x, tried in longest:
        if moved:
            assert tried <= 2.0 * taken * (1 + 1e-6)
        length = np.linalg.norm(x - before)
        if length > 0:
            taken, moved = max(taken, length), True
        before = x
    assert moved


def test_weight_is_raised_without_leaving_the_model():
    """Negative curvature -2 and weight 1e-6 ask for a step of 2e6."""
    model = QuadraticModel(np.array([1.0, 0.5]), np.diag([-2.0, 3.0]))
    for norm in ("shape", "l2"):
        weight = Weight(OPTIONS, interpolated_weight, norm, longest_step=100.0, first=1e-6)
        weight.begin(0.03, model.gradient_norm)
        weight.moved = True
        trial = weight.minimise(model)
        assert 0.03 < trial.length <= 3.0
        assert trial.decrease > 0.0
        assert weight.size == 1e-6
        again = model.regularised(trial.term.weight, norm)
        np.testing.assert_array_equal(again.step, trial.step)


def test_model_along_the_step_is_stationary_at_its_end():
    model = QuadraticModel(np.array([1.0, 0.5, -2.0]), np.diag([-2.0, 3.0, 0.1]))
    for norm in ("shape", "l2"):
        at = along(model.regularised(0.7, norm))
        assert at.weight_for(1.0) == pytest.approx(0.7)
        # Its value there is the decrease that was promised.
        value = at.slope + at.curvature / 2 + 0.7 * at.cube / 3
        assert -value == pytest.approx(model.regularised(0.7, norm).decrease)


def test_no_weight_is_large_enough_for_a_step_whose_cube_is_zero():
    at = Along(slope=-17.0, curvature=18.0, cube=0.0, gradient_norm=1.0)
    assert (at.weight_for(0.1), at.weight_for(10.0)) == (np.inf, -np.inf)


# -- rules for the weight --------------------------------------------------------------------------

ALONG = Along(slope=-6.0, curvature=2.0, cube=4.0, gradient_norm=0.3)  # weight 1 ends at t = 1
GOOD = Outcome(1.0, 1.0, -6.0, 4.0, slope_new=-3.0, reduction=3.8, ratio=0.95, accepted=True)
FAIR = GOOD._replace(ratio=0.5)
POOR = GOOD._replace(slope_new=24.0, reduction=-6.0, ratio=-1.5, accepted=False)


@pytest.mark.parametrize(
    ("rule", "outcome", "wanted"),
    [
        (Midpoints(1.0, 10.0), GOOD, 0.5),
        (Midpoints(1.0, 10.0), FAIR, 1.0),
        (Midpoints(2.0, 10.0), FAIR, 1.5),
        (Midpoints(1.0, 10.0), POOR, 5.5),
        (CartisGouldToint(), GOOD, 0.3),
        (CartisGouldToint(floor=0.4), GOOD, 0.4),
        (CartisGouldToint(), FAIR, 1.0),
        (CartisGouldToint(), POOR, 2.0),
        # The slope vanishes at t = 2: -(-6 + 2 * 2) / (4 * 4).
        (interpolated_weight, GOOD, 0.125),
        (interpolated_weight, FAIR, 1.0),
        # 6 t^3 + 6 t^2 - 6 t has its minimum at t = 1/3: (6 - 2/3) / (4/9) = 12.
        (interpolated_weight, POOR, 12.0),
        (interpolated_weight, POOR._replace(slope_new=np.nan), 5.0),
        (interpolated_weight, POOR._replace(ratio=np.nan), 12.0),
    ],
)
def test_rules_for_the_weight(rule, outcome, wanted):
    assert rule(1.0, outcome, OPTIONS, ALONG) == pytest.approx(wanted)


@given(st.floats(-1e3, -1e-3), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_interpolation_stays_within_its_bounds(slope, slope_new, reduction):
    poor = Outcome(1.0, 1.0, slope, 1.0, slope_new, reduction, ratio=-1.0)
    assert 6.0 <= interpolated_weight(3.0, poor, OPTIONS, ALONG) <= 3000.0
    good = poor._replace(ratio=0.9)
    assert 0.3 <= interpolated_weight(3.0, good, OPTIONS, ALONG) <= 1.5
