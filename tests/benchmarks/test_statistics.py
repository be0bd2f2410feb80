"""Ratios, shares and profiles on costs small enough to work out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.profiling.measure import Run
from benchmarks.profiling.report import report
from benchmarks.profiling.statistics import (
    BINS,
    by_solver,
    compare,
    cost_table,
    data_profile,
    performance_profile,
    same_minimum,
    wins,
)

# problem: n, cost and final f of ours, of theirs
COSTS = {
    "ARWHEAD": (2, 10, 1.0, 20, 1.0),
    "BEALE": (12, 40, 0.0, 10, 1e-9),
    "CUBE": (13, 30, 5.0, 20, 7.0),
    "DENSCHNA": (120, None, 3.0, 8, 0.0),
    "ENGVAL1": (121, 6, 0.0, None, 9.0),
    "FLETCHBV": (500, None, 0.0, None, 0.0),
}


@pytest.fixture
def table():
    def run(problem, n, solver, cost, f):
        relative = None if cost is None else cost - 1
        status = "budget" if cost is None else "returned"
        return Run(problem, n, solver, 99, 9.0, status, "", cost, relative, f=f, g_norm=1.0)

    runs = []
    for problem, (n, ours, f, theirs, f_theirs) in COSTS.items():
        runs += [run(problem, n, "ours", ours, f), run(problem, n, "theirs", theirs, f_theirs)]
    return by_solver(runs)


def test_comparison(table):
    result = compare(table["ours"], table["theirs"], "absolute")
    assert (result.problems, result.solved, result.reference_solved, result.joint) == (6, 4, 4, 3)
    assert result.ratio == pytest.approx((0.5 * 4.0 * 1.5) ** (1 / 3))
    assert result.by_size[:3] == tuple((1, pytest.approx(r)) for r in (0.5, 4.0, 1.5))
    assert [count for count, _ in result.by_size[3:]] == [0, 0]
    assert np.isnan(result.by_size[3][1])
    # On CUBE they ended at different minima.
    assert result.same_minimum == 2
    assert result.same_minimum_ratio == pytest.approx(2**0.5)
    assert result.within == pytest.approx((2 / 6, 3 / 6, 3 / 6, 4 / 6))
    assert (result.wins, result.losses, result.ties) == (2, 3, 0)
    assert [(problem[0], ratio) for problem, ratio, _, _ in result.worst] == [
        ("BEALE", 4.0),
        ("CUBE", 1.5),
        ("ARWHEAD", 0.5),
    ]
    assert result.unsolved == ((("DENSCHNA", 120), True), (("FLETCHBV", 500), False))


def test_a_family_counts_once():
    def run(solver, problem, n, cost):
        return Run(problem, n, solver, 9, 9.0, "returned", "", cost_absolute=cost, f=0.0)

    costs = {("P", 2): 4, ("P_10", 10): 16, ("Q_5", 5): 1}
    ours = {problem: run("a", *problem, cost) for problem, cost in costs.items()}
    theirs = {problem: run("b", *problem, 1) for problem in costs}
    result = compare(ours, theirs, "absolute")
    assert result.ratio == pytest.approx(4.0)  # (4, 16), 1
    assert result.family_ratio == pytest.approx(8.0**0.5)


def test_relative_costs_are_those_of_the_other_test(table):
    result = compare(table["ours"], table["theirs"], "relative")
    assert result.ratio == pytest.approx((9 / 19 * 39 / 9 * 29 / 19) ** (1 / 3))


def test_reference_against_itself(table):
    result = compare(table["theirs"], table["theirs"], "absolute")
    assert (result.ratio, result.wins, result.losses, result.ties) == (1.0, 0, 0, 4)
    assert result.within == pytest.approx((4 / 6,) * 4)


def test_only_problems_that_both_were_run_on_count(table):
    del table["ours"]["BEALE", 12]
    result = compare(table["ours"], table["theirs"], "absolute")
    assert (result.problems, result.joint) == (5, 2)
    problems, costs = cost_table(table, "absolute")
    assert ("BEALE", 12) not in problems
    assert costs["theirs"].tolist() == [20, 20, 8, np.inf, np.inf]


def test_nothing_in_common_is_no_number(table):
    result = compare({}, table["theirs"], "absolute")
    assert result.problems == 0
    assert np.isnan(result.ratio)
    assert np.isnan(result.within[0])


def test_every_size_has_one_bin():
    for n in (1, 4, 5, 12, 13, 59, 60, 120, 121, 10**6):
        assert sum(low <= n <= high for low, high in BINS) == 1


@pytest.mark.parametrize(
    ("f", "other", "same"),
    [(1.0, 1.0009, True), (1.0, 1.0012, False), (-2e3, -2.001e3, True), (np.nan, 1.0, False)],
)
def test_same_minimum(f, other, same):
    assert same_minimum(f, other) is same
    assert same_minimum(other, f) is same


def test_profiles():
    costs = {"a": [1.0, 6.0, np.inf, np.inf], "b": [2.0, 2.0, 5.0, np.inf]}
    performance, data = performance_profile(costs), data_profile(costs)
    assert performance["a"].tolist() == [1.0, 3.0, np.inf, np.inf]
    assert performance["b"].tolist() == [1.0, 1.0, 2.0, np.inf]
    assert data["a"].tolist() == [1.0, 6.0, np.inf, np.inf]


def test_wins(table):
    assert wins(table, "absolute") == {("ours", "theirs"): 2, ("theirs", "ours"): 3}


def test_report_of_problems_in_a_box_says_who_left_it(table):
    assert "outside" not in report(table, "absolute", "theirs")
    inside = {p: replace(run, outside=0) for p, run in table["ours"].items()}
    left = {p: replace(run, outside=3) for p, run in table["theirs"].items()}
    lines = report({"ours": inside, "theirs": left}, "absolute", "theirs").splitlines()
    assert "P(x - g)" in lines[0]
    start = lines.index("Evaluations outside of the box:")
    assert lines[start + 3].split() == ["ours", "0", "0"]
    assert lines[start + 4].split() == ["theirs", "18", "6"]


@pytest.mark.parametrize("markdown", [False, True])
def test_report_names_what_went_wrong(table, markdown):
    text = report(table, "absolute", "theirs", markdown=markdown)
    for name in ("BEALE", "CUBE", "DENSCHNA", "FLETCHBV"):
        assert name in text
    assert "ARWHEAD" not in text  # neither dearer nor unsolved
    assert "1.442" in text  # 3^(1/3)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert bool(tables) == markdown
    assert "BEALE" not in report(table, "absolute", "theirs", names=False)
