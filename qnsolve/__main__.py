"""The command line: ``python -m qnsolve`` shows a comparison, ``solve`` runs one test problem."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize

from qnsolve import __version__, minimize, plotting
from qnsolve.compiled import BUILD
from qnsolve.demo import GTOL, demo, draw
from qnsolve.interface import DEFAULT_METHOD
from qnsolve.methods import METHODS
from qnsolve.problems import PROBLEMS, Classifier, Problem, get_problem

GET_PLOT = "pip install 'qnsolve[plot]'"
VERSION = f"qnsolve {__version__} (compiled model: {BUILD})"


class Formatter(argparse.HelpFormatter):
    """Breaks lines at spaces only: names have hyphens."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return textwrap.fill(
            " ".join(text.split()),
            width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )


def show(args: argparse.Namespace) -> int:
    """Run the demonstration, and write its figure if there is matplotlib."""
    print(f"Compiled model: {BUILD}")
    outcomes = demo(args.maxiter, args.seconds)
    if not _can_plot():
        print(f"For a figure of the convergence: {GET_PLOT}")
        return 0
    return _save(draw(outcomes), args.plot)


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
    fun = plotting.Recorder(problem.fun)
    start = time.perf_counter()
    result = minimize(fun, problem.x0, method=args.method, jac=True, options=options)
    seconds = time.perf_counter() - start
    for label, value in _report(problem, args.method, result, seconds):
        print(f"{label:<18} {value}")
    if args.plot is None:
        return 0 if result.success else 1
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
    lines.append(("|g|_inf", f"{np.abs(result.jac).max():.3e}"))
    if isinstance(problem, Classifier):
        lines.append(("held-out accuracy", f"{problem.accuracy(result.x):.1%}"))
    lines += [
        ("iterations", result.nit),
        ("evaluations", result.nfev),
        ("seconds", f"{seconds:.3f}"),
    ]
    return lines


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
        formatter_class=Formatter,
        description="Limited-memory quasi-Newton minimisation that uses negative curvature.",
        epilog="Without a command the demo runs.",
    )
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", metavar="{demo,solve}")

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
        default=10.0,
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
    demo_parser.set_defaults(run=show)

    solve_parser = commands.add_parser(
        "solve",
        help="run one method on one test problem",
        formatter_class=Formatter,
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
