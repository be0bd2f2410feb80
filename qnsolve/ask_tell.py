"""``Solver``: a method that is driven from outside, one question and one answer at a time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from scipy.optimize import OptimizeResult

from qnsolve.arrays import Array
from qnsolve.arrays.user import one_number
from qnsolve.callables import Callables
from qnsolve.callback import wrap_callback
from qnsolve.checkpoint import prepare
from qnsolve.checks import flag
from qnsolve.hessian import Hessian
from qnsolve.interface import name_of_method
from qnsolve.methods import TABLE, finished, keep_inside
from qnsolve.norms import options_inside
from qnsolve.objective import Objective
from qnsolve.options import SolverOptions
from qnsolve.questions import Evaluate, Multiply
from qnsolve.result import Status
from qnsolve.solvers.checkpoint import Snapshot
from qnsolve.solvers.handover import warm_start_of
from qnsolve.solvers.run import Run
from qnsolve.solvers.start import WarmStart

NO_FILE = "use save and load in place of the option checkpoint"


class Told:
    """Callables that return what they have been told."""

    value: Any = None

    def __call__(self, x: Array, *direction: Array) -> Any:
        return self.value


class Steps:
    """A method on one problem, each question of which waits for its answer.

    Parameters
    ----------
    method : str
        Of the table.
    options : SolverOptions
    objective : Objective
        With jac=True and `told` as its callable.
    told : Told
    hessp : bool
        Ask for products with the Hessian; else for a gradient beside x.
    keep : bool
        Keep the answers for a file.
    callback : callable or None
        As made by :func:`qnsolve.callback.wrap_callback`.
    warm : WarmStart or None

    Attributes
    ----------
    question : Evaluate, Multiply or None
        None once the run is over.
    result : OptimizeResult or None
    """

    def __init__(
        self,
        method: str,
        options: SolverOptions,
        objective: Objective,
        told: Told,
        *,
        hessp: bool = False,
        keep: bool = False,
        callback: Callable[[OptimizeResult], bool] | None = None,
        warm: WarmStart | None = None,
    ) -> None:
        row = TABLE[method]
        if options.evaluate_last:
            raise ValueError(
                "evaluate_last is an option of minimize, which calls fun; here the caller does"
            )
        self._options, self._told, self.objective = options, told, objective
        products = told if hessp else None
        self._hessian = Hessian(objective, None, products) if row.uses_hessian else None
        self._callables = callables = Callables(objective, self._hessian)
        self.snapshot = Snapshot(callables, options, method) if keep else None
        self.run = Run(callables, options, callback, warm, self.snapshot)
        self._loop = row.loop(options, self.run)
        self.question: Evaluate | Multiply | None = None
        self._there: Array | None = None
        self.result: OptimizeResult | None = None

    def begin(self) -> None:
        """Go on to the first question."""
        self._send(None)

    @property
    def x(self) -> Array:
        """The flat point that the question is about."""
        question: Any = self.question
        return question.x if self._there is None else self._there

    @property
    def direction(self) -> Array | None:
        """The flat vector to be multiplied with the Hessian, where that is the question."""
        asks_product = isinstance(self.question, Multiply) and self._there is None
        return self.question.v if asks_product else None  # type: ignore[union-attr]

    def answer(self, value: Any) -> None:
        """Take f and g, or the product, and go on to the next question.

        What is wrong with the answer is raised, and the question stays.
        """
        callables, objective, hessian = self._callables, self.objective, self._hessian
        question: Any = self.question
        counts = objective.nfev, objective.njev, hessian.nhev if hessian else 0
        self._told.value = value
        try:
            reply = callables.answer(question)
        except BaseException:
            objective.nfev, objective.njev = counts[:2]
            if hessian:
                hessian.nhev = counts[2]
            raise
        finally:
            self._told.value = None
        if self.snapshot is not None:
            self.snapshot.answers.append(_plain(objective, value))
        self._send(reply)

    def stop(self) -> None:
        """End the run where it stands, as a callback would."""
        self._loop.close()
        self.question, self._there = None, None
        result = self.run.broken_off(Status.CALLBACK_STOP)
        self.result = finished(result, self.objective, self._options)

    def _send(self, reply: Any) -> None:
        self.question, self._there = None, None
        try:
            question = self._loop.send(reply)
            while isinstance(question, Multiply) and self._by_differences:
                self._there, _ = self._hessian.displaced(question.x, question.v)  # type: ignore[union-attr]
                if self._there is not None:
                    break
                question = self._loop.send(self._callables.answer(question))
            self.question = question
        except StopIteration as end:
            self.result = finished(end.value, self.objective, self._options)

    @property
    def _by_differences(self) -> bool:
        return self._hessian is not None and self._hessian.by_differences


class Solver:
    """A minimisation that asks for the values of the function, and is told them.

    For functions that cannot be called: they are computed by another program, by somebody else, or
    by many at once.  It is the run of :func:`qnsolve.minimize`, bit for bit.

    Parameters
    ----------
    x0, method, bounds, options, callback, warm_start
        As in :func:`qnsolve.minimize`; the option ``checkpoint`` is refused, :meth:`save` does it,
        and so is ``evaluate_last``, for the caller evaluates.
    hessp : bool
        Whether "newton-tr" asks for products with the Hessian; with False it asks for a gradient
        beside x in place of each.

    Attributes
    ----------
    done : bool
        Whether the run is over.
    best : OptimizeResult or None
        ``x``, ``fun`` and ``jac`` of the best point so far; None before the first answer.
    direction : array, like x0, or None
        With :meth:`ask`: the vector p whose product with the Hessian is wanted there, to be told by
        :meth:`tell_product`; None where f and g are wanted.

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong.

    Notes
    -----
    What is wrong with an answer (shape, type) is raised by ``tell``; the question stays, and can be
    answered again.  A value that is not finite is no error: as in ``minimize`` the point is
    rejected, or at x0 the run ends with status 5.  What the callback raises ends the run.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve import Solver
    >>> solver = Solver(np.array([3.0, -1.0]))
    >>> while not solver.done:
    ...     x = solver.ask()
    ...     solver.tell(np.sum(x**2), 2.0 * x)
    >>> solver.result().success, solver.result().nfev
    (True, 2)
    """

    def __init__(
        self,
        x0: Any,
        *,
        method: str | None = None,
        bounds: Any = None,
        options: Mapping[str, Any] | None = None,
        callback: Callable[..., Any] | None = None,
        warm_start: Any = None,
        hessp: bool = True,
    ) -> None:
        self._method = name_of_method(method)
        if options is not None and not isinstance(options, Mapping):
            raise TypeError(
                f"options must be a mapping such as a dict, got {type(options).__name__}"
            )
        self._given = dict(options or {})
        if self._given.get("checkpoint") is not None:
            raise ValueError(NO_FILE)
        self._x0, self._callback, self._warm = x0, wrap_callback(callback), warm_start
        self._hessp, self._bounds = flag(hessp, "hessp"), bounds
        self._steps = self._new_steps()
        self._x0 = self._steps.objective.shaped(self._steps.objective.x0)
        self._steps.begin()
        self._asked = False

    @property
    def done(self) -> bool:
        return self._steps.result is not None

    @property
    def best(self) -> OptimizeResult | None:
        at, shaped = self._steps.run.at, self._steps.objective.shaped
        if at is None:
            return None
        return OptimizeResult(x=shaped(at.x), fun=at.f, jac=shaped(at.model.gradient))

    @property
    def direction(self) -> Array | None:
        v = self._steps.direction
        return None if v is None else self._steps.objective.shaped(v)

    def ask(self) -> Array:
        """Return the point that is to be evaluated: the same one until it has been told.

        Raises
        ------
        RuntimeError
            If the run is over.
        """
        self._require_question()
        self._asked = True
        return self._steps.objective.shaped(self._steps.x)

    def tell(self, f: Any, g: Any = None, *, x: Any = None) -> None:
        """Take the value and the gradient at the point of :meth:`ask`.

        Parameters
        ----------
        f : float
        g : array, like x or flat
            May be left out where f is not finite.
        x : array, optional
            The point that they belong to, to be compared with the one that was asked for.

        Raises
        ------
        TypeError, ValueError
            If they are not as described, or of another point; the question stays.
        RuntimeError
            If nothing has been asked since the last answer, or a product was asked for.
        """
        self._require_asked()
        if self._steps.direction is not None:
            raise RuntimeError("a product with the Hessian is asked for: answer by tell_product")
        objective = self._steps.objective
        if x is not None:
            self._require_point(x)
        if g is None:
            value = one_number(f, "f", "f must be one real number")
            if math.isfinite(float(value)):
                raise TypeError("g is missing: it may be left out where f is not finite alone")
            g = objective.shaped(objective.space.zeros(objective.space.length) + math.nan)
        self._answer((f, g))

    def tell_product(self, product: Any) -> None:
        """Take the product of the Hessian at the point of :meth:`ask` with `direction`.

        Parameters
        ----------
        product : array, like x or flat

        Raises
        ------
        TypeError, ValueError
            If it is not as described; the question stays.
        RuntimeError
            If nothing has been asked since the last answer, or f and g were asked for.
        """
        self._require_asked()
        if self._steps.direction is None:
            raise RuntimeError("f and g are asked for: answer by tell")
        self._answer(product)

    def result(self) -> OptimizeResult:
        """Return what :func:`qnsolve.minimize` returns.

        Raises
        ------
        RuntimeError
            If the run is not over.
        """
        if self._steps.result is None:
            raise RuntimeError("the run is not over; best has the best point so far")
        return self._steps.result

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that is known to a file, at any moment before the run is over.

        The file is that of the option ``checkpoint``: replaced as a whole, read without pickle.
        Its cost is that of 2 m + 2 vectors.

        Raises
        ------
        RuntimeError
            If the run is over: keep its result.
        ValueError
            If there can be no such file.
        """
        self._require_question()
        self._snapshot_of(self._steps).save(prepare(path)[0])

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go on where :meth:`save` has written that file, bit for bit.

        The solver must have been made with the same arguments, but for limits and tolerances; what
        it has been told so far is forgotten.  The question that was open is asked again.

        Raises
        ------
        OSError
            If there is no such file.
        ValueError
            If the file is no snapshot, is damaged, or of another run.
        """
        steps = self._new_steps()
        answers = self._snapshot_of(steps).load(path, steps.objective.space)
        steps.begin()
        for answer in answers:
            _replay(steps, answer)
        self._steps, self._asked = steps, False

    def _new_steps(self) -> Steps:
        told = Told()
        objective = Objective(told, self._x0, (), True)
        inside = options_inside(self._given, objective.border)
        options = TABLE[self._method].options.from_user(inside, objective.space.eps)
        keep_inside(objective, self._bounds, self._method)
        warm = warm_start_of(self._warm, objective.space)
        return Steps(
            *(self._method, options, objective, told),
            hessp=self._hessp,
            keep=True,
            callback=self._callback,
            warm=warm,
        )

    @staticmethod
    def _snapshot_of(steps: Steps) -> Snapshot:
        assert steps.snapshot is not None  # keep=True
        return steps.snapshot

    def _answer(self, value: Any) -> None:
        self._steps.answer(value)
        self._asked = False

    def _require_question(self) -> None:
        if self._steps.question is None:
            over = "the run is over" if self.done else "the run was ended by an exception"
            raise RuntimeError(f"{over}: there is nothing to ask")

    def _require_asked(self) -> None:
        self._require_question()
        if not self._asked:
            raise RuntimeError("nothing has been asked since the last answer: call ask first")

    def _require_point(self, x: Any) -> None:
        objective = self._steps.objective
        given = objective.flat(x, "x")
        if not bool(objective.space.xp.all(given == self._steps.x)):
            raise ValueError("this is the answer to another point than the one that was asked for")


def _plain(objective: Objective, value: Any) -> dict[str, Any]:
    """Return an answer as numbers and flat arrays, for a file."""
    if not isinstance(value, tuple):
        return {"product": objective.flat(value, "the product of hessp")}
    f = float(one_number(value[0], "the value of fun", "f must be one real number"))
    return {"f": f, "g": objective.flat(value[1], "the gradient")}


def _replay(steps: Steps, answer: dict[str, Any]) -> None:
    """Give an answer of a file."""
    shaped = steps.objective.shaped
    if "product" in answer:
        steps.answer(shaped(answer["product"]))
    else:
        steps.answer((answer["f"], shaped(answer["g"])))
