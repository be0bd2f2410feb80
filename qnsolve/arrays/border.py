"""Between the arrays of the user's callables and those that a run computes with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qnsolve.arrays.homes import space_of
from qnsolve.arrays.libraries import Array, as_numpy, detached, from_numpy_like, namespace_of
from qnsolve.arrays.space import VectorSpace
from qnsolve.arrays.user import array_like, real_array

CARRIED = 10**4
"""Greatest number of variables for which vectors leave their device: on a GPU the algebra of an
iteration is launches of kernels, 1.3 to 4.5 ms whatever n is.  NumPy takes as long at 3e4 variables
in float64 and at 1e4 in float32, the copies included (``benchmarks/gpu.py --vectors``)."""

REMEMBERED = 4
"""Points of which the user's array is kept: both ends of a step, and those of differences."""


class Border:
    """Lets a run compute with NumPy, whatever library the user's arrays are of.

    Arrays of PyTorch and JAX in the memory of the host can be looked at as NumPy arrays without a
    copy; the passes over stored pairs are faster there, as they are done a chunk at a time in the
    cache and need not be gathered, and nothing is compiled.  Arrays on other devices and of other
    libraries are copied in both directions where they have no more than `CARRIED` entries.  Longer
    ones stay what they are, on both sides.

    Parameters
    ----------
    like : array, optional
        An array of the user's; without it, arrays stay what they are.
    size : int, optional
        Number of variables, where it is not that of `like`.

    Attributes
    ----------
    crossed : bool
        Whether the two sides differ.

    Examples
    --------
    >>> import numpy as np
    >>> border = Border(np.zeros(2))
    >>> x = np.ones(2)
    >>> border.inside(x) is x, border.outside(x) is x, border.crossed
    (True, True, False)
    """

    def __init__(self, like: Array | None = None, size: int | None = None) -> None:
        self._export = None if like is None else from_numpy_like(like)
        self._there: VectorSpace | None = None
        if self._export is None and like is not None:
            short = (math.prod(like.shape) if size is None else size) <= CARRIED
            self._export = from_numpy_like(like, carry=short)
            if self._export is not None:
                self._there = space_of(namespace_of(like).reshape(like, (-1,)))
        self._exported: list[tuple[Array, Array]] = []
        self.crossed = self._export is not None

    def inside(self, a: Any, name: str = "") -> Any:
        """Return what the user's callable gave as an array to compute with.

        What has a name is refused where it would be if x were too long to be carried.
        """
        if self._export is None:
            return detached(a)
        if self._there is not None and name:
            a = array_like(real_array(a, name), self._there, name)
        return as_numpy(a, carry=self._there is not None)

    def outside(self, x: Array) -> Array:
        """Return `x` for the user's callable: one and the same array for one and the same x."""
        if self._export is None:
            return x
        for known, exported in self._exported:
            if known is x:
                return exported
        exported = self._export(x)
        self._exported = [*self._exported[1 - REMEMBERED :], (x, exported)]
        return exported

    def given_away(self, x: np.ndarray) -> Array:
        """Return a NumPy array that nobody else keeps as an array of the user's."""
        return x if self._export is None else self._export(x)
