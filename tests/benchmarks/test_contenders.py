"""Solvers by name: each keeps to the meter's counts and hands its options on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der, rosen_hess

from benchmarks.profiling.contenders import (
    BOUNDED_CONTENDERS,
    DEFAULT_CONTENDERS,
    Contender,
    parse_contender,
)
from benchmarks.profiling.measure import Objective, measure
from qnsolve.interface import METHODS

VALLEY = Objective("valley", 4, np.full(4, -1.2), rosen, rosen_der, rosen_hess)


@pytest.mark.parametrize(
    "text", [*DEFAULT_CONTENDERS, *BOUNDED_CONTENDERS, "qnsolve:lsr1-tr:gtol=1e-08,memory=4"]
)
def test_label_is_the_name(text):
    assert parse_contender(text).label == text


def test_options_are_sorted_so_that_one_solver_has_one_label():
    same = parse_contender("qnsolve:lsr1-tr:memory=4,gtol=1e-08")
    assert same == parse_contender("qnsolve:lsr1-tr:gtol=1e-08,memory=4")
    assert same.options == (("gtol", 1e-8), ("memory", 4))


def test_values_that_are_no_literals_are_strings():
    assert parse_contender("qnsolve:lsr1-tr:norm=shape-inf").options == (("norm", "shape-inf"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lsr1-tr", "package:method"),
        ("matlab:fminunc", "package one of qnsolve, scipy"),
        ("qnsolve:", "package:method"),
        ("qnsolve:lsr1-tr:memory", "option=value is wanted"),
        ("qnsolve:lsr1-tr:=3", "option=value is wanted"),
    ],
)
def test_wrong_names_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_contender(text)


@pytest.mark.parametrize(
    "text",
    [
        "scipy:L-BFGS-B",
        "scipy:L-BFGS-B:maxcor=20",
        "scipy:BFGS",
        "scipy:CG",
        "scipy:trust-constr",
        *(f"qnsolve:{method}" for method in METHODS),
        "qnsolve:SC_SR1:memory=5",
        "qnsolve:lsr1-tr:norm=diagonal",
        "torchmin:bfgs",
        "torchmin:cg",
        "petsc:bqnktr",
    ],
)
def test_solves_and_is_counted(text):
    contender = parse_contender(text)
    if contender.missing() is not None:
        pytest.skip(contender.missing())
    run = measure(VALLEY, contender, 2000, 60.0)
    assert (run.status, run.solver) == ("returned", text), run.message
    assert run.cost_relative <= run.cost_absolute <= max(run.nfev, run.njev)
    assert run.g_norm <= 1e-5
    assert run.nit >= 1
    # SciPy's solvers count their calls, so do ours: no call went past the meter.
    if run.own_nfev is not None:
        assert run.own_nfev >= run.nfev


@pytest.mark.parametrize("text", BOUNDED_CONTENDERS)
def test_bounds_are_handed_on(text):
    """The minimiser, (1, ..., 1), is outside of the box, where two terms are at least 1/4."""
    valley = replace(VALLEY, box=(np.full(4, -1.5), np.array([np.inf, 0.5, 0.5, np.inf])))
    run = measure(valley, parse_contender(text), 2000, 60.0)
    assert run.cost_relative is not None, run.message
    assert run.f >= 0.5
    if not text.startswith("scipy:trust-constr"):  # it is allowed to
        assert run.outside == 0


def test_who_cannot_take_bounds_says_so():
    bounded = replace(VALLEY, box=(np.full(4, -2.0), np.full(4, 0.5)))
    contender = parse_contender("torchmin:l-bfgs")
    if contender.missing() is not None:
        pytest.skip(contender.missing())
    run = measure(bounded, contender, 2000, 60.0)
    assert (run.status, run.nfev) == ("error", 0)
    assert "not called with bounds" in run.message


def test_options_reach_the_solver():
    run = measure(VALLEY, parse_contender("scipy:L-BFGS-B:maxiter=3"), 2000, 60.0)
    assert run.nit == 3
    run = measure(VALLEY, parse_contender("qnsolve:lsr1-tr:maxiter=3"), 2000, 60.0)
    assert run.nit == 3
    run = measure(VALLEY, parse_contender("qnsolve:lsr1-tr:memmory=3"), 2000, 60.0)
    assert run.status == "error"
    assert "memmory" in run.message


def test_galahad_in_a_process_of_its_own():
    """Its library keeps state, and wants its variables set before it is loaded."""
    pytest.importorskip("galahad", exc_type=ImportError)
    code = (
        "from tests.benchmarks.test_contenders import VALLEY\n"
        "from benchmarks.profiling import measure, parse_contender\n"
        "run = measure(VALLEY, parse_contender('galahad:tru'), 2000, 60.0)\n"
        "assert run.status == 'returned' and run.g_norm <= 1e-5 and run.nfev == run.own_nfev, run\n"
        "run = measure(VALLEY, parse_contender('galahad:arc'), 2000, 60.0)\n"
        "assert run.status == 'error' and 'is tru' in run.message, run\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"OMP_CANCELLATION": "TRUE", "OMP_PROC_BIND": "TRUE", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmin", None)
    assert "torchmin" in Contender("torchmin", "l-bfgs").missing()
    assert Contender("scipy", "BFGS").missing() is None
