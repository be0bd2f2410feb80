"""Mini-batches depend on the seed and the epoch alone."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve.stochastic import MiniBatches
from qnsolve.stochastic.batches import (
    ResumableBatches,
    StreamedBatches,
    by_number,
    stream_of,
)


def test_an_epoch_has_every_sample_once_but_the_rest():
    batches = MiniBatches(np.arange(23), np.arange(23) ** 2, batch_size=5)
    for epoch in range(3):
        parts = [batches.part(epoch, k) for k in range(len(batches))]
        seen = np.concatenate([part[0] for part in parts])
        assert len(set(seen.tolist())) == len(seen) == 20
        assert all((second == first**2).all() for first, second in parts)


def test_order_changes_with_epoch_and_seed_and_not_with_history():
    a, b = (MiniBatches(np.arange(50), batch_size=10, seed=3) for _ in range(2))
    late = b.part(7, 2)[0]
    for epoch in range(9):
        for k in range(5):
            last = a.part(epoch, k)[0]
            if (epoch, k) == (7, 2):
                assert (last == late).all()
    assert (a.order(0) != a.order(1)).any()
    assert (MiniBatches(np.arange(50), batch_size=10, seed=4).order(0) != a.order(0)).any()


def test_samples_left_out_differ_from_epoch_to_epoch():
    batches = MiniBatches(np.arange(11), batch_size=5)
    left = {int(batches.order(epoch)[10]) for epoch in range(20)}
    assert len(left) > 1


def test_streams():
    mini = MiniBatches(np.arange(6), batch_size=2, shuffle=False)
    stream = stream_of(mini)
    assert isinstance(stream, ResumableBatches)
    assert [batch[0][0] for batch in stream.epoch(4, 1)] == [2, 4]
    assert stream.before(4, 0)[0][0] == 4  # the last of the epoch before
    assert stream.before(4, 2)[0][0] == 2
    assert list(stream_of(["a", "b"]).epoch(3, 0)) == ["a", "b"]
    assert isinstance(stream_of({1, 2}), StreamedBatches)


def test_what_streams_cannot_do():
    with pytest.raises(TypeError, match="batches of another size need MiniBatches"):
        stream_of(["a", "b"]).resized(2)
    with pytest.raises(TypeError, match="comm needs batches that can be asked for by number"):
        by_number(stream_of({1, 2}), "comm")


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (((), {"batch_size": 1}), TypeError, "at least one array"),
        ((([1, 2],), {"batch_size": 1}), TypeError, "nothing but arrays"),
        (((np.ones(3), np.ones(4)), {"batch_size": 1}), ValueError, "as many samples"),
        (
            ((np.ones(3),), {"batch_size": 4}),
            ValueError,
            "batch_size must be an integer from 1 to 3",
        ),
        (((np.ones(3),), {"batch_size": 1.5}), TypeError, "batch_size must be an integer"),
        (((np.ones(3),), {"batch_size": 1, "seed": -1}), ValueError, "seed must be"),
        (((np.ones(3),), {"batch_size": 1, "shuffle": "no"}), TypeError, "shuffle must be"),
    ],
)
def test_wrong_arguments(arguments, error, match):
    positional, named = arguments
    with pytest.raises(error, match=match):
        MiniBatches(*positional, **named)


@pytest.mark.parametrize(
    ("batches", "error"), [(3, TypeError), (iter([1]), TypeError), ([], ValueError)]
)
def test_what_is_no_source_of_batches(batches, error):
    with pytest.raises(error, match="batches"):
        stream_of(batches)
