"""The public code of ARCs-LSR1, written down with dense matrices, and its preset."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh

from qnsolve.stochastic import MiniBatches, make_solver, presets, train
from tests.stochastic.problems import N_PARAMS, net_loss, samples, start

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
    settings = {"memory": MEMORY, "inner_steps": INNER, "initial_weight": weight}
    preset = {**presets.ARCS_AUTHOR_CODE, **settings}
    solver = make_solver(presets.ARCS_AUTHOR_CODE.method, **preset)
    state = solver.init(start())
    last_taken = []
    for f, (expected, taken) in zip(functions(), replay(functions(), weight), strict=True):
        state, info = solver.step(state, f)
        last_taken.append(taken)
        assert (info.ratio > 0.7) == taken
        atol = REPLAY_RTOL * np.linalg.norm(expected)
        np.testing.assert_allclose(state.x, expected, rtol=0, atol=atol)
    assert state.matrix.n_pairs == MEMORY
    # The small weight makes steps that are refused, and paired with another batch all the same.
    assert all(last_taken) == (weight == 1e3)


def test_resumes_bit_for_bit(tmp_path):
    preset = presets.ARCS_AUTHOR_CODE
    path = tmp_path / "run.npz"

    def stop(progress):
        if progress.step == 8:
            raise StopIteration

    def run(**arguments):
        batches = MiniBatches(*samples(), batch_size=20)
        return train(
            net_loss, start(), batches, method=preset.method, epochs=3, **preset, **arguments
        )

    run(checkpoint=path, checkpoint_every=1, step_callback=stop)
    assert (run(checkpoint=path).params == run().params).all()


def test_what_is_not_finite_is_left_out():
    solver = make_solver("lsr1-arc", **presets.ARCS_AUTHOR_CODE)
    good, other, *_ = functions()
    state, _ = solver.step(solver.init(start()), good)
    x = state.x
    state, info = solver.step(state, lambda x: (np.nan, np.ones(N_PARAMS)))
    assert state.x is x and not info.finite
    wall = lambda y: other(y) if (y == x).all() else (np.inf, np.nan * y)  # noqa: E731
    state, info = solver.step(state, wall)
    assert state.x is x and not info.accepted
    assert info.size > presets.ARCS_AUTHOR_CODE["initial_weight"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"author_code": True}, "needs norm"),
        ({"author_code": True, "norm": "l2"}, "overlap=False"),
        ({"inner_steps": 2}, "inner_steps needs author_code"),
    ],
)
def test_options_that_do_not_go_together(options, match):
    with pytest.raises(ValueError, match=match):
        make_solver("lsr1-arc", **options)
