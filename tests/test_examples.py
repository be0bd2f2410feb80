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
