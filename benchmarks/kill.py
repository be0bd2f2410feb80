"""Kill solves at random moments, go on from their checkpoints, compare with the unbroken run.

Usage: python -m benchmarks.kill [--kills 200] [--seed 0]

A solve runs in a process of its own and writes its state every 1 to 4 iterations.  It gets SIGKILL
after a random time and is started again, until it comes to its end; then the next method follows.
Most of the time goes into writing, so many kills strike there: those that left half a file behind
are counted.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import signal
import struct
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import qnsolve
from qnsolve.arrays import new_space
from qnsolve.checkpoint import load, save
from qnsolve.methods import METHODS
from qnsolve.problems import woods

PROBLEM = woods(200)
ITERATIONS = 60


def solve(method: str, **options: Any) -> dict[str, Any]:
    """Return the result of a run, its history in it, as plain values and arrays."""
    seen = options.pop("seen", None)

    def callback(intermediate_result):
        if seen is not None:
            seen[:8] = struct.pack("q", intermediate_result.nit)

    options = {"maxiter": ITERATIONS, "history": True, **options}
    result = qnsolve.minimize(
        PROBLEM.fun, PROBLEM.x0, jac=True, method=method, callback=callback, options=options
    )
    for name in ("hess", "hess_inv", "state"):
        result.pop(name, None)  # made of the pairs, which are compared by what they lead to
    for row in result.history:
        row["pair"] = None if row["pair"] is None else row["pair"].name
    return dict(result)


@dataclass
class Counts:
    """What has happened to the solves with one method."""

    kills: int = 0
    while_writing: int = 0
    before_first_file: int = 0
    lost: int = 0
    most_lost: int = 0
    beyond_last_file: int = 0
    runs: int = 0
    same: int = 0


def killed_solve(method: str, chance: random.Random, folder: Path, counts: Counts) -> None:
    """Run one solve to its end, killing it on the way, and compare."""
    expected = solve(method)
    path, end = folder / "run.npz", folder / "end.npz"
    for file in folder.iterdir():
        file.unlink()
    every, seen = chance.randint(1, 4), mmap.mmap(-1, 8)
    options = {"checkpoint": path, "checkpoint_every": every, "seen": seen}
    start = time.perf_counter()
    solve(method, **options)
    duration = time.perf_counter() - start
    path.unlink()
    seen[:8] = struct.pack("q", 0)
    while not end.exists():
        child = os.fork()
        if not child:
            save(end, solve(method, **options))
            os._exit(0)
        time.sleep(chance.uniform(0.0, 0.5 * duration))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            continue
        counts.kills += 1
        for left_over in folder.glob("*.tmp"):
            counts.while_writing += 1
            left_over.unlink()
        reached = struct.unpack("q", seen[:8])[0]
        if path.exists():
            kept = load(path, new_space(PROBLEM.n))["state"]["run"]["nit"]
        else:
            kept, counts.before_first_file = 0, counts.before_first_file + 1
        lost = reached - kept
        counts.lost += lost
        counts.most_lost = max(counts.most_lost, lost)
        counts.beyond_last_file += lost > every
        seen[:8] = struct.pack("q", kept)
    result = load(end, new_space(PROBLEM.n))
    counts.runs += 1
    counts.same += all(same(value, result[name]) for name, value in expected.items())


def same(a: Any, b: Any) -> bool:
    """Tell whether two entries of a result are equal, bit for bit."""
    if isinstance(a, list):
        return [list(map(repr, map(plain, row.values()))) for row in a] == [
            list(map(repr, map(plain, row.values()))) for row in b
        ]
    return bool(np.array_equal(np.asarray(a), np.asarray(b)))


def plain(value: Any) -> Any:
    return np.asarray(value).item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    table = {method: Counts() for method in METHODS}
    with tempfile.TemporaryDirectory() as folder:
        for method, counts in table.items():
            while counts.kills < arguments.kills / len(table):
                killed_solve(method, chance, Path(folder), counts)
    print("| Method | kills | while writing | iterations lost | most | runs | same bit for bit |")
    print("|---|---|---|---|---|---|---|")
    for method, c in table.items():
        print(
            f"| {method} | {c.kills} | {c.while_writing} | {c.lost} | {c.most_lost} "
            f"| {c.runs} | {c.same} |"
        )
    kills, runs = (sum(getattr(c, name) for c in table.values()) for name in ("kills", "runs"))
    failures = sum(c.runs - c.same + c.beyond_last_file for c in table.values())
    print(f"\n{kills} kills in {runs} runs, {failures} failures")
    raise SystemExit(bool(failures))


if __name__ == "__main__":
    main()
