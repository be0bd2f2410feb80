"""What ranks tell each other, on one and on several."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve.arrays import agreed, space_of
from qnsolve.comm import RankError
from tests.arrays.homes import on_ranks


def space_on(comm):
    return space_of(np.ones(2), comm)


def test_alone():
    space = space_on(None)
    assert space.any(True) and not space.any(False)
    assert space.each(3.0).tolist() == [3.0]
    assert space.same(3.0)
    assert space.agreed(lambda: "done") == agreed(None, lambda: "done") == "done"
    error = ValueError("no")
    with pytest.raises(ValueError) as caught:
        space.fail_together(error)
    assert caught.value is error
    with pytest.raises(ZeroDivisionError):
        space.agreed(lambda: 1 / 0)


@pytest.mark.parametrize("size", [1, 3])
def test_together(size):
    def ask(comm):
        space = space_on(comm)
        last = comm.rank == size - 1
        return (
            space.any(last),
            space.any(False),
            space.each(10.0 + comm.rank).tolist(),
            space.same(5.0),
            space.same(float(comm.rank)),
            space.agreed(lambda: comm.rank),
        )

    numbers = [10.0 + rank for rank in range(size)]
    wanted = [(True, False, numbers, True, size == 1, rank) for rank in range(size)]
    assert on_ranks(size, ask) == wanted


@pytest.mark.parametrize("how", ["space.agreed", "agreed", "fail_together"])
@pytest.mark.parametrize("failing", [{0}, {2}, {1, 2}])
def test_an_error_ends_all(how, failing):
    def ask(comm):
        space = space_on(comm)
        error = ValueError(f"“{comm.rank}”") if comm.rank in failing else None

        def action():
            if error is not None:
                raise error

        if how == "fail_together":
            space.fail_together(error)
        return space.agreed(action) if how == "space.agreed" else agreed(comm, action)

    first = min(failing)
    for rank, found in enumerate(on_ranks(3, ask)):
        if rank in failing:
            assert type(found) is ValueError and str(found) == f"“{rank}”"
        else:
            assert type(found) is RankError
            assert str(found) == f"on rank {first} of 3: ValueError: “{first}”"
