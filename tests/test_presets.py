"""The presets: their form, and their iterates against transcriptions of what was published."""

from __future__ import annotations

import copy
from pathlib import Path
from pickle import dumps, loads

import numpy as np
import pytest
import scipy.optimize

import qnsolve
from qnsolve import presets
from qnsolve.problems import get_problem
from qnsolve.solvers.start import starting_radius
from tests.reference import arcs, lmtr, ramamurthy_duffy, sc_sr1

PRESETS = {
    name: value for name, value in vars(presets).items() if isinstance(value, presets.Preset)
}

STEPS = 20

SAME_STEP = 1e-6
"""Relative difference of two iterates or radii of the same method.

A dense B is known to eps times its condition, 1e8 here, and twenty steps through a curved valley
add to that: at most 2e-9 were seen but for one run of 8e-7.  A decision taken otherwise changes a
radius by half of itself.
"""


def quadratic(n):
    rng = np.random.default_rng(n)
    A = rng.standard_normal((n, n))
    A = A @ A.T + np.eye(n)
    return lambda x: (0.5 * x @ A @ x - x.sum(), A @ x - 1.0)


def shipped(name, n):
    problem = get_problem(name, n)
    # Off the line of symmetry, on which the gradient's part off the pairs would be rounding error.
    return problem.fun, problem.x0 + 0.01 * np.sin(np.arange(1.0, n + 1))


PROBLEMS = {
    "rosenbrock-2": shipped("extended-rosenbrock", 2),
    "rosenbrock-6": shipped("chained-rosenbrock", 6),
    "quadratic-6": (quadratic(6), np.zeros(6)),
    "powell-8": shipped("powell-singular", 8),
    "tridiagonal-10": shipped("broyden-tridiagonal", 10),
}


def run(preset, fun, x0, size, **options):
    """Return x and the radius or weight after each iteration."""
    seen = []

    def record(intermediate_result):
        seen.append((intermediate_result.x.copy(), intermediate_result[size]))

    options = {**preset, "gtol": 1e-4, "maxiter": STEPS, **options}
    qnsolve.minimize(fun, x0, jac=True, method=preset.method, options=options, callback=record)
    return seen


def assert_same_steps(ours, published):
    assert len(ours) >= 5
    for (x, size), (x_published, size_published) in zip(ours, published, strict=False):
        scale = np.abs(x_published).max()
        assert np.abs(x - x_published).max() <= SAME_STEP * scale
        assert size == pytest.approx(size_published, rel=SAME_STEP)


@pytest.mark.parametrize("name", PROBLEMS)
def test_ramamurthy_duffy(name):
    unscaled, x0 = PROBLEMS[name]
    # The first step is as long as the gradient.  A step of 1e4 here would put a curvature of 1e12
    # into the dense matrix, and the others would lose that many digits.
    unit = np.linalg.norm(unscaled(x0)[1])

    def fun(x):
        f, g = unscaled(x)
        return f / unit, g / unit

    published = ramamurthy_duffy.iterates(
        fun, x0, m=5, gamma=1.0, eta=1e-4, r=1e-8, u=0.75, rho=0.8, low=0.1, K=STEPS
    )
    ours = run(presets.RAMAMURTHY_DUFFY, fun, x0, "radius", gtol=1e-4 / unit)
    assert_same_steps(ours, published)


@pytest.mark.parametrize("name", PROBLEMS)
def test_sc_sr1(name):
    fun, x0 = PROBLEMS[name]
    ours = run(presets.SC_SR1, fun, x0, "radius")
    published = sc_sr1.iterates(
        fun,
        x0,
        ours[0][0],
        m=8,
        q=7,
        tol=1e-8,
        least=1e-10,
        c1=1e-5,
        c2=0.75,
        c3=0.8,
        c4=2.0,
        c5=0.1,
        c6=0.75,
        c7=0.5,
        K=STEPS,
    )
    assert_same_steps(ours, published)
    # The search that ends at the first iterate goes along -g and satisfies the Wolfe conditions.
    (f, g), (f_first, g_first), step = fun(x0), fun(ours[0][0]), ours[0][0] - x0
    assert step @ g == pytest.approx(-np.linalg.norm(step) * np.linalg.norm(g))
    assert f_first <= f + 1e-4 * step @ g and abs(g_first @ step) <= 0.9 * abs(g @ step)


@pytest.mark.parametrize("name", PROBLEMS)
def test_lmtr_dense(name):
    fun, x0 = PROBLEMS[name]
    published = lmtr.iterates(
        fun,
        x0,
        m=5,
        mix=0.5,
        tau0=0.0,
        tau1=0.25,
        tau2=0.75,
        c1=0.5,
        c2=0.25,
        c3=0.8,
        c4=2.0,
        K=STEPS,
    )
    assert_same_steps(run(presets.LMTR_DENSE, fun, x0, "radius"), published)


# With more steps than dimensions S'S is singular, and its generalised eigenvalues noise.
WIDE = [name for name in PROBLEMS if name != "rosenbrock-2"]


@pytest.mark.parametrize("name", WIDE)
def test_arcs_lsr1(name):
    fun, x0 = PROBLEMS[name]
    f, g = fun(x0)
    length = starting_radius(np.linalg.norm(x0), f, np.linalg.norm(g))
    published = arcs.iterates(
        fun,
        x0,
        m=5,
        mu=1.0,
        r=1e-8,
        eta1=0.1,
        eta2=0.75,
        gamma1=1.0,
        gamma2=10.0,
        first_gamma=0.5 * np.linalg.norm(g) / length,
        K=STEPS,
    )
    assert_same_steps(run(presets.ARCS_LSR1, fun, x0, "weight", memory=5), published)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_is_an_immutable_mapping_of_known_options(name):
    preset = PRESETS[name]
    assert preset.source in repr(preset)
    assert dict(preset) == {key: preset[key] for key in preset} and len(preset) > 3
    with pytest.raises(TypeError):
        preset["memory"] = 3
    with pytest.raises(TypeError):
        preset._options["memory"] = 3


@pytest.mark.parametrize("name", PRESETS)
def test_preset_converges_by_both_calls(name):
    preset = PRESETS[name]
    problem = get_problem("styblinski-tang", 10)
    method = getattr(qnsolve, preset.method.replace("-", "_"))
    ours = qnsolve.minimize(problem.fun, problem.x0, jac=True, method=preset.method, options=preset)
    through_scipy = scipy.optimize.minimize(
        problem.fun, problem.x0, jac=True, method=method, options=preset, tol=None
    )
    assert ours.success and ours.nit == through_scipy.nit
    np.testing.assert_array_equal(ours.x, through_scipy.x)


def test_presets_are_documented():
    page = (Path(__file__).parents[1] / "docs" / "presets.md").read_text()
    for name, preset in PRESETS.items():
        section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        for option in preset:
            assert f"`{option}" in section, f"{option} of {name} is not explained"


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda p: loads(dumps(p))])
def test_presets_can_be_copied_and_pickled(name, copied):
    preset = getattr(presets, name)
    other = copied(preset)
    assert dict(other) == dict(preset)
    assert (other.method, other.source) == (preset.method, preset.source)
