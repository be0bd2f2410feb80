"""The demonstration: qnsolve and SciPy train the same small network from the same weights."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

from qnsolve import minimize, plotting
from qnsolve.problems import Classifier, digits_network

GTOL = 1e-5

DEAR = 0.1
"""Seconds of an evaluation that the last column reckons with: a small simulation."""


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


SOLVERS: dict[str, tuple[Callable[..., Any], str, dict[str, Any]]] = {
    "qnsolve hybrid-tr": (minimize, "hybrid-tr", {}),
    "SciPy L-BFGS-B": (optimize.minimize, "L-BFGS-B", {"ftol": 0.0, "maxfun": 10**9}),
    "SciPy L-BFGS-B, 20 pairs": (
        optimize.minimize,
        "L-BFGS-B",
        {"ftol": 0.0, "maxfun": 10**9, "maxcor": 20},
    ),
    "SciPy CG": (optimize.minimize, "CG", {}),
}
"""Solver, method, and the options without which something else than gradient tolerance and common
limits could end a run early."""


def compete(solver: str, problem: Classifier, maxiter: int, seconds: float) -> Outcome:
    """Run one solver on `problem`; evaluations and time are taken the same way for all."""
    fun = plotting.Recorder(problem.fun)
    start = time.perf_counter()
    line = Line(solver)

    def stop_in_time(intermediate_result: optimize.OptimizeResult) -> None:
        line.show(fun.rows)
        if time.perf_counter() - start > seconds:
            raise StopIteration

    minimise, method, options = SOLVERS[solver]
    result = minimise(
        fun,
        problem.x0,
        jac=True,
        method=method,
        options={"gtol": GTOL, "maxiter": maxiter, **options},
        callback=stop_in_time,
    )
    elapsed = time.perf_counter() - start
    line.clear()
    loss, g = problem.fun(result.x)
    g_norm = float(np.abs(g).max())
    if g_norm <= GTOL:
        end = "converged"
    elif elapsed > seconds:
        end = "time limit"
    elif result.nit >= maxiter:
        end = "iteration limit"
    else:
        end = f"status {result.status}"
    return Outcome(solver, fun.rows, loss, g_norm, problem.accuracy(result.x), elapsed, end)


class Line:
    """A line that says how far a run is, where somebody looks on."""

    EVERY = 0.1
    """Seconds between two writings."""

    def __init__(self, solver: str) -> None:
        self._solver, self._last = solver, 0.0

    def show(self, rows: Sequence[tuple[float, float]]) -> None:
        """Write over the line what the last evaluation was."""
        now = time.perf_counter()
        if sys.stderr.isatty() and now - self._last > self.EVERY:
            self._last = now
            loss, g_norm = rows[-1]
            text = f"{self._solver}: {len(rows)} evaluations, loss {loss:.4f}, |g| {g_norm:.1e}"
            print(f"\r{text:<79}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave nothing behind."""
        if self._last:
            print(f"\r{'':<79}\r", end="", file=sys.stderr, flush=True)


def demo(maxiter: int, seconds: float) -> list[Outcome]:
    """Train a small network with each solver, print a table, and return its rows.

    Parameters
    ----------
    maxiter : int
        Iterations each solver may take.
    seconds : float
        Time each solver may take.
    """
    problem = digits_network(hidden=[32, 16], l2=1e-3)
    problem.fun(problem.x0)  # the first call is slow, and none of the solvers' business
    widths = "-".join(map(str, problem.network.widths))
    print(
        f"A tanh network ({widths}, {problem.n} parameters) learns to read handwritten digits:\n"
        f"{len(problem.data.y_train)} images to train on, {len(problem.data.y_test)} held out.  "
        f"Every solver starts from the same weights and stops\n"
        f"where no gradient component exceeds {GTOL:g}, or after {seconds:g} s.\n"
    )
    dear = f"at {DEAR:g} s each"
    heads = ("solver", "evaluations", "loss", "|g|_inf", "held out", "seconds", dear, "end")
    row = "{:<26} {:>11} {:>9} {:>9} {:>9} {:>8} {:>13}  {}"
    print(row.format(*heads))
    outcomes = []
    for solver in SOLVERS:
        outcome = compete(solver, problem, maxiter, seconds)
        outcomes.append(outcome)
        print(
            row.format(
                solver,
                len(outcome.rows),
                f"{outcome.loss:.5f}",
                f"{outcome.g_norm:.1e}",
                f"{outcome.accuracy:.1%}",
                f"{outcome.seconds:.2f}",
                f"{DEAR * len(outcome.rows):.0f} s",
                outcome.end,
            ),
            flush=True,
        )
    print(f"\n{verdict(outcomes)}")
    print(
        f"An evaluation is one call for loss and gradient.  The column {dear!r} is what the\n"
        f"run would take if a call cost {DEAR:g} s, as a simulation may.  The loss is not convex:\n"
        "solvers may end at different minimisers."
    )
    return outcomes


def draw(outcomes: Sequence[Outcome]) -> Any:
    """Return the figure of the convergence; needs matplotlib."""
    return plotting.convergence(
        {outcome.solver: outcome.rows for outcome in outcomes},
        gtol=GTOL,
        value_label="lowest training loss so far (nats)",
        gradient_label=r"smallest $\|g\|_\infty$ so far (nats)",
        title="Training a tanh network to read handwritten digits",
    )


def verdict(outcomes: Sequence[Outcome]) -> str:
    """Say who needed the fewest evaluations among those that reached the tolerance."""
    counts = {o.solver: len(o.rows) for o in outcomes if o.converged}
    if not counts:
        return f"No solver reached |g|_inf <= {GTOL:g} within its limits."
    fewest = min(counts.values())
    best = " and ".join(solver for solver, count in counts.items() if count == fewest)
    return f"Fewest evaluations to |g|_inf <= {GTOL:g}: {best} ({fewest})."
