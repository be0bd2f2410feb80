"""The examples run as they stand and reach what they say."""

from __future__ import annotations

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name):
    return runpy.run_path(str(EXAMPLES / name))["main"]


def test_quickstart(capsys):
    assert run("quickstart.py")().success
    printed = capsys.readouterr().out
    assert "gradient consistent: True" in printed


def test_certificate(capsys):
    results = run("certificate.py")(n=1000)
    assert all(result.certificate().worst < 1e-12 for result in results.values())
    assert capsys.readouterr().out.count("stationarity") == len(results)


def test_constrained(capsys):
    results = run("constrained.py")(n=20)
    assert all(result.success for result in results.values())
    for name in ("x >= 0", "mean(x^2) <= 1/2"):
        limited, dense = results[name, "LSR1Strategy"], results[name, "SR1"]
        assert abs(limited.fun - dense.fun) <= 1e-6 * abs(dense.fun)
    assert capsys.readouterr().out.count("iterations") == len(results)
