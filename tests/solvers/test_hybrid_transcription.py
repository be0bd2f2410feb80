"""The whole default method against its transcription with dense matrices, step by step."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import qnsolve
from qnsolve.problems import get_problem
from tests.reference.hybrid_tr import EPS, FEW, cosine, iterates, matrix, model, next_gamma

MEMORY = 20

SAME_STEP = 1e-4
"""Distance of two steps from one state, relative to the step.  The loop's basis is orthonormal to
1e-6, and where pairs are nearly dependent that is magnified (seen: 8e-6).  Any other constant of
the method changes some step by far more."""

SAME_RADIUS = 1e-9
"""Relative difference of two radii after the same step: its ratio and slopes (seen: 2e-10)."""

ZERO_COSINE, SURE_COSINE = 1e-11, 2e-2
"""Between them no s'y / (|s| |y|) may lie for steps to be compared.  BFGS divides by it in each of
five sweeps, and a sweep as one block loses more by that than pair after pair does: at 2e-3 a few
hundredths of a step were seen to be rounding.  Below, the pair is left out."""

NUDGE = 1e3 * EPS
"""Relative change of the pairs that must not change a step by SAME_STEP for it to be compared: SR1
divides by the residual of a pair, and what is left of that after five sweeps may be rounding."""

LONGEST = 60
"""Iterations that are compared."""

SAME_PATH, ALONE = 1e-6, 12
"""Relative difference of the trial points, and for how many iterations the transcription is left
alone: from then on some problems magnify rounding by more than that."""

# chained-rosenbrock of 6 is not here: its sweeps meet cosines so small that on some processors the
# block form's step moves with the last bit, and with it the radius.
CASES = [
    ("extended-rosenbrock", 2),
    ("dixon-price", 5),
    ("powell-singular", 8),
    ("styblinski-tang", 10),
    *((name, n) for n in (FEW, FEW + 1) for name in ("chained-rosenbrock", "broyden-tridiagonal")),
    ("woods", 12),
    ("trigonometric", 13),
    ("chained-rosenbrock", 20),
    ("dixon-price", 20),
    ("styblinski-tang", 20),
    ("cosine", 30),
    ("convex-quadratic", 30),
    ("woods", 40),
]


def shipped(name, n):
    problem = get_problem(name, n)
    # Off the line of symmetry, on which the gradient's part off the pairs would be rounding error.
    return problem.fun, problem.x0 + 0.01 * np.sin(np.arange(1.0, n + 1))


def run(fun, x0, **options):
    """Return all points that the default method evaluates, and the radius after each iteration."""
    points, radii = [], []

    def watched(x):
        points.append(x.copy())
        return fun(x)

    def callback(intermediate_result):
        radii.append(intermediate_result.radius)

    qnsolve.minimize(watched, x0, jac=True, callback=callback, options=options)
    return points[1:], radii


def is_sure(at, s):
    """Tell whether the step s of a state is more than rounding."""
    cosines = np.array([abs(cosine(s, y)) for s, y in zip(at.S.T, at.Y.T, strict=True)])
    if ((ZERO_COSINE < cosines) & (cosines < SURE_COSINE)).any():
        return False
    rng = np.random.default_rng(0)
    S, Y = (
        A + NUDGE * np.linalg.norm(A, axis=0) * rng.uniform(-1, 1, A.shape) for A in (at.S, at.Y)
    )
    _, nudged = model(at._replace(S=S, Y=Y))
    return np.linalg.norm(nudged - s) <= SAME_STEP * np.linalg.norm(s)


@pytest.mark.parametrize(("name", "n"), CASES)
def test_every_step_is_that_of_the_dense_method(name, n):
    fun, x0 = shipped(name, n)
    trials, radii = run(fun, x0, maxiter=LONGEST)
    dense, compared = iterates(fun, x0, m=MEMORY), 0
    at = next(dense)
    for trial, radius in zip(trials, radii, strict=True):
        _, s = model(at)
        if is_sure(at, s):
            compared += 1
            assert np.linalg.norm(at.x + s - trial) <= SAME_STEP * np.linalg.norm(s)
        at = dense.send(trial)
        assert at.Delta == pytest.approx(radius, rel=SAME_RADIUS)
    assert compared >= 0.4 * len(trials)


@pytest.mark.parametrize(("name", "n"), CASES)
def test_path_of_the_dense_method(name, n):
    fun, x0 = shipped(name, n)
    trials, _ = run(fun, x0, maxiter=ALONE)
    for at, trial in zip(islice(iterates(fun, x0, m=MEMORY), ALONE), trials, strict=True):
        _, s = model(at)
        assert np.abs(at.x + s - trial).max() <= SAME_PATH * np.abs(trial).max()


@pytest.mark.parametrize(("n", "reach"), [(12, 10.0), (13, 1.0)])
def test_reach_of_the_first_step_at_the_switch(n, reach):
    """f / |g| is so large that the length of x0, 1 here, decides."""
    (trial,), _ = run(lambda x: (1e3 + x @ x, 2.0 * x), np.full(n, n**-0.5), maxiter=1)
    assert np.linalg.norm(trial - n**-0.5) == pytest.approx(reach)


@pytest.mark.parametrize(("n", "few"), [(12, True), (13, False)])
def test_matrix_at_the_switch(n, few):
    """gamma, the pairs re-applied, the SR1 test and the fate of a negative eigenvalue change."""
    rng, B = np.random.default_rng(3), qnsolve.HybridLSR1(n, memory=MEMORY)
    S = rng.standard_normal((5, n))
    # Of no common matrix: of one the sweeps would leave residuals that are rounding.
    Y = S * np.linspace(-2.0, 9.0, n) + rng.standard_normal((5, n))
    S[-1, : n // 2] = Y[-1, : n // 2] = 0.0  # the newest pair has positive curvature
    gamma = 1.0
    for k, (s, y) in enumerate(zip(S, Y, strict=True)):
        B.update(s, y)
        gamma = next_gamma(s, y, gamma, first=k == 0)
    assert B.gamma == pytest.approx(gamma)
    expected, other = (matrix(S.T, Y.T, gamma, few=side) for side in (few, not few))
    assert np.abs(B.to_dense() - expected).max() <= 1e-9 * np.abs(expected).max()
    assert np.abs(B.to_dense() - other).max() > 1e-2 * np.abs(expected).max()
