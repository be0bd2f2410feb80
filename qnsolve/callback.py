"""The user's callback, in either of SciPy's two forms, as one function of the current result."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from scipy.optimize import OptimizeResult


def wrap_callback(callback: Callable[..., Any] | None) -> Callable[[OptimizeResult], bool] | None:
    """Return a function that shows `callback` a result and tells whether the run is to end.

    Parameters
    ----------
    callback : callable or None
        Called with the whole result as ``intermediate_result=`` where that is the name of its only
        parameter, else as ``callback(xk)``.  To end the run it raises StopIteration; its return
        value is ignored, as in SciPy's minimize.

    Returns
    -------
    callable or None
        Takes an OptimizeResult whose arrays the callback may keep and change, returns True to end
        the run.  None where `callback` is, so that a loop need not make a result nobody sees.

    Raises
    ------
    TypeError
        If `callback` is not callable, or cannot be called with one argument.

    Examples
    --------
    >>> from scipy.optimize import OptimizeResult
    >>> show = wrap_callback(lambda intermediate_result: print(intermediate_result.fun))
    >>> show(OptimizeResult(fun=2.5))
    2.5
    False
    """
    if callback is None:
        return None
    if not callable(callback):
        raise TypeError(f"callback must be callable, got {type(callback).__name__}")
    whole_result = _takes_whole_result(callback)

    def show(result: OptimizeResult) -> bool:
        try:
            if whole_result:
                callback(intermediate_result=result)
            else:
                callback(result.x)
        except StopIteration:
            return True
        return False

    return show


def _takes_whole_result(callback: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(callback)
    except ValueError:  # some builtins have none
        return False
    if set(signature.parameters) == {"intermediate_result"}:
        return True
    try:
        signature.bind(None)
    except TypeError as error:
        raise TypeError(
            "callback must take one argument, xk or intermediate_result, "
            f"got the signature {signature}"
        ) from error
    return False
