"""Numbers near the ends of the range, on which squares over- or underflow: a status, no exception.

Warnings are errors in this test suite, so none leaks either.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from qnsolve import (
    LBFGS,
    LSR1,
    Status,
    SubproblemStatus,
    UpdateStatus,
    minimize,
    solve_cubic,
    solve_trs,
)
from qnsolve.problems import get_problem


def quiet(fun):
    """Return `fun` with its own floating-point warnings switched off."""

    def wrapped(x):
        with np.errstate(all="ignore"):
            return fun(x)

    return wrapped


def scaled_bowl(scale):
    return quiet(lambda x: (float(scale * (x @ x)), 2 * scale * x))


@pytest.mark.parametrize("scale", [1e-170, 1e-100, 1e100, 1e150, 1e160])
def test_scale_of_f(scale):
    result = minimize(scaled_bowl(scale), [1.0, -2.0], jac=True, options={"gtol": 1e-8 * scale})
    assert result.success
    np.testing.assert_allclose(result.x, 0.0, atol=1e-6)


@pytest.mark.parametrize("c", [1e-60, 1e-30, 1e30, 1e60])
def test_scale_of_x(c):
    problem = get_problem("extended-rosenbrock", 4)

    def fun(x):
        f, g = problem.fun(x / c)
        return f, g / c

    options = {"initial_radius": c, "gtol": 1e-6 / c}
    result = minimize(quiet(fun), problem.x0 * c, jac=True, options=options)
    assert result.success
    np.testing.assert_allclose(result.x / c, 1.0, atol=1e-4)


@pytest.mark.parametrize("method", ["hybrid-tr", "lsr1-tr"])
@pytest.mark.parametrize(
    "options",
    [
        {"initial_radius": 1e200},
        {"initial_radius": 1e-200, "xtol": 0.0},
        {"initial_radius": 1e-250},
        {"gamma": 1e-200},
        {"gamma": 1e155},
        {"gamma": -1e155},
    ],
)
def test_extreme_options_end_with_a_status(method, options):
    if method == "hybrid-tr" and options.get("gamma", 1.0) < 0.0:
        pytest.skip("refused")
    options = {"maxfev": 300, **options}
    result = minimize(scaled_bowl(1.0), [1.0, 2.0], jac=True, method=method, options=options)
    assert np.isfinite(result.x).all()
    assert result.fun <= 5.0
    assert result.success == (np.abs(result.jac).max() <= 1e-5)


def test_steep_kinks():
    kink = quiet(lambda x: (float(1e147 * np.abs(x).sum()), 1e147 * np.sign(x)))
    run = partial(minimize, kink, [0.3, -0.2, 0.7], jac=True, options={"maxfev": 2000})
    assert not run().success
    # The default starts further out, where y'y overflows: without a pair it is steepest descent,
    # which stops on the first kink.
    assert run().fun < 0.1 * kink(np.array([0.3, -0.2, 0.7]))[0]
    assert np.abs(run(method="lsr1-tr").x).max() < 1e-10


def test_unbounded_result_belongs_together():
    fun = quiet(lambda x: (float(-np.exp(x[0])), -np.exp(x)))
    seen = []
    result = minimize(fun, [1.0], jac=True, callback=lambda xk: seen.append(xk))
    assert result.status == Status.UNBOUNDED
    assert result.fun == fun(result.x)[0]
    np.testing.assert_array_equal(result.jac, fun(result.x)[1])
    np.testing.assert_array_equal(seen[-1], result.x)
    assert result.nit == len(seen) == result.nfev - 1


@pytest.mark.parametrize("radius", [1e-170, 1e-8, 1e8, 1e160])
def test_trust_region_radius(radius):
    result = solve_trs(np.array([1.0, 0.0]), np.diag([1.0, 2.0]), radius)
    expected = radius if radius < 1e-8 else 0.5 if radius > 1 else result.decrease
    assert result.decrease == pytest.approx(expected, rel=1e-14)
    indefinite = solve_trs(np.array([1.0, 0.0]), np.diag([-1.0, 2.0]), radius)
    # The decrease r + r^2 / 2 may be beyond the range; the step never is.
    assert np.linalg.norm(indefinite.step / radius) == pytest.approx(1.0, rel=1e-14)
    for norm in ("shape-inf", "shape-2"):
        shape = solve_trs(np.array([1.0, 0.0]), np.diag([1.0, 2.0]), radius, norm=norm)
        assert shape.decrease == pytest.approx(expected, rel=1e-14)


def test_curvatures_far_apart():
    result = solve_trs([1.0, 1.0], np.diag([1e-160, 1.0]), 1.0)
    assert np.linalg.norm(result.step) == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize("norm", ["shape", "l2"])
def test_cubic_whose_decrease_overflows(norm):
    for curvature, weight in ((-1e150, 1e-8), (-1e110, 1.0)):
        result = solve_cubic([1.0, 0.0], np.diag([curvature, 1.0]), weight, norm=norm)
        assert result.status is SubproblemStatus.UNBOUNDED
        assert result.decrease == 0.0
        np.testing.assert_array_equal(result.step, 0.0)
    steep = solve_cubic([1.0, 0.0], np.diag([1e150, 1.0]), 1e-170, norm=norm)
    assert steep.step[0] == pytest.approx(-1e-150)


@pytest.mark.parametrize("matrix", [LSR1, LBFGS])
@pytest.mark.parametrize(
    ("s", "y"), [(1e-160, 1.0), (1e200, 1.0), (1.0, 1e200), (1e-170, 1e-170), (1.0, 1e-170)]
)
def test_pairs_whose_products_lose_digits_are_refused(matrix, s, y):
    B = matrix(2)
    assert B.update(np.array([s, 0.0]), np.array([y, 0.0])) is UpdateStatus.NON_FINITE
    np.testing.assert_array_equal(B.to_dense(), np.eye(2))


@pytest.mark.parametrize(("s", "y"), [(1e-140, 1.0), (1e140, 1e-2), (1e-100, 1e100)])
def test_pairs_near_the_ends_are_right(s, y):
    for matrix in (LSR1, LBFGS):
        B = matrix(2)
        status = B.update(np.array([s, 0.0]), np.array([y, 0.0]))
        assert status in (UpdateStatus.STORED, UpdateStatus.SATISFIED)
        np.testing.assert_allclose(B @ np.array([s, 0.0]), [y, 0.0], rtol=1e-12)


def test_gamma_rule_of_the_user_is_checked():
    s, y = np.array([1.0, 0.0]), np.array([2.0, 1.0])
    for bad in (np.inf, np.nan, 0.0):
        B = LSR1(2, gamma=lambda blocks, ratios, current, bad=bad: bad)
        assert B.update(s, y).stored
        assert B.gamma == 1.0
    B = LBFGS(2, gamma=lambda blocks, ratios, current: -3.0)
    assert B.update(s, y).stored
    assert B.gamma == 1.0
    with pytest.raises(ValueError, match="finite and positive"):
        B.reset(-1.0)
    with pytest.raises(ValueError, match="finite and not zero"):
        LSR1(2).reset(0.0)


def test_no_direction_with_a_large_weight_is_dropped():
    """Two nearly equal pairs: their difference is short but decides an eigenvalue of B."""
    B = LSR1(2, memory=2, gamma=0.5860659626490375)
    for s, y in (
        ([-0.34407044683105426, -0.9354774747449877], [-0.35113089061025965, -0.15671266994967617]),
        ([-0.34407022298105827, -0.9354791783633812], [-0.3511311417271561, -0.1567127789592874]),
    ):
        assert B.update(np.array(s), np.array(y)).stored
    spectrum = B.spectrum()
    eigenvalues = np.append(spectrum.eigenvalues, [B.gamma] * spectrum.complement_dim)
    np.testing.assert_allclose(np.sort(eigenvalues), np.linalg.eigvalsh(B.to_dense()), atol=1e-7)
    assert solve_trs(np.ones(2), B, 1e4).certificate().stationarity <= 1e-7
    b = np.array([1.0, 2.0])
    np.testing.assert_allclose(B @ B.solve(b), b, atol=1e-7)
