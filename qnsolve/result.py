"""Outcome of a run: the status table and the result that SciPy's users know."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from scipy.optimize import OptimizeResult


class Status(IntEnum):
    """Why a run ended; ``status.message`` is the sentence shown to the user.

    Examples
    --------
    >>> from qnsolve import Status
    >>> Status.GTOL.value, Status.GTOL.success
    (0, True)
    >>> Status.MAXITER.message
    'The iteration limit was reached; raise maxiter to go on.'
    """

    message: str

    def __new__(cls, value: int, message: str) -> Status:
        member = int.__new__(cls, value)
        member._value_ = value
        member.message = message
        return member

    GTOL = 0, "The largest gradient component is within gtol."
    MAXITER = 1, "The iteration limit was reached; raise maxiter to go on."
    MAXFEV = 2, "The evaluation limit was reached; raise maxfev to go on."
    STEP_TOO_SMALL = (
        3,
        "No progress is left: the step is below xtol, or neither fun nor its gradient shrinks. "
        "Rounding in fun, a kink of fun, or a gradient that does not match fun; "
        "verify.check_grad tells which.",
    )
    NO_MODEL_DECREASE = (
        4,
        "The model predicts no decrease from here although the gradient is not small. "
        "The units of fun or x may be at the ends of the floating-point range; rescale them.",
    )
    NON_FINITE_START = (
        5,
        "fun or its gradient is not finite at x0, or overflows; start from another point.",
    )
    UNBOUNDED = 6, "fun appears to be unbounded below."
    LINE_SEARCH_FAILED = (
        7,
        "The line search found no acceptable point. "
        "Rounding in fun, or a gradient that does not match fun; verify.check_grad tells which.",
    )
    MAXTIME = 8, "The time limit was reached; raise maxtime to go on."
    FTOL = 9, "The relative decrease of fun is within ftol."
    WRONG_GRADIENT = (
        10,
        "fun has long not changed along the steps as its gradient says: the gradient is wrong, or "
        "fun is not smooth. verify.check_grad tells which component is wrong.",
    )
    AS_FAR_AS_KNOWN = (
        11,
        "As far as fun is known: no step changes it by more than its error, nor is the gradient "
        "known well enough to come within gtol. x is as good as these values of fun can tell.",
    )
    CALLBACK_STOP = 99, "The callback raised StopIteration."

    @property
    def success(self) -> bool:
        """True where the run met the tolerance it was asked for, or all that fun can tell."""
        return self in (Status.GTOL, Status.FTOL, Status.AS_FAR_AS_KNOWN)


NO_MATRIX = (
    "the result has no {name}: no model was made, for the run ended at its start or was shared by "
    "ranks, none of which has the whole matrix"
)

OF_THE_FUNCTION = (
    "the result has no {name}: newton-tr keeps no matrix, it multiplies with the Hessian of fun, "
    "which is hess(result.x) or hessp(result.x, p) where you gave one; "
    "qnsolve.standard_errors(fun, result, k=n) measures the diagonal of its inverse"
)


class Result(OptimizeResult):
    """SciPy's result, which says where the Hessian is if it has no matrix.

    Examples
    --------
    >>> hasattr(Result(x=1.0), "hess_inv"), Result(x=1.0).x
    (False, 1.0)
    """

    def __getattr__(self, name: str) -> Any:
        if name in ("hess", "hess_inv") and name not in self:
            message = OF_THE_FUNCTION if "nhev" in self else NO_MATRIX
            raise AttributeError(message.format(name=name))
        return super().__getattr__(name)


def make_result(status: Status, **fields: Any) -> Result:
    """Return SciPy's result with `status`, its message and `success` filled in."""
    return Result(status=int(status), success=status.success, message=status.message, **fields)
