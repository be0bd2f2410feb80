"""Ellipsoidal norms that follow the gradients (Kohler, Adolphs and Lucchi 2019)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from qnsolve.array import Array, VectorSpace
from qnsolve.norms import DiagonalNorm


class AdaptiveNorm:
    r"""The diagonal norm of Adagrad or RMSProp: the root mean square of the gradients so far.

    .. math::

        A_k = \mathrm{diag}\Bigl(\mathrm{clip}\bigl(\tfrac{1}{c_k} \sqrt{v_k}\bigr)\Bigr), \qquad
        v_k = v_{k-1} + g_k^2 \quad\text{or}\quad v_k = \beta v_{k-1} + (1 - \beta) g_k^2

    with all operations on vectors taken entry by entry.

    Parameters
    ----------
    decay : float in (0, 1), or None
        beta of RMSProp; None is Adagrad, the sum of all squares.
    bounds : (float, float)
        The entries of A are clipped to this range, so that there is one c with
        ||s||_A / c <= ||s||_2 <= c ||s||_A for all k, which the theory of the method asks for.
    normalise : bool
        c_k is the largest entry of sqrt(v_k), so that A has no unit and its norm is never longer
        than the Euclidean one, and v starts at 0.  Otherwise c_k = 1, and v starts at the square
        of the lower bound.
    g : array, shape (n,)
        The first gradient.
    space : VectorSpace, optional
        Where it lives; for the slice of one rank.

    Attributes
    ----------
    norm : DiagonalNorm
        The norm of A_k.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.solvers.adaptive_norm import AdaptiveNorm
    >>> adagrad = AdaptiveNorm(None, (1e-2, 1.0), True, np.array([3.0, 0.0, -1.0]))
    >>> adagrad.update(np.array([4.0, 0.0, 0.0]))
    >>> adagrad.norm.d
    array([1.  , 0.01, 0.2 ])
    """

    def __init__(
        self,
        decay: float | None,
        bounds: tuple[float, float],
        normalise: bool,
        g: Array,
        space: VectorSpace | None = None,
    ) -> None:
        self._old: float
        self._new: float
        # Roots of the weights: v itself could overflow where its root does not.
        self._old, self._new = (1.0, 1.0) if decay is None else (decay**0.5, (1.0 - decay) ** 0.5)
        self._space = VectorSpace.of(g) if space is None else space
        self._bounds = bounds
        self._normalise = normalise
        self._root = 0.0 * g + (0.0 if normalise else bounds[0])
        self.update(g)

    def snapshot(self) -> dict[str, Any]:
        """Return the state, for :meth:`restore`."""
        return {"root": self._root}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to the state of a norm with the same arguments."""
        self._follow(state["root"])

    def update(self, g: Array) -> None:
        """Take in the gradient at a new iterate."""
        xp = self._space.xp
        with np.errstate(over="ignore"):
            root = xp.hypot(self._old * self._root, self._new * g)
        self._follow(xp.clip(root, None, float(xp.finfo(root.dtype).max)))

    def _follow(self, root: Array) -> None:
        xp = self._space.xp
        self._root = root
        largest = self._space.norm_inf(self._root) if self._normalise else 1.0
        scaled = self._root / largest if largest > 0.0 else self._root + 1.0
        low, high = self._bounds
        d = xp.clip(scaled, low, None if math.isinf(high) else high)
        sharded = self._space.comm is not None
        self.norm = DiagonalNorm.of_slice(d, self._space) if sharded else DiagonalNorm(d)
