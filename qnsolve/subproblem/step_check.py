"""How good a step is, from whatever solver: a verdict in a word, and the numbers behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from qnsolve.subproblem.certificate import Certificate
from qnsolve.subproblem.regions import Term
from qnsolve.subproblem.types import ReducedProblem, SubproblemStatus

SUFFICIENT = 0.1
"""Share of the Cauchy point's decrease that is enough; convergence theory asks for a fixed one."""

TOO_LONG = 0.1
"""Excess over the radius that is inexact, and no more: More and Sorensen's solver, and those that
follow it, stop at a step whose length is right to so much."""


class Verdict(Enum):
    """What a step is worth; the value says it in words."""

    EXACT = "a global minimiser, to half the digits of its numbers or better"
    INEXACT = "no minimiser to these digits, but a sufficient decrease"
    INSUFFICIENT = "less than a tenth of the decrease to the Cauchy point"
    UPHILL = "uphill"
    INFEASIBLE = "longer than the radius by more than a tenth"
    NOTHING = "not finite, in its numbers or those of the model"


@dataclass(frozen=True, eq=False)
class StepCheck(Certificate):
    r"""How good a step is: its certificate, its decrease, and what they say.

    To the figures of a :class:`Certificate` come those below.  ``fraction`` is the first to look
    at: a convergence theory asks for a decrease, not for an exact minimiser.

    Attributes
    ----------
    multipliers : ndarray
        Those of the certificate, one a block of the norm: as given, or as they fit the step best.
    decrease : float
        :math:`-m(s)`, of the whole model, regulariser included.  Negative where s leads uphill.
    cauchy : float
        `decrease` over that of the Cauchy point, the best point along -g.  At least 1 is what the
        theory of trust regions and of cubic regularisation asks for, up to a constant factor.
        Where g is zero, so that nothing is to be had there: 1 for no decrease, else infinite.
    tolerance : float
        The largest violation that an exact step may have: the root of the rounding error of the
        numbers.

    Examples
    --------
    Half of Newton's step: of the decrease 1/2 it has 3/8.

    >>> import numpy as np
    >>> from qnsolve.verify import check_trs
    >>> check = check_trs(np.array([-1.0]), np.eye(1), 10.0, np.array([0.5]))
    >>> check.verdict.name, check.fraction, check.cauchy
    ('INEXACT', 0.75, 0.75)
    """

    multipliers: np.ndarray
    decrease: float
    cauchy: float
    tolerance: float

    @classmethod
    def of(
        cls,
        certificate: Certificate,
        multipliers: np.ndarray,
        decrease: float,
        cauchy: float,
        eps: float,
    ) -> StepCheck:
        """Return the check of a step, given the decrease to the Cauchy point."""
        decrease = -math.inf if math.isnan(decrease) else decrease
        if cauchy > 0.0:
            ratio = decrease / cauchy if math.isfinite(cauchy) else 0.0
        else:
            ratio = math.copysign(math.inf, decrease) if decrease else 1.0
        return cls(
            **vars(certificate),
            multipliers=multipliers,
            decrease=decrease,
            cauchy=ratio,
            tolerance=math.sqrt(eps),
        )

    @property
    def fraction(self) -> float:
        """At least this share of the greatest decrease; negative where the step leads uphill.

        Of a step that is too long the decrease outside of the region counts, up to a share of 1.
        """
        return 1.0 - self.gap

    @property
    def verdict(self) -> Verdict:
        """The grade of the step."""
        if self.feasibility > TOO_LONG:
            return Verdict.INFEASIBLE
        if self.worst <= self.tolerance:
            return Verdict.EXACT
        if not math.isfinite(self.gap):
            return Verdict.NOTHING
        if self.gap > 1.0:
            return Verdict.UPHILL
        return Verdict.INEXACT if self.cauchy >= SUFFICIENT else Verdict.INSUFFICIENT

    def __str__(self) -> str:
        return (
            f"{self.verdict.value}: at least {self.fraction:.6g} of the greatest decrease, "
            f"{self.cauchy:.4g} times that to the Cauchy point; "
            f"too long by {self.feasibility:.1e}; stationarity {self.stationarity:.1e}, "
            f"complementarity {self.complementarity:.1e}, smallest eigenvalue {self.min_eig:.1e}"
        )


@np.errstate(over="ignore", invalid="ignore")
def cauchy_decrease(term: Term, problem: ReducedProblem) -> float:
    """Return the decrease to the best point along -g; infinite where there is no best one."""
    steepness = math.hypot(*problem.slopes.tolist())
    if not 0.0 < steepness < math.inf:
        return 0.0
    unit = problem.slopes / steepness
    curvature = float((problem.curvatures * unit**2).sum())
    line = ReducedProblem(np.array([curvature]), np.array([steepness]))
    best = term.along(unit).solve(line)
    return math.inf if best.status is SubproblemStatus.UNBOUNDED else best.decrease
