"""
Training on mini-batches
========================

A small network on handwritten digits, trained by quasi-Newton methods on mini-batches, beside Adam
and stochastic gradient descent.
"""

import numpy as np

from qnsolve import plotting
from qnsolve.problems import TanhNetwork, digits
from qnsolve.stochastic import MiniBatches, train

# %%
# The loss of a batch with its gradient, weight decay in both. One random start, and batches of 128
# out of a thousand and some hundred samples.

data = digits()
network = TanhNetwork((64, 32, 10))
start = network.initial(seed=0)
batches = MiniBatches(data.X_train, data.y_train, batch_size=128)
DECAY = 1e-4


def loss_and_grad(params, batch):
    return network.value_and_grad(*batch, DECAY, params)


def measured(passes, params):
    """Return the cost so far, the loss on all training samples, and the test error."""
    loss, _ = loss_and_grad(params, (data.X_train, data.y_train))
    wrong = network.classify(params, data.X_test) != data.y_test
    return passes, loss, wrong.mean()


def quasi_newton(method, epochs=10):
    """Train by `method`; a step costs about three gradients of a batch, for it sees two."""
    points = [measured(0, start)]

    def note(progress):
        points.append(measured(progress.passes, progress.params))

    train(loss_and_grad, start, batches, method=method, epochs=epochs, callback=note)
    return points


# %%
# The baselines, a few lines each. Their learning rates are the best of 0.003, 0.01, 0.03, 0.1 for
# Adam and of 0.1, 0.3, 1, 3 for gradient descent with momentum 0.9, by the loss at the end: they
# get a tuning that the others, at their defaults, do not.


def adam(rate, epochs=30):
    x, m, v, points = start.copy(), 0.0, 0.0, [measured(0, start)]
    t = 0
    for epoch in range(epochs):
        for number in range(len(batches)):
            g = loss_and_grad(x, batches.part(epoch, number))[1]
            t += 1
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            x = x - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        points.append(measured(epoch + 1, x))
    return points


def momentum(rate, epochs=30):
    x, step, points = start.copy(), 0.0, [measured(0, start)]
    for epoch in range(epochs):
        for number in range(len(batches)):
            step = 0.9 * step - rate * loss_and_grad(x, batches.part(epoch, number))[1]
            x = x + step
        points.append(measured(epoch + 1, x))
    return points


def tuned(method, rates):
    """Return the rate with the lowest loss at the end, and its points."""
    runs = {rate: method(rate) for rate in rates}
    best = min(runs, key=lambda rate: np.nan_to_num(runs[rate][-1][1], nan=np.inf))
    return best, runs[best]


adam_rate, adam_points = tuned(adam, (0.003, 0.01, 0.03, 0.1))
sgd_rate, sgd_points = tuned(momentum, (0.1, 0.3, 1.0, 3.0))
curves = {
    "hybrid-tr": quasi_newton("hybrid-tr"),
    "lsr1-tr": quasi_newton("lsr1-tr"),
    f"Adam, rate {adam_rate:g}": adam_points,
    f"momentum, rate {sgd_rate:g}": sgd_points,
}
figure = plotting.training(curves, title="Digits, 64-32-10, batches of 128")
figure

# %%
# Passes count gradients: a quasi-Newton step evaluates its batch at both ends, so that its pairs
# are differences of *one* function. What happens otherwise is on :doc:`/theory/stochastic-pairs`.
# One network and one start say nothing about others.

for name, points in curves.items():
    passes, loss, error = points[-1]
    print(f"{name:22} passes {passes:5.1f}   training loss {loss:.4f}   test error {error:.2%}")
