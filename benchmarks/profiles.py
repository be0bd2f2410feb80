"""Performance and data profiles over a list of CUTEst problems (S2MPJ translation).

    python -m benchmarks.profiles [--bounds] [--problems FILE] [--half a|b|all] [--name REGEX]
        [--min-n N] [--max-n N] [--solvers SOLVER ...] [--jobs N] [--markdown] [--figure FILE]

A solver is named package:method or package:method:option=value,..., such as
qnsolve:lsr1-tr:memory=20 or scipy:L-BFGS-B:maxcor=20.  With --bounds the problems are those of
bounds-open.csv: with bounds of their own, or in the random boxes of bounds-open-boxes.json.  Runs
are kept in a file of JSON lines by problem, n, solver with options, and budget; only missing ones
are made.  Each run is a process of its own, with a budget of evaluations and a limit of processor
time, enforced from outside.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import connection
from pathlib import Path
from typing import Any

# One thread, and what GALAHAD's linear solver asks for; all must be set before NumPy is loaded.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
for _name in ("OMP_CANCELLATION", "OMP_PROC_BIND"):
    os.environ.setdefault(_name, "TRUE")

from benchmarks.profiling import (  # noqa: E402
    BOUNDED_CONTENDERS,
    DEFAULT_CONTENDERS,
    REFERENCE,
    TEST_TEXT,
    TESTS,
    Contender,
    Objective,
    Run,
    by_solver,
    cost_table,
    measure,
    parse_contender,
    profiles,
    report,
)
from benchmarks.profiling.cutest import (  # noqa: E402
    GET_CUTEST,
    cutest,
    cutest_in_a_box,
    have_cutest,
)
from benchmarks.profiling.problem_sets import half_of, read_list  # noqa: E402

HERE = Path(__file__).parent
BOXES = HERE / "bounds-open-boxes.json"
# A run is killed after so many times its processor time, and so many seconds more, of wall time.
PATIENCE, GRACE = 5.0, 2.0
Key = tuple[str, int, str, int]


class Cache:
    """Runs in a file of JSON lines; a later line replaces an earlier one of the same key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runs: dict[Key, Run] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    run = Run(**json.loads(line))
                except ValueError:  # a line that an interrupted campaign left unfinished
                    continue
                self._runs[key_of(run)] = run

    def get(self, key: Key, limit: float) -> Run | None:
        """Return the run, None if there is none or it ended at a limit shorter than `limit`."""
        run = self._runs.get(key)
        if run is not None and run.status == "timeout" and run.limit < limit:
            return None
        return run

    def add(self, run: Run) -> None:
        self._runs[key_of(run)] = run
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(self._path, "a") as lines:
            lines.write(json.dumps(asdict(run)) + "\n")


def key_of(run: Run) -> Key:
    return run.problem, run.n, run.solver, run.budget


@dataclass
class Worker:
    """A forked process that makes one run and sends it back."""

    objective: Objective
    contender: Contender
    budget: int
    limit: float
    _process: Any = field(init=False)
    receiver: Any = field(init=False)
    _killed_at: float = field(init=False)

    def __post_init__(self) -> None:
        context = multiprocessing.get_context("fork")
        self.receiver, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=self._work, args=(sender,), daemon=True)
        self._process.start()
        sender.close()
        # The run ends itself at its limit of processor time where it evaluates; this is for one
        # that does not, on a machine that may be busy.
        self._killed_at = time.monotonic() + PATIENCE * self.limit + GRACE

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._killed_at - time.monotonic())

    def _work(self, sender: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        sender.send(measure(self.objective, self.contender, self.budget, self.limit))

    def result(self) -> Run | None:
        """Return the run once there is one, at the deadline a record of failure, else None."""
        if self.receiver.poll():
            try:
                run = self.receiver.recv()
            except EOFError:
                self._process.join()
                run = self._failure("error", f"process ended with {self._process.exitcode}")
        elif self.seconds_left == 0.0:
            run = self._failure("timeout", "killed")
        else:
            return None
        self.stop()
        return run

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.receiver.close()

    def _failure(self, status: str, message: str) -> Run:
        return Run(
            self.objective.name,
            self.objective.n,
            self.contender.label,
            self.budget,
            self.limit,
            status,
            message,
        )


def campaign(
    tasks: Sequence[tuple[str, int, Contender]],
    jobs: int,
    budget: int,
    limit: float,
    load: Any = cutest,
) -> Iterator[Run]:
    """Make the runs, `jobs` at a time; tasks of one problem should be neighbours."""
    waiting, workers = deque(tasks), []
    loaded: tuple[tuple[str, int], Objective] | None = None
    try:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                name, n, contender = waiting.popleft()
                if loaded is None or loaded[0] != (name, n):
                    loaded = (name, n), load(name, n)
                    # What the first evaluation compiles and caches is no solver's business.
                    loaded[1].fun(loaded[1].x0)
                    loaded[1].grad(loaded[1].x0)
                workers.append(Worker(loaded[1], contender, budget, limit))
            patience = min(worker.seconds_left for worker in workers)
            connection.wait([worker.receiver for worker in workers], timeout=patience)
            for worker in tuple(workers):
                run = worker.result()
                if run is not None:
                    workers.remove(worker)
                    yield run
    finally:
        for worker in workers:
            worker.stop()


def chosen(args: argparse.Namespace) -> list[tuple[str, int]]:
    """Return the problems that the arguments select."""
    return [
        (name, n)
        for name, n in read_list(args.problems)
        if args.half in ("all", half_of(name))
        and args.min_n <= n <= args.max_n
        and re.search(args.name, name)
    ]


def present(contenders: Sequence[Contender]) -> list[Contender]:
    """Return the contenders whose packages import; name the others."""
    there = []
    for contender in contenders:
        why = contender.missing()
        if why is None:
            there.append(contender)
        else:
            print(f"Absent: {contender.label} ({why})")
    return there


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bounds", action="store_true", help="problems with bounds")
    parser.add_argument("--problems", type=Path, metavar="FILE", help="names and sizes")
    parser.add_argument("--half", choices=("a", "b", "all"), default="all")
    parser.add_argument("--name", default="", metavar="REGEX", help="names that contain it")
    parser.add_argument("--min-n", type=int, default=1)
    parser.add_argument("--max-n", type=int, default=10**9)
    parser.add_argument("--solvers", nargs="+", type=parse_contender, metavar="SOLVER")
    parser.add_argument("--reference", type=parse_contender, default=parse_contender(REFERENCE))
    parser.add_argument("--budget", type=int, default=5000, help="evaluations (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="processor time of a run (%(default)g)"
    )
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cache", type=Path, metavar="FILE", help="where runs are kept")
    parser.add_argument(
        "--refresh",
        action="append",
        default=[],
        type=parse_contender,
        metavar="SOLVER",
        help="run it again; may be repeated",
    )
    parser.add_argument("--test", choices=(*TESTS, "both"), default="both")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--brief", action="store_true", help="no lists of problems")
    parser.add_argument("--quiet", action="store_true", help="no line for each run")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the profiles")
    return parser


def main() -> int:
    parser = _parser()
    args = parser.parse_args()
    problems, cache = ("bounds", "bounds") if args.bounds else ("problems", "profiles")
    args.problems = args.problems or HERE / f"{problems}-open.csv"
    args.cache = args.cache or HERE / "results" / f"{cache}.jsonl"
    load = cutest
    if args.bounds:
        load = partial(cutest_in_a_box, boxes=json.loads(BOXES.read_text()))
    if not have_cutest():
        parser.error(f"the CUTEst problems are needed: {GET_CUTEST}")
    defaults = BOUNDED_CONTENDERS if args.bounds else DEFAULT_CONTENDERS
    contenders = args.solvers or [parse_contender(text) for text in defaults]
    contenders = list(dict.fromkeys([args.reference, *contenders]))
    contenders = present(contenders)
    if args.reference not in contenders:
        parser.error(f"the reference {args.reference.label} is absent")
    problems = chosen(args)
    if not problems:
        parser.error("no problem is selected")

    cache = Cache(args.cache)
    found: dict[Key, Run] = {}
    tasks = []
    for name, n in problems:
        for contender in contenders:
            key = (name, n, contender.label, args.budget)
            run = None if contender in args.refresh else cache.get(key, args.seconds)
            if run is None:
                tasks.append((name, n, contender))
            else:
                found[key] = run
    for i, run in enumerate(campaign(tasks, args.jobs, args.budget, args.seconds, load), 1):
        cache.add(run)
        found[key_of(run)] = run
        if not args.quiet:
            print(
                f"[{i}/{len(tasks)}] {run.problem} {run.solver}: {run.status}, "
                f"cost {run.cost_absolute}/{run.cost_relative}, {run.seconds:.2f} s {run.message}",
                file=sys.stderr,
                flush=True,
            )

    runs = by_solver(
        found[name, n, contender.label, args.budget]
        for contender in contenders
        for name, n in problems
    )
    print(
        f"{len(problems)} problems ({args.problems.name}, half {args.half}), at most {args.budget} "
        f"evaluations and {args.seconds:g} s a run.\n"
    )
    tests = TESTS if args.test == "both" else (args.test,)
    for test in tests:
        print(
            report(runs, test, args.reference.label, markdown=args.markdown, names=not args.brief),
            end="\n\n",
        )
    if args.figure is not None:
        problems, costs = cost_table(runs, tests[0])
        title = f"{len(problems)} problems, {TEST_TEXT[tests[0]]}"
        profiles(costs, title=title).savefig(args.figure, dpi=150)
    return 0


if __name__ == "__main__":
    sys.exit(main())
