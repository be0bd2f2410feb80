"""The passes over the stored pairs as compiled loops; importing this needs numba (extra `fast`).

NumPy makes one call for the combination of the rows and another for the products with it, and in
float32 a copy of each chunk in float64 before.  A compiled loop does both while a chunk of the rows
is in the cache, and widens numbers as it reads them: the same sums, in another order.

The first import compiles for some seconds, later ones take about one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.types import Array, UniTuple, float64, void

from qnsolve.arrays import use_compiled

CHUNK = 1024
"""Columns handled at a time: twenty rows of them in float64 stay in the cache of a core."""

REALS = (numba.float64, numba.float32)

wide = float64[::1]
"""A writable vector in float64."""


def use(compiled: bool = True) -> None:
    """Have solves that begin from now on, in this process, use the compiled loops, or not.

    They serve NumPy vectors in float64 and float32; other array libraries have their own.  They pay
    in float32 from some thousand variables on, in float64 from a million on (see "Performance" in
    the documentation).  Results differ in rounding.

    Parameters
    ----------
    compiled : bool, optional

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve import kernels, minimize
    >>> kernels.use()
    >>> x0 = np.ones(10_000, dtype=np.float32)
    >>> bool(minimize(lambda x: (0.5 * x @ x, x), x0, jac=True).success)
    True
    >>> kernels.use(False)
    """
    loops = sys.modules[__name__] if compiled else None
    use_compiled(loops)


def _read(real: Any, ndim: int = 1, layout: str = "C") -> Array:
    """Return the type of arrays that are only read; a writable one will do."""
    return Array(real, ndim, layout, readonly=True)


def _compiled(*signatures: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        # Sums may be reordered, or they would not be vectorised; NaN and inf keep their meaning.
        options = {"fastmath": {"reassoc", "contract", "nsz"}, "nogil": True}
        try:
            return numba.njit(list(signatures), cache=True, **options)(function)
        except RuntimeError:  # there is no folder to keep the machine code in
            return numba.njit(list(signatures), **options)(function)

    return decorate


@_compiled(*(float64(_read(r, layout="A"), _read(r, layout="A")) for r in REALS))
def dot(a, b):
    """Return a'b, summed in float64."""
    total = 0.0
    for j in range(a.size):
        total += np.float64(a[j]) * np.float64(b[j])
    return total


@_compiled(*(float64(_read(r), wide) for r in REALS))
def _product(row, w):
    total = 0.0
    for j in range(w.size):
        total += row[j] * w[j]
    return total


@_compiled(*(UniTuple(float64, 4)(*[_read(r)] * 4, wide) for r in REALS))
def _four_products(row0, row1, row2, row3, w):
    t0 = t1 = t2 = t3 = 0.0
    for j in range(w.size):
        t0 += row0[j] * w[j]
        t1 += row1[j] * w[j]
        t2 += row2[j] * w[j]
        t3 += row3[j] * w[j]
    return t0, t1, t2, t3


@_compiled(*(void(float64, _read(r), wide) for r in REALS))
def _add(c, row, w):
    for j in range(w.size):
        w[j] += c * row[j]


@_compiled(*(void(*[float64] * 4, *[_read(r)] * 4, wide) for r in REALS))
def _add_four(c0, c1, c2, c3, row0, row1, row2, row3, w):
    for j in range(w.size):
        w[j] += (c0 * row0[j] + c1 * row1[j]) + (c2 * row2[j] + c3 * row3[j])


# Four rows at a time: w is then read, and written, a quarter as often.
@_compiled(*(void(_read(r, 2), numba.intp, wide, wide) for r in REALS))
def _add_products(rows, first, w, out):
    """Add the products of columns ``first, first + 1, ...`` of all rows with w to `out`."""
    last, i = first + w.size, 0
    while i + 4 <= rows.shape[0]:
        t0, t1, t2, t3 = _four_products(
            rows[i, first:last],
            rows[i + 1, first:last],
            rows[i + 2, first:last],
            rows[i + 3, first:last],
            w,
        )
        out[i] += t0
        out[i + 1] += t1
        out[i + 2] += t2
        out[i + 3] += t3
        i += 4
    while i < rows.shape[0]:
        out[i] += _product(rows[i, first:last], w)
        i += 1


@_compiled(*(void(wide, _read(r, 2), numba.intp, wide) for r in REALS))
def _add_combination(c, rows, first, w):
    """Add ``sum_i c[i] rows[i, first:]`` to w."""
    last, i = first + w.size, 0
    while i + 4 <= rows.shape[0]:
        _add_four(
            c[i],
            c[i + 1],
            c[i + 2],
            c[i + 3],
            rows[i, first:last],
            rows[i + 1, first:last],
            rows[i + 2, first:last],
            rows[i + 3, first:last],
            w,
        )
        i += 4
    while i < rows.shape[0]:
        _add(c[i], rows[i, first:last], w)
        i += 1


@_compiled(*(void(_read(r, 2), _read(r, layout="A"), wide) for r in REALS))
def products(rows, v, out):
    """Add the inner products of each row with v to `out`."""
    chunk = np.empty(CHUNK)
    for first in range(0, v.size, CHUNK):
        w = chunk[: min(CHUNK, v.size - first)]
        for j in range(w.size):
            w[j] = v[first + j]
        _add_products(rows, first, w, out)


@_compiled(
    *(
        void(wide, _read(r, 2), float64, _read(r, layout="A"), r[::1], wide, numba.boolean)
        for r in REALS
    )
)
def combine(c, rows, alpha, v, s, out, multiply):
    """Write ``rows' c + alpha v`` into s; if asked for, add its products with the rows to `out`."""
    chunk = np.empty(CHUNK)
    for first in range(0, v.size, CHUNK):
        w = chunk[: min(CHUNK, v.size - first)]
        w[:] = 0.0
        if alpha != 0.0:  # v need not be finite else
            for j in range(w.size):
                w[j] = alpha * v[first + j]
        _add_combination(c, rows, first, w)
        for j in range(w.size):
            s[first + j] = w[j]
        if multiply:
            # With s as it is stored, rounded.
            for j in range(w.size):
                w[j] = s[first + j]
            _add_products(rows, first, w, out)
