"""The only place where vectors of length n are reduced to numbers.

A solver works with two kinds of data: n-vectors, which stay in the user's array library, dtype
and device, and small float64 NumPy arrays on the host.  :class:`VectorSpace` is the border between
them.  It is looked up once per solve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import array_api_compat
import array_api_extra
import numpy as np

Array = Any
"""An array of any library that follows the Python array API standard."""


def to_host(a: Array) -> np.ndarray:
    """Copy a small array to the host as float64 NumPy.

    Never called on a vector of length n.
    """
    if isinstance(a, np.ndarray):
        return a.astype(np.float64, copy=False)
    if array_api_compat.is_torch_array(a):
        a = a.detach()
    # JAX and dask arrays know one device per array and convert on their own.
    if not (array_api_compat.is_jax_array(a) or array_api_compat.is_dask_array(a)):
        a = array_api_compat.to_device(a, _host_device(a))
    return np.asarray(a).astype(np.float64, copy=False)


def _host_device(a: Array) -> Any:
    if array_api_compat.is_array_api_strict_namespace(array_api_compat.array_namespace(a)):
        import array_api_strict

        return array_api_strict.Device("CPU_DEVICE")
    return "cpu"


def set_row(block: Array, index: int, row: Array) -> Array:
    """Write `row` into ``block[index]``; use the returned array from then on.

    Libraries with immutable arrays return a new block, all others write in place.
    """
    if isinstance(block, np.ndarray):
        block[index] = row
        return block
    return array_api_extra.at(block)[index, :].set(row)


SMALLEST_SQUARE = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)
LARGEST_SQUARE = float(np.finfo(np.float64).max * np.finfo(np.float64).eps)
"""Between these a sum of squares has all its digits."""

CHUNK = 8192
"""Columns handled at a time where float32 rows are widened: small enough to stay in cache."""


@dataclass(frozen=True, eq=False)
class VectorSpace:
    """Namespace, dtype, device and length shared by all n-vectors of one solve.

    Inner products and combinations of stored rows are accumulated in float64 wherever the library
    has it: the Gram matrix of a memory squares its condition number, which float32 cannot afford.

    Parameters
    ----------
    xp : module
        Array API namespace, as returned by ``array_api_compat.array_namespace``.
    dtype : dtype of `xp`
        Real floating dtype of the vectors.
    device : device of `xp` or None
        None leaves the placement to the library.
    size : int
        Length n of the vectors.
    """

    xp: Any
    dtype: Any
    device: Any
    size: int

    @classmethod
    def of(cls, x: Array) -> VectorSpace:
        """Return the space that the 1-D array `x` lives in."""
        xp = array_api_compat.array_namespace(x)
        # A sharded JAX or dask array has no single device to name.
        sharded = array_api_compat.is_jax_array(x) or array_api_compat.is_dask_array(x)
        return cls(xp, x.dtype, None if sharded else array_api_compat.device(x), x.shape[0])

    @classmethod
    def build(cls, size: int, dtype: Any = None, xp: Any = None) -> VectorSpace:
        """Return the space of vectors of length `size`; NumPy and float64 unless said."""
        if xp is None:
            xp = array_api_compat.array_namespace(np.empty(0))
        zeros = xp.zeros(size, dtype=xp.float64 if dtype is None else dtype)
        if not xp.isdtype(zeros.dtype, "real floating"):
            raise TypeError(f"dtype must be real floating, got {zeros.dtype}")
        return cls.of(zeros)

    def checked(self, v: Array, name: str) -> Array:
        """Return a user's vector in the dtype of this space, or raise TypeError or ValueError."""
        if isinstance(v, np.ma.MaskedArray):
            raise TypeError(f"{name} is a masked array; pass a plain one, for masks are not kept")
        if not array_api_compat.is_array_api_obj(v):
            v = np.asarray(v)
        if tuple(v.shape) != (self.size,):
            raise ValueError(f"{name} must have shape ({self.size},), got {tuple(v.shape)}")
        if v.dtype == self.dtype:
            return v
        if not self.xp.isdtype(v.dtype, ("integral", "real floating")):
            raise TypeError(f"{name} must be real, got dtype {v.dtype}")
        return self.xp.astype(v, self.dtype)

    @cached_property
    def eps(self) -> float:
        """Distance from 1 to the next number of the vectors' dtype."""
        return float(self.xp.finfo(self.dtype).eps)

    @cached_property
    def wide(self) -> Any:
        """float64 of the library where vectors are narrower and it has one, else None."""
        # Asked for and not tried: JAX without x64 would warn, and give float32.
        info = self.xp.__array_namespace_info__()
        widest = info.dtypes(device=self.device, kind="real floating").get("float64")
        return None if widest is None or self.dtype == widest else widest

    @property
    def product_eps(self) -> float:
        """Unit roundoff of :meth:`products`, relative to the norms of the two vectors."""
        return self.eps if self.wide is None else float(np.finfo(np.float64).eps)

    def zeros(self, shape: int | tuple[int, ...]) -> Array:
        return self.xp.zeros(shape, dtype=self.dtype, **self._placement())

    def from_host(self, a: np.ndarray, dtype: Any = None) -> Array:
        """Copy a small host array into the vectors' library, device and (unless said) dtype."""
        dtype = self.dtype if dtype is None else dtype
        return self.xp.asarray(a, dtype=dtype, **self._placement())

    def unit(self, j: int) -> Array:
        """Return the j-th coordinate vector."""
        e = self.zeros(self.size)
        return array_api_extra.at(e)[j].set(1.0)

    def dot(self, a: Array, b: Array) -> float:
        """Return the inner product of two n-vectors; inf or NaN, without a warning, on overflow."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.wide is None:
                return float(a @ b)
            widen = self._widen
            return sum(float(widen(a[c]) @ widen(b[c])) for c in self._chunks())

    def norm(self, a: Array) -> float:
        """Return the Euclidean norm of `a`, also where its square over- or underflows."""
        square = self.dot(a, a)
        if SMALLEST_SQUARE <= square <= LARGEST_SQUARE:
            return math.sqrt(square)
        largest = self.norm_inf(a)
        if largest == 0.0 or not math.isfinite(largest):
            return largest
        scaled = a / largest
        return largest * math.sqrt(self.dot(scaled, scaled))

    def norm_inf(self, a: Array) -> float:
        """Return max_i |a_i| without a temporary of length n; NaN if any entry is NaN."""
        high, low = float(self.xp.max(a)), float(self.xp.min(a))
        # Python's max() may skip a NaN; a sum never does.
        return high + low if np.isnan(high + low) else max(high, -low)

    def products(self, rows: Array, v: Array) -> np.ndarray:
        """Return the inner products of every row of `rows` with `v`, on the host."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.wide is None:
                return to_host(rows @ v)
            total = self.xp.zeros(rows.shape[0], dtype=self.wide, **self._placement())
            for c in self._chunks():
                total = total + self._widen(rows[:, c]) @ self._widen(v[c])
            return to_host(total)

    def combine(self, coefficients: np.ndarray, rows: Array) -> Array:
        """Return the n-vector ``sum_i coefficients[i] * rows[i]``."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.wide is None:
                return self.from_host(coefficients) @ rows
            weights = self.from_host(coefficients, self.wide)
            chunks = [weights @ self._widen(rows[:, c]) for c in self._chunks()]
            return self.xp.concat([self.xp.astype(chunk, self.dtype) for chunk in chunks])

    def gram_of_combinations(self, coefficients: np.ndarray, rows: Array) -> np.ndarray:
        """Return the Gram matrix of the columns of ``rows.T @ coefficients``, on the host.

        The columns are formed, a chunk at a time, before they are multiplied: the result has the
        rounding error of the columns themselves and not that of the rows' Gram matrix.
        """
        dtype = self.dtype if self.wide is None else self.wide
        weights = self.from_host(np.ascontiguousarray(coefficients.T), dtype)
        total = 0.0
        for c in self._chunks():
            columns = weights @ (rows[:, c] if self.wide is None else self._widen(rows[:, c]))
            total = total + columns @ columns.mT
        return to_host(total)

    def _widen(self, a: Array) -> Array:
        return self.xp.astype(a, self.wide)

    def _chunks(self) -> list[slice]:
        return [slice(i, min(i + CHUNK, self.size)) for i in range(0, self.size, CHUNK)]

    def _placement(self) -> dict[str, Any]:
        return {} if self.device is None else {"device": self.device}
