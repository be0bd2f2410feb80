"""Objective: what is accepted, what is refused before the first evaluation, what is counted."""

import decimal
import fractions
import math

import array_api_compat
import array_api_strict
import numpy as np
import pytest
import scipy.sparse

from qnsolve.objective import Objective
from tests.conftest import FAR

DEVICE = array_api_strict.Device("device1")  # refuses np.asarray, as a device array does


@pytest.fixture
def make(xp):
    """Return a function that turns host data into an array of one library on one device."""
    return xp.asarray


def xp_of(x):
    return array_api_compat.array_namespace(x)


def half_square(x):
    xp = xp_of(x)
    return xp.sum(x * x) / 2, x


class Labelled:
    """What xarray's DataArray and the Series of pandas are to NumPy."""

    def __init__(self, values):
        self._values = np.asarray(values)
        self.shape = self._values.shape

    def __array__(self, dtype=None, copy=None):
        return self._values if dtype is None else self._values.astype(dtype)


def never(*_):
    raise AssertionError("evaluated before the arguments were checked")


def to_list(x):
    """Return the entries of a flat array of any library, one scalar at a time."""
    return [float(x[i]) for i in range(x.shape[0])]


# -- the start point ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 6), (3, 1, 2)])
def test_library_dtype_device_and_shape_are_kept(make, dtype, shape):
    seen = []

    def fun(x):
        seen.append(x)
        return half_square(x)

    x0 = make(np.arange(1.0, 7.0).reshape(shape), dtype)
    objective = Objective(fun, x0, jac=True)
    f, g = objective(objective.x0)

    assert objective.shape == seen[0].shape == objective.shaped(g).shape == shape
    assert objective.n == objective.space.size == 6
    assert type(f) is float and f == 45.5
    assert to_list(g) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    for a in (seen[0], objective.shaped(objective.x0), objective.shaped(g)):
        assert xp_of(a) is xp_of(x0) and a.dtype == x0.dtype
        assert array_api_compat.device(a) == array_api_compat.device(x0)
    for a in (g, objective.x0):
        assert xp_of(a) is objective.space.xp and a.dtype == objective.space.dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_vectors_are_numpys_where_arrays_are_on_the_host_or_short(make, request, dtype):
    x0 = make(np.ones(3), dtype)
    space = Objective(half_square, x0, jac=True).space
    name = request.node.callspec.params["xp"]
    assert space.on_host == (name not in FAR)
    assert str(space.dtype).endswith(dtype)


def test_zero_dimensional_array_keeps_its_shape(make):
    objective = Objective(lambda x: (x * x, 2 * x), make(3.0), jac=True)
    f, g = objective(objective.x0)
    assert objective.shape == () and objective.n == 1
    assert f == 9.0 and to_list(g) == [6.0]


@pytest.mark.parametrize("x0", [3, 3.0, np.float64(3.0)])
def test_plain_number_is_seen_as_one_variable_as_in_scipy(x0):
    objective = Objective(lambda x: (x[0] ** 2, 2 * x), x0, jac=True)
    assert objective.shape == (1,) and objective(objective.x0) == (9.0, [6.0])


@pytest.mark.parametrize("x0", [[1, 2], (1.0, 2.0), np.matrix([1.0, 2.0]), range(1, 3)])
def test_array_like_becomes_a_plain_numpy_array(x0):
    objective = Objective(lambda x: type(x) is np.ndarray, x0, jac=lambda x: x)
    f, _ = objective(objective.x0)
    assert f == 1.0 and objective.x0.dtype == np.float64
    assert objective.x0.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("dtype", ["bool", "int32", "uint8"])
def test_integers_and_booleans_become_float64(make, dtype):
    x0 = make([0, 1], dtype)
    objective = Objective(half_square, x0, jac=True)
    assert objective.shaped(objective.x0).dtype == xp_of(x0).float64
    assert to_list(objective.x0) == [0.0, 1.0]


def test_x0_is_copied():
    x0 = np.ones(3)
    objective = Objective(half_square, x0, jac=True)
    x0[:] = 7.0
    assert objective.x0.tolist() == [1.0, 1.0, 1.0]


def test_complex_start_is_refused_with_a_hint(make):
    with pytest.raises(TypeError, match=r"x0 is complex .*real and imaginary parts"):
        Objective(never, make([1.0, 2.0], "complex128"), jac=True)
    with pytest.raises(TypeError, match="x0 is complex"):
        Objective(never, 1 + 2j, jac=True)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_start_is_refused(make, bad):
    with pytest.raises(ValueError, match="x0 has NaN or infinite entries"):
        Objective(never, make([1.0, bad]), jac=True)


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_empty_start_is_refused(make, shape):
    with pytest.raises(ValueError, match=r"x0 is empty \(shape \("):
        Objective(never, make(np.zeros(shape)), jac=True)


@pytest.mark.parametrize(
    "x0",
    ["abc", None, ["1", "2"], np.array([1.0, None]), np.array(["2020-01-01"], "M8[D]")],
    ids=["str", "None", "strings", "object", "datetime"],
)
def test_start_that_holds_no_numbers_is_refused(x0):
    with pytest.raises(TypeError, match="x0 must hold real numbers, got dtype"):
        Objective(never, x0, jac=True)


def test_masked_start_is_refused():
    with pytest.raises(TypeError, match="x0 is a masked array"):
        Objective(never, np.ma.array([1.0, 2.0], mask=[False, True]), jac=True)


def test_half_precision_start_is_refused():
    with pytest.raises(TypeError, match=r"float16, too coarse .*float32"):
        Objective(never, np.ones(2, np.float16), jac=True)


# -- fun, args and jac as arguments ---------------------------------------------------------------


def test_fun_must_be_callable():
    with pytest.raises(TypeError, match="fun must be callable, got int"):
        Objective(3, [1.0])


@pytest.mark.parametrize(
    ("args", "received"),
    [((), ()), ((2, 3), (2, 3)), (5, (5,)), ([2, 3], ([2, 3],)), (None, (None,))],
)
def test_args_reach_both_callables(args, received):
    seen = []

    def fun(x, *args):
        seen.append(args)
        return 0.0

    def jac(x, *args):
        seen.append(args)
        return x

    objective = Objective(fun, [1.0], args, jac)
    objective(objective.x0)
    assert seen == [received, received]


def test_jac_callable_and_jac_true_agree(make):
    x0 = make([[1.0, -2.0], [0.5, 4.0]])
    both = Objective(half_square, x0, jac=True)
    apart = Objective(lambda x: half_square(x)[0], x0, jac=lambda x: half_square(x)[1])
    also_both = Objective(half_square, x0, jac=np.True_)
    results = [objective(objective.x0) for objective in (both, apart, also_both)]
    assert len({f for f, _ in results}) == 1
    assert len({tuple(to_list(g)) for _, g in results}) == 1


@pytest.mark.parametrize("jac", [1, 2.5, ["2-point"], np.ones(2)], ids=repr)
def test_jac_of_wrong_type_is_refused(jac):
    with pytest.raises(TypeError, match="jac must be callable, True, None"):
        Objective(never, [1.0], jac=jac)


def test_unknown_difference_scheme_is_refused():
    with pytest.raises(ValueError, match=r"jac must be callable, .* got '4-point'"):
        Objective(never, [1.0], jac="4-point")


def test_complex_step_is_refused():
    with pytest.raises(ValueError, match=r"jac='cs' is not supported.*3-point"):
        Objective(never, [1.0], jac="cs")


@pytest.mark.parametrize("jac", [None, False, "2-point", "3-point"])
@pytest.mark.parametrize("device", [None, DEVICE])
def test_differences_are_refused_off_numpy(jac, device):
    with pytest.raises(TypeError, match=r"finite differences need NumPy arrays.*jac=True"):
        Objective(never, array_api_strict.ones(2, device=device), jac=jac)


# -- the value ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        2,
        2.0,
        fractions.Fraction(2),
        np.int64(2),
        np.float32(2),
        np.longdouble(2),
        np.array(2),
        np.array([2], dtype=np.uint8),
        np.array([2.0]),
        np.array([[2.0]]),
        np.matrix([[2.0]]),
        np.array(2.0, dtype=object),
        np.array([fractions.Fraction(2)]),
        decimal.Decimal(2),
        [2.0],
        [[np.float32(2)]],
        (2,),
        2 + 0j,
        np.complex128(2),
        np.array([2 + 0j]),
        Labelled(2.0),
        Labelled([2.0]),
    ],
    ids=lambda value: f"{type(value).__name__}{getattr(value, 'shape', '')}",
)
def test_values_that_are_one_real_number(value):
    objective = Objective(lambda x: value, [1.0], jac=lambda x: x)
    f, _ = objective(objective.x0)
    assert type(f) is float and f == 2.0


@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_value_may_be_an_array_on_the_device(make, shape, dtype):
    def fun(x):
        xp = xp_of(x)
        return xp.astype(xp.reshape(xp.sum(x), shape), getattr(xp, dtype))

    objective = Objective(fun, make([1.0, 2.0]), jac=lambda x: x)
    f, _ = objective(objective.x0)
    assert type(f) is float and f == 3.0


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.ones(2), r"ndarray of shape \(2,\)"),
        (np.empty(0), r"ndarray of shape \(0,\)"),
        (None, "NoneType"),
        ("2", "str"),
        ([2.0, 3.0], "list"),
        ([[2.0], [3.0, 4.0]], "must hold real numbers, got list"),
        ({2.0}, "set"),
        (never, "function"),
        ((2.0, np.ones(1)), "tuple; pass jac=True"),
        (2j, r"complex .*return its \.real"),
        (np.array("2"), "the value of fun must hold real numbers, got dtype <U1"),
        (np.array("2", dtype=object), "the value of fun must hold real numbers, got dtype object"),
        (np.array(None), "the value of fun must hold real numbers, got dtype object"),
        (np.ma.masked, "the value of fun is a masked array"),
        (np.complex128(2 + 1j), r"the value of fun is complex .*return its \.real"),
        (scipy.sparse.csr_array([[2.0]]), r"return its \.toarray\(\)"),
    ],
    ids=lambda item: item if isinstance(item, str) else type(item).__name__,
)
def test_values_that_are_refused(value, words):
    objective = Objective(lambda x: value, [1.0], jac=lambda x: x)
    with pytest.raises(TypeError, match=words):
        objective(objective.x0)


def test_complex_value_on_the_device_is_refused(make):
    def fun(x):
        return 1j * xp_of(x).astype(xp_of(x).sum(x), xp_of(x).complex128)

    objective = Objective(fun, make([1.0]), jac=lambda x: x)
    with pytest.raises(TypeError, match="the value of fun is complex"):
        objective(objective.x0)


@pytest.mark.parametrize("value", [1.0, np.ones(2), (1.0, 2.0, 3.0), None])
def test_jac_true_wants_a_pair(value):
    objective = Objective(lambda x: value, [1.0], jac=True)
    with pytest.raises(TypeError, match=r"jac=True fun must return the pair \(f, g\), got"):
        objective(objective.x0)


# -- the gradient ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 3), (6,), (6, 1), (1, 6), (2, 3, 1)])
def test_gradient_may_have_the_shape_of_x_or_be_flat(make, shape):
    objective = Objective(
        lambda x: 0.0, make(np.ones((2, 3))), jac=lambda x: xp_of(x).reshape(x, shape)
    )
    _, g = objective(objective.x0)
    assert g.shape == (6,)


@pytest.mark.parametrize("shape", [(3, 2), (5,), (3, 1, 2), (36,), ()])
def test_gradient_of_another_shape_is_refused(make, shape):
    x0 = make(np.ones((2, 3)))
    g = make(np.ones(shape))
    objective = Objective(lambda x: 0.0, x0, jac=lambda x: g)
    words = rf"gradient has shape \({', '.join(map(str, shape))},?\), but x has shape \(2, 3\)"
    with pytest.raises(ValueError, match=words):
        objective(objective.x0)


@pytest.mark.parametrize("g", [2.0, np.float64(2.0), [2.0], np.array([[2.0]]), np.array(2.0)])
def test_gradient_in_one_variable_may_be_a_number(g):
    objective = Objective(lambda x: 0.0, [1.0], jac=lambda x: g)
    assert objective(objective.x0)[1].tolist() == [2.0]


@pytest.mark.parametrize(
    "g",
    [
        [1, 2],
        (1.0, 2.0),
        np.array([1, 2]),
        np.float32([1, 2]),
        np.array([[1.0], [2.0]]),
        np.matrix([1.0, 2.0]),
        np.array([1.0, fractions.Fraction(2)]),
        np.array([1 + 0j, 2]),
        Labelled([1.0, 2.0]),
        Labelled([[1.0], [2.0]]),
    ],
    ids=lambda g: f"{type(g).__name__}{getattr(g, 'dtype', '')}",
)
def test_gradient_is_cast_to_the_dtype_of_x(g):
    for dtype in (np.float32, np.float64):
        objective = Objective(lambda x: 0.0, np.ones(2, dtype), jac=lambda x: g)
        result = objective(objective.x0)[1]
        assert result.dtype == dtype and result.tolist() == [1.0, 2.0]


def test_wider_gradient_is_cast_on_the_device(make):
    x0 = make([1.0, 2.0], "float32")
    objective = Objective(lambda x: 0.0, x0, jac=lambda x: xp_of(x).astype(x, xp_of(x).float64))
    g = objective(objective.x0)[1]
    assert g.dtype == objective.space.dtype and objective.shaped(g).dtype == xp_of(x0).float32


def test_complex_gradient_is_refused(make):
    objective = Objective(
        lambda x: 0.0, make([1.0]), jac=lambda x: 1j * xp_of(x).astype(x, xp_of(x).complex128)
    )
    with pytest.raises(TypeError, match=r"the gradient is complex .*return its \.real"):
        objective(objective.x0)


@pytest.mark.parametrize(
    ("g", "words"),
    [
        (None, "the gradient is None; return an array"),
        ([None, 1.0], "the gradient must hold real numbers, got dtype object"),
        (
            np.array(["1", "2"], dtype=object),
            "the gradient must hold real numbers, got dtype object",
        ),
        (
            scipy.sparse.csr_array([[1.0, 2.0]]),
            r"the gradient is sparse .*return its \.toarray\(\)",
        ),
        (["a", "b"], "the gradient must hold real numbers, got dtype <U1"),
        (np.ma.array([1.0, 2.0]), "the gradient is a masked array"),
    ],
    ids=["None", "a None", "objects", "sparse", "strings", "masked"],
)
def test_gradient_that_is_no_numpy_array_of_numbers_is_refused(g, words):
    objective = Objective(lambda x: 0.0, [1.0, 2.0], jac=lambda x: g)
    with pytest.raises(TypeError, match=words):
        objective(objective.x0)


def test_numpy_takes_the_gradient_of_a_library_that_lets_itself_be_converted():
    g = array_api_strict.asarray([1.0, 2.0])
    objective = Objective(lambda x: array_api_strict.asarray(3.0), [1.0, 2.0], jac=lambda x: g)
    f, taken = objective(objective.x0)
    assert f == 3.0 and type(taken) is np.ndarray and taken.tolist() == [1.0, 2.0]


def test_numpy_does_not_fetch_a_gradient_from_a_device():
    g = array_api_strict.ones(2, device=DEVICE)
    objective = Objective(lambda x: 0.0, [1.0, 2.0], jac=lambda x: g)
    with pytest.raises(RuntimeError, match=r"Can(not|'t| not) convert array on the .*device1"):
        objective(objective.x0)


@pytest.mark.parametrize("g", [np.ones(2), [1.0, 1.0]], ids=["array", "list"])
def test_host_gradient_is_refused_for_another_library(g):
    objective = Objective(lambda x: 0.0, array_api_strict.ones(2), jac=lambda x: g)
    with pytest.raises(TypeError, match="must be an array of array_api_strict, as x0 is"):
        objective(objective.x0)


def test_gradient_on_another_device_is_refused():
    objective = Objective(
        lambda x: 0.0,
        array_api_strict.ones(2, device=DEVICE),
        jac=lambda x: array_api_strict.ones(2),
    )
    with pytest.raises(ValueError, match=r"the gradient is on .*CPU.*, but x is on .*device1"):
        objective(objective.x0)


# -- copies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("jac", ["apart", "together"])
def test_callables_cannot_damage_x(make, jac):
    def spoil(x):
        if not array_api_compat.is_jax_array(x):  # which nobody can write to
            x[0] = 99.0

    def fun(x):
        f, g = half_square(x)
        g = xp_of(x).asarray(g, copy=True)
        spoil(x)
        return (f, g) if jac == "together" else f

    def grad(x):
        g = xp_of(x).asarray(x, copy=True)
        spoil(x)
        return g

    objective = Objective(fun, make([3.0, 4.0]), jac=True if jac == "together" else grad)
    x = objective.x0
    f, g = objective(x)
    assert f == 12.5 and to_list(g) == [3.0, 4.0] and to_list(x) == [3.0, 4.0]


def test_user_may_reuse_the_gradient_buffer():
    buffer = np.empty(2)

    def fun(x):
        buffer[:] = x
        return 0.5 * float(x @ x), buffer

    objective = Objective(fun, [1.0, 2.0], jac=True)
    _, first = objective(np.array([1.0, 2.0]))
    objective(np.array([5.0, 6.0]))
    assert first.tolist() == [1.0, 2.0]


def test_shaped_is_a_copy(make):
    objective = Objective(half_square, make([[1.0, 2.0]]), jac=True)
    shaped = objective.shaped(objective.x0)
    if array_api_compat.is_jax_array(shaped):
        pytest.skip("JAX arrays cannot be written to")
    shaped[0, 0] = 9.0
    assert to_list(objective.x0) == [1.0, 2.0]


# -- values that are not finite -------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_gradient_where_the_value_is_not_finite(make, value):
    objective = Objective(lambda x: value, make([1.0, 2.0]), jac=never)
    f, g = objective(objective.x0)
    assert g is None and str(f) == str(value)
    assert (objective.nfev, objective.njev) == (1, 0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_gradient_at_the_start_whatever_the_value(make, value):
    objective = Objective(lambda x: value, make([1.0, 2.0]), jac=lambda x: x)
    f, g = objective(objective.x0, at_start=True)
    assert not math.isfinite(f) and to_list(g) == [1.0, 2.0]
    assert (objective.nfev, objective.njev) == (1, 1)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_differences_from_a_value_that_is_not_finite_cost_nothing(value):
    objective = Objective(lambda x: value, [1.0, 2.0])
    _, g = objective(objective.x0, at_start=True)
    assert np.isnan(g).all() and objective.nfev == 1


def test_gradient_that_is_not_finite_is_passed_on(make):
    objective = Objective(lambda x: 1.0, make([1.0, 2.0]), jac=lambda x: x * math.nan)
    _, g = objective(objective.x0)
    assert all(math.isnan(v) for v in to_list(g))


# -- counts and exceptions ------------------------------------------------------------------------


def test_counts_with_an_analytic_gradient(make):
    objective = Objective(half_square, make([1.0, 2.0]), jac=True)
    for count in range(1, 4):
        objective(objective.x0)
        assert (objective.nfev, objective.njev) == (count, count)


class Odd(Exception):
    pass


@pytest.mark.parametrize("raised", [Odd, ValueError, StopIteration, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["fun", "jac"])
def test_exceptions_come_through_unchanged(raised, where):
    error = raised("from the user")

    def fail(x):
        raise error

    parts = {"fun": lambda x: 1.0, "jac": lambda x: x, where: fail}
    objective = Objective(parts["fun"], [1.0], jac=parts["jac"])
    with pytest.raises(raised) as caught:
        objective(objective.x0)
    assert caught.value is error
    assert objective.nfev == 1


# -- finite differences ---------------------------------------------------------------------------


def wavy(x):
    return float(np.sum(np.sin(x) + x**3 / 7))


def wavy_slope(x):
    return np.cos(x) + 3 * x**2 / 7


@pytest.mark.parametrize(
    ("jac", "evaluations", "order"),
    [(None, 5, 1), (False, 5, 1), ("2-point", 5, 1), ("3-point", 9, 2)],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_differences_are_accurate_and_every_evaluation_counts(jac, evaluations, order, dtype):
    x0 = np.array([[-1.5, 0.0], [2.0, 300.0]], dtype)
    points = []

    def fun(x):
        points.append(x.copy())
        # In float64 whatever x is, so that only the rounding of x + h is at stake.
        return wavy(x.astype(np.float64))

    objective = Objective(fun, x0, jac=jac)
    f, g = objective(objective.x0)

    exact = wavy_slope(x0.astype(np.float64)).ravel()
    eps = max(np.finfo(dtype).eps, np.finfo(np.float64).eps)
    h = eps ** (1 / (order + 1)) * np.maximum(1.0, np.abs(x0.ravel()))
    truncation = h**order * (1 + np.abs(x0.ravel()))
    rounding = 4 * np.finfo(np.float64).eps * abs(f) / h
    # Twice the roundoff of the result for its own cast.
    assert (np.abs(g - exact) <= truncation + rounding + 2 * eps * np.abs(exact)).all()
    assert g.dtype == dtype and g.shape == (4,)
    assert len(points) == objective.nfev == evaluations and objective.njev == 1
    assert all(p.shape == (2, 2) and p.dtype == dtype for p in points)
    assert len({str(p.tolist()) for p in points}) == evaluations


@pytest.mark.parametrize("jac", ["2-point", "3-point"])
def test_differences_divide_by_the_step_that_float32_really_makes(jac):
    x0 = np.array([1 / 3, 1e3 / 7, -11 / 9], np.float32)
    slope = np.array([1.0, 2.0, -3.0])
    objective = Objective(lambda x: float(slope @ x.astype(np.float64)), x0, jac=jac)
    _, g = objective(objective.x0)
    # A linear function has no truncation error, and float64 values next to none of rounding; a
    # quotient by the step before its rounding would be off by sqrt(eps).
    assert (np.abs(g - slope) <= 2 * np.finfo(np.float32).eps * np.abs(slope)).all()


def test_forward_differences_step_away_from_zero():
    points = []

    def fun(x):
        points.append(x.copy())
        return 0.0

    objective = Objective(fun, [-1.0, 0.0, 1.0])
    with pytest.warns(RuntimeWarning, match="fun does not change at all over the first steps"):
        objective(objective.x0)
    steps = np.array(points[1:]) - points[0]
    assert np.sign(np.diag(steps)).tolist() == [-1.0, 1.0, 1.0]


def test_differences_pass_args_and_leave_x_alone():
    def fun(x, a, b):
        value = a * float(x @ x) + b
        x[:] = 99.0
        return value

    objective = Objective(fun, [1.0, 2.0], (3.0, 4.0), "3-point")
    f, g = objective(objective.x0)
    assert f == 19.0 and np.allclose(g, [6.0, 12.0], rtol=1e-8)
    assert objective.x0.tolist() == [1.0, 2.0]


def test_differences_over_an_edge_of_the_domain_are_quietly_not_finite():
    objective = Objective(lambda x: 1.0 if x[0] == 1.0 else math.inf, [1.0], jac="3-point")
    _, g = objective(objective.x0)
    assert np.isnan(g).all()
