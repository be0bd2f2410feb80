"""Sums over shards: the same numbers whoever computes them, and no waiting for the dead."""

from __future__ import annotations

import math
import os
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import numpy as np
import pytest

import qnsolve
from qnsolve.parallel import ShardSum


def term(x, shard):
    """A weighted sum of squares, entry by entry: the same bits whoever computes it, and wherever
    the shard lies in memory, which decides on the order of the sums of a product."""
    a, b = shard
    r = x - b
    return 0.5 * math.fsum(a * r * r), a * r


def dies(x, shard):
    if shard == 1:
        os._exit(1)
    return 0.0, x


def raises(x, shard):
    if shard == 2:
        raise LookupError("no such file")
    return 0.0, x


@pytest.fixture(scope="module")
def shards():
    rng = np.random.default_rng(0)
    return [(rng.uniform(0.1, 10.0, 5), rng.standard_normal(5)) for _ in range(4)]


def in_order(x, shards):
    f, g = term(x, shards[0])
    for shard in shards[1:]:
        f_i, g_i = term(x, shard)
        f, g = f + f_i, g + g_i
    return f, g


def processes(workers):
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_give_the_serial_run(shards, workers):
    x0 = np.ones(5)
    serial = qnsolve.minimize(lambda x: in_order(x, shards), x0, jac=True)
    with ThreadPoolExecutor(workers) as executor:
        ours = qnsolve.minimize(ShardSum(term, shards, executor), x0, jac=True)
    np.testing.assert_array_equal(ours.x, serial.x)
    assert (ours.fun, ours.nfev) == (serial.fun, serial.nfev)


def test_the_order_of_the_shards_decides_not_that_of_the_answers(shards):
    last = threading.Event()

    def slow_first(x, i):
        if i == len(shards) - 1:
            last.set()
        elif i == 0:
            assert last.wait(60.0)
        return term(x, shards[i])

    x = np.ones(5)
    with ThreadPoolExecutor(len(shards)) as executor:
        f, g = ShardSum(slow_first, range(len(shards)), executor)(x)
    expected = in_order(x, shards)
    assert f == expected[0]
    np.testing.assert_array_equal(g, expected[1])


def test_processes_and_the_death_of_one(shards):
    with processes(1) as executor:
        x = np.ones(5)
        f, g = ShardSum(term, shards, executor)(x)
        expected = in_order(x, shards)
        assert f == expected[0]
        np.testing.assert_array_equal(g, expected[1])
        with pytest.raises(BrokenProcessPool) as caught:
            qnsolve.minimize(ShardSum(dies, range(4), executor), x, jac=True)
    assert any("in shard " in note for note in caught.value.__notes__)


def test_what_a_worker_raises_names_its_shard():
    with ThreadPoolExecutor(2) as executor, pytest.raises(LookupError, match="no such") as caught:
        qnsolve.minimize(ShardSum(raises, range(4), executor), np.ones(3), jac=True)
    assert caught.value.__notes__ == ["in shard 2 of 4"]


def test_a_worker_that_does_not_answer():
    release = threading.Event()

    def stuck(x, shard):
        if shard:
            release.wait(60.0)
        return 0.0, x

    with ThreadPoolExecutor(1) as executor:
        fun = ShardSum(stuck, range(3), executor, timeout=0.2)
        with pytest.raises(TimeoutError, match=r"shards \[1, 2\] of 3"):
            fun(np.ones(2))
        release.set()


def test_dask_and_the_death_of_its_worker(shards):
    distributed = pytest.importorskip("distributed")
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(n_workers=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        executor, x = client.get_executor(), np.ones(5)
        f, g = ShardSum(term, client.scatter(shards), executor)(x)
        expected = in_order(x, shards)
        assert f == expected[0]
        np.testing.assert_array_equal(g, expected[1])
        with pytest.raises(distributed.KilledWorker) as caught:
            qnsolve.minimize(ShardSum(dies, range(2), executor, timeout=60.0), x, jac=True)
        # The other task may have been on the worker that died.
        assert caught.value.__notes__[0] in ("in shard 0 of 2", "in shard 1 of 2")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((None, [1], ThreadPoolExecutor), TypeError, "fun must be callable, got NoneType"),
        ((term, [1], "threads"), TypeError, "executor must be a concurrent.futures.Executor"),
        ((term, [], ThreadPoolExecutor(1)), ValueError, "no shards"),
    ],
)
def test_wrong_arguments(arguments, error, words):
    with pytest.raises(error, match=words):
        ShardSum(*arguments)
