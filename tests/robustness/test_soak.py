"""Nothing grows with the number of calls, and calls at the same time know nothing of each other."""

from __future__ import annotations

import gc
import sys
from concurrent.futures import ThreadPoolExecutor

import array_api_compat
import numpy as np
import pytest

import qnsolve
from qnsolve.methods import METHODS
from qnsolve.solvers.matrices import build_psi
from qnsolve.stochastic import train
from tests.conftest import BACKENDS

N, CALLS, WINDOWS = 6, 25, 20
"""A call that leaves anything behind leaves one block of Python's memory at least, in every window
of so many calls.  What Python keeps for later use grows ever more slowly, up to an end."""

D = np.linspace(1.0, 9.0, N)
THREADS = 8


@pytest.fixture(params=["numpy", "strict", "torch"])
def near(request):
    """The libraries whose arrays are in the memory of the host, and that compile nothing."""
    return BACKENDS[request.param]()


def entry_points(xp):
    """Return a call of each public function, on arrays of one library."""
    array = xp.asarray
    g, d, x0 = array(np.ones(N)), array(D), array(np.full(N, 0.5))
    s, y = array(np.arange(1.0, N + 1)), array(np.arange(2.0, N + 2))
    norm = qnsolve.DiagonalNorm(d)

    def fun(x):
        return array_api_compat.array_namespace(x).sum(d * x * x) * 0.5, d * x

    def times(v):
        return d * v - 2.0 * v

    def matrix(kind):
        B = kind(N, like=d)
        B.update(s, y)
        return B

    def scaled():
        B = qnsolve.ScaledMatrix(matrix(qnsolve.LSR1), norm)
        return B @ g, B.solve(g, 10.0)  # B itself may be singular to rounding

    def solve(method):
        return lambda: qnsolve.minimize(fun, x0, jac=True, method=method, options={"maxiter": 5})

    return {
        "gltr": lambda: qnsolve.gltr(g, times, 1.0, norm=norm),
        "lanczos_cubic": lambda: qnsolve.lanczos_cubic(g, times, 1.0, norm=norm),
        "steihaug_cg": lambda: qnsolve.steihaug_cg(g, times, 1.0, norm=norm),
        "norm": lambda: (norm.norm(g), norm.dual_norm(g)),
        "fresh norm": lambda: qnsolve.DiagonalNorm(d).norm(g),
        "scaled": scaled,
        "trs": lambda: qnsolve.solve_trs(g, matrix(qnsolve.LSR1), 1.0).step,
        "cubic": lambda: qnsolve.solve_cubic(g, matrix(qnsolve.LBFGS), 1.0).step,
        "hybrid": lambda: matrix(qnsolve.HybridLSR1) @ g,
        **{method: solve(method) for method in METHODS},
        "train": lambda: train(lambda x, batch: fun(x), x0, [None], epochs=3),
    }


NAMES = [
    *("gltr", "lanczos_cubic", "steihaug_cg", "norm", "fresh norm", "scaled", "trs", "cubic"),
    *("hybrid", *METHODS, "train"),
]


def window_without_growth(call):
    """Tell whether fewer blocks than calls are left after a window of calls."""
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(CALLS):
        call()
    gc.collect()
    return sys.getallocatedblocks() - before < CALLS


@pytest.mark.parametrize("name", NAMES)
def test_nothing_grows_with_the_number_of_calls(name, near):
    call = entry_points(near)[name]
    assert any(window_without_growth(call) for _ in range(WINDOWS))


@pytest.mark.parametrize("kept", [0, 1])
def test_a_leak_would_be_seen(kept):
    """One small object a call is enough."""
    leak = []

    def call():
        leak.extend(object() for _ in range(kept))

    assert any(window_without_growth(call) for _ in range(WINDOWS)) == (not kept)


def test_every_entry_point_is_there(near):
    assert list(entry_points(near)) == NAMES


@pytest.fixture
def impatient():
    """Threads that change places at every opportunity."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("kind", [qnsolve.LSR1, qnsolve.LBFGS, qnsolve.HybridLSR1])
def test_threads_that_share_a_matrix(kind, near, impatient):
    rng = np.random.default_rng(7)
    B = kind(N, memory=3, like=near.asarray(np.zeros(N)))
    for s in rng.standard_normal((5, N)):
        B.update(near.asarray(s), near.asarray(D * s))
    vectors = [near.asarray(v) for v in rng.standard_normal((4 * THREADS, N))]

    def work(v):
        step = qnsolve.solve_trs(v, B, 0.1).step
        parts = (B @ v, B.solve(v), step)
        return [float(part[i]) for part in parts for i in range(N)] + [B.quadratic_form(v)]

    alone = [work(v) for v in vectors]
    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(work, vectors)) == alone


def test_the_same_call_is_the_same_run():
    torch = pytest.importorskip("torch")

    def fun(x):
        d = x[1:] - x[:-1] ** 2
        g = torch.zeros_like(x)
        g[:-1] -= 400.0 * x[:-1] * d + 2.0 * (1.0 - x[:-1])
        g[1:] += 200.0 * d
        return (100.0 * d**2 + (1.0 - x[:-1]) ** 2).sum(), g

    def run():
        x0 = torch.full((9,), -1.2, dtype=torch.float64)
        options = {"matrix": build_psi}
        result = qnsolve.minimize(fun, x0, jac=True, method="lsr1-arc", options=options)
        return result.nit, result.nfev, result.fun, result.x.tolist()

    first = run()
    assert all(run() == first for _ in range(29))
