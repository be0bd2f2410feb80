"""What a loop asks, and who answers.

A loop is a generator: it yields questions and receives the answers.  So it does not know whether a
callable, the user's own program, or several ranks together evaluate its points.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

from qnsolve.arrays import Array, Numbers, Request

T = TypeVar("T")


class Evaluate(NamedTuple):
    """The question for f and g at `x`, and for the inner products that are needed next.

    Attributes
    ----------
    x : array, shape (n,)
    request : callable, optional
        ``request(g)`` returns the inner products: they cross to the host together with f.
    at_start : bool
        Give g whatever f is, so that the result of a failed start shows it.
    cheap : bool
        Leave g out where it would be made of differences of f.
    """

    x: Array
    request: Callable[[Array], Request] | None = None
    at_start: bool = False
    cheap: bool = False


class Multiply(NamedTuple):
    """The question for the product of the Hessian at `x`, where the gradient is `g`, with `v`."""

    x: Array
    g: Array
    v: Array


class Answer(NamedTuple):
    """f and g at a point, and the inner products that were asked for.

    g is None where f is not finite, and so are the numbers where there is no g.
    """

    f: float
    g: Array | None
    numbers: Numbers | None = None


Asking = Generator[Evaluate | Multiply, Any, T]
"""A loop, or a part of one, that returns a T: Evaluate is answered by an Answer, Multiply by an
array."""


def relay(part: Generator[Any, Any, T], ask: Callable[[Any], Asking[Any]]) -> Asking[T]:
    """Run a part of a loop that has questions of its own, each of which `ask` puts to the loop."""
    reply = None
    while True:
        try:
            question = part.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result
        reply = yield from ask(question)


def drive(loop: Generator[Any, Any, T], answer: Callable[[Any], Any]) -> T:
    """Put the questions of `loop`, or of a part of one, to `answer`; return what it returns.

    What `answer` raises is raised inside the loop, which may write a checkpoint, and comes out
    unchanged.

    Examples
    --------
    >>> def loop():
    ...     answer = yield Evaluate(2.0)
    ...     return answer.f
    >>> drive(loop(), lambda question: Answer(question.x**2, None))
    4.0
    """
    reply = None
    try:
        while True:
            try:
                question = loop.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result
            reply = answer(question)
    except BaseException as error:
        # An interrupt strikes between two questions, too.  A loop that has ended raises it again.
        try:
            loop.throw(error)
        except BaseException as raised:
            # A StopIteration cannot leave a generator as what it is.
            if raised is not error and raised.__cause__ is not error:
                raise
        raise
