"""The kernels of an iteration, timed by asv: ``asv run -c benchmarks/asv/asv.conf.json``.

Times are of one call.  Each class is one kernel with its sizes as parameters.
"""

from __future__ import annotations

import os

# Before NumPy is loaded.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402

import qnsolve  # noqa: E402
from qnsolve.quasi_newton.spectrum import FAST  # noqa: E402

MATRICES = {"lsr1": qnsolve.LSR1, "hybrid": qnsolve.HybridLSR1}


def filled(kind: str, n: int, memory: int):
    """Return a matrix with a full memory of pairs of a quadratic."""
    rng = np.random.default_rng(0)
    curvature = np.logspace(0.0, 3.0, n)
    B = MATRICES[kind](n, memory=memory)
    for _ in range(memory):
        s = rng.standard_normal(n)
        B.update(s, curvature * s)
    return B, rng.standard_normal(n)


class Spectrum:
    """The m x m chain: eigenvalues and coordinates from the Gram matrix."""

    params = (("lsr1", "hybrid"), (10, 20))
    param_names = ("matrix", "memory")

    def setup(self, kind: str, memory: int) -> None:
        self.B, _ = filled(kind, 1000, memory)

    def time_spectrum(self, kind: str, memory: int) -> None:
        self.B._diagonalise(FAST)


class Step:
    """Project a gradient, solve, and form the step."""

    params = (("lsr1", "hybrid"), (10**2, 10**4, 10**6))
    param_names = ("matrix", "n")

    def setup(self, kind: str, n: int) -> None:
        self.B, self.g = filled(kind, n, 10)
        self.B.spectrum(FAST)

    def time_step(self, kind: str, n: int) -> None:
        return qnsolve.QuadraticModel(self.g, self.B.spectrum(FAST)).trust_region(1.0).step


class Update:
    """Offer a pair to a full memory; once only, as the second time it is satisfied already."""

    number = 1
    params = (("lsr1", "hybrid"), (10**2, 10**4, 10**6))
    param_names = ("matrix", "n")

    def setup(self, kind: str, n: int) -> None:
        self.B, self.s = filled(kind, n, 10)
        self.B.spectrum(FAST)
        self.y = np.logspace(0.0, 3.0, n) * self.s

    def time_update(self, kind: str, n: int) -> None:
        self.B.update(self.s, self.y)


class Run:
    """A hundred iterations on a diagonal quadratic, the cheapest objective there is."""

    params = (("hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls"), (10**2, 10**4))
    param_names = ("method", "n")

    def time_run(self, method: str, n: int) -> None:
        d = np.logspace(0.0, 5.0, n)
        qnsolve.minimize(
            lambda x: (0.5 * float(x @ (d * x)), d * x),
            np.ones(n),
            jac=True,
            method=method,
            options={"memory": 10, "maxiter": 100, "gtol": 0.0},
        )
