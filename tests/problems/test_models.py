"""Networks and robust regression: values by hand, gradients by differences."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import scipy.optimize

from qnsolve.problems import (
    TanhNetwork,
    breast_cancer,
    breast_cancer_network,
    digits_network,
    get_problem,
    robust_regression,
)

EPS = np.finfo(float).eps

MODELS = {
    "one layer": lambda: breast_cancer_network(5),
    "no hidden layer": lambda: breast_cancer_network(()),
    "two layers": lambda: breast_cancer_network((4, 3), l2=0.1),
    "no penalty": lambda: breast_cancer_network(3, l2=0.0),
    "digits": lambda: digits_network(3),
    "robust": robust_regression,
    "robust, narrow": lambda: robust_regression(scale=0.1, l2=0.0),
}


@pytest.fixture(params=MODELS)
def problem(request):
    return MODELS[request.param]()


def point(problem):
    return problem.x0 + 0.2 * np.random.default_rng(3).standard_normal(problem.n)


def test_gradient_component_by_component(problem):
    """Central differences: truncation h^2 f''' / 6 and rounding eps f / h, both near 1e-10."""
    x = point(problem)
    f, g = problem.fun(x)
    h = EPS ** (1 / 3)
    some = np.random.default_rng(0).permutation(problem.n)[:60]
    units = np.eye(problem.n)[some]
    measured = [(problem.fun(x + h * e)[0] - problem.fun(x - h * e)[0]) / (2 * h) for e in units]
    # Third derivatives reach 1/scale^2, 100 for the narrow loss.
    np.testing.assert_allclose(g[some], measured, rtol=0, atol=100 * h**2 * max(1.0, f))


def test_gradient_along_directions_of_every_parameter(problem):
    """Richardson's extrapolation leaves h^4 f^(5) / 30: ten digits for all parameters at once."""
    x = point(problem)
    g = problem.fun(x)[1]
    h = 1e-3
    for seed in range(4):
        d = np.random.default_rng(seed).standard_normal(problem.n)
        d /= np.linalg.norm(d)
        f = [problem.fun(x + t * h * d)[0] for t in (-2, -1, 1, 2)]
        measured = (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * h)
        # f^(5) reaches 1e4 = 1/scale^4 for the narrow loss; rounding adds EPS f / h.
        assert g @ d == pytest.approx(measured, rel=0, abs=1e4 * h**4 + 10 * EPS * max(f) / h)


def test_value_of_a_network_by_hand():
    problem = breast_cancer_network(2, l2=0.5)
    x = point(problem)
    X, y = problem.data.part("train")
    w1, b1, w2, b2 = x[:60].reshape(30, 2), x[60:62], x[62:64], x[64]
    total = 0.0
    for features, label in zip(X, y, strict=True):
        z = b2 + sum(w2[k] * math.tanh(b1[k] + features @ w1[:, k]) for k in range(2))
        total -= math.log(1 / (1 + math.exp(-z)) if label else 1 / (1 + math.exp(z)))
    assert problem.fun(x)[0] == pytest.approx(total / 456 + 0.25 * x @ x, rel=1e-12)


@pytest.mark.parametrize(
    ("problem", "classes"), [(breast_cancer_network(3), 2), (digits_network(3), 10)]
)
def test_zero_parameters_make_all_classes_equally_likely(problem, classes):
    assert problem.fun(np.zeros(problem.n))[0] == pytest.approx(math.log(classes), rel=1e-14)


def test_binary_entropy_is_that_of_two_softmax_classes():
    """softmax of (0, z) is the logistic function of z."""
    data = breast_cancer()
    one, two = TanhNetwork((30, 4, 1)), TanhNetwork((30, 4, 2))
    x = one.initial(0)
    z = np.zeros(two.n)
    for (w, b), (v, c) in zip(one.layers(x), two.layers(z), strict=True):
        v[:, -w.shape[1] :], c[-b.size :] = w, b
    f, _ = one.value_and_grad(data.X_train, data.y_train, 0.0, x)
    expected, _ = two.value_and_grad(data.X_train, data.y_train, 0.0, z)
    assert f == pytest.approx(expected, rel=1e-13)
    assert np.array_equal(one.classify(x, data.X_test), two.classify(z, data.X_test))


@pytest.mark.parametrize("make", [breast_cancer_network, digits_network])
def test_large_parameters_do_not_overflow(make):
    problem = make(3)
    f, g = problem.fun(1e8 * point(problem))
    assert np.isfinite(f)
    assert np.isfinite(g).all()


def test_accuracy_counts_the_right_answers():
    problem = breast_cancer_network(2)
    x = np.zeros(problem.n)
    for split in ("train", "test"):
        malignant = problem.data.part(split)[1].mean()
        x[-1] = 1.0
        assert problem.accuracy(x, split) == pytest.approx(malignant)
        x[-1] = -1.0
        assert problem.accuracy(x, split) == pytest.approx(1 - malignant)
    with pytest.raises(ValueError, match="'train' or 'test'"):
        problem.accuracy(x, "both")


@pytest.mark.parametrize(("make", "least"), [(breast_cancer_network, 0.95), (digits_network, 0.9)])
def test_training_learns(make, least):
    problem = make(8, l2=1e-3)
    result = scipy.optimize.minimize(
        problem.fun, problem.x0, jac=True, method="L-BFGS-B", options={"maxiter": 60}
    )
    assert result.fun < 0.5 * problem.fun(problem.x0)[0]
    assert problem.accuracy(result.x) >= least


def test_start_depends_on_the_seed_alone():
    first, same, other = (breast_cancer_network(4, seed=seed).x0 for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_layers_are_views_of_the_whole_vector():
    network = TanhNetwork((3, 2, 4))
    x = np.zeros(network.n)
    for weight, bias in network.layers(x):
        weight += 1.0
        bias += 1.0
    assert np.array_equal(x, np.ones(network.n))
    with pytest.raises(ValueError, match="20 parameters, got shape"):
        network.layers(np.zeros(7))


def test_argument_is_left_alone_and_problem_can_be_pickled(problem):
    x = point(problem)
    kept = x.copy()
    f, g = problem.fun(x)
    assert np.array_equal(x, kept)
    assert not np.shares_memory(g, x)
    assert pickle.loads(pickle.dumps(problem)).fun(x)[0] == f


def test_robust_regression_by_hand():
    problem = robust_regression(scale=0.7, l2=0.3)
    data = breast_cancer()
    left_out = data.feature_names.index("area_error")
    x = point(problem)
    total = 0.0
    for row in data.X_train:
        residual = sum(x[j] * row[j] for j in range(30) if j != left_out) + x[left_out]
        residual -= row[left_out]
        total += 0.245 * (1 - math.exp(-((residual / 0.7) ** 2)))
    assert problem.fun(x)[0] == pytest.approx(total / 456 + 0.15 * x @ x, rel=1e-12)


def test_robust_loss_is_bounded_and_not_convex():
    problem = robust_regression(l2=0.0)
    far = problem.fun(1e6 * np.ones(problem.n))[0]
    assert far == pytest.approx(0.125, rel=1e-2)
    h = 1e-5
    columns = [
        (problem.fun(problem.x0 + h * e)[1] - problem.fun(problem.x0 - h * e)[1]) / (2 * h)
        for e in np.eye(problem.n)
    ]
    eigenvalues = np.linalg.eigvalsh(np.array(columns))
    assert eigenvalues[0] < -0.1 < 0.1 < eigenvalues[-1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: breast_cancer_network(0), "at least one unit"),
        (lambda: breast_cancer_network((4, -1)), "at least one unit"),
        (lambda: breast_cancer_network(l2=-1.0), "l2 must be finite and >= 0"),
        (lambda: digits_network(l2=math.nan), "l2 must be finite and >= 0"),
        (lambda: robust_regression(31), "n must be 30, got 31"),
        (lambda: robust_regression(scale=0.0), "scale must be positive"),
        (lambda: get_problem("breast-cancer-network", 100), "such as 97 or 129, got 100"),
        (lambda: get_problem("digits-network", 5), "such as 85 or 160, got 5"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
