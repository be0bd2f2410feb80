"""Small real data sets, shipped as files, split and standardised the same way each time.

Every fifth sample is held out.  No random number generator takes part, so the split is the same
with every version of NumPy.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from importlib import resources

import numpy as np

_HELD_OUT = 5


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled samples in a training and a test part.

    Parameters
    ----------
    name : str
    X_train, X_test : ndarray, shape (samples, features)
        Standardised features, float64.
    y_train, y_test : ndarray, shape (samples,)
        Class numbers from 0, integers.
    feature_names : tuple of str
    source : str
        Origin and licence.

    Examples
    --------
    >>> from qnsolve.problems import Dataset, breast_cancer
    >>> data = breast_cancer()
    >>> isinstance(data, Dataset), data.part("test")[0].shape
    (True, (113, 30))
    """

    name: str
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    feature_names: tuple[str, ...]
    source: str

    def part(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Return ``(X, y)`` of `split`, which is "train" or "test"."""
        if split == "train":
            return self.X_train, self.y_train
        if split == "test":
            return self.X_test, self.y_test
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")


def breast_cancer() -> Dataset:
    """Return the Breast Cancer Wisconsin (Diagnostic) data: is a mass malignant?

    30 measurements of cell nuclei, 456 samples for training and 113 for testing.  Every feature has
    mean 0 and standard deviation 1 over the training samples.

    Returns
    -------
    Dataset
        Class 1 is malignant, 0 benign.

    Notes
    -----
    By W. H. Wolberg, O. L. Mangasarian and W. N. Street (donor), 1995, from the UCI Machine
    Learning Repository, https://doi.org/10.24432/C5DW2B, licensed CC BY 4.0.  ``data/README.md``
    states what was changed.

    Examples
    --------
    >>> from qnsolve.problems import breast_cancer
    >>> data = breast_cancer()
    >>> data.X_train.shape, int(data.y_train.sum())
    ((456, 30), 170)
    """
    features, classes, names = _read("breast_cancer.csv.gz")
    train = _training_rows(classes)
    centre, scale = features[train].mean(axis=0), features[train].std(axis=0)
    source = "UCI Machine Learning Repository, doi 10.24432/C5DW2B, CC BY 4.0"
    return _split("breast-cancer", (features - centre) / scale, classes, train, names, source)


def digits() -> Dataset:
    """Return images of handwritten digits, 8 x 8 pixels.

    1438 samples for training and 359 for testing.  The mean training image is subtracted and grey
    levels are divided by 16.  A scale for each pixel would blow up the margins, which are blank in
    nearly every image.

    Returns
    -------
    Dataset
        The class is the digit.

    Notes
    -----
    By E. Alpaydin and C. Kaynak (donors), 1998, from the UCI Machine Learning Repository,
    https://doi.org/10.24432/C50P49, licensed CC BY 4.0.  ``data/README.md`` states what was
    changed.

    Examples
    --------
    >>> from qnsolve.problems import digits
    >>> data = digits()
    >>> data.X_train.shape, data.y_test[:5].tolist()
    ((1438, 64), [4, 9, 4, 9, 4])
    """
    features, classes, names = _read("digits.csv.gz")
    train = _training_rows(classes)
    features = (features - features[train].mean(axis=0)) / 16.0
    source = "UCI Machine Learning Repository, doi 10.24432/C50P49, CC BY 4.0"
    return _split("digits", features, classes, train, names, source)


def _read(file: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    raw = resources.files("qnsolve.problems").joinpath("data", file).read_bytes()
    header, *rows = gzip.decompress(raw).decode("ascii").splitlines()
    table = np.loadtxt(rows, delimiter=",")
    return table[:, :-1], table[:, -1].astype(np.intp), tuple(header.split(",")[:-1])


def _training_rows(classes: np.ndarray) -> np.ndarray:
    return np.arange(classes.size) % _HELD_OUT != _HELD_OUT - 1


def _split(
    name: str,
    features: np.ndarray,
    classes: np.ndarray,
    train: np.ndarray,
    feature_names: tuple[str, ...],
    source: str,
) -> Dataset:
    return Dataset(
        name,
        features[train],
        classes[train],
        features[~train],
        classes[~train],
        feature_names,
        source,
    )
