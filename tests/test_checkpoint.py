"""Solves that are broken off go on bit for bit."""

from __future__ import annotations

import functools
import hashlib
import json
import operator
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize

import qnsolve
from benchmarks.interrupts import solve_of, to_the_end, training_of
from qnsolve import DiagonalNorm, presets
from qnsolve.arrays import new_space, to_host
from qnsolve.callables import Callables
from qnsolve.checkpoint import CHECKSUM, _name_beside, in_words, load, save
from qnsolve.comm import Serial
from qnsolve.methods import METHODS, TABLE
from qnsolve.objective import Objective
from qnsolve.problems import woods
from qnsolve.quasi_newton.psi import PsiLSR1
from qnsolve.solvers.matrices import Build
from qnsolve.solvers.run import Run
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
        elif name == "state":
            assert repr(value) == repr(b.state)
            np.testing.assert_array_equal(value.kept.s, b.state.kept.s)
            np.testing.assert_array_equal(value.kept.y, b.state.kept.y)
        elif name in ("hess", "hess_inv"):
            assert value.shape == b[name].shape  # the rest follows from the state
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


class Troublesome(Fun):
    """Not finite beyond a wall, with products that are not, and a gradient that is not its own."""

    def __call__(self, x):
        f, g = super().__call__(x)
        if x[0] > -0.9 and np.abs(x).max() > 1.25:
            return np.nan, np.full_like(g, np.nan)
        return f, g * (1.0 + 0.5 * np.sin(37.0 * x))

    def hessp(self, x, p):
        super().__call__(x)
        return np.full_like(p, np.nan)


@pytest.mark.parametrize("hessp", [False, True])
@pytest.mark.parametrize("name", SOLVERS)
def test_broken_off_at_every_evaluation(name, hessp, path):
    """Whatever is not whole then: trials that fail, first steps, restarts, blind steps."""
    method, given = SOLVERS[name]
    if hessp and method != "newton-tr":
        pytest.skip("has no products")

    def solve(fun, **options):
        options = {"history": True, "maxiter": 20, "xtol": 1e-3, **given, **options}
        products = fun.hessp if hessp else None
        x0 = PROBLEM.x0
        return qnsolve.minimize(fun, x0, jac=True, method=method, hessp=products, options=options)

    expected = solve(Troublesome())
    for last in range(1, 31):
        path.unlink(missing_ok=True)
        try:
            result = solve(Troublesome(last), checkpoint=path)
        except Unplugged:
            result = solve(Troublesome(), checkpoint=path)
        assert_same(result, expected)


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


def scaled(x, *args):
    factor = args[0]
    return factor * (x @ x) - x.sum(), 2.0 * factor * x - 1.0


@pytest.mark.parametrize("maxiter", [1, 500])
def test_other_args_are_another_run(maxiter, path):
    options = {"checkpoint": path, "maxiter": maxiter}
    qnsolve.minimize(scaled, np.ones(2), (1.0,), jac=True, options=options)
    with pytest.raises(ValueError, match=r"with args = \[1.0\], this one has \[100\]"):
        qnsolve.minimize(never, np.ones(2), (100,), jac=True, options=options)
    same = qnsolve.minimize(scaled, np.ones(2), 1, jac=True, options=options)
    assert same.nit >= 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("jac", [True, None])
@pytest.mark.parametrize("maxiter", [3, 500])
def test_another_function_is_refused(method, jac, maxiter, path):
    """With all else the same: f and g at the point of the file are not what it says."""

    def solve(factor):
        def fun(x):
            f, g = scaled(x, factor)
            return (f, g) if jac else f

        options = {"checkpoint": path, "maxiter": maxiter}
        return qnsolve.minimize(fun, np.ones(2), jac=jac, method=method, options=options)

    first = solve(1.0)
    content = path.read_bytes()
    with pytest.raises(ValueError, match=r"is of another function: at its x fun differs by"):
        solve(100.0)
    with pytest.raises(ValueError, match="is of another function"):
        solve(np.nan)
    assert path.read_bytes() == content
    again = solve(1.0)
    assert_same(again, first)


def test_another_gradient_is_refused(path):
    def wrong(x):
        f, g = PROBLEM.fun(x)
        return f, 1.01 * g

    run(Fun(), checkpoint=path, maxiter=3)
    with pytest.raises(ValueError, match="at its x its gradient differs by"):
        run(wrong, checkpoint=path)


def test_rounding_and_noise_are_no_other_function(path):
    rng = np.random.default_rng(0)

    def rounded(x):
        f, g = PROBLEM.fun(x)
        return f * (1.0 + 1e-14), g * (1.0 - 1e-14)

    def noisy(x):
        f, g = PROBLEM.fun(x)
        return f + 1e-3 * rng.standard_normal(), g + 1e-3 * rng.standard_normal(N)

    run(Fun(), checkpoint=path, maxiter=3)
    assert run(rounded, checkpoint=path, maxiter=5).nit == 5
    path.unlink()
    for maxiter in range(1, 20):
        assert run(noisy, checkpoint=path, maxiter=maxiter, gtol=0.0).nit <= maxiter


class Rule:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, radius, outcome, options):
        return self.factor * radius


def rule_of(factor):
    return lambda radius, outcome, options: factor * radius


def partial_rule(factor):
    return functools.partial(lambda factor, radius, outcome, options: factor * radius, factor)


@pytest.mark.parametrize(
    ("name", "value", "equal", "other"),
    [
        ("gamma", 2, np.float32(2.0), np.float32(3.0)),
        ("gamma", 2.0, np.array(2.0), np.array([3.0])),
        ("memory", 5, np.array(5.0), 6),
        ("xtol", 1e-12, np.float64(1e-12), 0.0),
        ("radius_rule", Rule(0.5), Rule(np.float32(0.5)), Rule(0.25)),
        ("radius_rule", rule_of(0.5), rule_of(np.array(0.5)), rule_of(0.25)),
        ("radius_rule", partial_rule(0.5), partial_rule(0.5), partial_rule(0.25)),
        ("norm", DIAGONAL, DiagonalNorm(DIAGONAL.d.copy()), DiagonalNorm(2.0 * DIAGONAL.d)),
    ],
)
def test_equal_values_are_one_run_and_others_are_not(name, value, equal, other, path):
    run(Fun(), "lsr1-tr", checkpoint=path, maxiter=2, **{name: value})
    run(Fun(), "lsr1-tr", checkpoint=path, maxiter=3, **{name: equal})
    with pytest.raises(ValueError, match=f"with {name} = "):
        run(never, "lsr1-tr", checkpoint=path, **{name: other})


@pytest.mark.parametrize(
    ("args", "equal", "other"),
    [
        ((np.arange(3),), (np.arange(3.0),), (np.arange(1, 4),)),
        ((np.zeros((2, 3)),), (-np.zeros((2, 3)),), (np.zeros((3, 2)),)),
        ((np.array([np.nan, 1.0]),), (np.array([np.nan, 1.0]),), (np.array([1.0, 1.0]),)),
        ((float("nan"),), (np.nan,), (0.0,)),
        (([1, 2],), ((1.0, np.int8(2)),), ([1, 2, 3],)),
        (([0.5] * 40,), ([np.float32(0.5)] * 40,), ([0.5] * 39 + [0.25],)),
        (({"a": 1},), ({"a": True},), ({"b": 1},)),
        (({3, "x"},), ({"x", 3.0},), ({3},)),
        ((2**70,), (2**70,), (2**70 + 1,)),
        ((b"x",), (bytearray(b"x"),), (b"y",)),
        ((1j,), (np.complex64(1j),), (2j,)),
        ((object(),), (object(),), (Rule(1.0),)),
        ((Rule(1.0),), (Rule(2.0),), (None,)),  # others by type: they may change on the way
        ((np.array(["x"]),), (np.array(["x"]),), (np.array(["y"]),)),
    ],
)
def test_args_are_told_apart(args, equal, other, path):
    def words(value):
        return json.loads(json.dumps(in_words(value, by_parts=False)))

    assert words(args) == words(equal)
    assert words(args) != words(other)


def test_args_that_hold_themselves(path):
    args = [1]
    args.append(args)
    json.dumps(in_words(args, by_parts=False))


def test_the_file_stays_where_the_run_began(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def fun(x):
        os.chdir(elsewhere)
        return PROBLEM.fun(x)

    monkeypatch.chdir(tmp_path)
    run(fun, checkpoint="run.npz", checkpoint_every=1, maxiter=3)
    assert (tmp_path / "run.npz").exists() and not list(elsewhere.iterdir())


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


@pytest.mark.parametrize("forged", [False, True])
def test_a_text_that_was_changed_is_refused(forged, path):
    """An entry dropped or of another type, even with a checksum that holds: never another error."""
    run(Fun(), checkpoint=path, maxiter=4)
    line, text, rest = path.read_bytes().split(b"\n", 2)
    chance = random.Random(2)
    for _ in range(150):
        changed = json.loads(text)
        *way, last = chance.choice(list(entries(changed)))
        place = functools.reduce(operator.getitem, way, changed)
        if chance.random() < 0.3:
            del place[last]
        else:
            place[last] = chance.choice([None, True, -1, 1.5, "x", [], {}, [1], {"array": "no"}])
        body = b"\n".join([line, json.dumps(changed).encode(), rest[:-CHECKSUM]])
        checksum = hashlib.blake2b(body, digest_size=CHECKSUM).digest()
        path.write_bytes(body + (checksum if forged else rest[-CHECKSUM:]))
        try:
            run(Fun(), checkpoint=path, maxiter=6)
        except ValueError:
            continue
        assert forged or body.split(b"\n", 2)[1] == text


def entries(tree):
    """Yield the ways to all entries of nested dictionaries and lists."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (key,)
        if isinstance(value, dict | list):
            yield from ((key, *way) for way in entries(value))


# Between the opening of a file and the block that closes it there is always a moment.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.skipif(os.name != "posix", reason="timers as POSIX has them")
@pytest.mark.parametrize("kind", [*METHODS, "train"])
def test_interrupts_at_random_moments_lose_nothing(kind, path):
    """`python -m benchmarks.interrupts` has more of them."""
    before = signal.getsignal(signal.SIGALRM)
    solve, place = training_of("hybrid-tr", 1) if kind == "train" else solve_of(kind, 4, 1)
    try:
        counts = Counter()
        result = to_the_end(solve, path, place, counts)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert counts["losses"] == 0 < counts["interrupts"], counts
    assert counts["swallowed"] <= counts["dropped by Python"], counts
    for value, expected in zip(result, solve(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_an_abandoned_loop_does_not_write(path):
    """What is collected late would put an old state in the place of a newer one."""
    objective = Objective(PROBLEM.fun, PROBLEM.x0, (), True)
    options = TABLE["lsr1-tr"].options.from_user({"checkpoint": path})
    callables = Callables(objective)
    loop = TABLE["lsr1-tr"].loop(options, Run(callables, options, None))
    question = loop.send(None)
    for _ in range(4):
        question = loop.send(callables.answer(question))
    loop.close()
    assert not path.exists()


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
