"""JAX pytrees for :func:`qnsolve.stochastic.train`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.flatten_util import ravel_pytree

from qnsolve.arrays import Array


class PytreeLoss:
    """The loss of a pytree of parameters as a function of one flat vector, compiled.

    Parameters
    ----------
    loss : callable
        ``loss(tree, *batch) -> scalar``, a mean over the samples with all penalties; for a batch
        that is no tuple ``loss(tree, batch)``.
    tree : pytree of arrays
        Parameters to start from, all of one dtype.

    Raises
    ------
    TypeError
        If `loss` is not callable, or the leaves are not all float32 or all float64.

    Notes
    -----
    Vectors have the dtype of the leaves; for float64 set ``JAX_ENABLE_X64=1``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from qnsolve.stochastic import MiniBatches, train
    >>> from qnsolve.stochastic.jax_adapter import PytreeLoss
    >>> def loss(tree, X, y):
    ...     return jnp.mean((X @ tree["w"] + tree["b"] - y) ** 2)
    >>> X = jnp.eye(4)
    >>> f = PytreeLoss(loss, {"w": jnp.zeros(4), "b": jnp.zeros(())})
    >>> result = train(f, f.params, MiniBatches(X, jnp.ones(4), batch_size=4), epochs=20)
    >>> bool(loss(f.tree(result.params), X, jnp.ones(4)) < 1e-4)
    True
    """

    def __init__(self, loss: Callable[..., Any], tree: Any) -> None:
        if not callable(loss):
            raise TypeError(f"loss must be callable, got {type(loss).__name__}")
        leaves = jax.tree_util.tree_leaves(tree)
        kinds = sorted({str(getattr(leaf, "dtype", type(leaf).__name__)) for leaf in leaves})
        if len(kinds) != 1 or not kinds[0].startswith("float"):
            raise TypeError(
                f"the leaves must be of one real floating dtype, float32 or float64, got {kinds}; "
                "what is not to be trained, such as an integer, belongs into the loss"
            )
        self.params, self._unravel = ravel_pytree(tree)

        def flat(x: Array, batch: tuple[Any, ...]) -> Array:
            return loss(self._unravel(x), *batch)

        gradient = jax.grad(flat)
        self._value_and_grad = jax.jit(jax.value_and_grad(flat))
        self._product = jax.jit(
            lambda x, v, batch: jax.jvp(lambda point: gradient(point, batch), (x,), (v,))[1]
        )

    def tree(self, x: Array) -> Any:
        """Return flat parameters as the pytree."""
        return self._unravel(x)

    def __call__(self, x: Array, batch: Any) -> tuple[Array, Array]:
        """Return loss and gradient at `x`."""
        return self._value_and_grad(x, _tuple(batch))

    def hessp(self, x: Array, v: Array, batch: Any) -> Array:
        """Return the Hessian at `x` times `v`, forward over reverse."""
        return self._product(x, v, _tuple(batch))


def _tuple(batch: Any) -> tuple[Any, ...]:
    return tuple(batch) if isinstance(batch, tuple | list) else (batch,)
