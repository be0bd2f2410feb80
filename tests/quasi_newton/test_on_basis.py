"""A matrix on a basis that is no eigenbasis: what it says, and when eigenvectors are computed."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from qnsolve import LSR1, HybridLSR1, QuadraticModel
from qnsolve.quasi_newton import hybrid, on_basis
from qnsolve.quasi_newton.spectrum import FAST
from qnsolve.subproblem.model import FreeStep


def filled(matrix, n, k, seed=0):
    """Return a matrix with k pairs of a positive definite quadratic."""
    rng = np.random.default_rng(seed)
    d = np.logspace(0.0, 2.0, n)
    for _ in range(k):
        s = rng.standard_normal(n)
        matrix.update(s, d * s)
    return matrix, rng.standard_normal(n)


# Far fewer pairs than variables; as many numbers as variables; a space that they span.
SIZES = [(40, 5), (20, 10), (8, 10)]


@pytest.mark.parametrize("kind", [HybridLSR1, LSR1])
@pytest.mark.parametrize(("n", "k"), SIZES)
def test_the_loop_s_spectrum_is_that_of_the_matrix(kind, n, k):
    B, g = filled(kind(n, memory=k), n, k)
    loop, accurate = B.spectrum(FAST), np.linalg.eigvalsh(B.to_dense())
    of_loop = np.sort(np.append(loop.eigenvalues, [B.gamma] * loop.complement_dim))
    np.testing.assert_allclose(of_loop, accurate, rtol=1e-8)
    np.testing.assert_allclose(loop @ g, B @ g, rtol=1e-7, atol=1e-7 * np.abs(B @ g).max())
    assert np.isclose(
        np.hypot(np.linalg.norm(loop.project(g)[0]), loop.project(g)[1]), np.linalg.norm(g)
    )


@pytest.mark.parametrize("xp_dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("n", "k"), SIZES)
def test_steps_inside_and_on_the_boundary_are_certified(n, k, xp_dtype):
    B, g = filled(HybridLSR1(n, memory=k, dtype=xp_dtype), n, k)
    g = g.astype(xp_dtype)
    model = QuadraticModel(g, B.spectrum(FAST))
    free = model.trust_region(1e6)
    assert isinstance(free, FreeStep) and not free.on_boundary
    short = model.trust_region(0.5 * free.length)
    assert not isinstance(short, FreeStep) and short.on_boundary
    bound = 1e-5 if xp_dtype is np.float32 else 1e-10
    for result in (free, short):
        assert result.certificate().worst <= bound
        # Both descriptions of a step, on the basis and on the eigenvectors, are of the same one.
        lifted = model.lift(result.reduced)
        assert np.linalg.norm(lifted - result.step) <= bound * np.linalg.norm(result.step)
        assert np.isclose(result.slope, model.slope(result.reduced), rtol=bound)
        assert np.isclose(result.length, result.reduced.length, rtol=bound)
        if result.products is not None:
            expected = B.pairs.products(result.step)
            assert np.abs(result.products - expected).max() <= bound * np.abs(expected).max()


def test_a_free_step_needs_no_eigenvectors(monkeypatch):
    B, g = filled(HybridLSR1(30, memory=4), 30, 4)

    def never(*_):
        raise AssertionError("eigenvectors were computed")

    with monkeypatch.context() as patch:
        for module in (hybrid, on_basis):
            patch.setattr(module, "eigh", never)
        patch.setattr(hybrid, "reflected", never)
        result = QuadraticModel(g, B.spectrum(FAST)).trust_region(1e6)
        assert result.step.shape == (30,)
    np.testing.assert_allclose(B @ result.step, -g, rtol=1e-8, atol=1e-8)


def test_other_norms_and_weights_see_the_same_model():
    B, g = filled(HybridLSR1(20, memory=3), 20, 3)
    loop, accurate = QuadraticModel(g, B.spectrum(FAST)), QuadraticModel(g, B.spectrum())
    for norm in ("shape-inf", "shape-2"):
        steps = [model.trust_region(0.3, norm).step for model in (loop, accurate)]
        np.testing.assert_allclose(*steps, rtol=1e-7, atol=1e-9)
    for norm in ("l2", "shape"):
        steps = [model.regularised(2.0, norm).step for model in (loop, accurate)]
        np.testing.assert_allclose(*steps, rtol=1e-7, atol=1e-9)


def test_it_can_be_pickled():
    for kind in (HybridLSR1, LSR1):
        B, g = filled(kind(12, memory=3), 12, 3)
        spectrum = pickle.loads(pickle.dumps(B.spectrum(FAST)))
        np.testing.assert_array_equal(spectrum @ g, B.spectrum(FAST) @ g)


def test_values_can_be_exchanged():
    B, g = filled(HybridLSR1(12, memory=2), 12, 2)
    spectrum = B.spectrum(FAST)
    doubled = spectrum.with_values(2.0 * spectrum.gamma, 2.0 * spectrum.eigenvalues)
    np.testing.assert_allclose(doubled @ g, 2.0 * (spectrum @ g), rtol=1e-12)
    half = QuadraticModel(g, doubled).trust_region(1e6).step
    np.testing.assert_allclose(
        2.0 * half, QuadraticModel(g, spectrum).trust_region(1e6).step, rtol=1e-8
    )
