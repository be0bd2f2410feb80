"""Values that are not finite: at the start a status, later on a shorter step."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve import Status
from tests.robustness.cases import BAD, METHODS, X0, Spoilt, minimize, put, to_numpy, wells

pytestmark = pytest.mark.parametrize("method", METHODS)


@pytest.mark.parametrize("where", ["f", "g", "fg"])
@pytest.mark.parametrize("bad", BAD)
def test_at_the_start(method, where, bad, xp):
    result = minimize(method, Spoilt(wells, put(BAD[bad], where), [0]), xp.asarray(X0))
    assert (result.status, result.nfev, result.nit) == (Status.NON_FINITE_START, 1, 0)
    assert not result.success
    np.testing.assert_array_equal(to_numpy(result.x), X0)


@pytest.mark.parametrize(("where", "bad"), [("f", "inf"), ("g", "nan"), ("fg", "nan")])
def test_now_and_then(method, where, bad, xp):
    """A fault in an evaluation costs evaluations, not the run."""
    fun = Spoilt(wells, put(BAD[bad], where), [1, 4, 5, 9])
    result = minimize(method, fun, xp.asarray(X0), maxfev=200)
    assert result.success
    np.testing.assert_allclose(np.abs(to_numpy(result.x)), np.sqrt(0.5), atol=1e-4)


@pytest.mark.parametrize(("where", "bad"), [("f", "inf"), ("g", "nan"), ("fg", "nan")])
def test_from_then_on(method, where, bad, xp):
    """Where nothing is finite any more, the run ends with the best point it had."""
    fun = Spoilt(wells, put(BAD[bad], where), range(4, 10**6))
    result = minimize(method, fun, xp.asarray(X0), maxfev=2000)
    assert not result.success and result.status != Status.MAXFEV
    f, g = wells(X0 * 0 + to_numpy(result.x))
    assert result.fun == pytest.approx(f) and result.fun <= wells(X0)[0]
    np.testing.assert_allclose(to_numpy(result.jac), g, rtol=1e-12, atol=1e-12)


def test_minus_infinity_later_on(method, xp):
    """A value of minus infinity is as low as it gets: the run ends there and says so."""
    fun = Spoilt(wells, put(-np.inf, "f"), range(3, 10**6))
    result = minimize(method, fun, xp.asarray(X0))
    assert (result.status, result.fun, result.success) == (Status.UNBOUNDED, -np.inf, False)
