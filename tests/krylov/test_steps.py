"""The Krylov solvers as generators: a loop answers for the products."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from qnsolve import DiagonalNorm, SubproblemStatus, gltr, lanczos_cubic, steihaug_cg
from qnsolve.krylov.gltr import gltr_steps
from qnsolve.krylov.products import answered
from qnsolve.krylov.steihaug import steihaug_steps

PAIRS = [(steihaug_cg, steihaug_steps), (gltr, gltr_steps)]
LAM = np.linspace(-1.0, 3.0, 12)
G = np.cos(np.arange(12.0))


def drive(steps):
    """Return the result of a generator, and what it has asked for."""
    asked, product = [], None
    try:
        while True:
            asked.append(steps.send(product))
            product = LAM * asked[-1]
    except StopIteration as stop:
        return stop.value, asked


@pytest.mark.parametrize(("solve", "steps"), PAIRS)
@pytest.mark.parametrize("norm", [None, DiagonalNorm(np.linspace(0.5, 2.0, 12))])
@pytest.mark.parametrize("options", [{}, {"tol": 0.1}, {"maxiter": 3}])
def test_steps_are_those_of_the_public_solver(solve, steps, norm, options):
    calls = []

    def hessp(v):
        calls.append(v)
        return LAM * v

    public = solve(G, hessp, 2.0, norm=norm, **options)
    result, asked = drive(steps(G, 2.0, norm=norm, **options))
    np.testing.assert_array_equal(asked, calls)
    np.testing.assert_array_equal(result.step, public.step)
    assert result.decrease == public.decrease
    assert (result.nit, result.status) == (public.nit, public.status)


@pytest.mark.parametrize(("solve", "steps"), PAIRS)
def test_two_at_once(solve, steps):
    """What they ask for is answered in one product with a block of vectors."""
    runs = {k: steps((k + 1) * G, 1.0 + k) for k in range(3)}
    answers, results = dict.fromkeys(runs), {}
    while runs:
        asked = {}
        for k, run in list(runs.items()):
            try:
                asked[k] = run.send(answers[k])
            except StopIteration as stop:
                results[k] = stop.value
                del runs[k]
        if asked:
            block = LAM * np.stack(list(asked.values()))
            answers = dict(zip(asked, block, strict=True))
    for k, result in results.items():
        alone = solve((k + 1) * G, lambda v: LAM * v, 1.0 + k)
        np.testing.assert_array_equal(result.step, alone.step)


@pytest.mark.parametrize(("solve", "steps"), PAIRS)
def test_certificate_asks_for_its_products_too(solve, steps):
    public = solve(G, lambda v: LAM * v, 2.0)
    result, _ = drive(steps(G, 2.0))
    assert result.hessp is None
    certificate, asked = drive(result.certificate_steps())
    assert len(asked) == 1
    assert certificate == public.certificate()
    with pytest.raises(TypeError, match="hessp must be callable"):
        result.certificate()


@pytest.mark.parametrize("error", [StopIteration, KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("solve", [steihaug_cg, gltr, lanczos_cubic])
def test_exceptions_of_the_products_pass_unchanged(solve, error):
    def hessp(v):
        raise error("mine")

    with pytest.raises(error, match="mine"):
        solve(G, hessp, 1.0)


@pytest.mark.parametrize("steps", [steihaug_steps, gltr_steps])
def test_exceptions_thrown_in_pass_unchanged(steps):
    run = steps(G, 1.0)
    next(run)
    with pytest.raises(ZeroDivisionError, match="mine"):
        run.throw(ZeroDivisionError("mine"))


@pytest.mark.parametrize("steps", [steihaug_steps, gltr_steps])
def test_arguments_are_checked_in_the_call(steps):
    with pytest.raises(ValueError, match="radius must be positive"):
        steps(G, -1.0)
    with pytest.raises(TypeError, match="maxiter must be an integer"):
        steps(G, 1.0, maxiter=1.5)


def test_what_is_sent_is_checked():
    run = gltr_steps(G, 1.0)
    next(run)
    with pytest.raises(ValueError, match="hessp must return an array of shape"):
        run.send(np.ones(3))


def test_answered_by_a_function():
    def steps():
        doubled = yield 2.0
        return (yield doubled) + 1.0

    assert answered(steps(), lambda v: 10.0 * v) == 201.0


# Radii beyond the dtype, and bases that are not orthonormal ---------------------------------------


@pytest.mark.parametrize("radius", [1e39, 1e40, 1e300])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("solve", [steihaug_cg, gltr])
def test_radius_beyond_the_dtype_is_no_bound(solve, radius, scale):
    lam = np.linspace(1.0, 3.0, 5, dtype=np.float32)
    g = np.float32(scale) * np.arange(1.0, 6.0, dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = solve(g, lambda v: lam * v, radius, tol=1e-6)
        certificate = result.certificate()
    assert not result.on_boundary
    np.testing.assert_allclose(result.step, -g / lam, rtol=1e-5)
    assert certificate.worst <= 1e-5
    free = solve(g, lambda v: lam * v, 1e6, tol=1e-6)
    assert result.decrease == pytest.approx(free.decrease, rel=1e-5)


@pytest.mark.parametrize("solve", [steihaug_cg, gltr])
def test_radius_beyond_the_dtype_and_negative_curvature(solve):
    g = np.ones(2, dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = solve(g, lambda v: -v, 1e40)
    assert result.on_boundary
    assert np.isfinite(result.step).all() and (result.step < -1e38).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("radius", [0.1, 7.0, 100.0])
def test_without_reorthogonalisation_the_step_is_in_the_region(dtype, radius):
    """The Lanczos vectors lose their orthogonality; length and decrease are those of the step."""
    n, eps = 400, float(np.finfo(dtype).eps)
    lam = np.r_[-1.0, np.logspace(-4, 3, n - 1)].astype(dtype)
    g = np.ones(n, dtype=dtype)
    result = gltr(g, lambda v: lam * v, radius, reorthogonalise=False, tol=0.0, maxiter=300)
    s, wide = result.step.astype(float), lam.astype(float)
    assert np.linalg.norm(s) <= radius * (1.0 + 16 * eps)
    value = g.astype(float) @ s + 0.5 * s @ (wide * s)
    terms = np.abs(s).sum() + 0.5 * np.abs(s) @ np.abs(wide * s)
    assert abs(value + result.decrease) <= 64 * eps * terms


def test_without_reorthogonalisation_the_multiplier_is_that_of_the_step():
    lam = np.r_[-1.0, np.logspace(-4, 3, 399)].astype(np.float32)
    g = np.ones(400, dtype=np.float32)
    result = lanczos_cubic(g, lambda v: lam * v, 0.5, reorthogonalise=False, tol=0.0, maxiter=300)
    length = np.linalg.norm(result.step.astype(float))
    assert result.multipliers[0] == pytest.approx(0.5 * length, rel=1e-6)
    assert result.status in (SubproblemStatus.KRYLOV, SubproblemStatus.PRODUCT_LIMIT)


def test_reorthogonalised_steps_are_in_the_region_to_rounding():
    lam = np.r_[-1.0, np.logspace(-4, 3, 399)].astype(np.float32)
    result = gltr(np.ones(400, np.float32), lambda v: lam * v, 7.0, maxiter=300)
    length = np.linalg.norm(result.step.astype(float))
    assert length <= 7.0 * (1.0 + 400 * float(np.finfo(np.float32).eps))
