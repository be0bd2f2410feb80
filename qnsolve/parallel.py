"""Sums over shards of data, evaluated by the workers of any ``concurrent.futures`` executor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, wait
from typing import Any

from qnsolve.arrays import Array


class ShardSum:
    r"""A sum over shards as one function with its gradient, for :func:`qnsolve.minimize`.

    .. math:: f(x) = \sum_i f_i(x)

    Parameters
    ----------
    fun : callable
        ``fun(x, shard) -> (f_i, g_i)``.  For processes it and its arguments must be picklable.
    shards : iterable
        One item a term: data, or what says where to find them.  With dask.distributed the futures
        that ``client.scatter`` returns: the data then stay where they are.
    executor : concurrent.futures.Executor
        A thread or process pool, or ``dask.distributed.Client.get_executor()``.  It stays open.
    timeout : float, optional
        Seconds after which an evaluation is given up.  Default None: it may take for ever, as it
        does in a cluster that has lost its last worker.

    Raises
    ------
    ValueError
        If there are no shards.
    TypeError
        If `fun` is not callable or `executor` has no `submit`.
    TimeoutError
        Of an evaluation that took longer than `timeout`; says which shards were not ready.

    Notes
    -----
    Terms are added in the order of the shards, whichever is ready first: results are the same in
    every run and for any number of workers.  What a worker raises is raised here, with the number
    of its shard as a note; so is the death of one (``BrokenProcessPool``, dask's ``KilledWorker``).
    Terms that have not begun by then are cancelled.

    Cost of an evaluation beside the terms: x goes to every task and one gradient comes back from
    it, 2 n numbers a shard, pickled where the workers are processes.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import numpy as np, qnsolve
    >>> from qnsolve.parallel import ShardSum
    >>> def term(x, shard):
    ...     A, b = shard
    ...     r = A @ x - b
    ...     return 0.5 * (r @ r), A.T @ r
    >>> A, b = np.vander(np.linspace(0, 1, 8), 3), np.arange(8.0)
    >>> with ThreadPoolExecutor(2) as executor:
    ...     fun = ShardSum(term, [(A[:4], b[:4]), (A[4:], b[4:])], executor)
    ...     result = qnsolve.minimize(fun, np.zeros(3), jac=True)
    >>> result.x.round(3) + 0.0
    array([0., 7., 0.])
    """

    def __init__(
        self,
        fun: Callable[[Array, Any], tuple[Any, Array]],
        shards: Iterable[Any],
        executor: Executor,
        *,
        timeout: float | None = None,
    ) -> None:
        if not callable(fun):
            raise TypeError(f"fun must be callable, got {type(fun).__name__}")
        if not callable(getattr(executor, "submit", None)):
            raise TypeError(
                f"executor must be a concurrent.futures.Executor, got {type(executor).__name__}"
            )
        self.shards = list(shards)
        if not self.shards:
            raise ValueError("there are no shards to add up")
        self._fun = fun
        self._executor = executor
        self._timeout = timeout

    def __call__(self, x: Array) -> tuple[Any, Array]:
        """Return f and its gradient at x."""
        futures: list[Future[tuple[Any, Array]]] = []
        try:
            futures = [self._executor.submit(self._fun, x, shard) for shard in self.shards]
            late = self._late(futures)
            if late:
                raise TimeoutError(
                    f"shards {late} of {len(futures)} were not ready after {self._timeout} s"
                )
            f, g = _result(futures, 0)
            for i in range(1, len(futures)):
                f_i, g_i = _result(futures, i)
                f, g = f + f_i, g + g_i
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        return f, g

    def _late(self, futures: list[Future[tuple[Any, Array]]]) -> list[int]:
        """Wait; return the numbers of the shards that are not ready in time."""
        if self._timeout is None:
            return []
        waiting = wait(futures, self._timeout).not_done
        return [i for i, future in enumerate(futures) if future in waiting]


def _result(futures: list[Future[tuple[Any, Array]]], i: int) -> tuple[Any, Array]:
    try:
        return futures[i].result()
    except Exception as error:
        error.add_note(f"in shard {i} of {len(futures)}")
        raise
