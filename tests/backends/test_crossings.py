"""What crosses from a device to the host: one small array an iteration, and no vector."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest

import qnsolve
import qnsolve.arrays.device
from qnsolve import DiagonalNorm
from qnsolve.arrays.device import DeviceSpace
from qnsolve.comm import Serial
from qnsolve.quasi_newton.spectrum import Subspace

N = 1000
ROUNDING = 1e-10
"""Of iterates after 15 steps with curvatures from 1 to 31; at most 5e-13 was seen."""

LARGEST_CROSSING = 4096
"""Bytes of one crossing, far fewer than the 8 N of a vector."""

MODEL_LOOPS = {
    "hybrid-tr": {},
    "hybrid-tr/shape-2": {"norm": "shape-2"},
    "lsr1-tr": {},
    "lsr1-tr/shape-inf": {"norm": "shape-inf"},
    "lsr1-tr/diagonal": {"norm": "diagonal"},
    "lsr1-arc": {},
    "lsr1-arc/l2": {"norm": "l2"},
}


class Bowl:
    """f = x'Dx / 2 + c'x on a device whose arrays refuse to be turned into numbers."""

    def __init__(self, dtype="float64"):
        self.xp = array_api_strict
        placement = {"dtype": getattr(self.xp, dtype), "device": self.xp.Device("device1")}
        self.d = self.xp.asarray(np.linspace(1.0, 30.0, N), **placement)
        self.c = self.xp.asarray(np.sin(np.arange(N)), **placement)
        self.x0 = self.xp.asarray(np.cos(np.arange(N)), **placement)

    def __call__(self, x):
        half = self.xp.asarray(0.5, dtype=x.dtype, device=x.device)
        return self.xp.sum(half * self.d * x * x + self.c * x), self.d * x + self.c


@pytest.fixture(autouse=True)
def none_carried(monkeypatch):
    """Treat short vectors as long ones."""
    monkeypatch.setattr("qnsolve.arrays.border.CARRIED", -1)


@pytest.fixture
def crossings(monkeypatch):
    """Bytes of every transfer to the host since the fixture was asked for."""
    sizes = []
    to_host = qnsolve.arrays.device.to_host

    def counted(a):
        if not isinstance(a, np.ndarray):
            sizes.append(8 * int(np.prod(a.shape)))
        return to_host(a)

    monkeypatch.setattr(qnsolve.arrays.device, "to_host", counted)
    return sizes


@pytest.fixture
def no_other_way(monkeypatch):
    """Make an array raise where Python asks it for a number; to be called once a solve runs."""

    def start():
        def refuse(self):
            raise AssertionError("a number was read from the device one by one")

        cls = type(array_api_strict.zeros(1))
        for name in ("__float__", "__int__", "__bool__", "__index__", "__complex__"):
            monkeypatch.setattr(cls, name, refuse)

    return start


@pytest.fixture
def for_dependence(monkeypatch, crossings):
    """Crossings so far for vectors that depend on each other to many digits: for the part of the
    gradient off the span of the pairs, where little is left of it, and for a second pass over the
    basis of that span."""
    count = [0]
    second_pass = DeviceSpace.products_of_combinations

    def counted(self, *args):
        before = len(crossings)
        found = second_pass(self, *args)
        assert len(crossings) == before + 1
        count[0] += 1
        return found

    split = Subspace.split

    def watched(self, g, *args, **kwargs):
        before = len(crossings)
        found = split(self, g, *args, **kwargs)
        here = len(crossings) - before
        assert here <= 3
        count[0] += here
        return found

    monkeypatch.setattr(Subspace, "split", watched)
    monkeypatch.setattr(DeviceSpace, "products_of_combinations", counted)
    return count


def crossings_an_iteration(fun, method, crossings, for_dependence, no_other_way, **options):
    """Run 20 iterations; return how many crossings each took after the first, those of
    `for_dependence` left out, and the result."""
    marks = []

    def callback(xk):
        if not marks:
            no_other_way()
        marks.append(len(crossings) - for_dependence[0])

    method, *_ = method.split("/")
    options = {"maxiter": 20, "gtol": 0.0, **options}
    result = qnsolve.minimize(
        fun, fun.x0, jac=True, method=method, callback=callback, options=options
    )
    assert result.nit == 20
    return np.diff(marks), result


@pytest.mark.parametrize("name", MODEL_LOOPS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_crossing_an_iteration(name, dtype, crossings, for_dependence, no_other_way):
    fun = Bowl(dtype)
    options = {"history": True, **MODEL_LOOPS[name]}
    if options.get("norm") == "diagonal":
        options["norm"] = DiagonalNorm(fun.xp.sqrt(fun.d))
    counts, result = crossings_an_iteration(
        fun, name, crossings, for_dependence, no_other_way, **options
    )
    accepted = np.array([row["accepted"] for row in result.history])[1:]
    # The hybrid changes y after the evaluation; in float32 that makes it another, rounded vector.
    usual = 2 if name.startswith("hybrid") and dtype == "float32" else 1
    assert (counts[accepted] == usual).all()
    # The products of a refused trial's pair with the old gradient take one more.
    assert (counts <= usual + 1).all()
    assert max(crossings) < LARGEST_CROSSING < 8 * N


def test_crossings_of_a_line_search(crossings, for_dependence, no_other_way):
    fun = Bowl()
    counts, result = crossings_an_iteration(
        fun, "lsr1-ls", crossings, for_dependence, no_other_way, history=True
    )
    # The direction's slope and length, each trial, and the pair; of a modified direction both.
    history = result.history
    trials = np.diff([row["nfev"] for row in history])
    plain = np.array([not row["modified"] for row in history[1:]])
    assert plain.sum() > 5
    assert (counts[plain] == 2 + trials[plain]).all()
    assert max(crossings) < LARGEST_CROSSING


@pytest.mark.parametrize("own", [False, True])
def test_crossings_of_newtons_method(own, crossings, no_other_way):
    """A product, a check that it is finite, its curvature and the new residual: three, and one
    for the length of the step where the product is a difference of gradients."""
    fun, marks = Bowl(), []

    def callback(intermediate_result):
        if not marks:
            no_other_way()
        marks.append((len(crossings), intermediate_result.nhev))

    qnsolve.minimize(
        fun,
        fun.x0,
        jac=True,
        hessp=(lambda x, p: fun.d * p) if own else None,
        method="newton-tr",
        callback=callback,
        options={"maxiter": 6, "gtol": 0.0},
    )
    counts, products = np.diff(np.array(marks), axis=0).T
    assert (products > 0).all()
    assert (counts <= (3 if own else 4) * products + 8).all()
    assert max(crossings) < LARGEST_CROSSING


def test_memory_decides_on_the_size(crossings):
    fun = Bowl()
    sizes = {}
    for memory in (2, 4):
        crossings.clear()
        qnsolve.minimize(
            fun, fun.x0, jac=True, method="lsr1-tr", options={"memory": memory, "maxiter": 12}
        )
        sizes[memory] = max(crossings)
    # Two rows a pair, each multiplied with the gradient and with the step.
    assert sizes[4] - sizes[2] == 8 * 2 * (2 * 2)


@pytest.mark.parametrize("method", ["hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls", "newton-tr"])
def test_asking_together_changes_no_number(method):
    """One rank asks for all numbers of an evaluation at once, and for other ones: the iterates are
    the same to rounding, which is relative to the points on the way, for they end near zero."""

    def fun(x):
        return float(np.sum(d * x**2 / 2 - np.cos(x))), d * x + np.sin(x)

    d, x0 = np.linspace(1.0, 30.0, 200), np.cos(np.arange(200))
    options = {"maxiter": 15}
    plain = qnsolve.minimize(fun, x0, jac=True, method=method, options=options)
    together = qnsolve.minimize(fun, x0, jac=True, method=method, options=options, comm=Serial())
    assert together.nfev == plain.nfev
    np.testing.assert_allclose(together.x, plain.x, rtol=0, atol=ROUNDING * np.abs(x0).max())
