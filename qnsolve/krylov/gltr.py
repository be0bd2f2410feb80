"""Subproblems of a matrix that is known by its products only, solved by the Lanczos process."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qnsolve.arrays import Array
from qnsolve.comm import Comm
from qnsolve.krylov.lanczos import BandLanczos
from qnsolve.krylov.model import KrylovModel, KrylovResult, random_unit_vector
from qnsolve.krylov.products import Steps
from qnsolve.norms import DiagonalNorm
from qnsolve.subproblem.arguments import (
    checked_count,
    checked_positive,
    checked_power,
    checked_tolerance,
)
from qnsolve.subproblem.regions import Regularisation, TrustRegion
from qnsolve.subproblem.types import ReducedProblem, ReducedStep, SubproblemStatus

MAX_VECTORS = 500
"""Default limit on the products, each of which stores a vector."""

SOLVES = 20
"""The reduced problem is solved again when the space has grown by one part in so many."""

ROUNDING = 8.0
"""A residual of this many roundings of its terms cannot be made smaller."""

MISS_PROBABILITY = 1e-6
"""Chance, over the random vector, that the search for negative curvature stops too early."""

RANDOM_START = 1.648
"""Constant of the bound for Lanczos from a random vector (Kuczynski and Wozniakowski 1992)."""


def gltr(
    g: Array,
    hessp: Callable[[Array], Array],
    radius: float,
    *,
    norm: DiagonalNorm | None = None,
    tol: float | None = None,
    maxiter: int | None = None,
    restarts: int | None = None,
    seed: int = 0,
    reorthogonalise: bool = True,
    comm: Comm | None = None,
) -> KrylovResult:
    r"""Solve the trust-region subproblem on Krylov spaces, the hard case included.

    .. math::

        \min_s \; g^T s + \tfrac12 s^T B s \quad \text{subject to} \quad \|s\|_A \le \Delta

    Parameters
    ----------
    g : array, shape (n,)
        Gradient: real floating and finite, in any array library.
    hessp : callable
        ``hessp(v) -> B v``, B symmetric, possibly indefinite.
    radius : float, > 0
        Delta, in the norm of A.
    norm : DiagonalNorm, optional
        A; the identity by default.
    tol : float in [0, 1), optional
        Stop at :math:`\|(B + \sigma A) s + g\|_{A^{-1}} \le tol\, (\|g\|_{A^{-1}} + \sigma
        \|s\|_A)`, or at rounding level if that is larger; the square root of the dtype's rounding
        by default, with which the decrease is right to about the rounding itself.
    maxiter : int, optional
        Limit on the products with B, each of which stores a vector; min(n, 500) by default.
    restarts : int, optional
        Random directions from which curvature below -sigma is looked for outside of the Krylov
        space of g; 1 by default, 0 without `reorthogonalise`.
    seed : int
        Of the random directions.
    reorthogonalise : bool
        Make each Lanczos vector orthogonal to all before it.  Without this an iteration saves 4 k n
        flops, but takes more iterations, and the step is as accurate as the vectors happen to be
        orthogonal.
    comm : Comm, optional
        As for :func:`steihaug_cg`.

    Returns
    -------
    KrylovResult
        ``status`` is SOLVED after a search for the hard case, KRYLOV without one.  PRODUCT_LIMIT
        and NONFINITE come with the minimiser over the space so far.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described; before the first product.

    Notes
    -----
    1. Lanczos vectors Q of the matrix, starting at g, give the tridiagonal :math:`T = Q^T B Q`.
    2. Its subproblem is solved exactly in its own eigenvectors: h.
    3. As :math:`B Q = Q T + \beta q_{k+1} e_k^T`, the residual is :math:`\beta |h_k|`: Q h need not
       be formed before it is small.
    4. The hard case: g has no part along the leftmost eigenvectors of B, and then nor has any
       vector that steps 1 to 3 can make.  So a second Lanczos chain is started at a random
       direction orthogonal to the first one, and solved with it, coupling included.

    *What can be missed.*  With ``restarts=0`` the answer is a minimiser over the Krylov space of g
    alone.  With a restart, the chain runs until its space is exhausted, or until the chance that it
    should have overlooked an eigenvalue below :math:`-\sigma` is at most 1e-6 (Kuczynski and
    Wozniakowski 1992, in exact arithmetic), or until its leftmost Ritz value has converged.  In the
    last case a lower eigenvalue, whose eigenvectors the random direction hardly contains, is
    missed.  The search often takes as many products again; an outer loop that only needs descent
    may do without it, as the gradient of a step that follows rounding is hardly ever a hard case.

    Storage k n for k products; 4 k^2 n flops for the orthogonality.

    References
    ----------
    N. I. M. Gould, S. Lucidi, M. Roma, P. L. Toint, "Solving the trust-region subproblem using the
    Lanczos method", SIAM J. Optim. 9 (1999): the algorithm GLTR.

    J. Kuczynski, H. Wozniakowski, "Estimating the largest eigenvalue by the power and Lanczos
    algorithms with a random start", SIAM J. Matrix Anal. Appl. 13 (1992).

    Examples
    --------
    The hard case: the gradient has no component on the leftmost eigenvector.

    >>> import numpy as np
    >>> from qnsolve.krylov.gltr import gltr
    >>> d = np.array([-1.0, 1.0, 3.0])
    >>> result = gltr(np.array([0.0, 1.0, 0.0]), lambda v: d * v, radius=2.0)
    >>> result.hard_case, result.status.name
    (True, 'SOLVED')
    >>> abs(result.decrease - 2.25) < 1e-12, result.certificate().worst < 1e-12
    (True, True)
    """
    steps = gltr_steps(
        g,
        radius,
        norm=norm,
        tol=tol,
        maxiter=maxiter,
        restarts=restarts,
        seed=seed,
        reorthogonalise=reorthogonalise,
        comm=comm,
    )
    return KrylovResult.by_products(steps, hessp)


def gltr_steps(
    g: Array,
    radius: float,
    *,
    norm: DiagonalNorm | None = None,
    tol: float | None = None,
    maxiter: int | None = None,
    restarts: int | None = None,
    seed: int = 0,
    reorthogonalise: bool = True,
    comm: Comm | None = None,
) -> Steps[KrylovResult]:
    """Return the generator behind :func:`gltr`: it yields v and receives B v.

    The arguments, all but the products, are those of :func:`gltr`, and are checked in the call.
    """
    term = TrustRegion(checked_positive(radius, "radius"))
    model = KrylovModel.checked(g, norm, term, comm)
    return _Minimisation(model, tol, maxiter, restarts, seed, reorthogonalise).steps()


def lanczos_cubic(
    g: Array,
    hessp: Callable[[Array], Array],
    weight: float,
    *,
    norm: DiagonalNorm | None = None,
    power: float = 3.0,
    tol: float | None = None,
    maxiter: int | None = None,
    restarts: int | None = None,
    seed: int = 0,
    reorthogonalise: bool = True,
) -> KrylovResult:
    r"""Solve the regularised subproblem on Krylov spaces, the hard case included.

    .. math:: \min_s \; g^T s + \tfrac12 s^T B s + \frac{w}{p} \|s\|_A^p

    Parameters
    ----------
    g : array, shape (n,)
        Gradient: real floating and finite, in any array library.
    hessp : callable
        ``hessp(v) -> B v``, B symmetric, possibly indefinite.
    weight : float, > 0
        w.
    norm : DiagonalNorm, optional
        A; the identity by default.
    power : float, >= 2
        p; 3 is the cubic model, 2 the shifted system :math:`(B + w A) s = -g`.
    tol, maxiter, restarts, seed, reorthogonalise
        As for :func:`gltr`, with :math:`\sigma = w \|s\|_A^{p-2}`.

    Returns
    -------
    KrylovResult
        As for :func:`gltr`; ``on_boundary`` is False.  UNBOUNDED, with the zero step, where
        there is no minimiser (p = 2) or it is longer than the largest number there is.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described; before the first product.

    Notes
    -----
    The algorithm of :func:`gltr`, with the same cost and the same chance to miss the hard case;
    only the problem in the eigenvectors of the tridiagonal matrix is another one.

    References
    ----------
    C. Cartis, N. I. M. Gould, P. L. Toint, "Adaptive cubic regularisation methods for unconstrained
    optimization. Part I", Math. Program. 127 (2011), section 6.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.krylov.gltr import lanczos_cubic
    >>> result = lanczos_cubic(np.array([3.0, 4.0]), lambda v: -v, weight=1.0)
    >>> sigma = float(result.multipliers[0])
    >>> abs(sigma * (sigma - 1.0) - 5.0) < 1e-12, result.certificate().worst < 1e-12
    (True, True)
    """
    term = Regularisation(checked_positive(weight, "weight"), power=checked_power(power))
    model = KrylovModel.checked(g, norm, term)
    run = _Minimisation(model, tol, maxiter, restarts, seed, reorthogonalise)
    return KrylovResult.by_products(run.steps(), hessp)


@dataclass(frozen=True, eq=False)
class _Minimiser:
    """The minimiser over the space so far, and what says whether it is good enough.

    Attributes
    ----------
    ritz, vectors : ndarray
        Eigenvalues and eigenvectors of the projected matrix.
    slopes : ndarray
        The gradient in those eigenvectors.
    reduced : ReducedStep
        The minimiser in them; `y` is the same in the Lanczos vectors.
    residual : float
        The largest that will do.
    accuracy : float
        Error of a curvature that will do.
    """

    ritz: np.ndarray
    vectors: np.ndarray
    slopes: np.ndarray
    reduced: ReducedStep
    residual: float
    accuracy: float

    @property
    def y(self) -> np.ndarray:
        y: np.ndarray = self.vectors @ self.reduced.par
        return y


class _Minimisation:
    """Minimises over the Krylov space of the gradient, then with those of random vectors too."""

    def __init__(
        self,
        model: KrylovModel,
        tol: float | None,
        maxiter: int | None,
        restarts: int | None,
        seed: int,
        reorthogonalise: bool,
    ) -> None:
        space = model.space
        self._model, self._space, self._operator = model, space, model.operator
        self._tol = checked_tolerance(tol, space)
        self._maxiter = checked_count(maxiter, "maxiter", min(space.size, MAX_VECTORS), low=1)
        self._restarts = checked_count(restarts, "restarts", int(reorthogonalise), low=0)
        self._rng = np.random.default_rng(checked_count(seed, "seed", 0, low=0))
        if self._restarts and not reorthogonalise:
            raise ValueError(
                "restarts need reorthogonalise=True: rounding leads back to the old space"
            )
        self._orthonormal = reorthogonalise
        self._lanczos = BandLanczos(model.operator, reorthogonalise=reorthogonalise)
        self._steepness = space.norm(model.gradient)
        self._probe: int | None = None
        self._finite = True

    def steps(self) -> Steps[KrylovResult]:
        lanczos = self._lanczos
        if self._steepness:
            self._finite = yield from lanczos.start(self._model.gradient)
        while True:
            # 1. The minimiser over the space so far.
            at = self._minimiser()
            status = at.reduced.status if self._finite else SubproblemStatus.NONFINITE
            if status is not SubproblemStatus.SOLVED:
                break
            # 2. Its residual, or else that of the least curvature, says which chain to extend.
            chain, looked = self._wanted(at)
            if chain is None and looked and (self._restarts == 0 or lanczos.full):
                if self._probe is None and not lanczos.full:
                    status = SubproblemStatus.KRYLOV
                break
            if not self._may_ask:
                status = SubproblemStatus.PRODUCT_LIMIT
                break
            # 3. Extend it; or look for curvature below -sigma outside of the space.
            if chain is not None:
                yield from self._extend(chain)
            else:
                yield from self._search(at, afresh=looked)
        return self._report(at, status)

    @property
    def _may_ask(self) -> bool:
        return self._finite and self._operator.count < self._maxiter

    def _minimiser(self) -> _Minimiser:
        """Return the minimiser over the space so far."""
        theta, V = self._lanczos.spectrum()
        a = self._steepness * V[0] if self._steepness and theta.size else np.zeros_like(theta)
        reduced = self._model.term.solve(ReducedProblem.of(theta, a))
        sigma, length, rounding = reduced.multiplier, reduced.length, ROUNDING * self._space.eps
        size = float(np.abs(theta).max(initial=0.0)) + sigma
        wanted = self._tol * (self._steepness + sigma * length)
        residual = max(wanted, rounding * size * length)
        return _Minimiser(theta, V, a, reduced, residual, max(self._tol, rounding) * size)

    def _wanted(self, at: _Minimiser) -> tuple[int | None, bool]:
        """Return the chain to extend, or None; and whether the search is over, or not begun."""
        sigma, probe = at.reduced.multiplier, self._probe
        chain = self._worst_chain(at.y, at.residual)
        if chain is None and probe is not None:
            # Coupled to each other, the chains may have lower curvature than each alone.
            chain = self._worst_chain(at.vectors[:, 0], max(at.accuracy, at.ritz[0] + sigma))
        return chain, probe is None or self._searched(probe, sigma, at.accuracy)

    def _worst_chain(self, y: np.ndarray, accuracy: float) -> int | None:
        """Return the chain that leaves Q y with the largest residual; None if all are small."""
        residuals = self._lanczos.residual(y)
        if not sum(residuals.values()) > accuracy:
            return None
        return max(residuals, key=residuals.__getitem__)

    def _extend(self, chain: int) -> Steps[None]:
        """Extend a chain by as many vectors as are worth a new solution."""
        lanczos = self._lanczos
        for _ in range(1 + lanczos.size // SOLVES):
            if self._may_ask and chain in lanczos.open:
                self._finite = yield from lanczos.extend(chain)

    def _search(self, at: _Minimiser, *, afresh: bool) -> Steps[None]:
        """Extend a random chain, a new one if `afresh`, until it has shown what it can."""
        lanczos, sigma = self._lanczos, at.reduced.multiplier
        if afresh:
            self._restarts -= 1
            self._probe = lanczos.chains[-1] + 1 if lanczos.size else 0
            self._finite = yield from lanczos.start(random_unit_vector(self._space, self._rng))
        assert self._probe is not None
        while self._may_ask and not self._searched(self._probe, sigma, at.accuracy):
            self._finite = yield from lanczos.extend(self._probe)

    def _searched(self, probe: int, sigma: float, accuracy: float) -> bool:
        """Return whether a random chain is long enough to rule out curvature below -sigma.

        If there were an eigenvalue below -sigma, then the least Ritz value of the chain would be
        far enough above it for the bound of the reference, which holds with the stated probability.
        """
        lanczos = self._lanczos
        if probe not in lanczos.open:
            return True
        least, greatest, error = lanczos.ends(probe)
        gap = max(0.0, least + sigma) / (greatest + sigma) if greatest + sigma > 0.0 else 0.0
        enough = math.log(RANDOM_START * math.sqrt(lanczos.dimension) / MISS_PROBABILITY)
        steps = lanczos.chains.count(probe)
        return error <= accuracy or (2 * steps - 1) * math.sqrt(gap) >= enough

    def _report(self, at: _Minimiser, status: SubproblemStatus) -> KrylovResult:
        term, reduced, size = self._model.term, at.reduced, self._lanczos.size
        p, decrease = self._lanczos.lift(at.y), reduced.decrease
        multipliers = reduced.multipliers
        if size and not self._orthonormal:
            p, multipliers, decrease = self._measured(at, p)
        without_noise = np.where(np.abs(at.slopes) <= self._tol * self._steepness, 0.0, at.slopes)
        return KrylovResult(
            step=self._operator.scale(p),
            decrease=decrease,
            multipliers=multipliers,
            on_boundary=reduced.on_boundary,
            hard_case=term.solve(ReducedProblem.of(at.ritz, without_noise)).hard_case,
            nit=self._operator.count,
            status=status,
            model=self._model,
            ritz=at.ritz[[0, -1]] if size else at.ritz,
        )

    def _measured(self, at: _Minimiser, p: Array) -> tuple[Array, np.ndarray, float]:
        """Return step, multipliers and decrease of Q y where Q is not orthonormal.

        Its length is not that of y, and its model value not that of the projected model.
        """
        space, term = self._space, self._model.term
        length, product = space.norm(p), self._lanczos.product(at.y)
        slope, curvature = space.dot(self._model.gradient, p), space.dot(p, product)
        share = 1.0
        if isinstance(term, TrustRegion) and (at.reduced.on_boundary or length > term.radius):
            share = term.radius / length
        v, multipliers = np.array([share * length]), at.reduced.multipliers
        if isinstance(term, Regularisation):
            multipliers = term.fit_multipliers(v, v)
        decrease = -share * (slope + 0.5 * share * curvature) - term.value(v, 1.0)
        return share * p, multipliers, max(0.0, decrease)
