"""A loop asks: who answers makes no difference, and what an answer raises comes out unchanged."""

from __future__ import annotations

import numpy as np
import pytest

import qnsolve
from qnsolve.callables import Callables
from qnsolve.hessian import Hessian
from qnsolve.methods import METHODS, TABLE
from qnsolve.objective import Objective
from qnsolve.problems import get_problem
from qnsolve.questions import Answer, Evaluate, Multiply, drive, relay
from qnsolve.solvers.run import Run

PROBLEM = get_problem("woods", 8)
OPTIONS = {"maxiter": 25, "gtol": 1e-8}


def loop_of(name, fun=PROBLEM.fun):
    """Return the loop of a method, which has not begun, and the callables behind it."""
    method = TABLE[name]
    objective = Objective(fun, PROBLEM.x0, (), True)
    callables = Callables(objective, Hessian(objective) if method.uses_hessian else None)
    options = method.options.from_user({**OPTIONS, "xtol": objective.space.eps})
    return method.loop(options, Run(callables, options, None)), callables


@pytest.mark.parametrize("name", METHODS)
def test_answers_by_hand_give_the_run_of_minimize(name):
    """No question of a loop needs its callables: f, g and two gradients for a product will do."""
    loop, callables = loop_of(name, fun=lambda x: pytest.fail("the loop has called"))
    space, by_hand = callables.space, Objective(PROBLEM.fun, PROBLEM.x0, (), True)
    hessian = Hessian(by_hand)

    def answer(question):
        if isinstance(question, Multiply):
            return hessian.product(question.x, question.g, question.v)
        assert isinstance(question, Evaluate)
        f, g = PROBLEM.fun(question.x)
        numbers = space.reduce(question.request(g)) if question.request else None
        return Answer(float(f), g.copy(), numbers)

    result = drive(loop, answer)
    expected = qnsolve.minimize(PROBLEM.fun, PROBLEM.x0, jac=True, method=name, options={**OPTIONS})
    assert result.nit == expected.nit > 5
    np.testing.assert_array_equal(result.x, expected.x)


class Broken(BaseException):
    """Raised by nobody else."""


@pytest.mark.parametrize("error", [Broken, StopIteration, KeyboardInterrupt, GeneratorExit])
def test_what_an_answer_raises_comes_out_unchanged(error):
    raised, seen = error("why"), []

    def loop():
        try:
            yield Evaluate(1.0)
        except BaseException as inside:
            seen.append(inside)
            raise

    def answer(question):
        raise raised

    with pytest.raises(error) as caught:
        drive(loop(), answer)
    assert caught.value is raised
    assert seen == [raised]


def test_trouble_of_the_loop_on_the_way_out_is_not_hidden():
    def loop():
        try:
            yield Evaluate(1.0)
        except Broken:
            raise KeyboardInterrupt from None

    def answer(question):
        raise Broken

    with pytest.raises(KeyboardInterrupt):
        drive(loop(), answer)


def test_a_part_puts_its_questions_to_the_loop():
    def part():
        first = yield "one"
        second = yield "two"
        return first + second

    def ask(word):
        answer = yield Evaluate(word)
        return answer.f

    answers = {"one": 1.0, "two": 2.0}
    total = drive(relay(part(), ask), lambda question: Answer(answers[question.x], None))
    assert total == 3.0
