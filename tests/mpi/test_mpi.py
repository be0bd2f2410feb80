"""Vectors sharded over ranks: the run of one process, on any number of them."""

from __future__ import annotations

import functools
import json

import pytest

from qnsolve import Status
from tests.mpi.launcher import MPIEXEC, launch
from tests.tolerances import EPS, LIBRARY_ROUNDINGS

pytest.importorskip("mpi4py")
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec")


@functools.cache
def report(ranks, *arguments):
    done = launch(ranks, "tests.mpi.ranks", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


CASES = [(1, "even"), (2, "uneven"), (3, "even"), (3, "empty")]
RUNS = [
    "hybrid-tr",
    "lsr1-tr",
    "lsr1-tr/shape-inf",
    "lsr1-arc",
    "lsr1-ls",
    "newton-tr",
    "newton-tr/rmsprop",
    "newton-tr/gltr",
]


@pytest.mark.parametrize(("ranks", "cut"), CASES)
@pytest.mark.parametrize("name", RUNS)
def test_the_iterates_of_one_process(ranks, cut, name):
    found = report(ranks, "agree", cut)[name]
    assert found["nit"][0] == found["nit"][1] > 3
    assert found["x"] <= LIBRARY_ROUNDINGS * EPS
    assert found["fun"][0] == pytest.approx(found["fun"][1], rel=LIBRARY_ROUNDINGS * EPS)
    assert found["jac"] == 0.0
    assert found["same"]


@pytest.mark.parametrize(("ranks", "cut"), CASES)
def test_one_small_message_an_iteration(ranks, cut):
    """f, all products with 2k rows, seven inner products, and a slot a rank for the largest |g|."""
    found = report(ranks, "agree", cut)["lsr1-tr"]
    assert min(found["counts"]) == 1
    # A refused trial takes one more, a gradient in the span of the pairs one to three.
    assert max(found["counts"]) <= 5
    rows = 2 * min(10, found["nit"][0] - 1)
    assert found["bytes"] <= 8 * (2 + 2 * rows + 7 + ranks)


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("where", ["fun", "callback", "hessp", "x0", "jac", "norm"])
def test_an_exception_on_one_rank_ends_all(ranks, where):
    if ranks == 3 and where != "fun":
        pytest.skip("once is enough")
    done = launch(ranks, "tests.mpi.ranks", "failing", where)
    assert done.returncode != 0
    message = {
        "x0": "ValueError: x0 has NaN or infinite entries",
        "norm": "ValueError: norm is for n = ",
        "jac": "TypeError: the gradient is None",
    }.get(where, "ValueError: no value on this rank")
    assert message in done.stderr
    quoted = f"qnsolve.comm.RankError: on rank {ranks - 1} of {ranks}: {message}"
    assert done.stderr.count(quoted) == ranks - 1


def test_all_ranks_need_one_dtype():
    done = launch(2, "tests.mpi.ranks", "failing", "dtype")
    assert done.returncode != 0
    for dtype in ("float32", "float64"):
        assert f"ValueError: x0 has dtype {dtype} here and another one" in done.stderr


@pytest.mark.parametrize("ranks", [2, 3])
def test_all_ranks_stop_where_one_wants_to(ranks):
    found = report(ranks, "stopping", "-")
    assert found["callback"] == [4, Status.CALLBACK_STOP]
    assert found["clock"] == [0, Status.MAXTIME]
    assert found["apart"] and found["success"]
    assert found["unbounded"] == Status.UNBOUNDED
    assert found["bad"] == Status.NON_FINITE_START
