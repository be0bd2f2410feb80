"""What a run knows at its end, handed over: the matrix of its model, its pairs, its reach."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

from scipy.optimize import OptimizeResult

from qnsolve.arrays import Array, VectorSpace
from qnsolve.arrays.user import array_like
from qnsolve.norms import DiagonalNorm
from qnsolve.quasi_newton.operators import AnyMatrix, MatrixOperator
from qnsolve.quasi_newton.scaled import ScaledMatrix
from qnsolve.solvers.reach import Radius
from qnsolve.solvers.start import WarmStart


class KeptPairs(NamedTuple):
    """Secant pairs, oldest first, in the variables of the user, and the curvature off them."""

    s: list[Array]
    y: list[Array]
    gamma: float
    """NaN where it is not known, or holds in an ellipsoidal norm only."""


class State:
    """What a run knows at its end, for another one to begin with (``warm_start=``).

    Of ``result.state``; it is not made by hand.  It is taken from the memory of the run when it is
    asked for, and holds that memory, 2 m vectors, for as long as it lives.

    Attributes
    ----------
    n : int
        Number of variables.
    n_pairs : int
    kept : KeptPairs
        ``s``, ``y`` and ``gamma``.
    radius : float or None
        Of the next step; None of methods without one, and where the run was stuck.

    Examples
    --------
    >>> import numpy as np
    >>> import qnsolve
    >>> result = qnsolve.minimize(lambda x: (x @ x, 2.0 * x), np.ones(3), jac=True)
    >>> result.state.n, result.state.n_pairs, result.state.kept.y[0] / result.state.kept.s[0]
    (3, 1, array([2., 2., 2.]))
    """

    def __init__(self, model: Any, radius: float | None) -> None:
        self._model = model
        self.n, self.n_pairs = model.space.size, model.n_pairs
        self.radius = radius

    @cached_property
    def kept(self) -> KeptPairs:
        matrix = getattr(self._model, "matrix", None)
        if matrix is None:  # Newton's method
            return KeptPairs([], [], math.nan)
        metric = self._model.metric
        pairs = matrix.pairs.stored()
        s = [metric.from_ball(p) for p, _ in pairs]
        y = [metric.to_ball(q) for _, q in pairs]
        # In an ellipsoidal norm B0 is gamma A: a number that says nothing in another norm.
        gamma = math.nan if isinstance(metric, DiagonalNorm) else float(matrix.gamma)
        return KeptPairs(s, y, gamma)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the pairs and numbers, and not the model with its rules."""
        _ = self.kept
        return {**self.__dict__, "_model": None}

    def __repr__(self) -> str:
        radius = f", radius = {self.radius:.3g}" if self.radius else ""
        return f"State({self.n_pairs} pairs of n = {self.n}{radius})"


def warm_start_of(given: Any, space: VectorSpace) -> WarmStart | None:
    """Return what a run in `space` is to begin with, of a result or its state; None for None.

    Raises
    ------
    TypeError, ValueError
        If it is neither, or of another number of variables; with ranks.
    """
    if given is None:
        return None
    state = given.get("state") if isinstance(given, OptimizeResult) else given
    if not isinstance(state, State):
        what = "a result without one" if state is None else type(given).__name__
        raise TypeError(f"warm_start must be a result of qnsolve.minimize or its state, got {what}")
    if space.sharded:
        raise ValueError("warm_start is not supported with comm")
    if state.n != space.size:
        raise ValueError(f"warm_start is of a run with n = {state.n}, x0 has n = {space.size}")
    s, y, gamma = state.kept

    def vector(v: Array) -> Array:
        return space.xp.astype(array_like(v, space, "warm_start"), space.dtype, copy=False)

    pairs = [(vector(a), vector(b)) for a, b in zip(s, y, strict=True)]
    return WarmStart(pairs, gamma, state.radius or 0.0)


def handed_over(parts: dict[str, Any], *, resumable: bool) -> dict[str, Any]:
    """Return the fields of a result with what the parts of a loop know.

    Parameters
    ----------
    parts : dict
        `at`, the iterate, and for most methods `reach`.
    resumable : bool
        Whether the run would go on, had it been asked for more.
    """
    model, reach = parts["at"].model, parts.get("reach")
    radius = reach.size if isinstance(reach, Radius) and resumable else None
    fields: dict[str, Any] = {"state": State(model, radius)}
    if model.holds is not None:
        inverse, space = model.holds == "hess_inv", model.space

        def in_users_variables() -> AnyMatrix:
            B, metric = model.matrix, model.metric
            return ScaledMatrix(B, metric) if isinstance(metric, DiagonalNorm) else B

        fields["hess"] = MatrixOperator(in_users_variables, space, inverse=inverse)
        fields["hess_inv"] = MatrixOperator(in_users_variables, space, inverse=not inverse)
    return fields
