"""The oracles of the box against each other, and against what is known by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles.box import cauchy_point, global_minimum, model


def test_a_minimum_at_a_vertex_on_an_edge_and_inside():
    g, B = np.array([-1.0, -4.0]), np.eye(2)
    zero = np.zeros(2)
    for upper, wanted in (([0.5, 0.5], [0.5, 0.5]), ([2.0, 2.0], [1.0, 2.0]), ([9, 9], [1, 4])):
        value, s = global_minimum(g, B, zero, np.array(upper, dtype=float))
        np.testing.assert_allclose(s, wanted)
        assert value == pytest.approx(model(g, B, np.array(wanted, dtype=float)))


def test_the_path_bends_at_a_bound():
    """Along (1, 1) the first variable is stopped at 1; then the second goes on to its minimum."""
    s = cauchy_point(np.full(2, -3.0), np.eye(2), np.full(2, -9.0), np.array([1.0, 9.0]))
    np.testing.assert_allclose(s, [1.0, 3.0])
    s = cauchy_point(np.full(2, -3.0), np.eye(2), np.full(2, -9.0), np.array([1.0, 9.0]), 2.0)
    np.testing.assert_allclose(s, [1.0, np.sqrt(3.0)])


def test_a_model_that_falls_for_ever_is_refused():
    with pytest.raises(ValueError, match="unbounded"):
        cauchy_point(np.ones(2), -np.eye(2), np.full(2, -np.inf), np.zeros(2))
    with pytest.raises(ValueError, match="finite box"):
        global_minimum(np.ones(2), np.eye(2), np.full(2, -np.inf), np.zeros(2))


@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_no_point_is_below_the_global_minimum(n, seed):
    rng = np.random.default_rng(seed)
    g, B = rng.normal(size=n), rng.normal(size=(n, n))
    B, lower, upper = B + B.T, -rng.uniform(0.0, 2.0, n), rng.uniform(0.0, 2.0, n)
    least, where = global_minimum(g, B, lower, upper)
    scale = 1.0 + np.abs(g).sum() + np.abs(B).sum()
    assert abs(model(g, B, where) - least) <= 1e-12 * scale
    points = [*rng.uniform(lower, upper, size=(50, n)), cauchy_point(g, B, lower, upper)]
    assert min(model(g, B, s) for s in points) >= least - 1e-12 * 10 * scale
