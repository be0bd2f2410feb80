"""Limited-memory matrices in SciPy's forms: Hessian update strategies and linear operators."""

from __future__ import annotations

import inspect
from collections import deque
from copy import deepcopy
from typing import Any, Self

import numpy as np
from scipy.optimize import HessianUpdateStrategy
from scipy.sparse.linalg import LinearOperator

from qnsolve.quasi_newton.base import CompactMatrix
from qnsolve.quasi_newton.hybrid import HybridLSR1
from qnsolve.quasi_newton.lbfgs import LBFGS
from qnsolve.quasi_newton.lsr1 import LSR1
from qnsolve.quasi_newton.operators import MatrixOperator, solve, space_of_operand
from qnsolve.quasi_newton.scaled import ScaledMatrix
from qnsolve.quasi_newton.spectrum import PartialSpectrum

APPROX_TYPES = ("hess", "inv_hess")

_NOT_FOR_SCIPY = {"n", "dtype", "xp", "like"}
"""Parameters of the matrices that SciPy's interface settles: NumPy, float64, its own n."""


class CompactStrategy(HessianUpdateStrategy):
    """A compact matrix as :class:`scipy.optimize.HessianUpdateStrategy`; see :class:`LSR1Strategy`.

    A subclass names the class of the matrix; the keywords of that class are its options.
    """

    _matrix_class: type[CompactMatrix]

    def __init__(self, memory: int = 10, **options: Any) -> None:
        parameters = inspect.signature(self._matrix_class).parameters
        known = [name for name in parameters if name not in _NOT_FOR_SCIPY]
        for name in options:
            if name not in known:
                raise TypeError(
                    f"{type(self).__name__} has no option {name!r}; its options are "
                    f"{', '.join(known)}"
                )
        self._options = {"memory": memory, **options}
        self._matrix_class(1, **self._options)  # refuses wrong values now, not inside a solver
        self._matrix: CompactMatrix | None = None

    def __copy__(self) -> Self:
        """Return a deep copy: updates write to the matrix in place."""
        return deepcopy(self)

    def initialize(self, n: int, approx_type: str) -> None:
        """Start from ``initial_gamma I`` in n variables; SciPy's solvers call it.

        Parameters
        ----------
        n : int
        approx_type : {"hess", "inv_hess"}
            Whether :meth:`dot` and :meth:`get_matrix` mean B or its inverse.
        """
        if approx_type not in APPROX_TYPES:
            raise ValueError(f"approx_type must be 'hess' or 'inv_hess', got {approx_type!r}")
        self._matrix = self._matrix_class(n, **self._options)
        self.approx_type = approx_type
        self._waiting: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=self._matrix.memory)
        self._went_back = False
        self._first_argument: np.ndarray | None = None

    def update(self, delta_x: np.ndarray, delta_grad: np.ndarray) -> None:
        """Offer the pair (delta_x, delta_grad), each of shape (n,).

        A pair without a step, or with an entry that is not finite, changes nothing.  Cost: see
        :meth:`CompactMatrix.update`.
        """
        matrix = self._initialised()
        s, y = (
            matrix._checked(v, name)
            for v, name in ((delta_x, "delta_x"), (delta_grad, "delta_grad"))
        )
        if not s.any():
            return
        if self._waiting and np.array_equal(s, -self._waiting[-1][0]):
            self._went_back = True
            return
        if not self._went_back:
            self._take_into(matrix)
        self._waiting.append((s.copy(), y.copy()))
        self._went_back = False

    def dot(self, p: np.ndarray) -> np.ndarray:
        """Return B p, or ``B^{-1} p`` with ``approx_type="inv_hess"``, in O(mn).

        Raises
        ------
        numpy.linalg.LinAlgError
            If the inverse is asked for and B is singular to working precision.
        """
        matrix = self._initialised()
        p = matrix._checked(p, "p")
        self._settle(matrix, p)
        return matrix.matvec(p) if self.approx_type == "hess" else solve(matrix, p)

    def get_matrix(self) -> np.ndarray:
        """Return B or its inverse as an (n, n) array; for small n.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the inverse is asked for and B is singular to working precision.
        """
        matrix = self.matrix
        if self.approx_type == "hess":
            return matrix.to_dense()
        inverse = np.stack([solve(matrix, unit) for unit in np.eye(matrix.n)], axis=1)
        return 0.5 * (inverse + inverse.T)

    @property
    def matrix(self) -> CompactMatrix:
        """B with every pair offered so far; to be read when no solver is at work on it."""
        matrix = self._initialised()
        self._take_into(matrix)
        return matrix

    def _settle(self, matrix: CompactMatrix, p: np.ndarray) -> None:
        """Decide, on the argument of a product, whether the waiting pairs enter the matrix."""
        if not self._went_back:
            if self._waiting or self._first_argument is None:
                self._take_into(matrix)
                self._first_argument = p.copy()
        elif self._first_argument is not None and np.array_equal(p, self._first_argument):
            self._take_into(matrix)

    def _take_into(self, matrix: CompactMatrix) -> None:
        while self._waiting:
            matrix.update(*self._waiting.popleft())
        self._went_back = False

    def _initialised(self) -> CompactMatrix:
        if self._matrix is None:
            raise RuntimeError(
                f"{type(self).__name__} has no dimension yet: call initialize(n, approx_type)"
            )
        return self._matrix


class LSR1Strategy(CompactStrategy):
    r"""The limited-memory SR1 matrix for SciPy's trust-constr, trust-ncg, trust-krylov, Newton-CG.

    .. math::

        B = \gamma I + \Psi (L + D + L^T - \gamma S^T S)^{-1} \Psi^T

    as in :class:`LSR1`, in O(mn) memory and time where :class:`scipy.optimize.SR1` takes O(n^2).

    Parameters
    ----------
    memory : int, default 10
        Largest number m of pairs (delta_x, delta_grad).
    gamma, initial_gamma, skip : optional
        As in :class:`LSR1`.

    Raises
    ------
    TypeError, ValueError
        If an option is unknown or its value wrong, at once.

    Notes
    -----
    ``dot`` costs two products with the 2m stored vectors, ``update`` two more.  ``get_matrix``
    forms an n x n array; the four solvers named never call it.  trust-exact and dogleg factorise
    a dense Hessian and take no strategy.  One object serves one function at a time: a nonlinear
    constraint needs its own (``NonlinearConstraint(..., hess=LSR1Strategy())``; the default there,
    BFGS, is dense).

    SciPy calls ``update`` at every trial point, accepted or not.  A rejection shows when a solver
    goes back: the next step offered is the last one reversed.  A solver that then goes on with
    products of the matrix as it was (trust-krylov's warm start) must not have that matrix changed
    under it.  So a pair waits until the next product or pair; after a return, until the solver
    starts its subproblem afresh or keeps a later trial point.

    With ``approx_type="inv_hess"``, which none of SciPy's solvers asks for, products are with the
    inverse of the same B.  Where B is singular they raise :class:`numpy.linalg.LinAlgError`.  With
    gamma = y'y / s'y of its only pair B always is: after one pair under the rules "latest" and
    "window-max".  Under "eigenvalue", or with a constant gamma, it is not.

    References
    ----------
    R. H. Byrd, J. Nocedal, R. B. Schnabel, "Representations of quasi-Newton matrices and their use
    in limited memory methods", Math. Program. 63 (1994), Theorem 5.1.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.optimize import minimize, rosen, rosen_der
    >>> from qnsolve import LSR1Strategy
    >>> bounds = [(-2, 0.8)] * 5
    >>> result = minimize(rosen, np.zeros(5), jac=rosen_der, hess=LSR1Strategy(), bounds=bounds,
    ...                   method="trust-constr")
    >>> result.success, result.x.round(3)
    (True, array([0.8  , 0.66 , 0.448, 0.209, 0.044]))
    """

    _matrix_class = LSR1


class HybridLSR1Strategy(CompactStrategy):
    """SR1 re-applied on L-BFGS for SciPy's solvers, in O(mn).

    Parameters
    ----------
    memory : int, default 10
        Largest number m of pairs.
    **options
        As in :class:`HybridLSR1`.

    Notes
    -----
    As for :class:`LSR1Strategy`.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.optimize import minimize, rosen, rosen_der
    >>> from qnsolve import HybridLSR1Strategy
    >>> result = minimize(rosen, np.zeros(20), jac=rosen_der, hess=HybridLSR1Strategy(),
    ...                   method="trust-krylov")
    >>> result.success
    True
    """

    _matrix_class = HybridLSR1


class LBFGSStrategy(CompactStrategy):
    """The limited-memory BFGS matrix for SciPy's solvers: positive definite, in O(mn).

    Parameters
    ----------
    memory : int, default 10
        Largest number m of pairs.
    gamma, initial_gamma : optional
        As in :class:`LBFGS`.

    Notes
    -----
    As for :class:`LSR1Strategy`.  The inverse exists always.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve import LBFGSStrategy
    >>> strategy = LBFGSStrategy(memory=5)
    >>> strategy.initialize(2, "inv_hess")
    >>> strategy.update(np.array([1.0, 0.0]), np.array([4.0, 0.0]))
    >>> strategy.dot(np.array([1.0, 1.0]))
    array([0.25, 0.25])
    """

    _matrix_class = LBFGS


def as_linear_operator(B: CompactMatrix | ScaledMatrix | PartialSpectrum) -> LinearOperator:
    r"""Return `B` as a :class:`scipy.sparse.linalg.LinearOperator`.

    Parameters
    ----------
    B : LSR1, LBFGS, ScaledMatrix or PartialSpectrum, n x n
        On NumPy vectors.

    Returns
    -------
    LinearOperator, shape (n, n)
        Symmetric, with the dtype of the vectors of `B`.  It shows B as it is at the time of a
        product, also after later updates.  O(mn) a product.

    Raises
    ------
    TypeError
        If `B` is none of these, or its vectors are not NumPy arrays.

    Examples
    --------
    The eigenvalues at the ends of the spectrum by Lanczos, without an n x n array:

    >>> import numpy as np
    >>> from scipy.sparse.linalg import eigsh
    >>> from qnsolve import LSR1, as_linear_operator
    >>> B = LSR1(1000, gamma=3.0)
    >>> B.update(np.eye(1000)[0], -2.0 * np.eye(1000)[0]).stored
    True
    >>> eigsh(as_linear_operator(B), k=1, which="SA", v0=np.ones(1000))[0].round(6)
    array([-2.])
    """
    if not isinstance(B, CompactMatrix | ScaledMatrix | PartialSpectrum):
        raise TypeError(
            f"a matrix of qnsolve is wanted, such as LSR1 or ScaledMatrix, got {type(B).__name__}"
        )
    space = space_of_operand(B)
    if not space.on_host:
        raise TypeError(f"a matrix on NumPy vectors is wanted, got one on {space.xp.__name__}")
    return MatrixOperator(lambda: B, space)
