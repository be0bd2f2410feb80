"""Runs of random methods on small problems whose evaluations fail at random, checked one by one.

A run is made from its seed alone::

    python -m benchmarks.fuzz --runs 100000          # seeds 0 to 99,999, and a table
    python -m benchmarks.fuzz --first 4711 --runs 1  # one of them again
    python -m benchmarks.fuzz --presets              # published methods in place of random options
    python -m benchmarks.fuzz --bounds               # in random boxes
    python -m benchmarks.fuzz --cores                # the compiled model against the one in NumPy

Checked of each: what is raised is the user's own; no evaluation is outside of the box; no iteration
begins after maxfev, and none takes more evaluations than it may; x, fun and jac of the result
belong together, are finite where they can be, and fun is not above the lowest value accepted
before; success comes with a gradient within gtol; the status is in the table, and its message
begins the result's.  Warnings count as failures, but for the one about differences where fun has
not changed.

With ``--cores`` a run that the compiled model fits is made with it and without, and once more
without from a start an ulp away: how often the ends of the first two differ is to be judged by how
often those of the last two do.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import math
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import Bounds

import qnsolve
from qnsolve import Status, presets
from qnsolve.interface import METHODS
from qnsolve.krylov.steihaug import PRODUCTS
from qnsolve.methods import TABLE
from qnsolve.published import first_steps
from qnsolve.solvers.along_step import ROUNDING_ACCEPT
from qnsolve.solvers.wolfe import MAX_TRIALS

HANG = 60.0
"""Seconds after which a run of this size is said to hang."""

OUTSIDE = "x0 is outside of the bounds"
"""What is said of a start that is projected."""

CONSTANT = "fun does not change at all over the first steps of finite differences"
"""What a run warns of where that is so."""


class Fault(Exception):
    """What an objective raises."""


class Interrupt(BaseException):
    """What Ctrl-C is like: not an Exception."""


class Hang(BaseException):
    """Raised by the alarm clock."""


# -- problems --------------------------------------------------------------------------------------


def quartic(rng: np.random.Generator, n: int) -> Callable:
    """Indefinite quadratic and a quartic that bounds it."""
    A = rng.standard_normal((n, n))
    A, b, c = A + A.T, rng.standard_normal(n), 10.0 ** rng.uniform(-2, 1)
    return lambda x: (0.5 * x @ A @ x + b @ x + c * np.sum(x**4), A @ x + b + 4 * c * x**3)


def rosenbrock(rng: np.random.Generator, n: int) -> Callable:
    def fun(x):
        u, v = x[:-1], x[1:]
        r, g = v - u**2, np.zeros_like(x)
        g[:-1] += -400 * u * r - 2 * (1 - u)
        g[1:] += 200 * r
        return 100 * r @ r + (1 - u) @ (1 - u), g

    return fun if n > 1 else wells(rng, n)


def wells(rng: np.random.Generator, n: int) -> Callable:
    return lambda x: (np.sum(x**4 - x**2), 4 * x**3 - 2 * x)


def bowl(rng: np.random.Generator, n: int) -> Callable:
    d = 10.0 ** rng.uniform(-3, 3, n)
    return lambda x: (0.5 * x @ (d * x), d * x)


def line(rng: np.random.Generator, n: int) -> Callable:
    g = rng.standard_normal(n)
    return lambda x: (g @ x, g.copy())


def kink(rng: np.random.Generator, n: int) -> Callable:
    d = 10.0 ** rng.uniform(-2, 2, n)
    return lambda x: (d @ np.abs(x), d * np.sign(x))


def logarithms(rng: np.random.Generator, n: int) -> Callable:
    """Finite only where every x is positive."""
    return lambda x: (np.sum(x - np.log(x)), 1 - 1 / x)


PRESETS = [preset for preset in vars(presets).values() if isinstance(preset, presets.Preset)]
PROBLEMS = (quartic, rosenbrock, wells, bowl, line, kink, logarithms)


# -- faults ----------------------------------------------------------------------------------------


def replace(value: float) -> Callable:
    def spoil(rng, f, g):
        where = rng.integers(3)
        if where != 1:
            f = value
        if where != 0:
            g = g.copy()
            g[rng.integers(g.size)] = value
        return f, g

    return spoil


def raise_error(rng, f, g):
    raise Fault if rng.random() < 0.8 else Interrupt


def huge(rng, f, g):
    return f * 10.0 ** rng.uniform(100, 300), g * 10.0 ** rng.uniform(100, 300)


def tiny(rng, f, g):
    return f * 10.0 ** rng.uniform(-320, -100), g * 10.0 ** rng.uniform(-320, -100)


def noise(rng, f, g):
    size = 10.0 ** rng.uniform(-12, -1)
    return f * (1 + size * rng.standard_normal()), g * (1 + size * rng.standard_normal(g.shape))


def wrong_component(rng, f, g):
    g = g.copy()
    g[rng.integers(g.size)] *= -(10.0 ** rng.uniform(-2, 2))
    return f, g


FAULTS: dict[str, Callable | None] = {
    "none": None,
    "nan": replace(math.nan),
    "inf": replace(math.inf),
    "-inf": replace(-math.inf),
    "exception": raise_error,
    "huge": huge,
    "tiny": tiny,
    "wrong sign": lambda rng, f, g: (f, -g),
    "wrong scale": lambda rng, f, g: (f, g * 10.0 ** rng.uniform(-4, 4)),
    "wrong component": wrong_component,
    "noise": noise,
    "discontinuity": lambda rng, f, g: (np.round(f, int(rng.integers(-1, 6))), g),
    "jump": lambda rng, f, g: (f + rng.standard_normal() * 10.0 ** rng.uniform(-3, 6), g),
    "stall": lambda rng, f, g: (0.0, g),
    "zero gradient": lambda rng, f, g: (f, 0 * g),
}


@dataclass
class Faulty:
    """An objective with faults, and a record of what it returned."""

    fun: Callable
    kind: str
    when: Callable[[int, np.ndarray], bool]
    rng: np.random.Generator
    faults: int = 0
    returned: list[tuple[bytes, float, np.ndarray]] = field(default_factory=list)
    raised: BaseException | None = None
    lost: bool = False
    box: Bounds | None = None
    outside: int = 0

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        self.lost |= not np.isfinite(x).all()
        if self.box is not None:
            self.outside += not ((self.box.lb <= x) & (x <= self.box.ub)).all()
        with np.errstate(all="ignore"):
            f, g = self.fun(x.astype(np.float64))
            if FAULTS[self.kind] is not None and self.when(len(self.returned), x):
                self.faults += 1
                try:
                    f, g = FAULTS[self.kind](self.rng, f, g)
                except BaseException as error:
                    self.raised = error
                    raise
            g = g.astype(x.dtype)
        self.returned.append((x.tobytes(), float(f), g.copy()))
        return float(f), g


# -- a run -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """All that a run consists of."""

    method: str
    objective: Faulty
    x0: np.ndarray
    jac: Any
    options: dict[str, Any]


def case_of(seed: int) -> Case:
    """Return the run with that seed."""
    rng = np.random.default_rng(seed)
    method, n = rng.choice(list(METHODS)), int(rng.integers(1, 6))
    fun = PROBLEMS[rng.integers(len(PROBLEMS))](rng, n)
    kind = str(rng.choice(list(FAULTS)))
    objective = Faulty(fun, kind, moments(rng), np.random.default_rng([seed, 1]))
    x0 = rng.standard_normal(n) * 10.0 ** rng.uniform(-3, 2)
    if rng.random() < 0.05:
        x0 *= 10.0 ** rng.uniform(-150, 150)
    if rng.random() < 0.15:
        x0 = np.clip(x0, -1e30, 1e30).astype(np.float32)
    jac = rng.choice(["together", "apart", "2-point", "3-point"], p=[0.7, 0.15, 0.1, 0.05])
    return Case(str(method), objective, x0, str(jac), options_of(rng, str(method)))


def with_preset(case: Case, seed: int) -> Case:
    """Return the run with a published method in place of its own, within the same limits."""
    preset = PRESETS[seed % len(PRESETS)]
    limits = ("maxfev", "maxiter", "gtol")
    kept = {name: case.options[name] for name in limits if name in case.options}
    return dataclasses.replace(case, method=preset.method, options={**preset, **kept})


def in_a_box(case: Case, seed: int) -> Case:
    """Return the run in a box, which the start may be a corner of, or outside of."""
    rng, n = np.random.default_rng([seed, 2]), case.x0.size
    dtype, size = case.x0.dtype, np.abs(case.x0).max() or 1.0
    with np.errstate(over="ignore", under="ignore"):
        near = (case.x0 - size * 10.0 ** rng.uniform(-6, 2, n)).astype(dtype)
        far = (case.x0 + size * 10.0 ** rng.uniform(-6, 2, n)).astype(dtype)
        one_ulp = np.nextafter(case.x0, dtype.type(np.inf))
    lower = np.choose(rng.integers(4, size=n), [near, case.x0, np.full(n, -np.inf), near])
    upper = np.choose(rng.integers(4, size=n), [far, case.x0, np.full(n, np.inf), far])
    kind = rng.choice(["plain", "fixed", "ulp", "away"], size=n, p=[0.7, 0.1, 0.1, 0.1])
    lower = np.where(np.isin(kind, ["fixed", "ulp"]), case.x0, lower)
    upper = np.where(kind == "fixed", case.x0, np.where(kind == "ulp", one_ulp, upper))
    lower = np.where((kind == "away") & np.isfinite(far), far, lower)  # the start is outside
    upper = np.maximum(lower, upper)
    box = Bounds(lower.astype(np.float64), upper.astype(np.float64))
    methods = [name for name, method in TABLE.items() if method.takes_bounds]
    method = case.method if case.method in methods else str(rng.choice(methods))
    options = case.options if method == case.method else options_of(rng, method)
    unsupported = ("norm", "matrix", "first_step")
    options = {name: value for name, value in options.items() if name not in unsupported}
    objective = dataclasses.replace(case.objective, box=box)
    return dataclasses.replace(case, method=method, options=options, objective=objective)


def moments(rng: np.random.Generator) -> Callable[[int, np.ndarray], bool]:
    """Return at which evaluations there is a fault: some, from one on, or in a half space."""
    kind, k, p = rng.integers(4), int(rng.integers(0, 12)), rng.uniform(0.02, 0.5)
    chance = np.random.default_rng(rng.integers(2**32))
    edge = rng.standard_normal()
    return (
        lambda i, x: i == k,
        lambda i, x: chance.random() < p,
        lambda i, x: i >= k,
        lambda i, x: x[0] > edge,
    )[kind]


def options_of(rng: np.random.Generator, method: str) -> dict[str, Any]:
    """Return options that the method takes, each left out more often than not."""
    long = rng.random() < 0.01
    options: dict[str, Any] = {"maxfev": 600 if long else int(2 ** rng.uniform(0.5, 4.5))}

    def maybe(name: str, *values: Any, chance: float = 0.25) -> None:
        if rng.random() < chance:
            options[name] = values[rng.integers(len(values))]

    maybe("gtol", 0.0, 1e-8, 1e-2)
    maybe("ftol", 1e-8, 1e-2, chance=0.1)
    maybe("xtol", 0.0, 1e-6, chance=0.1)
    maybe("maxiter", 0, 1, 7, chance=0.1)
    size = 10.0 ** rng.uniform(-8, 8)
    if method != "newton-tr":
        maybe("memory", 1, 2, 3, 6, chance=0.6)
        maybe("gamma", "latest", "window-max", "eigenvalue", size)
    if method in ("hybrid-tr", "lsr1-tr"):
        maybe("norm", "l2", "shape-inf", "shape-2", chance=0.5)
    if method in ("hybrid-tr", "lsr1-tr", "newton-tr"):
        maybe("initial_radius", size, "gradient")
        maybe("max_radius", 1e3 * size, chance=0.1)
    if method in ("hybrid-tr", "lsr1-tr", "lsr1-arc"):
        maybe("store_rejected", True, False, "near")
        maybe("modified_secant", True, False)
    if method == "lsr1-arc":
        maybe("norm", "shape", "l2", chance=0.5)
        maybe("weight_rule", "interpolation", "arcs", "cgt", chance=0.5)
        maybe("initial_weight", size)
        maybe("longest_step", math.inf, 2.0, chance=0.1)
    if method == "lsr1-ls":
        maybe("modify", "ascent", chance=0.3)
        maybe("first_trial", "previous", chance=0.3)
        maybe("initial_step", size)
    if method == "newton-tr":
        maybe("norm", "adagrad", "rmsprop", chance=0.4)
        maybe("inner", "steihaug", "gltr", chance=0.5)
        maybe("inner_maxiter", 1, 3)
    return options


def evaluations_of_a_gradient(case: Case) -> int:
    """Return how many evaluations of fun a gradient takes at most, beside that at its point."""
    return {"2-point": 1, "3-point": 2}.get(case.jac, 0) * case.x0.size


def evaluations_of_an_iteration(case: Case) -> int:
    """Return how many evaluations of fun an iteration may take at most."""
    n, gradient = case.x0.size, evaluations_of_a_gradient(case)
    trials = MAX_TRIALS if case.method == "lsr1-ls" else 1
    if case.options.get("first_step") is not None:
        trials = first_steps.MAX_TRIALS
    products = 0
    if case.method == "newton-tr":
        products = case.options.get("inner_maxiter", PRODUCTS * n)
    # A product by differences of gradients with jac=True evaluates fun too.
    return trials * (1 + gradient) + products * (1 + gradient)


class Wrong(AssertionError):
    """A property that does not hold."""


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise Wrong(what)


def run(case: Case) -> Any:
    """Run the case and check it; return the result, or what the user's function raised."""
    objective, counts, values = case.objective, [], []
    maxfev = case.options["maxfev"]

    def callback(intermediate_result):
        counts.append(intermediate_result.nfev)
        values.append(intermediate_result.fun)

    fun, jac = objective, True
    if case.jac == "apart":
        last = []

        def fun(x):
            last[:] = [objective(x)]
            return last[0][0]

        def jac(x):
            return last[0][1] if last and objective.returned[-1][0] == x.tobytes() else slope(x)

        def slope(x):
            with np.errstate(all="ignore"):
                return objective.fun(x.astype(np.float64))[1].astype(x.dtype)

    elif case.jac != "together":
        jac = case.jac

        def fun(x):
            return objective(x)[0]

    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            result = qnsolve.minimize(
                fun,
                case.x0,
                jac=jac,
                method=case.method,
                bounds=objective.box,
                callback=callback,
                options=case.options,
            )
    except (Fault, Interrupt) as error:
        expect(error is objective.raised, "an exception is the user's own object")
        return error
    outside = not np.array_equal(case.x0, start_of(case), equal_nan=True)
    of_differences = objective.returned[: 1 + evaluations_of_a_gradient(case)]
    constant = len(of_differences) > 1 and len({f for _, f, _ in of_differences}) == 1
    for warning in heard:
        words = str(warning.message)
        expected = (constant and words.startswith(CONSTANT)) or (outside and OUTSIDE in words)
        expect(expected, f"nothing warns but of a constant fun or an x0 outside: {words}")
    expect(objective.raised is None, "an exception of the user comes through")
    expect(not objective.lost, "fun is called at finite points only")
    expect(not objective.outside, "fun is called in the box only")
    # 1. Budget.
    expect(result.nfev == len(objective.returned), "nfev is the number of evaluations")
    most = evaluations_of_an_iteration(case)
    # The first differences may be made twice: with longer steps, where fun hardly changes.
    starts = [1 + 2 * evaluations_of_a_gradient(case), *counts]
    expect(all(count < maxfev for count in counts[:-1]), "no iteration begins after maxfev")
    ends = [*counts, result.nfev]
    expect(
        all(b - a <= most for a, b in zip(starts, ends, strict=True)),
        "no iteration takes more evaluations than it may",
    )
    # 2. The point returned.
    expect(result.x.shape == case.x0.shape and result.x.dtype == case.x0.dtype, "x is like x0")
    at_x = [(f, g) for x, f, g in objective.returned if x == result.x.tobytes()]
    expect(any(same(f, result.fun) for f, g in at_x), "fun is the value at x")
    if case.jac == "together" and result.status != Status.UNBOUNDED:
        expect(any(same(g, result.jac) for f, g in at_x), "jac is the gradient at x")
    if result.status == Status.NON_FINITE_START:
        expect(result.nit == 0 and (result.x == start_of(case)).all(), "a bad start is returned")
    elif result.status != Status.UNBOUNDED:
        expect(math.isfinite(result.fun) and bool(np.isfinite(result.jac).all()), "all is finite")
        lowest = min([objective.returned[0][1], *values])
        eps = float(np.finfo(case.x0.dtype).eps)
        rounding = ROUNDING_ACCEPT * eps * (1 + result.nit) * abs(lowest)
        expect(result.fun <= lowest + rounding, "no accepted point is better")
    # 3. Status.
    status = Status(result.status)
    expect(result.success == status.success, "success follows from the status")
    expect(result.message.startswith(status.message), "the message is that of the status")
    if result.success:
        expect(bool(np.isfinite(result.jac).all()), "success has a finite gradient")
    if status is Status.GTOL:
        eps = float(np.finfo(case.x0.dtype).eps)
        gtol = case.options.get("gtol", max(1e-5, eps ** (1 / 3)) if eps > 1e-10 else 1e-5)
        expect(slope_at(case, result) <= gtol, "success has a gradient within gtol")
    return result


def start_of(case: Case) -> np.ndarray:
    """Return x0, projected on the box."""
    box = case.objective.box
    return case.x0 if box is None else np.clip(case.x0, box.lb, box.ub).astype(case.x0.dtype)


def slope_at(case: Case, result: Any) -> float:
    """Return the largest entry of the gradient, in a box of P(x - g) - x."""
    box, moved = case.objective.box, -result.jac
    if box is not None:
        lower, upper = box.lb.astype(result.x.dtype), box.ub.astype(result.x.dtype)
        with np.errstate(over="ignore"):
            moved = np.clip(moved, lower - result.x, upper - result.x)
    return float(np.abs(moved).max())


def end_of(case: Case) -> str:
    """Run the case and return the name of its end."""
    result = run(case)
    return "raised" if isinstance(result, BaseException) else Status(result.status).name


def by_core(seed: int) -> tuple[str, str, str] | None:
    """Return the ends with the compiled model, without, and without from an ulp away.

    None where the compiled model has no part in the run.
    """
    case = case_of(seed)
    usual = {"hybrid-tr": None, "lsr1-tr": "window-max"}
    given = case.jac in ("together", "apart")
    if case.method not in usual or case.x0.dtype != np.float64 or not given:
        return None
    options, gamma = case.options, usual[case.method]
    if options.get("norm", "l2") != "l2" or options.get("gamma", gamma) != gamma:
        return None
    numpy = {**options, "compiled": False}
    away = np.nextafter(case.x0, math.inf)
    return (
        end_of(case),
        end_of(dataclasses.replace(case_of(seed), options=numpy)),
        end_of(dataclasses.replace(case_of(seed), options=numpy, x0=away)),
    )


def compare_cores(seeds: range) -> None:
    """Print how often the ends differ."""
    pairs: collections.Counter = collections.Counter()
    runs = cores = ulps = 0
    for seed in seeds:
        ends = by_core(seed)
        if ends is not None:
            compiled, numpy, away = ends
            runs, cores, ulps = runs + 1, cores + (compiled != numpy), ulps + (numpy != away)
            pairs[compiled, numpy] += compiled != numpy
    print(f"{runs} runs: other ends without the compiled model {cores}, from an ulp away {ulps}")
    for (compiled, numpy), count in pairs.most_common():
        if count:
            print(f"  {count} times {compiled} with it, {numpy} without")


def same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True))


# -- all of them -----------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--presets", action="store_true", help="published methods in turn")
    parser.add_argument("--bounds", action="store_true", help="in random boxes")
    parser.add_argument("--cores", action="store_true", help="with the compiled model and without")
    parser.add_argument("--traceback", action="store_true", help="of each failure")
    args = parser.parse_args()
    warnings.simplefilter("error")
    signal.signal(signal.SIGALRM, hang)
    if args.cores:
        compare_cores(range(args.first, args.first + args.runs))
        return
    ends: dict[str, collections.Counter] = {kind: collections.Counter() for kind in FAULTS}
    faults: collections.Counter = collections.Counter()
    methods: collections.Counter = collections.Counter()
    failures, started = [], time.monotonic()
    for seed in range(args.first, args.first + args.runs):
        case = with_preset(case_of(seed), seed) if args.presets else case_of(seed)
        case = in_a_box(case, seed) if args.bounds else case
        kind = case.objective.kind
        signal.setitimer(signal.ITIMER_REAL, HANG)
        try:
            end = end_of(case)
        except KeyboardInterrupt:
            break
        except BaseException as error:
            end = "FAILURE"
            failures.append(seed)
            what = f"{type(error).__name__}: {error}"
            print(f"seed {seed}, {case.method}, {kind}: {what}", flush=True)
            if args.traceback:
                traceback.print_exc()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        ends[kind][end] += 1
        methods[case.method] += 1
        faults[kind] += case.objective.faults
        if args.runs == 1:
            print(case.method, case.jac, case.x0, case.options, kind, case.objective.box)
            print(end)
    report(ends, faults)
    seconds = time.monotonic() - started
    each = ", ".join(f"{name} {count}" for name, count in sorted(methods.items()))
    print(f"\n{sum(methods.values())} runs ({each}), {len(failures)} failures, {seconds:.0f} s")


def hang(signum: int, frame: Any) -> None:
    raise Hang(f"not over after {HANG:.0f} s")


def report(ends: dict[str, collections.Counter], faults: collections.Counter) -> None:
    """Print how the runs ended, by the kind of their faults."""
    total: collections.Counter = sum(ends.values(), collections.Counter())
    columns = [name for name, _ in total.most_common()]
    print("| fault | runs | faults | " + " | ".join(columns) + " |")
    print("|---" * (3 + len(columns)) + "|")
    for kind, counts in ends.items():
        cells = [str(counts[name]) for name in columns]
        print(f"| {kind} | {sum(counts.values())} | {faults[kind]} | " + " | ".join(cells) + " |")
    cells = [str(total[name]) for name in columns]
    print(f"| all | {sum(total.values())} | {sum(faults.values())} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
