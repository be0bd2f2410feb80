"""The public checks see what is right and what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod
from scipy.sparse.linalg import aslinearoperator

from qnsolve import LSR1, solve_trs, verify
from qnsolve.problems import PROBLEMS, get_problem
from tests.strategies import seeds


# The digits network has 2n = 4820 evaluations to itself; its own tests check it along directions.
@pytest.mark.parametrize("name", sorted(set(PROBLEMS) - {"digits-network"}))
def test_shipped_gradients_are_consistent(name):
    problem = get_problem(name, 2 if name == "monkey-saddle" else None)
    x = problem.x0 + 0.01 * np.random.default_rng(0).standard_normal(problem.n)
    assert verify.check_grad(problem.fun, x).consistent


@pytest.mark.parametrize(
    ("spoil", "component"),
    [
        (lambda g: -g, None),
        (lambda g: 2 * g, None),
        (lambda g: g * np.array([1, 1, 1.01, 1]), (2,)),
        (lambda g: g + np.array([0, np.nan, 0, 0]), None),
    ],
)
def test_wrong_gradients_are_seen(spoil, component):
    problem = get_problem("woods", 4)

    def wrong(x):
        f, g = problem.fun(x)
        return f, spoil(g)

    if component is None and np.isnan(spoil(np.ones(4))).any():
        with pytest.raises(ValueError, match="not finite"):
            verify.check_grad(wrong, problem.x0)
        return
    check = verify.check_grad(wrong, problem.x0)
    assert not check.consistent
    if component is not None:
        assert check.component == component
        assert check.given == pytest.approx(1.01 * check.measured, rel=1e-6)


def test_check_grad_keeps_the_shape_and_args():
    def fun(x, power):
        assert x.shape == (2, 2)
        return (x**power).sum(), power * x ** (power - 1)

    assert verify.check_grad(fun, np.full((2, 2), 1.5), args=(3,)).consistent
    value = lambda x: (x**2).sum()  # noqa: E731
    assert verify.check_grad(value, np.ones(2), jac=lambda x: 2 * x).consistent
    with pytest.raises(TypeError, match="jac must be"):
        verify.check_grad(value, np.ones(2), jac=None)


@given(seeds())
def test_perturbed_answer_loses_its_certificate(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((5, 5))
    B, g = A + A.T, rng.standard_normal(5)
    result = solve_trs(g, B, 1.0)
    good = verify.check_trs(g, B, 1.0, result.step, result.multipliers[0])
    fitted = verify.check_trs(g, B, 1.0, result.step)
    assert good.worst <= 1e-13
    assert fitted.worst <= 1e-10
    turned = result.step + 1e-3 * rng.standard_normal(5)
    assert verify.check_trs(g, B, 1.0, turned).worst >= 1e-7
    # A stationary point that is no minimiser: the multiplier is below -lambda_min.
    lam = np.linalg.eigvalsh(B)
    if lam[0] < -0.1:
        inside = -np.linalg.solve(B, g)
        scale = 2 * np.linalg.norm(inside)
        certificate = verify.check_trs(g, B, scale, inside, 0.0)
        assert certificate.stationarity <= 1e-12
        assert certificate.min_eig < 0


def test_check_secant():
    B = LSR1(3)
    s, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, -1.0, 0.0])
    B.update(s, y)
    assert verify.check_secant(B, s, y) <= 1e-15
    assert verify.check_secant(B.to_dense(), s, y) <= 1e-15
    assert verify.check_secant(B, s, y + 1e-6) >= 1e-8


def test_check_trs_refuses():
    with pytest.raises(ValueError, match="step must have shape"):
        verify.check_trs(np.ones(2), np.eye(2), 1.0, np.ones(3))
    with pytest.raises(ValueError, match="multiplier"):
        verify.check_trs(np.ones(2), np.eye(2), 1.0, np.ones(2), -1.0)


# Products with a Hessian --------------------------------------------------------------------------


def curved(x):
    return rosen(x), rosen_der(x)


@pytest.mark.parametrize(
    "forms",
    [
        {"hessp": rosen_hess_prod},
        {"hess": rosen_hess},
        {"hess": lambda x: scipy.sparse.csr_array(rosen_hess(x))},
        {"hess": lambda x: aslinearoperator(rosen_hess(x))},
    ],
)
def test_right_hessians_are_consistent(forms):
    x = np.array([1.3, 0.7, 0.8, 1.9, 1.2])
    check = verify.check_hessp(curved, x, **forms)
    assert check.consistent
    assert check.error <= 1e-8
    assert check.asymmetry <= 1e-14


def test_a_slip_in_one_entry_is_named():
    x = np.array([1.3, 0.7, 0.8, 1.9, 1.2])
    for i, j in ((0, 0), (1, 2), (4, 4), (3, 0)):

        def wrong(x, i=i, j=j):
            H = rosen_hess(x)
            H[i, j] += 5.0
            return H

        check = verify.check_hessp(curved, x, hess=wrong)
        assert not check.consistent
        assert check.component == (i,)
        assert check.given - check.measured == pytest.approx(5.0 * check.direction[j], rel=1e-4)
        assert (check.asymmetry > 1e-4) == (i != j)
    nan = verify.check_hessp(curved, x, lambda x, p: np.array([1.0, np.nan, 0.0, 0.0, 0.0]))
    assert (nan.error, nan.component, nan.consistent) == (np.inf, (1,), False)


def test_products_that_are_not_symmetric_are_seen():
    """Of a gradient that is none, differences agree with the product, and it is not symmetric."""
    A = np.array([[1.0, 2.0], [0.0, 1.0]])
    fun = lambda x: (0.5 * x @ A @ x, A @ x)  # noqa: E731
    check = verify.check_hessp(fun, np.ones(2), lambda x, p: A @ p)
    assert check.error <= 1e-8
    assert not check.consistent


def test_check_hessp_keeps_shape_args_and_library(xp):
    xp, device = xp.namespace, xp.device
    x = xp.asarray([[1.5, 2.0], [-1.0, 0.5]], dtype=xp.float64, device=device)

    def fun(x, power):
        assert tuple(x.shape) == (2, 2)
        return xp.sum(x**power), power * x ** (power - 1)

    def hessp(x, p, power):
        assert tuple(p.shape) == (2, 2)
        return power * (power - 1) * x ** (power - 2) * p

    check = verify.check_hessp(fun, x, hessp, args=(4,), directions=1)
    assert check.consistent
    assert tuple(check.direction.shape) == (2, 2)
    assert not verify.check_hessp(fun, x, lambda x, p, power: -hessp(x, p, power), (4,)).consistent


def test_check_hessp_refuses():
    for changed, error, message in (
        ({}, TypeError, "one of hessp and hess is wanted, got none"),
        ({"hess": rosen_hess, "hessp": rosen_hess_prod}, TypeError, "got both"),
        ({"hess": rosen_hess, "jac": None}, TypeError, "jac must be"),
        ({"hess": 1.0}, TypeError, "hess must be callable"),
        ({"hess": rosen_hess, "directions": 0}, ValueError, "directions must be an integer"),
    ):
        with pytest.raises(error, match=message):
            verify.check_hessp(curved, np.ones(3), **changed)
    with pytest.raises(ValueError, match="gradient is not finite at x"):
        verify.check_hessp(lambda x: (0.0, x * np.nan), np.ones(2), lambda x, p: p)
