"""The loaders on generated files, and one experiment from end to end."""

from __future__ import annotations

import csv
import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

EXPERIMENTS = Path(__file__).parents[2] / "examples" / "experiments"


@pytest.fixture
def data(monkeypatch):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    import data

    return data


def idx(array):
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return struct.pack(">HBB", 0, 8, array.ndim) + shape + array.astype(np.uint8).tobytes()


def write_mnist(folder, train=300, test=100, packed=True):
    """Write images of which the first row tells the class."""
    rng = np.random.default_rng(0)
    written = {}
    for part, count in (("train", train), ("t10k", test)):
        labels = rng.integers(0, 10, count)
        images = rng.integers(0, 60, (count, 28, 28))
        images[np.arange(count), 0, labels] = 255
        written[part] = images, labels
        for name, array in (
            (f"{part}-images-idx3-ubyte", images),
            (f"{part}-labels-idx1-ubyte", labels),
        ):
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                (folder / name).write_bytes(idx(array))
    return written


@pytest.mark.parametrize("packed", [True, False])
def test_idx_folder(data, tmp_path, packed):
    written = write_mnist(tmp_path, packed=packed)
    images = data.idx_folder(tmp_path, "MNIST")
    assert images.train.shape == (300, 1, 28, 28)
    assert images.train.dtype == np.float32
    np.testing.assert_array_equal(images.test_labels, written["t10k"][1])
    np.testing.assert_array_equal(np.round(images.test[:, 0] * 255.0), written["t10k"][0])
    assert images.first(50).name == "MNIST, 50 images"
    assert len(images.first(50).train_labels) == 50
    assert images.first(None).name == "MNIST"


def test_a_file_of_another_kind_is_refused(data, tmp_path):
    write_mnist(tmp_path, packed=False)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"\x00\x00\x0d\x01" + bytes(8))
    with pytest.raises(ValueError, match="is no idx file of bytes"):
        data.idx_folder(tmp_path, "MNIST")


@pytest.mark.parametrize("binary", [True, False])
def test_cifar10_folder(data, tmp_path, binary):
    rng = np.random.default_rng(0)
    expected = {}
    for name in [f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]:
        labels = rng.integers(0, 10, 4).astype(np.uint8)
        pixels = rng.integers(0, 256, (4, 3072)).astype(np.uint8)
        expected[name] = labels, pixels
        if binary:
            (tmp_path / f"{name}.bin").write_bytes(np.column_stack([labels, pixels]).tobytes())
        else:
            content = {b"labels": labels.tolist(), b"data": pixels}
            (tmp_path / name).write_bytes(pickle.dumps(content))
    images = data.cifar10_folder(tmp_path)
    assert images.train.shape == (20, 3, 32, 32)
    np.testing.assert_array_equal(images.test_labels, expected["test_batch"][0])
    np.testing.assert_array_equal(images.train_labels[4:8], expected["data_batch_2"][0])
    red = np.round(images.test[0, 0].ravel() * 255.0)
    np.testing.assert_array_equal(red, expected["test_batch"][1][0, :1024])


def test_missing_data_is_said(data, tmp_path):
    with pytest.raises(SystemExit, match="give its folder with --folder"):
        data.load("mnist", tmp_path / "none")


def test_networks_have_the_sizes_of_the_papers(data):
    pytest.importorskip("torch")
    import nets

    sizes = {"mlp": 101_770, "autoencoder": 161_000, "lenet": 61_706}
    for name, size in sizes.items():
        module = nets.seeded(getattr(nets, name), 0)
        assert sum(p.numel() for p in module.parameters()) == size, name


def test_an_experiment_from_end_to_end(data, tmp_path, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    import run

    write_mnist(tmp_path)
    arguments = ["batch-size", "--quick", "--data", "mnist", "--folder", str(tmp_path)]
    arguments += ["--samples", "300", "--batch", "100", "--only", "hybrid", "NAG"]
    out = tmp_path / "out"
    run.main([*arguments, "--seeds", "2", "--out", str(out)])
    assert "MLP 784-128-10, MNIST" in capsys.readouterr().out
    with open(out / "curves.csv") as file:
        rows = list(csv.DictReader(file))
    assert {row["contender"] for row in rows} == {"hybrid-tr", "NAG"}
    assert {row["seed"] for row in rows} == {"1", "2"}
    for name in ("hybrid-tr", "NAG"):
        last = [row for row in rows if row["contender"] == name][-1]
        assert float(last["score"]) < 50.0  # nine in ten wrong is chance
        assert float(last["passes"]) >= 12.0
    assert (out / "figure.png").stat().st_size > 10_000
    assert "hybrid-tr" in (out / "table.md").read_text()
    with open(out / "table.csv") as file:
        assert all(int(row["seeds"]) == 2 for row in csv.DictReader(file))
