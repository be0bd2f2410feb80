"""The gradient of an iterate together with its products W g, kept by one pass over W a step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qnsolve.arrays import Array, Numbers, Request, VectorSpace
from qnsolve.quasi_newton.pairs import PairProducts, RowMemory
from qnsolve.state import Saved, Stateful

DIRECT = 0.1
"""Ratio of |y| to the larger gradient norm below which W y is not taken as a difference."""

CANCELLED = 1e-2
"""Part of y'y below which that of a changed y is not taken as a difference."""


@dataclass(eq=False)
class TrackedGradient(Stateful):
    """A gradient g, its norm, and the products W g with the rows of a memory.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.arrays import new_space
    >>> from qnsolve.quasi_newton.pairs import PairMemory
    >>> pairs = PairMemory(new_space(2), capacity=3)
    >>> g = TrackedGradient.of(np.array([3.0, 4.0]), pairs)
    >>> g.norm, g.products.size
    (5.0, 0)
    """

    vector: Array
    norm: Saved[float]
    products: Saved[np.ndarray]
    pairs: RowMemory

    @classmethod
    def of(cls, g: Array, pairs: RowMemory, norm: float | None = None) -> TrackedGradient:
        """Return `g` tracked from scratch; `norm` is ||g|| where it is known already."""
        norm = pairs.space.norm(g) if norm is None else norm
        return cls(g, norm, pairs.products(g), pairs)

    def account_for_newest(self, with_s: float, with_y: float) -> None:
        """Extend the products to the pair (s, y) that has just been stored, given s'g and y'g."""
        self.products = self.pairs.with_newest(self.products, self.vector, with_s, with_y)

    def account_for_none(self) -> None:
        """Drop the products with pairs that are gone: the memory has been emptied."""
        self.products = np.empty(0)


class GradientChange:
    """How a gradient changes along a step s: what is asked at its end, and the pair that it makes.

    :meth:`request` says which inner products are needed once the new gradient is there, and
    :meth:`read` takes them; everything else follows from those numbers.

    Parameters
    ----------
    start : TrackedGradient
        The gradient at the beginning of the step.
    s : array, shape (n,)
    s_products : ndarray, optional
        W s where it is known already.

    Attributes
    ----------
    y : array, shape (n,)
        Change of the gradient.
    pair : PairProducts
        Of (s, y).
    end : TrackedGradient
        The gradient at the end, with the products of the pairs stored so far.
    slope : float
        s'g at the end.

    Notes
    -----
    W y is the difference of W g_new and W g as long as y is not small against them.  Where it is
    small that difference would lose digits, and W y is formed.  In a narrow dtype y is rounded: its
    exact products are not that difference, and it is formed, too.
    """

    y: Array
    pair: PairProducts
    end: TrackedGradient
    slope: float

    def __init__(self, start: TrackedGradient, s: Array, s_products: np.ndarray | None) -> None:
        self.start, self.s = start, s
        self._s_products = s_products

    @np.errstate(over="ignore", invalid="ignore")
    def request(self, g: Array) -> Request:
        """Return the inner products to be taken at the end of the step, g the gradient there."""
        pairs, space, s = self.start.pairs, self.start.pairs.space, self.s
        self.y = y = g - self.start.vector
        self._g = g
        dots = ((g, g), (s, s), (s, y), (y, y), (s, g), (y, g))
        # Where a crossing costs nothing W y is asked for at once, in place of W g.
        self._y_for_g = not space.crosses and space.wide is None and self._small(space.norm(g))
        with_rows = [y if self._y_for_g else g]
        with_rows += [y] * (space.wide is not None) + [s] * (self._s_products is None)
        return Request(dots, pairs.rows, with_rows)

    @np.errstate(over="ignore", invalid="ignore")
    def read(self, numbers: Numbers, norm: float) -> None:
        """Take the numbers of :meth:`request`, of which the first is g'g, and its root `norm`."""
        start, pairs, space = self.start, self.start.pairs, self.start.pairs.space
        ss, sy, yy, self.slope, self._yg = numbers.dots[1:6]
        products = list(numbers.products)
        with_s = products.pop() if self._s_products is None else self._s_products
        if space.wide is not None:
            with_g, with_y = products
        elif self._y_for_g:
            (with_y,) = products
            with_g = start.products + with_y
        else:
            (with_g,) = products
            with_y = pairs.products(self.y) if self._small(norm, yy) else with_g - start.products
        self.pair = PairProducts(with_s, with_y, ss, sy, yy)
        self.end = TrackedGradient(self._g, norm, with_g, pairs)

    @np.errstate(over="ignore", invalid="ignore")
    def bend(self, share: float) -> None:
        """Make y + share s the y of the pair."""
        space, s = self.start.pairs.space, self.s
        self.y, pair = space.add(self.y, share, s), self.pair.with_share(share)
        self._yg += share * self.slope
        # A narrow sum is rounded, and one that has all but vanished has lost its digits.
        if space.wide is not None or not pair.yy > CANCELLED * self.pair.yy:
            y, dots = self.y, ((s, self.y), (self.y, self.y), (self.y, self._g))
            numbers = space.reduce(Request(dots, self.start.pairs.rows, (y,)))
            sy, yy, self._yg = numbers.dots
            pair = PairProducts(pair.with_s, numbers.products[0], pair.ss, sy, yy)
        self.pair = pair

    def account(self, gradient: TrackedGradient) -> None:
        """Extend the products of one of the two gradients to this pair, which has been stored."""
        if gradient is self.end:
            gradient.account_for_newest(self.slope, self._yg)
        else:
            dots = ((self.s, gradient.vector), (self.y, gradient.vector))
            gradient.account_for_newest(*gradient.pairs.space.reduce(Request(dots)).dots)

    def _small(self, norm: float, yy: float | None = None) -> bool:
        """Tell whether y is small against the gradients at both ends."""
        space, least = self.start.pairs.space, DIRECT * max(self.start.norm, norm)
        if abs(self.start.norm - norm) >= least:  # y is no shorter than that
            return False
        length = space.norm(self.y) if yy is None else root(yy, self.y, space)
        return not length >= least


def root(square: float, v: Array, space: VectorSpace) -> float:
    """Return ||v|| given its square, which may have over- or underflowed."""
    if space.is_whole(square):
        return math.sqrt(square)
    return space.norm(v)
