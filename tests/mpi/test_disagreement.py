"""Ranks that do not agree end together, each with an error; a launch that hangs fails by time."""

from __future__ import annotations

import json

import pytest

from tests.mpi.launcher import MPIEXEC, launch

pytest.importorskip("mpi4py")
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec")


@pytest.mark.parametrize("ranks", [2, 3])
def test_every_rank_ends_with_an_error(ranks):
    done = launch(ranks, "tests.mpi.disagreeing_ranks")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    for name, errors in report["errors"].items():
        kinds, messages = zip(*errors, strict=True)
        assert "none" not in kinds, name
        if "the same on every rank" in messages[-1] or "not supported with comm" in messages[-1]:
            assert set(kinds) == {"ValueError"}, name
            continue
        # What went wrong comes through where it did, and is quoted elsewhere.
        assert kinds[-1] != "RankError", name
        assert set(kinds[:-1]) == {"RankError"}, name
        assert all(f"on rank {ranks - 1} of {ranks}: {kinds[-1]}" in m for m in messages[:-1]), name
    for name, errors in report["fine"].items():
        assert errors == [["none", ""]] * ranks, name
