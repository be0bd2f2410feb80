"""The partial spectrum: a symmetric matrix that is a multiple of I off a small space.

``B = U diag(lam) U' + gamma (I - U U')`` with U (n x r) orthonormal.  U is never formed: its
columns are combinations ``U = W' C`` of rows W that are stored anyway, so an n-vector is only
touched by ``W v`` (project) and ``W' c`` (lift).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.linalg import lapack

from qnsolve.arrays import Array, VectorSpace, new_space, space_of
from qnsolve.arrays.user import own_array, require_real
from qnsolve.checks import REAL
from qnsolve.quasi_newton.eigen import eigh

CANCELLATION = 0.5
"""Ratio of |g_perp| to |g| below which g_perp is formed: the difference of two squares magnifies
rounding by the square of its inverse, and near the hard case the step is as wrong as that."""

CANCELLATION_IN_LOOP = 1e-2
"""The same for the basis of a loop, which asks for fewer digits and forms no vector twice."""

LITTLE_LEFT = 1e-4
"""The same ratio below which an outer loop wants g_perp made orthogonal to U once more."""

RANK_NOISE = 8.0
"""Eigenvalues of a scaled q x q Gram matrix below RANK_NOISE * q * eps are rounding error."""


ACCURATE = 1e-14
"""Error of U'U - I asked for by default: the basis is made as orthonormal as the pairs allow."""

FAST = 1e-6
"""Error of U'U - I that an outer loop is content with: its steps need no more digits than that."""

BASIS_ROUNDINGS = 8.0
"""A given basis is orthonormal to this many roundings for each entry of a vector."""

SECOND_PASS_RANK = 1e-2
"""Squared length below which a normalised direction turns out to have been rounding error."""


class Rows(Protocol):
    """A block W of rows, multiplied from both sides; `version` changes with its content."""

    space: VectorSpace

    @property
    def version(self) -> int: ...

    def products(self, v: Array) -> np.ndarray: ...

    def combine_and_add(
        self, coefficients: np.ndarray, alpha: float, v: Array, *, multiply: bool = False
    ) -> tuple[Array, np.ndarray | None]: ...

    @property
    def rows(self) -> Array: ...

    def take(self, indices: Array) -> np.ndarray: ...

    def gram_of_columns(
        self, indices: Array, coefficients: np.ndarray | None = None
    ) -> np.ndarray: ...


class FixedRows:
    """Rows that never change: an explicit orthonormal basis, one vector a row."""

    version = 0

    def __init__(self, space: VectorSpace, rows: Array) -> None:
        self.space = space
        self.rows = rows

    def products(self, v: Array) -> np.ndarray:
        return self.space.products(self.rows, v)

    def combine_and_add(
        self, coefficients: np.ndarray, alpha: float, v: Array, *, multiply: bool = False
    ) -> tuple[Array, np.ndarray | None]:
        return self.space.combine_and_add(coefficients, self.rows, alpha, v, multiply=multiply)

    def take(self, indices: Array) -> np.ndarray:
        return self.space.columns(self.rows, indices)

    def gram_of_columns(self, indices: Array, coefficients: np.ndarray | None = None) -> np.ndarray:
        return self.space.gram_of_columns(self.rows, indices, coefficients)


class Split(NamedTuple):
    """A vector g in the coordinates of an orthonormal basis: g = U par + g_perp.

    Attributes
    ----------
    par : ndarray, shape (r,)
        U'g.
    norm_perp : float
        ||g_perp||, exactly 0 where it is rounding error.
    norm : float
        ||g||.
    carrier : array, shape (n,)
        A vector whose part off span(U) is g_perp: g itself, or g_perp where the difference of two
        nearly equal vectors had to be formed.
    carrier_par : ndarray, shape (r,)
        U'carrier.
    """

    par: np.ndarray
    norm_perp: float
    norm: float
    carrier: Array
    carrier_par: np.ndarray


class Subspace:
    """The span of orthonormal columns ``U = W' C``: splits vectors, and lifts what is in it.

    Parameters
    ----------
    rows : Rows
        The block W.
    coefficients : ndarray, shape (rows of W, r)
        C.
    orthogonality : float
        Error of U'U - I.
    """

    def __init__(
        self, rows: Rows, coefficients: np.ndarray, orthogonality: float = ACCURATE
    ) -> None:
        self.space = rows.space
        self._rows = rows
        self._coefficients = coefficients
        self._orthogonality = orthogonality
        self._version = rows.version

    @property
    def rows(self) -> Rows:
        """W in ``U = W' C``, as long as it is that of the memory."""
        self._check_version()
        return self._rows

    @property
    def coefficients(self) -> np.ndarray:
        """C in ``U = W' C``, shape (rows of W, r)."""
        return self._coefficients

    @property
    def rank(self) -> int:
        """r, the number of columns."""
        return self.coefficients.shape[1]

    @property
    def complement_dim(self) -> int:
        """n - r."""
        return self.space.size - self.rank

    @np.errstate(over="ignore", invalid="ignore")
    def split(
        self, g: Array, products: np.ndarray | None = None, norm: float | None = None
    ) -> Split:
        """Return `g` in the coordinates of this basis.

        Parameters
        ----------
        g : array, shape (n,)
        products : ndarray, optional
            W g where it is known already.
        norm : float, optional
            ||g|| where it is known already.

        Notes
        -----
        ||g_perp|| is the difference of two squares.  Where little is left of it, g_perp is formed,
        in one further pass over W.  It is made orthogonal to U once more, in two, unless the basis
        is that of an outer loop and the second pass would change less than 1e-4 of it.
        """
        par = self._par(g, products)
        norm = self.space.norm(g) if norm is None else norm
        if self.complement_dim == 0 or norm == 0.0:
            return Split(par, 0.0, norm, g, par)
        inside = math.hypot(*par.tolist()) / norm
        outside = (1.0 - inside) * (1.0 + inside)
        in_loop = self._orthogonality >= FAST
        if outside > (CANCELLATION_IN_LOOP if in_loop else CANCELLATION) ** 2:
            return Split(par, norm * math.sqrt(outside), norm, g, par)
        g_perp = self._off(g, par)
        norm_perp = self.space.norm(g_perp)
        if norm_perp > self._rounding * norm and not (in_loop and norm_perp > LITTLE_LEFT * norm):
            # What is left may lie along U itself, as far as U is not orthonormal.
            rest = self._par(g_perp, None)
            par, g_perp = par + rest, self._off(g_perp, rest)
            norm_perp = self.space.norm(g_perp)
        if not self._rounding * norm < norm_perp < math.inf:  # or too large to be formed
            return Split(par, 0.0, norm, g, par)
        if in_loop and FAST * norm_perp > self.space.eps * norm:
            # The difference taken when the step is formed has digits enough, and no vector is kept.
            return Split(par, norm_perp, norm, g, par)
        return Split(par, norm_perp, norm, g_perp, np.zeros_like(par))

    @np.errstate(over="ignore", invalid="ignore")
    def lift(
        self, v_par: np.ndarray, beta: float, g: Array, g_par: np.ndarray | None = None
    ) -> Array:
        """Return the n-vector ``U v_par + beta (I - U U') g``.

        Parameters
        ----------
        v_par : ndarray, shape (r,)
        beta : float
        g : array, shape (n,)
        g_par : ndarray, shape (r,), optional
            U'g where it is known already.
        """
        return self._lift(v_par, beta, g, g_par, multiply=False)[0]

    @np.errstate(over="ignore", invalid="ignore")
    def lift_with_products(
        self, v_par: np.ndarray, beta: float, g: Array, g_par: np.ndarray | None = None
    ) -> tuple[Array, np.ndarray | None]:
        """Return the vector of :meth:`lift`, and its products with W where they cost no pass."""
        return self._lift(v_par, beta, g, g_par, multiply=True)

    @np.errstate(over="ignore", invalid="ignore")
    def complement_direction(self) -> Array:
        """Return a unit vector orthogonal to span(U): the coordinate vector least in it, projected.

        The squared lengths of the projections of e_1..e_{r+1} on span(U) sum to at most r, so one
        of them keeps at least 1 / (r + 1) of its squared length.
        """
        if self.complement_dim == 0:
            raise ValueError("the spectrum is full: no direction is orthogonal to it")
        best, best_inside = None, np.inf
        for j in range(self.rank + 1):
            e = self.space.unit(j)
            inside = float(np.linalg.norm(self._par(e, None)))
            if inside < best_inside:
                best, best_inside = e, inside
        direction = self._off(best, self._par(best, None))
        direction = self._off(direction, self._par(direction, None))
        return direction * (1.0 / self.space.norm(direction))

    @property
    def _rounding(self) -> float:
        """Relative rounding error of a vector formed as W' (C v), for a unit vector v."""
        squares = np.einsum("ij,ij->j", self.coefficients, self.coefficients)
        return 4.0 * self.space.eps * math.sqrt(max(1.0, float(squares.max(initial=1.0))))

    def _par(self, v: Array, products: np.ndarray | None) -> np.ndarray:
        self._check_version()
        products = self._rows.products(v) if products is None else products
        return self.coefficients.T.dot(products)

    def _lift(
        self, v_par: np.ndarray, beta: float, g: Array, g_par: np.ndarray | None, *, multiply: bool
    ) -> tuple[Array, np.ndarray | None]:
        self._check_version()
        if g_par is None:
            g_par = self._par(g, None)
        coefficients = self.coefficients.dot(v_par - beta * g_par)
        return self._rows.combine_and_add(coefficients, beta, g, multiply=multiply)

    def _off(self, v: Array, par: np.ndarray) -> Array:
        """Return v - U par."""
        coefficients = self.coefficients.dot(-par)
        return self._rows.combine_and_add(coefficients, 1.0, v)[0]

    def _check_version(self) -> None:
        if self._rows.version != self._version:
            raise RuntimeError(
                "the matrix has changed since this spectrum was taken; take a new one"
            )


class PartialSpectrum(Subspace):
    """Eigenvalues lam_1 <= ... <= lam_r on span(U), gamma on its complement.

    Parameters
    ----------
    gamma : float
        Eigenvalue on the complement, of multiplicity n - r.
    eigenvalues : ndarray, shape (r,)
    rows : Rows
        The block W.
    coefficients : ndarray, shape (rows of W, r)
        C in U = W' C.
    orthogonality : float
        Error of U'U - I.

    Notes
    -----
    Project costs one product W g (2 q n flops for q rows), lift one product W' c.  A spectrum is
    valid for as long as its rows: it refuses to work after the memory behind it has changed.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve import PartialSpectrum
    >>> B = PartialSpectrum.from_dense(np.diag([2.0, -1.0, 5.0]))
    >>> B.eigenvalues
    array([-1.,  2.,  5.])
    """

    def __init__(
        self,
        gamma: float,
        eigenvalues: np.ndarray,
        rows: Rows,
        coefficients: np.ndarray,
        orthogonality: float = ACCURATE,
    ) -> None:
        super().__init__(rows, coefficients, orthogonality)
        self.gamma = float(gamma)
        self._eigenvalues = eigenvalues

    @classmethod
    def from_basis(cls, gamma: float, eigenvalues: np.ndarray, basis: Array) -> PartialSpectrum:
        """Return the spectrum with an orthonormal `basis` (r, n), one eigenvector a row.

        Raises ValueError where it is not orthonormal, which takes 2 r^2 n flops to see.
        """
        spectrum = cls._of_basis(gamma, eigenvalues, basis)
        space, r = spectrum.space, len(spectrum.eigenvalues)
        if r:
            _, gram = space.products_of_combinations(np.eye(r), basis)
            error = float(np.abs(gram - np.eye(r)).max())
            if not error <= BASIS_ROUNDINGS * space.size * space.eps:
                raise ValueError(
                    "the rows of basis must be orthonormal, got products that differ from those of "
                    f"orthonormal ones by {error:.1e}"
                )
        return spectrum

    @classmethod
    def _of_basis(cls, gamma: float, eigenvalues: np.ndarray, basis: Array) -> PartialSpectrum:
        space = space_of(basis[0, :]) if basis.shape[0] else new_space(basis.shape[1])
        order = np.argsort(eigenvalues)
        coefficients = np.eye(len(eigenvalues))[:, order]
        return cls(gamma, np.asarray(eigenvalues)[order], FixedRows(space, basis), coefficients)

    @classmethod
    def from_dense(cls, B: np.ndarray) -> PartialSpectrum:
        """Return the full spectrum (r = n) of a dense symmetric NumPy array, O(n^3)."""
        eigenvalues, vectors = np.linalg.eigh(checked_dense(B))
        return cls._of_basis(0.0, eigenvalues, np.ascontiguousarray(vectors.T))

    @property
    def eigenvalues(self) -> np.ndarray:
        """lam_1..lam_r."""
        return self._eigenvalues

    def with_values(self, gamma: float, eigenvalues: np.ndarray) -> PartialSpectrum:
        """Return the spectrum of a matrix with the same eigenvectors."""
        changed = PartialSpectrum(
            gamma, eigenvalues, self._rows, self.coefficients, self._orthogonality
        )
        changed._version = self._version
        return changed

    def inverted(self) -> PartialSpectrum:
        """Return the spectrum of the inverse; raises LinAlgError where there is none."""
        self._check_regular(0.0)
        values = 1.0 / self.eigenvalues
        order = np.argsort(values)
        gamma = 1.0 / self.gamma if self.gamma else 0.0  # 0 off a basis that is complete
        inverse = PartialSpectrum(
            gamma, values[order], self._rows, self.coefficients[:, order], self._orthogonality
        )
        inverse._version = self._version
        return inverse

    def on_fixed_rows(self) -> PartialSpectrum:
        """Return the same spectrum on a copy of its rows, which nobody changes."""
        rows = FixedRows(self.space, self.rows.rows * 1.0)
        return PartialSpectrum(
            self.gamma, self.eigenvalues, rows, self.coefficients, self._orthogonality
        )

    @np.errstate(over="ignore", invalid="ignore")
    def diagonal(self) -> Array:
        """Return the diagonal of B, shape (n,), in O(r q n) for q rows."""
        tail = self.gamma if self.complement_dim else 0.0
        diagonal = self.space.zeros(self.space.length) + tail
        for value, column in zip(self.eigenvalues, self.coefficients.T, strict=True):
            u = self.space.combine(column, self.rows.rows)
            diagonal = diagonal + (float(value) - tail) * u * u
        return diagonal

    @property
    def basis(self) -> Subspace:
        """The coordinates in which vectors are split and lifted at least cost."""
        return self

    def to_eigenvectors(self, par: np.ndarray) -> np.ndarray:
        """Return the coordinates on the eigenvectors of a vector given on :attr:`basis`."""
        return par

    def to_basis(self, par: np.ndarray) -> np.ndarray:
        """Return the coordinates on :attr:`basis` of a vector given on the eigenvectors."""
        return par

    @property
    def all_eigenvalues(self) -> np.ndarray:
        """lam_1..lam_r, then gamma if the complement is not empty."""
        return np.append(self.eigenvalues, self.gamma) if self.complement_dim else self.eigenvalues

    @property
    def norm(self) -> float:
        """||B||_2."""
        return float(np.abs(self.all_eigenvalues).max())

    @property
    def scale(self) -> float:
        """max(||B||_2, |gamma|), to which the rounding error of B is proportional.

        gamma enters every entry of the compact form, also where the complement is empty.
        """
        return max(self.norm, abs(self.gamma))

    def project(self, g: Array, products: np.ndarray | None = None) -> tuple[np.ndarray, float]:
        """Return U'g and ||g - U U'g||."""
        split = self.split(g, products)
        return split.par, split.norm_perp

    @np.errstate(over="ignore", invalid="ignore")
    def matvec(self, v: Array) -> Array:
        """Return B v."""
        v = self.space.checked(v, "v")
        par = self._par(v, None)
        return self.lift(self.eigenvalues * par, self.gamma, v, par)

    def __matmul__(self, v: Array) -> Array:
        return self.matvec(v)

    @np.errstate(over="ignore", invalid="ignore")
    def solve(self, b: Array, shift: float = 0.0) -> Array:
        """Return ``(B + shift I)^{-1} b``; raises LinAlgError where that matrix is singular."""
        b, shift = self.space.checked(b, "b"), REAL(shift, "shift")
        shifted = self.eigenvalues + shift
        tau = self.gamma + shift
        self._check_regular(shift)
        par = self._par(b, None)
        return self.lift(par / shifted, 1.0 / tau if self.complement_dim else 0.0, b, par)

    def _check_regular(self, shift: float) -> None:
        least = np.abs(self.all_eigenvalues + shift).min()
        if not least > self.space.eps * (self.norm + abs(shift)):
            raise np.linalg.LinAlgError(f"B + {shift!r} I is singular to working precision")


def checked_dense(B: Any) -> np.ndarray:
    """Return a user's dense symmetric matrix in float64, or raise TypeError or ValueError."""
    B = own_array(B, "the matrix")
    require_real(B, "the matrix")
    B = np.asarray(B, dtype=float)
    if B.ndim != 2 or B.shape[0] != B.shape[1] or B.shape[0] == 0:
        raise ValueError(f"a square matrix is wanted, got shape {B.shape}")
    if not np.isfinite(B).all():
        raise ValueError("the matrix has entries that are not finite")
    if np.abs(B - B.T).max() > 1e3 * np.finfo(float).eps * np.abs(B).max():
        raise ValueError("a symmetric matrix is wanted, got one that differs from its transpose")
    return B


@dataclass(frozen=True)
class Columns:
    """Columns V = W' E, not necessarily independent.

    Attributes
    ----------
    selection : ndarray, shape (rows of W, q)
        E.
    scale : ndarray, shape (q,)
        For each column the sum of the lengths of the rows it is combined from.  The rounding error
        of a column's inner products is proportional to it, however short the column itself is.
    """

    selection: np.ndarray
    scale: np.ndarray


def orthonormal_basis(
    columns: Columns, gram: np.ndarray, rows: Rows, orthogonality: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return C and R with ``U = W' C`` orthonormal and ``V = W' E = U R`` to rounding.

    Parameters
    ----------
    columns : Columns
        V.
    gram : ndarray
        W W'.
    rows : Rows
        W; touched only where the Gram matrix alone does not give an orthonormal basis.
    orthogonality : float
        Largest error of U'U - I to leave to the first pass.

    Returns
    -------
    C : ndarray, shape (rows of W, r)
    R : ndarray, shape (r, q)

    Notes
    -----
    1. Scale the columns to comparable rounding error.  Where the Cholesky factor of their Gram
       matrix is well conditioned, its inverse makes the basis, and that is all.
    2. Otherwise diagonalise that Gram matrix or, for an outer loop, factor it with pivots.
       Directions below its rounding error are dropped: this is where duplicates, parallel pairs
       and more columns than dimensions end.
    3. A vector of the basis that is C v, with coefficients of squared length 1 / t for unit
       columns, is orthonormal to eps / t.  Those for which that is worse than `orthogonality` are
       formed, a chunk at a time, and multiplied with
       each other and with W; the eigendecomposition of the Gram matrix of the basis that this
       gives is divided out (the second pass of Cholesky QR, here rank-revealing).  What remains is
       eps / sqrt(t), the rounding error of the vectors.
    """
    eps = rows.space.product_eps
    q = len(columns.scale)
    E = columns.selection / columns.scale
    scaled_gram = E.T @ gram @ E
    noise = RANK_NOISE * q * eps
    factor, inverse = _cholesky(scaled_gram, 1.0 / noise)
    # In float32 the rounding of the rows can make more columns than dimensions look independent.
    inverse = inverse if q <= rows.space.size else None
    if inverse is not None and float(np.vdot(inverse, inverse)) <= orthogonality / eps:
        return E @ inverse, factor * columns.scale
    if orthogonality >= FAST and q <= rows.space.size:
        # An outer loop needs no eigenvectors, unless there are more columns than dimensions: all
        # of what is left after as many pivots is then in the last of them.
        if inverse is None:
            factor, inverse = _pivoted_cholesky(scaled_gram, noise)
        squares = np.einsum("ij,ij->j", inverse, inverse)
        order = np.argsort(-squares, kind="stable")
        weak = int(np.count_nonzero(eps * squares > orthogonality))
        C, R = E @ inverse[:, order], factor[order] * columns.scale
        return _second_pass(C, R, weak, rows) if weak else (C, R)
    t, Z = eigh(scaled_gram)
    kept = t > noise
    kept[: max(0, q - rows.space.size)] = False
    t, Z = t[kept], Z[:, kept]
    root = np.sqrt(t)
    C, R = E @ (Z / root), (root[:, None] * Z.T) * columns.scale
    weak = int(np.count_nonzero(eps > orthogonality * t))
    if weak:
        C, R = _second_pass(C, R, weak, rows)
    return C, R


def _cholesky(gram: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the upper Cholesky factor of a Gram matrix and its inverse.

    The inverse is None where an eigenvalue of the Gram matrix may be less than 1 / `limit`.
    """
    factor, failed = lapack.dpotrf(gram)
    if failed:
        return factor, None
    inverse, _ = lapack.dtrtri(factor)
    # The sum of squares is the trace of the inverse Gram matrix.
    return factor, inverse if float(np.vdot(inverse, inverse)) <= limit else None


def _pivoted_cholesky(gram: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Return F with `gram` = F'F, and X with X'gram X = I.

    Both but for what is left of `gram` when no entry of its diagonal is above `least`.
    """
    if not np.isfinite(gram).all():
        return np.full_like(gram, np.nan), np.full_like(gram, np.nan)
    factor, pivots, rank, _ = lapack.dpstrf(gram, tol=least)
    pivots = pivots - 1
    inverse = lapack.dtrtri(factor[:rank, :rank])[0] if rank else factor[:0, :0]
    F, X = np.zeros((rank, len(gram))), np.zeros((len(gram), rank))
    F[:, pivots] = np.triu(factor[:rank])
    X[pivots[:rank]] = np.triu(inverse)
    return F, X


def _second_pass(
    C: np.ndarray, R: np.ndarray, weak: int, rows: Rows
) -> tuple[np.ndarray, np.ndarray]:
    """Return C and R with the first `weak` vectors of the basis made orthonormal to all."""
    with_rows, among = rows.space.products_of_combinations(C[:, :weak], rows.rows)
    gram = np.eye(C.shape[1])
    gram[:weak] = with_rows @ C
    gram[:, :weak] = gram[:weak].T
    gram[:weak, :weak] = among
    factor, inverse = _cholesky(gram, 1.0 / SECOND_PASS_RANK)
    if inverse is not None:
        return C @ inverse, factor @ R
    t, Z = eigh(gram)
    # Exactly 1 in exact arithmetic; far less where the first pass kept rounding error.
    kept = t > SECOND_PASS_RANK
    root, Z = np.sqrt(t[kept]), Z[:, kept]
    return C @ (Z / root), (root[:, None] * Z.T) @ R
