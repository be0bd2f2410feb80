"""Small problems with mini-batches that the tests share."""

from __future__ import annotations

import numpy as np

from qnsolve.arrays import space_of

INPUTS, HIDDEN = 6, 5
N_PARAMS = INPUTS * HIDDEN + 2 * HIDDEN + 1


def samples(count=120, seed=0, dtype=float):
    """Return inputs and the targets of a smooth function of them."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((count, INPUTS))
    return X.astype(dtype), np.sin(X[:, 0] + X[:, 1] * X[:, 2]).astype(dtype)


def start(seed=0, dtype=float):
    """Return initial weights of the net."""
    rng = np.random.default_rng((seed, 1))
    return (0.4 * rng.standard_normal(N_PARAMS)).astype(dtype)


def net_loss(x, batch, decay=1e-3):
    """Return loss and gradient of a net with one hidden layer, in any array library."""
    X, t = batch
    xp = space_of(x).xp
    a, b = INPUTS * HIDDEN, INPUTS * HIDDEN + HIDDEN
    W, c, v, d = xp.reshape(x[:a], (INPUTS, HIDDEN)), x[a:b], x[b:-1], x[-1]
    hidden = xp.tanh(X @ W + c)
    residual = hidden @ v + d - t
    count = t.shape[0]
    loss = 0.5 * (residual @ residual) / count + 0.5 * decay * (x @ x)
    back = residual[:, None] * v[None, :] * (1.0 - hidden**2) / count
    gradient = xp.concat(
        [
            xp.reshape(X.T @ back, (-1,)),
            xp.sum(back, axis=0),
            hidden.T @ residual / count,
            xp.reshape(xp.sum(residual) / count, (1,)),
        ]
    )
    return loss, gradient + decay * x
