"""What other packages pass to a local method: taken, or refused before fun is called."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
from scipy import optimize
from scipy.sparse.linalg import LinearOperator

import qnsolve
from qnsolve import checks
from qnsolve.methods import METHODS, TABLE

BOX = [(-2.0, 2.0)] * 2
LESS_THAN_BFGS = 1e-4
"""Of an x where g is within 1e-5 and the curvature at least 1."""


class Counted:
    """Rastrigin's function, without its constant, and how often it was called."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return float(np.sum(x**2 - np.cos(2.0 * np.pi * x)))


def grad(x):
    return 2.0 * x + 2.0 * np.pi * np.sin(2.0 * np.pi * x)


def hess(x):
    return np.diag(2.0 + 4.0 * np.pi**2 * np.cos(2.0 * np.pi * x))


def statsmodels(fun, method, **further):
    """Its _fit_minimize: the Hessian for every method, what fit() is given as options."""
    options = {"disp": 0, "maxiter": 100, **further}
    return optimize.minimize(
        fun,
        [0.1, -0.1],
        args=(),
        method=method,
        jac=grad,
        hess=hess,
        bounds=None,
        constraints=(),
        callback=None,
        options=options,
    )


def lmfit(fun, method):
    """Its scalar_minimize: no derivatives, a tolerance, a limit on the iterations."""
    return optimize.minimize(
        fun, [0.1, -0.1], method=method, jac=None, hess=None, tol=1e-6, options={"maxiter": 4000}
    )


def annealing(fun, method):
    kwargs = {"method": method, "jac": grad}
    return optimize.dual_annealing(fun, BOX, maxiter=20, rng=0, minimizer_kwargs=kwargs)


def hopping(fun, method):
    kwargs = {"method": method, "jac": grad, "options": {"disp": None}}
    return optimize.basinhopping(fun, [0.2, 0.1], niter=3, rng=0, minimizer_kwargs=kwargs)


def named(method):
    def local(fun, x0, args=(), *, bounds=None, **arguments):
        assert bounds is not None
        return method(fun, x0, args, **arguments)

    local.lower = lambda: "_custom"
    return local


def shgo(fun, method):
    kwargs = {"method": named(method), "jac": grad}
    return optimize.shgo(fun, BOX, minimizer_kwargs=kwargs)


def evolution(fun, method):
    def polish(fun, x, bounds, constraints):
        return optimize.minimize(fun, x, method=method)

    return optimize.differential_evolution(fun, BOX, maxiter=30, rng=0, polish=polish)


@pytest.mark.filterwarnings("ignore:Method .* does not use Hessian information")
@pytest.mark.parametrize("caller", [statsmodels, lmfit, annealing, hopping, shgo, evolution])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_local_method_of(caller, method):
    result = caller(Counted(), method)
    minima = 0.95105114 * np.arange(-2, 3)  # of one variable, to 1e-3 for the outer ones
    assert np.abs(result.x[:, None] - minima).min(axis=1).max() <= 0.1
    assert np.abs(grad(np.asarray(result.x))).max() <= LESS_THAN_BFGS


def test_the_hessian_of_statsmodels_is_used_or_there_is_a_warning():
    checks._warn_once.cache_clear()  # it warns once in a process
    with pytest.warns(RuntimeWarning, match="does not use Hessian"):
        statsmodels(Counted(), qnsolve.hybrid_tr)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert statsmodels(Counted(), qnsolve.newton_tr).nhev > 0


@pytest.mark.parametrize(
    ("name", "way_out"),
    [("full_output", "the options are"), ("retall", "options are"), ("iprint", "disp=True")],
)
def test_what_fit_passes_on_by_mistake_is_named(name, way_out):
    fun = Counted()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(TypeError, match=f"unknown option '{name}'.*{way_out}"):
            statsmodels(fun, qnsolve.hybrid_tr, **{name: 1})
    assert fun.calls == 0


def test_a_regression_of_scikit_learn():
    gaussian = pytest.importorskip("sklearn.gaussian_process")
    kernels = gaussian.kernels
    X = np.linspace(0.0, 5.0, 20)[:, None]
    y = np.sin(X[:, 0]) + 0.1 * np.cos(40.0 * X[:, 0])
    kernel = kernels.RBF() + kernels.WhiteKernel(1e-2)

    def optimizer(objective, theta, bounds):
        result = qnsolve.minimize(objective, theta, jac=True, bounds=bounds)
        return result.x, result.fun

    ours = gaussian.GaussianProcessRegressor(kernel, optimizer=optimizer).fit(X, y)
    theirs = gaussian.GaussianProcessRegressor(kernel).fit(X, y)
    assert ours.log_marginal_likelihood_value_ >= theirs.log_marginal_likelihood_value_ - 1e-6


@pytest.mark.parametrize(
    "bounds", [BOX, optimize.Bounds(0.0, 1.0), np.array(BOX), [(0.0, None)] * 2]
)
def test_bounds_are_refused_with_a_way_out(bounds):
    fun = Counted()
    for name in (name for name, row in TABLE.items() if not row.takes_bounds):
        with pytest.raises(ValueError, match=r"takes no bounds; use method .*or transform"):
            METHODS[name](fun, [0.1, 0.1], jac=grad, bounds=bounds)
    assert fun.calls == 0


@pytest.mark.parametrize("bounds", [(0.0, 1.0), [(0.0,)], "ab", 5, [None, None], [("a", 1.0)] * 2])
def test_what_are_no_bounds_is_said(bounds):
    fun = Counted()
    with pytest.raises(TypeError, match=r"bounds must be a .*Bounds, a sequence of pairs"):
        qnsolve.minimize(fun, [0.1, 0.1], jac=grad, bounds=bounds)
    assert fun.calls == 0


# The matrix of a result ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_result_has_scipys_inverse_matrix_or_says_why_not(method):
    result = qnsolve.minimize(Counted(), [0.1, 0.1], jac=grad, method=method)
    if method == "newton-tr":
        with pytest.raises(AttributeError, match=r"no hess_inv: newton-tr .* hess\(result.x\)"):
            _ = result.hess_inv
        assert getattr(result, "hess_inv", None) is None
    else:
        theirs = optimize.minimize(Counted(), [0.1, 0.1], jac=grad, method="L-BFGS-B").hess_inv
        assert isinstance(result.hess_inv, LinearOperator)
        assert type(result.hess_inv.todense()) is type(theirs.todense())
        assert result.hess_inv.todense().shape == theirs.todense().shape
        assert result.hess_inv.dot(np.ones(2)).shape == theirs.dot(np.ones(2)).shape
    with pytest.raises(AttributeError, match=r"^lagrangian$"):
        _ = result.lagrangian


def test_a_result_is_still_scipys():
    result = qnsolve.minimize(Counted(), [0.1, 0.1], jac=grad)
    assert isinstance(result, optimize.OptimizeResult)
    for other in (pickle.loads(pickle.dumps(result)), copy.copy(result), copy.deepcopy(result)):
        assert type(other) is type(result)
        assert repr(other) == repr(result)
    result.hess_inv = np.eye(2)
    assert result.hess_inv is result["hess_inv"]
    assert "hess_inv" in dir(result)
