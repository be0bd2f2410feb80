"""Every model and norm through the public signatures: certificates, re-solving, refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsolve import (
    LBFGS,
    LSR1,
    DiagonalNorm,
    PartialSpectrum,
    QuadraticModel,
    ScaledMatrix,
    SubproblemStatus,
    gltr,
    solve_cubic,
    solve_trs,
    verify,
)
from qnsolve.subproblem.regions import Regularisation, TrustRegion
from qnsolve.subproblem.types import ReducedProblem
from tests.strategies import log_uniform, orthogonal, pair_stream, seeds, spectral_cases, weights

TRUST_REGION_NORMS = ("l2", "shape-inf", "shape-2")
CUBIC_NORMS = ("l2", "shape")
EXPLICIT_RTOL = 1e-11
"""Certificates with an explicit orthonormal basis: rounding, and clusters at 1e-12."""


def filled(matrix, seed=0, metric=None):
    """Return `matrix` after five pairs of a quadratic, in the metric where one is given."""
    n = matrix.n if metric is None else matrix.shape[0]
    rng = np.random.default_rng(seed)
    U = orthogonal(n, seed)
    low = 0.1 if isinstance(matrix, LBFGS) else -3.0
    H = (U * rng.uniform(low, 5.0, n)) @ U.T
    for _ in range(5):
        s = rng.standard_normal(n)
        assert matrix.update(s, H @ s).stored
    return matrix


def metric_of(n, seed=1):
    return DiagonalNorm(10 ** np.random.default_rng(seed).uniform(-1, 1, n))


def matrices(n=30):
    yield "lsr1", filled(LSR1(n, memory=5))
    yield "lsr1-full", filled(LSR1(4, memory=5), seed=3) if n < 5 else filled(LSR1(n, memory=8))
    yield "lbfgs", filled(LBFGS(n, memory=5))
    yield "dense", filled(LSR1(n, memory=5)).to_dense()
    yield "scaled", filled(ScaledMatrix(LSR1(n, memory=5), metric_of(n)), metric=metric_of(n))
    yield "spectrum", PartialSpectrum.from_basis(-1.0, np.array([2.0, 0.0]), orthogonal(n, 5)[:2])


@pytest.mark.parametrize("norm", TRUST_REGION_NORMS)
@pytest.mark.parametrize("radius", [1e-6, 1.0, 1e6])
def test_trust_region_of_every_matrix(norm, radius):
    g = np.random.default_rng(7).standard_normal(30)
    for name, B in matrices():
        if name == "scaled" and norm == "l2":
            continue  # not its own metric: tested with the Krylov solvers
        result = solve_trs(g, B, radius, norm=norm)
        assert result.certificate().worst <= 1e-10, name
        fitted = verify.check_trs(g, B, radius, result.step, norm=norm)
        assert fitted.worst <= 1e-9, name
        product = B @ result.step if isinstance(B, np.ndarray) else B.matvec(result.step)
        value = g @ result.step + 0.5 * result.step @ product
        assert -value == pytest.approx(result.decrease, rel=1e-9), name


@pytest.mark.parametrize("norm", CUBIC_NORMS)
@pytest.mark.parametrize("weight", [1e-6, 1.0, 1e6])
def test_cubic_of_every_matrix(norm, weight):
    g = np.random.default_rng(7).standard_normal(30)
    for name, B in matrices():
        if name == "scaled" and norm == "l2":
            continue
        result = solve_cubic(g, B, weight, norm=norm)
        assert result.certificate().worst <= 1e-10, name
        assert verify.check_cubic(g, B, weight, result.step, norm=norm).worst <= 1e-8, name


@given(spectral_cases(), seeds())
def test_certificates_over_spectra(case, seed):
    g, _, U = case.rotated(seed)
    r = len(case.eigenvalues)
    basis = np.ascontiguousarray(U[:, :r].T).reshape(r, case.n)
    model = QuadraticModel(g, PartialSpectrum.from_basis(case.gamma, case.eigenvalues, basis))
    for norm in TRUST_REGION_NORMS:
        assert model.trust_region(case.radius, norm).certificate().worst <= EXPLICIT_RTOL
    for norm in CUBIC_NORMS:
        assert model.regularised(case.radius, norm).certificate().worst <= EXPLICIT_RTOL


@given(spectral_cases(), log_uniform(1e-8, 1e8), log_uniform(1e-8, 1e8))
def test_shape_regions_contain_the_ball(case, one, two):
    """||s||_2 >= every shape norm, so the larger region decreases the model at least as much."""
    g, B = case.diagonal()
    r = len(case.eigenvalues)
    spectrum = PartialSpectrum.from_basis(case.gamma, case.eigenvalues, np.eye(case.n)[:r])
    model = QuadraticModel(g, spectrum)
    by_norm = [model.trust_region(one, norm).decrease for norm in TRUST_REGION_NORMS]
    ball, box, balls = by_norm
    assert box >= balls * (1 - 1e-12)
    assert balls >= ball * (1 - 1e-12)
    low, high = sorted((one, two))
    for norm in CUBIC_NORMS:
        light, heavy = (model.regularised(w, norm).decrease for w in (low, high))
        assert heavy <= light * (1 + 1e-12)
    assert B.shape == (case.n, case.n)


@given(seeds(), weights(), st.sampled_from([2.5, 3.0, 4.0, 6.0]))
def test_power_of_the_regulariser(seed, weight, power):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((4, 4))
    B, g = A + A.T, rng.standard_normal(4)
    result = solve_cubic(g, B, weight, norm="l2", power=power)
    assert result.certificate().worst <= 1e-11
    s = result.step
    length = np.linalg.norm(s)
    value = g @ s + 0.5 * s @ B @ s + weight / power * length**power
    size = abs(g @ s) + abs(s @ B @ s) + weight * length**power
    assert abs(value + result.decrease) <= 1e-12 * size
    nearby = s + 1e-3 * length * rng.standard_normal((50, 4))
    values = nearby @ g + 0.5 * np.einsum("ki,ij,kj->k", nearby, B, nearby)
    values += weight / power * np.linalg.norm(nearby, axis=1) ** power
    assert (values >= value - 1e-12 * size).all()


def test_power_two_is_the_shifted_system():
    g, B = np.array([1.0, 2.0]), np.array([[3.0, 1.0], [1.0, -2.0]])
    result = solve_cubic(g, B, 5.0, norm="l2", power=2)
    np.testing.assert_allclose(result.step, -np.linalg.solve(B + 5.0 * np.eye(2), g), rtol=1e-13)
    assert result.certificate().worst <= 1e-14


@pytest.mark.parametrize(
    ("curvature", "weight", "norm", "power"),
    [
        (-2.0, 1.0, "l2", 2.0),  # no minimiser at all
        (-1e200, 1e-200, "l2", 3.0),  # one that overflows
        (-1e200, 1e-200, "shape", 3.0),
        (-1e300, 1e-300, "l2", 2.5),
    ],
)
def test_unbounded_models_are_not_certified(curvature, weight, norm, power):
    n = 3
    B = PartialSpectrum.from_basis(curvature, np.array([curvature]), np.eye(n)[:1])
    result = solve_cubic(np.ones(n), B, weight, norm=norm, power=power)
    assert result.status is SubproblemStatus.UNBOUNDED
    assert not result.step.any() and result.decrease == 0.0
    certificate = result.certificate()
    assert certificate.worst == np.inf and certificate.feasibility == 0.0
    assert certificate.min_eig == -np.inf


# Odd input.


def every_matrix(n=3):
    """Return a model matrix of each kind, its own eigenvalues between -1 and 4."""
    diagonal = np.diag(np.linspace(-1.0, 4.0, n))
    lsr1 = LSR1(n)
    for e in np.eye(n):
        lsr1.update(e, diagonal @ e)
    scaled = ScaledMatrix(lsr1, DiagonalNorm(np.arange(1.0, n + 1)))
    return {
        "LSR1": lsr1,
        "spectrum": PartialSpectrum.from_dense(diagonal),
        "scaled": scaled,
        "dense": diagonal,
    }


@pytest.mark.parametrize("solve", [solve_trs, solve_cubic])
@pytest.mark.parametrize("kind", ["LSR1", "spectrum", "scaled", "dense"])
def test_gradients_are_converted_or_refused(solve, kind):
    B = every_matrix()[kind]
    expected = solve(np.array([1.0, 2.0, 3.0]), B, 1.0)
    for g in ([1, 2, 3], np.array([1, 2, 3], dtype=np.int8), np.array([1, 2, 3], np.float16)):
        result = solve(g, B, 1.0)
        assert result.step.dtype == np.float64
        np.testing.assert_array_equal(result.step, expected.step)
    for g in (
        np.array([True, False, True]),
        np.array([1.0, 2.0, 3.0j]),
        np.array(["1", "2", "3"]),
        np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0]),
    ):
        with pytest.raises(TypeError, match="g "):
            solve(g, B, 1.0)


@pytest.mark.parametrize("solve", [solve_trs, solve_cubic])
@pytest.mark.parametrize("kind", ["LSR1", "spectrum", "scaled", "dense"])
def test_arguments_may_be_overwritten_before_the_step_is_formed(solve, kind):
    g, B = np.array([1.0, 2.0, 3.0]), every_matrix()[kind]
    expected = solve(g, B, 1.0).step
    result = solve(g, B, 1.0)
    g[:] = 1e6
    if kind == "dense":
        B[:] = np.eye(3)
    np.testing.assert_array_equal(result.step, expected)
    assert result.certificate().worst <= (4e-8 if kind == "scaled" else 1e-14)


@pytest.mark.parametrize(
    ("B", "error"),
    [
        (np.array(3.0), ValueError),
        (np.ones((3, 2)), ValueError),
        (np.ones((3, 3, 3)), ValueError),
        (np.zeros((0, 0)), ValueError),
        (1j * np.eye(3), TypeError),
        (np.eye(3, dtype=object), TypeError),
        (np.eye(3).tolist(), TypeError),
    ],
)
def test_dense_matrices_are_refused(B, error):
    for solve in (solve_trs, solve_cubic):
        with pytest.raises(error, match="B must be"):
            solve(np.ones(3), B, 1.0)
    with pytest.raises((TypeError, ValueError)):
        QuadraticModel(np.ones(3), B)


def test_dense_matrix_of_one_variable():
    result = solve_trs(np.array([3.0]), np.array([[2.0]]), 10.0)
    assert result.step.tolist() == [-1.5]


def test_least_eigenvalue_of_a_certificate_is_relative():
    certificate = solve_trs(np.array([1.0, 0.0]), np.diag([2.0, 8.0]), 10.0).certificate()
    assert certificate.min_eig == 0.25


def test_products_of_the_step_come_with_it():
    B = filled(LSR1(7, memory=3), 0)
    assert B.shape == (7, 7)
    result = solve_trs(np.arange(1.0, 8.0), B, 0.1)
    np.testing.assert_array_equal(result.model.lift(result.reduced), result.step)
    np.testing.assert_allclose(result.products, B.pairs.products(result.step), rtol=1e-12)


@pytest.mark.parametrize("norm", TRUST_REGION_NORMS)
def test_decrease_beyond_the_largest_number(norm):
    result = solve_trs(np.ones(3), np.diag([-1.0, 2.0, 3.0]), 1e200, norm=norm)
    assert result.decrease == np.inf
    assert abs(result.step[0]) == 1e200 == result.length
    assert result.certificate().worst <= 1e-15


# Ellipsoidal norms.


@given(seeds(), log_uniform(1e-6, 1e6))
def test_diagonal_norm_is_a_change_of_variables(seed, radius):
    n = 6
    metric = metric_of(n, seed)
    B = filled(ScaledMatrix(LSR1(n, memory=3), metric), seed, metric)
    g = np.random.default_rng(seed).standard_normal(n)
    root = np.sqrt(metric.d)
    transformed = B.to_dense() / np.outer(root, root)
    for by_spectrum, by_matrix, plain in (
        (
            solve_trs(g, B, radius, norm=metric),
            solve_trs(g, B.to_dense(), radius, norm=metric),
            solve_trs(g / root, (transformed + transformed.T) / 2, radius),
        ),
        (
            solve_cubic(g, B, radius, norm=metric),
            solve_cubic(g, B.to_dense(), radius, norm=metric),
            solve_cubic(g / root, (transformed + transformed.T) / 2, radius, norm="l2"),
        ),
    ):
        assert by_spectrum.decrease == pytest.approx(plain.decrease, rel=1e-9)
        assert by_matrix.decrease == pytest.approx(plain.decrease, rel=1e-9)
        assert by_spectrum.certificate().worst <= 1e-10
        assert by_matrix.certificate().worst <= 1e-10
        assert metric.norm(by_spectrum.step) == pytest.approx(by_spectrum.length, rel=1e-10)


@pytest.mark.parametrize("rule", ["sgd", "adagrad", "rmsprop"])
def test_first_order_steps_are_trust_region_minimisers(rule):
    """-eta A^{-1} g minimises g's over ||s||_A <= eta ||g||_{A^{-1}} (Kohler et al., section 3)."""
    rng = np.random.default_rng(2)
    n, eta, beta = 50, 0.01, 0.9
    gradients = rng.standard_normal((20, n)) * np.logspace(-3, 2, n)
    mean = np.zeros(n)
    for gradient in gradients:
        mean = beta * mean + (1 - beta) * gradient**2
    d = {
        "sgd": np.ones(n),
        "adagrad": np.sqrt((gradients**2).sum(axis=0)),
        "rmsprop": np.sqrt(mean),
    }[rule]
    g, metric = gradients[-1], DiagonalNorm(d)
    nothing = PartialSpectrum.from_basis(0.0, np.empty(0), np.empty((0, n)))
    result = solve_trs(g, ScaledMatrix(nothing, metric), eta * metric.dual_norm(g), norm=metric)
    np.testing.assert_allclose(result.step, -eta * g / d, rtol=1e-14)


def test_array_libraries(xp):
    stream = pair_stream("quadratic", 6, 3, 4, seed=0)
    metric = DiagonalNorm(xp.asarray(np.arange(1.0, 7.0)))
    B = ScaledMatrix(LSR1(6, memory=3, like=metric.d), metric)
    for s, y in stream:
        B.update(xp.asarray(s), xp.asarray(y))
    g = xp.asarray(stream.S[0])
    for result in (
        solve_trs(g, B, 0.5, norm=metric),
        solve_trs(g, B.inner, 0.5, norm="shape-inf"),
        solve_trs(g, B.inner, 0.5, norm="shape-2"),
        solve_cubic(g, B, 2.0, norm=metric),
        solve_cubic(g, B.inner, 2.0),
    ):
        assert result.step.dtype == g.dtype
        assert getattr(result.step, "device", None) == getattr(g, "device", None)
        assert result.certificate().worst <= 1e-11


# Wrong answers and wrong arguments.


@pytest.mark.parametrize("norm", TRUST_REGION_NORMS)
def test_check_trs_sees_a_wrong_step(norm):
    rng = np.random.default_rng(3)
    A = rng.standard_normal((5, 5))
    B, g = A + A.T, rng.standard_normal(5)
    step = solve_trs(g, B, 1.0, norm=norm).step
    assert verify.check_trs(g, B, 1.0, step, norm=norm).worst <= 1e-13
    assert verify.check_trs(g, B, 1.0, 1.1 * step, norm=norm).worst >= 1e-3
    assert verify.check_trs(g, B, 1.0, step[::-1].copy(), norm=norm).worst >= 1e-3
    assert verify.check_trs(g, B, 1.0, 0 * step, norm=norm).worst >= 1e-3


@pytest.mark.parametrize("norm", CUBIC_NORMS)
def test_check_cubic_sees_a_wrong_step(norm):
    rng = np.random.default_rng(3)
    A = rng.standard_normal((5, 5))
    B, g = A + A.T, rng.standard_normal(5)
    step = solve_cubic(g, B, 1.0, norm=norm).step
    assert verify.check_cubic(g, B, 1.0, step, norm=norm).worst <= 1e-13
    assert verify.check_cubic(g, B, 1.0, 1.1 * step, norm=norm).worst >= 1e-3
    assert verify.check_cubic(g, B, 1.0, 0 * step, norm=norm).worst >= 1e-3


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"weight": 0.0}, ValueError, "weight must be positive"),
        ({"weight": None}, TypeError, "weight must be a number"),
        ({"norm": "shape-inf"}, ValueError, "norm must be one of"),
        ({"norm": 2}, TypeError, "norm must be a name or a DiagonalNorm"),
        ({"norm": DiagonalNorm(np.ones(3))}, ValueError, "norm is for n = 3, g has n = 2"),
        ({"power": 1.5, "norm": "l2"}, ValueError, "power must be at least 2"),
        ({"power": 4.0}, ValueError, "closed form for power 3"),
        ({"g": np.array([np.nan, 0.0])}, ValueError, "not finite"),
        ({"B": np.ones((2, 3))}, ValueError, "square"),
    ],
)
def test_wrong_arguments(change, error, message):
    arguments = {"g": np.ones(2), "B": np.eye(2), "weight": 1.0, **change}
    with pytest.raises(error, match=message):
        solve_cubic(**arguments)


@pytest.mark.parametrize("number", [10**400, -(10**400)], ids=["positive", "negative"])
def test_numbers_beyond_the_largest_float(number):
    with pytest.raises(ValueError, match="radius must be positive and finite"):
        solve_trs(np.ones(2), np.eye(2), number)
    with pytest.raises(ValueError, match=r"tol must be in \[0, 1\)"):
        gltr(np.ones(2), lambda v: v, 1.0, tol=number)


def test_verify_refuses():
    with pytest.raises(ValueError, match="multipliers must have shape"):
        verify.check_trs(np.ones(2), np.eye(2), 1.0, np.ones(2), [1.0, 2.0])


# A norm in which B has no partial spectrum: the Krylov solvers.


@given(seeds(), log_uniform(1e-2, 1e2))
def test_diagonal_norm_without_a_spectrum(seed, parameter):
    n = 8
    metric = metric_of(n, seed)
    B = filled(LSR1(n, memory=3), seed)
    g = np.random.default_rng(seed).standard_normal(n)
    dense = B.to_dense()
    dense = (dense + dense.T) / 2
    for krylov, exact in (
        (solve_trs(g, B, parameter, norm=metric), solve_trs(g, dense, parameter, norm=metric)),
        (solve_cubic(g, B, parameter, norm=metric), solve_cubic(g, dense, parameter, norm=metric)),
    ):
        assert krylov.decrease == pytest.approx(exact.decrease, rel=1e-7)
        assert krylov.certificate().stationarity <= 1e-6
        assert krylov.multipliers.shape == exact.multipliers.shape


def test_plain_norm_of_a_scaled_matrix():
    metric = metric_of(12)
    B = filled(ScaledMatrix(LSR1(12, memory=5), metric), metric=metric)
    g = np.arange(1.0, 13.0)
    dense = B.to_dense()
    dense = (dense + dense.T) / 2
    for norm, solve in (("l2", solve_trs), ("l2", solve_cubic)):
        krylov, exact = solve(g, B, 0.7, norm=norm), solve(g, dense, 0.7, norm=norm)
        assert krylov.decrease == pytest.approx(exact.decrease, rel=1e-8)


def test_complementarity_of_a_multiplier_that_is_not_that_of_the_length():
    term = Regularisation(weight=2.0, norm="l2", power=3.0)
    v = np.array([0.0, 2.0])
    assert term.complementarity(v, np.array([5.0]), 10.0) == pytest.approx(1.0 / 15.0)
    assert term.complementarity(v, np.array([4.0]), 10.0) == 0.0
    assert term.complementarity(0.0 * v, np.array([0.0]), 0.0) == 0.0


ENDS = {
    "lam": [(1.0, 2.0), (-1.0, 2.0), (0.0, 1.0), (1e300, 1e-300)],
    "gamma": [-1.0, 0.0, 1.0],
    "a": [(1.7e308, -1.7e308), (1e-320, 0.0), (0.0, 0.0)],
    "norm_perp": [0.0, 1.0, 1e308],
    "size": [1e-200, 1.0, 1e200],
}


@pytest.mark.parametrize(
    ("term", "norm"),
    [(TrustRegion, n) for n in TRUST_REGION_NORMS] + [(Regularisation, n) for n in CUBIC_NORMS],
)
def test_numbers_at_the_ends_of_the_range(term, norm):
    """No warning, and a step with a decrease; or word that there is none."""
    solved = 0
    for lam, gamma, a, norm_perp, size in itertools.product(*ENDS.values()):
        step = term(size, norm).solve(ReducedProblem.of(lam, a, gamma, norm_perp))
        if step.status is SubproblemStatus.UNBOUNDED:
            assert term is Regularisation
            continue
        solved += 1
        assert step.status is SubproblemStatus.SOLVED
        assert step.decrease >= 0.0
        assert np.isfinite([*step.par, step.perp]).all()
    assert solved >= 30


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("term", [TrustRegion(1.0, "shape-2"), Regularisation(1.0, "l2")])
def test_gradient_with_coordinates_beyond_the_range(term, bad):
    for par, perp in ((bad, 1.0), (1.0, bad)):
        step = term.solve(ReducedProblem.of([-1.0], [par], 1.0, perp))
        assert step.status is SubproblemStatus.NONFINITE
        assert step.decrease == step.length == 0.0
