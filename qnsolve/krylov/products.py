"""Products with a matrix, asked for by one and answered by another.

A solver here is a generator: it yields a vector v of length n and receives B v.  Whoever drives it
decides how that is made: by a callable, or by a loop that gathers the questions of several.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

import numpy as np

from qnsolve.arrays import Array, VectorSpace
from qnsolve.norms import DiagonalNorm
from qnsolve.questions import drive

T = TypeVar("T")

Steps = Generator[Array, Any, T]
"""What yields vectors v, receives B v for each, and returns a T."""


def answered(steps: Steps[T], hessp: Any) -> T:
    """Return what `steps` returns, with products by a user's callable.

    Raises
    ------
    TypeError
        If `hessp` is not callable.
    """
    if not callable(hessp):
        raise TypeError(f"hessp must be callable, hessp(v) -> B v, got {type(hessp).__name__}")
    return drive(steps, hessp)


class Operator:
    r"""The matrix :math:`A^{-1/2} B A^{-1/2}`: B in the variables in which an ellipsoid is a ball.

    Parameters
    ----------
    space : VectorSpace
    norm : DiagonalNorm or None
        None is A = I.

    Attributes
    ----------
    count : int
        Products so far.
    """

    def __init__(self, space: VectorSpace, norm: DiagonalNorm | None) -> None:
        self.space, self._norm = space, norm
        self.count = 0

    def product(self, v: Array) -> Steps[Array | None]:
        """Ask for the product with `v`; return it, or None if it is not finite.

        What is yielded is a vector of its own, which may be kept or changed.
        """
        self.count += 1
        space, xp = self.space, self.space.xp
        product = yield (xp.asarray(v, copy=True) if self._norm is None else self.scale(v))
        shape = getattr(product, "shape", None)
        if shape is None or tuple(shape) != (space.length,):
            found = type(product).__name__ if shape is None else f"shape {tuple(shape)}"
            raise ValueError(f"hessp must return an array of shape ({space.length},), got {found}")
        if product.dtype != space.dtype:
            if not xp.isdtype(product.dtype, ("integral", "real floating")):
                raise TypeError(f"hessp must return real numbers, got dtype {product.dtype}")
            product = xp.astype(product, space.dtype)
        product = self.scale(product)
        return product if np.isfinite(space.norm_inf(product)) else None

    def scale(self, v: Array) -> Array:
        """Return A^{-1/2} v."""
        return v if self._norm is None else self._norm.from_ball(v)

    def unscale(self, v: Array) -> Array:
        """Return A^{1/2} v."""
        return v if self._norm is None else self._norm.to_ball(v)
