r"""How good the matrix of a run is, and the standard errors that follow from it.

Both measure the Hessian H along some directions, by differences of gradients, against the matrix B
of the run.  The directions are those of Lanczos' process on

.. math:: E = B^{-1/2} H B^{-1/2},

which would be I if B were right: it finds first where B is most wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from qnsolve.arrays import Array, to_host
from qnsolve.checks import POSITIVE_FINITE, integer
from qnsolve.hessian import Hessian
from qnsolve.objective import Objective

INVARIANT = 1e-7
"""Part of E q that is left off the directions so far below which they are taken for invariant: of
the order of the error of a product by differences."""

SEED = 20261128
"""Of the direction that is begun with: the same call gives the same answer."""

MINIMUM = "H is positive definite along the directions measured."
NO_MINIMUM = (
    "H is not positive definite along the directions measured: result.x is no minimiser, or some "
    "combination of variables does not matter; there are no standard errors."
)
NEGATIVE = (
    "The matrix of the run has {count} negative eigenvalues, which do not belong to a minimiser: "
    "measure along them with a larger k, at most n."
)
NOT_FINITE = "A gradient near result.x is not finite."


@dataclass(frozen=True, eq=False)
class StandardErrors:
    """Standard errors of the variables.

    Attributes
    ----------
    errors : array, like x
        Roots of the diagonal of the inverse; NaN where `definite` is False.
    ratios : ndarray, shape (k,)
        Curvature of the function over that of the matrix of the run, along the directions that were
        measured, ascending; empty with k = 0 and for k = n, which needs no matrix.  The part of an
        error that stems from such a direction was off by 1 / sqrt(ratio) before it was measured,
        and those that were not measured may be so still.
    definite : bool
        Whether the matrix of second derivatives is positive definite, as far as it is known.
    message : str
        Why it is not.
    nfev : int
        Evaluations of fun.
    """

    errors: Array
    ratios: np.ndarray
    definite: bool
    message: str
    nfev: int


@dataclass(frozen=True, eq=False)
class Measured:
    """H along some directions; E, Q and W are in the variables in which B is I.

    Attributes
    ----------
    Q, EQ : ndarray, shape (n, k)
        Orthonormal directions, and their products with E.
    T : ndarray, shape (k, k)
        Q'EQ.
    finite : bool
    """

    Q: np.ndarray
    EQ: np.ndarray
    T: np.ndarray
    finite: bool


class Reference:
    """The matrix of a run as B = A^{1/2} (U diag(lam) U' + gamma (I - UU')) A^{1/2}, on the host.

    Negative eigenvalues are replaced by their moduli; `negative` has those eigenvectors.
    """

    def __init__(self, operator: Any) -> None:
        spectrum = operator.spectrum()
        operator.inverted.spectrum()  # raises where there is none
        rows = to_host(spectrum.rows.rows)
        self.U = rows.T @ spectrum.coefficients
        self.lam, self.gamma = np.abs(spectrum.eigenvalues), abs(spectrum.gamma)
        self.n, r = self.U.shape
        self.whole = r == self.n
        self.negative = self.U[:, spectrum.eigenvalues < 0.0].T
        self.all_negative = spectrum.gamma < 0.0 and not self.whole
        metric = operator.metric
        self.d = np.ones(self.n) if metric is None else np.sqrt(to_host(metric.d))

    def power(self, v: np.ndarray, exponent: float) -> np.ndarray:
        """Return the power of the matrix between the A^{1/2}, times v."""
        inside = self.U.T @ v
        outside = 0.0 if self.whole else self.gamma**exponent * (v - self.U @ inside)
        lam = self.lam**exponent
        return self.U @ (inside.T * lam).T + outside

    def to_x(self, q: np.ndarray) -> np.ndarray:
        """Return A^{-1/2} (...)^{-1/2} q: a direction in the user's variables."""
        return (self.power(q, -0.5).T / self.d).T

    def from_gradient(self, g: np.ndarray) -> np.ndarray:
        """Return the transpose of :meth:`to_x` times a product with H."""
        return self.power(g / self.d, -0.5)

    def inverse_diagonal(self) -> np.ndarray:
        """Return the diagonal of B^{-1}."""
        squares = self.U**2
        outside = 0.0 if self.whole else (1.0 - squares.sum(axis=1)) / self.gamma
        return (squares @ (1.0 / self.lam) + outside) / self.d**2


def standard_errors(
    fun: Callable[..., Any],
    result: Any,
    k: int | None = None,
    *,
    args: Any = (),
    jac: Any = True,
    scale: float = 1.0,
) -> StandardErrors:
    r"""Return standard errors of the variables at a minimiser.

    .. math:: \sqrt{\mathrm{scale} \cdot \mathrm{diag}(H^{-1})}

    with H the Hessian of `fun` at ``result.x``, measured along k directions by differences of
    gradients and known from the matrix of the run elsewhere.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> (f, g)``, or ``-> f`` with a `jac`: as in :func:`qnsolve.minimize`.
    result : OptimizeResult
        Of :func:`qnsolve.minimize`; with ``k = n`` of any solver.
    k : int, from 0 to n, optional
        Directions along which H is measured.  Default: n, which is exact to the error of the
        differences.
    args, jac
        As in :func:`qnsolve.minimize`.
    scale : float
        1 where `fun` is a negative log-likelihood.  For a sum of squares
        :math:`f = \tfrac12 \sum_{i=1}^N r_i^2` the estimate of the variance, ``2 f / (N - n)``.

    Returns
    -------
    StandardErrors

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described, a variable of the result is on one of its
        bounds, or k < n and the result has no matrix.
    numpy.linalg.LinAlgError
        If k < n and the matrix of the run is singular.

    Notes
    -----
    k + 1 evaluations of f and g, at points beside ``result.x`` that know of no bounds.  With the
    directions as columns of V, the inverse is that of the block BFGS update of B with the pairs
    (V, HV), which is H^{-1} for k = n:

    .. math:: V T^{-1} V^T + P B^{-1} P^T, \qquad T = V^T H V, \quad P = I - V T^{-1} (HV)^T.

    k = 0 takes the matrix of the run as it is.  Unless its memory is as large as n that says little
    of the flat directions, which decide: errors came out too small, by half in the median on
    logistic regressions of 100 variables.  See the page on Hessians for what k brings.

    Examples
    --------
    A fit of two parameters; the exact errors are 1 and 1 / 2.

    >>> import numpy as np
    >>> import qnsolve
    >>> def fun(x):
    ...     return 0.5 * x[0] ** 2 + 2.0 * x[1] ** 2, np.array([x[0], 4.0 * x[1]])
    >>> result = qnsolve.minimize(fun, [1.0, 1.0], jac=True)
    >>> qnsolve.standard_errors(fun, result).errors.round(6)
    array([1. , 0.5])
    """
    scale = POSITIVE_FINITE(scale, "scale")
    products = Products(fun, result, args, jac)
    n = products.objective.n
    k = n if k is None else integer(k, "k", 0, n)
    if k == n:
        diagonal, definite, message = _of_all(products)
        ratios = np.empty(0)
    else:
        B = Reference(_operator_of(result, products.objective))
        measured = _lanczos(products, B, k)
        diagonal, definite, message = _of_some(B, measured)
        ratios = _ratios(measured)
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(scale * diagonal) if definite else np.full(n, np.nan)
    space = products.objective.space
    errors = products.objective.shaped(space.from_host(errors))
    return StandardErrors(errors, ratios, definite, message, products.nfev)


def measured_ratios(
    fun: Callable[..., Any], result: Any, k: int, args: Any, jac: Any
) -> tuple[np.ndarray, int]:
    """Return the curvatures of `fun` over those of the matrix of a run, and the evaluations."""
    products = Products(fun, result, args, jac)
    k = integer(k, "k", 1, products.objective.n)
    B = Reference(_operator_of(result, products.objective))
    return _ratios(_lanczos(products, B, k)), products.nfev


class Products:
    """Products with the Hessian at the point of a result, by differences of gradients."""

    def __init__(self, fun: Callable[..., Any], result: Any, args: Any, jac: Any) -> None:
        x = getattr(result, "x", None)
        if x is None:
            raise TypeError(
                f"result must be the result of a minimisation, got {type(result).__name__}"
            )
        held = np.count_nonzero(to_host(getattr(result, "active", np.zeros(0))))
        if held:
            raise ValueError(
                f"{held} variables of the result are on their bounds, where the Hessian says "
                "nothing of them: put them in as constants and minimise over the others"
            )
        self.objective = Objective(fun, x, args, jac)
        self._hessian = Hessian(self.objective)
        self._g: Array | None = None

    @property
    def nfev(self) -> int:
        return self.objective.nfev

    def __call__(self, v: np.ndarray) -> np.ndarray:
        """Return H v, on the host."""
        objective = self.objective
        if self._g is None:
            self._g = objective.gradient(objective.x0)
        inside = objective.space.from_host(v)
        return to_host(self._hessian.product(objective.x0, self._g, inside))


def _operator_of(result: Any, objective: Objective) -> Any:
    hess: Any = getattr(result, "hess", None)
    if not hasattr(hess, "spectrum"):
        raise ValueError(
            "the result has no matrix of qnsolve to begin with: leave k out, which measures all n "
            "directions"
        )
    if hess.shape[0] != objective.n:
        raise ValueError(f"result.hess is for n = {hess.shape[0]}, result.x has {objective.n}")
    return hess


def _lanczos(products: Products, B: Reference, k: int) -> Measured:
    """Measure along the negative directions of B, and those of Lanczos' process from there on."""
    rng, n = np.random.default_rng(SEED), B.n
    Q, EQ = np.empty((n, k)), np.empty((n, k))
    waiting = list(B.negative[:k])
    for j in range(k):
        known = Q[:, :j]
        q = waiting.pop(0) if waiting else None
        if q is None and j > len(B.negative):
            q = _orthogonal(EQ[:, j - 1], known)
        while q is None:
            q = _orthogonal(rng.standard_normal(n), known)
        Q[:, j] = q
        EQ[:, j] = B.from_gradient(products(B.to_x(q)))
        if not np.isfinite(EQ[:, j]).all():
            return Measured(Q[:, :j], EQ[:, :j], np.empty((0, 0)), finite=False)
    T = Q.T @ EQ
    return Measured(Q, EQ, 0.5 * (T + T.T), finite=True)


def _orthogonal(v: np.ndarray, known: np.ndarray) -> np.ndarray | None:
    """Return the unit vector of v off orthonormal columns, or None where too little is left."""
    size = np.linalg.norm(v)
    for _ in range(2):
        v = v - known @ (known.T @ v)
    left = np.linalg.norm(v)
    return v / left if left > INVARIANT * size else None


def _ratios(measured: Measured) -> np.ndarray:
    return np.linalg.eigvalsh(measured.T)


def _of_some(B: Reference, measured: Measured) -> tuple[np.ndarray, bool, str]:
    """Return the diagonal of the inverse, whether it is definite, and a message."""
    nothing = np.full(B.n, np.nan)
    if not measured.finite:
        return nothing, False, NOT_FINITE
    if B.all_negative or len(B.negative) > measured.Q.shape[1]:
        count = len(B.negative) + (B.n - B.U.shape[1] if B.all_negative else 0)
        return nothing, False, NEGATIVE.format(count=count)
    diagonal = B.inverse_diagonal()
    if not len(measured.T):
        return diagonal, True, MINIMUM
    try:
        factor = scipy.linalg.cho_factor(measured.T)
    except np.linalg.LinAlgError:
        return nothing, False, NO_MINIMUM
    V, W = B.to_x(measured.Q), B.to_x(measured.EQ)
    Z = scipy.linalg.cho_solve(factor, V.T)
    square = measured.EQ.T @ measured.EQ + measured.T
    diagonal = diagonal - 2.0 * np.einsum("ij,ji->i", W, Z) + np.einsum("ji,jk,ki->i", Z, square, Z)
    return diagonal, True, MINIMUM


def _of_all(products: Products) -> tuple[np.ndarray, bool, str]:
    """Return the same of the whole Hessian, column by column."""
    n = products.objective.n
    H = np.stack([products(unit) for unit in np.eye(n)], axis=1)
    if not np.isfinite(H).all():
        return np.full(n, np.nan), False, NOT_FINITE
    try:
        root = scipy.linalg.cholesky(0.5 * (H + H.T), lower=True)
    except np.linalg.LinAlgError:
        return np.full(n, np.nan), False, NO_MINIMUM
    inverse = scipy.linalg.solve_triangular(root, np.eye(n), lower=True)
    return (inverse**2).sum(axis=0), True, MINIMUM
