"""The runs of a contest: what is asked for, what is there, and who runs it."""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import multiprocessing
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from examples.pinn import report
from examples.pinn.contenders import CONTENDERS
from examples.pinn.measure import BudgetSpent, Measured, Row, append, read
from examples.pinn.problems import PROBLEMS, Problem

QUICK = {"seeds": 1, "budget": 500, "points": 1000}
FULL = {"seeds": 5, "budget": 2000, "points": 2000}

Task = tuple[str, str, int, argparse.Namespace]


def main(arguments: Sequence[str] | None = None) -> None:
    args = parsed(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    curves = args.out / "curves.csv"
    done = {(rows[0].problem, rows[0].contender, rows[0].seed) for rows in read(curves)}
    remember(args)
    with workers(args.jobs) as each:
        for problem in args.problem:
            for contender in args.contender:
                tasks = [
                    (problem, contender, seed, args)
                    for seed in range(args.first_seed, args.first_seed + args.seeds)
                    if (problem, contender, seed) not in done
                ]
                for rows in each(run, tasks):
                    append(curves, rows)
                    print(line(rows[-1]), flush=True)
            write(args.out, problem, read(curves))


def line(row: Row) -> str:
    """Return the end of a run in words."""
    return (
        f"{row.problem:15} {row.contender:30} seed {row.seed}  {row.evaluations:6,} evaluations "
        f"{row.seconds:7.1f} s  loss {row.loss:.2e}  error {row.error:.2e}"
    )


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "examples.pinn", description="Minimisers on physics-informed networks."
    )
    parser.add_argument("--quick", action="store_true", help=f"by default {QUICK}, else {FULL}")
    parser.add_argument("--problem", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument(
        "--only", nargs="+", default=["*"], metavar="PATTERN", help="contenders, such as '*tr*'"
    )
    parser.add_argument("--seeds", type=int, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=int, help="evaluations of loss and gradient a run")
    parser.add_argument("--points", type=int, help="collocation points")
    parser.add_argument("--seconds", type=float, default=math.inf, help="limit of a run")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument(
        "--no-graph", dest="graph", action="store_false", help="no recorded graph of CUDA"
    )
    parser.add_argument("--jobs", type=int, default=1, help="seeds at once, a process each")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--out", type=Path, default=Path("results/pinn"))
    args = parser.parse_args(arguments)
    for name, value in (QUICK if args.quick else FULL).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    args.contender = [
        name for name in CONTENDERS if any(fnmatch.fnmatch(name, each) for each in args.only)
    ]
    if not args.contender:
        parser.error(f"no contender is like {args.only}; there are {', '.join(CONTENDERS)}")
    args.graph = args.graph and args.device.type == "cuda"
    return args


def setting(args: argparse.Namespace) -> dict[str, object]:
    """Return what the figures depend on."""
    on_gpu = args.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(args.device) if on_gpu else platform.machine(),
        "torch": torch.__version__,
        "budget": args.budget,
        "points": args.points,
        "seeds": args.seeds,
        "jobs": args.jobs,
        "threads": args.threads,
        "graph": args.graph,
    }


def remember(args: argparse.Namespace) -> None:
    """Write the setting; refuse to add runs to those of another one."""
    path, now = args.out / "setting.json", setting(args)
    if args.seeds == 0:
        return
    if path.exists() and (before := json.loads(path.read_text())) != now:
        changed = {name for name in now if before.get(name) != now[name]} - {"seeds"}
        if changed:
            raise SystemExit(f"{args.out} has runs of another setting: {', '.join(changed)}")
    path.write_text(json.dumps(now, indent=1) + "\n")


@contextmanager
def workers(jobs: int) -> Iterator[Callable[..., Iterator[list[Row]]]]:
    """Give a `map` that is run by so many processes."""
    if jobs == 1:
        yield map
        return
    # A forked process cannot use CUDA.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield pool.map


def run(task: Task) -> list[Row]:
    """Return the measurements of one run."""
    name, contender, seed, args = task
    torch.set_num_threads(args.threads)
    problem = built(name, args.points, args.device)
    loss = Measured(problem, contender, seed, args.budget, args.seconds, args.graph)
    try:
        CONTENDERS[contender](loss, loss.x0)
    except BudgetSpent:
        pass
    loss.note()
    return loss.rows


@cache
def built(name: str, points: int, device: torch.device) -> Problem:
    return PROBLEMS[name](points, device)


def write(out: Path, name: str, runs: list[list[Row]]) -> None:
    """Write and print the table of a problem, and draw its figure."""
    panel = report.panels(runs).get(name)
    if panel is None:
        return
    text = report.table(name, panel)
    (out / f"{name}.md").write_text(text)
    report.draw(out / f"{name}.png", name, panel)
    print(text, flush=True)
