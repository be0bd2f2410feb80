"""The replay of the public code of ARCs-LSR1 against dense matrices: batches, and a full batch."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh

from examples.experiments.author_code import (
    ARCS_AUTHOR_CODE,
    ARCS_AUTHOR_CONSTANTS,
    ArcsCodeLSR1,
    AuthorRun,
)
from qnsolve import LSR1
from qnsolve.stochastic import MiniBatches, train
from tests.reference import arcs
from tests.stochastic.problems import N_PARAMS, net_loss, samples, start
from tests.test_presets import PROBLEMS, STEPS, WIDE, assert_same_steps, run

MEMORY, INNER = 3, 3

REPLAY_RTOL = 1e-9
"""Iterates against those of dense matrices, over 24 steps with curvatures of either sign; each
multiplies rounding by the condition of its inner matrix, and 4e-13 was seen."""


def gamma_of(S, Y):
    """The rule of the generalised eigenvalue, its floor absolute."""
    SY = S.T @ Y
    A = np.tril(SY) + np.tril(SY, -1).T
    least = eigh(A, S.T @ S, eigvals_only=True)[0]
    return max(0.5 * least, 1e-6) if least > 0.0 else min(1.5 * least, -1e-6), A


def cubic_step(pairs, g, weight):
    """Step and predicted reduction by the closed form, gamma missing from the eigenvalues."""
    S, Y = (np.stack(vectors, axis=1) for vectors in zip(*pairs, strict=True))
    gamma, A = gamma_of(S, Y)
    Psi = Y - gamma * S
    d, U = np.linalg.eigh(Psi @ np.linalg.solve(A - gamma * S.T @ S, Psi.T))
    U = U[:, np.argsort(-np.abs(d))[: S.shape[1]]]
    d = np.einsum("ij,ik,kj->j", U, Psi @ np.linalg.solve(A - gamma * S.T @ S, Psi.T), U)
    g_perp = g - U @ (U.T @ g)
    h, lam = np.append(U.T @ g, np.linalg.norm(g_perp)), np.append(d, gamma)
    t = 2.0 * np.abs(h) / (lam + np.sqrt(lam**2 + 4.0 * weight * np.abs(h)))
    step = -U @ (np.sign(h[:-1]) * t[:-1]) - t[-1] * g_perp / h[-1]
    return step, float((np.abs(h) * t / 2.0 + weight * t**3 / 6.0).sum())


def replay(functions, first_weight):
    """Yield the parameters after each batch, and whether its last step was taken."""
    x, pairs, last = start(), [], None
    for f in functions:
        weight, keep = first_weight, True
        value, g = f(x)
        for _ in range(INNER):
            if last is None:
                step, move = -g, -min(1.0, 1.0 / np.abs(g).sum()) * g
                value_new, g_new = f(x + move)
                taken = True
            else:
                if keep:
                    pairs = [*pairs, (last[0], g - last[1])][-MEMORY:]
                move, predicted = cubic_step(pairs, g, weight)
                step = move
                value_new, g_new = f(x + move)
                ratio = (value - value_new) / predicted
                taken = keep = ratio > 0.7
                weight *= 0.5 if ratio > 0.9 else 1.0 if taken else 5.5
            last = step, g
            if taken:
                x, value, g = x + move, value_new, g_new
        yield x, taken


def functions(count=8, size=40):
    X, t = samples(count * size)
    for k in range(count):
        batch = X[k * size : (k + 1) * size], t[k * size : (k + 1) * size]
        yield lambda x, batch=batch: net_loss(x, batch)


@pytest.mark.parametrize("weight", [1e3, 0.1])
def test_replays_the_code(weight):
    author = AuthorRun(start(), memory=MEMORY, inner_steps=INNER, initial_weight=weight)
    last_taken = []
    for f, (expected, taken) in zip(functions(), replay(functions(), weight), strict=True):
        report = author.step(f)
        last_taken.append(taken)
        assert (report.ratio > 0.7) == taken
        atol = REPLAY_RTOL * np.linalg.norm(expected)
        np.testing.assert_allclose(author.x, expected, rtol=0, atol=atol)
    assert author.matrix.n_pairs == MEMORY
    # The small weight makes steps that are refused, and paired with another batch all the same.
    assert all(last_taken) == (weight == 1e3)


def test_what_is_not_finite_is_left_out():
    author = AuthorRun(start())
    good, other, *_ = functions()
    assert author.step(good).moved
    x = author.x
    assert not author.step(lambda x: (np.nan, np.ones(N_PARAMS))).moved
    wall = lambda y: other(y) if (y == x).all() else (np.inf, np.nan * y)  # noqa: E731
    report = author.step(wall)
    assert author.x is x and not report.moved
    assert report.weight == 1e3 * 100.0**4


def test_constants_lower_the_loss():
    preset = ARCS_AUTHOR_CONSTANTS
    batches = MiniBatches(*samples(), batch_size=60)
    result = train(net_loss, start(), batches, method=preset.method, epochs=30, **preset)
    assert net_loss(result.params, samples())[0] < net_loss(start(), samples())[0]


@pytest.mark.parametrize("name", WIDE)
def test_full_batch(name):
    fun, x0 = PROBLEMS[name]
    published = arcs.author_iterates(
        fun, x0, m=5, mu=1e3, eta1=0.7, eta2=0.9, gamma1=1.0, gamma2=10.0, K=STEPS
    )
    assert_same_steps(run(ARCS_AUTHOR_CODE, fun, x0, "weight"), published)


def test_arcs_code_lacks_gamma_on_the_pairs_only():
    rng = np.random.default_rng(0)
    right, wrong = LSR1(6, memory=3, gamma=1.5), ArcsCodeLSR1(6, memory=3, gamma=1.5)
    for _ in range(3):
        s = rng.standard_normal(6)
        y = np.linspace(-2, 3, 6) * s
        assert right.update(s, y).stored and wrong.update(s, y).stored
    np.testing.assert_allclose(wrong.spectrum().eigenvalues, right.spectrum().eigenvalues - 1.5)
    assert wrong.spectrum().gamma == right.spectrum().gamma == 1.5
    v = rng.standard_normal(6)
    np.testing.assert_allclose(wrong @ v, right @ v)
