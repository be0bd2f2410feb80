"""The gradient of an iterate together with its products W g, kept by one pass over W a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qnsolve.array import Array, Wanted
from qnsolve.quasi_newton.pairs import PairMemory

DIRECT = 0.1
"""Ratio of |y| to the larger gradient norm below which W y is not taken as a difference."""


@dataclass
class TrackedGradient:
    """A gradient g, its norm, and the products W g with the rows of a memory.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.array import VectorSpace
    >>> from qnsolve.quasi_newton.pairs import PairMemory
    >>> pairs = PairMemory(VectorSpace.build(2), capacity=3)
    >>> g = TrackedGradient.of(np.array([3.0, 4.0]), pairs)
    >>> g.norm, g.products.size
    (5.0, 0)
    """

    vector: Array
    norm: float
    products: np.ndarray
    pairs: PairMemory
    _ahead: tuple[Array, Array] | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, g: Array, pairs: PairMemory) -> TrackedGradient:
        """Return `g` tracked from scratch."""
        return cls(g, pairs.space.norm(g), pairs.products(g), pairs)

    def snapshot(self) -> dict[str, Any]:
        """Return what is known of the vector, for :meth:`restore`."""
        return {"norm": self.norm, "products": self.products}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what another one knew of the same vector."""
        self.norm, self.products = state["norm"], state["products"]

    def change_to(self, g_new: Array, norm_new: float) -> tuple[TrackedGradient, Array, np.ndarray]:
        """Return `g_new`, of norm `norm_new`, tracked; ``y = g_new - g``; and W y.

        W y is the difference of W g_new and W g as long as y is not small against them.  Where it
        is small that difference would lose digits, and W y is formed, with W g_new as the sum.
        """
        pairs, space = self.pairs, self.pairs.space
        y = self.difference(g_new)
        self._ahead = None
        if space.wide is not None:
            # y is rounded to the narrow dtype: its exact products are not the difference.
            new_products, y_products = pairs.products(g_new), pairs.products(y)
        elif space.norm(y) >= DIRECT * max(self.norm, norm_new):
            new_products = pairs.products(g_new)
            y_products = new_products - self.products
        else:
            y_products = pairs.products(y)
            new_products = self.products + y_products
        return TrackedGradient(g_new, norm_new, new_products, pairs), y, y_products

    @np.errstate(over="ignore", invalid="ignore")
    def difference(self, g_new: Array) -> Array:
        """Return ``y = g_new - g``, one and the same until the change is made."""
        if self._ahead is None or self._ahead[0] is not g_new:
            self._ahead = (g_new, g_new - self.vector)
        return self._ahead[1]

    def wanted(self, g_new: Array, s: Array) -> Wanted:
        """Return the request for all products of a change to `g_new` by a step `s`."""
        y = self.difference(g_new)
        # The narrow y is rounded, and its products are not a difference.
        with_rows = (g_new, s) if self.pairs.space.wide is None else (g_new, s, y)
        pairs = ((g_new, g_new), (s, g_new), (y, g_new), (s, s), (s, y), (y, y))
        return self.pairs.wanted(with_rows, *pairs)

    def wanted_at(self, x: Array, g: Array, direction: Array) -> Wanted:
        """Return the request for what a search along `direction` asks of a point x."""
        return Wanted([(g, direction), (g, g), (x, x)], [g])

    def account_for_newest(self, newest: tuple[Array, Array] | None = None) -> None:
        """Extend the products to the pair that has just been stored, `newest` if it is at hand."""
        self.products = self.pairs.with_newest(self.products, self.vector, newest)

    def account_for_none(self) -> None:
        """Drop the products with pairs that are gone: the memory has been emptied."""
        self.products = np.empty(0)
