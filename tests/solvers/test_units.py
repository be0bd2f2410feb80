"""Variables with different units: each moves by its own, and no norm of x decides for all."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve import minimize
from qnsolve.arrays import space_of
from qnsolve.methods import METHODS
from qnsolve.points import stands_still

EPS = 2.0**-52


def rosenbrock_and_a_large_one(unit):
    def fun(x):
        a, b, t = x[0], x[1], x[2] / unit - 1.0
        r = b - a * a
        g = np.array([-400 * a * r - 2 * (1 - a), 200 * r, 2e-6 * t / unit])
        return 100 * r * r + (1 - a) ** 2 + 1e-6 * t * t + 1e-6, g

    return fun


@pytest.mark.parametrize("unit", [1e9, 1e11, 1e13])
@pytest.mark.parametrize("method", METHODS)
def test_a_variable_of_another_unit_does_not_end_the_run(method, unit):
    """After 4 evaluations at f = 4.1, or never, where one length is compared with one norm."""
    start = np.array([-1.2, 1.0, 1.3 * unit])
    result = minimize(rosenbrock_and_a_large_one(unit), start, jac=True, method=method)
    assert result.success
    np.testing.assert_allclose(result.x[:2], 1.0, atol=1e-3)
    # The third slope is below gtol from the start: 1e-6 (0.3)^2 is left of it.
    assert result.fun == pytest.approx(1.09e-6, rel=1e-2)
    assert result.nfev <= 130


@pytest.mark.parametrize(("centre", "width"), [(1.4e9, 2e3), (1.7e9, 30.0)])
@pytest.mark.parametrize("method", METHODS)
def test_a_peak_in_hertz_or_unix_seconds(method, centre, width):
    rng = np.random.default_rng(0)
    u = np.linspace(-5.0, 5.0, 200)
    at, data = centre + width * u, 2.0 * np.exp(-0.5 * u**2) + 0.5 + 0.02 * rng.standard_normal(200)

    def fun(p):
        z = (at - p[1]) / p[2]
        e = np.exp(-0.5 * z * z)
        r = p[0] * e + p[3] - data
        jacobian = np.array([e, p[0] * e * z / p[2], p[0] * e * z * z / p[2], np.ones_like(z)])
        return 0.5 * r @ r, jacobian @ r

    start = np.array([1.0, centre + 0.7 * width, 1.5 * width, 0.0])
    result = minimize(fun, start, jac=True, method=method, options={"maxfev": 300})
    assert result.success
    assert result.x[1] == pytest.approx(centre, abs=0.05 * width)
    assert abs(result.x[2]) == pytest.approx(width, rel=0.05)
    assert result.x[[0, 3]] == pytest.approx([2.0, 0.5], abs=0.05)


def test_a_step_stands_still_where_every_component_does():
    x = np.array([1e13, 1.0, 0.0])
    space = space_of(x)

    def still(step, t=1.0):
        step = np.array(step)
        return stands_still(space, x, np.linalg.norm(x), step, np.linalg.norm(step), EPS, t)

    assert still([1e-4, 1e-17, 0.0])
    assert not still([0.0, 1e-15, 0.0])
    assert not still([0.0, 0.0, 1e-300])  # zero has no unit: any step moves it
    assert not still([1e-2, 0.0, 0.0])
    assert still([0.0, 1e-15, 0.0], t=0.1)


@pytest.mark.parametrize("method", ["hybrid-tr", "lsr1-tr", "newton-tr"])
@pytest.mark.parametrize(
    ("dtype", "radius"), [(np.float32, 1e40), (np.float32, 1e300), (np.float64, 1e300)]
)
def test_a_radius_beyond_the_range(method, dtype, radius):
    def bowl(x):
        with np.errstate(over="ignore"):
            return x @ x, 2 * x

    options = {"initial_radius": radius}
    result = minimize(bowl, np.ones(3, dtype), jac=True, method=method, options=options)
    assert result.success and np.abs(result.x).max() < 1e-2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_first_step_beyond_the_range(dtype):
    def bowl(x):
        with np.errstate(over="ignore"):
            return x @ x, 2 * x

    options = {"initial_step": 1e300}
    result = minimize(bowl, np.ones(3, dtype), jac=True, method="lsr1-ls", options=options)
    assert result.success and np.abs(result.x).max() < 1e-2
