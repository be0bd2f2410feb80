"""The function of one step: the mean over its batches, each evaluated once at each point."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qnsolve.arrays import Array, VectorSpace
from qnsolve.arrays.border import Border
from qnsolve.arrays.user import one_number
from qnsolve.objective import in_one_crossing
from qnsolve.stochastic.loss import as_loss

LossAndGrad = Callable[[Array, Any], tuple[Any, Array]]
"""``loss_and_grad(params, batch) -> (loss, gradient)``."""


@dataclass(eq=False)
class Part:
    """A batch, with the values at the last two points: a step needs its beginning and its end."""

    batch: Any
    known: list[tuple[Array, float, Array]] = field(default_factory=list)

    def at(self, x: Array) -> tuple[float, Array] | None:
        """Return f and g at x, that very array, where they are known."""
        return next(((f, g) for point, f, g in self.known if point is x), None)

    def remember(self, x: Array, f: float, g: Array) -> None:
        self.known = [*self.known[-1:], (x, f, g)]


class BatchFunction:
    """The loss on the batches of a step and its derivatives, counted.

    Parameters
    ----------
    loss_and_grad : callable
        With what :class:`qnsolve.stochastic.loss.Loss` describes.
    space : VectorSpace
        Of the parameters.
    overlap : bool
        Whether a step sees the batch before too.
    hessp : callable or None
        ``hessp(params, v, batch)``; without it products are forward differences of gradients.
    border : Border, optional
        What the callables are given in place of a vector of `space`.

    Attributes
    ----------
    loss : Loss
    gradients, products, values : int
        Batches for which a gradient, a product with the Hessian, or a loss alone has been asked
        for.
    """

    def __init__(
        self,
        loss_and_grad: LossAndGrad,
        space: VectorSpace,
        overlap: bool,
        hessp: Callable[[Array, Array, Any], Array] | None = None,
        border: Border | None = None,
    ) -> None:
        self.loss = as_loss(loss_and_grad)
        self._space = space
        self._overlap = overlap
        self._hessp = hessp
        self._border = Border() if border is None else border
        self._parts: list[Part] = []
        self.gradients = self.products = self.values = 0

    def advance(self, batch: Any) -> None:
        """Go on to the next step, whose new batch is `batch`."""
        before = self._parts[-1:] if self._overlap else []
        self._parts = [*before, Part(batch)]

    def __call__(self, x: Array) -> tuple[float, Array]:
        """Return f and g at `x`, the means over the batches of the step."""
        values = [self._value(part, x) for part in self._parts]
        if len(values) == 1:
            return values[0]
        (f, g), (f_new, g_new) = values
        with np.errstate(over="ignore", invalid="ignore"):
            return 0.5 * (f + f_new), 0.5 * (g + g_new)

    def newest(self, x: Array) -> tuple[float, Array]:
        """Return f and g at `x` of the new batch alone, which the next step sees too."""
        return self._value(self._parts[-1], x)

    def product(self, x: Array, v: Array) -> Array:
        """Return the Hessian at `x` times `v`, the mean over the batches of the step."""
        products = [self._product(part, x, v) for part in self._parts]
        return products[0] if len(products) == 1 else 0.5 * (products[0] + products[1])

    def value(self, x: Array, batch: Any) -> float:
        """Return the loss on any batch."""
        alone = self.loss.value
        if alone is None:
            return self._evaluated(x, batch)[0]
        self.values += 1

        def evaluate() -> tuple[float, None]:
            return _number(alone(self._border.outside(x), batch)), None

        return in_one_crossing(self._space, evaluate).f

    def forget(self) -> None:
        """Drop the batch before: the next step sees its own alone."""
        self._parts = []

    def snapshot(self, x: Array) -> dict[str, Any]:
        """Return the counts, whether there is a last batch, and what is known of it at `x`."""
        known = self._parts[-1].at(x) if self._overlap and self._parts else None
        return {
            "gradients": self.gradients,
            "products": self.products,
            "values": self.values,
            "overlaps": bool(self._parts),
            "last": None if known is None else {"f": known[0], "g": known[1]},
        }

    def restore(self, state: dict[str, Any], x: Array, last: Any) -> None:
        """Go back to where `last` was the batch of the last step and `x` its end."""
        self.gradients, self.products = state["gradients"], state["products"]
        self.values = state["values"]
        if self._overlap and state["overlaps"]:
            self._parts = [Part(last)]
            if state["last"] is not None:
                self._parts[0].remember(x, state["last"]["f"], state["last"]["g"])

    def _value(self, part: Part, x: Array) -> tuple[float, Array]:
        known = part.at(x)
        if known is None:
            known = self._evaluated(x, part.batch)
            part.remember(x, *known)
        return known

    def _evaluated(self, x: Array, batch: Any) -> tuple[float, Array]:
        self.gradients += 1

        def evaluate() -> tuple[float, Array | None]:
            f, g = _pair(self.loss(self._border.outside(x), batch))
            return _number(f), self.own(g, "the gradient")

        answer = in_one_crossing(self._space, evaluate)
        return answer.f, answer.g

    def _product(self, part: Part, x: Array, v: Array) -> Array:
        space, outside, hessp = self._space, self._border.outside, self._hessp
        if hessp is not None:
            self.products += 1

            def multiply() -> Array:
                product = hessp(outside(x), outside(v), part.batch)
                return self.own(product, "the product of hessp")

            return space.agreed(multiply)
        length = space.norm(v)
        # The rounding error of a gradient over h balances the truncation error, which is of h.
        h = math.sqrt(space.eps) * max(1.0, space.norm(x)) / length if length else 1.0
        _, shifted = self._evaluated(x + h * v, part.batch)
        return (shifted - self._value(part, x)[1]) / h

    def own(self, v: Any, name: str) -> Array:
        """Return a copy of what the user gave, whose memory may serve for something else next."""
        v = self._space.checked(self._border.inside(v), name)
        return v.copy() if isinstance(v, np.ndarray) else self._space.xp.astype(v, v.dtype)


def _number(f: Any) -> Any:
    return one_number(f, "the loss", "the loss must be one real number")


def _pair(values: Any) -> tuple[Any, Array]:
    try:
        f, g = values
    except (TypeError, ValueError):
        raise TypeError(
            f"loss_and_grad must return (loss, gradient), got {type(values).__name__}"
        ) from None
    return f, g
