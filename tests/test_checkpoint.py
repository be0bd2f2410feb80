"""Solves that are broken off go on bit for bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize

import qnsolve
from qnsolve import DiagonalNorm, presets
from qnsolve.arrays import new_space, to_host
from qnsolve.checkpoint import _name_beside, load, save
from qnsolve.comm import Serial
from qnsolve.methods import METHODS
from qnsolve.problems import woods
from qnsolve.quasi_newton.psi import PsiLSR1
from qnsolve.solvers.matrices import Build
from tests import killed_solve
from tests.killed_solve import solve

ROOT = Path(killed_solve.__file__).parents[1]
N = 12
PROBLEM = woods(N)
DIAGONAL = DiagonalNorm(np.geomspace(0.5, 2.0, N))

SOLVERS = {
    **{method: (method, {}) for method in METHODS},
    "hybrid in a few pairs": ("hybrid-tr", {"memory": 3}),
    "shape-inf": ("lsr1-tr", {"norm": "shape-inf"}),
    "half the memory": ("lsr1-tr", {"matrix": Build(PsiLSR1), "memory": 4}),
    "ellipsoid": ("lsr1-tr", {"norm": DIAGONAL}),
    "cubic in l2": ("lsr1-arc", {"norm": "l2"}),
    "ascent": ("lsr1-ls", {"modify": "ascent", "first_trial": "previous"}),
    "adagrad": ("newton-tr", {"norm": "adagrad"}),
    "gltr": ("newton-tr", {"inner": "gltr", "norm": "rmsprop"}),
    **{
        name: (preset.method, dict(preset))
        for name, preset in vars(presets).items()
        if isinstance(preset, presets.Preset)
    },
}


class Unplugged(Exception):
    pass


class Fun:
    """The function, which counts its evaluations and raises at one of them."""

    def __init__(self, last=None, error=Unplugged):
        self.count, self.last, self.error = 0, last, error

    def __call__(self, x):
        self.count += 1
        if self.count == self.last:
            raise self.error
        return PROBLEM.fun(x)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.npz"


def run(fun, name="hybrid-tr", x0=PROBLEM.x0, **options):
    method, given = SOLVERS[name]
    callback = options.pop("callback", None)
    options = {"history": True, "maxiter": 60, **given, **options}
    return qnsolve.minimize(fun, x0, jac=True, method=method, callback=callback, options=options)


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        if name == "history":
            assert [repr(plain(row)) for row in value] == [repr(plain(row)) for row in b[name]]
        else:
            np.testing.assert_array_equal(value, b[name], err_msg=name)


def plain(row):
    return {name: np.asarray(value).item() for name, value in row.items()}


@pytest.mark.parametrize("name", SOLVERS)
def test_broken_off_again_and_again(name, path):
    """A function that fails every few evaluations: nothing but the broken iteration is repeated."""
    whole = Fun()
    expected = run(whole, name)
    spent, breaks, longest = 0, 0, longest_iteration(expected)
    chance = random.Random(0)
    while True:
        # Further than one iteration and the look at the file, or no progress could be made.
        fun = Fun(last=longest + chance.randint(3, 12))
        try:
            result = run(fun, name, checkpoint=path)
            break
        except Unplugged:
            spent, breaks = spent + fun.count, breaks + 1
    assert breaks >= 2
    assert_same(result, expected)
    # An evaluation that raised is counted here; of the others those of one iteration are lost, and
    # one looks whether it is the function of the file.
    assert whole.count <= spent + fun.count <= whole.count + breaks * (longest + 1)


def longest_iteration(result):
    """Return how many evaluations one iteration has taken at most."""
    return max(np.diff([1, *(row["nfev"] for row in result.history)]))


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("nit", [1, 7, 20])
def test_broken_off_by_the_callback(name, nit, path):
    """Ctrl-C after an iteration: that one is not lost either."""

    def interrupt(intermediate_result):
        if intermediate_result.nit == nit:
            raise KeyboardInterrupt

    expected, before, after = run(Fun(), name), Fun(), Fun()
    with pytest.raises(KeyboardInterrupt):
        run(before, name, checkpoint=path, callback=interrupt)
    assert_same(run(after, name, checkpoint=path), expected)
    assert before.count + after.count == expected.nfev + 1


@pytest.mark.parametrize(
    ("method", "evaluation"), [("hybrid-tr", 1), *zip(METHODS, range(9, 29, 4), strict=False)]
)
def test_killed(method, evaluation, path):
    script = [sys.executable, killed_solve.__file__, str(path), method, str(evaluation)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(script, env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert path.exists() == (evaluation > 1)
    assert_same(solve(method, checkpoint=path), solve(method))


@pytest.mark.parametrize("name", SOLVERS)
def test_more_iterations_go_on_from_the_end(name, path):
    short = run(Fun(), name, checkpoint=path, maxiter=9)
    again, rest = Fun(), Fun()
    assert_same(run(again, name, checkpoint=path, maxiter=9), short)
    assert again.count == 1  # is it the function of the file?
    expected = run(Fun(), name)
    assert_same(run(rest, name, checkpoint=path), expected)
    assert rest.count == expected.nfev - short.nfev + 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("loose", "tight"),
    [({"gtol": 1e-2}, {"gtol": 1e-6}), ({"gtol": 0.0, "ftol": 0.3}, {"gtol": 0.0, "ftol": 1e-6})],
)
def test_a_tighter_tolerance_goes_on_from_the_end(method, loose, tight, path):
    first, again, rest = Fun(), Fun(), Fun()
    early = run(first, method, checkpoint=path, maxiter=500, **loose)
    assert early.success
    assert_same(run(again, method, checkpoint=path, maxiter=500, **loose), early)
    assert again.count == 1  # is it the function of the file?
    expected = run(Fun(), method, maxiter=500, **tight)
    assert expected.nit > early.nit
    assert_same(run(rest, method, checkpoint=path, maxiter=500, **tight), expected)
    assert rest.count == expected.nfev - early.nfev + 1


@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
def test_has_the_rights_of_any_new_file(path):
    other = path.with_name("other")
    other.touch()
    run(Fun(), checkpoint=path, maxiter=2)
    assert path.stat().st_mode == other.stat().st_mode


def test_written_every_few_iterations(path):
    seen = []

    def look(intermediate_result):
        # What has been written when the iteration ends: the state before it, where it was time.
        seen.append(load(path, SPACE)["state"]["run"]["nit"] if path.exists() else None)

    run(Fun(), checkpoint=path, checkpoint_every=3, maxiter=8, callback=look)
    assert seen == [None, None, None, 3, 3, 3, 6, 6]
    assert load(path, SPACE)["state"]["run"]["nit"] == 8


SPACE = new_space(N)


@pytest.mark.parametrize(("seconds", "written"), [(1e-9, True), (None, False), (3600, False)])
def test_written_by_the_clock(seconds, written, path):
    def look(intermediate_result):
        assert path.exists() == written

    run(Fun(), checkpoint=path, checkpoint_seconds=seconds, maxiter=3, callback=look)


def test_through_scipy(path):
    def solve(fun, **options):
        return scipy.optimize.minimize(
            fun, PROBLEM.x0, jac=True, method=qnsolve.lsr1_tr, options=options
        )

    with pytest.raises(Unplugged):
        solve(Fun(last=20), checkpoint=path)
    assert_same(solve(Fun(), checkpoint=path), solve(Fun()))


@pytest.mark.parametrize("method", METHODS)
def test_on_every_library(method, xp, path):
    x0 = xp.asarray([[-1.2, 1.0], [-3.0, -1.0]], "float32")
    total = xp.namespace.sum

    def solve(last=None, **options):
        count = 0

        def fun(x):
            nonlocal count
            count += 1
            if count == last:
                raise Unplugged
            return total(x**4 - 3.0 * x**2 + x), 4.0 * x**3 - 6.0 * x + 1.0

        options["maxiter"] = 12
        return qnsolve.minimize(fun, x0, jac=True, method=method, options=options)

    with pytest.raises(Unplugged):
        solve(6, checkpoint=path)
    resumed, expected = solve(checkpoint=path), solve()
    assert type(resumed.x) is type(expected.x)
    assert resumed.x.dtype == x0.dtype and resumed.x.shape == x0.shape
    assert (to_host(resumed.x) == to_host(expected.x)).all()
    assert (to_host(resumed.jac) == to_host(expected.jac)).all()
    assert (resumed.fun, resumed.nit, resumed.nfev) == (expected.fun, expected.nit, expected.nfev)


def never(x):
    raise AssertionError("evaluated")


@pytest.mark.parametrize(
    ("name", "x0", "options", "words"),
    [
        ("lsr1-tr", PROBLEM.x0, {}, "with options = 'HybridOptions', this one has 'Trust"),
        ("hybrid-tr", woods(8).x0, {}, "with n = 12, this one has 8"),
        ("hybrid-tr", PROBLEM.x0.reshape(3, 4), {}, r"with shape = \[12\], this one has \[3, 4\]"),
        ("hybrid-tr", PROBLEM.x0.astype("f4"), {}, "with dtype = 'float64'.*'float32'"),
        ("hybrid-tr", PROBLEM.x0 + 1.0, {}, "with x0 = "),
        ("hybrid-tr", PROBLEM.x0, {"memory": 3}, "with memory = 20, this one has 3"),
        ("hybrid-tr", PROBLEM.x0, {"norm": DIAGONAL}, "with norm = 'l2', this one has 'Diagonal"),
        ("hybrid-tr", PROBLEM.x0, {"gamma": "latest"}, "with gamma = None, this one has 'latest'"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(name, x0, options, words, path):
    run(Fun(), checkpoint=path, maxiter=3)
    with pytest.raises(ValueError, match=f"the checkpoint is of a run {words}"):
        run(never, name, x0, checkpoint=path, **options)


def test_finite_differences_are_another_run(path):
    run(Fun(), checkpoint=path, maxiter=3)
    with pytest.raises(ValueError, match="with jac = 'given', this one has '2-point'"):
        options = {"checkpoint": path, "history": True}
        qnsolve.minimize(never, PROBLEM.x0, options=options)


def test_a_checkpoint_of_another_program_is_refused(path):
    save(path, {"identity": {"program": "train"}, "state": {}})
    with pytest.raises(ValueError, match="with program = 'train', this one has 'minimize'"):
        run(never, checkpoint=path)


def test_rules_of_ones_own_are_told_apart(path):
    def halve(radius, outcome, options):
        return 0.5 * radius

    def keep(radius, outcome, options):
        return radius

    run(Fun(), checkpoint=path, maxiter=2, radius_rule=halve)
    with pytest.raises(ValueError, match=r"radius_rule = .*halve', this one has .*keep"):
        run(never, checkpoint=path, radius_rule=keep)


def test_ranks_are_refused(path):
    with pytest.raises(ValueError, match="checkpoint is not supported with comm"):
        qnsolve.minimize(never, PROBLEM.x0, jac=True, comm=Serial(), options={"checkpoint": path})


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nowhere/run.npz", "lie in a folder that can be written to"),
        (".", "be a file, .* is a folder"),
        ("pipe", "be a file, .*pipe is a device or pipe"),
        (300 * "x", "be a file that can be made, got .*: File name too long"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_refused(place, words, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=f"checkpoint must {words}"):
        run(never, checkpoint=tmp_path / place)
    assert [entry.name for entry in tmp_path.iterdir()] == ["pipe"]


def test_damage_is_noticed(path):
    """Cut anywhere the file is refused; with one bit wrong it is, or it is read as it was."""
    run(Fun(), checkpoint=path, maxiter=5, history=False)
    content = path.read_bytes()
    expected = run(Fun(), checkpoint=path, maxiter=8, history=False)
    chance = random.Random(1)
    lengths = [0, 1, len(content) - 1, *(chance.randrange(len(content)) for _ in range(40))]
    for length in lengths:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"run\.npz is not a checkpoint, or it is damaged"):
            run(never, checkpoint=path)
    for _ in range(150):
        wrong = bytearray(content)
        wrong[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(wrong)
        try:
            result = run(Fun(), checkpoint=path, maxiter=8, history=False)
        except ValueError as error:
            assert "is not a checkpoint, or it is damaged" in str(error)
        else:
            assert_same(result, expected)


def test_what_a_killed_writer_left_is_removed(path):
    other = path.with_name("run.npz.old.tmp")
    other.write_bytes(b"no checkpoint's")
    left = _name_beside(path)
    left.write_bytes(b"half a file")
    run(Fun(), checkpoint=path, maxiter=2)
    assert not left.exists() and other.exists()


def test_a_failed_write_hides_no_error(path, monkeypatch):
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(Unplugged) as caught:
        run(Fun(last=5), checkpoint=path)
    assert caught.value.__notes__ == ["The checkpoint could not be written: disk full"]
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("options", [{"checkpoint_every": 1}, {}])
def test_a_failed_write_ends_no_run(options, path, monkeypatch):
    """Nor does it cost the result at the end."""
    expected = run(Fun())
    monkeypatch.setattr(os, "replace", fail)
    words = r"the checkpoint .*run\.npz could not be written \(disk full\); the run goes on"
    with pytest.warns(RuntimeWarning, match=words):
        assert_same(run(Fun(), checkpoint=path, **options), expected)
    assert not list(path.parent.iterdir())


def fail(*arguments):
    raise OSError("disk full")
