"""What all homes of vectors of length n have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn, Self, TypeVar

import numpy as np

from qnsolve.arrays.libraries import Array, library_of, placement, to_host
from qnsolve.arrays.request import Numbers, Request
from qnsolve.arrays.user import array_like
from qnsolve.comm import Comm

T = TypeVar("T")

COLUMNS = 2**16
"""Entries of columns taken out of a block at a time: few enough for the cache."""


def _full_squares(info: Any) -> tuple[float, float]:
    """Return between what a sum of squares has all digits of the dtype that `info` is about."""
    return float(info.smallest_normal) / float(info.eps), float(info.max) * float(info.eps)


class VectorSpace(ABC):
    """Library, dtype, device and length shared by all n-vectors of one solve.

    A solver works with two kinds of data: n-vectors, which stay in the user's array library, dtype
    and device, and small float64 NumPy arrays on the host.  This is the border between them, and
    :meth:`reduce` the way across.  A space keeps nothing of the vectors that it is asked about.

    Inner products and combinations of stored rows are accumulated in float64 wherever the library
    has it: the Gram matrix of a memory squares its condition number, which float32 cannot afford.
    None of the methods that return numbers warns on overflow: they return inf or NaN.

    Attributes
    ----------
    xp : module
        Array API namespace.
    dtype : dtype of `xp`
        Real floating dtype of the vectors.
    device : device of `xp` or None
        None leaves the placement to the library.
    size : int
        Length n of the vectors; of a face the number of entries that may differ from zero.
    first, length : int
        Where the slice of this rank begins and how many entries it has.
    eps, product_eps : float
        Distance from 1 to the next number of the vectors' dtype, and of that of the products.
    wide : dtype of `xp` or None
        float64 where vectors are narrower and the library has it.
    crosses : bool
        Whether numbers come from afar, so that they are worth asking for together.
    sharded : bool
        Whether there are ranks with a slice each; all reductions are collective then.
    comm : Comm or None
        These ranks.
    leader : bool
        Whether this is the first of them, or the only one.
    on_host : bool
        Whether the vectors, or the slices, are NumPy arrays.
    """

    crosses: ClassVar[bool] = True
    sharded: ClassVar[bool] = False
    comm: Comm | None = None
    leader = True
    on_host = False
    _free: Array | None = None

    def __init__(self, xp: Any, dtype: Any, device: Any, size: int, wide: Any) -> None:
        self.xp = xp
        self.dtype = dtype
        self.device = device
        self.size = self.length = size
        self.first = 0
        self.wide = wide
        self.eps = float(xp.finfo(dtype).eps)
        sums = xp.finfo(self.accumulator)
        self.product_eps = float(sums.eps)
        self._least_square, self._most_square = _full_squares(sums)
        self._placement = placement(device)

    @property
    def package(self) -> str:
        """Name of the array library."""
        return library_of(self.xp)

    @property
    def accumulator(self) -> Any:
        """Dtype in which products are summed."""
        return self.dtype if self.wide is None else self.wide

    # -- vectors -----------------------------------------------------------------------------------

    def zeros(self, shape: int | tuple[int, ...]) -> Array:
        return self.xp.zeros(shape, dtype=self.dtype, **self._placement)

    def from_host(self, a: np.ndarray, dtype: Any = None) -> Array:
        """Copy a small host array into the vectors' library, device and (unless said) dtype."""
        dtype = self.dtype if dtype is None else dtype
        return self.xp.asarray(a, dtype=dtype, **self._placement)

    def unit(self, j: int) -> Array:
        """Return the j-th coordinate vector, of a face that of its j-th free entry."""
        if self._free is not None:
            j = int(self.entries(self._free)[j])
        numbers = self.xp.arange(self.first, self.first + self.length, **self._placement)
        return self.xp.astype(numbers == j, self.dtype)

    # -- some of the entries -----------------------------------------------------------------------

    def face(self, free: Array, size: int) -> Self:
        """Return the space of the vectors that are zero where `free` is False.

        They are as long as the others; `size` is the number of entries that may differ from zero.
        """
        face = object.__new__(type(self))
        vars(face).update(vars(self), size=size, _free=free)
        return face

    def entries(self, chosen: Array) -> Array:
        """Return the indices at which `chosen` is True, ascending."""
        return self.xp.nonzero(chosen)[0]

    def count(self, chosen: Array) -> int:
        """Return how often `chosen` is True."""
        return int(self.xp.sum(self.xp.astype(chosen, self.xp.int32)))

    def columns(self, rows: Array, indices: Array) -> np.ndarray:
        """Return some columns of `rows`, or entries of a vector, float64 on the host."""
        part = self.xp.take(rows, indices, axis=len(rows.shape) - 1)
        return to_host(part).astype(np.float64, copy=False)

    def gram_of_columns(
        self, rows: Array, indices: Array, coefficients: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the sum of w w' over some columns w of ``coefficients.T @ rows``, on the host.

        Without coefficients of `rows` themselves.
        """
        size = rows.shape[0] if coefficients is None else coefficients.shape[1]
        gram = np.zeros((size, size))
        with np.errstate(over="ignore", invalid="ignore"):
            for c in chunks(indices.shape[0], rows.shape[0], COLUMNS, 1):
                part = self.columns(rows, indices[c])
                part = part if coefficients is None else coefficients.T @ part
                gram += part @ part.T
        return gram

    def checked(self, v: Any, name: str) -> Array:
        """Return a user's vector in the dtype of this space, or raise TypeError or ValueError."""
        v = array_like(v, self, name, "as the other vectors are")
        if self.xp.isdtype(v.dtype, "bool"):
            raise TypeError(f"{name} must hold numbers, got dtype {v.dtype}")
        if tuple(v.shape) != (self.length,):
            raise ValueError(f"{name} must have shape ({self.length},), got {tuple(v.shape)}")
        return self.xp.astype(v, self.dtype, copy=False)

    def add(self, a: Array, alpha: float, b: Array) -> Array:
        """Return ``a + alpha b``."""
        return a + alpha * b

    @abstractmethod
    def set_row(self, block: Array, index: int, row: Array) -> Array:
        """Write `row` into ``block[index]``; use the returned array from then on.

        Libraries with immutable arrays return a new block, all others write in place.
        """

    @abstractmethod
    def combine(self, coefficients: np.ndarray, rows: Array) -> Array:
        """Return the n-vector ``sum_i coefficients[i] * rows[i]``."""

    def combine_and_add(
        self, coefficients: np.ndarray, rows: Array, alpha: float, v: Array, *, multiply: bool
    ) -> tuple[Array, np.ndarray | None]:
        """Return ``s = sum_i coefficients[i] * rows[i] + alpha v``, and the rows' products with s.

        In NumPy the rows are read once for both, and there is no vector of length n beside s.
        Elsewhere, or where the products are not to be multiplied, they are None.
        """
        s = self.combine(coefficients, rows)
        with np.errstate(over="ignore", invalid="ignore"):
            return (s + alpha * v if alpha else s), None

    # -- numbers -----------------------------------------------------------------------------------

    @abstractmethod
    def reduce(self, request: Request, scalars: Sequence[Any] = ()) -> Numbers:
        """Return what is asked for, and `scalars`, in one crossing.

        Parameters
        ----------
        request : Request
        scalars : sequence of float or of arrays of one element, on any device
            Other numbers to cross with them; added up over the ranks.
        """

    def dot(self, a: Array, b: Array) -> float:
        """Return the inner product of two n-vectors."""
        return self.reduce(Request(dots=((a, b),))).dots[0]

    def norm_inf(self, a: Array) -> float:
        """Return max_i |a_i|; NaN if any entry is NaN."""
        return self.reduce(Request(largest=(a,))).largest[0]

    def products(self, rows: Array, v: Array) -> np.ndarray:
        """Return the inner products of every row of `rows` with `v`, on the host."""
        return self.reduce(Request(rows=rows, with_rows=(v,))).products[0]

    def norm(self, a: Array) -> float:
        """Return the Euclidean norm of `a`, also where its square over- or underflows."""
        square = self.dot(a, a)
        if self.is_whole(square):
            return math.sqrt(square)
        largest = self.norm_inf(a)
        if largest == 0.0 or not math.isfinite(largest):
            return largest
        # Powers of two, which round nothing; in two factors, for one alone may leave the range.
        exponent = math.frexp(largest)[1]
        half = 2.0 ** -(exponent // 2)
        rest = 2.0 ** (exponent // 2 - exponent)
        scaled = a * half * rest
        return math.sqrt(self.dot(scaled, scaled)) / half / rest

    def is_whole(self, square: float) -> bool:
        """Tell whether a sum of squares has all its digits, and lost none to the range."""
        return self._least_square <= square <= self._most_square

    @abstractmethod
    def products_of_combinations(
        self, coefficients: np.ndarray, rows: Array
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the inner products of the columns of ``rows.T @ coefficients``, on the host.

        Those with each row, of shape (columns, rows), and those with each other.  The columns are
        formed, a chunk at a time, before they are multiplied: the products have the rounding error
        of the columns themselves and not that of the rows' Gram matrix.  On a face only the entries
        that are free count.
        """

    @abstractmethod
    def rescale_pairs(
        self, block: Array, used: int, factor: Array
    ) -> tuple[Array, np.ndarray, np.ndarray]:
        """Multiply the even ones of the first `used` rows by `factor`, and divide the odd ones.

        Returns the block to use from then on, in NumPy the one given, and the Gram matrices of the
        rows of either kind; one pass, a chunk of columns at a time.
        """

    # -- ranks -------------------------------------------------------------------------------------

    def any(self, flag: bool) -> bool:
        """Tell whether `flag` is set on any rank, so that all of them decide the same."""
        return flag

    def each(self, value: float) -> np.ndarray:
        """Return what every rank gives for `value`, in the order of the ranks."""
        return np.array([value], dtype=float)

    def same(self, value: float) -> bool:
        """Tell whether `value` is the same number on all ranks."""
        return True

    def agreed(self, action: Callable[[], T]) -> T:
        """Return ``action()`` if it raises on no rank; otherwise raise on every one."""
        return action()

    def fail_together(self, error: BaseException | None) -> NoReturn:
        """Raise `error` where it happened, and elsewhere a RankError that quotes it."""
        assert error is not None  # there is nobody else
        raise error


def chunks(length: int, rows: int, entries: int, least: int) -> list[slice]:
    """Return the slices of columns in which `rows` rows are handled; one at least.

    Each has about `entries` entries, and `least` columns at least.
    """
    width = max(least, entries // max(1, rows))
    return [slice(i, min(i + width, length)) for i in range(0, max(1, length), width)]
