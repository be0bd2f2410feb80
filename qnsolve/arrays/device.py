"""Vectors of any other library that follows the array API standard, on any device."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qnsolve.arrays.libraries import (
    Array,
    device_of,
    is_array,
    namespace_of,
    to_host,
    to_number,
    with_row,
)
from qnsolve.arrays.request import Numbers, Request
from qnsolve.arrays.space import VectorSpace, chunks

CHUNK, LEAST_WIDTH = 2**25, 8192
"""Entries handled at a time where they are widened: 256 MiB; and the least number of columns, for
a short chunk would be all overhead."""


class DeviceSpace(VectorSpace):
    """The vectors of one process, wherever they are.

    Every method that returns numbers makes one transfer to the host, and :meth:`norm` further
    ones where a square leaves the range of its dtype.

    Parameters
    ----------
    xp : module
        Array API namespace.
    dtype : dtype of `xp`
        Real floating.
    device : device of `xp` or None
        None leaves the placement to the library.
    size : int
    """

    def __init__(self, xp: Any, dtype: Any, device: Any, size: int) -> None:
        # Asked for and not tried: JAX without x64 would warn, and give float32.
        info = xp.__array_namespace_info__()
        widest = info.dtypes(device=device, kind="real floating").get("float64")
        wide = None if widest is None or dtype == widest else widest
        super().__init__(xp, dtype, device, size, wide)

    def __reduce__(self) -> tuple[Callable[..., DeviceSpace], tuple[Any, ...]]:
        """Pickle the library by its name."""
        return _device_space, (self.xp.__name__, self.dtype, self.device, self.size)

    def set_row(self, block: Array, index: int, row: Array) -> Array:
        return with_row(block, index, row)

    def combine(self, coefficients: np.ndarray, rows: Array) -> Array:
        weights = self.from_host(coefficients, self.accumulator)
        with np.errstate(over="ignore", invalid="ignore"):
            if self.wide is None:
                return weights @ rows
            parts = [weights @ self._widened(rows[:, c]) for c in self._chunks(rows.shape[0])]
            return self.xp.concat([self.xp.astype(part, self.dtype) for part in parts])

    def reduce(self, request: Request, scalars: Sequence[Any] = ()) -> Numbers:
        mine = [self._is_mine(scalar) for scalar in scalars]
        # An empty slice has neither a greatest nor a least entry.
        largest = request.largest if self.length else ()
        with np.errstate(over="ignore", invalid="ignore"):
            found = iter(
                self._crossed(
                    *(scalar for scalar, here in zip(scalars, mine, strict=True) if here),
                    *(self._dot(a, b) for a, b in request.dots),
                    *(self._products(request.rows, v) for v in request.with_rows),
                    *(end(v) for v in largest for end in self._ends),
                )
            )
        numbers = [
            next(found).item() if here else to_number(scalar)
            for scalar, here in zip(scalars, mine, strict=True)
        ]
        dots = [next(found).item() for _ in request.dots]
        products = [next(found) for _ in request.with_rows]
        ends = [[next(found).item() for _ in self._ends] for _ in largest]
        moduli = [max(high, -low) if square == square else square for high, low, square in ends]
        return Numbers(dots, products, moduli or [0.0 for _ in request.largest], numbers)

    def products_of_combinations(
        self, coefficients: np.ndarray, rows: Array
    ) -> tuple[np.ndarray, np.ndarray]:
        weights = self.from_host(np.ascontiguousarray(coefficients.T), self.accumulator)
        with_rows: Array = 0.0
        among: Array = 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            for c in self._chunks(rows.shape[0]):
                part = self._widened(rows[:, c])
                if self._free is not None:
                    part = part * self.xp.astype(self._free[c], part.dtype)
                columns = weights @ part
                with_rows = with_rows + columns @ part.mT
                among = among + columns @ columns.mT
        with_rows, among = self._crossed(with_rows, among)
        return with_rows, among

    def gram_of_columns(
        self, rows: Array, indices: Array, coefficients: np.ndarray | None = None
    ) -> np.ndarray:
        weights = np.eye(rows.shape[0]) if coefficients is None else coefficients
        weights = self.from_host(np.ascontiguousarray(weights.T), self.accumulator)
        gram: Array = 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            for c in chunks(indices.shape[0], rows.shape[0], CHUNK, LEAST_WIDTH):
                part = weights @ self._widened(self.xp.take(rows, indices[c], axis=1))
                gram = gram + part @ part.mT
        (gram,) = self._crossed(gram)
        return gram

    def rescale_pairs(
        self, block: Array, used: int, factor: Array
    ) -> tuple[Array, np.ndarray, np.ndarray]:
        xp, rows = self.xp, block[:used, :]
        SS: Array = 0.0
        YY: Array = 0.0
        parts: list[Array] = []
        with np.errstate(over="ignore", invalid="ignore"):
            for c in self._chunks(used):
                S, Y = rows[0::2, c] * factor[c], rows[1::2, c] / factor[c]
                parts.append(xp.reshape(xp.stack([S, Y], axis=1), (used, S.shape[1])))
                S, Y = self._widened(S), self._widened(Y)
                SS, YY = SS + S @ S.mT, YY + Y @ Y.mT
        SS, YY = self._crossed(SS, YY)
        return xp.concat([xp.concat(parts, axis=1), block[used:, :]]), SS, YY

    @property
    def _ends(self) -> tuple[Callable[[Array], Array], ...]:
        # The square is NaN where an entry is: JAX's max and min pass over NaN on a CPU.
        return self.xp.max, self.xp.min, lambda v: v @ v

    def _dot(self, a: Array, b: Array) -> Array:
        if self.wide is None:
            return a @ b
        return sum(self._widened(a[c]) @ self._widened(b[c]) for c in self._chunks(1))

    def _products(self, rows: Array, v: Array) -> Array:
        if self.wide is None:
            return rows @ v
        total: Array = 0.0
        for c in self._chunks(rows.shape[0]):
            total = total + self._widened(rows[:, c]) @ self._widened(v[c])
        return total

    def _crossed(self, *arrays: Array) -> list[np.ndarray]:
        """Return small arrays of this device on the host, in one transfer."""
        if not arrays:
            return []
        xp, dtype = self.xp, self.accumulator
        flat = [xp.reshape(xp.astype(a, dtype, copy=False), (-1,)) for a in arrays]
        numbers, found, stop = to_host(xp.concat(flat)), [], 0
        for a, length in zip(arrays, (part.shape[0] for part in flat), strict=True):
            start, stop = stop, stop + length
            found.append(numbers[start:stop].reshape(a.shape))
        return found

    def _is_mine(self, scalar: Any) -> bool:
        """Tell whether a number is an array of this library on this device."""
        mine = is_array(scalar) and namespace_of(scalar) is self.xp
        return mine and self.device in (None, device_of(scalar))

    def _widened(self, a: Array) -> Array:
        return a if self.wide is None else self.xp.astype(a, self.wide)

    def _chunks(self, rows: int) -> list[slice]:
        return chunks(self.length, rows, CHUNK, LEAST_WIDTH)


def _device_space(library: str, *where: Any) -> DeviceSpace:
    return DeviceSpace(importlib.import_module(library), *where)
