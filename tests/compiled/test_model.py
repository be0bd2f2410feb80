"""The compiled model against the one in NumPy, which defines it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import rosen, rosen_der

from qnsolve import DiagonalNorm, compiled, minimize
from qnsolve.arrays import new_space
from qnsolve.options import HybridOptions, TrustRegionOptions
from qnsolve.solvers import compiled_model
from qnsolve.solvers.compiled_model import CompiledModel, CompiledStep, fits
from qnsolve.solvers.matrices import build_psi

METHODS = ("hybrid-tr", "lsr1-tr")

CLEAR = 1e-8
"""Least eigenvalue of the rows' Gram matrix; a basis from it is orthonormal to eps over that."""

needs_it = pytest.mark.skipif(not compiled.available(), reason=f"compiled model: {compiled.BUILD}")


def valley(n):
    x0 = np.tile([-1.2, 1.0], (n + 1) // 2)[:n]
    return lambda x: (rosen(x), rosen_der(x)), x0


def bent_quadratic(d, bend, x0):
    """Return x'diag(d)x / 2 and a sum of cosines, which bounds it from below and bends it."""
    return lambda x: (
        0.5 * x @ (d * x) + bend * np.cos(x).sum(),
        d * x - bend * np.sin(x),
    ), x0


def in_lockstep(monkeypatch, fun, x0, method, **options):
    """Return, for each step of a run, how far it is from that of the NumPy model, relatively.

    Both see the same pairs and the same gradient.  Rows are step, slope, decrease and length, for
    SR1 over the condition number of its inner matrix, which magnifies the rounding of either; what
    follows is how far from dependent the pairs were, and the steps left to NumPy.
    """
    differences, least, left = [], [], []

    def minimise(self, reach, x):
        step = np.empty(self.space.size)
        found = self.core.minimise(reach.size, self.gradient, self.gradient_norm, step)
        self._stale = True
        trial = reach.minimise(self.quadratic())
        if found is None:
            left.append(trial)
            self.core.follow(trial.step)
            return trial
        expected = trial.slope, trial.decrease, trial.length
        apart = [abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True)]
        size = np.linalg.norm(trial.step)
        apart = np.array([np.linalg.norm(step - trial.step) / size, *apart])
        if method == "lsr1-tr" and self.n_pairs:
            weights = np.abs(self.matrix._inner.weights)
            apart *= weights.min() / weights.max()
        differences.append(apart)
        gram = self.matrix.pairs.gram
        lengths = np.sqrt(gram.diagonal())
        whole = len(gram) >= self.space.size
        eigenvalues = np.linalg.eigvalsh(gram / lengths / lengths[:, None])
        least.append(1.0 if whole else max(eigenvalues.min(initial=1.0), 0.0))
        return CompiledStep(step, *found)
        yield

    with monkeypatch.context() as patch:
        patch.setattr(CompiledModel, "minimise", minimise)
        minimize(fun, x0, jac=True, method=method, options=options)
    return np.array(differences).reshape(-1, 4), np.array(least), left


@needs_it
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("memory", [1, 3, 10])
@pytest.mark.parametrize("n", [1, 2, 9, 12, 13, 40, 300, 2500])
def test_steps_agree_in_lockstep(monkeypatch, method, memory, n):
    fun, x0 = valley(n) if n > 1 else (lambda x: (float((x**4).sum()), 4.0 * x**3), np.ones(1))
    x0 = x0 + 0.1 * np.random.default_rng(0).standard_normal(n)
    differences, least, left = in_lockstep(
        monkeypatch, fun, x0, method, memory=memory, maxiter=60, gtol=1e-9
    )
    assert len(left) <= 0.1 * len(differences) + 1
    clear = differences[least > CLEAR]
    assert len(clear) > 3 and np.median(clear, axis=0).max() <= 1e-12
    # Where the pairs are nearly dependent the steps in NumPy move by as much with the last bit.
    assert np.median(differences[:, 1:], axis=0).max() <= 1e-12
    assert np.quantile(differences, 0.9, axis=0).max() <= 1e-6


@needs_it
@pytest.mark.parametrize("memory", [6, 10, 20])
def test_steps_agree_where_a_full_memory_is_nearly_dependent(monkeypatch, memory):
    """The last vectors of a basis as large as there is room for are made anew in a second pass."""
    n = 500
    fun, x0 = bent_quadratic(np.linspace(1.0, n, n), 0.0, np.ones(n))
    options = {"memory": memory, "maxiter": 80, "gtol": 1e-5}
    differences, least, _ = in_lockstep(monkeypatch, fun, x0, "hybrid-tr", **options)
    # Nearly dependent pairs move the steps of either by up to 1e-6 with the last bit, and not by
    # per cents, as columns of the basis did that were written over.
    assert np.quantile(differences, 0.95, axis=0).max() <= 1e-4
    if memory == 20:
        assert least.min() < 1e-9


@needs_it
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40)
@given(data=st.data())
def test_steps_agree_whatever_the_spectrum(method, data):
    # With as many pairs as variables SR1 has the Hessian of a quadratic: what it is applied to from
    # then on is rounding, and the step of either model moves by per cents with the last bit.
    n = data.draw(st.integers(13, 30), "n")
    memory = data.draw(st.integers(1, 8), "memory")
    decades = data.draw(st.floats(0.0, 4.0), "decades")
    bend = data.draw(st.sampled_from([0.0, 1.0, 30.0]), "bend")
    scale = data.draw(st.sampled_from([1e-100, 1.0, 1e80]), "scale")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**20), "seed"))
    d = 10.0 ** (decades * rng.random(n))
    inner, x0 = bent_quadratic(d, bend, rng.standard_normal(n))

    def fun(x):
        f, g = inner(x)
        return scale * f, scale * g

    with pytest.MonkeyPatch.context() as patch:
        options = {"memory": memory, "maxiter": 25, "gtol": 1e-6 * scale}
        differences, least, left = in_lockstep(patch, fun, x0, method, **options)
    if len(differences) > 3:
        # Near the minimum of a quadratic the inner matrix of SR1 is nearly singular (1e12 at most):
        # all that is made with it moves by as much more with the last bit.  1.1e-9 was the most in
        # 600 runs.
        relative = differences * least[:, None]
        assert np.median(relative[:, 0]) <= 1e-7
        assert np.median(relative[:, 2:], axis=0).max() <= 1e-7
    assert len(left) <= 0.5 * len(differences) + 2


@needs_it
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("memory", [4, 10])
@pytest.mark.parametrize("n", [8, 30])
def test_as_many_evaluations_from_shifted_starts(method, memory, n):
    fun, x0 = valley(n)
    counts = {True: [], False: []}
    for ulps in range(12):
        for choice, nfev in counts.items():
            options = {"memory": memory, "compiled": choice}
            start = x0 * (1.0 + ulps * np.finfo(float).eps)
            result = minimize(fun, start, jac=True, method=method, options=options)
            assert result.success
            nfev.append(math.log(result.nfev))
    spread = np.std(counts[True]) + np.std(counts[False])
    apart = abs(np.mean(counts[True]) - np.mean(counts[False]))
    assert apart <= 3.0 * spread / math.sqrt(12) + 0.02


@needs_it
@pytest.mark.parametrize("never", ["minimise", "learn"])
@pytest.mark.parametrize("method", METHODS)
def test_what_it_leaves_is_done_in_numpy(monkeypatch, method, never):
    """However the work is shared, the run is the same to rounding."""
    make = compiled_model._core_of

    class Unwilling:
        def __init__(self, core):
            self._core, self._asked = core, 0

        def __getattr__(self, name):
            call = getattr(self._core, name)
            if name != never:
                return call
            self._asked += 1
            return (lambda *_: None) if self._asked % 3 else call

    fun, x0 = valley(16)
    options = {"memory": 4, "maxiter": 15, "gtol": 0.0}
    plain = minimize(fun, x0, jac=True, method=method, options={**options, "compiled": False})
    monkeypatch.setattr(compiled_model, "_core_of", lambda *given: Unwilling(make(*given)))
    shared = minimize(fun, x0, jac=True, method=method, options=options)
    assert (shared.nit, shared.nfev, shared.n_pairs) == (plain.nit, plain.nfev, plain.n_pairs)
    np.testing.assert_allclose(shared.x, plain.x, rtol=1e-7)


@needs_it
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_a_checkpoint_is_read_by_either(tmp_path, method, first):
    fun, x0 = valley(20)
    path = str(tmp_path / "run")
    options = {"memory": 5, "checkpoint": path, "gtol": 1e-6}
    minimize(
        fun, x0, jac=True, method=method, options={**options, "maxiter": 30, "compiled": first}
    )
    rest = minimize(fun, x0, jac=True, method=method, options={**options, "compiled": not first})
    assert rest.success and rest.nit > 30


@needs_it
def test_the_matrix_is_there_for_who_asks():
    fun, x0 = valley(14)
    seen = []
    learn = CompiledModel.learn

    def looking(self, end, **how):
        stored = learn(self, end, **how)
        W, gram = self.matrix.pairs.rows, self.matrix.pairs.gram
        seen.append(np.abs(W @ W.T - gram).max() / np.abs(gram).max())
        seen.append(
            np.linalg.norm(W @ self.gradient - self._tracked.products)
            / (np.linalg.norm(W) * self.gradient_norm)
        )
        return stored

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CompiledModel, "learn", looking)
        result = minimize(fun, x0, jac=True, options={"memory": 5, "maxiter": 40})
    assert result.nit == 40 and max(seen) <= 1e-12


def test_what_it_is_used_for(monkeypatch):
    monkeypatch.setattr(compiled, "Model", object)
    space = new_space(5)
    assert fits(HybridOptions(), space)
    assert fits(TrustRegionOptions(memory=100, radius_rule=lambda r, *_: r), space)
    others = (
        {"compiled": False},
        {"memory": 101},
        {"gamma": 1.0},
        {"gamma": "latest"},
        {"norm": "shape-inf"},
        {"norm": DiagonalNorm(np.ones(5))},
        {"matrix": build_psi},
    )
    assert not any(fits(TrustRegionOptions(**other), space) for other in others)
    assert not fits(HybridOptions(), new_space(5, np.float32))
    monkeypatch.setattr(compiled, "Model", None)
    assert not fits(HybridOptions(), space)


def test_without_it_the_run_is_that_of_numpy(monkeypatch):
    fun, x0 = valley(10)
    off = minimize(fun, x0, jac=True, options={"compiled": False})
    monkeypatch.setattr(compiled, "Model", None)
    missing = minimize(fun, x0, jac=True)
    assert off.nfev == missing.nfev
    np.testing.assert_array_equal(off.x, missing.x)


@needs_it
def test_arrays_of_another_size_are_refused():
    n, m = 6, 2
    block, gram, products = np.zeros((2 * m, n)), np.zeros((2 * m, 2 * m)), np.zeros(2 * m)
    sizes = n, m, True, -1, False, 5, 0, 1e-8
    core = compiled.Model(block, gram, products, *sizes)
    with pytest.raises(ValueError, match="array of 24 numbers"):
        compiled.Model(block[1:].copy(), gram, products, *sizes)
    with pytest.raises(ValueError, match="array of 6 numbers"):
        core.minimise(1.0, np.zeros(n - 1), 1.0, np.zeros(n))
    with pytest.raises(ValueError, match="array of 6 numbers"):
        core.follow(np.zeros(n, np.float32))
    with pytest.raises(ValueError, match="slot"):
        core.set([3], 1, 1.0, [])
    with pytest.raises(ValueError, match="room"):
        core.set([0, 1, 2], 3, 1.0, [])
    with pytest.raises((BufferError, ValueError)):
        core.measure(np.zeros(2 * n)[::2], np.zeros(n))
    readonly = np.zeros(n)
    readonly.flags.writeable = False
    with pytest.raises((BufferError, ValueError)):
        core.minimise(1.0, np.ones(n), 1.0, readonly)
    assert core.get() == ([], 0, 0.0, [])


@needs_it
def test_a_refused_pair_leaves_no_trace():
    n, m, rng = 6, 2, np.random.default_rng(0)
    W, gram, products = np.zeros((2 * m, n)), np.zeros((2 * m, 2 * m)), np.zeros(2 * m)
    core = compiled.Model(W, gram, products, n, m, False, 0, False, 0, 2, 1e-8)
    core.set([], 0, 1.0, [])
    A, x = np.diag(np.arange(1.0, n + 1.0)), rng.standard_normal(n)
    steps = list(rng.standard_normal((3, n)))
    for step, s in enumerate([*steps, steps[-1]]):  # the last pair is satisfied already
        g, g_new, before = A @ x, A @ (x + s), gram.copy()
        products[:] = W @ g
        core.follow(s)
        norms = np.linalg.norm(g), np.linalg.norm(g_new)
        stored = core.learn(g, g_new, *norms, float(g_new @ s), 0.0, True, True)
        x = x + s
        if step < 3:
            assert stored
            np.testing.assert_allclose(gram, W @ W.T, rtol=1e-12, atol=1e-12)
    assert stored is None
    np.testing.assert_array_equal(gram, before)
