"""Second moments of the gradients of mini-batches, and the ellipsoidal norms that they give."""

from __future__ import annotations

from typing import Any

from qnsolve.array import Array, VectorSpace
from qnsolve.norms import DiagonalNorm

MOMENTS = ("adagrad", "rmsprop", "adam")
"""Norms that follow the gradients."""


class SecondMoments:
    r"""The diagonal preconditioner of a first-order method, as a norm.

    .. math::

        A_k = \mathrm{diag}\bigl(\sqrt{\hat v_k} + \epsilon\bigr)

    with all operations taken entry by entry, v starting at 0 and

    ========== ========================================== =============================
    "adagrad"  :math:`v_k = v_{k-1} + g_k^2`               :math:`\hat v_k = v_k`
    "rmsprop"  :math:`v_k = \beta v_{k-1} + (1-\beta) g_k^2` :math:`\hat v_k = v_k`
    "adam"     as "rmsprop"                               :math:`\hat v_k = v_k / (1 - \beta^k)`
    ========== ========================================== =============================

    The minimiser of :math:`g^T s` over :math:`\|s\|_A \le \eta \|g\|_{A^{-1}}` is the step
    :math:`-\eta A^{-1} g` of that method with learning rate eta.

    Parameters
    ----------
    kind : {"adagrad", "rmsprop", "adam"}
    decay : float, in (0, 1)
        beta; "adagrad" has none.
    epsilon : float, > 0
        Keeps A positive; in the unit of a gradient.
    like : array, shape (n,), or VectorSpace
        A vector whose library, dtype and device the moments take, or the space of the gradients.

    Notes
    -----
    With :class:`qnsolve.solvers.adaptive_norm.AdaptiveNorm`, which is for full gradients, A is
    clipped and has no unit; here A is that of the first-order methods, with their constants.

    References
    ----------
    J. Kohler, L. Adolphs, A. Lucchi, "Adaptive norms for deep learning with regularized Newton
    methods", arXiv 1905.09201.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.stochastic.norms import SecondMoments
    >>> moments = SecondMoments("adagrad", decay=0.9, epsilon=1e-8, like=np.zeros(2))
    >>> moments.update(np.array([3.0, 0.0]))
    >>> moments.update(np.array([4.0, 0.0]))
    >>> moments.norm().d
    array([5.00000001e+00, 1.00000000e-08])
    """

    def __init__(
        self, kind: str, *, decay: float, epsilon: float, like: Array | VectorSpace
    ) -> None:
        self._old: float
        self._new: float
        # Roots: the square of a gradient could overflow where the gradient does not.
        self._old, self._new = (
            (1.0, 1.0) if kind == "adagrad" else (decay**0.5, (1.0 - decay) ** 0.5)
        )
        self._decay = decay if kind == "adam" else 0.0
        self._epsilon = epsilon
        self.space = VectorSpace.of(like)
        self.root = self.space.zeros(self.space.length)
        self.count = 0

    def update(self, g: Array) -> None:
        """Take in a gradient, which must be finite."""
        self.root = self.space.xp.hypot(self._old * self.root, self._new * g)
        self.count += 1

    def norm(self) -> DiagonalNorm:
        """Return the norm of A, after at least one gradient."""
        correction = (1.0 - self._decay**self.count) ** 0.5
        return DiagonalNorm.of_slice(self.root / correction + self._epsilon, self.space)

    def snapshot(self) -> dict[str, Any]:
        """Return the state, for :meth:`restore`."""
        return {"root": self.root, "count": self.count}

    def restore(self, state: dict[str, Any]) -> None:
        self.root, self.count = state["root"], int(state["count"])
