"""A space over the ranks of MPI; the rest of it is tested in threads, in tests/arrays."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.mpi.launcher import MPIEXEC, launch
from tests.tolerances import EPS

pytest.importorskip("mpi4py")
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec")


@pytest.mark.parametrize("ranks", [1, 3])
def test_one_message(ranks):
    from tests.mpi.space_ranks import N, whole

    done = launch(ranks, "tests.mpi.space_ranks")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    a, rows = whole()
    assert found["messages"] == 1
    np.testing.assert_allclose(found["dots"], [a @ a], rtol=N * EPS)
    scale = np.abs(rows) @ np.abs(a)
    assert np.all(np.abs(np.array(found["products"]) - rows @ a) <= N * EPS * scale)
    assert found["largest"] == [np.abs(a).max()]
    assert found["scalars"] == [ranks]
    assert found["first"] == [0, *(N - 7 * (ranks - rank) for rank in range(1, ranks))]
    assert found["leaders"] == [1.0, *[0.0] * (ranks - 1)]
    assert found["same"] == [True, ranks == 1]
    assert found["any"] == [True, False]
