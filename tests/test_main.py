"""The command line: exit codes, what is printed and where, and the figures."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import qnsolve
from qnsolve import __main__ as command_line
from qnsolve import compiled
from qnsolve.__main__ import main
from qnsolve.demo import SOLVERS, Line, Outcome, compete, verdict
from qnsolve.interface import METHODS
from qnsolve.problems import PROBLEMS, digits_network


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)


def report(output):
    """Return the lines "label   value" as a dict."""
    lines = (line.split("  ", 1) for line in output.splitlines() if "  " in line)
    return {label: value.strip() for label, value in lines}


@pytest.mark.parametrize("method", METHODS)
def test_solve(method, capsys):
    call = ["solve", "--problem", "extended-rosenbrock", "--n", "4", "--method", method]
    assert main(call) == 0
    output = report(capsys.readouterr().out)
    assert output["problem"] == "extended-rosenbrock, n = 4"
    assert output["method"] == method
    assert float(output["|g|_inf"]) <= 1e-5
    # The Hessian at the minimiser has no eigenvalue below 0.39, so f - f_min <= |g|^2 / 0.78.
    assert float(output["f - f_min"]) <= 4 * 1e-10 / 0.78


def test_solve_passes_its_options_on(capsys):
    call = ["solve", "--problem", "chained-rosenbrock", "--n", "20", "--memory", "3"]
    assert main([*call, "--maxiter", "4"]) == 1
    output = report(capsys.readouterr().out)
    assert output["iterations"] == "4"
    assert output["end"] == qnsolve.Status.MAXITER.message
    assert main([*call, "--gtol", "1e-2"]) == 0
    assert float(report(capsys.readouterr().out)["|g|_inf"]) <= 1e-2


def test_solve_shows_accuracy_of_a_classifier(capsys):
    call = ["solve", "--problem", "breast-cancer-network", "--n", "65", "--maxiter", "5"]
    assert main(call) == 1
    assert report(capsys.readouterr().out)["held-out accuracy"].endswith("%")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--problem", "wods"], "no problem is called 'wods'; did you mean 'woods'?"),
        (["--problem", "woods", "--n", "6"], "n must be a positive multiple of 4, got 6"),
        (["--problem", "woods", "--n", "many"], "invalid int value: 'many'"),
        (["--problem", "woods", "--method", "newton-tr", "--memory", "3"], "keeps no pairs"),
        (["--problem", "woods", "--memory", "0"], "an integer >= 1 is wanted, got '0'"),
        (["--problem", "woods", "--gtol", "-1"], "a number >= 0 is wanted, got '-1'"),
        (["--problem", "woods", "--gtol", "nan"], "a number >= 0 is wanted, got 'nan'"),
        (["--problem", "woods", "--maxiter", "1.5"], "an integer >= 0 is wanted, got '1.5'"),
        (["--problem", "woods", "--method", "newton"], "invalid choice: 'newton'"),
        ([], "the following arguments are required: --problem"),
    ],
)
def test_wrong_usage_is_exit_code_2_with_a_message(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["solve", *arguments])
    assert exit_.value.code == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_solve_writes_a_plot(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    call = ["solve", "--problem", "monkey-saddle", "--n", "4", "--plot"]
    assert main([*call, "run.png"]) == 0
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path / "run.png") in capsys.readouterr().out
    assert main([*call, "missing/run.png"]) == 1
    assert "could not be written" in capsys.readouterr().err


def test_solve_with_plot_needs_matplotlib(monkeypatch, capsys):
    without_matplotlib(monkeypatch)
    with pytest.raises(SystemExit) as exit_:
        main(["solve", "--problem", "woods", "--plot", "run.png"])
    assert exit_.value.code == 2
    assert "pip install 'qnsolve[plot]'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["demo", "--maxiter", "3"], []])
def test_demo(arguments, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    if not arguments:  # the bare command is the demo, here made to end at once
        monkeypatch.setattr(command_line, "show", lambda args: args.maxiter)
        assert main(arguments) == 10_000
        return
    assert main(arguments) == 0
    output = capsys.readouterr().out
    heads, *rows = [line for line in output.splitlines() if line.startswith(("solver  ", *SOLVERS))]
    assert len(rows) == len(SOLVERS)
    # Every row has its numbers under their heads.
    for head in ("evaluations", "loss", "|g|_inf", "held out", "seconds", "at 0.1 s each"):
        end = heads.index(head) + len(head)
        assert all(row[end - 1] != " " and row[end] == " " for row in rows), head
    assert all(row.endswith("iteration limit") for row in rows)
    assert "No solver reached" in output
    assert (tmp_path / "qnsolve-demo.png").is_file()


def test_demo_without_matplotlib_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    without_matplotlib(monkeypatch)
    assert main(["demo", "--maxiter", "1"]) == 0
    assert "pip install 'qnsolve[plot]'" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_time_limit_stops_every_solver(capsys):
    pytest.importorskip("matplotlib")
    assert main(["demo", "--seconds", "0"]) == 0
    rows = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith(tuple(SOLVERS))
    ]
    assert all(row.endswith("time limit") for row in rows)


def test_progress_is_for_those_who_look_on(monkeypatch, capsys):
    def shown(terminal):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
        compete("qnsolve hybrid-tr", problem, 5, 60.0)
        return capsys.readouterr().err

    problem = digits_network(hidden=4)
    monkeypatch.setattr(Line, "EVERY", 0.0)
    assert shown(False) == ""
    lines = shown(True).split("\r")
    assert "evaluations, loss" in lines[1] and lines[-1] == "" and not lines[-2].strip()


def outcome(solver, evaluations, g_norm):
    return Outcome(solver, [(1.0, 1.0)] * evaluations, 0.1, g_norm, 0.9, 1.0, "")


def test_verdict_names_whoever_needed_fewest_among_those_that_converged():
    quick, same, slow = outcome("quick", 5, 1e-6), outcome("same", 5, 1e-5), outcome("slow", 9, 0.0)
    failed = outcome("failed", 2, 1e-4)
    assert ": quick (5)." in verdict([slow, quick, failed])
    assert ": quick and same (5)." in verdict([slow, quick, same, failed])
    assert "No solver" in verdict([failed, outcome("lost", 1, np.nan)])


def test_version_in_a_process_of_its_own():
    done = subprocess.run(
        [sys.executable, "-m", "qnsolve", "--version"], capture_output=True, text=True, check=False
    )
    version = f"qnsolve {qnsolve.__version__} (compiled model: {compiled.BUILD})"
    assert (done.returncode, done.stdout.strip()) == (0, version)


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    assert "solve" in capsys.readouterr().out


def test_names_are_not_broken_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["solve", "--help"])
    words = capsys.readouterr().out.replace(",", " ").replace(".", " ").split()
    assert set(PROBLEMS) <= set(words)
