"""SciPy's own tests, as the installed SciPy ships them, run on qnsolve's methods and strategies."""

from __future__ import annotations

import importlib
import inspect
import warnings

import numpy as np
import pytest
import scipy.optimize

from qnsolve import LBFGSStrategy, LSR1Strategy
from qnsolve.methods import METHODS

ROOM = 40
"""Pairs in a strategy: more than the tests give, so that the limited memory is none."""


def shipped(name):
    """Return a test module of the installed SciPy, or None where it cannot be imported."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(f"scipy.optimize.tests.{name}")
    except (ImportError, pytest.fail.Exception):  # the latter for markers that are not registered
        return None


strategies = shipped("test_hessian_update_strategy")
methods = shipped("test_optimize")
regions = shipped("test_trustregion")


def routed(chosen=None):
    """Return ``scipy.optimize.minimize`` that takes our methods by name, or `chosen` for all.

    A Hessian is handed to the method that uses it; to return all iterates is SciPy's own option.
    """
    original = scipy.optimize.minimize

    def minimize(*args, method=None, hess=None, hessp=None, options=None, **kwargs):
        name = chosen or method
        if name == "newton-tr":
            kwargs.update(hess=hess, hessp=hessp)
        options = {key: value for key, value in (options or {}).items() if key != "return_all"}
        result = original(*args, method=METHODS[name], options=options, **kwargs)
        # The same said in other words.
        result.message = result.message.replace(
            "The callback raised StopIteration", "`callback` raised `StopIteration`"
        )
        return result

    return minimize


@pytest.fixture(params=METHODS)
def method(request, monkeypatch):
    monkeypatch.setattr(scipy.optimize, "minimize", routed())
    return request.param


@pytest.mark.skipif(methods is None, reason="this SciPy comes without its tests")
class TestMethods:
    """Tests of ``minimize`` that name their method in a parameter."""

    @pytest.fixture
    def peer(self):
        peer = methods.TestOptimizeSimple()
        peer.setup_method()
        return peer

    @pytest.mark.parametrize(
        "name",
        [
            "test_no_increase",
            "test_respect_maxiter",
            "test_nan_values",
            "test_duplicate_evaluations",
            "test_minimize_callback_copies_array",
        ],
    )
    def test_as_shipped(self, peer, method, name):
        if not hasattr(peer, name):
            pytest.skip("not in this SciPy")
        test = getattr(peer, name)
        # Some releases run their tests in threads and tell them in how many.
        threads = "num_parallel_threads" in inspect.signature(test).parameters
        test(method, **({"num_parallel_threads": 1} if threads else {}))

    @pytest.mark.parametrize("interface", [0, 1, 2])
    def test_callback_that_stops(self, peer, method, interface):
        peer.test_callback_stopiteration(method, interface)

    def test_entropy(self, peer, method):
        """Berger's problem, which every one of SciPy's methods is put to."""
        hess = peer.hess if method == "newton-tr" else None
        result = scipy.optimize.minimize(
            peer.func, peer.startparams, jac=peer.grad, hess=hess, method=method, tol=1e-8
        )
        np.testing.assert_allclose(result.fun, peer.func(peer.solution), atol=1e-6)
        # SciPy's BFGS may take 10 evaluations and its conjugate gradients 9.
        assert result.nfev <= 15


@pytest.mark.skipif(methods is None, reason="this SciPy comes without its tests")
@pytest.mark.parametrize("name", ["test_rosenbrock", "test_himmelblau"])
def test_newton(name, monkeypatch):
    monkeypatch.setattr(scipy.optimize, "minimize", routed("newton-tr"))
    getattr(methods.TestNewtonCg(), name)()


@pytest.mark.skipif(regions is None, reason="this SciPy comes without its tests")
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    "test",
    [
        "test_trust_ncg_hessp",
        "test_trust_ncg_start_in_optimum",
        "test_trust_exact_start_in_optimum",
    ],
)
def test_trust_regions(test, name, monkeypatch):
    peer = regions.TestTrustRegionSolvers()
    if not hasattr(peer, test):
        pytest.skip("not in this SciPy")
    monkeypatch.setattr(regions, "minimize", routed(name))
    peer.setup_method()
    getattr(peer, test)()


@pytest.mark.skipif(strategies is None, reason="this SciPy comes without its tests")
class TestStrategies:
    """Tests of SR1 and BFGS, on the matrices with room for all pairs."""

    @pytest.fixture(autouse=True)
    def ours(self, monkeypatch):
        def sr1(init_scale, min_denominator=1e-8):
            return LSR1Strategy(ROOM, gamma=float(init_scale), skip=min_denominator)

        def bfgs(init_scale, min_curvature=1e-8):
            return LBFGSStrategy(ROOM, gamma=float(init_scale))

        monkeypatch.setattr(strategies, "SR1", sr1)
        monkeypatch.setattr(strategies, "BFGS", bfgs)

    @pytest.mark.parametrize("name", ["test_rosenbrock_with_no_exception", "test_SR1_skip_update"])
    def test_as_shipped(self, name):
        strategies.TestHessianUpdateStrategy(name).debug()

    @pytest.mark.parametrize("strategy", [LSR1Strategy, LBFGSStrategy])
    @pytest.mark.parametrize("approx_type", ["hess", "inv_hess"])
    def test_matmul_equals_dot(self, strategy, approx_type):
        strategies.test_matmul_equals_dot(lambda init_scale: strategy(), approx_type)
