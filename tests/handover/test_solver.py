"""Ask and tell: the run of minimize, bit for bit, with a stop at any question."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qnsolve
from qnsolve import Solver
from qnsolve.arrays.libraries import to_host
from qnsolve.methods import METHODS
from tests.handover.problems import GTOL, fun, start

N = 6
OPTIONS = {"gtol": GTOL, "maxiter": 12}


def hessp(x, p):
    """Return the product of the Hessian of `fun`, in any library."""
    xp = sys.modules["array_api_compat"].array_namespace(x)
    weight = xp.cumulative_sum(xp.ones_like(x))
    return weight * (1.0 + 1.2 * x**2) * p + xp.sum(p)


def answer(solver, function=fun):
    x = solver.ask()
    if solver.direction is None:
        solver.tell(*function(x))
    else:
        solver.tell_product(hessp(x, solver.direction))


def drive(solver, function=fun):
    while not solver.done:
        answer(solver, function)
    return solver.result()


def plain(x0, method, function=fun, **options):
    return qnsolve.minimize(
        function,
        x0,
        jac=True,
        method=method,
        hessp=hessp if method == "newton-tr" else None,
        options={**OPTIONS, **options},
    )


def assert_same(a, b):
    for name in ("x", "jac"):
        assert type(a[name]) is type(b[name])
        assert a[name].shape == b[name].shape
        np.testing.assert_array_equal(to_host(a[name]), to_host(b[name]))
    for name in ("fun", "status", "message", "nit", "nfev", "njev", "n_pairs", "skipped"):
        assert a[name] == b[name]
    for name in ("nhev", "radius", "weight"):
        assert repr(a.get(name)) == repr(b.get(name))
    assert repr(a.get("history")) == repr(b.get("history"))


@pytest.mark.parametrize("method", METHODS)
def test_it_is_the_run_of_minimize(method, xp):
    x0 = xp.asarray(start(N))
    options = {**OPTIONS, "history": True}
    assert_same(drive(Solver(x0, method=method, options=options)), plain(x0, method, history=True))


@settings(max_examples=10)
@given(st.integers(1, 15), st.integers(0, 2**32 - 1), st.sampled_from(list(METHODS)))
def test_it_is_the_run_of_minimize_on_drawn_problems(n, seed, method):
    """Not convex, of several units; newton-tr by differences of gradients."""
    rng = np.random.default_rng(seed)
    A, x0 = rng.standard_normal((n, n)) * 10.0 ** rng.integers(-3, 3, n), rng.standard_normal(n)

    def wavy(x):
        u = A @ x
        return np.sum(np.cos(u)) + 0.5 * x @ x, x - A.T @ np.sin(u)

    solver = Solver(x0, method=method, options=OPTIONS, hessp=False)
    assert_same(
        drive(solver, wavy), qnsolve.minimize(wavy, x0, jac=True, method=method, options=OPTIONS)
    )


@pytest.mark.parametrize("method", METHODS)
def test_bad_values_are_treated_as_minimize_treats_them(method):
    def walled(x):
        f, g = fun(x)
        return (np.inf if np.abs(x).max() > 1.6 else f), g

    x0 = start(N)
    solver = Solver(x0, method=method, options=OPTIONS)
    while not solver.done:
        x = solver.ask()
        if solver.direction is not None:
            solver.tell_product(hessp(x, solver.direction))
        elif np.isinf(walled(x)[0]):
            solver.tell(np.inf)  # a program that has failed knows no gradient
        else:
            solver.tell(*walled(x))
    expected = plain(x0, method, walled)
    np.testing.assert_array_equal(solver.result().x, expected.x)
    assert solver.result().nfev == expected.nfev


def test_not_finite_at_the_start():
    solver = Solver(np.ones(2))
    solver.ask()
    solver.tell(float("nan"))
    assert solver.result().status == qnsolve.Status.NON_FINITE_START
    assert solver.best is None


@pytest.mark.parametrize("method", METHODS)
def test_a_file_at_every_question(method, xp, tmp_path):
    """Each answer is told to a solver that knows nothing but the file of the one before."""
    if xp.namespace.__name__ == "array_api_strict" and xp.device is None:
        pytest.skip("as with its other device")
    x0, path = xp.asarray(start(N)), tmp_path / "solve"
    options = {**OPTIONS, "maxiter": 4, "memory": 3}
    if method == "newton-tr":
        del options["memory"]
    options["history"] = True
    solver = Solver(x0, method=method, options=options)
    while not solver.done:
        solver.save(path)
        other = Solver(x0, method=method, options=options)
        other.load(path)
        if solver.best is not None:
            assert other.best.fun == solver.best.fun
        for one in (solver, other):
            answer(one)
        if not solver.done:
            np.testing.assert_array_equal(to_host(other.ask()), to_host(solver.ask()))
        solver = other
    expected = plain(
        x0, method, **{k: v for k, v in options.items() if k not in OPTIONS}, maxiter=4
    )
    assert_same(solver.result(), expected)


def test_a_killed_process_goes_on_from_its_file(tmp_path):
    """Every process gives one answer and dies without a word."""
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
import numpy as np
from qnsolve import Solver
from tests.handover.problems import fun, start
path = {str(tmp_path / "solve")!r}
for _ in range(int(sys.argv[1])):
    solver = Solver(start(6), options={OPTIONS!r})
    if os.path.exists(path):
        solver.load(path)
    for _ in range(3):
        solver.tell(*fun(solver.ask()))
        if solver.done:
            result = solver.result()
            print(result.nfev, *map(float.hex, result.x.tolist()), flush=True)
            os._exit(9)
        solver.save(path)
os._exit(9)
"""
    printed = ""
    for _ in range(20):
        done = subprocess.run(
            [sys.executable, "-c", code, "3"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 9, done.stderr
        printed += done.stdout
        if printed:
            break
    expected = plain(start(6), "hybrid-tr")
    assert printed.split() == [str(expected.nfev), *map(float.hex, expected.x.tolist())]


def test_best_is_the_lowest_point_so_far():
    solver, lowest = Solver(start(N), method="lsr1-tr", options=OPTIONS), np.inf
    assert solver.best is None
    while not solver.done:
        x = solver.ask()
        f, g = fun(x)
        lowest = min(lowest, f)
        solver.tell(f, g)
        if solver.best is not None:
            assert solver.best.fun == pytest.approx(lowest, rel=1e-12)
            np.testing.assert_array_equal(solver.best.jac, fun(solver.best.x)[1])
    assert np.array_equal(solver.best.x, solver.result().x)


def test_a_question_stays_until_it_is_answered():
    solver = Solver(start(N))
    x = solver.ask()
    x[:] = 0.0
    np.testing.assert_array_equal(solver.ask(), start(N))
    f, g = fun(start(N))
    for wrong, error, words in (
        ((f, g[:3]), ValueError, r"the gradient has shape \(3,\)"),
        (("a", g), TypeError, "fun must return one real number"),
        ((f, 1j * g), TypeError, "complex"),
        ((np.ones(2), g), TypeError, "one real number"),
        ((f,), TypeError, "g is missing"),
        (("a",), TypeError, "one real number"),
    ):
        with pytest.raises(error, match=words):
            solver.tell(*wrong)
    with pytest.raises(ValueError, match="another point"):
        solver.tell(f, g, x=start(N) + 1e-9)
    with pytest.raises(RuntimeError, match="f and g are asked for"):
        solver.tell_product(g)
    solver.tell(f, g, x=start(N))
    with pytest.raises(RuntimeError, match="nothing has been asked since the last answer"):
        solver.tell(f, g)
    assert_same(drive(solver), qnsolve.minimize(fun, start(N), jac=True))


def test_a_product_that_is_wrong():
    solver = Solver(start(N), method="newton-tr", options=OPTIONS)
    answer(solver)
    x = solver.ask()
    assert solver.direction.shape == x.shape == (N,)
    with pytest.raises(ValueError, match=r"the product of hessp has shape \(2,\)"):
        solver.tell_product(np.ones(2))
    with pytest.raises(RuntimeError, match="answer by tell_product"):
        solver.tell(*fun(x))
    assert_same(drive(solver), plain(start(N), "newton-tr"))


def test_after_the_end_there_is_nothing_to_ask(tmp_path):
    solver = Solver(start(N), options=OPTIONS)
    with pytest.raises(RuntimeError, match="not over; best"):
        solver.result()
    drive(solver)
    for action in (
        solver.ask,
        lambda: solver.tell(1.0, np.ones(N)),
        lambda: solver.save(tmp_path / "a"),
    ):
        with pytest.raises(RuntimeError, match="the run is over: there is nothing to ask"):
            action()


def test_what_a_callback_raises_ends_the_run():
    def callback(x):
        raise OSError("why")

    solver = Solver(start(N), callback=callback)
    answer(solver)
    with pytest.raises(OSError, match="why"):
        answer(solver)
    with pytest.raises(RuntimeError, match="ended by an exception"):
        solver.ask()
    assert not solver.done


def test_a_callback_stops_and_a_former_run_helps():
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result.fun)
        if len(seen) == 3:
            raise StopIteration

    result = drive(Solver(start(N), callback=callback))
    assert result.status == qnsolve.Status.CALLBACK_STOP
    assert result.nit == 3
    rest = drive(Solver(result.x, warm_start=result))
    assert_same(rest, qnsolve.minimize(fun, result.x, jac=True, warm_start=result))


def test_files_of_another_run_are_refused(tmp_path):
    path, solver = tmp_path / "solve", Solver(start(N))
    answer(solver)
    solver.save(path)
    for other, words in (
        (Solver(start(N) + 1.0), "x0"),
        (Solver(start(N + 1)), "n = 6"),
        (Solver(start(N), options={"memory": 3}), "memory"),
        (Solver(start(N), method="lsr1-tr"), "options"),
    ):
        with pytest.raises(ValueError, match=words):
            other.load(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match="damaged"):
        solver.load(path)
    with pytest.raises(FileNotFoundError):
        solver.load(tmp_path / "none")
    with pytest.raises(ValueError, match="folder"):
        solver.save(tmp_path / "no" / "folder")
    run = tmp_path / "checkpoint"
    qnsolve.minimize(fun, start(N), jac=True, options={"checkpoint": run, "maxiter": 2})
    with pytest.raises(ValueError, match="program"):
        solver.load(run)
    solver.save(path)
    with pytest.raises(ValueError, match="program"):
        qnsolve.minimize(fun, start(N), jac=True, options={"checkpoint": path})


def test_wrong_arguments():
    for arguments, error, words in (
        ({"method": "bfgs"}, ValueError, "unknown method"),
        ({"options": 3}, TypeError, "options must be a mapping"),
        ({"options": {"memori": 3}}, TypeError, "did you mean 'memory'"),
        ({"options": {"checkpoint": "a"}}, ValueError, "use save and load"),
        ({"callback": 3}, TypeError, "callback must be callable"),
        ({"warm_start": 3}, TypeError, "warm_start must be"),
        ({"hessp": "yes"}, TypeError, "hessp must be True or False"),
    ):
        with pytest.raises(error, match=words):
            Solver(start(N), **arguments)
    with pytest.raises(ValueError, match="NaN or infinite"):
        Solver([1.0, np.nan])
