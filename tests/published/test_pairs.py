"""The pair rules of publications: what is taken, what is dropped, and what stays LSR1."""

from __future__ import annotations

import numpy as np

from qnsolve import LSR1
from qnsolve.published import RamamurthyDuffyLSR1, ScLSR1

E = np.eye(4)


def test_ramamurthy_duffy_drops_the_oldest_while_psi_is_dependent():
    B = RamamurthyDuffyLSR1(2, memory=5, gamma=1.0)
    rng = np.random.default_rng(3)
    for k in range(6):
        s = rng.standard_normal(2)
        y = np.array([4.0 * s[0] + s[1] ** 3, -2.0 * s[1] + k])  # no quadratic: never satisfied
        B.update(s, y)
        # Three columns in the plane are dependent; LSR1 keeps such pairs and drops directions.
        assert B.n_pairs == min(k + 1, 2)
        np.testing.assert_allclose(B @ s, y)


def test_ramamurthy_duffy_drops_dependent_columns_that_the_inner_matrix_bears():
    """Two pairs with the same psi: M = [1 2; 2 2] has an inverse, Psi'Psi has none."""
    psi = E[0] + 2.0 * E[1]
    for matrix, kept in ((RamamurthyDuffyLSR1, 1), (LSR1, 2)):
        B = matrix(4, memory=3, gamma=1.0)
        assert B.update(E[0], E[0] + psi).stored
        assert B.update(E[1], E[1] + psi).stored
        assert B.n_pairs == kept


def test_ramamurthy_duffy_tests_against_the_matrix_with_the_oldest_pair():
    """s'(y - Bs) = 0 with the pair that is about to leave, but not without it."""
    s, y = E[0], 3.0 * E[0] + 2.0 * E[3]
    for matrix, taken in ((RamamurthyDuffyLSR1, False), (LSR1, True)):
        B = matrix(4, memory=1, gamma=1.0)
        assert B.update(E[0], 3.0 * E[0]).stored
        assert B.update(s, y).stored == taken
        assert B.n_pairs == 1


def test_ramamurthy_duffy_empties_the_memory_where_the_newest_cannot_stay():
    """y = gamma s: the column of Psi is zero, alone or with others."""
    B = RamamurthyDuffyLSR1(4, memory=3, gamma=1.0)
    assert B.update(E[0], 5.0 * E[0]).stored
    assert not B.update(E[1], E[1]).stored
    assert B.n_pairs == 0
    np.testing.assert_array_equal(B @ E[0], E[0])


def test_sc_bound_is_absolute():
    """The same pair in another unit of f falls under the bound on |s| |psi|."""
    s, y = E[0], 3.0 * E[0] + 1e-9 * E[1]
    assert ScLSR1(4, gamma=1.0).update(s, y).stored
    assert not ScLSR1(4, gamma=1.0, least=1e9).update(s, y).stored
    assert not ScLSR1(4, gamma=1.0).update(s, 1e-11 * y + s).stored
    assert ScLSR1(4, gamma=1.0, least=1e-20).update(s, 1e-11 * y + s).stored


def test_sc_product_is_that_of_the_residual():
    """s = e1 / 20, y - gamma s = e1 / 10: the product, 0.005, is below 1e-8 times the bound."""
    s, y = 0.05 * E[0], (3.0 * 0.05 + 0.1) * E[0]
    assert not ScLSR1(4, gamma=3.0, least=1e6).update(s, y).stored
    assert ScLSR1(4, gamma=3.0, least=4e5).update(s, y).stored
