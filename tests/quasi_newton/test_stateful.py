"""An LSR1 matrix in any order of calls, against the plain recursion over the pairs it holds."""

from __future__ import annotations

import copy
import pickle

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from qnsolve import LSR1, UpdateStatus, solve_trs
from qnsolve.quasi_newton.spectrum import ACCURATE, CANCELLATION
from tests.quasi_newton.test_lsr1 import CONDITION_LIMIT, inner_condition, recursion
from tests.strategies import log_uniform, seeds, signed
from tests.tolerances import EPS, compact_tolerance

SPECTRUM_RTOL = np.sqrt(EPS)
"""Eigenvalues against those of the dense matrix, relative to the scale of B and the condition of
its inner matrix: a direction is dropped where its squared length is rounding error."""


class Machine(RuleBasedStateMachine):
    """`held` are the pairs that the matrix says it has stored, oldest first."""

    @initialize(
        n=st.integers(1, 6),
        memory=st.integers(1, 4),
        gamma=st.sampled_from(["window-max", "latest", "eigenvalue", 0.5, -3.0]),
        seed=seeds(),
    )
    def start(self, n, memory, gamma, seed):
        rng = np.random.default_rng(seed)
        self.n, self.memory = n, memory
        A = rng.standard_normal((n, n))
        self.hessian, self.rng = A + A.T, rng
        self.B = LSR1(n, memory=memory, gamma=gamma)
        self.held: list[tuple[np.ndarray, np.ndarray]] = []

    def offer(self, s, y):
        before, gamma, was = self.B.to_dense(), self.B.gamma, self.B.n_pairs
        status = self.B.update(s, y)
        if status.stored:
            assert 1 <= self.B.n_pairs <= min(was + 1, self.memory)
            self.held = [*self.held, (s, y)][-self.B.n_pairs :]
        else:
            assert self.B.n_pairs == was
            if was:  # an empty matrix takes a gamma that satisfies the pair
                np.testing.assert_array_equal(self.B.to_dense(), before)
                assert self.B.gamma == gamma
        return status

    @rule(seed=seeds(), size=log_uniform(1e-6, 1e6), curved=st.booleans())
    def update(self, seed, size, curved):
        """A pair of a quadratic, or of a function whose Hessian changes."""
        s = size * np.random.default_rng(seed).standard_normal(self.n)
        y = self.hessian @ s
        if curved:
            y = y + size * self.rng.standard_normal(self.n)
        self.offer(s, y)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), factor=signed(log_uniform(1e-3, 1e3)), scale_y=st.booleans())
    def update_parallel(self, data, factor, scale_y):
        """A pair that is held already, in another length, or a contradiction of it."""
        s, y = data.draw(st.sampled_from(self.held))
        self.offer(factor * s, factor * y if scale_y else y)

    @rule(bad=st.sampled_from([np.nan, np.inf, 1e200, 0.0]), in_s=st.booleans())
    def update_refused(self, bad, in_s):
        s, y = np.ones(self.n), np.ones(self.n)
        (s if in_s else y)[:] = bad
        if not in_s and bad == 0.0:
            return  # a gradient that does not change is a pair like any other
        assert self.offer(s, y) in (UpdateStatus.ZERO_STEP, UpdateStatus.NON_FINITE)

    @rule(gamma=st.none() | signed(log_uniform(1e-3, 1e3)))
    def reset(self, gamma):
        self.B.reset(gamma)
        self.held = []
        np.testing.assert_array_equal(self.B.to_dense(), self.B.gamma * np.eye(self.n))

    @rule(how=st.sampled_from(["deepcopy", "pickle", "snapshot"]))
    def go_on_with_a_copy(self, how):
        before, old = self.B.to_dense(), self.B
        if how == "snapshot":
            self.B = LSR1(self.n, memory=self.memory, gamma=old._rule)
            self.B.restore(copy.deepcopy(old.snapshot()))
        else:
            self.B = copy.deepcopy(old) if how == "deepcopy" else pickle.loads(pickle.dumps(old))
        np.testing.assert_array_equal(self.B.to_dense(), before)
        old.reset()  # which is nothing to the copy
        np.testing.assert_array_equal(self.B.to_dense(), before)

    @rule(seed=seeds())
    def products(self, seed):
        v = np.random.default_rng(seed).standard_normal(self.n)
        dense = self.B.to_dense()
        atol, norm = self.rounding(), np.linalg.norm(v)
        np.testing.assert_allclose(self.B @ v, dense @ v, rtol=0, atol=atol * norm)
        np.testing.assert_allclose(self.B.diagonal(), dense.diagonal(), rtol=0, atol=atol)
        assert abs(self.B.quadratic_form(v) - v @ dense @ v) <= atol * norm**2

    @rule()
    def spectrum(self):
        spectrum = self.B.spectrum()
        eigenvalues = np.append(spectrum.eigenvalues, [self.B.gamma] * spectrum.complement_dim)
        atol = SPECTRUM_RTOL * inner_condition(self.B) * spectrum.scale
        dense = np.linalg.eigvalsh(self.B.to_dense())
        np.testing.assert_allclose(np.sort(eigenvalues), dense, rtol=0, atol=atol)

    @rule(shift=st.floats(-2.0, 2.0))
    def solve(self, shift):
        spectrum = self.B.spectrum()
        shift = shift * spectrum.norm
        if np.abs(spectrum.all_eigenvalues + shift).min() <= SPECTRUM_RTOL * spectrum.scale:
            return
        b = np.arange(1.0, self.n + 1)
        x = self.B.solve(b, shift)
        size = np.linalg.norm(b) + (spectrum.scale + abs(shift)) * np.linalg.norm(x)
        residual = np.linalg.norm(self.B @ x + shift * x - b)
        assert residual <= SPECTRUM_RTOL * inner_condition(self.B) * size

    @rule(radius=log_uniform(1e-3, 1e3))
    def subproblem(self, radius):
        result = solve_trs(np.ones(self.n), self.B, radius)
        # The part of g off the pairs may be as long as the difference of two squares says.
        assert np.linalg.norm(result.step) <= radius * (1 + ACCURATE / CANCELLATION**2)
        assert result.decrease > 0.0

    def rounding(self):
        return 100 * self.n * EPS * inner_condition(self.B) * self.B.spectrum().scale

    @invariant()
    def equals_the_recursion(self):
        if not hasattr(self, "B"):
            return
        assert self.B.n_pairs == len(self.held)
        dense = self.B.to_dense()
        assert np.isfinite(dense).all()
        expected, growth = recursion(self.held, self.B.gamma, self.n)
        growth *= inner_condition(self.B)
        if growth <= CONDITION_LIMIT:
            size = np.linalg.norm(expected, 2) + abs(self.B.gamma)
            assert np.abs(dense - expected).max() <= compact_tolerance(growth) * size

    @invariant()
    def satisfies_the_newest_pair(self):
        if not getattr(self, "held", None):
            return
        s, y = self.held[-1]
        size = np.linalg.norm(y) + self.B.spectrum().scale * np.linalg.norm(s)
        error = np.linalg.norm(self.B @ s - y)
        assert error <= 100 * EPS * inner_condition(self.B) * size


TestLSR1 = Machine.TestCase
TestLSR1.settings = hypothesis.settings(
    max_examples=30, stateful_step_count=20, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
TestLSR1 = pytest.mark.filterwarnings("error")(TestLSR1)
