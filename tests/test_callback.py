"""The callback: SciPy's two forms, how it ends a run, and what is refused."""

import functools

import pytest
from scipy.optimize import OptimizeResult

from qnsolve.callback import wrap_callback

RESULT = OptimizeResult(x=[1.0, 2.0], fun=3.0)


def record_keyword(seen):
    def callback(intermediate_result):
        seen.append(intermediate_result)

    return callback


def record_keyword_only(seen):
    def callback(*, intermediate_result):
        seen.append(intermediate_result)

    return callback


def record_partial(seen):
    def callback(log, intermediate_result):
        log.append(intermediate_result)

    return functools.partial(callback, seen)


def record_method(seen):
    class Recorder:
        def __call__(self, intermediate_result):
            seen.append(intermediate_result)

    return Recorder()


@pytest.mark.parametrize(
    "form", [record_keyword, record_keyword_only, record_partial, record_method]
)
def test_sole_parameter_intermediate_result_gets_the_result(form):
    seen = []
    assert wrap_callback(form(seen))(RESULT) is False
    assert seen == [RESULT] and seen[0] is RESULT


def record_x(seen):
    return lambda xk: seen.append(xk)


def record_builtin(seen):
    return seen.append


def record_default(seen):
    def callback(x, scale=2):
        seen.append(x)

    return callback


def record_both(seen):
    # Not the only parameter, so SciPy passes x.
    def callback(intermediate_result, more=None):
        seen.append(intermediate_result)

    return callback


def record_var(seen):
    return lambda *args: seen.extend(args)


@pytest.mark.parametrize(
    "form", [record_x, record_builtin, record_default, record_both, record_var]
)
def test_every_other_form_gets_x(form):
    seen = []
    assert wrap_callback(form(seen))(RESULT) is False
    assert seen == [RESULT.x]


def test_builtin_without_a_signature_gets_x():
    taken = {}
    wrap_callback(taken.update)(OptimizeResult(x={"a": 1.0}))
    assert taken == {"a": 1.0}


@pytest.mark.parametrize("name", ["xk", "intermediate_result"])
def test_stop_iteration_ends_the_run(name):
    def fail(**_):
        raise StopIteration

    callbacks = {
        "xk": lambda xk: fail(),
        "intermediate_result": lambda intermediate_result: fail(),
    }
    assert wrap_callback(callbacks[name])(RESULT) is True


@pytest.mark.parametrize("returned", [True, 1, "stop", False, None])
def test_return_value_is_ignored(returned):
    assert wrap_callback(lambda xk: returned)(RESULT) is False


@pytest.mark.parametrize("raised", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_other_exceptions_come_through(raised):
    def callback(xk):
        raise raised("from the user")

    with pytest.raises(raised, match="from the user"):
        wrap_callback(callback)(RESULT)


def test_no_callback_is_none():
    assert wrap_callback(None) is None


@pytest.mark.parametrize("callback", [3, "print", [], {}], ids=repr)
def test_callback_must_be_callable(callback):
    with pytest.raises(TypeError, match="callback must be callable, got"):
        wrap_callback(callback)


@pytest.mark.parametrize("callback", [lambda: None, lambda xk, state: None, lambda *, xk: None])
def test_callback_must_take_one_argument(callback):
    with pytest.raises(TypeError, match=r"callback must take one argument.*signature \("):
        wrap_callback(callback)
