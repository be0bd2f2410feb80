"""Shipped data: complete, split and scaled as the docstrings say."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources

import numpy as np
import pytest

from qnsolve import problems

EPS = np.finfo(float).eps


@pytest.fixture(params=["breast_cancer", "digits"])
def data(request):
    return getattr(problems, request.param)()


def test_parts_fit_together(data):
    X, y = data.part("train")
    X_test, y_test = data.part("test")
    assert X.dtype == X_test.dtype == np.float64
    assert len(X) == len(y)
    assert len(X_test) == len(y_test)
    assert len(X) + len(X_test) == {"breast-cancer": 569, "digits": 1797}[data.name]
    assert X.shape[1] == X_test.shape[1] == len(data.feature_names)
    assert np.isfinite(X).all()
    assert np.isfinite(X_test).all()
    assert "CC BY 4.0" in data.source


def test_no_sample_is_in_both_parts(data):
    train = {row.tobytes() for row in data.X_train}
    assert not any(row.tobytes() in train for row in data.X_test)


def test_test_part_has_the_classes_in_the_same_shares(data):
    share, share_test = (np.bincount(part) / part.size for part in (data.y_train, data.y_test))
    # Three standard deviations of a share of 1/2 among the test samples.
    np.testing.assert_allclose(share_test, share, atol=1.5 / np.sqrt(data.y_test.size))


def test_training_features_are_centred(data):
    # Rounding of a mean of numbers of order 1, relative to sums before the shift.
    assert np.abs(data.X_train.mean(axis=0)).max() < 1e3 * EPS


def test_breast_cancer_is_standardised_by_the_training_part():
    data = problems.breast_cancer()
    np.testing.assert_allclose(data.X_train.std(axis=0), 1.0, rtol=1e3 * EPS)
    assert np.abs(data.X_test.mean(axis=0)).max() > 1e-3
    assert data.y_train.sum() + data.y_test.sum() == 212
    # Malignant nuclei are the larger ones.
    radius = data.X_train[:, data.feature_names.index("mean_radius")]
    assert radius[data.y_train == 1].mean() > 0.5 > radius[data.y_train == 0].mean()


def test_digits_have_ten_classes_and_bounded_pixels():
    data = problems.digits()
    assert set(data.y_train) == set(data.y_test) == set(range(10))
    assert np.abs(np.vstack([data.X_train, data.X_test])).max() <= 1.0


def test_agrees_with_scikit_learn(data):
    datasets = pytest.importorskip("sklearn.datasets")
    load = {"breast-cancer": datasets.load_breast_cancer, "digits": datasets.load_digits}[data.name]
    bunch = load()
    held_out = np.arange(len(bunch.target)) % 5 == 4
    target = 1 - bunch.target if data.name == "breast-cancer" else bunch.target
    assert np.array_equal(data.y_train, target[~held_out])
    assert np.array_equal(data.y_test, target[held_out])
    # An affine map of each feature leads from theirs to ours.
    theirs, ours = bunch.data[held_out], data.X_test
    spread = theirs.std(axis=0)
    varies = spread > 0
    np.testing.assert_allclose(
        ((theirs - theirs.mean(axis=0))[:, varies] / spread[varies]),
        ((ours - ours.mean(axis=0))[:, varies] / ours.std(axis=0)[varies]),
        atol=1e-10,
    )


def test_two_calls_share_nothing(data):
    again = {"breast-cancer": problems.breast_cancer, "digits": problems.digits}[data.name]()
    assert np.array_equal(data.X_train, again.X_train)
    assert not np.shares_memory(data.X_train, again.X_train)


def test_unknown_split_is_refused(data):
    with pytest.raises(ValueError, match="'train' or 'test', got 'validation'"):
        data.part("validation")


def test_origin_and_licence_are_shipped():
    text = resources.files("qnsolve.problems").joinpath("data", "README.md").read_text()
    for name in ("breast_cancer.csv.gz", "digits.csv.gz", "CC BY 4.0", "10.24432/C5DW2B"):
        assert name in text


def test_scikit_learn_is_not_loaded():
    code = "import sys; from qnsolve import problems; problems.digits(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "sklearn" not in done.stdout.split()
