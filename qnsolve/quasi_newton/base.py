"""What LSR1 and LBFGS share: the public surface of a compact matrix on a memory of pairs."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Any

import array_api_compat
import numpy as np

from qnsolve.array import Array, VectorSpace, to_host
from qnsolve.quasi_newton.pairs import GramBlocks, PairMemory
from qnsolve.quasi_newton.scaling import (
    MAX_WINDOW,
    Constant,
    GammaRule,
    curvature_ratio,
    resolve_rule,
)
from qnsolve.quasi_newton.spectrum import (
    ACCURATE,
    Columns,
    PartialSpectrum,
    spectrum_of_update,
)

MAX_CONDITION = 1e12
"""Largest condition number of a scaled inner matrix.

The basis of the spectrum drops directions of squared length 1e-14 (``RANK_NOISE``).  With weights
beyond 1e12 on them their part of B would not be small: eigenvalues were wrong by 2e-7 ||B|| at 1e13
and by 0.6 ||B|| at 1e14, by no more than 2e-8 ||B|| at 1e12.
"""


class UpdateStatus(Enum):
    """What :meth:`CompactMatrix.update` did with a pair; the value is the reason."""

    STORED = "stored"
    NON_FINITE = "s or y is not finite, or their products over- or underflow"
    ZERO_STEP = "s is zero"
    SATISFIED = "B s = y holds already to rounding"
    SMALL_DENOMINATOR = "|s'(y - B s)| is too small against |s| |y - B s|"
    SMALL_CURVATURE = "s'y is not safely positive"
    ILL_CONDITIONED = "the inner matrix would be singular to working precision"

    @property
    def stored(self) -> bool:
        return self is UpdateStatus.STORED


class Inner:
    """The inverse of the symmetric inner matrix, as ``half diag(weights) half'``."""

    def __init__(self, matrix: np.ndarray, scale: np.ndarray) -> None:
        """Diagonalise `matrix` after dividing row and column j by ``scale[j]``.

        `scale` bounds the entries of the scaled matrix by 1, and its rounding error by eps.
        """
        eigenvalues, vectors = np.linalg.eigh(matrix / scale[:, None] / scale)
        self.usable = bool(np.abs(eigenvalues).min(initial=1.0) >= 1.0 / MAX_CONDITION)
        self.half = vectors / scale[:, None]
        self.weights = 1.0 / eigenvalues if self.usable else np.full_like(eigenvalues, np.nan)

    def solve(self, b: np.ndarray) -> np.ndarray:
        return self.half @ (self.weights * (self.half.T @ b))


class CompactMatrix:
    """``B = gamma I + V M^{-1} V'`` with V combined from the stored pairs.

    Subclasses say which pairs they take (:meth:`_judge`) and what V and M are
    (:meth:`_factor`, :meth:`_columns`).
    """

    def __init__(
        self,
        n: int,
        *,
        memory: int = 10,
        gamma: float | str | GammaRule,
        initial_gamma: float = 1.0,
        dtype: Any = None,
        xp: Any = None,
        like: Array | None = None,
    ) -> None:
        for name, value in (("n", n), ("memory", memory)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.space = VectorSpace.build(n, dtype, xp) if like is None else VectorSpace.of(like)
        self.pairs = PairMemory(self.space, int(memory))
        self._rule = resolve_rule(gamma)
        start = self._rule.value if isinstance(self._rule, Constant) else initial_gamma
        if not self._allows(start):
            raise ValueError(f"gamma must be {self._gamma_wanted}, got {start!r}")
        self._initial_gamma = float(start)
        self.reset()

    @property
    def n(self) -> int:
        return self.space.size

    @property
    def shape(self) -> tuple[int, int]:
        return (self.n, self.n)

    @property
    def memory(self) -> int:
        """Largest number of pairs."""
        return self.pairs.capacity

    @property
    def n_pairs(self) -> int:
        """Number of pairs stored."""
        return self.pairs.n_pairs

    @property
    def gamma(self) -> float:
        """Curvature off the span of the pairs."""
        return self._gamma

    def reset(self, gamma: float | None = None) -> None:
        """Forget all pairs: ``B = gamma I`` again, with the initial gamma unless one is given."""
        self.pairs.clear()
        self._ratios: deque[float] = deque(maxlen=MAX_WINDOW)
        if gamma is not None and not self._allows(gamma):
            raise ValueError(f"gamma must be {self._gamma_wanted}, got {gamma!r}")
        self._gamma = self._initial_gamma if gamma is None else float(gamma)
        self._inner = Inner(np.empty((0, 0)), np.empty(0))
        self._spectrum: PartialSpectrum | None = None
        self._orthogonality = 0.0

    def update(self, s: Array, y: Array, *, y_products: np.ndarray | None = None) -> UpdateStatus:
        """Offer the secant pair (s, y); store it if the matrix that results is well defined.

        The decision is taken on the memory as it would be, with the oldest pair evicted if it is
        full.  A pair that is refused leaves the matrix as it was, though the rule for gamma may
        remember its y'y / s'y, and an empty matrix takes a gamma that satisfies the pair alone.
        Where older pairs make the inner matrix singular, the oldest are dropped until it is not.
        Of the gamma that the rule proposes and the present one, that which keeps more pairs is
        taken; the proposed one if they keep the same.

        Parameters
        ----------
        s, y : array, shape (n,)
            Step and gradient change.
        y_products : ndarray, optional
            W y where it is known already.

        Returns
        -------
        UpdateStatus
            ``status.stored`` tells whether the pair was taken, ``status.value`` why not.

        Notes
        -----
        Cost: two products with the 2m stored rows, 8 m n flops, and O(m^3) on the host.
        """
        s, y = self._checked(s, "s"), self._checked(y, "y")
        pair = self.pairs.measure(s, y, y_products)
        if pair.ss == 0.0 and self.space.norm_inf(s) == 0.0:
            return UpdateStatus.ZERO_STEP
        if not pair.representable:
            return UpdateStatus.NON_FINITE
        self._ratios.append(curvature_ratio(pair))
        blocks = self.pairs.candidate(pair)
        proposed = float(self._rule(blocks, self._ratios, self._gamma))
        if not self._allows(proposed):
            proposed = self._gamma
        gamma, (status, kept) = proposed, self._judge(blocks, proposed)
        complete = status.stored or status is UpdateStatus.SATISFIED
        if proposed != self._gamma and not (complete and len(kept) == len(blocks)):
            other, kept_by_other = self._judge(blocks, self._gamma)
            if other.stored and not (status.stored and len(kept) >= len(kept_by_other)):
                gamma, status, kept = self._gamma, other, kept_by_other
        if status is UpdateStatus.SATISFIED and self.n_pairs == 0:
            # gamma I alone has the curvature of the pair.
            self._gamma, self._spectrum = gamma, None
        if status.stored:
            self.pairs.store(s, y, pair, keep=len(kept) - 1)
            self._gamma = gamma
            self._inner = self._factor(kept, gamma)
            self._spectrum = None
        return status

    def matvec(self, v: Array) -> Array:
        """Return B v in O(mn)."""
        v = self._checked(v, "v")
        return self._apply(v, self.pairs.products(v))

    def __matmul__(self, v: Array) -> Array:
        return self.matvec(v)

    def quadratic_form(self, v: Array) -> float:
        """Return v'Bv in O(mn)."""
        v = self._checked(v, "v")
        inside = self._half_on_rows().T @ self.pairs.products(v)
        return self._gamma * self.space.dot(v, v) + float(inside @ (self._inner.weights * inside))

    def solve(self, b: Array, shift: float = 0.0) -> Array:
        """Return ``(B + shift I)^{-1} b`` in O(mn) by the spectrum and one step of refinement.

        Raises
        ------
        numpy.linalg.LinAlgError
            If B + shift I is singular to working precision.
        """
        b = self._checked(b, "b")
        spectrum = self.spectrum()
        x = spectrum.solve(b, shift)
        residual = b - self.matvec(x) - shift * x
        return x + spectrum.solve(residual, shift)

    def diagonal(self) -> Array:
        """Return the diagonal of B, shape (n,), in O(m^2 n)."""
        factor = self._half_on_rows()
        diagonal = self.space.zeros(self.n) + self._gamma
        for column, weight in zip(factor.T, self._inner.weights, strict=True):
            v = self.pairs.combine(column)
            diagonal = diagonal + float(weight) * v * v
        return diagonal

    def norm_bound(self) -> float:
        """Return ||B||_2, the largest eigenvalue in modulus."""
        return self.spectrum().norm

    def to_dense(self) -> np.ndarray:
        """Return B as an (n, n) float64 NumPy array; for small n."""
        return np.stack([to_host(self.matvec(self.space.unit(j))) for j in range(self.n)], axis=1)

    def spectrum(self, orthogonality: float = ACCURATE) -> PartialSpectrum:
        """Return the eigenvalues of B and the coordinates in which it is diagonal.

        Parameters
        ----------
        orthogonality : float
            Error of U'U - I above which the basis is refined.

        Notes
        -----
        O(m^3) on the host, and where the pairs are so dependent that the basis is refined, O(m^2 n)
        more.  Kept until the next update.
        """
        if self._spectrum is None or self._orthogonality > orthogonality:
            self._orthogonality = orthogonality
            self._spectrum = spectrum_of_update(
                self._gamma,
                self._columns(),
                self._inner.half,
                self._inner.weights,
                self.pairs.gram,
                self.pairs,
                orthogonality,
            )
        return self._spectrum

    def _apply(self, v: Array, products: np.ndarray) -> Array:
        """Return B v given W v."""
        if not self.n_pairs:
            return self._gamma * v
        factor = self._half_on_rows()
        inside = self._inner.weights * (factor.T @ products)
        return self.pairs.combine(factor @ inside) + self._gamma * v

    def _half_on_rows(self) -> np.ndarray:
        return self._columns().selection @ self._inner.half

    def _checked(self, v: Array, name: str) -> Array:
        if not array_api_compat.is_array_api_obj(v):
            v = np.asarray(v)
        if v.shape != (self.n,):
            raise ValueError(f"{name} must have shape ({self.n},), got {tuple(v.shape)}")
        if v.dtype == self.space.dtype:
            return v
        if not self.space.xp.isdtype(v.dtype, ("integral", "real floating")):
            raise TypeError(f"{name} must be real, got dtype {v.dtype}")
        return self.space.xp.astype(v, self.space.dtype)

    _gamma_wanted = "finite and not zero"

    def _allows(self, gamma: float) -> bool:
        """Tell whether B0 = gamma I is a matrix to start from."""
        return bool(np.isfinite(gamma) and gamma != 0.0)

    def _judge(self, blocks: GramBlocks, gamma: float) -> tuple[UpdateStatus, GramBlocks]:
        """Return whether the newest pair of `blocks` is taken, and the blocks left with it."""
        while True:
            status = self._judge_newest(blocks, gamma)
            if status is not UpdateStatus.ILL_CONDITIONED or len(blocks) == 1:
                return status, blocks
            blocks = blocks.newest(len(blocks) - 1)

    def _judge_newest(self, blocks: GramBlocks, gamma: float) -> UpdateStatus:
        raise NotImplementedError

    def _factor(self, blocks: GramBlocks, gamma: float) -> Inner:
        raise NotImplementedError

    def _columns(self) -> Columns:
        raise NotImplementedError
