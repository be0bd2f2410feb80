"""Each bug that benchmarks/fuzz.py has found, as small as it could be made."""

from __future__ import annotations

import math

import numpy as np
import pytest

import qnsolve
from examples.experiments.author_code import UnitL1Step
from qnsolve import (
    LBFGS,
    LSR1,
    DiagonalNorm,
    HybridLSR1,
    PartialSpectrum,
    Status,
    SubproblemStatus,
    gltr,
    lanczos_cubic,
    solve_trs,
)
from qnsolve.arrays import space_of
from qnsolve.hessian import Hessian
from qnsolve.krylov.steihaug import steihaug_cg
from qnsolve.objective import Objective
from qnsolve.published import DoublingSearch, RamamurthyDuffyLSR1, WolfeSearch
from qnsolve.quasi_newton.faces import FreeRows
from qnsolve.quasi_newton.hybrid import sr1_updates
from qnsolve.quasi_newton.pairs import GramBlocks
from qnsolve.quasi_newton.scaling import GeneralisedEigenvalue
from qnsolve.quasi_newton.tracking import GradientChange, TrackedGradient
from qnsolve.questions import Answer
from qnsolve.solvers.metric import EuclideanNorm
from qnsolve.solvers.models import End, SecantModel
from qnsolve.solvers.moving_norms import AdaptiveNorm
from qnsolve.solvers.start import first_gamma
from qnsolve.solvers.weight import Along, interpolated_weight
from qnsolve.subproblem.box import BoxedModel
from qnsolve.subproblem.regions import Regularisation
from qnsolve.subproblem.regularised_l2 import regularised_l2
from qnsolve.subproblem.types import ReducedProblem
from tests.robustness.cases import METHODS, minimize
from tests.solvers.test_arc import GOOD, POOR

HUGE = 1e300


@pytest.mark.parametrize("jac", ["2-point", "3-point"])
def test_differences_that_overflow_do_not_warn(jac):
    for dtype, value in ((np.float64, 1.7e308), (np.float32, 1e38)):
        signs = np.array([1.0, -1.0], dtype)
        objective = Objective(lambda x, s=signs, v=value: v if x[0] > 1 else -v, signs, jac=jac)
        _, g = objective(objective.x0)
        assert not np.isfinite(g[0]) and g.dtype == dtype


def test_step_too_short_for_the_corrected_pair():
    """The square of the step is zero, and the third derivative along it is asked for."""

    def stairs(x):
        return float(np.sign(x[0])), np.sign(x)

    options = {"initial_radius": 1e-170, "xtol": 0.0, "maxiter": 3}
    result = qnsolve.minimize(stairs, [5e-171], jac=True, options=options)
    assert result.nit == 3 and result.fun == -1.0


def test_gradient_over_radius_below_the_range():
    assert steihaug_cg(np.array([1e-308]), lambda v: v, radius=1e300).decrease >= 0.0


@pytest.mark.parametrize("norm", ["l2", "shape-inf", "shape-2"])
@pytest.mark.parametrize("curvature", [1e-8, -1.0])
def test_decrease_of_a_step_that_overflows(norm, curvature):
    g = np.array([HUGE, HUGE])
    for radius in (1e200, 1e-100):
        step = solve_trs(g, curvature * np.eye(2), radius, norm=norm)
        assert np.isfinite(step.step).all() and step.decrease > 0.0


def test_curvature_times_radius_beyond_the_range():
    for curvature in (-3e234, 3e234):
        found = solve_trs(np.array([4e226, 1e200]), curvature * np.eye(2), 5e226)
        assert np.isfinite(found.step).all() and found.decrease > 0.0
        if curvature < 0.0:
            assert np.linalg.norm(found.step / 5e226) == pytest.approx(1.0)
            assert found.multipliers[0] == pytest.approx(-curvature)


def test_gradient_beside_a_curvature_at_the_end_of_the_range():
    B = np.diag([-8.8e304, 5e302, 1.2e305])
    found = solve_trs(np.array([0.004, -1.07, 0.0035]), B, 73.0)
    assert np.linalg.norm(found.step) == pytest.approx(73.0)


def test_cubic_model_with_a_gradient_beyond_the_range():
    step = regularised_l2(ReducedProblem.of([-5e103], [np.inf]), weight=1e105)
    assert step.status is SubproblemStatus.UNBOUNDED and step.decrease == 0.0


def test_sr1_update_whose_residual_overflows():
    B, s, y = np.eye(1), np.ones((1, 1)), np.full((1, 1), 1e200)
    assert np.isfinite(sr1_updates(B, s, y, 1e-8)).all()


def test_ritz_values_beyond_the_range():
    result = steihaug_cg(np.array([1e255]), lambda v: -1e7 * v, radius=1e-110)
    assert result.on_boundary and np.isfinite(result.step).all()


def test_product_with_the_hessian_that_overflows():
    def step(x):
        return float(1e304 * x[0]), np.full(1, 1e305 if x[0] >= 1.0 else 1e304)

    result = qnsolve.minimize(step, [1.0], jac=True, method="newton-tr", options={"maxiter": 5})
    assert np.isfinite(result.x).all() and result.nit > 0


def test_first_gamma_has_an_inverse():
    assert first_gamma(1e-310, 1.0) == 1.0
    assert first_gamma(5e-324, 1e300) == 1.0
    assert first_gamma(1e-300, 1.0) == 1e-300


def test_weight_that_is_not_a_number_is_not_taken():
    along = Along(slope=-1.0, curvature=math.inf, cube=math.inf, gradient_norm=1.0)
    options = qnsolve.options.CubicOptions()
    for outcome in (GOOD, POOR):
        assert math.isfinite(interpolated_weight(1.0, outcome, options, along))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
def test_callables_never_see_a_point_at_infinity(method, dtype):
    """Steps as long as the range, from near its end."""
    end = float(np.finfo(dtype).max)

    def slope(x):
        assert np.isfinite(x).all()
        return -float(np.arctan(x[0] / end)), -np.ones(1, dtype)

    start = np.array([0.9 * end], dtype)
    size = {"lsr1-arc": "initial_weight", "lsr1-ls": "initial_step"}.get(method, "initial_radius")
    options = {size: 1e-150 if method == "lsr1-arc" else 0.4 * end, "maxiter": 20}
    result = minimize(method, slope, start, **options)
    assert np.isfinite(result.x).all() and result.status != Status.NON_FINITE_START


def model_at(x, g, B):
    """Return a model at x, whose matrix is B."""
    metric = EuclideanNorm(B.space)
    model = SecantModel(lambda gamma: B, metric)
    model.stand_at(answered(End(x, metric), g))
    model.begin(1.0)
    return model


def answered(end, g):
    numbers = end.request(g)
    return end.answered(Answer(0.0, g, space_of(g).reduce(numbers)))


def test_correction_of_a_pair_beyond_the_range():
    B = LSR1(2)
    assert B.update(np.array([1.0, 0.0]), np.array([1e139, 1e138])).stored
    model = model_at(np.zeros(2), np.ones(2), B)
    end = answered(model.end_of(np.zeros(2), np.array([1e-135, 0.0])), 2.0 * np.ones(2))
    assert not model.learn(end, offer=True, move=True, theta=1e36)
    np.testing.assert_array_equal(model.gradient, [2.0, 2.0])


def test_coordinates_of_a_gradient_beyond_the_range():
    """Rows of length 1e-130 span the space: coefficients of 1e130 meet a gradient of 1e200."""
    B = LSR1(2)
    assert B.update(np.array([1e-130, 0.0]), np.array([-1e-130, 1e-131])).stored
    spectrum = B.spectrum()
    for size in (1e200, 1e300):
        g = np.array([size, -size])
        par, perp = spectrum.project(g)
        assert not perp < 0.0
        spectrum.lift(par, -1e10, g)
        spectrum.split(g)


def test_part_of_a_gradient_that_is_too_large_to_be_formed():
    """Nearly all of the gradient is along the row; its coefficient is 1e330."""
    B = LSR1(2)
    assert B.update(np.array([1e-130, 0.0]), np.array([-1e-130, 0.0])).stored
    g = np.array([1e200, 1e197])
    par, perp = B.spectrum().project(g)
    assert abs(par[0]) == pytest.approx(1e200)
    assert 0.0 <= perp < 1e198
    assert solve_trs(g, B, 1.0).decrease >= 1e200


@pytest.mark.parametrize("method", ["lsr1-tr", "hybrid-tr", "newton-tr"])
def test_radius_that_shrinks_to_zero(method):
    """Nothing but the range ends the shrinking: xtol is 0 and every trial is worse."""

    def spike(x):
        return float(np.abs(x[0]) > 0.0), np.ones(1)

    options = {"xtol": 0.0, "initial_radius": 1e-300, "maxiter": 500}
    result = minimize(method, spike, np.zeros(1), **options)
    assert result.status in (
        Status.STEP_TOO_SMALL,
        Status.NO_MODEL_DECREASE,
        Status.NON_FINITE_START,
    )


def test_slope_below_the_smallest_number():
    """g'g is 0 at the start, and the slope beyond it is not."""

    def flat_start(x):
        return -float(x.sum()), np.full(2, -1e-170 if x[0] == 0.0 else -1.0)

    options = {"gtol": 0.0, "xtol": 0.0, "gamma": 1.0, "initial_step": 1e-5}
    result = minimize("lsr1-ls", flat_start, np.zeros(2), **options)
    assert result.status == Status.LINE_SEARCH_FAILED


def test_factor_of_a_step_beyond_float32():
    """From a step of 1e-35 the search goes on to factors that float32 does not have."""

    def line(x):
        assert np.isfinite(x).all()
        return -float(x[0]), np.full(1, -1.0, np.float32)

    x0 = np.full(1, 1e-40, np.float32)
    result = minimize("lsr1-ls", line, x0, gtol=0.0, initial_step=1e-35, maxiter=3)
    assert np.isfinite(result.x).all()


def test_radius_beyond_float32():
    result = steihaug_cg(np.ones(2, np.float32), lambda v: -v, 1e39)
    assert result.on_boundary
    assert result.step.dtype == np.float32
    # As far as the dtype goes.
    assert np.isfinite(result.step).all() and (result.step < -1e38).all()


def test_product_beyond_the_range_in_the_variables_of_a_norm():
    norm = DiagonalNorm(np.array([1e-8, 1.0]))
    result = steihaug_cg(np.ones(2), lambda v: np.full(2, 1e305), 1.0, norm=norm)
    assert result.status is SubproblemStatus.NONFINITE
    for change in (norm.solve, norm.from_ball, DiagonalNorm(1.0 / norm.d).apply):
        assert change(np.full(2, 1e305))[0] == np.inf


@pytest.mark.parametrize("jac", ["2-point", "3-point"])
def test_differences_at_the_end_of_the_range(jac):
    """The step that a difference takes there leads beyond it."""
    x0 = np.full(2, np.finfo(np.float32).max)

    def fun(x):
        assert np.isfinite(x).all()
        return 1.0

    result = qnsolve.minimize(fun, x0, jac=jac, method="lsr1-ls")
    assert result.status == Status.NON_FINITE_START
    assert result.nfev == (1 if jac == "2-point" else 3)


def test_products_by_differences_at_the_end_of_the_range():
    def fun(x):
        assert np.isfinite(x).all()
        return 1.0, np.ones(2, np.float32)

    largest = np.finfo(np.float32).max
    objective = Objective(fun, np.full(2, largest), jac=True)
    hessian, v = Hessian(objective, None, None, ()), np.full(2, 1e-8, np.float32)
    assert np.isnan(hessian.product(objective.x0, np.ones(2, np.float32), v)).all()


@pytest.mark.parametrize("kind", [LSR1, LBFGS, HybridLSR1])
def test_products_of_a_matrix_beyond_the_range(kind):
    B = kind(2, gamma=1e10)
    assert np.isinf(B @ np.full(2, 1e300)).all()
    assert B.update(np.array([1.0, 0.0]), np.array([2e10, 1e9])).stored
    assert not np.isfinite(B @ np.full(2, 1e300)).any()


def test_change_of_a_gradient_beyond_the_range():
    largest = np.finfo(np.float64).max
    tracked = TrackedGradient.of(np.full(2, largest), LSR1(2).pairs)
    change = GradientChange(tracked, np.ones(2), None)
    change.request(np.full(2, -largest))
    np.testing.assert_array_equal(change.y, -np.inf)


@pytest.mark.parametrize("rule", [WolfeSearch(), DoublingSearch(), UnitL1Step()])
def test_first_steps_beyond_the_range(rule):
    """The square of the gradient is beyond it; and on a line that never ends so is x."""

    def steep(x):
        assert np.isfinite(x).all()
        return -1e160 * float(x[0]), np.array([-1e160])

    def flat(x):
        assert np.isfinite(x).all()
        return -1e-30 * float(x[0]), np.array([-1e-30], np.float32)

    options = {"first_step": rule, "gtol": 0.0, "maxiter": 3}
    minimize("lsr1-tr", steep, np.zeros(1), **options)
    minimize("lsr1-tr", flat, np.zeros(1, np.float32), **options)


def test_memory_that_a_refused_pair_empties():
    """The products of the gradient with rows that are gone are gone, too."""
    B = RamamurthyDuffyLSR1(1, memory=5, gamma=1.0)
    model, step = model_at(np.zeros(1), np.ones(1), B), np.ones(1)
    for g, stored in ((4.0, True), (5.0, False)):
        end = answered(model.end_of(np.zeros(1), step), g * step)
        assert model.learn(end, offer=True, move=True) is stored
    assert B.n_pairs == 0
    assert model.quadratic().trust_region(1.0).decrease > 0.0


def test_steps_off_the_pairs_beyond_float32():
    spectrum = PartialSpectrum.from_basis(-1.0, np.ones(1), np.eye(1, 3, dtype=np.float32))
    g = np.array([1.0, 0.0, 0.0], np.float32)
    result = solve_trs(g, spectrum, 1e39)
    assert np.isinf(result.step).any()


def test_norm_of_gradients_at_the_end_of_the_range():
    largest = np.full(2, np.finfo(np.float64).max)
    norm = AdaptiveNorm(None, (1e-4, 1.0), True, space_of(largest))
    for _ in range(2):
        norm.update(largest)
    np.testing.assert_array_equal(norm.norm().d, 1.0)


def test_residual_of_truncated_cg_beyond_the_range():
    """The first product is finite, and the curvature; what is left of the gradient is not."""
    B = np.array([[1e-100, 1e200], [1e200, 1.0]])
    result = steihaug_cg(np.array([1.0, 0.0]), lambda v: B @ v, 1e300)
    assert result.status is SubproblemStatus.NONFINITE
    assert result.decrease >= 0.0
    assert np.isfinite(result.step).all()


@pytest.mark.parametrize("size", [1e-250, 1e250])
def test_search_for_curvature_at_the_ends_of_the_range(size):
    """Bisection squares the entries of the Lanczos matrix."""
    lam = size * np.array([-1.0, 1.0, 2.0, 3.0])
    result = gltr(np.eye(4)[0], lambda v: lam * v, 1.0)
    assert result.status is SubproblemStatus.SOLVED
    assert result.decrease > 0.0


def test_krylov_solvers_in_a_norm_in_which_the_gradient_is_infinite():
    norm = DiagonalNorm(np.full(2, 1e-20))
    with pytest.raises(ValueError, match="too large, in the variables of the norm"):
        steihaug_cg(np.full(2, 1e300), lambda v: v, 1.0, norm=norm)


@pytest.mark.parametrize("solve", [gltr, lanczos_cubic])
def test_eigenvalues_beyond_the_range(solve):
    """The product with the gradient is finite, the eigenvalue of 2.4e308 is not."""
    B = np.full((3, 3), 8e307)

    def hessp(v):
        with np.errstate(over="ignore"):
            return B @ v

    for g in (np.eye(3)[0], np.array([0.5, 0.5, -0.1])):
        result = solve(g, hessp, 1.0)
        assert result.status is SubproblemStatus.NONFINITE
        assert result.decrease == 0.0


# Under bounds ------------------------------------------------------------------------------------


def test_two_variables_of_which_one_is_held():
    """A face of two variables is made anew where there was none before."""

    def fun(x):
        return 0.5 * float(x @ x) + x[0] * x[1], np.array([x[0] + x[1], x[1] + x[0]])

    bounds = [(1.0, None), (-0.5, None)]
    result = qnsolve.minimize(fun, [1.0, 3.0], jac=True, bounds=bounds)
    assert result.success
    assert result.x == pytest.approx([1.0, -0.5])


def test_pairs_so_short_that_their_coefficients_squared_overflow():
    """B on a face is told from W'KW, where K may be beyond the range and W is below it."""
    rng, size = np.random.default_rng(0), 1e-140
    B, n = HybridLSR1(16, memory=3), 16
    curvature = 10.0 ** rng.uniform(0, 60, n)
    for _ in range(3):
        s = size * rng.standard_normal(n)
        B.update(s, curvature * s)
    free = np.arange(n) < 15
    with np.errstate(over="raise", invalid="raise"):
        spectrum = B.on_face(free, 15, FreeRows())
    assert np.isfinite(spectrum.eigenvalues).all()


def test_a_gamma_of_eigenvalues_of_steps_that_no_free_variable_makes():
    blocks = GramBlocks(np.diag([1.0, 0.0]), np.diag([2.0, 0.0]), np.diag([4.0, 1.0]))
    assert GeneralisedEigenvalue()(blocks, [2.0], 3.0) == 3.0


def test_a_regulariser_of_a_step_whose_cube_overflows():
    spectrum = LSR1(1, gamma=1.0).spectrum()
    ends = np.full(1, -1e200), np.full(1, 1e200)
    model = BoxedModel(np.ones(1), spectrum, *ends, np.full(1, True), norm=1.0)
    point = model.at(np.full(1, -1e150))
    with np.errstate(over="ignore"):
        assert model.value(point, Regularisation(1.0)) == math.inf
