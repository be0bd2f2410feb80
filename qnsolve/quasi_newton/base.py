"""What all limited-memory matrices share: a memory of pairs, a rule for gamma, a public surface."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from enum import Enum
from typing import Any, Self

import numpy as np

from qnsolve.arrays import Array, VectorSpace, new_space, space_of, to_host
from qnsolve.arrays.user import floating_vector
from qnsolve.checks import REAL, integer
from qnsolve.quasi_newton.faces import Basis, FreeRows, on_face
from qnsolve.quasi_newton.pairs import PairMemory, PairProducts, RowMemory, SeenPair
from qnsolve.quasi_newton.scaling import (
    MAX_WINDOW,
    Constant,
    GammaRule,
    curvature_ratio,
    resolve_rule,
)
from qnsolve.quasi_newton.spectrum import ACCURATE, FAST, PartialSpectrum
from qnsolve.state import Saved, Stateful


class UpdateStatus(Enum):
    """What :meth:`CompactMatrix.update` did with a pair; the value is the reason."""

    STORED = "stored"
    NON_FINITE = "s or y is not finite, or their products over- or underflow"
    ZERO_STEP = "s is zero"
    SATISFIED = "B s = y holds already to rounding"
    SMALL_DENOMINATOR = "|s'(y - B s)| is too small against |s| |y - B s|"
    SMALL_CURVATURE = "s'y is not safely positive"
    ILL_CONDITIONED = "B, or its inner matrix, would be singular to working precision"

    @property
    def stored(self) -> bool:
        return self is UpdateStatus.STORED


class CompactMatrix(Stateful):
    """A matrix that is gamma I off the span of its pairs, which are the newest `memory` offered.

    A subclass makes its spectrum (:meth:`_diagonalise`).  As it stands it takes every pair;
    :class:`~qnsolve.quasi_newton.factored.FactoredMatrix` is for those that refuse some.
    """

    pairs: Saved[Any]
    """A PairMemory, or what a subclass makes in its place, with blocks of its own."""

    _ratios: Saved[deque[float]]
    _gamma: Saved[float]
    _initial_gamma: Saved[float]

    _default_gamma = "latest"
    _definite = False
    """Whether gamma must be positive."""

    def __init__(
        self,
        n: int,
        *,
        memory: int = 10,
        gamma: float | str | GammaRule | None = None,
        initial_gamma: float = 1.0,
        dtype: Any = None,
        xp: Any = None,
        like: Array | None = None,
    ) -> None:
        n, memory = integer(n, "n", 1), integer(memory, "memory", 1)
        self.space = new_space(n, dtype, xp) if like is None else space_like(like)
        self.pairs = self._make_memory(memory)
        self._rule = resolve_rule(self._default_gamma if gamma is None else gamma)
        constant = self._rule.value if isinstance(self._rule, Constant) else None
        self._initial_gamma = self._allowed(initial_gamma if constant is None else constant)
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
        """Forget all pairs: ``B = gamma I`` again, with the initial gamma unless one is given.

        Where the rule is a constant that is the gamma in any case.
        """
        gamma = self._initial_gamma if gamma is None else self._allowed(gamma)
        self._gamma = self._initial_gamma if isinstance(self._rule, Constant) else gamma
        self.pairs.clear()
        self._ratios = deque(maxlen=MAX_WINDOW)
        self._spectrum: PartialSpectrum | None = None
        self._orthogonality = 0.0

    @np.errstate(divide="ignore", over="ignore", invalid="ignore")
    def update(
        self,
        s: Array,
        y: Array,
        *,
        products: PairProducts | None = None,
        seen: SeenPair | None = None,
    ) -> UpdateStatus:
        """Offer the secant pair (s, y); store it if the matrix that results is well defined.

        Parameters
        ----------
        s, y : array, shape (n,)
            Step and gradient change.
        products : PairProducts, optional
            The inner products that it adds, where they are known already.
        seen : SeenPair, optional
            What the rule for gamma is to see of the pair; by default all of it.

        Returns
        -------
        UpdateStatus
            ``status.stored`` tells whether the pair was taken, ``status.value`` why not.

        Notes
        -----
        1. The decision is taken on the memory as it would be, with the oldest pair evicted if it
           is full.  Where older pairs make the inner matrix singular, the oldest are dropped until
           it is not.
        2. The rule proposes a gamma.  If not every pair can be kept with it, the present gamma is
           tried too, and the one that keeps more pairs is taken; the proposed one if they keep the
           same.  A rule's gamma that B cannot start from counts as the present one.
        3. A pair that is refused leaves the matrix as it was, with two exceptions: the rule
           remembers its y'y / s'y, and an empty matrix takes a gamma that satisfies the pair.
        4. A matrix without an inner one, such as :class:`HybridLSR1`, takes every pair.

        Another unit of x or f (s and y multiplied by one number each, and gamma with them)
        multiplies B and changes no decision but those at the edge of rounding; in an LSR1 powers of
        two change no bit of it.

        Cost: two products with the 2m stored rows, 8 m n flops, and O(m^3) on the host.
        """
        s, y = self._checked(s, "s"), self._checked(y, "y")
        pair = self.pairs.measure(s, y) if products is None else products
        if pair.ss == 0.0 and self.space.norm_inf(s) == 0.0:
            return UpdateStatus.ZERO_STEP
        if not pair.representable(self.space):
            return UpdateStatus.NON_FINITE
        blocks = self.pairs.candidate(pair)
        if seen is None:
            self._ratios.append(curvature_ratio(pair))
            proposed = self._propose(blocks, self.n)
        else:
            self._ratios.append(curvature_ratio(seen))
            proposed = self._propose(blocks.with_newest(seen), seen.size)
        if not self._allows(proposed):
            proposed = self._gamma
        gamma, status, kept = self._decide(blocks, proposed)
        if status.stored:
            self.pairs.store(s, y, pair, kept)
        if status.stored or (status is UpdateStatus.SATISFIED and self.n_pairs == 0):
            # Of an empty matrix gamma I alone has the curvature of a pair that is satisfied.
            self._gamma, self._spectrum = gamma, None
        return status

    def take_over(self, pairs: Iterable[tuple[Array, Array]], gamma: float) -> None:
        """Forget all pairs, and take those of a former run that pass the tests of :meth:`update`.

        Parameters
        ----------
        pairs : iterable of (array, array)
            s and y, oldest first.
        gamma : float
            The gamma that goes with them; where it is none to start from, the rule chooses.
        """
        known = self._allows(gamma) and gamma != 0.0
        self.reset(gamma if known else self.gamma)
        rule = self._rule
        if known:
            self._rule = Constant(self._gamma)
        try:
            for s, y in pairs:
                self.update(s, y)
        finally:
            self._rule = rule

    @np.errstate(over="ignore", invalid="ignore")
    def rescale(self, factor: Array) -> None:
        """Go over to other variables: every s is multiplied by `factor`, every y divided by it.

        The rule chooses gamma anew.  Where the inner matrix becomes singular, the oldest pairs are
        dropped until it is not.

        Parameters
        ----------
        factor : array, shape (n,)
            Positive entries.

        Notes
        -----
        4 k^2 n flops for k pairs, in one pass over them; they are not tested again but for that.
        """
        if not self.n_pairs:
            return
        self.pairs.rescale(factor)
        blocks, unknown = self.pairs.blocks(), np.empty(0)
        self._ratios.clear()
        for j in range(len(blocks)):
            squares = (float(gram[j, j]) for gram in (blocks.SS, blocks.SY, blocks.YY))
            self._ratios.append(curvature_ratio(PairProducts(unknown, unknown, *squares)))
        gamma = float(self._rule(blocks, self._ratios, self._gamma))
        self._gamma, self._spectrum = gamma if self._allows(gamma) else self._gamma, None

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to the state of a matrix that was made with the same arguments, bit for bit.

        Offering its pairs would not do: their Gram matrix was made with the memory as it was then,
        and a pair that was taken then may be refused now.

        Raises
        ------
        ValueError
            If the state has more pairs than there is room for, or pairs of another length.

        Examples
        --------
        >>> import numpy as np
        >>> from qnsolve import LSR1
        >>> B, C = LSR1(2), LSR1(2)
        >>> B.update(np.array([1.0, 0.0]), np.array([-2.0, 0.0])).stored
        True
        >>> C.restore(B.snapshot())
        >>> C @ np.array([1.0, 1.0])
        array([-2.,  1.])
        """
        self.reset()
        super().restore(state)

    def adopt(self, order: list[int], used: int, gamma: float, ratios: list[float]) -> None:
        """Take over pairs that another has written into the storage of :attr:`pairs`."""
        self.pairs.adopt(order, used)
        self._gamma, self._ratios, self._spectrum = gamma, deque(ratios), None
        self.restored()

    @property
    def ratios(self) -> list[float]:
        """y'y / s'y of the last pairs offered."""
        return list(self._ratios)

    def restored(self) -> None:
        self._ratios = deque(map(float, self._ratios), MAX_WINDOW)

    def __copy__(self) -> Self:
        """Return a deep copy: updates write to the pairs in place."""
        return deepcopy(self)

    def matvec(self, v: Array) -> Array:
        """Return B v in O(mn)."""
        v = self._checked(v, "v")
        return self._apply(v, self.pairs.products(v))

    def __matmul__(self, v: Array) -> Array:
        return self.matvec(v)

    @np.errstate(over="ignore", invalid="ignore")
    def quadratic_form(self, v: Array) -> float:
        """Return v'Bv in O(mn)."""
        v = self._checked(v, "v")
        factor, weights = self._low_rank_part()
        inside = factor.T @ self.pairs.products(v)
        return self._gamma * self.space.dot(v, v) + float(inside @ (weights * inside))

    @np.errstate(over="ignore", invalid="ignore")
    def solve(self, b: Array, shift: float = 0.0) -> Array:
        """Return ``(B + shift I)^{-1} b`` in O(mn) by the spectrum and one step of refinement.

        Raises
        ------
        numpy.linalg.LinAlgError
            If B + shift I is singular to working precision.
        """
        b, shift = self._checked(b, "b"), REAL(shift, "shift")
        spectrum = self.spectrum()
        x = spectrum.solve(b, shift)
        residual = b - self.matvec(x) - shift * x
        return x + spectrum.solve(residual, shift)

    @np.errstate(over="ignore", invalid="ignore")
    def diagonal(self) -> Array:
        """Return the diagonal of B, shape (n,), in O(m^2 n)."""
        factor, weights = self._low_rank_part()
        diagonal = self.space.zeros(self.space.length) + self._gamma
        # With the root of its weight a column has the unit of a root of B, and not that of s or y.
        for column, weight in zip(factor.T, weights, strict=True):
            v = self.pairs.combine(math.sqrt(abs(weight)) * column)
            diagonal = diagonal + math.copysign(1.0, weight) * v * v
        return diagonal

    def norm_bound(self) -> float:
        """Return ||B||_2, the largest eigenvalue in modulus."""
        return self.spectrum().norm

    def to_dense(self) -> np.ndarray:
        """Return B as an (n, n) float64 NumPy array; for small n."""
        return dense_of(self.matvec, self.space)

    @np.errstate(over="ignore", invalid="ignore")
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
            self._spectrum = self._diagonalise(orthogonality)
        return self._spectrum

    @np.errstate(over="ignore", invalid="ignore")
    def _apply(self, v: Array, products: np.ndarray) -> Array:
        """Return B v given W v."""
        if not self.n_pairs:
            return self._gamma * v
        factor, weights = self._low_rank_part()
        inside = weights * (factor.T @ products)
        return self.pairs.combine(factor @ inside) + self._gamma * v

    def _low_rank_part(self) -> tuple[np.ndarray, np.ndarray]:
        """Return F and w in ``B = gamma I + W' F diag(w) F' W``."""
        spectrum = self.spectrum()
        return spectrum.coefficients, spectrum.eigenvalues - self._gamma

    def on_face(self, free: Array, size: int, rows: FreeRows) -> PartialSpectrum:
        """Return the matrix on a face: here its rows and columns that belong to free variables.

        Parameters
        ----------
        free : array of bool, shape (n,)
        size : int
            How many they are.
        rows : FreeRows
            The rows of :attr:`pairs` on faces, where a matrix needs them.
        """
        spectrum = self.spectrum(FAST)
        everywhere = self.space.zeros(self.space.length) == 0.0
        return on_face(spectrum, Basis.face(spectrum, everywhere).within(free, size))

    def _diagonalise(self, orthogonality: float) -> PartialSpectrum:
        raise NotImplementedError

    def _checked(self, v: Array, name: str) -> Array:
        return self.space.checked(v, name)

    def _allows(self, gamma: float) -> bool:
        """Tell whether B0 = gamma I is a matrix to start from."""
        return math.isfinite(gamma) and (gamma > 0.0 if self._definite else gamma != 0.0)

    def _allowed(self, gamma: float) -> float:
        gamma = REAL(gamma, "gamma")
        if not self._allows(gamma):
            wanted = "positive" if self._definite else "not zero"
            raise ValueError(f"gamma must be finite and {wanted}, got {gamma!r}")
        return gamma

    def _make_memory(self, capacity: int) -> RowMemory:
        return PairMemory(self.space, capacity)

    def _propose(self, blocks: Any, size: int) -> float:
        """Return the gamma that the rule asks for, of `size` variables."""
        return float(self._rule(blocks, self._ratios, self._gamma))

    def _decide(self, blocks: Any, proposed: float) -> tuple[float, UpdateStatus, Any]:
        """Return gamma, what becomes of the newest pair of `blocks`, and the blocks to keep."""
        return proposed, UpdateStatus.STORED, blocks


def space_like(like: Array | VectorSpace) -> VectorSpace:
    """Return the space of vectors like that one, which a user gave."""
    return like if isinstance(like, VectorSpace) else space_of(floating_vector(like, "like"))


def dense_of(matvec: Callable[[Array], Array], space: VectorSpace) -> np.ndarray:
    """Return the matrix with the products `matvec` as an (n, n) float64 NumPy array."""
    return np.stack([to_host(matvec(space.unit(j))) for j in range(space.size)], axis=1)
