"""The user's callables behind one door: checked, counted, and given nothing they could damage.

Inside the package x and g are flat vectors of one :class:`~qnsolve.arrays.VectorSpace`; the user's
callables see x in the shape of their `x0`.  Everything about the call that can be wrong is refused
here, before the first evaluation where that is possible.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from qnsolve.arrays import Array, Request, VectorSpace, agreed, space_of
from qnsolve.arrays.border import Border
from qnsolve.arrays.libraries import namespace_of, precision_of
from qnsolve.arrays.user import (
    NARROW_JAX,
    array_like,
    describe,
    is_narrow_jax,
    is_one_number,
    one_number,
    real_array,
    start_point,
)
from qnsolve.bounds import Box
from qnsolve.checkpoint import fingerprint, in_words
from qnsolve.comm import Comm
from qnsolve.differences import DIFFERENCE_ORDERS, EPS, Differences, map_of
from qnsolve.questions import Answer, Evaluate
from qnsolve.state import Saved, Stateful

_JAC_WANTED = "callable, True, None, '2-point' or '3-point'"

FLOATS = (float, np.float64)
"""Types of most values of most functions."""

AUTODIFF = {
    "torch": ", such as lambda x: torch.func.grad_and_value(f)(x)[::-1] with f in PyTorch",
    "jax.numpy": ", such as jax.value_and_grad(f) with f in JAX",
}
"""How the libraries that can differentiate do it."""


class Objective(Stateful):
    """A function of n real variables and its gradient, as the solvers call them.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> f``, or ``-> (f, g)`` with ``jac=True``.  `f` is one real number: a
        Python number or an array of one element, on any device.
    x0 : array_like of real numbers, any shape but not empty
        Start point.  Its array library, device and shape are those that the callables see; so is
        its dtype, except that integers and booleans become float64.  Lists become NumPy arrays,
        and a plain number the NumPy array of shape (1,), as in SciPy.  Arrays of PyTorch and JAX in
        the memory of the host are those of the callables only: inside, vectors are NumPy's.
    args : tuple
        Further arguments of `fun` and `jac`; anything but a tuple is taken for the only one.
    jac : callable, True, None, False, "2-point" or "3-point"
        ``jac(x, *args) -> g`` with the shape of x, or flat, dimensions of length one aside, and of
        the library of x (on the host anything that ``np.asarray`` takes); True where `fun` returns
        both.  Otherwise the gradient is made of forward ("2-point", also None and False) or central
        ("3-point") differences of `fun`, n or 2n evaluations each, for NumPy arrays only
        (:mod:`qnsolve.differences`).
    comm : Comm, optional
        Ranks over which x is sharded.  `x0` and g are then the slices of this rank, of any length
        from 0, and f is this rank's part: the function is the sum over all ranks.  What a callable
        raises on one rank is raised on that one, and as a RankError on the others.

    Attributes
    ----------
    space : VectorSpace
        Where the flat vectors live; ``n`` is its size.
    x0 : array, shape (n,)
        Own copy of the start point.
    border : Border
        Between these and the arrays of the callables.
    shape : tuple of int
        Shape of x in the callables.
    nfev, njev : int
        Evaluations of `fun`, those of differences included, and gradients taken so far.
    box : Box or None
        What x stays in; None where nothing bounds it.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; nothing has been evaluated by then.  While the solve
        runs: if `fun` or `jac` returns something else than described.

    Notes
    -----
    float16 and bfloat16 are refused: with three digits in g, a difference of two gradients holds no
    curvature.  Promoting them would hand the callables a dtype that nobody asked for.

    Examples
    --------
    >>> import numpy as np
    >>> objective = Objective(lambda x: ((x**2).sum(), 2 * x), np.eye(2), jac=True)
    >>> objective(objective.x0)
    (2.0, array([2., 0., 0., 2.]))
    >>> objective.shape, objective.n, objective.nfev
    ((2, 2), 4, 1)
    """

    nfev: Saved[int]
    njev: Saved[int]
    _precision: Saved[float]
    _differences: Saved[Differences | None]
    box: Box | None = None

    def __init__(
        self,
        fun: Callable[..., Any],
        x0: Any,
        args: Any = (),
        jac: Any = None,
        comm: Comm | None = None,
    ) -> None:
        self.nfev = self.njev = 0
        self._fun = fun
        self._args = args if isinstance(args, tuple) else (args,)

        def checked() -> tuple[Array, Any]:
            if not callable(fun):
                raise TypeError(f"fun must be callable, got {type(fun).__name__}")
            start = start_point(x0, comm=comm)
            return start, _checked_jac(jac)

        start, self._jac = agreed(comm, checked)
        self.shape = tuple(start.shape)
        self._users = {"dtype": str(start.dtype), "library": namespace_of(start).__name__}
        self.border = Border(start)
        start = self.border.inside(start)
        self.x0 = namespace_of(start).reshape(start, (-1,))
        if self.border.crossed:
            self.x0 = self.x0.copy()  # JAX might give its memory to somebody else
        self.space = space_of(self.x0, comm)
        self._differences = None
        if isinstance(self._jac, str):
            self._check_library()
            self._differences = Differences(self._jac, self.x0)
        self._map = map_of(None)
        if self.space.sharded:
            self._check_ranks()
        self._warned, self._on_host = False, type(self.x0) is np.ndarray
        self._like_x, self._is_flat = (self.space.dtype, self.shape), len(self.shape) == 1
        self._precision = self.space.eps

    def take_steps(self, absolute: Any, relative: Any, workers: Any) -> None:
        """Say how long the steps of finite differences are, and who evaluates their points.

        Parameters
        ----------
        absolute, relative : float, array like x, or None
            Steps as they are, or relative to the size of each variable; None leaves it to
            :class:`qnsolve.differences.Differences`.
        workers : int, -1, map-like callable or None
            So many threads, as many as there are processors, or ``workers(function, points)``.

        Raises
        ------
        ValueError
            If an array has not the size of x.
        """
        if self._differences is not None:
            self._differences.absolute = self._per_variable(absolute, "eps")
            self._differences.relative = self._per_variable(relative, "finite_diff_rel_step")
            self._map = map_of(workers)

    def keep_inside(self, box: Box | None) -> None:
        """Say in which box x stays; x0 is projected on it, with a warning where it was outside."""
        self.box = box
        if box is None:
            return
        outside = box.count_outside(self.x0)
        if outside:
            warnings.warn(
                f"x0 is outside of the bounds in {outside} of {self.n} variables; the run starts "
                "from its projection on the box",
                RuntimeWarning,
                stacklevel=2,
            )
            self.x0 = box.project(self.x0)
        if isinstance(self._jac, str):
            self._differences = Differences(self._jac, self.x0, box)

    def _per_variable(self, step: Any, name: str) -> np.ndarray | None:
        if step is None:
            return None
        step = np.asarray(step, dtype=np.float64).ravel()
        if step.size not in (1, self.n):
            raise ValueError(f"{name} has {step.size} entries, x0 has {self.n}")
        return np.broadcast_to(step, (self.n,))

    def _check_library(self) -> None:
        """Refuse differences of a function of arrays that are not NumPy's."""
        if self.space.on_host and not self.border.crossed:
            return
        name = self._users["library"].removeprefix("array_api_compat.")
        raise TypeError(
            f"finite differences need NumPy arrays, x0 is of {name}; give jac, or jac=True with a "
            f"fun that returns (f, g){AUTODIFF.get(name, '')}"
        )

    def _check_ranks(self) -> None:
        """Refuse slices that do not belong to one problem; collective."""
        if self.space.any(isinstance(self._jac, str)):
            raise TypeError("with comm finite differences are not supported; give jac")
        if not self.space.same(self.space.eps):
            raise ValueError(f"x0 has dtype {self.x0.dtype} here and another one on another rank")
        if self.n == 0:
            raise ValueError("x0 is empty on every rank; there is nothing to minimise over")

    @property
    def n(self) -> int:
        return self.space.size

    def __call__(self, x: Array, *, at_start: bool = False) -> tuple[float, Any]:
        """Return f and g at `x`; g is None where f is not finite, unless `at_start`."""
        f, g, _ = self.answer(Evaluate(x, at_start=at_start))
        return f, g

    def answer(self, question: Evaluate) -> Answer:
        """Return f and g, an own copy in the dtype of ``space``, and the numbers asked for.

        On devices and ranks all numbers cross at once.  With a `jac` of its own g is a second call,
        which is made only where f is finite, and so there is one more crossing.
        """
        x, space, request = question.x, self.space, question.request
        together, g = self._jac is True, None
        if not space.crosses:
            f, with_f = self._evaluate_raw(x)
            f = float(f)
            if question.at_start or math.isfinite(f):
                g = self._gradient_at(x, f, with_f)
            return Answer(f, g, space.reduce(request(g)) if request and g is not None else None)

        def evaluate() -> tuple[Any, Array | None]:
            value, with_f = self._evaluate_raw(x)
            return value, self._gradient_at(x, math.nan, with_f) if together else None

        answer = in_one_crossing(space, evaluate, request if together else None)
        if not (question.at_start or math.isfinite(answer.f)):
            return Answer(answer.f, None)
        if together:
            return answer
        f = answer.f
        answer = in_one_crossing(space, lambda: (0.0, self._gradient_at(x, f, None)), request)
        return answer._replace(f=f)

    def identity(self) -> dict[str, Any]:
        """Return, as plain values, all that can be said of the problem without a call of fun."""
        box = self.box
        return {
            "n": self.n,
            "shape": list(self.shape),
            **self._users,
            "x0": fingerprint(self.x0),
            "jac": self._jac if self.differences else "given",
            "bounds": None if box is None else [fingerprint(box.lower), fingerprint(box.upper)],
            "args": in_words(self._args, by_parts=False),
        }

    @property
    def differences(self) -> bool:
        """Whether g is made of differences of f."""
        return isinstance(self._jac, str)

    def value(self, x: Array) -> float:
        """Return f at `x` alone, for a `jac` that is not True."""
        return self._evaluate(x)[0]

    def gradient(self, x: Array) -> Array:
        """Return g at `x`, whatever f is there; fun is evaluated only where g depends on it."""
        return self.space.agreed(lambda: self._gradient_at(x, *self._evaluate_for_g(x)))

    @property
    def gradient_eps(self) -> float:
        """Relative error to be expected in a gradient: rounding, or that of the differences."""
        if self._differences is None:
            return self._precision
        return self._differences.relative_error(self._value_eps)

    def gradient_error(self, f: float, g_norm_inf: float) -> float:
        """Return the error to be expected in an entry of a gradient, where f and g are given."""
        if self._differences is None:
            return self._precision * g_norm_inf
        rounding = self._value_eps * abs(f) / self._differences.least_step(self._value_eps)
        return rounding + self.space.eps * g_norm_inf

    @property
    def _value_eps(self) -> float:
        """Relative rounding error of a value: a float64 at best."""
        return max(self._precision, EPS)

    def shaped(self, x: Array) -> Array:
        """Return a copy of the flat `x` as an array of the user's, in its shape."""
        if type(x) is np.ndarray:
            x = x.copy() if self._is_flat else x.copy().reshape(self.shape)
            return self.border.given_away(x) if self.border.crossed else x
        # astype is the one function of the standard that copies and keeps the device.  JAX has to
        # be asked for the copy: without it x is lost where fun donates its argument.
        copy = self.space.xp.astype(x, self.space.dtype, copy=True)
        return self.space.xp.reshape(copy, self.shape)

    def _evaluate_for_g(self, x: Array) -> tuple[float, Any]:
        """Return f where g is made of it, and what comes with g; no number is read in vain."""
        if callable(self._jac):
            return math.nan, None
        if self._jac is True:
            return math.nan, self._evaluate_raw(x)[1]
        return self._evaluate(x)

    def _evaluate(self, x: Array) -> tuple[float, Any]:
        f, g = self._evaluate_raw(x)
        return float(f), g

    def _evaluate_raw(self, x: Array) -> tuple[Any, Any]:
        """Return f, a number or an array of one element, and what came with it."""
        self.nfev += 1
        value = self._fun(self.shaped(x), *self._args)
        if self._jac is not True:
            return self._number(value), None
        if not (isinstance(value, (tuple, list)) and len(value) == 2):
            raise TypeError(f"with jac=True fun must return the pair (f, g), got {describe(value)}")
        f, g = value
        if type(f) in FLOATS:
            return f, g
        if self.n > 1 and getattr(f, "shape", None) == self.shape and is_one_number(g):
            raise TypeError(
                "with jac=True fun must return the pair (f, g), got (g, f), as it comes from "
                "torch.func.grad_and_value; turn it round by [::-1]"
            )
        return self._number(f), g

    def _number(self, value: Any) -> Any:
        if type(value) in FLOATS:
            return value
        if self._differences is not None:
            self._precision = max(self._precision, precision_of(value))
        if self.border.crossed:
            value = self.border.inside(value)
        hint = "; pass jac=True if it returns (f, g)"
        return one_number(
            value, "the value of fun", "fun must return one real number", if_tuple=hint
        )

    def _gradient_at(self, x: Array, f: float, g: Any) -> Array:
        """Return g at `x`, given f there and what came with it."""
        self.njev += 1
        if self._differences is not None:
            return self._of_differences(self._differences, x, f)
        if self._jac is not True:
            g = self._jac(self.shaped(x), *self._args)
        return self.flat(g, "the gradient")

    def flat(self, g: Any, name: str) -> Array:
        """Return what a user's callable gave for `name`, a vector like x, as a flat vector."""
        if self.border.crossed:
            g = self.border.inside(g, name)
        if type(g) is np.ndarray and self._on_host and (g.dtype, g.shape) == self._like_x:
            return g.flatten()  # always a copy; what follows would find nothing to object to
        if not self._warned and self.space.on_host and is_narrow_jax(g, self.space):
            self._warned = True
            message = f"{NARROW_JAX}: x has float64, {name} float32; it has 7 digits"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        g = array_like(real_array(g, name), self.space, name)
        shape, flat = tuple(g.shape), (self.space.length,)
        if _without_ones(shape) not in (_without_ones(self.shape), _without_ones(flat)):
            raise ValueError(
                f"{name} has shape {shape}, but x has shape {self.shape}: "
                f"return that shape or {flat}, as ravel() makes it"
            )
        self._precision = max(self._precision, precision_of(g))
        xp = self.space.xp
        return xp.reshape(xp.astype(g, self.space.dtype, copy=True), (-1,))

    def _of_differences(self, differences: Differences, x: np.ndarray, f: float) -> np.ndarray:
        if not math.isfinite(f):
            return np.full_like(x, np.nan)
        g = differences.gradient(x, f, self._values, self._value_eps)
        with np.errstate(over="ignore", invalid="ignore"):
            return g.astype(x.dtype)

    def _values(self, points: Sequence[np.ndarray]) -> list[float]:
        """Return the values at some points, which may be taken at the same time."""
        self.nfev += len(points)
        call = partial(_call, self._fun, self._args)
        values = list(self._map(call, [point.reshape(self.shape) for point in points]))
        if len(values) != len(points):
            raise ValueError(f"workers gave {len(values)} values of fun for {len(points)} points")
        return [float(self._number(value)) for value in values]


def _call(fun: Callable[..., Any], args: tuple[Any, ...], x: Array) -> Any:
    """Return the value at `x`; a function of the module, so that processes can be given it."""
    return fun(x, *args)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)


def in_one_crossing(
    space: VectorSpace,
    evaluate: Callable[[], tuple[Any, Array | None]],
    request: Callable[[Array], Request] | None = None,
) -> Answer:
    """Return ``evaluate()``, a number and a vector, with the inner products asked for.

    Over ranks the numbers are added up, and what `evaluate` raises on one is raised on all.
    """
    error: BaseException | None = None
    try:
        f, g = evaluate()
    except BaseException as caught:
        if not space.sharded:
            raise
        # The other ranks are about to add up: take part, and say in the same message why not.
        error, f, g = caught, math.nan, space.zeros(space.length)
    wanted = Request() if request is None else request(g)
    numbers = space.reduce(wanted, (float(error is not None), f))
    failed, f = numbers.scalars
    if failed:
        space.fail_together(error)
    return Answer(f, g, None if request is None else numbers)


def _checked_jac(jac: Any) -> Any:
    """Return `jac` as a callable, True, or the name of a difference scheme."""
    if isinstance(jac, np.bool_):
        jac = bool(jac)
    if jac is True or callable(jac):
        return jac
    if jac is None or jac is False:
        jac = "2-point"
    if not isinstance(jac, str):
        raise TypeError(f"jac must be {_JAC_WANTED}, got {describe(jac)}")
    if jac == "cs":
        raise ValueError("jac='cs' is not supported: x stays real; use '3-point' or give jac")
    if jac not in DIFFERENCE_ORDERS:
        raise ValueError(f"jac must be {_JAC_WANTED}, got {jac!r}")
    return jac
