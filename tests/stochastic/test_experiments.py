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

    sizes = {
        "mlp": 101_770,
        "autoencoder": 161_000,
        "lenet": 431_080,
        "lenet_cifar": 145_578,
        "iris_net": 2_953,
        "resnet20": 269_722,
    }
    for name, size in sizes.items():
        module = nets.seeded(getattr(nets, name), 0)
        assert sum(p.numel() for p in module.parameters()) == size, name


def test_text_is_cut_into_pieces(data):
    text = data.python_reference(length=20)
    inputs, targets = data.shifted(text.train[:3])
    assert inputs.shape == targets.shape == (3, 20)
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
    assert len(text.alphabet) == 1 + max(text.train.max(), text.test.max())
    words = "".join(text.alphabet[k] for k in text.train.ravel())
    assert "expression" in words
    assert "5 pieces" in text.first(5).name


def test_iris_is_split_by_class_and_part(data):
    pytest.importorskip("mlxtend")
    flowers = data.iris()
    assert flowers.train.shape == (120, 4)
    labels = np.concatenate([flowers.train_labels, flowers.test_labels])
    np.testing.assert_array_equal(np.bincount(labels), [50, 50, 50])


def flowers(data):
    """Return what stands in for Iris where mlxtend is not installed."""
    rng = np.random.default_rng(0)
    kinds = np.arange(150) % 3
    leaves = (rng.standard_normal((150, 4)) + kinds[:, None]).astype(np.float32)
    return data.Images("flowers", leaves[:120], kinds[:120], leaves[120:], kinds[120:])


TINY = {
    "lenet": ["--only", "hybrid-tr", "L-SR1 TR", "AdaDelta*"],
    "lenet-cifar": ["--problem", "lenet-cifar-bn", "--only", "L-SR1 line*", "L-BFGS"],
    "table-1": ["--only", "L-SR1 TR", "NAG"],
    "batch-size": ["--only", "L-SR1 TR", "Adam"],
    "resnet": ["--only", "hybrid-tr", "sL-SR1-TR"],
    "sweep": ["--only", "L-SR1 TR: memory*"],
    "compare": ["--only", "L-SR1*", "sL-SR1*", "AdaDelta", "RMSprop", "Adagrad", "L-BFGS*"],
    "autoencoder": ["--only", "ARCs*", "Adam, batch 100"],
    "feed-forward": ["--only", "ARCs-LSR1", "SGD"],
    "iris": ["--only", "hybrid-tr", "L-BFGS*"],
    "characters": ["--only", "hybrid-tr", "Adam, half*"],
    "ellipsoids": ["--only", "Newton-CG, sphere", "Newton-CG, RMSProp"],
}


@pytest.fixture
def run(data, monkeypatch, tmp_path):
    """Return a function that runs an experiment at a tiny size and returns its folder."""
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    import run

    write_mnist(tmp_path, train=60, test=20)
    monkeypatch.setattr(data, "iris", lambda: flowers(data))

    def command(name, *more):
        arguments = [name, "--quick", "--folder", str(tmp_path), "--out", str(tmp_path / name)]
        run.main([*arguments, "--samples", "40", "--batch", "20", *more])
        return tmp_path / name

    command.names = set(run.EXPERIMENTS)
    return command


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", TINY)
def test_every_experiment_at_a_tiny_size(run, name):
    out = run(name, "--passes", "1", "--seeds", "1", *TINY[name])
    rows = rows_of(out / "curves.csv")
    assert len({row["contender"] for row in rows}) >= 2
    assert all(float(row["passes"]) >= float(row["backprops"]) > 0 for row in rows)
    assert any(np.isfinite(float(row["score"])) for row in rows)
    assert (out / "figure.png").stat().st_size > 10_000
    assert rows[0]["contender"] in (out / "table.md").read_text()


def test_tiny_sizes_are_of_all_experiments(run):
    assert run.names == set(TINY)


def test_an_experiment_from_end_to_end_and_on_from_there(run, capsys):
    arguments = ["batch-size", "--passes", "12", "--only", "hybrid-tr", "NAG"]
    out = run(*arguments, "--seeds", "2")
    assert "Fashion-MNIST in place of MNIST" in capsys.readouterr().out
    rows = rows_of(out / "curves.csv")
    assert {row["contender"] for row in rows} == {"hybrid-tr", "NAG"}
    assert {row["seed"] for row in rows} == {"1", "2"}
    for name in ("hybrid-tr", "NAG"):
        last = [row for row in rows if row["contender"] == name][-1]
        assert float(last["score"]) < 80.0  # nine in ten wrong is chance
        assert float(last["passes"]) >= 12.0
    assert {row["seed"] for row in rows_of(out / "grid.csv")} == {"0"}
    assert all(int(row["seeds"]) == 2 for row in rows_of(out / "table.csv"))
    # The same command with one more seed adds the runs of that seed, with the rate found before.
    run(*arguments, "--seeds", "3")
    more = rows_of(out / "curves.csv")
    assert more[: len(rows)] == rows
    assert {row["seed"] for row in more[len(rows) :]} == {"3"}
    assert len({row["setting"] for row in more if row["contender"] == "NAG"}) == 1


class Bowl:
    """A contender whose runs come to the target the sooner the nearer its number is to 30."""

    name, tuned, grid = "bowl", "rate", (0.1, 0.3)

    def __init__(self, hits=True):
        self.tried, self.hits = [], hits

    def run(self, problem, value, batch, seed, meter):
        self.tried.append(value)
        distance = abs(np.log10(value / 30.0))
        for k in range(1, 1000):
            met = self.hits and k >= 5 + 10 * distance
            problem.now = (1.0, 1.0 if met else 50.0 + distance)
            if meter.due(k) and meter.over(k, k, k, None):
                return


class Told:
    """A problem whose measurements are told."""

    name, on_gpu = "told", False

    def measure(self, module):
        return self.now


@pytest.mark.parametrize("hits", [True, False])
def test_a_grid_grows_to_where_the_best_is_inside(data, hits):
    pytest.importorskip("torch")
    from measure import tuned_value

    bowl = Bowl(hits)
    value, runs = tuned_value(bowl, Told(), 10, 60.0, target=10.0)
    assert value == 30.0
    assert bowl.tried == [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]
    # What cannot be the best any more is broken off: 100 comes later than 30 does.
    assert runs[-1][-1].passes == (runs[-2][-1].passes if hits else 60.0)


def test_reached_is_the_median_over_the_seeds_that_came_there(data):
    pytest.importorskip("torch")
    from measure import Row
    from report import by_batch, reached

    def rows(seed, scores):
        return [
            Row("net", "method", "default", 10, seed, k, 3.0 * k, 2.0 * k, 0.5 * k, 1.0, score)
            for k, score in enumerate(scores, 1)
        ]

    runs = [rows(1, [9.0, 4.0, 1.0]), rows(2, [3.0, 2.0, 2.0]), rows(3, [9.0, 9.0, 8.0])]
    entry = reached(runs, 4.0)
    assert (entry.seeds, entry.reached) == (3, 2)
    assert (entry.epochs, entry.passes, entry.backprops, entry.seconds) == (1.5, 4.5, 3.0, 0.75)
    assert "1.5 (4.5, 2 of 3 seeds)" in by_batch(runs, {"net": 4.0})
    assert reached(runs, 0.5).reached == 0
