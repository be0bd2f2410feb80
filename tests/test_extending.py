"""The three recipes of CONTRIBUTING.md: a method, a norm, an array library, in a few lines each."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import qnsolve
from qnsolve import methods, options
from qnsolve.options import TrustRegionOptions
from qnsolve.problems import woods
from qnsolve.quasi_newton.lbfgs import LBFGS
from qnsolve.quasi_newton.spectrum import PartialSpectrum
from qnsolve.solvers.loop import Parts
from qnsolve.solvers.matrices import Build
from qnsolve.solvers.radius import interpolated_radius
from qnsolve.subproblem import regions
from qnsolve.subproblem.model import QuadraticModel
from qnsolve.subproblem.trust_region_l2 import trust_region_l2
from qnsolve.subproblem.types import ReducedProblem, ReducedStep
from tests.conftest import Backend
from tests.tolerances import EPS

# A method ---------------------------------------------------------------------------------------


@pytest.fixture
def lbfgs_tr(monkeypatch):
    """L-BFGS in a trust region: a matrix that exists, in a reach that exists."""
    model = partial(methods.secant_model, Build(LBFGS))
    reach = partial(methods.radius, interpolated_radius)
    words = "the limited-memory BFGS trust-region method"
    method = methods.Method(TrustRegionOptions, Parts(model, reach), words)
    monkeypatch.setitem(methods.TABLE, "lbfgs-tr", method)
    monkeypatch.setitem(methods.METHODS, "lbfgs-tr", methods._callable("lbfgs-tr"))
    return methods.METHODS["lbfgs-tr"]


def test_a_new_method_is_one_of_minimize(lbfgs_tr):
    problem = woods(40)
    result = qnsolve.minimize(problem.fun, problem.x0, jac=True, method="lbfgs-tr")
    assert result.success
    assert np.abs(problem.fun(result.x)[1]).max() <= options.GTOL
    again = lbfgs_tr(problem.fun, problem.x0, jac=True)
    assert np.array_equal(again.x, result.x)


def test_a_new_method_checks_its_options_and_has_a_docstring(lbfgs_tr):
    problem = woods(4)
    with pytest.raises(TypeError, match="did you mean 'memory'"):
        lbfgs_tr(problem.fun, problem.x0, jac=True, memori=3)
    assert "limited-memory BFGS trust-region method" in lbfgs_tr.__doc__


# A norm -----------------------------------------------------------------------------------------


def first_apart(r):
    """Return the blocks: the leftmost eigenvector, and everything else."""
    return np.minimum(np.arange(r + 1), 1)


def trust_region_first_apart(problem, radius):
    """Minimise over max(|v_1|, ||the other coordinates||): an interval, and a ball."""
    # The interval is a ball in one dimension, without a complement.
    first = trust_region_l2(ReducedProblem.of(problem.curvatures[:1], problem.slopes[:1]), radius)
    rest = ReducedProblem(problem.curvatures[1:], problem.slopes[1:])
    rest = trust_region_l2(rest, radius)
    return ReducedStep(
        np.append(first.v[:1], rest.v),
        np.append(first.multipliers, rest.multipliers),
        first.decrease + rest.decrease,
        on_boundary=first.on_boundary or rest.on_boundary,
        hard_case=first.hard_case or rest.hard_case,
        nit=rest.nit,
    )


@pytest.fixture
def new_norm(monkeypatch):
    entry = (trust_region_first_apart, first_apart)
    monkeypatch.setitem(regions.TRUST_REGIONS, "first-apart", entry)
    return "first-apart"


@pytest.mark.parametrize("gamma", [-0.5, 2.0])
@pytest.mark.parametrize("radius", [1e-3, 1.0, 1e3])
def test_a_new_norm_is_certified(new_norm, gamma, radius):
    rng = np.random.default_rng(0)
    n, lam = 20, np.array([-2.0, -1.0, 0.5, 3.0])
    basis = np.linalg.qr(rng.standard_normal((n, len(lam))))[0].T
    spectrum = PartialSpectrum.from_basis(gamma, lam, basis)
    model = QuadraticModel(rng.standard_normal(n), spectrum)
    answer = model.trust_region(radius, new_norm)
    assert answer.multipliers.shape == (2,)
    # Twenty components, of which each is formed and measured with a few roundings.
    assert answer.certificate().worst <= 100 * EPS
    # Its region contains the ball, and is contained in the box.
    ball, box = model.trust_region(radius), model.trust_region(radius, "shape-inf")
    rounding = 100 * EPS * box.decrease
    assert ball.decrease <= answer.decrease + rounding
    assert answer.decrease <= box.decrease + rounding


def test_a_new_norm_is_one_of_solve_trs(new_norm):
    g, B = np.array([1.0, 2.0, -1.0]), np.diag([-1.0, 1.0, 4.0])
    answer = qnsolve.solve_trs(g, B, 0.5, norm=new_norm)
    assert abs(abs(answer.step[0]) - 0.5) <= 4 * EPS
    assert np.linalg.norm(answer.step[1:]) <= 0.5 * (1 + 8 * EPS)


# An array library -------------------------------------------------------------------------------


def test_a_new_array_library_needs_a_backend_only():
    strict = pytest.importorskip("array_api_strict")
    # This device refuses to be converted to NumPy unasked, as a GPU does.
    backend = Backend(strict, strict.Device("device1"))

    def fun(x):
        return strict.sum(x**4 - x**2), 4.0 * x**3 - 2.0 * x

    x0 = backend.asarray([0.1, 0.2, -0.3])
    result = qnsolve.minimize(fun, x0, jac=True)
    assert result.success
    assert result.x.device == backend.device
    assert result.x.dtype == strict.float64
