"""The quadratic model that travels with an iterate, in the variables of its norm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from qnsolve.array import Array, VectorSpace, Wanted
from qnsolve.comm import agreed
from qnsolve.norms import DiagonalNorm
from qnsolve.quasi_newton.base import CompactMatrix
from qnsolve.quasi_newton.scaled import ScaledMatrix
from qnsolve.quasi_newton.spectrum import FAST
from qnsolve.quasi_newton.tracking import TrackedGradient
from qnsolve.subproblem.model import QuadraticModel


class EuclideanNorm:
    """The l2 norm, with the methods of a DiagonalNorm."""

    def __init__(self, space: VectorSpace) -> None:
        self.space = space
        self.norm = self.dual_norm = space.norm

    def to_ball(self, s: Array) -> Array:
        return s

    def from_ball(self, p: Array) -> Array:
        return p


Metric = EuclideanNorm | DiagonalNorm


class LocalModel:
    r"""Gradient g at the iterate and matrix B, kept up to date with one pass over the pairs a step.

    Lengths of steps are measured in the norm of `metric` and gradients in its dual.  The matrix
    lives in the variables p = A^{1/2} s in which that norm is Euclidean, so that B0 = gamma A.

    Parameters
    ----------
    g : array, shape (n,)
        Gradient at the start.
    matrix : LSR1, LBFGS or another matrix with their surface
        In the variables p; empty.
    metric : DiagonalNorm or EuclideanNorm
        A.
    """

    def __init__(self, g: Array, matrix: CompactMatrix, metric: Metric) -> None:
        self.gradient = g
        self.matrix = matrix
        self.metric = metric
        self._tracked = TrackedGradient.of(metric.from_ball(g), matrix.pairs)

    @property
    def gradient_norm(self) -> float:
        """||g|| in the dual norm."""
        return self._tracked.norm

    @property
    def n_pairs(self) -> int:
        """Number of pairs in the matrix."""
        return self.matrix.n_pairs

    def forget(self, gamma: float) -> None:
        """Drop all pairs: the matrix is gamma A again."""
        self.matrix.reset(gamma)
        self._tracked = TrackedGradient.of(self.metric.from_ball(self.gradient), self.matrix.pairs)

    def snapshot(self) -> dict[str, Any]:
        """Return the state without the gradient, for :meth:`restore`."""
        return {"matrix": self.matrix.snapshot(), "tracked": self._tracked.snapshot()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to the state of a model at the same iterate."""
        self.matrix.restore(state["matrix"])
        self._tracked.restore(state["tracked"])

    def quadratic(self) -> QuadraticModel:
        """Return the model at the iterate; valid until the next pair is stored."""
        spectrum = self.matrix.spectrum(FAST)
        metric = self.metric
        B = ScaledMatrix(spectrum, metric) if isinstance(metric, DiagonalNorm) else spectrum
        tracked = self._tracked
        return QuadraticModel(self.gradient, B, products=tracked.products, norm=tracked.norm)

    def learn(
        self,
        step: Array,
        g_new: Array,
        norm_new: float,
        *,
        offer: bool = True,
        move: bool,
        theta: float = 0.0,
        products: np.ndarray | None = None,
    ) -> bool:
        """Take in the gradient at the end of a step; return whether its pair was stored.

        Parameters
        ----------
        step, g_new : array, shape (n,)
        norm_new : float
            ||g_new|| in the dual norm.
        offer : bool
            Offer the pair to the matrix.
        move : bool
            Make the end of the step the iterate.
        theta : float
            Offer y + theta s / s's in place of y, in the variables p.
        products : ndarray, optional
            W p of the step where it is known already.
        """
        y_products: np.ndarray | None
        tracked, y, y_products = self._tracked.change_to(self.metric.from_ball(g_new), norm_new)
        p = self.metric.to_ball(step)
        stored = False
        if offer:
            p_products = self.matrix.pairs.products(p) if products is None else products
            square = self.matrix.space.dot(p, p) if theta else 0.0
            share = theta / square if square > 0.0 else 0.0
            if share and math.isfinite(share):
                with np.errstate(over="ignore", invalid="ignore"):
                    y = self.matrix.space.add(y, share, p)
                    # A narrow sum is rounded: its products are not the sum of products.
                    wide = self.matrix.space.wide
                    y_products = y_products + share * p_products if wide is None else None
            at_end = tracked if move else self._tracked
            self._gather_pair(p, y, at_end.vector, y_products is None)
            status = self.matrix.update(p, y, s_products=p_products, y_products=y_products)
            stored = status.stored
        if move:
            self.gradient, self._tracked = g_new, tracked
        if stored:
            self._tracked.account_for_newest((p, y))
        elif not self.matrix.n_pairs:  # some rules empty the memory with the pair they refuse
            self._tracked.account_for_none()
        return stored

    def wanted(self, x_new: Array, step: Array, g_new: Array) -> Wanted:
        """Return the request for all inner products that a step to `x_new` takes, if no pair is
        small or refused."""
        x, p = self.metric.to_ball(x_new), self.metric.to_ball(step)
        request = self._tracked.wanted(self.metric.from_ball(g_new), p)
        return replace(request, pairs=(*request.pairs, (x, x), (step, g_new)), largest=[g_new])

    def _gather_pair(self, p: Array, y: Array, g: Array, rows: bool) -> None:
        """Take the products of a pair that are not known: those of a changed y, or with g."""
        pairs = self.matrix.pairs
        if pairs.space.gathers:
            products = ((p, p), (p, y), (y, y), (p, g), (y, g))
            pairs.space.gather(pairs.wanted([y] if rows else [], *products))


def metric_of(norm: str | DiagonalNorm, space: VectorSpace) -> Metric:
    """Return the metric that an option `norm` asks for: Euclidean for a name.

    Raises
    ------
    ValueError, TypeError
        If its diagonal does not belong to the vectors of `space`.
    """
    if not isinstance(norm, DiagonalNorm):
        return EuclideanNorm(space)
    agreed(space.comm, lambda: _check_diagonal(norm, space))
    return DiagonalNorm.of_slice(norm.d, space) if space.gathers else norm


def _check_diagonal(norm: DiagonalNorm, space: VectorSpace) -> None:
    if norm.space.size != space.length:
        raise ValueError(f"norm is for n = {norm.space.size}, x0 has n = {space.length}")
    if norm.space.xp is not space.xp or norm.space.dtype != space.dtype:
        raise TypeError(
            "the diagonal of norm must have the array library and dtype of x0, got "
            f"{norm.space.dtype} of {norm.space.xp.__name__}, not "
            f"{space.dtype} of {space.xp.__name__}"
        )
