"""PartialSpectrum: projection, lifting, the complement, and staleness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsolve import LSR1, PartialSpectrum
from qnsolve.quasi_newton.pairs import GramBlocks
from qnsolve.quasi_newton.scaling import RULES, GeneralisedEigenvalue, WindowMax, resolve_rule
from qnsolve.quasi_newton.spectrum import ACCURATE, FAST
from tests.strategies import eigenvalue_lists, orthogonal, pair_stream, seeds
from tests.tolerances import EPS


@st.composite
def explicit_spectra(draw):
    """Draw a spectrum with an explicit basis, and the dense matrix that it stands for."""
    n = draw(st.integers(1, 8))
    r = draw(st.integers(0, n))
    eigenvalues = draw(eigenvalue_lists(r))
    gamma = float(draw(eigenvalue_lists(1))[0])
    basis = orthogonal(n, draw(seeds()))[:r]
    spectrum = PartialSpectrum.from_basis(gamma, eigenvalues, basis)
    dense = basis.T @ np.diag(eigenvalues) @ basis + gamma * (np.eye(n) - basis.T @ basis)
    return spectrum, basis, dense


@given(explicit_spectra(), seeds())
def test_projection_and_product(drawn, seed):
    spectrum, basis, dense = drawn
    n = spectrum.space.size
    v = np.random.default_rng(seed).standard_normal(n)
    par, norm_perp = spectrum.project(v)
    np.testing.assert_allclose(np.sort(par), np.sort(basis @ v), atol=8 * n * EPS)
    outside = np.linalg.norm(v - basis.T @ (basis @ v))
    assert abs(norm_perp - outside) <= 100 * n * EPS * np.linalg.norm(v)
    atol = 100 * n * EPS * spectrum.scale * np.linalg.norm(v)
    np.testing.assert_allclose(spectrum @ v, dense @ v, atol=atol, rtol=0)
    assert spectrum.complement_dim == n - len(basis)


@given(explicit_spectra(), st.sampled_from([1e-3, 1e-8, 1e-12]), seeds())
def test_small_perpendicular_part_keeps_its_digits(drawn, part, seed):
    """||g_perp|| is not the difference of two squares where little is left of it."""
    spectrum, basis, _ = drawn
    n, r = spectrum.space.size, len(basis)
    if r in (0, n):
        return
    rng = np.random.default_rng(seed)
    inside = basis.T @ rng.standard_normal(r)
    outside = rng.standard_normal(n)
    outside -= basis.T @ (basis @ outside)
    outside *= part * np.linalg.norm(inside) / np.linalg.norm(outside)
    _, norm_perp = spectrum.project(inside + outside)
    expected = np.linalg.norm(outside)
    assert abs(norm_perp - expected) <= 100 * n * EPS * np.linalg.norm(inside)


def test_split_of_an_outer_loop_keeps_no_vector():
    B = LSR1(5, gamma=2.0)
    s = np.eye(5)[0]
    assert B.update(s, 3.0 * s).stored
    g = s + 1e-3 * np.eye(5)[1]
    kept = {limit: B.spectrum(limit).split(g) for limit in (FAST, ACCURATE)}
    assert kept[FAST].carrier is g and kept[ACCURATE].carrier is not g
    for split in kept.values():
        assert split.norm_perp == pytest.approx(1e-3, rel=1e-9)


def test_part_in_the_complement_that_is_rounding_is_zero():
    basis = orthogonal(6, 3)[:3]
    spectrum = PartialSpectrum.from_basis(1.0, np.ones(3), basis)
    _, norm_perp = spectrum.project(basis.T @ np.array([1.0, -2.0, 0.5]))
    assert norm_perp == 0.0


@given(explicit_spectra())
def test_complement_direction(drawn):
    spectrum, basis, _ = drawn
    if spectrum.complement_dim == 0:
        with pytest.raises(ValueError, match="full"):
            spectrum.complement_direction()
        return
    direction = spectrum.complement_direction()
    n = len(direction)
    assert abs(np.linalg.norm(direction) - 1.0) <= 8 * n * EPS
    # One re-orthogonalisation, of a vector that kept at least 1 / sqrt(r + 1) of its length.
    assert np.abs(basis @ direction).max(initial=0.0) <= 8 * n * EPS


def test_solve(xp):
    spectrum = PartialSpectrum.from_basis(2.0, np.array([-1.0]), xp.asarray([[1.0, 0.0, 0.0]]))
    x = spectrum.solve(xp.asarray([3.0, 6.0, 9.0]), shift=1.0 / 2.0)
    np.testing.assert_allclose([float(v) for v in x], [-6.0, 2.4, 3.6], rtol=1e-14)
    with pytest.raises(np.linalg.LinAlgError):
        spectrum.solve(xp.asarray([1.0, 0.0, 0.0]), shift=1.0)


def test_stale_spectrum_refuses_to_work():
    B = LSR1(4, memory=2)
    stream = pair_stream("quadratic", 4, 2, 3, seed=0)
    B.update(stream.S[0], stream.Y[0])
    spectrum = B.spectrum()
    B.update(stream.S[1], stream.Y[1])
    with pytest.raises(RuntimeError, match="changed"):
        spectrum.project(stream.S[0])
    with pytest.raises(RuntimeError, match="changed"):
        spectrum.lift(np.ones(1), 1.0, stream.S[0])


def test_no_version_comes_again():
    """Or a spectrum of rows that are gone would pass for one of those that are there."""
    B = LSR1(4, memory=2, gamma=1.0)
    versions = [B.pairs.version]

    def changed():
        versions.append(B.pairs.version)
        assert versions[-1] > versions[-2]

    for s, y in pair_stream("quadratic", 4, 2, 3, seed=0):
        assert B.update(s, y).stored
        changed()
    state = {name: np.array(part) for name, part in B.pairs.snapshot().items()}
    for change in (
        lambda: B.rescale(np.array([1.0, 2.0, 3.0, 4.0])),
        lambda: B.pairs.keep(1),
        lambda: B.pairs.restore(state),
        B.reset,
    ):
        change()
        changed()


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.empty((0, 0)), "square"),
        (np.array([[1.0, 2.0], [3.0, 4.0]]), "symmetric"),
        (np.array([[np.nan]]), "finite"),
    ],
)
def test_from_dense_refuses(matrix, message):
    with pytest.raises(ValueError, match=message):
        PartialSpectrum.from_dense(matrix)


def blocks_of(S, Y):
    return GramBlocks(S @ S.T, S @ Y.T, Y @ Y.T)


@given(seeds())
def test_eigenvalue_rule_makes_gamma_the_smallest_eigenvalue(seed):
    rng = np.random.default_rng(seed)
    n, k = 9, 3
    H = rng.standard_normal((n, n))
    S = rng.standard_normal((k, n))
    Y = S @ (H + H.T)
    gamma = GeneralisedEigenvalue()(blocks_of(S, Y), [], 1.0)
    B = LSR1(n, memory=k, gamma=gamma)
    if not all(B.update(s, y).stored for s, y in zip(S, Y, strict=True)):
        return
    smallest = np.linalg.eigvalsh(B.to_dense()).min()
    assert abs(smallest - gamma) <= 1e-8 * B.spectrum().scale


def test_rules():
    blocks = blocks_of(np.eye(2)[:1], np.eye(2)[:1])
    nan = float("nan")
    assert RULES["latest"](blocks, [4.0, nan], 7.0) == 7.0
    assert RULES["latest"](blocks, [nan, 4.0], 7.0) == 4.0
    assert WindowMax(2)(blocks, [9.0, 3.0, nan], 7.0) == 3.0
    assert WindowMax(2)(blocks, [nan, nan], 7.0) == 7.0
    assert resolve_rule(2)(blocks, [1.0], 7.0) == 2.0
    # Dependent steps have no generalised eigenvalue: gamma stays.
    twice = blocks_of(np.ones((2, 3)), np.ones((2, 3)))
    assert GeneralisedEigenvalue()(twice, [1.0, 1.0], 7.0) == 7.0
    # No curvature at all gives no gamma.
    assert GeneralisedEigenvalue()(blocks_of(np.eye(2)[:1], np.eye(2)[1:]), [nan], 7.0) == 7.0
    with pytest.raises(ValueError, match="window"):
        WindowMax(0)


@pytest.mark.parametrize(
    "basis",
    [
        2.0 * np.eye(2, 4),
        np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]]),
        np.eye(2, 4) + 1e-12,
        np.full((1, 3), np.nan),
    ],
)
def test_a_basis_that_is_not_orthonormal_is_refused(basis):
    with pytest.raises(ValueError, match="rows of basis must be orthonormal"):
        PartialSpectrum.from_basis(1.0, np.arange(1.0, 1.0 + len(basis)), basis)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (20, 1000)])
def test_a_basis_that_is_orthonormal_to_rounding_is_taken(shape, dtype):
    r, n = shape
    for seed in range(20):
        square = np.random.default_rng(seed).standard_normal((n, r)).astype(dtype)
        basis = np.ascontiguousarray(np.linalg.qr(square)[0].T)
        assert len(PartialSpectrum.from_basis(1.0, np.arange(r * 1.0), basis).eigenvalues) == r
