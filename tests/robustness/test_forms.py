"""Forms of what callables return, and of x0: the same run, or an error that names it."""

from __future__ import annotations

import array_api_compat
import numpy as np
import pytest

import qnsolve
from tests.robustness.cases import METHODS, X0, minimize, to_numpy, wells

pytestmark = pytest.mark.parametrize("method", METHODS)


def namespace(x):
    return array_api_compat.array_namespace(x)


# -- forms of f that are one number ----------------------------------------------------------------

VALUES = {
    "python float": lambda f: float(f),
    "numpy scalar": lambda f: np.float64(float(f)),
    "0-d": lambda f: namespace(f).reshape(f, ()),
    "shape (1,)": lambda f: namespace(f).reshape(f, (1,)),
    "shape (1, 1)": lambda f: namespace(f).reshape(f, (1, 1)),
}


@pytest.mark.parametrize("form", VALUES)
def test_forms_of_the_value(method, form, xp):
    def fun(x):
        f, g = wells(x)
        return VALUES[form](f), g

    plain = minimize(method, wells, xp.asarray(X0), maxiter=4)
    result = minimize(method, fun, xp.asarray(X0), maxiter=4)
    assert type(result.fun) is float and result.fun == plain.fun
    np.testing.assert_array_equal(to_numpy(result.x), to_numpy(plain.x))


@pytest.mark.parametrize("kind", [int, np.int32, np.uint8])
def test_integers_are_values(method, kind):
    """A staircase: where f says nothing, the run ends, and not by an exception."""

    def fun(x):
        return kind(min(255, int(100 + 50 * float(wells(x)[0])))), wells(x)[1]

    result = minimize(method, fun, X0, maxiter=50)
    assert type(result.fun) is float and result.fun <= fun(X0)[0]


BAD_VALUES = {
    "two numbers": (lambda f, g: (g, g), "fun must return one real number"),
    "None": (lambda f, g: (None, g), "fun must return one real number, got NoneType"),
    "complex": (lambda f, g: (1j, g), r"the value of fun is complex .*return its \.real"),
    "turned round": (lambda f, g: (g, f), r"the pair \(f, g\), got \(g, f\).*turn it round"),
    "masked": (lambda f, g: (np.ma.masked_array(1.0), g), "the value of fun is a masked array"),
    "not a pair": (lambda f, g: f, r"fun must return the pair \(f, g\)"),
}
BAD_GRADIENTS = {
    "too short": (lambda f, g: (f, g[:-1]), r"gradient has shape \(3,\), but x has shape \(4,\)"),
    "None": (lambda f, g: (f, None), "the gradient is None"),
    "complex": (
        lambda f, g: (f, 1j * namespace(g).astype(g, namespace(g).complex128)),
        r"the gradient is complex .*return its \.real",
    ),
    "masked": (lambda f, g: (f, np.ma.masked_array(to_numpy(g))), "the gradient is a masked array"),
}


@pytest.mark.parametrize("when", [0, 3])
@pytest.mark.parametrize("name", [*BAD_VALUES, *(f"gradient {name}" for name in BAD_GRADIENTS)])
def test_wrong_returns_are_errors_at_any_time(method, name, when, xp):
    spoil, words = {**BAD_VALUES, **{f"gradient {k}": v for k, v in BAD_GRADIENTS.items()}}[name]
    count = 0

    def fun(x):
        nonlocal count
        count += 1
        f, g = wells(x)
        return (f, g) if count <= when else spoil(f, g)

    with pytest.raises((TypeError, ValueError), match=words):
        minimize(method, fun, xp.asarray(X0))
    assert count == when + 1


# -- forms of the gradient that are taken ----------------------------------------------------------


def frozen(g):
    g.flags.writeable = False
    return g


NUMPY_GRADIENTS = {
    "list": lambda g: g.tolist(),
    "read-only": frozen,
    "every second entry": lambda g: np.repeat(g, 2)[::2],
    "reversed": lambda g: g[::-1].copy()[::-1],
    "column of a matrix": lambda g: np.stack([g, g], axis=1)[:, 1],
    "wider": lambda g: g.astype(np.longdouble),
    "big-endian": lambda g: g.astype(">f8"),
}


@pytest.mark.parametrize("form", NUMPY_GRADIENTS)
def test_forms_of_the_gradient(method, form):
    def fun(x):
        f, g = wells(x)
        return f, NUMPY_GRADIENTS[form](g)

    plain, result = minimize(method, wells, X0), minimize(method, fun, X0)
    np.testing.assert_array_equal(result.x, plain.x)
    np.testing.assert_array_equal(result.jac, plain.jac)


def test_one_gradient_buffer_for_all_evaluations(method):
    buffer = np.empty(4)

    def fun(x):
        f, buffer[:] = wells(x)
        return f, buffer

    np.testing.assert_array_equal(minimize(method, fun, X0).x, minimize(method, wells, X0).x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradient_of_the_other_precision(method, dtype, xp):
    """It is cast to that of x, which decides on the tolerances."""
    other = {"float32": "float64", "float64": "float32"}[dtype]

    def fun(x):
        f, g = wells(x)
        return f, namespace(g).astype(g, getattr(namespace(g), other))

    result = minimize(method, fun, xp.asarray(X0, dtype))
    assert result.x.dtype == result.jac.dtype == getattr(xp.namespace, dtype)
    # Seven digits are enough for the default gtol on numbers of the size of one.
    assert result.success


def test_gradient_of_another_library_or_device_is_refused(method, xp):
    strict = pytest.importorskip("array_api_strict")
    # NumPy is given whatever can become NumPy, which this array refuses.
    foreign = strict.ones(4, device=strict.Device("device1"))
    words = "device1|the gradient must be an array of"
    if xp.namespace is strict:
        foreign = np.ones(4)
    with pytest.raises((TypeError, ValueError, RuntimeError), match=words):
        minimize(method, lambda x: (1.0, foreign), xp.asarray(X0))


# -- forms of x0 -----------------------------------------------------------------------------------

STARTS = {
    "list": ([2, 1], (2,)),
    "tuple": ((2.0, 1.0), (2,)),
    "range": (range(1, 4), (3,)),
    "integers": (np.array([2, 1]), (2,)),
    "booleans": (np.array([True, True]), (2,)),
    "number": (2, (1,)),
    "numpy scalar": (np.float64(2.0), (1,)),
    "0-d": (np.array(2.0), ()),
    "n = 1": ([2.0], (1,)),
    "2-D": ([[2.0, 1.0], [1.0, 3.0]], (2, 2)),
    "Fortran order": (np.asfortranarray([[2.0, 1.0, 0.5], [1.0, 3.0, 0.2]]), (2, 3)),
    "every second entry": (np.arange(1.0, 9.0)[::2], (4,)),
    "read-only": (frozen(np.array([2.0, 1.0])), (2,)),
    "big-endian": (np.array([2.0, 1.0], dtype=">f8"), (2,)),
}


@pytest.mark.parametrize("form", STARTS)
def test_forms_of_the_start(method, form):
    x0, shape = STARTS[form]
    result = minimize(method, wells, x0)
    assert result.success
    assert result.x.shape == result.jac.shape == shape
    assert result.x.dtype == np.float64
    np.testing.assert_allclose(result.jac, wells(result.x)[1])


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 2)])
def test_shapes_in_every_library(method, shape, xp):
    x0 = xp.asarray(np.resize(X0, shape))
    seen = []

    def fun(x):
        seen.append(tuple(x.shape))
        return wells(x)

    result = minimize(method, fun, x0)
    assert result.success and set(seen) == {shape}
    assert tuple(result.x.shape) == tuple(result.jac.shape) == shape


BAD_STARTS = {
    "empty": ([], ValueError, "x0 is empty"),
    "empty 2-D": (np.empty((3, 0)), ValueError, "x0 is empty"),
    "complex": ([1j, 1.0], TypeError, "x0 is complex"),
    "masked": (np.ma.masked_array([1.0, 2.0], [0, 1]), TypeError, "x0 is a masked array"),
    "nan": ([1.0, np.nan], ValueError, "x0 has NaN or infinite entries"),
    "half": (np.ones(2, np.float16), TypeError, "too coarse"),
    "text": (["a", "b"], TypeError, "x0 must hold real numbers"),
}


@pytest.mark.parametrize("name", BAD_STARTS)
def test_starts_that_are_refused(method, name):
    def never(x):
        raise AssertionError("evaluated before x0 was checked")

    x0, error, words = BAD_STARTS[name]
    with pytest.raises(error, match=words):
        minimize(method, never, x0)


# -- args, copies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [(3.0, "b"), [3.0], None, 3.0])
def test_args_reach_every_evaluation(method, args):
    seen = []

    def fun(x, *more):
        seen.append(more)
        return wells(x)

    result = minimize(method, fun, X0, args=args)
    assert result.success and len(seen) == result.nfev
    assert all(more == (args if isinstance(args, tuple) else (args,)) for more in seen)


def test_what_callables_do_to_their_arguments_is_lost(method, xp):
    if array_api_compat.is_jax_namespace(xp.namespace):
        pytest.skip("JAX arrays cannot be written to")

    def spoiling(x):
        f, g = wells(x)
        x[...] = 99.0
        return f, g

    x0 = xp.asarray(X0)
    result = minimize(method, spoiling, x0)
    np.testing.assert_array_equal(to_numpy(result.x), to_numpy(minimize(method, wells, x0).x))
    np.testing.assert_array_equal(to_numpy(x0), X0)


def test_the_result_is_the_users_own(method):
    kept = {}

    def fun(x):
        f, g = wells(x)
        kept["x"], kept["g"] = x, g
        return f, g

    result = minimize(method, fun, X0)
    result.x[:], result.jac[:] = 9.0, 9.0
    assert (kept["x"] != 9.0).all() and (kept["g"] != 9.0).all()
    assert (qnsolve.minimize(fun, X0, jac=True, method=method).x != 9.0).all()
