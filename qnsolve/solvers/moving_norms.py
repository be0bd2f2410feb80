r"""Ellipsoidal norms that follow the gradients (Kohler, Adolphs and Lucchi 2019).

They all rest on the root of a sum or mean of the squared gradients so far, entry by entry:

.. math::

    v_k = v_{k-1} + g_k^2 \quad\text{(Adagrad)} \qquad\text{or}\qquad
    v_k = \beta v_{k-1} + (1 - \beta) g_k^2 \quad\text{(RMSProp, Adam)}
"""

from __future__ import annotations

import math

import numpy as np

from qnsolve.arrays import Array, VectorSpace
from qnsolve.norms import DiagonalNorm
from qnsolve.state import Saved, Stateful

MOMENTS = ("adagrad", "rmsprop", "adam")
"""Norms that follow the gradients of mini-batches."""


class MovingNorm(Stateful):
    """A diagonal norm that changes with every gradient that it is shown.

    Parameters
    ----------
    decay : float in (0, 1), or None
        beta; None is the sum of all squares.
    start : array, shape (n,)
        The root of v_0.
    space : VectorSpace
        Where it lives.
    """

    _root: Saved[Array]
    _count: Saved[int]

    def __init__(self, decay: float | None, start: Array, space: VectorSpace) -> None:
        # Roots of the weights: v itself could overflow where its root does not.
        self._old = 1.0 if decay is None else decay**0.5
        self._new = 1.0 if decay is None else (1.0 - decay) ** 0.5
        self._space = space
        self._root, self._count = start, 0

    @np.errstate(over="ignore")
    def update(self, g: Array) -> None:
        """Take in a gradient, which must be finite."""
        self._root = self._space.xp.hypot(self._old * self._root, self._new * g)
        self._count += 1

    def norm(self) -> DiagonalNorm:
        """Return the norm that belongs to the gradients so far, of which there is one at least."""
        return DiagonalNorm.of_slice(self._diagonal(), self._space)

    def _diagonal(self) -> Array:
        raise NotImplementedError


class AdaptiveNorm(MovingNorm):
    r"""Adagrad's or RMSProp's norm without a unit, for full gradients.

    .. math::

        A_k = \mathrm{diag}\Bigl(\mathrm{clip}\bigl(\tfrac{1}{c_k} \sqrt{v_k}\bigr)\Bigr)

    Parameters
    ----------
    decay : float in (0, 1), or None
        beta of RMSProp; None is Adagrad.
    bounds : (float, float)
        The entries of A are clipped to this range, so that there is one c with
        ||s||_A / c <= ||s||_2 <= c ||s||_A for all k, which the theory of the method asks for.
    normalise : bool
        c_k is the largest entry of sqrt(v_k), so that A has no unit and its norm is never longer
        than the Euclidean one, and v starts at 0.  Otherwise c_k = 1, and v starts at the square
        of the lower bound.
    space : VectorSpace
        Of the gradients.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.arrays import new_space
    >>> from qnsolve.solvers.moving_norms import AdaptiveNorm
    >>> adagrad = AdaptiveNorm(None, (1e-2, 1.0), True, new_space(3))
    >>> adagrad.update(np.array([3.0, 0.0, -1.0]))
    >>> adagrad.update(np.array([4.0, 0.0, 0.0]))
    >>> adagrad.norm().d
    array([1.  , 0.01, 0.2 ])
    """

    def __init__(
        self,
        decay: float | None,
        bounds: tuple[float, float],
        normalise: bool,
        space: VectorSpace,
    ) -> None:
        start = space.zeros(space.length) + (0.0 if normalise else bounds[0])
        super().__init__(decay, start, space)
        self._bounds, self._normalise = bounds, normalise

    def _diagonal(self) -> Array:
        xp, space = self._space.xp, self._space
        # A root beyond the range counts as its end.
        root = xp.clip(self._root, None, float(xp.finfo(self._root.dtype).max))
        largest = space.norm_inf(root) if self._normalise else 1.0
        scaled = root / largest if largest > 0.0 else root + 1.0
        low, high = self._bounds
        return xp.clip(scaled, low, None if math.isinf(high) else high)


class SecondMoments(MovingNorm):
    r"""The diagonal preconditioner of a first-order method, as a norm, for mini-batches.

    .. math::

        A_k = \mathrm{diag}\bigl(\sqrt{\hat v_k} + \epsilon\bigr), \qquad
        \hat v_k = v_k, \text{ or for Adam } v_k / (1 - \beta^k)

    The minimiser of :math:`g^T s` over :math:`\|s\|_A \le \eta \|g\|_{A^{-1}}` is the step
    :math:`-\eta A^{-1} g` of that method with learning rate eta.

    Parameters
    ----------
    kind : {"adagrad", "rmsprop", "adam"}
    decay : float, in (0, 1)
        beta; "adagrad" has none.
    epsilon : float, > 0
        Keeps A positive; in the unit of a gradient.
    space : VectorSpace
        Of the gradients.

    References
    ----------
    J. Kohler, L. Adolphs, A. Lucchi, "Adaptive norms for deep learning with regularized Newton
    methods", arXiv 1905.09201.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.arrays import new_space
    >>> from qnsolve.solvers.moving_norms import SecondMoments
    >>> moments = SecondMoments("adagrad", decay=0.9, epsilon=1e-8, space=new_space(2))
    >>> moments.update(np.array([3.0, 0.0]))
    >>> moments.update(np.array([4.0, 0.0]))
    >>> moments.norm().d
    array([5.00000001e+00, 1.00000000e-08])
    """

    def __init__(self, kind: str, *, decay: float, epsilon: float, space: VectorSpace) -> None:
        super().__init__(None if kind == "adagrad" else decay, space.zeros(space.length), space)
        self._bias = decay if kind == "adam" else 0.0
        self._epsilon = epsilon

    def _diagonal(self) -> Array:
        correction = (1.0 - self._bias**self._count) ** 0.5
        return self._root / correction + self._epsilon
