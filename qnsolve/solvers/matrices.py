"""The matrices that an outer loop can run on, one factory each.

A factory takes the gradient at the start, whose library, dtype and device the rows take, the
options of the run, and the gamma to begin with.
"""

from __future__ import annotations

from collections.abc import Callable

from qnsolve.array import Array
from qnsolve.options import TrustRegionOptions
from qnsolve.quasi_newton.base import CompactMatrix
from qnsolve.quasi_newton.lbfgs import LBFGS
from qnsolve.quasi_newton.lsr1 import LSR1

MatrixFactory = Callable[[Array, TrustRegionOptions, float], CompactMatrix]


def build_lsr1(g: Array, options: TrustRegionOptions, initial_gamma: float) -> LSR1:
    """Return the limited-memory SR1 matrix."""
    return LSR1(
        g.shape[0], memory=options.memory, gamma=options.gamma, initial_gamma=initial_gamma, like=g
    )


def build_lbfgs(g: Array, options: TrustRegionOptions, initial_gamma: float) -> LBFGS:
    """Return the limited-memory BFGS matrix."""
    return LBFGS(
        g.shape[0], memory=options.memory, gamma=options.gamma, initial_gamma=initial_gamma, like=g
    )
