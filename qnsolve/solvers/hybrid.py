"""The hybrid trust region: the trust-region loop on SR1 re-applied to L-BFGS."""

from __future__ import annotations

from collections.abc import Callable

from scipy.optimize import OptimizeResult

from qnsolve.objective import Objective
from qnsolve.options import HybridOptions
from qnsolve.quasi_newton.hybrid import SMALL
from qnsolve.solvers.common import Reach
from qnsolve.solvers.matrices import build_hybrid
from qnsolve.solvers.radius import Interpolated
from qnsolve.solvers.trust_region import minimize_trust_region

REACH_SMALL, REACH_LARGE = Reach(10.0, 2.0), Reach(1.0, 6.0)
"""Reach of the first step up to dimension SMALL and above, where -g points less to a minimiser."""

LEAST_SHRINKAGE = 0.25
"""Part of a poor step to which the radius shrinks at least: the new pair mends the model, too."""


def minimize_hybrid(
    objective: Objective, options: HybridOptions, callback: Callable[[OptimizeResult], bool] | None
) -> OptimizeResult:
    """Run the trust-region loop with what was measured to need the fewest evaluations."""
    return minimize_trust_region(
        objective,
        options,
        callback,
        build_hybrid,
        radius_rule=Interpolated(LEAST_SHRINKAGE),
        reach=REACH_SMALL if objective.space.size <= SMALL else REACH_LARGE,
    )
