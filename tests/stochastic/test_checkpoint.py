"""Runs that are broken off go on bit for bit."""

from __future__ import annotations

import json
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
    text = json.dumps({"version": 99, "tree": {}, "foreign": []})
    np.savez(path, **{"checkpoint.json": np.array(text)})
    with pytest.raises(ValueError, match="version 99"):
        run(checkpoint=path)
