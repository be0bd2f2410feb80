"""Steps that have not lowered the loss on all samples are undone, and the batches grow."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve.stochastic import MiniBatches, train
from tests.stochastic.problems import net_loss, samples, start
from tests.tolerances import EPS

CENTRES = np.random.default_rng(0).standard_normal((40, 3))
CHECKED = {"pivot_every": 1, "batch_growth": 1.5, "largest_batch": 0.5}


def to_centres(x, batch):
    """Mean over the batch of half the squared distance to its centres."""
    d = x - batch[0]
    return 0.5 * (d**2).sum(1).mean(), d.mean(0)


def run(**arguments):
    """Start at the minimiser of the loss on all samples: every epoch makes it worse."""
    options = {"overlap": False, "norm": "l2", "initial_rate": 1.0, "epochs": 7, **CHECKED}
    batches = MiniBatches(CENTRES, batch_size=4, seed=1)
    return train(to_centres, CENTRES.mean(0), batches, **{**options, **arguments})


@pytest.mark.parametrize("method", ["hybrid-tr", "newton-tr"])
def test_all_steps_since_are_undone_and_the_batches_grow(method):
    result = run(method=method)
    pivots = result.pivots
    assert pivots["undone"].tolist() == [False] + 6 * [True]
    assert pivots["batch_size"].tolist() == [4, 4, 6, 9, 13, 19, 20]
    best = to_centres(CENTRES.mean(0), (CENTRES,))[0]
    assert pivots["loss"][0] == pytest.approx(best, rel=64 * EPS)
    assert (pivots["loss"][1:] > best).all()
    # 40 samples in batches of each size; 20 is half of them.
    assert result.steps == sum(40 // size for size in (4, 6, 9, 13, 19, 20, 20))


def test_steps_that_lower_it_stay():
    arguments = {"epochs": 4, "initial_rate": 1e-3}
    batches = MiniBatches(*samples(), batch_size=30, seed=1)
    plain = train(net_loss, start(), batches, **arguments)
    checked = train(net_loss, start(), batches, **CHECKED, **arguments)
    assert not checked.pivots["undone"].any()
    assert (np.diff(checked.pivots["loss"]) < 0.0).all()
    assert (checked.params == plain.params).all()
    # Four comparisons, a pass each where a loss comes with a gradient.
    assert checked.passes == plain.passes + 4.0


@pytest.mark.parametrize("stop", [3, 10, 14, 17, 23])
@pytest.mark.parametrize("overlap", [False, True])
def test_resumes_bit_for_bit(stop, overlap, tmp_path):
    path = tmp_path / "run.npz"

    def end(progress):
        if progress.step > stop:
            raise StopIteration

    arguments = {"checkpoint": path, "checkpoint_every": 1, "overlap": overlap}
    run(step_callback=end, **arguments)
    resumed, whole = run(**arguments), run(overlap=overlap)
    assert (resumed.params == whole.params).all()
    assert (resumed.steps, resumed.passes) == (whole.steps, whole.passes)
    for name, values in whole.pivots.items():
        assert (resumed.pivots[name] == values).all()


def test_the_loss_alone_is_asked_for_where_it_can_be():
    class Loss:
        def __call__(self, x, batch):
            return to_centres(x, batch)

        def value(self, x, batch):
            return to_centres(x, batch)[0]

    batches = MiniBatches(CENTRES, batch_size=10)
    result = train(Loss(), np.ones(3), batches, epochs=2, pivot_every=1)
    assert result.history["values"].tolist() == 4 * [4] + 4 * [8]
    assert result.passes == pytest.approx((result.history["gradients"][-1] + 8 / 3) / 4)


def test_batches_that_cannot_grow_are_refused():
    with pytest.raises(TypeError, match="batch_growth > 1 needs MiniBatches"):
        train(to_centres, np.ones(3), [(CENTRES,)], pivot_every=1, batch_growth=1.1)
    assert train(to_centres, np.ones(3), [(CENTRES,)], pivot_every=1, epochs=2).steps == 2


def test_running_averages_go_back_too():
    torch = pytest.importorskip("torch")
    from qnsolve.stochastic.torch_adapter import ModuleLoss

    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1)
    module = torch.nn.Sequential(*layers).double()
    loss = ModuleLoss(module, lambda output, target: -(output * target).mean())
    loss.value = lambda x, batch: 1.0  # no step lowers that
    X = torch.as_tensor(CENTRES)
    batches = MiniBatches(X, torch.ones(40, 1, dtype=X.dtype), batch_size=10)
    taken = []

    def count(progress):
        loss.load(progress.params)
        taken.append(int(module[0].num_batches_tracked))

    train(loss, loss.params(), batches, epochs=2, pivot_every=1, step_callback=count)
    # Four steps an epoch, and the second one starts where the first did.
    assert taken[:4] == sorted(taken[:4]) and taken[3] > 1
    assert taken[4] <= 1
