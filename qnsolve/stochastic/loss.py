"""What training asks of a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from qnsolve.arrays import Array


@runtime_checkable
class Loss(Protocol):
    """A loss on batches, with what it keeps from step to step, such as running means.

    :func:`qnsolve.stochastic.train` takes any callable; of the other members a loss has those that
    mean something for it, and ``as_loss`` supplies the rest.

    Attributes
    ----------
    value : callable or None
        ``value(params, batch)`` is the loss alone, where that costs less than with the gradient.
    """

    value: Callable[[Array, Any], Any] | None

    def __call__(self, params: Array, batch: Any) -> tuple[Any, Array]:
        """Return loss and gradient, the mean over the batch with all penalties in both.

        Called at trial points too: what an evaluation changes must not count before :meth:`moved`.
        """

    def moved(self, params: Array) -> None:
        """Note that a step has led to `params`, that very array, of one of the last evaluations."""

    def snapshot(self) -> Mapping[str, Any]:
        """Return what is kept from step to step, as nested dictionaries of values and arrays."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`snapshot` has returned."""


class PlainLoss:
    """A callable that keeps nothing, or what its own members say.

    Parameters
    ----------
    loss_and_grad : callable
        ``loss_and_grad(params, batch) -> (loss, gradient)``.

    Examples
    --------
    >>> loss = PlainLoss(lambda x, batch: (x * x, 2.0 * x))
    >>> loss(3.0, None), loss.value, loss.snapshot()
    ((9.0, 6.0), None, {})
    """

    value: Callable[[Array, Any], Any] | None = None

    def __init__(self, loss_and_grad: Callable[[Array, Any], tuple[Any, Array]]) -> None:
        self._loss_and_grad = loss_and_grad
        for name in MEMBERS:
            if hasattr(loss_and_grad, name):
                setattr(self, name, getattr(loss_and_grad, name))

    def __call__(self, params: Array, batch: Any) -> tuple[Any, Array]:
        return self._loss_and_grad(params, batch)

    def moved(self, params: Array) -> None:
        """There is nothing to keep."""

    def snapshot(self) -> Mapping[str, Any]:
        """Return nothing."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """There is nothing to go back to."""


MEMBERS = ("value", "moved", "snapshot", "restore")
"""What a loss may have beside the call."""


def as_loss(given: Callable[[Array, Any], tuple[Any, Array]]) -> Loss:
    """Return `given` with all members of a :class:`Loss`."""
    return given if isinstance(given, Loss) else PlainLoss(given)
