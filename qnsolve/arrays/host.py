"""Vectors that are NumPy arrays: passes in chunks that stay in the cache, or compiled loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from qnsolve.arrays.libraries import NUMPY, Array, to_number
from qnsolve.arrays.request import Numbers, Request
from qnsolve.arrays.space import VectorSpace, chunks

IN_CACHE, LEAST_WIDTH = 2**18, 1024
"""Entries handled at a time where they are read twice or widened: few enough for the cache; and
the least number of columns, so that the work outweighs the calls."""

_compiled: ModuleType | None = None


def use_compiled(loops: ModuleType | None) -> None:
    """Have spaces made from now on use the loops of :mod:`qnsolve.kernels`, or with None none."""
    global _compiled
    _compiled = loops


class HostSpace(VectorSpace):
    """The NumPy vectors of one process.

    Parameters
    ----------
    dtype : dtype
        Real floating.
    size : int

    Examples
    --------
    >>> import numpy as np
    >>> space = HostSpace(np.float64, 2)
    >>> space.norm(2.0**600 * np.array([3.0, 4.0])) == 2.0**600 * 5.0
    True
    """

    crosses = False
    on_host = True

    def __init__(self, dtype: Any, size: int) -> None:
        dtype = np.dtype(dtype)
        wide = None if dtype == np.float64 else np.dtype(np.float64)
        super().__init__(NUMPY, dtype, "cpu", size, wide)
        self.kernels = _compiled if dtype in (np.float64, np.float32) else None

    def __reduce__(self) -> tuple[Callable[..., HostSpace], tuple[Any, ...]]:
        return HostSpace, (self.dtype, self.size)

    def checked(self, v: Any, name: str) -> Array:
        if type(v) is np.ndarray and v.dtype == self.dtype and v.shape == (self.length,):
            return v
        return super().checked(v, name)

    def set_row(self, block: Array, index: int, row: Array) -> Array:
        block[index] = row
        return block

    def reduce(self, request: Request, scalars: Sequence[Any] = ()) -> Numbers:
        return Numbers(
            [self.dot(a, b) for a, b in request.dots],
            [self.products(request.rows, v) for v in request.with_rows],
            [self.norm_inf(v) for v in request.largest],
            [to_number(scalar) for scalar in scalars],
        )

    def dot(self, a: Array, b: Array) -> float:
        if self.wide is None:
            return float(np.vdot(a, b))  # which never warns
        loops = self._loops_for(a, b)
        if loops is not None:
            return float(loops.dot(a, b))
        widened = self._widened
        # Of Python's floats: the sum of NumPy's would warn on overflow.
        return sum(float(np.vdot(widened(a[c]), widened(b[c]))) for c in self._chunks(1))

    def norm_inf(self, a: Array) -> float:
        if a.size <= IN_CACHE:
            return float(np.maximum.reduce(np.abs(a), initial=0.0))
        # Two passes, and no temporary of length n.
        high, low = float(a.max()), float(a.min())
        return float(np.maximum(high, -low))  # NaN if one is

    def products(self, rows: Array, v: Array) -> np.ndarray:
        if self.wide is None:
            with np.errstate(over="ignore", invalid="ignore"):
                return _product(rows, v)
        out = np.zeros(rows.shape[0])
        loops = self._loops_for(rows, v)
        if loops is not None:
            loops.products(rows, v, out)
            return out
        with np.errstate(over="ignore", invalid="ignore"):
            for c in self._chunks(rows.shape[0]):
                out += _product(self._widened(rows[:, c]), self._widened(v[c]))
        return out

    def combine(self, coefficients: np.ndarray, rows: Array) -> Array:
        if self.wide is None:
            with np.errstate(over="ignore", invalid="ignore"):
                return _product(np.asarray(coefficients, dtype=self.dtype), rows)
        v = np.empty(self.length, dtype=self.dtype)
        return self.combine_and_add(coefficients, rows, 0.0, v, multiply=False)[0]

    def combine_and_add(
        self, coefficients: np.ndarray, rows: Array, alpha: float, v: Array, *, multiply: bool
    ) -> tuple[Array, np.ndarray | None]:
        weights = np.ascontiguousarray(coefficients, dtype=self.accumulator)
        loops = self._loops_for(rows, v)
        if loops is not None:
            s, out = np.empty_like(v), np.zeros(rows.shape[0] if multiply else 0)
            loops.combine(weights, rows, alpha, v, s, out, multiply)
            return s, out if multiply else None
        with np.errstate(over="ignore", invalid="ignore"):
            if rows.size <= IN_CACHE:
                return self._combined(weights, rows, alpha, v, multiply)
            parts = self._chunks(rows.shape[0])
            s, products = np.empty(v.shape, v.dtype), np.zeros(rows.shape[0])
            for c in parts:
                s[c], more = self._combined(weights, rows[:, c], alpha, v[c], multiply)
                if more is not None:
                    products += more
        return s, products if multiply else None

    def _combined(
        self, weights: np.ndarray, rows: Array, alpha: float, v: Array, multiply: bool
    ) -> tuple[Array, np.ndarray | None]:
        rows = self._widened(rows)
        s = _product(weights, rows).astype(v.dtype, copy=False)
        if alpha:
            s += alpha * v
        return s, _product(rows, self._widened(s)) if multiply else None

    def products_of_combinations(
        self, coefficients: np.ndarray, rows: Array
    ) -> tuple[np.ndarray, np.ndarray]:
        q, r = coefficients.shape
        weights = np.ascontiguousarray(coefficients.T)
        with_rows, among = np.zeros((r, q)), np.zeros((r, r))
        with np.errstate(over="ignore", invalid="ignore"):
            for c in self._chunks(q):
                part = self._widened(rows[:, c])
                if self._free is not None:
                    part = part * self._free[c]
                columns = weights @ part
                with_rows += columns @ part.T
                among += columns @ columns.T
        return with_rows, among

    def rescale_pairs(
        self, block: Array, used: int, factor: Array
    ) -> tuple[Array, np.ndarray, np.ndarray]:
        rows = block[:used]
        SS, YY = np.zeros((2, used // 2, used // 2))
        with np.errstate(over="ignore", invalid="ignore"):
            for c in self._chunks(used):
                S, Y = rows[0::2, c], rows[1::2, c]
                S *= factor[c]
                Y /= factor[c]
                S, Y = self._widened(S), self._widened(Y)
                SS += S @ S.T
                YY += Y @ Y.T
        return block, SS, YY

    def _widened(self, a: Array) -> Array:
        return a.astype(np.float64, copy=False)

    def _chunks(self, rows: int) -> list[slice]:
        return chunks(self.length, rows, IN_CACHE, LEAST_WIDTH)

    def _loops_for(self, *arrays: Array) -> ModuleType | None:
        """Return the compiled loops if they have a version for just these arrays."""
        if self.kernels is None:
            return None
        # A block of rows must lie in memory row by row; a vector may have any stride.
        fit = all(a.dtype == self.dtype and (a.ndim == 1 or a.flags.c_contiguous) for a in arrays)
        return self.kernels if fit else None


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return ``a @ b`` of a matrix and a vector."""
    # dot() is the faster for short vectors, but would copy a block with gaps.
    return a.dot(b) if a.flags.forc and b.flags.forc else a @ b
