"""The inverse form of L-SR1: the same recursion with the roles of s and y exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qnsolve.arrays import Array, Request
from qnsolve.checks import REAL
from qnsolve.quasi_newton.base import UpdateStatus
from qnsolve.quasi_newton.factored import Inner
from qnsolve.quasi_newton.lsr1 import LSR1
from qnsolve.quasi_newton.pairs import GramBlocks
from qnsolve.quasi_newton.scaling import Constant, GammaRule, resolve_rule
from qnsolve.quasi_newton.spectrum import FAST, Columns
from qnsolve.quasi_newton.tracking import TrackedGradient, root

MIN_COSINE = 1e-8
"""Least cosine of the angle between d and -g at which d is taken for a direction of descent."""


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction of descent.

    Attributes
    ----------
    vector : array, shape (n,)
    slope : float
        g'd < 0.
    length : float
        ||d||.
    modified : bool
        Whether it is another one than -Hg.
    """

    vector: Array
    slope: float
    length: float
    modified: bool


class InverseLSR1(LSR1):
    r"""Limited-memory SR1 approximation of the inverse Hessian.

    .. math::

        H = \tfrac1\gamma I + \Psi (D + R + R^T - \tfrac1\gamma Y^T Y)^{-1} \Psi^T, \qquad
        \Psi = S - \tfrac1\gamma Y,

    where D + R is the upper triangle of :math:`S^T Y`.  SR1 is its own dual: H is the inverse of
    the :class:`LSR1` matrix with the same gamma and the same pairs, wherever both exist, and has
    :math:`H y = s` where that has :math:`B s = y`.  All methods of :class:`LSR1` are those of H:
    :meth:`matvec` is a product with H, :meth:`solve` one with :math:`(H + \mathrm{shift}\, I)^{-1}`
    and :meth:`spectrum` has the eigenvalues of H.

    Parameters
    ----------
    n : int
        Dimension.
    memory : int, default 10
        Largest number m of pairs; may exceed n.
    gamma : float, str or callable, optional
        Curvature off the pairs, H0 = I / gamma: a number or a rule, as for :class:`LSR1`.
    initial_gamma : float, default 1
        gamma until the first pair is stored; a constant gamma overrides it.
    skip : float, default 1e-8
        A pair is refused where ``|y'(s - Hy)| < skip |y| |s - Hy|``, or y is zero.
    dtype, xp, like : optional
        As for :class:`LSR1`.

    Notes
    -----
    Storage and costs are those of :class:`LSR1`, and so is the block of pairs.

    References
    ----------
    V. Ramamurthy, N. Duffy, "L-SR1: a second order optimization method for deep learning", 2017,
    Algorithm 2, with a symmetric inner matrix: of Y'S only the lower triangle belongs in it.

    R. H. Byrd, J. Nocedal, R. B. Schnabel, Math. Program. 63 (1994), section 5.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.quasi_newton.inverse import InverseLSR1
    >>> H = InverseLSR1(3, memory=2)
    >>> H.update(np.array([1.0, 0.0, 0.0]), np.array([-2.0, 0.0, 0.0])).stored
    True
    >>> H @ np.array([1.0, 1.0, 0.0])
    array([-0.5,  1. ,  0. ])
    """

    def __init__(
        self,
        n: int,
        *,
        gamma: float | str | GammaRule | None = None,
        initial_gamma: float = 1.0,
        **kwargs: Any,
    ) -> None:
        rule = resolve_rule(self._default_gamma if gamma is None else gamma)
        constant = Constant(_inverse(rule.value)) if isinstance(rule, Constant) else None
        gamma, initial_gamma = constant or Reciprocal(rule), _inverse(initial_gamma)
        super().__init__(n, gamma=gamma, initial_gamma=initial_gamma, **kwargs)

    @property
    def gamma(self) -> float:
        """Curvature off the span of the pairs; H is I / gamma there."""
        return 1.0 / self._gamma

    def reset(self, gamma: float | None = None) -> None:
        """Forget all pairs: ``H = I / gamma`` again, with the initial gamma unless one is given."""
        super().reset(None if gamma is None else _inverse(gamma))

    def descent_direction(self, gradient: TrackedGradient, *, keep: bool = False) -> Direction:
        """Return -Hg, or where H is not positive definite, -H'g with a positive definite H'.

        H' has the eigenvectors of H and its positive eigenvalues, and |1 / gamma| for the others.

        Parameters
        ----------
        gradient : TrackedGradient
            g != 0, with its products.
        keep : bool
            Return -Hg also for an indefinite H, if it happens to be a direction of descent.

        Notes
        -----
        Where curvature is negative, -Hg leads to the saddle.  The alternatives to steepest descent
        there, the moduli of the eigenvalues and a change of the sign of the whole of -Hg, needed
        more evaluations.  Should -H'g be orthogonal to g to rounding, -g is returned.
        """
        if keep or (self.spectrum(FAST).all_eigenvalues > 0.0).all():
            d = self._apply(gradient.vector, gradient.products) * -1.0
            direction = self._measured(d, gradient, modified=False)
            if direction is not None:
                return direction
        spectrum, safe = self.spectrum(FAST), abs(self._gamma)
        split = spectrum.split(gradient.vector, gradient.products, gradient.norm)
        lam = np.where(spectrum.eigenvalues > 0.0, spectrum.eigenvalues, safe)
        d = spectrum.lift(-lam * split.par, -safe, split.carrier, split.carrier_par)
        direction = self._measured(d, gradient, modified=True)
        if direction is not None:
            return direction
        slope = -self.space.dot(gradient.vector, gradient.vector)
        return Direction(gradient.vector * -1.0, slope, gradient.norm, modified=True)

    def _measured(self, d: Array, gradient: TrackedGradient, modified: bool) -> Direction | None:
        slope, square = self.space.reduce(Request(((gradient.vector, d), (d, d)))).dots
        length = root(square, d, self.space)
        # False for NaN too.
        if np.isfinite(length) and slope <= -MIN_COSINE * gradient.norm * length < 0.0:
            return Direction(d, slope, length, modified)
        return None

    def _judge_newest(self, blocks: GramBlocks, gamma: float) -> UpdateStatus:
        if blocks.YY[-1, -1] == 0.0:  # no matrix has H y = s
            return UpdateStatus.SMALL_DENOMINATOR
        return super()._judge_newest(blocks.exchanged, gamma)

    def _factor(self, blocks: GramBlocks, gamma: float) -> Inner:
        return super()._factor(blocks.exchanged, gamma)

    def _columns(self) -> Columns:
        rows, blocks = self.pairs.s_rows, self.pairs.blocks()
        selection = np.zeros((self.pairs.gram.shape[0], len(rows)))
        j = np.arange(len(rows))
        selection[rows, j], selection[rows + 1, j] = 1.0, -self._gamma
        return Columns(selection, blocks.s_norms + abs(self._gamma) * blocks.y_norms)


@dataclass(frozen=True)
class Reciprocal:
    """The rule for 1 / gamma that belongs to a rule for gamma."""

    rule: GammaRule

    def __call__(self, blocks: GramBlocks, ratios: Sequence[float], current: float) -> float:
        gamma = 1.0 / current
        proposed = self.rule(blocks, ratios, gamma)
        if proposed == gamma:
            return current
        return 1.0 / proposed if proposed else float("nan")


def _inverse(gamma: float) -> float:
    gamma = REAL(gamma, "gamma")
    if not (np.isfinite(gamma) and gamma != 0.0):
        raise ValueError(f"gamma must be finite and not zero, got {gamma!r}")
    return 1.0 / gamma
