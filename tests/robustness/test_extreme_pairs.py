"""Matrices and subproblems made of pairs, gradients and radii from anywhere in the range."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve import LBFGS, LSR1, HybridLSR1, SubproblemStatus, solve_cubic, solve_trs
from qnsolve.quasi_newton.inverse import InverseLSR1

RUNS = 300
KINDS = [LSR1, LBFGS, HybridLSR1, InverseLSR1]


def anywhere(rng, n, low, high):
    return rng.standard_normal(n) * 10.0 ** rng.uniform(low, high)


@pytest.mark.parametrize("kind", KINDS)
def test_no_warning_and_no_exception(kind):
    """Where the answer is beyond the range it is infinite, or there is a status that says so."""
    solved = 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 6))
        B = kind(n, memory=int(rng.integers(1, 5)))
        for _ in range(int(rng.integers(1, 5))):
            B.update(anywhere(rng, n, -150, 150), anywhere(rng, n, -150, 150))
        g, size = anywhere(rng, n, -300, 307), 10.0 ** rng.uniform(-300, 300)
        B @ g
        B.quadratic_form(g)
        if rng.random() < 0.7:
            result = solve_trs(g, B, size, norm=("l2", "shape-inf", "shape-2")[seed % 3])
        else:
            result = solve_cubic(g, B, size, norm=("l2", "shape")[seed % 2])
        certificate = result.certificate()
        if result.status is SubproblemStatus.SOLVED:
            solved += 1
            assert result.decrease >= 0.0
            assert np.isfinite(result.step).all() or not result.length <= 1e15
        else:
            assert result.status in (SubproblemStatus.UNBOUNDED, SubproblemStatus.NONFINITE)
            assert result.length == 0.0
            assert not result.step.any()
            assert certificate.stationarity == np.inf
    assert solved >= RUNS / 2
