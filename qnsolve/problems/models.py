r"""Small models on real data as minimisation problems: tanh networks and robust regression."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
from scipy.special import expit, log_softmax

from qnsolve.problems.datasets import Dataset, breast_cancer, digits
from qnsolve.problems.problem import Problem


@dataclass(frozen=True, eq=False)
class Classifier(Problem):
    """A problem whose variables are the parameters of a classifier.

    Parameters
    ----------
    network : TanhNetwork
    data : Dataset
        Only its training part enters the objective.

    Other parameters are those of :class:`~qnsolve.problems.Problem`.

    Examples
    --------
    >>> from qnsolve.problems import breast_cancer_network
    >>> problem = breast_cancer_network(hidden=4)
    >>> 0.0 <= problem.accuracy(problem.x0, "test") <= 1.0
    True
    """

    network: TanhNetwork = field(kw_only=True)
    data: Dataset = field(kw_only=True)

    def accuracy(self, x: np.ndarray, split: str = "test") -> float:
        """Return the share of the samples of `split`, "train" or "test", that `x` gets right."""
        features, classes = self.data.part(split)
        return float(np.mean(self.network.classify(x, features) == classes))


@dataclass(frozen=True)
class TanhNetwork:
    r"""A fully connected network with tanh in the hidden layers, parameters in one flat vector.

    .. math::

        a_0 = \text{features}, \quad a_k = \tanh(a_{k-1} W_k + b_k), \quad
        z = a_{K-1} W_K + b_K,
        \qquad x = (W_1, b_1, \dots, W_K, b_K)

    Parameters
    ----------
    widths : tuple of int
        Number of features, units of each hidden layer, number of outputs.  One output means two
        classes with :math:`P(\text{class } 1) = 1 / (1 + e^{-z})`; more outputs are the scores of
        as many classes.

    Examples
    --------
    >>> from qnsolve.problems import TanhNetwork
    >>> TanhNetwork((30, 16, 1)).n
    513
    """

    widths: tuple[int, ...]

    @property
    def n(self) -> int:
        """Number of parameters."""
        return sum((rows + 1) * columns for rows, columns in pairwise(self.widths))

    def layers(self, x: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return views ``(W, b)`` into the flat vector `x`, one pair for each layer."""
        if x.shape != (self.n,):
            raise ValueError(f"the network has {self.n} parameters, got shape {x.shape}")
        views, start = [], 0
        for rows, columns in pairwise(self.widths):
            middle, end = start + rows * columns, start + (rows + 1) * columns
            views.append((x[start:middle].reshape(rows, columns), x[middle:end]))
            start = end
        return views

    def initial(self, seed: int) -> np.ndarray:
        """Return random parameters: Glorot-uniform weights, zero biases."""
        rng = np.random.default_rng(seed)
        x = np.zeros(self.n)
        for weight, _ in self.layers(x):
            bound = np.sqrt(6.0 / sum(weight.shape))
            weight[...] = rng.uniform(-bound, bound, weight.shape)
        return x

    def activations(self, x: np.ndarray, features: np.ndarray) -> list[np.ndarray]:
        """Return ``[a_0, ..., a_{K-1}, z]`` for samples in the rows of `features`."""
        *hidden, (weight, bias) = self.layers(x)
        a = [features]
        for w, b in hidden:
            a.append(np.tanh(a[-1] @ w + b))
        a.append(a[-1] @ weight + bias)
        return a

    def classify(self, x: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Return the class number of each sample."""
        z = self.activations(x, features)[-1]
        return (z[:, 0] > 0.0).astype(np.intp) if z.shape[1] == 1 else z.argmax(axis=1)

    def value_and_grad(
        self, features: np.ndarray, classes: np.ndarray, l2: float, x: np.ndarray
    ) -> tuple[float, np.ndarray]:
        r"""Return the mean cross entropy plus :math:`\tfrac12 l_2 \|x\|^2`, and its gradient."""
        a = self.activations(x, features)
        cross_entropy = _binary_cross_entropy if self.widths[-1] == 1 else _cross_entropy
        value, delta = cross_entropy(a.pop(), classes)
        g = np.empty_like(x)
        layers, grads = self.layers(x), self.layers(g)
        for (weight, _), (dweight, dbias) in zip(reversed(layers), reversed(grads), strict=True):
            activation = a.pop()
            np.matmul(activation.T, delta, out=dweight)
            delta.sum(axis=0, out=dbias)
            if a:  # nobody asks for the derivative with respect to the features
                delta = (delta @ weight.T) * (1.0 - activation * activation)
        if l2:
            value += 0.5 * l2 * float(x @ x)
            g += l2 * x
        return value, g


def _binary_cross_entropy(z: np.ndarray, classes: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean of ``log(1 + exp(z)) - y z``, and its derivative with respect to `z`."""
    y = classes[:, np.newaxis]
    # logaddexp(0, z) is log(1 + exp(z)) without overflow or loss of small values.
    value = float(np.mean(np.logaddexp(0.0, z) - y * z))
    return value, (expit(z) - y) / len(y)


def _cross_entropy(z: np.ndarray, classes: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean of ``-log softmax(z)[class]``, and its derivative with respect to `z`."""
    log_p = log_softmax(z, axis=1)
    rows = np.arange(len(classes))
    delta = np.exp(log_p)
    delta[rows, classes] -= 1.0
    return -float(np.mean(log_p[rows, classes])), delta / len(classes)


def breast_cancer_network(
    hidden: int | Sequence[int] = 16, *, l2: float = 1e-4, seed: int = 0
) -> Classifier:
    r"""Return the training of a tanh network that tells malignant from benign masses.

    .. math::

        f(x) = \frac1N \sum_{i=1}^{N} \log(1 + e^{z_i}) - y_i z_i + \frac{l_2}{2} \|x\|^2

    over the N = 456 training samples of :func:`breast_cancer`; :math:`z_i` is the output of the
    network with parameters x, a nonconvex function of them.

    Parameters
    ----------
    hidden : int or sequence of int
        Units of the hidden layer, or of each hidden layer.  One layer of h units has 32 h + 1
        parameters.
    l2 : float, >= 0
        Weight of the penalty, on all parameters.
    seed : int
        Of the random initial weights.

    Returns
    -------
    Classifier

    Examples
    --------
    >>> from qnsolve.problems import breast_cancer_network
    >>> problem = breast_cancer_network(hidden=8)
    >>> f, g = problem.fun(problem.x0)
    >>> problem.n, g.shape
    (257, (257,))
    """
    return _train("breast-cancer-network", breast_cancer(), hidden, 1, l2, seed)


def digits_network(
    hidden: int | Sequence[int] = 32, *, l2: float = 1e-4, seed: int = 0
) -> Classifier:
    r"""Return the training of a tanh network that reads handwritten digits.

    .. math::

        f(x) = -\frac1N \sum_{i=1}^{N} \log \frac{e^{z_{i, c_i}}}{\sum_{k=0}^{9} e^{z_{ik}}}
        + \frac{l_2}{2} \|x\|^2

    over the N = 1438 training samples of :func:`digits`, of class :math:`c_i`.

    Parameters
    ----------
    hidden : int or sequence of int
        Units of the hidden layer, or of each hidden layer.  One layer of h units has 75 h + 10
        parameters.
    l2 : float, >= 0
        Weight of the penalty, on all parameters.
    seed : int
        Of the random initial weights.

    Returns
    -------
    Classifier

    Examples
    --------
    >>> from qnsolve.problems import digits_network
    >>> digits_network().n
    2410
    """
    return _train("digits-network", digits(), hidden, 10, l2, seed)


def breast_cancer_network_of_size(n: int = 513) -> Classifier:
    """Return :func:`breast_cancer_network` with one hidden layer and n parameters in all.

    Parameters
    ----------
    n : int, 32 h + 1
        h is the number of hidden units.

    Returns
    -------
    Classifier

    Examples
    --------
    >>> from qnsolve.problems import breast_cancer_network_of_size
    >>> breast_cancer_network_of_size(65).network.widths
    (30, 2, 1)
    """
    return breast_cancer_network(_hidden_units("breast_cancer_network", n, 32, 1))


def digits_network_of_size(n: int = 2410) -> Classifier:
    """Return :func:`digits_network` with one hidden layer and n parameters in all.

    Parameters
    ----------
    n : int, 75 h + 10
        h is the number of hidden units.

    Returns
    -------
    Classifier

    Examples
    --------
    >>> from qnsolve.problems import digits_network_of_size
    >>> digits_network_of_size(160).network.widths
    (64, 2, 10)
    """
    return digits_network(_hidden_units("digits_network", n, 75, 10))


def robust_regression(n: int = 30, *, scale: float = 0.5, l2: float = 1e-4) -> Problem:
    r"""Return a linear regression with Welsch's loss, which gives up on outliers.

    .. math::

        f(x) = \frac1N \sum_{i=1}^{N} \frac{c^2}{2} \Bigl( 1 - e^{-(r_i / c)^2} \Bigr)
        + \frac{l_2}{2} \|x\|^2,
        \qquad r = A x - t

    A holds 29 standardised measurements of the N = 456 training samples of :func:`breast_cancer`
    and a column of ones; t is the measurement left out, the standard error of the nuclei's area.
    It has the heaviest tail of all, so least squares follows a few samples.  A residual beyond
    :math:`c / \sqrt2` curves the loss downwards: f is bounded and not convex.

    Parameters
    ----------
    n : int
        Number of coefficients; the data allow only 30.
    scale : float, > 0
        c, in standard deviations of t.
    l2 : float, >= 0
        Weight of the penalty.

    Returns
    -------
    Problem
        Started at zero.

    References
    ----------
    J. E. Dennis and R. E. Welsch, "Techniques for nonlinear least squares and robust regression",
    Comm. Statist. Simulation Comput. 7 (1978), 345-359.

    Examples
    --------
    >>> from qnsolve.problems import robust_regression
    >>> problem = robust_regression()
    >>> f, g = problem.fun(problem.x0)
    >>> 0.0 < f < 0.125
    True
    """
    data = breast_cancer()
    if n != len(data.feature_names):
        raise ValueError(f"robust_regression: n must be {len(data.feature_names)}, got {n}")
    source, design, target = _area_error("robust_regression", scale, l2)
    fun = partial(_welsch, design, target, scale, l2)
    return Problem("robust-regression", n, np.zeros(n), fun, None, source)


def _welsch(
    design: np.ndarray, target: np.ndarray, scale: float, l2: float, x: np.ndarray
) -> tuple[float, np.ndarray]:
    r = design @ x - target
    square = (r / scale) ** 2
    # expm1 keeps the value of a residual that is tiny against the scale.
    f = -0.5 * scale**2 * np.mean(np.expm1(-square)) + 0.5 * l2 * (x @ x)
    return float(f), (r * np.exp(-square)) @ design / len(target) + l2 * x


def fourier_logistic(n: int = 1000, *, l2: float = 1e-4, seed: int = 0) -> Problem:
    r"""Return a logistic regression on n random Fourier features of the breast cancer data.

    .. math::

        f(x) = \frac1N \sum_{i=1}^{N} \log(1 + e^{z_i}) - y_i z_i + \frac{l_2}{2} \|x\|^2,
        \qquad z = \Phi x, \quad \Phi_{ik} = \sqrt2 \cos(\omega_k^T a_i + b_k)

    over the N = 456 training samples :math:`a_i` of :func:`breast_cancer`.  The data are real and
    have 30 measurements; the n features are made from them, so as to have a convex problem with
    many variables whose Hessian has rank N and the penalty.

    Parameters
    ----------
    n : int, >= 1
        Number of features.  The design matrix takes 8 N n bytes.
    l2 : float, >= 0
        Weight of the penalty.
    seed : int
        Of the frequencies and phases.

    Returns
    -------
    Problem
        Started at zero.

    References
    ----------
    A. Rahimi and B. Recht, "Random features for large-scale kernel machines", Advances in Neural
    Information Processing Systems 20 (2007).

    Examples
    --------
    >>> from qnsolve.problems import fourier_logistic
    >>> problem = fourier_logistic(50)
    >>> f, g = problem.fun(problem.x0)
    >>> round(f, 6), g.shape
    (0.693147, (50,))
    """
    _check_l2("fourier_logistic", l2)
    data = breast_cancer()
    design = _fourier_features("fourier_logistic", data.X_train, n, seed)
    fun = partial(_logistic, design, data.y_train, l2)
    return Problem("fourier-logistic", n, np.zeros(n), fun, None, data.source)


def _logistic(
    design: np.ndarray, classes: np.ndarray, l2: float, x: np.ndarray
) -> tuple[float, np.ndarray]:
    value, delta = _binary_cross_entropy((design @ x)[:, np.newaxis], classes)
    return value + 0.5 * l2 * float(x @ x), delta[:, 0] @ design + l2 * x


def fourier_robust(
    n: int = 1000, *, scale: float = 0.5, l2: float = 1e-4, seed: int = 0
) -> Problem:
    r"""Return :func:`robust_regression` on n random Fourier features of its 29 measurements.

    The loss, the data and the target are the same, the features are those of
    :func:`fourier_logistic`.  f is not convex.

    Parameters
    ----------
    n : int, >= 1
        Number of features.
    scale : float, > 0
        c of Welsch's loss, in standard deviations of the target.
    l2 : float, >= 0
        Weight of the penalty.
    seed : int
        Of the frequencies and phases.

    Returns
    -------
    Problem
        Started at zero.

    Examples
    --------
    >>> from qnsolve.problems import fourier_robust
    >>> problem = fourier_robust(50)
    >>> 0.0 < problem.fun(problem.x0)[0] < 0.125
    True
    """
    source, design, target = _area_error("fourier_robust", scale, l2)
    features = _fourier_features("fourier_robust", design, n, seed)
    fun = partial(_welsch, features, target, scale, l2)
    return Problem("fourier-robust", n, np.zeros(n), fun, None, source)


def _area_error(name: str, scale: float, l2: float) -> tuple[str, np.ndarray, np.ndarray]:
    """Return the source, 29 measurements and a column of ones, and the 30th, the area's error."""
    if not 0.0 < scale < np.inf:
        raise ValueError(f"{name}: scale must be positive and finite, got {scale!r}")
    _check_l2(name, l2)
    data = breast_cancer()
    left_out = data.feature_names.index("area_error")
    target = data.X_train[:, left_out].copy()
    design = data.X_train.copy()
    design[:, left_out] = 1.0
    return data.source, design, target


def _fourier_features(name: str, samples: np.ndarray, n: int, seed: int) -> np.ndarray:
    n = operator.index(n)
    if n < 1:
        raise ValueError(f"{name}: n must be at least 1, got {n}")
    rng = np.random.default_rng(seed)
    # Standardised measurements: the distance of two samples is near sqrt(2 * measurements), and
    # the kernel should have about this width.
    frequencies = rng.standard_normal((samples.shape[1], n)) / np.sqrt(2.0 * samples.shape[1])
    return np.sqrt(2.0) * np.cos(samples @ frequencies + rng.uniform(0.0, 2.0 * np.pi, n))


def _train(
    name: str, data: Dataset, hidden: int | Sequence[int], outputs: int, l2: float, seed: int
) -> Classifier:
    units = tuple(operator.index(h) for h in np.atleast_1d(hidden))
    if min(units, default=1) < 1:
        raise ValueError(f"{name}: hidden layers must have at least one unit, got {hidden!r}")
    _check_l2(name, l2)
    network = TanhNetwork((len(data.feature_names), *units, outputs))
    fun = partial(network.value_and_grad, data.X_train, data.y_train, l2)
    x0 = network.initial(seed)
    return Classifier(name, network.n, x0, fun, None, data.source, network=network, data=data)


def _check_l2(name: str, l2: float) -> None:
    if not 0.0 <= l2 < np.inf:
        raise ValueError(f"{name}: l2 must be finite and >= 0, got {l2!r}")


def _hidden_units(name: str, n: int, each: int, outputs: int) -> int:
    hidden, rest = divmod(n - outputs, each)
    if rest or hidden < 1:
        below = max(hidden, 1) * each + outputs
        raise ValueError(
            f"{name}: n must be {each} h + {outputs} for h hidden units, "
            f"such as {below} or {below + each}, got {n}"
        )
    return hidden
