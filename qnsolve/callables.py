"""All callables of a user's problem, as what the questions of a loop are put to."""

from __future__ import annotations

from typing import Any

from qnsolve.arrays import Array, VectorSpace
from qnsolve.bounds import Box
from qnsolve.hessian import Hessian
from qnsolve.objective import Objective
from qnsolve.questions import Answer, Evaluate, Multiply
from qnsolve.state import Saved, Stateful


class Callables(Stateful):
    """The user's function, its gradient and, for the methods that use one, its Hessian.

    Parameters
    ----------
    objective : Objective
    hessian : Hessian, optional

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.callables import Callables
    >>> from qnsolve.objective import Objective
    >>> callables = Callables(Objective(lambda x: (x @ x, 2 * x), np.ones(2), jac=True))
    >>> callables.answer(Evaluate(callables.x0)).f, callables.counts()
    (2.0, {'nfev': 1, 'njev': 1})
    """

    objective: Saved[Objective]
    hessian: Saved[Hessian | None]

    def __init__(self, objective: Objective, hessian: Hessian | None = None) -> None:
        self.objective, self.hessian = objective, hessian
        self._last: Any = None

    @property
    def space(self) -> VectorSpace:
        return self.objective.space

    @property
    def x0(self) -> Array:
        """Flat start point."""
        return self.objective.x0

    @property
    def box(self) -> Box | None:
        """What x stays in; None where nothing bounds it."""
        return self.objective.box

    @property
    def nfev(self) -> int:
        return self.objective.nfev

    def answer(self, question: Evaluate | Multiply) -> Any:
        """Return the answer: that of the objective, or a product with the Hessian."""
        # The next question must not find the vector of this one alive.
        self._last = None
        if isinstance(question, Evaluate):
            if question.cheap and self.objective.differences:
                return Answer(self.objective.value(question.x), None)
            return self.objective.answer(question)
        if self.hessian is None:
            raise TypeError("there is no Hessian to multiply with")
        return self.hessian.product(question.x, question.g, question.v)

    def watched(self, question: Evaluate | Multiply) -> Any:
        """Return the answer; keep the point, for :meth:`end_at`."""
        answer = self.answer(question)
        # Differences evaluate points beside x, and so do products with a Hessian made of them.
        if isinstance(question, Evaluate) and not self.objective.differences:
            self._last = question.x
        return answer

    def end_at(self, x: Array) -> None:
        """Evaluate f and g, f alone for differences, at `x` unless that was the last point."""
        if self._last is not x:
            self.answer(Evaluate(x, cheap=True))

    def counts(self) -> dict[str, int]:
        """Return the evaluations so far, by the names of SciPy's results."""
        counts = {"nfev": self.objective.nfev, "njev": self.objective.njev}
        return counts if self.hessian is None else {**counts, "nhev": self.hessian.nhev}

    def shaped(self, x: Array) -> Array:
        """Return a copy of the flat `x` in the user's shape."""
        return self.objective.shaped(x)

    def identity(self) -> dict[str, Any]:
        """Return, as plain values, all that can be said of the problem without a call."""
        return self.objective.identity()
