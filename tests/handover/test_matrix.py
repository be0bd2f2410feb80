"""The matrix of a result: that of the pairs, in the user's variables, whoever computed it."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, eigsh

import qnsolve
from qnsolve.arrays.libraries import to_host
from qnsolve.comm import Serial
from qnsolve.quasi_newton.operators import MatrixOperator
from qnsolve.quasi_newton.psi import PsiLSR1
from qnsolve.solvers.matrices import Build
from tests.handover.problems import GTOL, WITH_MATRIX, fun, hessian, start
from tests.tolerances import EPS

N = 8
ROOM = 1e-9
"""Relative, for products of matrices whose condition number is below 1e4."""


def solve(method, x0=None, n=N, **options):
    x0 = start(n) if x0 is None else x0
    return qnsolve.minimize(fun, x0, jac=True, method=method, options={"gtol": GTOL, **options})


def dense_sr1(state, *, inverse=False):
    """Return the SR1 matrix of the pairs by the recursion, from gamma I, or its inverse form."""
    pairs = [(to_host(s), to_host(y)) for s, y in zip(state.kept.s, state.kept.y, strict=True)]
    B = np.eye(state.n) * (1.0 / state.kept.gamma if inverse else state.kept.gamma)
    for s, y in pairs:
        if inverse:
            s, y = y, s
        r = y - B @ s
        if abs(r @ s) > 1e-12 * np.linalg.norm(r) * np.linalg.norm(s):
            B = B + np.outer(r, r) / (r @ s)
    return B


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("method", WITH_MATRIX)
def test_the_two_matrices_are_inverse_to_each_other(method, compiled):
    options = {"compiled": compiled} if method in ("hybrid-tr", "lsr1-tr") else {}
    result = solve(method, **options)
    B, H = result.hess, result.hess_inv
    assert isinstance(B, LinearOperator)
    assert isinstance(H, LinearOperator)
    assert B.shape == H.shape == (N, N)
    assert B.dtype == H.dtype == np.float64
    dense, inverse = B.todense(), H.todense()
    assert np.array_equal(dense, dense.T)
    assert np.abs(dense @ inverse - np.eye(N)).max() <= ROOM
    for operator, matrix in ((B, dense), (H, inverse)):
        size = np.abs(matrix).max()
        np.testing.assert_allclose(operator.diagonal(), np.diag(matrix), rtol=0, atol=ROOM * size)
        V = np.random.default_rng(1).standard_normal((N, 3))
        np.testing.assert_allclose(operator @ V, matrix @ V, rtol=0, atol=10 * ROOM * size)
        np.testing.assert_allclose(operator.matvec(V[:, 0]), matrix @ V[:, 0], atol=ROOM * size)
        np.testing.assert_allclose(operator.T @ V, operator @ V)
        np.testing.assert_allclose(operator.solve(operator @ V), V, atol=1e3 * ROOM)


@pytest.mark.parametrize("method", ["lsr1-tr", "lsr1-arc", "lsr1-ls"])
def test_it_is_the_sr1_matrix_of_the_pairs_that_are_handed_over(method):
    result = solve(method, memory=3)
    assert result.state.n_pairs == len(result.state.kept.s) == 3
    inverse = method == "lsr1-ls"
    ours = (result.hess_inv if inverse else result.hess).todense()
    theirs = dense_sr1(result.state, inverse=inverse)
    assert np.abs(ours - theirs).max() <= 1e-8 * np.abs(theirs).max()


@pytest.mark.parametrize("method", WITH_MATRIX)
def test_with_as_many_pairs_as_variables_it_is_close_to_the_hessian(method):
    result = solve(method, memory=3 * N)
    exact = hessian(result.x)
    assert np.linalg.norm(result.hess.todense() - exact) <= 0.05 * np.linalg.norm(exact)
    inverse = np.linalg.inv(exact)
    assert np.linalg.norm(result.hess_inv.todense() - inverse) <= 0.2 * np.linalg.norm(inverse)


@pytest.mark.parametrize("method", ["hybrid-tr", "lsr1-tr", "lsr1-arc"])
def test_an_ellipsoidal_norm_is_undone(method):
    d = np.geomspace(1.0, 1e4, N)
    result = solve(method, norm=qnsolve.DiagonalNorm(d), memory=3 * N)
    exact = hessian(result.x)
    assert np.linalg.norm(result.hess.todense() - exact) <= 0.05 * np.linalg.norm(exact)
    s, y = result.state.kept.s[-1], result.state.kept.y[-1]
    assert np.linalg.norm(result.hess @ s - y) <= 1e-3 * np.linalg.norm(y)
    for operator in (result.hess, result.hess_inv):
        dense = operator.todense()
        room = ROOM * np.abs(dense).max()
        np.testing.assert_allclose(operator.diagonal(), np.diag(dense), rtol=0, atol=room)
    assert np.abs(result.hess.todense() @ result.hess_inv.todense() - np.eye(N)).max() <= 1e-6


@pytest.mark.parametrize("method", WITH_MATRIX)
def test_after_a_resume_it_is_the_same(method, tmp_path):
    options = {"checkpoint": tmp_path / "run", "gtol": 1e-6}
    solve(method, maxiter=6, **options)
    resumed, whole = solve(method, **options), solve(method, gtol=1e-6)
    assert resumed.nit == whole.nit > 6
    assert np.array_equal(resumed.hess.todense(), whole.hess.todense())
    assert np.array_equal(resumed.hess_inv.todense(), whole.hess_inv.todense())
    for ours, theirs in zip(resumed.state.kept[:2], whole.state.kept[:2], strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("method", WITH_MATRIX)
def test_arrays_of_every_library(method, xp):
    x0, v = xp.asarray(start(N)), xp.asarray(start(N, seed=1))
    result, host = solve(method, x0), start(N, seed=1)
    for operator in (result.hess, result.hess_inv):
        dense = operator.todense()
        room = ROOM * np.abs(dense).max()
        assert type(dense) is type(operator.diagonal()) is np.ndarray
        np.testing.assert_allclose(operator.diagonal(), np.diag(dense), rtol=0, atol=room)
        for product in (operator @ v, operator.matvec(v), operator.solve(operator.solve(v))):
            assert type(product) is type(v)
            assert product.shape == v.shape
            assert product.dtype == v.dtype
        np.testing.assert_allclose(to_host(operator @ v), dense @ host, rtol=0, atol=10 * room)
        np.testing.assert_allclose(operator @ host, dense @ host, rtol=0, atol=10 * room)
        columns = xp.namespace.stack([v, 2.0 * v], axis=1)
        assert tuple((operator @ columns).shape) == (N, 2)
        assert type(operator.matmat(columns)) is type(v)


@pytest.mark.parametrize("method", WITH_MATRIX)
def test_float32(method):
    result = solve(method, start(N).astype(np.float32), gtol=1e-3)
    assert result.hess.dtype == result.hess.todense().dtype == np.float32
    assert (result.hess_inv @ np.ones(N)).dtype == np.float32
    assert result.hess_inv.diagonal().dtype == np.float32


def test_a_shape_of_x_is_flattened():
    def square(x):
        f, g = fun(np.ravel(x))
        return f, g.reshape(x.shape)

    result = qnsolve.minimize(square, start(N).reshape(2, 4), jac=True, options={"gtol": GTOL})
    assert np.array_equal(result.hess.todense(), solve("hybrid-tr").hess.todense())


@pytest.mark.parametrize("method", WITH_MATRIX)
def test_copies_and_pickles(method):
    result = solve(method, gamma=2.0) if method != "hybrid-tr" else solve(method)
    size = np.abs(result.hess.todense()).max()
    for other in (pickle.loads(pickle.dumps(result)), copy.copy(result), copy.deepcopy(result)):
        for name in ("hess", "hess_inv"):
            ours, theirs = getattr(result, name).todense(), getattr(other, name).todense()
            np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-6 * max(1.0, size))
        assert repr(other) == repr(result)
        assert np.array_equal(other.state.kept.s, result.state.kept.s)


def test_a_rule_that_cannot_be_pickled_stays_behind():
    result = solve("lsr1-tr", gamma=lambda blocks, ratios, current: current)
    other = pickle.loads(pickle.dumps(result))
    v = np.ones(N)
    np.testing.assert_allclose(other.hess @ v, result.hess @ v)


def test_a_singular_matrix_says_that_it_has_no_inverse():
    # With gamma = y'y / s'y of its only pair B s = y makes an L-SR1 matrix singular.
    result = solve("lsr1-tr", maxiter=1)
    assert result.n_pairs == 1
    for ask in (
        lambda: result.hess_inv @ np.ones(N),
        lambda: result.hess_inv.todense(),
        lambda: result.hess_inv.diagonal(),
        lambda: result.hess.solve(np.ones(N)),
        lambda: result.hess_inv.spectrum(),
    ):
        with pytest.raises(np.linalg.LinAlgError, match=r"singular .*: it has no inverse"):
            ask()
    assert np.isfinite(result.hess.todense()).all()
    assert np.isfinite(result.hess_inv.solve(np.ones(N))).all()


def test_an_indefinite_matrix_has_an_indefinite_inverse():
    def saddle(x):
        return 0.25 * np.sum(x**4) - 0.5 * np.sum(x**2), x**3 - x

    x0 = 1e-3 * np.arange(1.0, 5.0)
    result = qnsolve.minimize(saddle, x0, jac=True, method="lsr1-tr", options={"maxiter": 3})
    B, H = result.hess.todense(), result.hess_inv.todense()
    assert np.linalg.eigvalsh(B)[0] < 0.0
    assert np.linalg.eigvalsh(H)[0] < 0.0
    assert np.abs(B @ H - np.eye(4)).max() <= 1e-6
    values = result.hess_inv.spectrum().all_eigenvalues
    assert values.min() == pytest.approx(np.linalg.eigvalsh(H)[0])


def test_any_matrix_of_the_options_is_handed_over():
    result = solve("lsr1-tr", matrix=Build(PsiLSR1), compiled=False)
    assert np.abs(result.hess.todense() @ result.hess_inv.todense() - np.eye(N)).max() <= ROOM
    assert result.state.kept.s == []  # S and Y are not kept apart there


def test_it_is_good_for_scipy():
    result = solve("hybrid-tr", n=50)
    values = eigsh(result.hess, k=1, which="LM", v0=np.ones(50))[0]
    assert values[0] == pytest.approx(np.linalg.eigvalsh(result.hess.todense())[-1])
    doubled = 2.0 * result.hess + result.hess
    np.testing.assert_allclose(doubled @ np.ones(50), 3.0 * (result.hess @ np.ones(50)))


def test_newton_says_where_the_hessian_is():
    result = solve("newton-tr")
    for name in ("hess", "hess_inv"):
        with pytest.raises(AttributeError, match=rf"no {name}: newton-tr .*hessp\(result.x, p\)"):
            getattr(result, name)
        assert name not in result
    assert not hasattr(result, "hess")
    assert result.state.n_pairs == 0


def test_a_run_that_ends_at_its_start_has_none():
    result = qnsolve.minimize(lambda x: (np.nan, x), np.ones(2), jac=True)
    with pytest.raises(AttributeError, match=r"no hess_inv: no model was made"):
        _ = result.hess_inv
    with pytest.raises(AttributeError, match=r"^state$"):
        _ = result.state


def test_a_run_without_pairs_has_a_multiple_of_the_identity():
    result = qnsolve.minimize(fun, start(N), jac=True, options={"maxiter": 0})
    dense = result.hess.todense()
    assert np.array_equal(dense, dense[0, 0] * np.eye(N))
    np.testing.assert_allclose(result.hess_inv.todense(), np.eye(N) / dense[0, 0], rtol=4 * EPS)


def test_nobody_pays_who_does_not_ask(monkeypatch):
    """Until a product is asked for, nothing is computed and nothing is copied."""
    monkeypatch.setattr(MatrixOperator, "_apply", lambda *a: pytest.fail("a product"))
    monkeypatch.setattr(MatrixOperator, "spectrum", lambda *a: pytest.fail("a spectrum"))
    result = solve("hybrid-tr")
    assert "State(" in repr(result)
    assert "kept" not in vars(result.state)


def test_over_ranks_nobody_has_the_whole_of_it():
    result = qnsolve.minimize(fun, start(N), jac=True, comm=Serial())
    assert result.success
    with pytest.raises(AttributeError, match=r"no hess: .* shared by ranks"):
        _ = result.hess
    assert "state" not in result
    with pytest.raises(ValueError, match="warm_start is not supported with comm"):
        qnsolve.minimize(fun, start(N), jac=True, comm=Serial(), warm_start=solve("hybrid-tr"))
