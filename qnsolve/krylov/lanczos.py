"""The Lanczos process from one starting vector after another, on vectors of any array library."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal, eigvalsh_tridiagonal

from qnsolve.arrays import Array, VectorSpace
from qnsolve.krylov.products import Operator, Steps

BREAKDOWN = 8.0
"""Length of a residual, in roundings of a product with B, at which it is nothing but rounding."""

SECOND_PASS = 0.7
"""A vector that shrinks below this share of its length when it is made orthogonal needs a second
pass, for what was left of it has lost digits; two are enough (Parlett 1998, section 6.9)."""

LARGEST_PRODUCT = float(np.finfo(np.float64).max * np.finfo(np.float64).eps)
"""Length of a product beyond which an eigenvalue of the projected matrix may be out of range."""

FIRST_ROWS = 16
"""Rows of the first block of basis vectors; each next one is twice as large."""


class Basis:
    """Orthonormal n-vectors q_1, q_2, ..., the rows of one block that doubles when it is full."""

    def __init__(self, space: VectorSpace) -> None:
        self.space = space
        self.size = 0
        self._block = space.zeros((FIRST_ROWS, space.length))

    @property
    def rows(self) -> Array:
        return self._block[: self.size, :]

    def row(self, j: int) -> Array:
        return self._block[j, :]

    def append(self, q: Array) -> None:
        if self.size == self._block.shape[0]:
            more = self.space.zeros(tuple(self._block.shape))
            self._block = self.space.xp.concat([self._block, more], axis=0)
        self._block = self.space.set_row(self._block, self.size, q)
        self.size += 1

    def off_span(self, v: Array) -> tuple[Array, float]:
        """Return the part of `v` that is orthogonal to all rows, and its length."""
        length = self.space.norm(v)
        for _ in range(2):
            v = v - self.space.combine(self.space.products(self.rows, v), self.rows)
            before, length = length, self.space.norm(v)
            if length >= SECOND_PASS * before:
                break
        return v, length


@dataclass(frozen=True, eq=False)
class Residual:
    """What a product adds to the space: ``B q_index = Q H[:, index] + vector``, Q' vector = 0."""

    index: int
    vector: Array
    norm: float


class BandLanczos:
    r"""Lanczos vectors Q of several starting vectors, each next one chosen by the caller.

    .. math::

        Q^T Q = I, \qquad H = Q^T B Q, \qquad B Q = Q H + F,

    where F has one nonzero column, a *residual*, for each starting vector whose Krylov space is not
    yet exhausted.  Dividing a residual by its length gives the next vector of its chain.

    Parameters
    ----------
    operator : Operator
        B, in the variables of the ball.
    reorthogonalise : bool
        Make every vector orthogonal to all before it, not only to those that the recurrence names.

    Attributes
    ----------
    open : dict
        Residuals that are not rounding error, by the number of their chain.
    chains : list of int
        The chain of every basis vector.

    Notes
    -----
    A starting vector adds a chain.  From one of them, H is tridiagonal.  The next is orthogonal to
    all vectors so far; where the space of the first was exhausted, H is block diagonal with exact
    zeros, and otherwise the one open residual couples the two, which H then accounts for: it is
    the projected matrix in any case.  A product costs one pass over Q for each of two products
    with it, 4 k n flops for k vectors, and the storage is k n numbers.

    References
    ----------
    A. Ruhe, "Implementation aspects of band Lanczos algorithms for computation of eigenvalues of
    large sparse symmetric matrices", Math. Comp. 33 (1979).
    """

    def __init__(self, operator: Operator, *, reorthogonalise: bool = True) -> None:
        self._operator = operator
        self._space = operator.space
        self._reorthogonalise = reorthogonalise
        self._basis = Basis(operator.space)
        self._H = np.zeros((FIRST_ROWS, FIRST_ROWS))
        self._tridiagonal = True
        self._largest_product = 0.0
        self.open: dict[int, Residual] = {}
        self.chains: list[int] = []

    @property
    def size(self) -> int:
        return self._basis.size

    @property
    def dimension(self) -> int:
        """n."""
        return self._space.size

    @property
    def full(self) -> bool:
        """Whether Q spans the whole space; never claimed for vectors that may be dependent."""
        return self._reorthogonalise and self.size >= self.dimension

    @property
    def H(self) -> np.ndarray:
        return self._H[: self.size, : self.size]

    def spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the Ritz values in ascending order and the eigenvectors of H in columns."""
        if self.size == 0:
            return np.zeros(0), np.zeros((0, 0))
        if self._tridiagonal:
            # The QR iteration: its eigenvectors are the most nearly orthogonal.
            return eigh_tridiagonal(np.diag(self.H), np.diag(self.H, 1), lapack_driver="stev")
        return np.linalg.eigh(self.H)

    def residual(self, y: np.ndarray) -> dict[int, float]:
        """Return, by chain, the lengths of the parts of ``B Q y - Q H y``."""
        return {chain: abs(float(y[f.index])) * f.norm for chain, f in self.open.items()}

    def ends(self, chain: int) -> tuple[float, float, float]:
        """Return the least and greatest Ritz values on one chain, and the residual of the least.

        A chain alone is tridiagonal, whatever it is coupled to.
        """
        own = np.flatnonzero(np.array(self.chains) == chain)
        diagonal, beside = self.H[own, own], self.H[own[:-1], own[1:]]
        # Bisection squares the entries: in units of the largest, to a power of two.
        power = int(np.frexp(max(np.abs(diagonal).max(), np.abs(beside).max(initial=0.0)))[1])
        diagonal, beside = np.ldexp(diagonal, -power), np.ldexp(beside, -power)
        (least,), v = eigh_tridiagonal(diagonal, beside, select="i", select_range=(0, 0))
        (greatest,) = eigvalsh_tridiagonal(
            diagonal, beside, select="i", select_range=(len(own) - 1, len(own) - 1)
        )
        error = abs(float(v[-1, 0])) * self.open[chain].norm if chain in self.open else 0.0
        return math.ldexp(least, power), math.ldexp(greatest, power), error

    def lift(self, y: np.ndarray) -> Array:
        """Return Q y."""
        if self.size == 0:
            return self._space.zeros(self._space.length)
        return self._space.combine(y, self._basis.rows)

    def product(self, y: np.ndarray) -> Array:
        """Return B Q y, from the products made so far; right where Q is not orthonormal too."""
        product = self.lift(self.H @ y)
        for f in self.open.values():
            product = product + float(y[f.index]) * f.vector
        return product

    def start(self, v: Array) -> Steps[bool]:
        """Begin a chain at the part of `v` off the basis; False if its product is out of range."""
        length = self._space.norm(v)
        if self.size:
            v, length = self._basis.off_span(v)
        return self._append(v / length, max(self.chains, default=-1) + 1, None)

    def extend(self, chain: int) -> Steps[bool]:
        """Add the next vector of an open chain; False if its product is out of range."""
        source = self.open[chain]
        if not math.isfinite(source.norm):
            return False
        return (yield from self._append(source.vector / source.norm, chain, source))

    def _append(self, q: Array, chain: int, source: Residual | None) -> Steps[bool]:
        space, k = self._space, self.size
        product = yield from self._operator.product(q)
        length = math.inf if product is None else space.norm(product)
        if product is None or not length <= LARGEST_PRODUCT:
            return False
        self._largest_product = max(self._largest_product, length)

        # 1. The new column of H.  Closed vectors have their products in the span: exactly zero.
        column: dict[int, float] = {}
        if source is not None:
            del self.open[chain]
            column[source.index] = source.norm
        others = dict(self.open)
        for f in others.values():
            column[f.index] = space.dot(f.vector, q)
        alpha = space.dot(q, product)

        # 2. The residuals: the new one, and what is left of the others.
        rest = product - alpha * q
        for j, coupling in column.items():
            rest = rest - coupling * self._basis.row(j)
        self._basis.append(q)
        self._set_open(chain, k, rest)
        for other, f in others.items():
            self._set_open(other, f.index, f.vector - column[f.index] * q)
        self.chains.append(chain)

        # 3. The projected matrix.
        if k == len(self._H):
            self._H = np.pad(self._H, (0, k))
        for j, coupling in {**column, k: alpha}.items():
            self._H[j, k] = self._H[k, j] = coupling
        self._tridiagonal &= all(j == k - 1 or not coupling for j, coupling in column.items())
        return True

    def _set_open(self, chain: int, index: int, vector: Array) -> None:
        """Store a residual, or close its chain where it is nothing but rounding."""
        if self._reorthogonalise:
            vector, length = self._basis.off_span(vector)
        else:
            length = self._space.norm(vector)
        if self.full or not length > BREAKDOWN * self._space.eps * self._largest_product:
            self.open.pop(chain, None)
        else:
            self.open[chain] = Residual(index, vector, length)
