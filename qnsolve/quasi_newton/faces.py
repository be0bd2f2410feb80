"""Rows and matrices on a face: some variables are free, the others do not move.

With B = gamma I + U (Lambda - gamma) U' and F the free variables, B_FF = gamma I_F + U_F (Lambda -
gamma) U_F' has the same form.  Nothing is cut out of the rows: vectors on a face are as long as
others, and zero where they are not free.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qnsolve.arrays import Array, Request
from qnsolve.quasi_newton.on_basis import spectrum_of_update
from qnsolve.quasi_newton.pairs import PairMemory
from qnsolve.quasi_newton.spectrum import FAST, Columns, PartialSpectrum, Rows, Subspace
from qnsolve.state import Saved, Stateful


class Face:
    """The rows W on the free variables, W_F, and their Gram matrix G_F = W_F W_F'.

    Parameters
    ----------
    base : Rows
        W on all variables.
    free : array of bool, shape (n,)
    size : int
        |F|.
    gram : ndarray
        G_F.
    lengths : ndarray
        The rounding error of an entry of G_F is as that of the product of two of these.
    """

    def __init__(
        self, base: Rows, free: Array, size: int, gram: np.ndarray, lengths: np.ndarray
    ) -> None:
        self.base, self.free, self.gram, self.lengths = base, free, gram, lengths
        self.space = base.space.face(free, size)

    @property
    def version(self) -> int:
        return self.base.version

    @property
    def rows(self) -> Array:
        """W, of which the space looks at what is free."""
        return self.base.rows

    def masked(self, v: Array) -> Array:
        """Return a vector with zeros where it is not free."""
        xp = self.space.xp
        return xp.where(self.free, v, xp.zeros_like(v))

    def products(self, v: Array) -> np.ndarray:
        """Return W_F v of a vector on the face."""
        return self.base.products(v)

    def combine_and_add(
        self, coefficients: np.ndarray, alpha: float, v: Array, *, multiply: bool = False
    ) -> tuple[Array, np.ndarray | None]:
        """Return ``W_F' c + alpha v`` of a vector on the face; the products would be a pass."""
        return self.masked(self.base.combine_and_add(coefficients, alpha, v)[0]), None

    def take(self, indices: Array) -> np.ndarray:
        return self.base.take(indices)

    def gram_of_columns(self, indices: Array, coefficients: np.ndarray | None = None) -> np.ndarray:
        return self.base.gram_of_columns(indices, coefficients)

    def within(self, free: Array, size: int) -> Face:
        """Return a face of this face, on which `size` of its variables are free.

        By the columns that are left, or by those that are not, whichever are fewer.
        """
        space = self.space
        if size == space.size:
            return self
        if size <= space.size - size:
            gram = self.base.gram_of_columns(space.entries(free))
            return Face(self.base, free, size, gram, lengths_of(gram))
        gram = self.gram - self.base.gram_of_columns(space.entries(self.free & ~free))
        return Face(self.base, free, size, gram, self.lengths)


class FreeRows(Stateful):
    """The face of the variables that are free, and G_F, kept while they and the pairs change.

    A variable that becomes free, or no longer is, adds or subtracts w w', w its column of W; a new
    pair costs one product of W with each of its rows.  Made anew where that is cheaper, and after n
    changes, for each leaves its rounding error.
    """

    _free: Saved[Any]
    _gram: Saved[Any]
    _lengths: Saved[Any]
    _changes: Saved[int]

    def __init__(self) -> None:
        self._version = -1
        self.forget()

    def forget(self) -> None:
        """Have the next face made anew."""
        self._free = self._gram = self._lengths = None
        self._changes = 0

    def face(self, pairs: PairMemory, free: Array, size: int) -> Face:
        """Return the rows of the pairs on `size` free variables."""
        space = pairs.space
        most, more, fewer = min(size, space.size - size) + 1, None, None
        if self._free is not None and self._version == pairs.version:
            more, fewer = free & ~self._free, self._free & ~free
            changes = space.count(more | fewer)
            if changes > most or self._changes + changes > space.size:
                more = None
        if more is None:
            everywhere = space.zeros(space.length) == 0.0
            whole = Face(pairs, everywhere, space.size, pairs.gram, lengths_of(pairs.gram))
            face = whole.within(free, size)
            self._gram, self._lengths, self._changes = face.gram, face.lengths, 0
        elif changes:
            self._gram = self._gram + pairs.gram_of_columns(space.entries(more))
            self._lengths = np.maximum(self._lengths, lengths_of(self._gram))
            self._gram = self._gram - pairs.gram_of_columns(space.entries(fewer))
            self._changes += changes
        self._free, self._version = free, pairs.version
        return Face(pairs, free, size, self._gram, self._lengths)

    def stored(self, pairs: PairMemory, s: Array, y: Array) -> None:
        """Take in a pair that has just been stored."""
        if self._free is None or self._version != pairs.version - 1:
            self.forget()
            return
        xp, space, row = pairs.space.xp, pairs.space, int(pairs.s_rows[-1])
        parts = [xp.where(self._free, v, xp.zeros_like(v)) for v in (s, y)]
        products = space.reduce(Request(rows=pairs.rows, with_rows=parts)).products
        size, old = len(products[0]), len(self._gram)
        gram, lengths = np.zeros((size, size)), np.zeros(size)
        gram[:old, :old], lengths[:old] = self._gram, self._lengths
        for i, column in enumerate(products):
            gram[row + i] = gram[:, row + i] = column
            lengths[row + i] = math.sqrt(max(0.0, column[row + i]))
        self._gram, self._lengths, self._version = gram, lengths, pairs.version

    def belongs_to(self, pairs: PairMemory) -> None:
        """Say that the state, which has been restored, is that of these pairs."""
        self._version = pairs.version
        if self._free is not None:
            self._free = self._free != 0  # truth values come back from a file as numbers


class Basis:
    """The orthonormal columns of a subspace, as rows."""

    def __init__(self, subspace: Subspace) -> None:
        self.space, self._subspace = subspace.space, subspace

    @classmethod
    def face(cls, subspace: Subspace, free: Array) -> Face:
        """Return the face that a subspace is on, all of R^n or some variables of it."""
        one = np.ones(subspace.rank)
        return Face(cls(subspace), free, subspace.space.size, np.diag(one), one)

    @property
    def version(self) -> int:
        return self._subspace.rows.version

    @property
    def rows(self) -> Array:
        space, C = self.space, self._subspace.coefficients
        rows = self._subspace.rows.rows
        return space.from_host(np.ascontiguousarray(C.T)) @ rows

    def products(self, v: Array) -> np.ndarray:
        return self._subspace.coefficients.T @ self._subspace.rows.products(v)

    def combine_and_add(
        self, coefficients: np.ndarray, alpha: float, v: Array, *, multiply: bool = False
    ) -> tuple[Array, np.ndarray | None]:
        combined = self._subspace.coefficients @ coefficients
        return self._subspace.rows.combine_and_add(combined, alpha, v)[0], None

    def take(self, indices: Array) -> np.ndarray:
        return self._subspace.coefficients.T @ self._subspace.rows.take(indices)

    def gram_of_columns(self, indices: Array, coefficients: np.ndarray | None = None) -> np.ndarray:
        C = self._subspace.coefficients
        combined = C if coefficients is None else C @ coefficients
        return self._subspace.rows.gram_of_columns(indices, combined)


def lengths_of(gram: np.ndarray) -> np.ndarray:
    """Return the lengths of the rows with that Gram matrix."""
    return np.sqrt(np.maximum(gram.diagonal(), 0.0))


def on_face(spectrum: PartialSpectrum, face: Face) -> PartialSpectrum:
    """Return the spectrum of the free rows and columns of a matrix, B_FF.

    Parameters
    ----------
    spectrum : PartialSpectrum
        Of the matrix, U and Lambda.
    face : Face
        Some variables of U', by :meth:`Basis.face` and :meth:`Face.within`.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve import PartialSpectrum
    >>> from qnsolve.quasi_newton.faces import Basis, on_face
    >>> B = PartialSpectrum.from_dense(np.diag([2.0, -1.0, 5.0]))
    >>> face = Basis.face(B, np.ones(3, bool)).within(np.array([True, False, True]), 2)
    >>> on_face(B, face).eigenvalues
    array([2., 5.])
    """
    some = face.lengths > 0.0
    return spectrum_of_update(
        spectrum.gamma,
        Columns(np.eye(len(some))[:, some], face.lengths[some]),
        np.eye(int(some.sum())),
        spectrum.eigenvalues[some] - spectrum.gamma,
        face.gram,
        face,
        FAST,
    )
