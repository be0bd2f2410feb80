"""JAX pytrees."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve.stochastic import MiniBatches, train
from tests.conftest import BACKENDS
from tests.stochastic.problems import samples

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from qnsolve.stochastic.jax_adapter import PytreeLoss  # noqa: E402


@pytest.fixture(autouse=True)
def float64():
    BACKENDS["jax"]()


def tree():
    return {"w": jnp.linspace(-1.0, 1.0, 6), "b": jnp.asarray([0.5])}


def loss(tree, X, t):
    return jnp.mean((jnp.tanh(X @ tree["w"]) + tree["b"][0] - t) ** 2)


def batch():
    return tuple(jnp.asarray(a) for a in samples(50))


def test_flat_and_back_with_gradient_and_product():
    f = PytreeLoss(loss, tree())
    assert jax.tree_util.tree_all(jax.tree_util.tree_map(jnp.array_equal, f.tree(f.params), tree()))
    value, gradient = f(f.params, batch())
    assert float(value) == pytest.approx(float(loss(tree(), *batch())), rel=1e-14)
    v = jnp.linspace(-1.0, 1.0, 7)
    h = 1e-5
    difference = (f(f.params + h * v, batch())[1] - f(f.params - h * v, batch())[1]) / (2 * h)
    # Truncation of a central difference is h^2, its rounding eps / h.
    np.testing.assert_allclose(f.hessp(f.params, v, batch()), difference, rtol=0, atol=1e-8)
    assert gradient.shape == (7,)


@pytest.mark.parametrize("method", ["hybrid-tr", "newton-tr"])
def test_trains_and_does_so_again(method):
    f = PytreeLoss(loss, tree())
    batches = MiniBatches(*batch(), batch_size=10)
    arguments = {"method": method, "epochs": 6}
    if method == "newton-tr":
        arguments["hessp"] = f.hessp
    runs = [train(f, f.params, batches, **arguments) for _ in range(2)]
    assert float(f(runs[0].params, batch())[0]) < float(f(f.params, batch())[0])
    assert (runs[0].params == runs[1].params).all()


def test_what_is_refused():
    with pytest.raises(TypeError, match="callable"):
        PytreeLoss(3, tree())
    with pytest.raises(TypeError, match="one real floating dtype"):
        PytreeLoss(loss, {"w": jnp.arange(3)})
    for leaf in (3, jnp.arange(3), jnp.ones(3) + 1j, jnp.ones(3, dtype=jnp.bfloat16), "text", True):
        with pytest.raises(TypeError, match="one real floating dtype, float32 or float64, got"):
            PytreeLoss(loss, {"w": jnp.ones(6), "k": leaf})
    with pytest.raises(TypeError, match=r"got \[\]"):
        PytreeLoss(loss, {})
