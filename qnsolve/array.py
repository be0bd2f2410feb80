"""The only place where vectors of length n are reduced to numbers.

A solver works with two kinds of data: n-vectors, which stay in the user's array library, dtype
and device, and small float64 NumPy arrays on the host.  :class:`VectorSpace` is the border between
them.  It is looked up once per solve.

Where crossing the border is slow, from a device or over several ranks, the inner products of an
iteration are gathered in one crossing, ahead of their use: see :class:`Wanted`.
"""

from __future__ import annotations

import importlib
import math
import weakref
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import ModuleType
from typing import Any

import array_api_compat
import array_api_extra
import numpy as np

from qnsolve.comm import Comm, each, slot

Array = Any
"""An array of any library that follows the Python array API standard."""

_compiled: ModuleType | None = None


def use_compiled(loops: ModuleType | None) -> None:
    """Take the loops for NumPy from :mod:`qnsolve.kernels`, or with None do without."""
    global _compiled
    _compiled = loops


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
    if array_api_compat.is_jax_array(block):
        return _jax_row_setter()(block, index, row)
    return array_api_extra.at(block)[index, :].set(row)


@cache
def _jax_row_setter() -> Callable[[Array, int, Array], Array]:
    import jax

    # Donated, the old block is written to after all: no copy of 2 m n numbers for each row.
    return jax.jit(lambda block, index, row: block.at[index].set(row), donate_argnums=0)


SMALLEST_SQUARE = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)
LARGEST_SQUARE = float(np.finfo(np.float64).max * np.finfo(np.float64).eps)
"""Between these a sum of squares has all its digits."""

IN_CACHE, LEAST_WIDTH = 2**16, 1024
"""Entries handled at a time in NumPy where they are read twice or widened: few enough for the
cache; and the least number of columns, so that the work outweighs the calls."""

DEVICE_CHUNK, DEVICE_WIDTH = 2**25, 8192
"""The same elsewhere, where a short chunk would be all overhead: 256 MiB."""


@dataclass(frozen=True)
class Wanted:
    """Inner products to be taken in one crossing from device to host, or in one all-reduce.

    :meth:`VectorSpace.gather` takes them; afterwards ``dot``, ``norm``, ``norm_inf`` and
    ``products`` know the answers for as long as the vectors live.  Where crossing costs nothing
    they are taken one by one when they are asked for, so a request never changes a result.

    Attributes
    ----------
    pairs : sequence of (array, array)
        Vectors to be multiplied with each other.
    largest : sequence of array
        Vectors whose largest entry in modulus is wanted.
    rows : array, shape (q, n), or None
    content : hashable
        What identifies the rows, as they are now, in calls of ``products``.
    with_rows : sequence of array
        Vectors to be multiplied with all rows.
    """

    pairs: Sequence[tuple[Array, Array]] = ()
    largest: Sequence[Array] = ()
    rows: Array | None = None
    content: Hashable = None
    with_rows: Sequence[Array] = ()


class Known:
    """Numbers that belong to vectors, by their identity; forgotten when a vector dies.

    Vectors must not be written to while something is known of them.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[Hashable, ...], tuple[tuple[Callable[[], Array], ...], Any]] = {}

    def get(self, kind: Hashable, *vectors: Array) -> Any:
        """Return what is known, or None."""
        refs, value = self._entries.get((kind, *map(id, vectors)), ((), None))
        # The id of a dead vector may have been given to another one.
        return value if all(r() is v for r, v in zip(refs, vectors, strict=False)) else None

    def put(self, value: Any, kind: Hashable, *vectors: Array) -> None:
        self._entries[kind, *map(id, vectors)] = (tuple(map(_reference, vectors)), value)

    def purge(self) -> None:
        """Drop what is known of vectors that are gone, or would be if it were not for this."""
        for key, (refs, _) in list(self._entries.items()):
            if any(not isinstance(r, weakref.ref) or r() is None for r in refs):
                del self._entries[key]

    def learn_sum(self, c: Array, a: Array, alpha: float, b: Array) -> None:
        """Put the inner products of ``c = a + alpha b`` that follow from those of a and b."""
        of_a, of_b = self._dots_of(a), self._dots_of(b)
        for key in of_a.keys() & of_b.keys():
            v, with_a = of_a[key]
            self.put(with_a + alpha * of_b[key][1], "dot", *_ordered(c, v))
        aa, ab, bb = (self.get("dot", *_ordered(*pair)) for pair in ((a, a), (a, b), (b, b)))
        if None not in (aa, ab, bb):
            self.put(aa + 2.0 * alpha * ab + alpha * alpha * bb, "dot", c, c)

    def _dots_of(self, a: Array) -> dict[int, tuple[Array, float]]:
        """Return the known inner products with `a`, and with what, by the identity of that."""
        found = {}
        for (kind, *_), (refs, value) in self._entries.items():
            vectors = [r() for r in refs]
            if kind == "dot" and any(v is a for v in vectors) and vectors[0] is not None:
                other = vectors[1] if vectors[0] is a else vectors[0]
                if other is not None:
                    found[id(other)] = (other, value)
        return found


def _reference(v: Array) -> Callable[[], Array]:
    """Return a weak reference to `v`, or a strong one where its library has none."""
    try:
        return weakref.ref(v)
    except TypeError:
        return lambda: v


def _ordered(a: Array, b: Array) -> tuple[Array, Array]:
    """Return both in the order in which their inner product is kept."""
    return (a, b) if id(a) <= id(b) else (b, a)


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
    comm : Comm, optional
        Ranks that hold one slice each of every vector.  All reductions are collective then.
    first, length : int, optional
        Where the slice of this rank begins and how many entries it has; by default all.
    """

    xp: Any
    dtype: Any
    device: Any
    size: int
    comm: Comm | None = None
    first: int = 0
    length: int = -1
    _known: Known = field(default_factory=Known, repr=False)

    def __post_init__(self) -> None:
        if self.length < 0:
            object.__setattr__(self, "length", self.size)

    def __reduce__(self) -> tuple[Callable[..., VectorSpace], tuple[Any, ...]]:
        """Pickle the library by its name; a copy knows no numbers yet."""
        where = (self.dtype, self.device, self.size, self.comm, self.first, self.length)
        return _space_of, (self.xp.__name__, *where)

    @classmethod
    def of(cls, x: Array | VectorSpace, comm: Comm | None = None) -> VectorSpace:
        """Return the space that the 1-D array `x` lives in; a space is returned as it is.

        With `comm` the array is the slice of this rank, and the call is collective.
        """
        if isinstance(x, VectorSpace):
            return x
        xp = array_api_compat.array_namespace(x)
        # A sharded JAX or dask array has no single device to name.
        sharded = array_api_compat.is_jax_array(x) or array_api_compat.is_dask_array(x)
        device = None if sharded else array_api_compat.device(x)
        length = x.shape[0]
        if comm is None:
            return cls(xp, x.dtype, device, length)
        lengths = each(comm, float(length)).astype(int)
        first = int(lengths[: comm.rank].sum())
        return cls(xp, x.dtype, device, int(lengths.sum()), comm, first, length)

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
        if type(v) is np.ndarray and v.dtype == self.dtype and v.shape == (self.length,):
            return v
        if isinstance(v, np.ma.MaskedArray):
            raise TypeError(f"{name} is a masked array; pass a plain one, for masks are not kept")
        if not array_api_compat.is_array_api_obj(v):
            v = np.asarray(v)
        if tuple(v.shape) != (self.length,):
            raise ValueError(f"{name} must have shape ({self.length},), got {tuple(v.shape)}")
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

    @cached_property
    def gathers(self) -> bool:
        """Whether numbers are worth gathering: vectors are on a device or on several ranks."""
        return self.comm is not None or not array_api_compat.is_numpy_namespace(self.xp)

    @cached_property
    def kernels(self) -> ModuleType | None:
        """The compiled loops, where they are in use and have a version for vectors like these."""
        mine = not self.gathers and self.dtype in (np.float64, np.float32)
        return _compiled if mine else None

    def _kernels_for(self, *arrays: Array) -> ModuleType | None:
        """Return the compiled loops if they have a version for just these arrays."""
        if self.kernels is None:
            return None
        # A block of rows must lie in memory row by row; a vector may have any stride.
        fit = all(a.dtype == self.dtype and (a.ndim == 1 or a.flags.c_contiguous) for a in arrays)
        return self.kernels if fit else None

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
        e, here = self.zeros(self.length), j - self.first
        return array_api_extra.at(e)[here].set(1.0) if 0 <= here < self.length else e

    def dot(self, a: Array, b: Array) -> float:
        """Return the inner product of two n-vectors; inf or NaN, without a warning, on overflow."""
        if self.gathers:
            return self._recalled("dot", *_ordered(a, b), wanted=Wanted(pairs=[(a, b)]))
        if self.wide is None:
            return float(np.vdot(a, b))  # which never warns
        with np.errstate(over="ignore", invalid="ignore"):
            return float(self._dot(a, b))

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
        if self.gathers:
            return self._recalled("largest", a, wanted=Wanted(largest=[a]))
        return _largest(float(self.xp.max(a)), float(self.xp.min(a)))

    def products(self, rows: Array, v: Array, content: Hashable = None) -> np.ndarray:
        """Return the inner products of every row of `rows` with `v`, on the host.

        `content` names the rows as they are now, as in :class:`Wanted`.
        """
        if self.gathers:
            content = object() if content is None else content
            wanted = Wanted(rows=rows, content=content, with_rows=[v])
            return self._recalled(("products", content), v, wanted=wanted)
        with np.errstate(over="ignore", invalid="ignore"):
            return to_host(self._products(rows, v))

    def gather(self, wanted: Wanted, scalars: Sequence[Any] = ()) -> list[float]:
        """Take all that is `wanted` and not known yet, in one crossing.

        Parameters
        ----------
        wanted : Wanted
        scalars : sequence of float or of arrays of one element
            Other numbers to cross with them; added up over the ranks.

        Returns
        -------
        list of float
            The `scalars`.
        """
        if not self.gathers:
            return [float(scalar) for scalar in scalars]
        known, kind = self._known, ("products", wanted.content)
        known.purge()
        # 1. What is not known yet.
        pairs = _unknown(known, "dot", [_ordered(*pair) for pair in wanted.pairs])
        vectors = _unknown(known, kind, [(v,) for v in wanted.with_rows])
        largest = _unknown(known, "largest", [(v,) for v in wanted.largest])
        if not (len(scalars) or pairs or vectors or largest):
            return []
        # 2. One crossing.
        with np.errstate(over="ignore", invalid="ignore"):
            sums = [
                *map(self._own, scalars),
                *(self._dot(a, b) for a, b in pairs),
                *(self._products(wanted.rows, v) for (v,) in vectors),
            ]
            numbers = self._cross(sums + [end(v) for (v,) in largest for end in self._ends])
        ends = numbers[len(numbers) - 2 * len(largest) :].reshape(-1, 2)
        maxima = np.array([[_largest(high, low)] for high, low in ends])
        numbers = numbers[: len(numbers) - 2 * len(largest)]
        if self.comm is not None:
            # A maximum is no sum: every rank lays its own beside those of the others.
            slots = [slot(self.comm, high) for (high,) in maxima]
            total = self.comm.allreduce_sum(np.concatenate([numbers, *slots]))
            numbers, maxima = np.split(total, [len(numbers)])
            maxima = maxima.reshape(len(largest), self.comm.size)
        # 3. Whose number is which.
        given, of_pairs, of_rows = np.split(numbers, [len(scalars), len(scalars) + len(pairs)])
        for pair, value in zip(pairs, of_pairs, strict=True):
            known.put(float(value), "dot", *pair)
        for i, (v,) in enumerate(vectors):
            known.put(of_rows.reshape(len(vectors), -1)[i], kind, v)
        for (v,), value in zip(largest, maxima, strict=True):
            known.put(float(value.max()), "largest", v)
        return [float(value) for value in given]

    def add(self, a: Array, alpha: float, b: Array) -> Array:
        """Return ``a + alpha b``; what is known of a and b is known of the sum."""
        c = a + alpha * b
        # A narrow sum is rounded: its inner products are not the sums of theirs.
        if self.gathers and self.wide is None:
            self._known.learn_sum(c, a, alpha, b)
        return c

    def combine(self, coefficients: np.ndarray, rows: Array) -> Array:
        """Return the n-vector ``sum_i coefficients[i] * rows[i]``."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.wide is None:
                return self.from_host(coefficients) @ rows
            if len(coefficients) and self._kernels_for(rows) is not None:
                return self.combine_and_add(coefficients, rows, 0.0, rows[0], multiply=False)[0]
            weights = self.from_host(coefficients, self.wide)
            chunks = [weights @ self._widen(rows[:, c]) for c in self._chunks(rows.shape[0])]
            return self.xp.concat([self.xp.astype(chunk, self.dtype) for chunk in chunks])

    def combine_and_add(
        self, coefficients: np.ndarray, rows: Array, alpha: float, v: Array, *, multiply: bool
    ) -> tuple[Array, np.ndarray | None]:
        """Return ``s = sum_i coefficients[i] * rows[i] + alpha v``, and the rows' products with s.

        In NumPy the rows are read once for both, and there is no vector of length n beside s.
        Elsewhere, or where the products are not to be multiplied, they are None.
        """
        if self.gathers:
            s = self.combine(coefficients, rows)
            return (s + alpha * v if alpha else s), None
        wide = self.dtype if self.wide is None else self.wide
        weights, s = np.ascontiguousarray(coefficients, dtype=wide), np.empty(v.shape, v.dtype)
        products = np.zeros(rows.shape[0], dtype=wide) if multiply else None
        loops = self._kernels_for(rows, v)
        if loops is not None:
            out = np.empty(0) if products is None else products
            loops.combine(weights, rows, alpha, v, s, out, multiply)
            return s, products
        with np.errstate(over="ignore", invalid="ignore"):
            for c in self._chunks(rows.shape[0]):
                part = rows[:, c].astype(wide, copy=False)
                s[c] = weights @ part
                if alpha:
                    s[c] += alpha * v[c]
                if multiply:
                    products += part @ s[c].astype(wide, copy=False)
        return s, None if products is None else to_host(products)

    def products_of_combinations(
        self, coefficients: np.ndarray, rows: Array
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the inner products of the columns of ``rows.T @ coefficients``, on the host.

        Those with each row, of shape (columns, rows), and those with each other.  The columns are
        formed, a chunk at a time, before they are multiplied: the products have the rounding error
        of the columns themselves and not that of the rows' Gram matrix.
        """
        dtype = self.dtype if self.wide is None else self.wide
        weights = self.from_host(np.ascontiguousarray(coefficients.T), dtype)
        with_rows: Array = 0.0
        among: Array = 0.0
        for c in self._chunks(rows.shape[0]):
            part = rows[:, c] if self.wide is None else self._widen(rows[:, c])
            columns = weights @ part
            with_rows = with_rows + columns @ part.mT
            among = among + columns @ columns.mT
        numbers = self._cross([with_rows, among])
        if self.comm is not None:
            numbers = self.comm.allreduce_sum(numbers)
        with_rows, among = np.split(numbers, [coefficients.shape[1] * rows.shape[0]])
        shape = (coefficients.shape[1], -1)
        return with_rows.reshape(shape), among.reshape(shape)

    def rescale_pairs(
        self, block: Array, used: int, factor: Array
    ) -> tuple[Array, np.ndarray, np.ndarray]:
        """Multiply the even ones of the first `used` rows by `factor`, and divide the odd ones.

        Returns the block to use from then on, in NumPy the one given, and the Gram matrices of the
        rows of either kind; one pass, a chunk of columns at a time.
        """
        xp, rows = self.xp, block[:used, :]
        in_place = array_api_compat.is_numpy_namespace(xp)
        SS: Array = 0.0
        YY: Array = 0.0
        parts: list[Array] = []
        with np.errstate(over="ignore", invalid="ignore"):
            for c in self._chunks(used):
                S, Y = rows[0::2, c] * factor[c], rows[1::2, c] / factor[c]
                if in_place:
                    rows[0::2, c], rows[1::2, c] = S, Y
                else:
                    parts.append(xp.reshape(xp.stack([S, Y], axis=1), (used, S.shape[1])))
                if self.wide is not None:
                    S, Y = self._widen(S), self._widen(Y)
                SS, YY = SS + S @ S.mT, YY + Y @ Y.mT
            if parts:
                block = xp.concat([xp.concat(parts, axis=1), block[used:, :]])
            numbers = self._cross([SS, YY])
        if self.comm is not None:
            numbers = self.comm.allreduce_sum(numbers)
        SS, YY = numbers.reshape(2, used // 2, used // 2)
        return block, SS, YY

    def remembered(self, kind: Hashable, v: Array, make: Callable[[], Array]) -> Array:
        """Return ``make()``, one and the same for as long as v lives where numbers are gathered."""
        if not self.gathers:
            return make()
        made = self._known.get(kind, v)
        if made is None:
            made = make()
            self._known.put(made, kind, v)
        return made

    def any(self, flag: bool) -> bool:
        """Tell whether `flag` is set on any rank, so that all of them decide the same."""
        if self.comm is None:
            return flag
        return bool(self.comm.allreduce_sum(np.array([float(flag)]))[0] > 0.0)

    def _recalled(self, kind: Hashable, *vectors: Array, wanted: Wanted) -> Any:
        """Return what is known by that name; take it where it is not."""
        value = self._known.get(kind, *vectors)
        if value is None:
            self.gather(wanted)
            value = self._known.get(kind, *vectors)
        return value

    def _cross(self, parts: Sequence[Any]) -> np.ndarray:
        """Return numbers and small arrays as one array on the host, in one transfer at most."""
        parts = [p if hasattr(p, "shape") else np.array([float(p)]) for p in parts]
        if array_api_compat.is_numpy_namespace(self.xp):
            return np.concatenate([np.empty(0), *map(np.ravel, parts)])
        far = [not isinstance(part, np.ndarray) for part in parts]
        xp, dtype = self.xp, self.wide or self.dtype
        sent = [
            xp.reshape(xp.astype(part, dtype), (-1,))
            for part, away in zip(parts, far, strict=True)
            if away
        ]
        sizes = [math.prod(part.shape) for part in parts]
        whole, place = np.empty(sum(sizes)), np.repeat(far, sizes)
        if place.any():
            whole[place] = to_host(xp.concat(sent))
        whole[~place] = np.concatenate(
            [
                np.empty(0),
                *(np.ravel(part) for part, away in zip(parts, far, strict=True) if not away),
            ]
        )
        return whole

    def _own(self, scalar: Any) -> Any:
        """Return an array of one element of another library or device as a host array."""
        if not hasattr(scalar, "shape"):
            return scalar
        elsewhere = array_api_compat.array_namespace(scalar) is not self.xp
        if not elsewhere and self.device is not None:
            elsewhere = array_api_compat.device(scalar) != self.device
        return to_host(scalar) if elsewhere else scalar

    @property
    def _ends(self) -> tuple[Callable[[Array], Any], Callable[[Array], Any]]:
        """Greatest and least entry; 0 where a rank has none."""
        if not self.length:
            return (lambda v: 0.0, lambda v: 0.0)
        return self.xp.max, self.xp.min

    def _dot(self, a: Array, b: Array) -> Any:
        if self.wide is None:
            return a @ b
        loops = self._kernels_for(a, b)
        if loops is not None:
            return loops.dot(a, b)
        widen = self._widen
        return sum(widen(a[c]) @ widen(b[c]) for c in self._chunks(1))

    def _products(self, rows: Array, v: Array) -> Array:
        if self.wide is None:
            return rows @ v
        loops = self._kernels_for(rows, v)
        if loops is not None:
            out = np.zeros(rows.shape[0])
            loops.products(rows, v, out)
            return out
        total = self.xp.zeros(rows.shape[0], dtype=self.wide, **self._placement())
        for c in self._chunks(rows.shape[0]):
            total = total + self._widen(rows[:, c]) @ self._widen(v[c])
        return total

    def _widen(self, a: Array) -> Array:
        return self.xp.astype(a, self.wide)

    def _chunks(self, rows: int) -> list[slice]:
        """Return the slices of columns in which `rows` rows are handled; one at least."""
        if array_api_compat.is_numpy_namespace(self.xp):
            chunk, least = IN_CACHE, LEAST_WIDTH
        else:
            chunk, least = DEVICE_CHUNK, DEVICE_WIDTH
        width = max(least, chunk // max(1, rows))
        stops = range(0, max(1, self.length), width)
        return [slice(i, min(i + width, self.length)) for i in stops]

    def _placement(self) -> dict[str, Any]:
        return {} if self.device is None else {"device": self.device}


def _space_of(library: str, *where: Any) -> VectorSpace:
    return VectorSpace(importlib.import_module(library), *where)


def _largest(high: float, low: float) -> float:
    """Return the largest modulus between the ends; NaN if one is."""
    # Python's max() may skip a NaN; a sum never does.
    return high + low if np.isnan(high + low) else max(high, -low)


def _unknown(
    known: Known, kind: Hashable, wanted: Sequence[tuple[Array, ...]]
) -> list[tuple[Array, ...]]:
    """Return those of the `wanted` vectors of which nothing is known, each once."""
    distinct = {tuple(map(id, vectors)): vectors for vectors in wanted}
    return [vectors for vectors in distinct.values() if known.get(kind, *vectors) is None]
