"""A function that is another program: it reads x from a file and writes f and its gradient to one.

    python -m examples.external_program [folder]

Between two evaluations everything is in the folder.  Kill it at any moment, start it again, and it
goes on where it was, bit for bit.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.optimize import OptimizeResult

from qnsolve import Solver

PROGRAM = """
import sys
x = [float(line) for line in open("x.txt")]
f, g = 0.0, [0.0] * len(x)
for i in range(len(x) - 1):
    gap, rest = x[i + 1] - x[i] ** 2, 1.0 - x[i]
    f += 100.0 * gap ** 2 + rest ** 2
    g[i] -= 400.0 * x[i] * gap + 2.0 * rest
    g[i + 1] += 200.0 * gap
with open("answer.txt", "w") as file:
    print(f, *g, sep="\\n", file=file)
"""
"""Stands for a simulation in any language: Rosenbrock's function."""


def evaluate(x: np.ndarray, folder: Path) -> tuple[float, np.ndarray]:
    """Run the program at x; a run that fails is a point to be rejected."""
    (folder / "x.txt").write_text("".join(f"{entry!r}\n" for entry in x.tolist()))
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=folder, check=False)
    if done.returncode != 0:
        return np.inf, np.full(x.shape, np.nan)
    f, *g = map(float, (folder / "answer.txt").read_text().split())
    return f, np.array(g)


def main(folder: Path, n: int = 4, most: int | None = None) -> OptimizeResult | None:
    """Minimise; return None after `most` evaluations, where that comes first."""
    state, count = folder / "solver", 0
    solver = Solver(np.zeros(n))
    if state.exists():
        solver.load(state)
    while not solver.done:
        if count == most:
            return None
        solver.tell(*evaluate(solver.ask(), folder))
        count += 1
        if not solver.done:
            solver.save(state)
    result = solver.result()
    print(f"{result.message} f = {result.fun:.3e}, {result.nfev} evaluations, {count} of them now")
    return result


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
