"""Runs that are broken off go on bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qnsolve import checkpoint
from qnsolve.arrays import space_of
from qnsolve.stochastic import MiniBatches, train
from qnsolve.stochastic.training import METHODS
from tests.stochastic import killed_run
from tests.stochastic.problems import net_loss, samples, start

ROOT = Path(killed_run.__file__).parents[2]


def run(**arguments):
    batches = MiniBatches(*samples(), batch_size=20, seed=1)
    return train(net_loss, start(), batches, **{"epochs": 5, **arguments})


def assert_same(a, b):
    assert (a.params == b.params).all()
    assert (a.epochs, a.steps, a.passes) == (b.epochs, b.steps, b.passes)
    for name, values in a.history.items():
        np.testing.assert_array_equal(values, b.history[name], err_msg=name)


def stop_after(steps):
    def stop(progress):
        if progress.step == steps:
            raise StopIteration

    return stop


@pytest.mark.parametrize("method", METHODS)
def test_killed_in_the_middle_of_an_epoch(method, tmp_path):
    path = tmp_path / "run.npz"
    script = [sys.executable, killed_run.__file__, str(path), method, "15"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(script, env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert checkpoint.load(path, space_of(start()))["steps"] == 12  # of 30, 6 an epoch
    assert_same(run(method=method, checkpoint=path), run(method=method))


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("norm", ["l2", "adagrad", "adam"])
@pytest.mark.parametrize("steps", [1, 6, 17])
def test_broken_off_anywhere(overlap, norm, steps, tmp_path):
    options = {"overlap": overlap, "norm": norm, "memory": 4}
    path = tmp_path / "run.npz"
    run(checkpoint=path, step_callback=stop_after(steps), **options)
    assert checkpoint.load(path, space_of(start()))["steps"] == steps
    assert_same(run(checkpoint=path, **options), run(**options))


@pytest.mark.parametrize("error", [KeyboardInterrupt, KeyError])
def test_a_callback_that_raises_loses_no_step(error, tmp_path):
    def fail(progress):
        if progress.step == 9:
            raise error

    path = tmp_path / "run.npz"
    with pytest.raises(error):
        run(checkpoint=path, step_callback=fail)
    assert checkpoint.load(path, space_of(start()))["steps"] == 9
    assert_same(run(checkpoint=path), run())


class Unplugged(Exception):
    pass


def failing_loss(last):
    count = 0

    def loss(params, batch):
        nonlocal count
        count += 1
        if count == last:
            raise Unplugged
        return net_loss(params, batch)

    return loss


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("evaluation", [2, 9, 16, 25, 34])
def test_a_loss_that_raises_loses_the_broken_step_alone(method, evaluation, tmp_path):
    batches, path, seen = MiniBatches(*samples(), batch_size=20, seed=1), tmp_path / "run.npz", []
    arguments = {"method": method, "epochs": 5}
    with pytest.raises(Unplugged):
        train(
            failing_loss(evaluation),
            start(),
            batches,
            checkpoint=path,
            step_callback=lambda progress: seen.append(progress.step),
            **arguments,
        )
    assert checkpoint.load(path, space_of(start()))["steps"] == (seen or [0])[-1]
    assert_same(run(checkpoint=path, method=method), run(method=method))


def test_a_step_that_has_rescaled_its_pairs_is_not_written(tmp_path):
    """The moving norm changes the stored pairs before the second evaluation of a step."""
    path, options = tmp_path / "run.npz", {"norm": "adam", "memory": 4, "refresh": 1}
    batches = MiniBatches(*samples(), batch_size=20, seed=1)
    for evaluation in range(20, 30):
        path.unlink(missing_ok=True)
        with pytest.raises(Unplugged):
            loss = failing_loss(evaluation)
            train(loss, start(), batches, epochs=5, checkpoint=path, checkpoint_every=1, **options)
        assert_same(run(checkpoint=path, **options), run(**options))


def test_the_file_stays_where_the_run_began(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    run(epochs=2, checkpoint="run.npz", step_callback=lambda progress: os.chdir(elsewhere))
    assert (tmp_path / "run.npz").exists() and not list(elsewhere.iterdir())


@pytest.mark.parametrize("epochs", [0, 1])
def test_the_result_is_no_array_of_the_caller(epochs):
    params = start()
    result = train(lambda x, batch: (np.nan, x), params, [None], epochs=epochs)
    np.testing.assert_array_equal(result.params, params)
    assert not np.shares_memory(result.params, params)


def test_more_epochs_go_on_from_the_end(tmp_path):
    path = tmp_path / "run.npz"
    run(checkpoint=path, epochs=2)
    assert_same(run(checkpoint=path, epochs=5), run())
    assert run(checkpoint=path, epochs=5).steps == 30


@pytest.mark.parametrize("other", [{"method": "lsr1-tr"}, {"memory": 3}, {"overlap": False}])
def test_a_checkpoint_of_another_run_is_refused(other, tmp_path):
    path = tmp_path / "run.npz"
    run(checkpoint=path, epochs=1)
    with pytest.raises(ValueError, match="the checkpoint is of a run with"):
        run(checkpoint=path, **other)


def test_other_batches_are_refused(tmp_path):
    path = tmp_path / "run.npz"
    run(checkpoint=path, epochs=1)
    with pytest.raises(ValueError, match="batches"):
        train(
            net_loss,
            start(),
            MiniBatches(*samples(), batch_size=20, seed=2),
            checkpoint=path,
        )


def test_batches_that_cannot_be_asked_for_are_refused(tmp_path):
    class Loader:
        def __iter__(self):
            return iter([samples()])

    with pytest.raises(TypeError, match="asked for by number"):
        train(net_loss, start(), Loader(), checkpoint=tmp_path / "run.npz")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    checkpoint.save(path, {"a": 1})

    def fail(*arguments):
        raise OSError("disk")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk"):
        checkpoint.save(path, {"a": 2})
    monkeypatch.undo()
    assert checkpoint.load(path, space_of(start())) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.npz"]


def test_a_failed_write_ends_no_run(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("disk")

    expected = run()
    monkeypatch.setattr(os, "replace", fail)
    with pytest.warns(RuntimeWarning, match=r"could not be written \(disk\); the run goes on"):
        assert_same(run(checkpoint=tmp_path / "run.npz", checkpoint_every=2), expected)


def test_values_go_round(tmp_path):
    path = tmp_path / "tree.npz"
    tree = {
        "none": None,
        "text": "x",
        "flag": True,
        "number": 0.1 + 0.2,
        "nan": float("nan"),
        "scalar": np.float64(3.5),
        "empty": {},
        "deep": {"array": np.arange(3, dtype=np.int64), "f": np.ones((2, 0), np.float32)},
    }
    checkpoint.save(path, tree)
    back = checkpoint.load(path, space_of(start()))
    assert np.isnan(back.pop("nan"))
    deep, expected = back.pop("deep"), tree.pop("deep")
    tree.pop("nan")
    assert back == tree
    for name, value in expected.items():
        assert deep[name].dtype == value.dtype
        assert (deep[name] == value).all()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04nonsense"])
def test_what_is_no_checkpoint(content, tmp_path):
    path = tmp_path / "run.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a checkpoint"):
        run(checkpoint=path)


def test_another_version_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    path.write_bytes(checkpoint.MAGIC + b"99\n{}\n")
    with pytest.raises(ValueError, match="version 99"):
        run(checkpoint=path)
