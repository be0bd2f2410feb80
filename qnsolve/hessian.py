"""Products with the Hessian: from the user's `hess`, from `hessp`, or from two gradients."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import LinearOperator

from qnsolve.arrays import Array, VectorSpace
from qnsolve.arrays.user import array_like, real_array
from qnsolve.objective import Objective
from qnsolve.points import end_of_step
from qnsolve.state import Saved, Stateful

MIXED = 1e3
"""Norm of x, and growth of one component's part in a difference, from which on the components are
taken for having different units."""


class Hessian(Stateful):
    """The Hessian of an objective, known by its products; counted.

    Parameters
    ----------
    objective : Objective
    hess : callable or None
        ``hess(x, *args)`` returns the symmetric Hessian, of shape (n, n) whatever the shape of x:
        an array of the library of x or, on the host, also a sparse matrix or array or a
        LinearOperator of NumPy vectors.  Evaluated once for each point at which there is a product.
    hessp : callable or None
        ``hessp(x, p, *args)`` returns the product with p, which has the shape of x; ignored where
        `hess` is given, as in SciPy.  With neither, products are forward differences of gradients,
        each of which costs an evaluation that the objective counts.
    args : tuple
        Further arguments of both; anything but a tuple is taken for the only one.

    Attributes
    ----------
    nhev : int
        Products so far.

    Raises
    ------
    TypeError, ValueError
        If `hess` or `hessp` is not callable; while the solve runs, if one returns something else
        than described.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.objective import Objective
    >>> from qnsolve.hessian import Hessian
    >>> objective = Objective(lambda x: (x @ x, 2 * x), np.ones(2), jac=True)
    >>> H = Hessian(objective, hessp=lambda x, p: 2 * p)
    >>> H.product(objective.x0, 2 * objective.x0, np.array([3.0, 4.0])), H.nhev
    (array([6., 8.]), 1)
    """

    nhev: Saved[int]

    def __init__(
        self, objective: Objective, hess: Any = None, hessp: Any = None, args: Any = ()
    ) -> None:
        for name, value in (("hess", hess), ("hessp", hessp)):
            if value is not None and not callable(value):
                raise TypeError(
                    f"{name} must be callable or None, which means differences of gradients; "
                    f"got {type(value).__name__} {value!r}"
                )
        self.nhev = 0
        self._objective = objective
        self._hess, self._hessp = hess, hessp
        self._x: Array | None = None
        self._matrix: Any = None
        self._x_norm = math.nan
        self._args = args if isinstance(args, tuple) else (args,)

    @property
    def space(self) -> VectorSpace:
        return self._objective.space

    def product(self, x: Array, g: Array, v: Array) -> Array:
        """Return the product at the flat point `x`, where the gradient is `g`, with `v`."""
        self.nhev += 1
        if self._hess is not None:
            return self.space.agreed(lambda: self._of_hess(x, v))
        if self._hessp is not None:
            return self.space.agreed(lambda: self._of_hessp(x, v))
        return self._of_differences(x, g, v)

    def _of_hess(self, x: Array, v: Array) -> Array:
        matrix = self._matrix_at(x)
        if not isinstance(matrix, LinearOperator):
            return matrix @ v
        # An operator is the user's, and so may be the memory of its product.
        return self._objective.flat(matrix @ v.copy(), "the product of hess")

    def _matrix_at(self, x: Array) -> Any:
        if self._x is not x:
            matrix = self._hess(self._objective.shaped(x), *self._args)
            self._matrix, self._x = self._checked(matrix), x
        return self._matrix

    def _of_hessp(self, x: Array, v: Array) -> Array:
        objective = self._objective
        product = self._hessp(objective.shaped(x), objective.shaped(v), *self._args)
        return objective.flat(product, "the product of hessp")

    @property
    def by_differences(self) -> bool:
        """Whether products are differences of gradients."""
        return self._hess is None and self._hessp is None

    def displaced(self, x: Array, v: Array) -> tuple[Array | None, float]:
        """Return the point beside `x` whose gradient gives the product with `v`, and the factor h.

        The point is x + h v, or None where that would be infinite.
        """
        objective, space = self._objective, self._objective.space
        if self._x is not x:
            self._x, self._x_norm = x, space.norm(x)
        # The rounding error of a gradient over h balances the truncation error, which is of h.
        part = math.sqrt(objective.gradient_eps)
        size = max(self._x_norm, self._typical_norm)
        length = space.norm(v)
        h = part * size / length if length else 1.0
        if length and size > MIXED:
            # Components with other units than the largest may move too far.
            farthest = space.norm_inf(v / space.xp.clip(abs(x), 1.0, None))
            if h * farthest > MIXED * part:
                h = part / farthest
        return end_of_step(space, x, v, h * length, h), h

    def _of_differences(self, x: Array, g: Array, v: Array) -> Array:
        there, h = self.displaced(x, v)
        if there is None:
            return self.space.zeros(self.space.length) + np.nan
        g_there = self._objective.gradient(there)
        with np.errstate(over="ignore", invalid="ignore"):
            return (g_there - g) / h

    @cached_property
    def _typical_norm(self) -> float:
        """Size of x where it is close to zero: that of the start, but 1 at most."""
        return min(1.0, self.space.norm(self._objective.x0) or 1.0)

    def _checked(self, matrix: Any) -> Any:
        n, space = self._objective.n, self._objective.space
        sparse = scipy.sparse.issparse(matrix) or isinstance(matrix, LinearOperator)
        if not (space.on_host and sparse):
            if self._objective.border.crossed:
                matrix = self._objective.border.inside(matrix, "the Hessian")
            matrix = array_like(real_array(matrix, "the Hessian"), space, "the Hessian")
            matrix = space.xp.astype(matrix, space.dtype)  # a copy: it is kept
        if tuple(matrix.shape) != (n, n):
            raise ValueError(
                f"hess must return an array of shape ({n}, {n}), got {tuple(matrix.shape)}"
            )
        return matrix
