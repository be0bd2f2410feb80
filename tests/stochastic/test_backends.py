"""The same run on every array library."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve.arrays import to_host
from qnsolve.stochastic import MiniBatches, train
from qnsolve.stochastic.training import METHODS
from tests.stochastic.problems import net_loss, samples, start

AGREEMENT = 1e-9
"""Entries after 12 steps, relative to the largest: the libraries add up in other orders, and each
step multiplies that by the condition of its model; 1e-12 was seen."""

OF_DIFFERENCES = 1e-6
"""The same where products with the Hessian are differences of gradients, of which sqrt(eps) is
rounding."""


@pytest.mark.parametrize("method", METHODS)
def test_libraries_agree_and_repeat_themselves(method, xp, tmp_path):
    def run(asarray, path=None, epochs=2):
        batches = MiniBatches(*(asarray(a) for a in samples()), batch_size=20, seed=1)
        return train(
            net_loss,
            asarray(start()),
            batches,
            method=method,
            epochs=epochs,
            initial_rate=0.01,
            checkpoint=path,
        )

    first, second, numpy = run(xp.asarray), run(xp.asarray), run(np.asarray)
    # Whatever the run computes with, the user gets arrays of his own library back.
    assert type(first.params) is type(xp.asarray(start()))
    assert first.params.dtype == xp.asarray(start()).dtype
    a, b = to_host(first.params), to_host(second.params)
    assert (a == b).all()
    scale = np.abs(numpy.params).max()
    atol = (OF_DIFFERENCES if method == "newton-tr" else AGREEMENT) * scale
    np.testing.assert_allclose(a, numpy.params, rtol=0, atol=atol)
    np.testing.assert_array_equal(first.history["accepted"], numpy.history["accepted"])
    # A checkpoint gives arrays of the library back, to go on with.
    path = tmp_path / "run.npz"
    run(xp.asarray, path, epochs=1)
    assert (to_host(run(xp.asarray, path).params) == a).all()
