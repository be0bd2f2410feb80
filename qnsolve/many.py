"""``minimize_many``: many problems at once, evaluated together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from qnsolve.arrays import Array, VectorSpace, space_of, to_host
from qnsolve.arrays.border import Border
from qnsolve.arrays.libraries import namespace_of
from qnsolve.arrays.user import array_like, describe, real_array, start_point
from qnsolve.ask_tell import NO_FILE, Steps, Told
from qnsolve.callback import wrap_callback
from qnsolve.checks import flag
from qnsolve.interface import name_of_method
from qnsolve.methods import TABLE, keep_inside
from qnsolve.norms import options_inside
from qnsolve.objective import Objective


@dataclass(frozen=True, eq=False)
class ManyResult:
    """The results of many problems.

    Attributes
    ----------
    results : list of OptimizeResult
        One a row, as :func:`qnsolve.minimize` would have returned it.
    x, jac : array, shape (k, ...)
        Last points and gradients, like X0.
    fun, success, status, nit, nfev : ndarray, shape (k,)
        As in the results.
    calls : int
        Calls of fun.
    best : OptimizeResult
        The result with the lowest value that is finite: of many starts, the one that is wanted.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve import minimize_many
    >>> def fun(X):
    ...     return np.sum(X**4 - X**2 + 0.1 * X, axis=1), 4.0 * X**3 - 2.0 * X + 0.1
    >>> result = minimize_many(fun, np.array([[0.5], [-0.5], [2.0]]))
    >>> result.success.all(), result.x.round(3).ravel(), result.best.x.round(3)
    (np.True_, array([ 0.681, -0.731,  0.681]), array([-0.731]))
    """

    results: list[OptimizeResult]
    x: Array
    jac: Array
    calls: int

    @cached_property
    def fun(self) -> np.ndarray:
        return np.array([result.fun for result in self.results])

    @cached_property
    def success(self) -> np.ndarray:
        return np.array([result.success for result in self.results])

    @cached_property
    def status(self) -> np.ndarray:
        return np.array([result.status for result in self.results])

    @cached_property
    def nit(self) -> np.ndarray:
        return np.array([result.nit for result in self.results])

    @cached_property
    def nfev(self) -> np.ndarray:
        return np.array([result.nfev for result in self.results])

    @property
    def best(self) -> OptimizeResult:
        finite = np.where(np.isfinite(self.fun), self.fun, np.inf)
        return self.results[int(np.argmin(finite))]


def minimize_many(
    fun: Callable[..., Any],
    X0: Any,
    *,
    method: str | None = None,
    bounds: Any = None,
    callback: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
    indices: bool = False,
) -> ManyResult:
    """Minimise k functions of n variables each, with one call of `fun` for all that still run.

    Every row ends as its own run of :func:`qnsolve.minimize` would: the same iterates, bit for bit
    where `fun` gives a row the same values whatever the others are.  With one function and many
    starts it is a multi-start: ``result.best``.

    Parameters
    ----------
    fun : callable
        ``fun(X) -> (F, G)`` for the rows that still run: X of shape (r, ...) like rows of `X0`, F
        of shape (r,) and G of the shape of X, in any array library.
    X0 : array_like, shape (k, ...)
        Start points, one a row.
    method, options
        As in :func:`qnsolve.minimize`, for every row; limits count for each row, ``maxtime`` for
        the call, and ``checkpoint`` is refused.  "newton-tr" takes its products with the Hessian
        from one more row of `fun` each.
    bounds : optional
        As in :func:`qnsolve.minimize`, the same for every row.
    callback : callable, optional
        Called after each call of `fun` with a result so far, as in :func:`qnsolve.minimize`: x and
        fun of all rows, ``running``, the indices of those that go on, and ``calls``.  StopIteration
        ends all of them, with status 99.
    indices : bool
        Call ``fun(X, i)`` with i, shape (r,), the numbers of the rows.

    Returns
    -------
    ManyResult

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong, before the first evaluation; if `fun` returns something else than
        described.

    Notes
    -----
    A row whose values are not finite ends or goes on as its own run would, and no other row notices
    it.  `fun` is called as often as the longest run asks.  Between two calls it costs, for each row
    that runs, what an iteration of a run alone costs (see the page on many problems); arrays on a
    device cost one crossing a row.

    Examples
    --------
    See :class:`ManyResult`.
    """
    name = name_of_method(method)
    if not callable(fun):
        raise TypeError(f"fun must be callable, got {type(fun).__name__}")
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"options must be a mapping such as a dict, got {type(options).__name__}")
    if (options or {}).get("checkpoint") is not None:
        raise ValueError("many problems have no checkpoint; " + NO_FILE + " of a Solver for each")
    indices, shown = flag(indices, "indices"), wrap_callback(callback)
    batch = Batch(fun, X0, indices=indices)
    row = TABLE[name].options
    checked = row.from_user(options_inside(options or {}, batch.border), batch.space.eps)
    quiet = replace(checked, disp=False)
    all_steps = []
    for x0 in batch.rows:
        told = Told()
        objective = Objective(told, x0, (), True)
        keep_inside(objective, bounds, name)
        all_steps.append(Steps(name, quiet, objective, told))
        all_steps[-1].begin()
    running = list(range(len(all_steps)))
    while running:
        for steps, answer in batch.evaluate([(i, all_steps[i]) for i in running]):
            steps.answer(answer)
        running = [i for i in running if all_steps[i].result is None]
        if shown is not None and shown(batch.progress(all_steps, running)):
            for i in running:
                all_steps[i].stop()
            running = []
    if checked.disp:
        done = sum(bool(steps.result and steps.result.success) for steps in all_steps)
        print(f"{done} of {len(all_steps)} minimisations succeeded in {batch.calls} calls of fun.")
    return batch.result(all_steps)


class Batch:
    """The user's function of many rows, and its arrays.

    Attributes
    ----------
    rows : list of array
        Start points, as they are inside.
    space : VectorSpace
        Of one row.
    border : Border
    calls : int
    """

    def __init__(self, fun: Callable[..., Any], X0: Any, *, indices: bool) -> None:
        start = start_point(X0, "X0")
        if start.ndim < 2:
            raise ValueError(
                f"X0 must have shape (k, n), one start a row, got {tuple(start.shape)}"
            )
        self._fun, self._indices, self.calls = fun, indices, 0
        self.border = Border(start)
        start = self.border.inside(start)
        self._shape = tuple(start.shape[1:])
        self.rows = [start[i, ...] for i in range(start.shape[0])]
        flat = namespace_of(start).reshape(self.rows[0], (-1,))
        self.space: VectorSpace = space_of(flat)

    def evaluate(self, running: list[tuple[int, Steps]]) -> list[tuple[Steps, tuple[Any, Any]]]:
        """Return the answers to the questions of some rows, by one call."""
        X = self._stack([steps.x for _, steps in running])
        numbers = (np.array([i for i, _ in running]),) if self._indices else ()
        self.calls += 1
        given = self._fun(X, *numbers)
        if not (isinstance(given, tuple | list) and len(given) == 2):
            raise TypeError(f"fun must return the pair (F, G), got {describe(given)}")
        F, G = self.border.inside(given[0]), self.border.inside(given[1], "G")
        F, G = real_array(F, "F"), array_like(real_array(G, "G"), self.space, "G", "as X0 is")
        r = len(running)
        if tuple(F.shape) not in ((r,), (r, 1)):
            raise ValueError(f"F must have shape ({r},), one value a row, got {tuple(F.shape)}")
        if tuple(G.shape) not in ((r, *self._shape), (r, self.space.size)):
            raise ValueError(f"G must have shape {(r, *self._shape)}, got {tuple(G.shape)}")
        values = to_host(F).reshape(-1).tolist()
        return [
            (steps, (f, G[j, ...]))
            for j, ((_, steps), f) in enumerate(zip(running, values, strict=True))
        ]

    def progress(self, all_steps: list[Steps], running: list[int]) -> OptimizeResult:
        """Return what a callback is shown."""
        points, values = [], []
        for steps in all_steps:
            at = steps.run.at
            ended: Any = steps.result
            points.append(self._flat(ended.x) if at is None else at.x)
            values.append(ended.fun if at is None else at.f)
        numbers = np.array(running, dtype=int)
        return OptimizeResult(
            x=self._stack(points), fun=np.array(values), running=numbers, calls=self.calls
        )

    def result(self, all_steps: list[Steps]) -> ManyResult:
        """Return the results, once all rows have ended."""
        results: list[Any] = [steps.result for steps in all_steps]
        x = self._stack([self._flat(result.x) for result in results])
        jac = self._stack([self._flat(result.jac) for result in results])
        if self.border.crossed:
            for result in results:
                result.x = self.border.given_away(result.x)
                result.jac = self.border.given_away(result.jac)
        return ManyResult(results, x, jac, self.calls)

    def _flat(self, a: Array) -> Array:
        return self.space.xp.reshape(a, (-1,))

    def _stack(self, flat: list[Array]) -> Array:
        """Return a new array of the user's, one point a row."""
        if self.space.on_host:
            X = np.array(flat, dtype=self.space.dtype).reshape(len(flat), *self._shape)
            return self.border.given_away(X)
        xp = self.space.xp
        return xp.reshape(xp.stack(flat), (len(flat), *self._shape))
