"""Between the arrays of the user's callables and those that a run computes with."""

from __future__ import annotations

from typing import Any

import numpy as np

from qnsolve.arrays.libraries import Array, as_numpy, detached, from_numpy_like

REMEMBERED = 4
"""Points of which the user's array is kept: both ends of a step, and those of differences."""


class Border:
    """Lets a run on the CPU compute with NumPy, whatever library the user's arrays are of.

    Arrays of PyTorch and JAX in the memory of the host can be looked at as NumPy arrays without a
    copy; the passes over stored pairs are faster there, as they are done a chunk at a time in the
    cache and need not be gathered, and nothing is compiled.  Arrays of other libraries and on other
    devices stay what they are, on both sides.

    Parameters
    ----------
    like : array, optional
        An array of the user's; without it, arrays stay what they are.

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

    def __init__(self, like: Array | None = None) -> None:
        self._export = None if like is None else from_numpy_like(like)
        self._exported: list[tuple[Array, Array]] = []
        self.crossed = self._export is not None

    def inside(self, a: Any) -> Any:
        """Return what the user's callable gave as an array to compute with."""
        return detached(a) if self._export is None else as_numpy(a)

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
