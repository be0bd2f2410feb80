"""Norms of the region, or of the regulariser, other than the Euclidean one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from qnsolve.arrays import Array, VectorSpace, space_of
from qnsolve.arrays.border import Border
from qnsolve.arrays.user import floating_vector


@dataclass(frozen=True, eq=False)
class DiagonalNorm:
    r"""The ellipsoidal norm of a positive diagonal matrix A.

    .. math:: \|s\|_A = \sqrt{s^T A s}, \qquad A = \mathrm{diag}(d_1, \dots, d_n), \quad d_i > 0

    Gradients are measured in its dual, :math:`\|g\|_{A^{-1}}`.  The diagonal preconditioners of
    first-order training are such norms: RMSProp and Adam have :math:`d_i = \sqrt{v_i} + \epsilon`,
    with v the mean of the squared gradients.

    Parameters
    ----------
    d : array, shape (n,)
        Diagonal of A: real floating, positive and finite, in any array library.

    Raises
    ------
    TypeError
        If `d` is not real floating.
    ValueError
        If `d` is not 1-D, is empty, or has an entry that is not positive and finite.

    Notes
    -----
    The change of variables :math:`p = A^{1/2} s` makes the ellipsoid :math:`\|s\|_A \le \Delta` the
    ball :math:`\|p\|_2 \le \Delta`, the gradient :math:`A^{-1/2} g` and the matrix
    :math:`A^{-1/2} B A^{-1/2}`; :meth:`to_ball` and :meth:`from_ball` are its two directions.
    Every method costs one pass over vectors of length n.

    References
    ----------
    J. Kohler, L. Adolphs, A. Lucchi, "Adaptive norms for deep learning with regularized Newton
    methods", arXiv 1905.09201.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.norms import DiagonalNorm
    >>> norm = DiagonalNorm(np.array([4.0, 9.0]))
    >>> norm.norm(np.array([2.0, 1.0])), norm.dual_norm(np.array([8.0, 9.0]))
    (5.0, 5.0)
    """

    d: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "d", floating_vector(self.d, "d"))
        xp = self.space.xp
        # Both comparisons are false for NaN.
        if not bool(xp.all((self.d > 0.0) & (self.d < np.inf))):
            raise ValueError("the entries of d must be positive and finite")

    @cached_property
    def space(self) -> VectorSpace:
        """Library, dtype, device and length of the vectors that this norm measures."""
        return space_of(self.d)

    @classmethod
    def of_slice(cls, d: Array, space: VectorSpace) -> DiagonalNorm:
        """Return the norm of the whole vectors of `space`, given the slice of A of one rank.

        Not checked; the slice may be empty.
        """
        norm = object.__new__(cls)
        norm.__dict__.update(d=d, space=space)
        return norm

    def norm(self, s: Array) -> float:
        """Return ||s||_A."""
        return self.space.norm(self.to_ball(s))

    def dual_norm(self, g: Array) -> float:
        """Return ||g|| in the norm of A^{-1}, the largest g's over all s with ||s||_A = 1."""
        return self.space.norm(self.from_ball(g))

    @np.errstate(over="ignore")
    def apply(self, s: Array) -> Array:
        """Return A s."""
        return self.d * s

    @np.errstate(over="ignore")
    def solve(self, v: Array) -> Array:
        """Return A^{-1} v."""
        return v / self.d

    @np.errstate(over="ignore")
    def to_ball(self, s: Array) -> Array:
        """Return p = A^{1/2} s, whose Euclidean norm is ||s||_A."""
        return self._root * s

    @np.errstate(over="ignore")
    def from_ball(self, p: Array) -> Array:
        """Return s = A^{-1/2} p; of a gradient, the gradient in the variables p."""
        return p / self._root

    @cached_property
    def _root(self) -> Array:
        return self.space.xp.sqrt(self.d)


def options_inside(options: Mapping[str, Any], border: Border) -> dict[str, Any]:
    """Return the options of a run, with the DiagonalNorm, if any, in the arrays it works with."""
    norm = options.get("norm")
    if border.crossed and isinstance(norm, DiagonalNorm):
        return {**options, "norm": DiagonalNorm(border.inside(norm.d))}
    return dict(options)
