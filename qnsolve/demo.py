"""The demonstration: qnsolve and SciPy train the same small network from the same weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

from qnsolve import minimize, plotting
from qnsolve.problems import Classifier, breast_cancer_network

GTOL = 1e-5


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
    "qnsolve lsr1-tr": (minimize, "lsr1-tr", {}),
    "SciPy L-BFGS-B": (optimize.minimize, "L-BFGS-B", {"ftol": 0.0, "maxfun": 10**9}),
    "SciPy trust-constr, SR1()": (optimize.minimize, "trust-constr", {"xtol": 1e-15}),
}
"""Solver, method, and the options without which something else than gradient tolerance and common
limits could end a run early."""


def compete(solver: str, problem: Classifier, maxiter: int, seconds: float) -> Outcome:
    """Run one solver on `problem`; evaluations and time are taken the same way for all."""
    fun = plotting.Recorder(problem.fun)
    start = time.perf_counter()

    def stop_in_time(intermediate_result: optimize.OptimizeResult) -> None:
        if time.perf_counter() - start > seconds:
            raise StopIteration

    minimise, method, options = SOLVERS[solver]
    result = minimise(
        fun,
        problem.x0,
        jac=True,
        hess=optimize.SR1() if method == "trust-constr" else None,
        method=method,
        options={"gtol": GTOL, "maxiter": maxiter, **options},
        callback=stop_in_time,
    )
    elapsed = time.perf_counter() - start
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


def demo(maxiter: int, seconds: float) -> list[Outcome]:
    """Train a small network with each solver, print a table, and return its rows.

    Parameters
    ----------
    maxiter : int
        Iterations each solver may take.
    seconds : float
        Time each solver may take.

    """
    # Small enough for the dense matrix that trust-constr keeps.
    problem = breast_cancer_network(hidden=6, l2=1e-3)
    problem.fun(problem.x0)  # the first call is slow, and none of the solvers' business
    widths = "-".join(map(str, problem.network.widths))
    print(
        f"A tanh network ({widths}, {problem.n} parameters) learns to tell malignant from benign\n"
        f"breast masses: {len(problem.data.y_train)} samples to train on, "
        f"{len(problem.data.y_test)} held out.  Every solver starts from the same\n"
        f"weights and stops where no gradient component exceeds {GTOL:g}, "
        f"or after {seconds:g} s.\n"
    )
    heads = ("solver", "evaluations", "loss", "|g|_inf", "held-out accuracy", "seconds", "end")
    row = "{:<26} {:>11} {:>10} {:>9} {:>17} {:>8}  {}"
    print(row.format(*heads))
    outcomes = []
    for solver in SOLVERS:
        outcome = compete(solver, problem, maxiter, seconds)
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
    return outcomes


def draw(outcomes: Sequence[Outcome]) -> Any:
    """Return the figure of the convergence; needs matplotlib."""
    return plotting.convergence(
        {outcome.solver: outcome.rows for outcome in outcomes},
        gtol=GTOL,
        value_label="lowest training loss so far (nats)",
        gradient_label=r"smallest $\|g\|_\infty$ so far (nats)",
        title="Training a tanh network on the breast cancer data",
    )


def verdict(outcomes: Sequence[Outcome]) -> str:
    """Say who needed the fewest evaluations among those that reached the tolerance."""
    counts = {o.solver: len(o.rows) for o in outcomes if o.converged}
    if not counts:
        return f"No solver reached |g|_inf <= {GTOL:g} within its limits."
    fewest = min(counts.values())
    best = " and ".join(solver for solver, count in counts.items() if count == fewest)
    return f"Fewest evaluations to |g|_inf <= {GTOL:g}: {best} ({fewest})."
