r"""Problems that start next to a known saddle point, with the exact curvature there.

Each factory takes the number of variables n and returns a :class:`SaddleProblem`.  A value and its
gradient cost as much as a few products of the matrices involved.  The functions accept complex
arrays, from which :meth:`SaddleProblem.hessp` takes second derivatives.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from qnsolve.problems.functions import _check_n
from qnsolve.problems.problem import Function, Problem

START_DISTANCE = 1e-2
"""Distance of the standard start from the saddle."""

COMPLEX_STEP = 1e-30
"""Length of the imaginary step in ``hessp``: its square is lost in rounding."""


@dataclass(frozen=True, eq=False)
class SaddleProblem(Problem):
    """A problem with a stationary point that is no minimiser.

    Parameters
    ----------
    saddle : ndarray, shape (n,)
        Stationary point whose Hessian has a negative eigenvalue, unless the factory says otherwise.

    Other parameters are those of :class:`~qnsolve.problems.Problem`.

    Examples
    --------
    >>> from qnsolve.problems import linear_network
    >>> problem = linear_network(12)
    >>> x0 = problem.start(1e-4)
    >>> round(float(abs(x0 - problem.saddle).max()), 5) <= 1e-4
    True
    """

    saddle: np.ndarray = field(kw_only=True)

    def start(self, distance: float, seed: int = 0) -> np.ndarray:
        """Return the point at `distance` (l2) from the saddle in a random direction."""
        return _away_from(self.saddle, distance, seed)

    def hessp(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return the product of the Hessian at `x` with `v`, exact to rounding.

        Im g(x + i h v) / h has an error of order h^2 and no cancellation.  Costs one evaluation of
        ``fun`` in complex arithmetic.
        """
        size = np.abs(v).max()
        if size == 0.0:
            return np.zeros_like(x)
        h = COMPLEX_STEP / size
        return self.fun(x + 1j * h * v)[1].imag / h

    def hess(self, x: np.ndarray) -> np.ndarray:
        """Return the Hessian at `x`, shape (n, n), by n products."""
        H = np.stack([self.hessp(x, unit) for unit in np.eye(self.n)], axis=1)
        return 0.5 * (H + H.T)


def _away_from(saddle: np.ndarray, distance: float, seed: int) -> np.ndarray:
    direction = np.random.default_rng(seed).standard_normal(len(saddle))
    return saddle + distance / np.linalg.norm(direction) * direction


def _near(
    name: str,
    fun: Function,
    saddle: np.ndarray,
    f_min: float | None,
    source: str,
    x_min: np.ndarray | None = None,
) -> SaddleProblem:
    x0 = _away_from(saddle, START_DISTANCE, seed=0)
    return SaddleProblem(name, len(saddle), x0, fun, f_min, source, x_min, saddle=saddle)


def saddle_chain(n: int = 10) -> SaddleProblem:
    r"""Return a function whose descent paths lead past n saddles, one after the other.

    .. math::

        f(x) = \sum_{i=1}^{n} \tfrac12 \Bigl( \tfrac14 - \sigma(x_{i-1}) \Bigr) x_i^2
        + \tfrac14 x_i^4,
        \qquad \sigma(t) = \frac{10 t^2}{1 + 10 t^2}, \quad \sigma(x_0) = 1

    At the origin only :math:`x_1` has negative curvature.  Once :math:`x_1` has grown, the
    curvature of :math:`x_2` turns negative, and so on; until then each later variable shrinks.
    Gradient descent needs a time that grows exponentially with n, as on the function of
    S. S. Du, C. Jin, J. D. Lee, M. I. Jordan, B. Póczos and A. Singh, "Gradient descent can take
    exponential time to escape saddle points", NeurIPS 2017, which this one imitates.

    Parameters
    ----------
    n : int, >= 1

    Returns
    -------
    SaddleProblem
        f depends on the squares of the variables alone, so all signs are equivalent.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.problems import saddle_chain
    >>> problem = saddle_chain(3)
    >>> np.linalg.eigvalsh(problem.hess(problem.saddle))
    array([-0.75,  0.25,  0.25])
    """
    n = _check_n("saddle_chain", n, least=1)
    return _near("saddle-chain", _saddle_chain, np.zeros(n), None, "after Du et al. (2017)")


def _saddle_chain(x: np.ndarray) -> tuple[float, np.ndarray]:
    square = x * x
    spread = 1.0 + 10.0 * square[:-1]
    curvature = np.concatenate([[-0.75], 0.25 - 10.0 * square[:-1] / spread])
    f = 0.5 * (curvature @ square) + 0.25 * (square @ square)
    g = (curvature + square) * x
    g[:-1] -= 10.0 * x[:-1] * square[1:] / (spread * spread)
    return f, g


def linear_network(n: int = 48) -> SaddleProblem:
    r"""Return the fit of a deep linear network, started next to the saddle (0, I, 0).

    .. math::

        f(W_1, W_2, W_3) = \tfrac12 \| W_3 W_2 W_1 - A \|_F^2, \qquad W_i \in R^{d \times d}

    A is a fixed random matrix.  The Hessian at the saddle has the eigenvalues plus and minus the
    singular values of A, d of each, and zeros.  There are no other local minima (K. Kawaguchi,
    "Deep learning without poor local minima", NeurIPS 2016), but saddles without any negative
    curvature, the origin for one.

    Parameters
    ----------
    n : int, 3 d^2

    Returns
    -------
    SaddleProblem
        Minimum 0, among others at (A, I, I).
    """
    n = _check_n("linear_network", n, least=3)
    d = math.isqrt(n // 3)
    if 3 * d * d != n:
        raise ValueError(f"linear_network: n must be 3 d^2 for an integer d, got {n}")
    A = np.random.default_rng(0).standard_normal((d, d)) / math.sqrt(d)
    zero, one = np.zeros(d * d), np.eye(d).ravel()
    return _near(
        "linear-network",
        partial(_linear_network, A),
        np.concatenate([zero, one, zero]),
        0.0,
        "after Kawaguchi (2016)",
        np.concatenate([A.ravel(), one, one]),
    )


def _linear_network(A: np.ndarray, x: np.ndarray) -> tuple[float, np.ndarray]:
    W1, W2, W3 = x.reshape(3, *A.shape)
    front, back = W3 @ W2, W2 @ W1
    R = W3 @ back - A
    g = np.stack([front.T @ R, W3.T @ R @ W1.T, R @ back.T])
    return 0.5 * (R * R).sum(), g.ravel()


def matrix_factorisation(n: int = 60, rank: int = 3) -> SaddleProblem:
    r"""Return a symmetric low-rank factorisation, started next to the saddle at the origin.

    .. math::

        f(U) = \tfrac14 \| U U^T - M \|_F^2, \qquad U \in R^{d \times k}, \quad n = d k

    M is positive semidefinite with the k eigenvalues 1, 2, ..., k.  The Hessian at the origin is
    -M in each column of U.  Every U that fits only some of the eigenvectors is a saddle as well;
    all are strict (R. Ge, J. D. Lee and T. Ma, "Matrix completion has no spurious local minimum",
    NeurIPS 2016).

    Parameters
    ----------
    n : int, multiple of `rank`, >= rank^2
    rank : int
        k.

    Returns
    -------
    SaddleProblem
        Minimum 0.
    """
    n, rank = operator.index(n), operator.index(rank)
    if rank < 1 or n % rank or n < rank * rank:
        raise ValueError(
            "matrix_factorisation: n must be a multiple of rank >= 1 and at least rank^2, "
            f"got n = {n}, rank = {rank}"
        )
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.standard_normal((n // rank, rank)))
    root = basis * np.sqrt(np.arange(1.0, rank + 1.0))
    fun = partial(_matrix_factorisation, root @ root.T, rank)
    source = "after Ge, Lee and Ma (2016)"
    return _near("matrix-factorisation", fun, np.zeros(n), 0.0, source, root.ravel())


def _matrix_factorisation(M: np.ndarray, rank: int, x: np.ndarray) -> tuple[float, np.ndarray]:
    U = x.reshape(-1, rank)
    R = U @ U.T - M
    return 0.25 * (R * R).sum(), (R @ U).ravel()


def phase_retrieval(n: int = 50, samples: int | None = None) -> SaddleProblem:
    r"""Return the recovery of a vector from the moduli of random products, started near 0.

    .. math::

        f(x) = \frac{1}{4 m} \sum_{i=1}^{m} \bigl( (a_i^T x)^2 - (a_i^T z)^2 \bigr)^2,
        \qquad \|z\| = 1

    with m Gaussian vectors a_i.  The origin is a local maximiser with a negative definite Hessian;
    between it and the minimisers lie strict saddles (J. Sun, Q. Qu and J. Wright, "A geometric
    analysis of phase retrieval", Found. Comput. Math. 18 (2018), 1131-1198).

    Parameters
    ----------
    n : int, >= 1
    samples : int, optional
        m, by default 8 n.

    Returns
    -------
    SaddleProblem
        Minimum 0 at z and -z.
    """
    n = _check_n("phase_retrieval", n, least=1)
    m = 8 * n if samples is None else operator.index(samples)
    if m < 1:
        raise ValueError(f"phase_retrieval: samples must be at least 1, got {m}")
    rng = np.random.default_rng(0)
    A, z = rng.standard_normal((m, n)), rng.standard_normal(n)
    z /= np.linalg.norm(z)
    fun = partial(_phase_retrieval, A, np.square(A @ z))
    source = "after Sun, Qu and Wright (2018)"
    return _near("phase-retrieval", fun, np.zeros(n), 0.0, source, z)


def _phase_retrieval(
    A: np.ndarray, intensity: np.ndarray, x: np.ndarray
) -> tuple[float, np.ndarray]:
    product = A @ x
    r = product * product - intensity
    return 0.25 * (r @ r) / len(r), A.T @ (r * product) / len(r)
