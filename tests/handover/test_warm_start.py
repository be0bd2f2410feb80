"""A run that begins with what a former one knew."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
import scipy.optimize

import qnsolve
from benchmarks.warm_start import (
    continuation,
    evaluations,
    moving_rosenbrock,
    rolling_regression,
)
from qnsolve.methods import METHODS
from qnsolve.quasi_newton.psi import PsiLSR1
from qnsolve.solvers.matrices import Build
from tests.handover.problems import GTOL, WITH_MATRIX, fun, start

N = 8


def solve(x0=None, method=None, warm_start=None, **options):
    x0 = start(N) if x0 is None else x0
    options = {"gtol": GTOL, **options}
    return qnsolve.minimize(
        fun, x0, jac=True, method=method, options=options, warm_start=warm_start
    )


@pytest.mark.parametrize("method", WITH_MATRIX)
def test_it_begins_with_the_matrix_that_the_former_run_ended_with(method, xp):
    former = solve(xp.asarray(start(N)), method, memory=4, maxiter=9)
    next_one = solve(former.x, method, former, memory=4, maxiter=0)
    # Pairs that were stored with another gamma, and are tested again with the last one, may fail.
    if next_one.n_pairs == former.n_pairs:
        ours, theirs = next_one.hess.todense(), former.hess.todense()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-7 * np.abs(theirs).max())
        assert next_one.state.kept.gamma == pytest.approx(former.state.kept.gamma)
    assert 1 <= next_one.n_pairs <= former.n_pairs
    assert next_one.nfev == 1


@pytest.mark.parametrize("compiled", [True, False])
def test_the_compiled_model_goes_on_as_the_one_in_numpy(compiled):
    former = solve(maxiter=10)
    rest = solve(former.x, None, former.state, compiled=compiled)
    cold = solve(former.x, None, compiled=compiled)
    assert rest.success
    assert rest.nfev < cold.nfev


@pytest.mark.parametrize("after", METHODS)
@pytest.mark.parametrize("before", METHODS)
def test_any_method_after_any_other(before, after):
    former = solve(method=before, gtol=1e-3)
    rest = solve(former.x + 1e-3, after, former)
    assert rest.success
    np.testing.assert_allclose(rest.x, solve(method=after).x, atol=1e-5)


SLOW = {
    "rolling": (rolling_regression, 30, 0.5),
    "continuation": (partial(continuation, 30), 30, 0.5),
    "valley": (moving_rosenbrock, 20, 0.75),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_sequence_that_changes_slowly_takes_half_the_evaluations(name):
    """With as many pairs as variables: 0.2, 0.2 and 0.5 when it was written."""
    sequence, n, room = SLOW[name]
    cold = evaluations(sequence, n, "hybrid-tr", 2 * n, warm=False)
    assert evaluations(sequence, n, "hybrid-tr", 2 * n, warm=True) <= room * cold


def test_the_radius_goes_on():
    former = solve(maxiter=8, max_radius=0.01)
    assert former.state.radius == former.radius == 0.01
    # The steps of its pairs are no longer than that.
    assert solve(former.x, None, former, maxiter=0).radius == 0.01
    assert solve(former.x, None, former, maxiter=0, initial_radius=3.0).radius == 3.0
    assert solve(former.x, "newton-tr", former, maxiter=0).radius == 0.01


def test_a_radius_that_rounding_has_shrunk_is_not_taken_over():
    former = solve(gtol=0.0, maxiter=500)
    assert former.state.radius is None or former.success
    longest = max(np.linalg.norm(s) for s in former.state.kept.s)
    assert solve(former.x, None, former, maxiter=0).radius >= 0.1 * longest * (1.0 - 1e-12)


def test_in_other_norms_dtypes_and_memories():
    former = solve()
    norm = qnsolve.DiagonalNorm(np.geomspace(1.0, 100.0, N))
    scaled = solve(former.x, None, former, norm=norm, maxiter=0)
    s, y = former.state.kept.s[-1], former.state.kept.y[-1]
    assert np.linalg.norm(scaled.hess @ s - y) <= 1e-3 * np.linalg.norm(y)
    back = solve(former.x, None, scaled, maxiter=0)
    assert back.n_pairs == scaled.n_pairs == former.n_pairs
    assert solve(former.x, None, former, memory=2, maxiter=0).n_pairs == 2
    narrow = solve(former.x.astype(np.float32), None, former, maxiter=0, gtol=1e-3)
    assert narrow.hess.dtype == np.float32
    assert narrow.n_pairs == former.n_pairs
    wide = solve(former.x, None, narrow, maxiter=0)
    assert wide.state.kept.s[0].dtype == np.float64


def test_a_matrix_without_pairs_gives_its_gamma():
    former = solve(method="lsr1-tr", matrix=Build(PsiLSR1), compiled=False)
    after = solve(former.x, "lsr1-tr", former, maxiter=0)
    assert after.n_pairs == 0
    assert after.state.kept.gamma == former.state.kept.gamma


@pytest.mark.parametrize("method", WITH_MATRIX)
def test_pairs_are_tested_again(method):
    former = solve(method=method, memory=5)
    state = pickle.loads(pickle.dumps(former.state))
    state.kept.y[2][:] = np.nan
    state.kept.s[3][:] = 0.0
    after = solve(former.x, method, state, memory=5, maxiter=0)
    assert np.isfinite(after.hess.todense()).all()
    assert after.n_pairs <= 3


def test_a_pickled_state_and_scipys_door():
    former = solve(maxiter=10)
    state = pickle.loads(pickle.dumps(former)).state
    ours = solve(former.x, None, state)
    assert ours.nfev == solve(former.x, None, former).nfev
    theirs = scipy.optimize.minimize(
        fun,
        former.x,
        jac=True,
        method=qnsolve.hybrid_tr,
        options={"gtol": GTOL, "warm_start": former},
    )
    assert np.array_equal(theirs.x, ours.x)


def test_a_checkpoint_counts_where_there_is_one(tmp_path):
    path, former = tmp_path / "run", solve(maxiter=10)
    whole = solve(former.x + 0.1, None, former)
    solve(former.x + 0.1, None, former, maxiter=2, checkpoint=path)
    resumed = solve(former.x + 0.1, None, former, checkpoint=path)
    assert resumed.nit == whole.nit
    assert np.array_equal(resumed.x, whole.x)


def test_what_is_no_start_is_refused_before_the_first_evaluation():
    def untouched(x):
        pytest.fail("an evaluation")

    def wrong(warm_start):
        qnsolve.minimize(untouched, np.ones(N), jac=True, warm_start=warm_start)

    with pytest.raises(ValueError, match=r"warm_start is of a run with n = 5, x0 has n = 8"):
        wrong(qnsolve.minimize(fun, start(5), jac=True))
    with pytest.raises(TypeError, match=r"warm_start must be a result .* got ndarray"):
        wrong(np.ones(N))
    with pytest.raises(TypeError, match=r"got a result without one"):
        wrong(scipy.optimize.minimize(fun, start(N), jac=True))
    with pytest.raises(TypeError, match=r"got a result without one"):
        wrong(qnsolve.minimize(lambda x: (np.nan, x), np.ones(N), jac=True))
