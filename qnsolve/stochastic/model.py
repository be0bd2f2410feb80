"""The quadratic model of a mini-batch: pairs and norm outlive the batch, the gradient does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qnsolve.array import Array, VectorSpace
from qnsolve.norms import DiagonalNorm
from qnsolve.quasi_newton.base import CompactMatrix
from qnsolve.quasi_newton.scaled import ScaledMatrix
from qnsolve.quasi_newton.spectrum import FAST
from qnsolve.solvers.common import first_gamma
from qnsolve.solvers.local_model import EuclideanNorm, Metric, metric_of
from qnsolve.solvers.newton_tr import inexact_minimiser
from qnsolve.stochastic.norms import MOMENTS, SecondMoments
from qnsolve.stochastic.options import MatrixOptions, NewtonStepOptions, StepOptions
from qnsolve.subproblem.model import QuadraticModel


class Norm:
    """The norm of the region: a fixed one, or one that follows the gradients."""

    def __init__(self, options: StepOptions, space: VectorSpace) -> None:
        self._space = space
        self.moments = None
        if isinstance(options.norm, str) and options.norm in MOMENTS:
            self.moments = SecondMoments(
                options.norm, decay=options.decay, epsilon=options.epsilon, like=space
            )
            self.metric: Metric = EuclideanNorm(space)
        else:
            self.metric = metric_of(options.norm, space)

    def snapshot(self) -> dict[str, Any]:
        """Return the state; a fixed norm is in the options."""
        if self.moments is None:
            return {}
        d = self.metric.d if isinstance(self.metric, DiagonalNorm) else None
        return {"moments": self.moments.snapshot(), "d": d}

    def restore(self, state: dict[str, Any]) -> None:
        if self.moments is not None:
            self.moments.restore(state["moments"])
            if state["d"] is not None:
                self.metric = DiagonalNorm.of_slice(state["d"], self._space)


class SecantModel:
    r"""A limited-memory matrix in an ellipsoidal norm that changes, B0 = gamma A.

    The matrix lives in the variables :math:`p = A^{1/2} s`.  When A changes to A', its pairs become
    :math:`((A'A^{-1})^{1/2} S, (A'A^{-1})^{-1/2} Y)`: one pass over all pairs, and their products
    with each other, :math:`4 k^2 n` flops for k pairs.  Done once in k steps this is 4 k n a step,
    as much as a product with them.

    Parameters
    ----------
    like : array, shape (n,), or VectorSpace
        A vector whose library, dtype and device are taken, or the space of the parameters.
    options : MatrixOptions
    """

    def __init__(self, like: Array | VectorSpace, options: MatrixOptions) -> None:
        self._space = VectorSpace.of(like)
        self._options = options
        self._norm = Norm(options, self._space)
        self._matrix: CompactMatrix | None = None
        self._age = 0

    @property
    def metric(self) -> Metric:
        return self._norm.metric

    @property
    def n_pairs(self) -> int:
        return 0 if self._matrix is None else self._matrix.n_pairs

    def observe(self, g: Array) -> None:
        """Take the gradient of a new batch into the norm."""
        if self._norm.moments is None:
            return
        self._norm.moments.update(g)
        self._age += 1
        if self._age >= min(self._options.refresh, self.n_pairs):
            self._change_metric(self._norm.moments.norm())
            self._age = 0

    def begin(self, g: Array, length: float) -> None:
        """Start without pairs, from the gamma whose first step has this length in the norm."""
        gamma = first_gamma(self.metric.dual_norm(g), length)
        self._matrix = self._options.matrix(self._space, self._options, gamma)

    def quadratic(self, g: Array, products: Callable[..., Any] | None = None) -> QuadraticModel:
        """Return the model with the gradient `g`; valid until the next pair is stored."""
        spectrum, metric = self._begun().spectrum(FAST), self.metric
        B = ScaledMatrix(spectrum, metric) if isinstance(metric, DiagonalNorm) else spectrum
        return QuadraticModel(g, B)

    def learn(self, step: Array, y: Array, products: np.ndarray | None = None) -> bool:
        """Offer a pair; return whether it was stored.

        `products` are those of all rows with the step, where they are known already.
        """
        p, q = self.metric.to_ball(step), self.metric.from_ball(y)
        return self._begun().update(p, q, s_products=products).stored

    def snapshot(self) -> dict[str, Any]:
        """Return the state, for :meth:`restore`."""
        matrix = None if self._matrix is None else self._matrix.snapshot()
        return {"norm": self._norm.snapshot(), "matrix": matrix, "age": self._age}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to the state that :meth:`snapshot` has returned."""
        self._norm.restore(state["norm"])
        self._age = int(state["age"])
        if state["matrix"] is not None:
            self._matrix = self._options.matrix(self._space, self._options, 1.0)
            self._matrix.restore(state["matrix"])

    def _begun(self) -> CompactMatrix:
        if self._matrix is None:
            raise RuntimeError("the model has no matrix yet: call begin")
        return self._matrix

    def _change_metric(self, new: DiagonalNorm) -> None:
        old, self._norm.metric = self._norm.metric, new
        if self.n_pairs:
            # p = A^{1/2} s: of ones, the root of a diagonal.
            ones = self._space.zeros(self._space.length) + 1.0
            self._begun().rescale(new.to_ball(old.from_ball(ones)))


class HessianModel:
    """The Hessian of the batch, by its products, in an ellipsoidal norm that changes.

    Parameters
    ----------
    like : array, shape (n,), or VectorSpace
        A vector whose library, dtype and device are taken, or the space of the parameters.
    options : NewtonStepOptions
    """

    n_pairs = 0

    def __init__(self, like: Array | VectorSpace, options: NewtonStepOptions) -> None:
        self._space = VectorSpace.of(like)
        self._options = options
        self._norm = Norm(options, self._space)

    @property
    def metric(self) -> Metric:
        return self._norm.metric

    def observe(self, g: Array) -> None:
        """Take the gradient of a new batch into the norm."""
        if self._norm.moments is not None:
            self._norm.moments.update(g)
            self._norm.metric = self._norm.moments.norm()

    def begin(self, g: Array, length: float) -> None:
        """There is nothing to prepare."""

    def quadratic(
        self, g: Array, products: Callable[[Array], Array] | None = None
    ) -> KrylovSubproblem:
        """Return the model with the gradient `g` and these products."""
        if products is None:
            raise TypeError("the model of newton-tr needs products with the Hessian, got None")
        return KrylovSubproblem(g, products, self.metric, self._space, self._options)

    def learn(self, step: Array, y: Array, products: np.ndarray | None = None) -> bool:
        """There are no pairs: nothing is stored."""
        return False

    def snapshot(self) -> dict[str, Any]:
        """Return the state, for :meth:`restore`."""
        return {"norm": self._norm.snapshot()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to the state that :meth:`snapshot` has returned."""
        self._norm.restore(state["norm"])


@dataclass(frozen=True)
class KrylovStep:
    """A step with its slope g's, the decrease of the model, and its length in the norm."""

    step: Array
    slope: float
    decrease: float
    length: float


@dataclass(frozen=True)
class KrylovSubproblem:
    """A quadratic model whose matrix is known by its products."""

    gradient: Array
    products: Callable[[Array], Array]
    metric: Metric
    space: VectorSpace
    options: NewtonStepOptions

    def trust_region(self, radius: float) -> KrylovStep:
        """Minimise, approximately, in the region."""
        found = inexact_minimiser(
            self.options.inner,
            self.gradient,
            self.products,
            radius,
            self.metric,
            tol=self.options.forcing,
            maxiter=self.options.inner_maxiter,
            comm=self.space.comm,
        )
        slope = self.space.dot(self.gradient, found.step)
        return KrylovStep(found.step, slope, found.decrease, self.metric.norm(found.step))


Model = SecantModel | HessianModel
