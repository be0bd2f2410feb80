"""Parameters sharded over ranks: the training run of one process, on any number of them."""

from __future__ import annotations

import functools
import json

import pytest

from tests.mpi.launcher import MPIEXEC, launch
from tests.tolerances import EPS, LIBRARY_ROUNDINGS

pytest.importorskip("mpi4py")
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec")

CASES = [(1, "even"), (2, "uneven"), (3, "empty")]
RUNS = [
    *("hybrid-tr", "hybrid-tr/both", "hybrid-tr/diagonal", "lsr1-tr", "lsr1-arc"),
    *("lsr1-ls", "newton-tr", "newton-tr/gltr", "newton-tr/pivot"),
]
OF_DIFFERENCES = 1e-6
"""Where products with the Hessian are differences of gradients, of which sqrt(eps) is rounding."""


@functools.cache
def report(ranks, *arguments):
    done = launch(ranks, "tests.mpi.training_ranks", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("ranks", "cut"), CASES)
@pytest.mark.parametrize("name", RUNS)
def test_the_run_of_one_process(ranks, cut, name):
    if cut == "empty" and name == "hybrid-tr/diagonal":
        pytest.skip("a DiagonalNorm has at least one entry")
    found = report(ranks, "agree", cut)[name]
    rtol = OF_DIFFERENCES if name.startswith("newton-tr") else LIBRARY_ROUNDINGS * EPS
    assert found["steps"][0] == found["steps"][1] > 4
    assert found["accepted"][0] == found["accepted"][1]
    assert any(found["accepted"][0])
    assert found["x"] <= rtol
    assert found["loss"] <= rtol
    assert found["same"]


@pytest.mark.parametrize(("ranks", "cut"), CASES)
def test_messages_are_few_and_small(ranks, cut):
    found = report(ranks, "agree", cut)["hybrid-tr"]
    # Two losses and a batch, the rest inner products; 20 pairs are 40 rows.
    assert max(found["counts"]) <= 30
    assert found["bytes"] <= 8 * 2 * 20**2


@pytest.mark.parametrize(("where", "ranks"), [("loss", 3), ("callback", 2), ("batches", 2)])
def test_an_exception_on_one_rank_ends_all(where, ranks):
    done = launch(ranks, "tests.mpi.training_ranks", "failing", where)
    assert done.returncode != 0
    assert "ValueError: no value on this rank" in done.stderr
    quoted = f"RankError: on rank {ranks - 1} of {ranks}: ValueError: no value on this rank"
    assert done.stderr.count(quoted) == ranks - 1


def test_all_ranks_need_as_many_batches():
    done = launch(2, "tests.mpi.training_ranks", "failing", "count")
    assert done.returncode != 0
    for count in (5, 6):
        assert f"there are {count} batches here, not so on another rank" in done.stderr


def test_all_ranks_stop_and_skip_where_one_does():
    found = report(2, "stopping", "-")
    assert found["steps"] == [4, 4]
    assert found["message"] == "stopped by the callback"
    assert found["finite"][0] == found["finite"][1]
    assert found["finite"][0].count(False) == 1
    assert "checkpoint is not supported with comm" in found["refused"]
