"""What users hand over, as plain arrays and numbers."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve.arrays import space_of, to_host
from qnsolve.arrays.libraries import to_number
from qnsolve.arrays.user import (
    array_like,
    describe,
    floating_vector,
    is_narrow_jax,
    one_number,
    own_array,
    require_finite,
    require_real,
    start_point,
)
from qnsolve.comm import Serial
from tests.conftest import BACKENDS


def test_descriptions(xp):
    assert describe([1.0]) == "list"
    assert describe(xp.asarray(np.ones((2, 3)))).endswith(" of shape (2, 3)")


def test_an_array_stays_in_its_library(xp):
    a = xp.asarray([1.0, 2.0], "float32")
    own = own_array(a, "a")
    assert (own.dtype, type(own)) == (a.dtype, type(a))
    assert own_array([1, 2], "a").dtype == np.array([1, 2]).dtype


def test_no_gradient_is_recorded():
    torch = pytest.importorskip("torch")
    x = torch.ones(2, requires_grad=True)
    assert not own_array(x, "x").requires_grad
    assert not one_number(x.sum(), "f", "one number").requires_grad


def test_masks_are_refused():
    masked = np.ma.array([1.0, 2.0], mask=[0, 1])
    for check in (own_array, floating_vector, start_point, space_of(np.ones(2)).checked):
        with pytest.raises(TypeError, match="v is a masked array; fill it"):
            check(masked, "v")


@pytest.mark.parametrize("dtype", ["int32", "float32", "float64", "bool"])
def test_real_numbers(xp, dtype):
    require_real(xp.asarray([0, 1], dtype), "a")


@pytest.mark.parametrize(
    ("a", "message"),
    [
        (np.ones(2, complex), r"a is complex \(complex128\) and must be real; .* imaginary parts"),
        (np.array(["b"]), "a must hold real numbers, got dtype <U1"),
        (np.array([None]), "a must hold real numbers, got dtype object"),
    ],
)
def test_other_numbers(a, message):
    with pytest.raises(TypeError, match=message):
        require_real(a, "a")


def test_vectors(xp):
    v = floating_vector(xp.asarray([1.0, 2.0], "float32"), "v")
    assert v.dtype == xp.namespace.float32
    assert floating_vector([1, 2], "v").dtype == np.float64
    assert floating_vector(np.empty(0), "v", comm=Serial()).shape == (0,)
    for bad, error, message in (
        (xp.asarray([1, 2], "int32"), TypeError, "v must be real floating, got dtype"),
        (xp.asarray(np.ones((2, 2))), ValueError, r"v must have shape \(n,\) with n >= 1, got"),
        (xp.asarray(np.ones(0)), ValueError, r"v must have shape \(n,\) with n >= 1, got \(0,\)"),
    ):
        with pytest.raises(error, match=message):
            floating_vector(bad, "v")


def test_finite_numbers(xp):
    require_finite(xp.asarray([1.0, 2.0]), "v")
    for bad in (np.nan, -np.inf):
        with pytest.raises(ValueError, match="v has NaN or infinite entries; start from"):
            require_finite(xp.asarray([1.0, bad]), "v")


def test_start_points(xp):
    x = xp.asarray([[1.0, 2.0]], "float32")
    x0 = start_point(x)
    assert (x0.dtype, tuple(x0.shape)) == (x.dtype, (1, 2))
    assert x0 is not x or xp.namespace.__name__ == "jax.numpy"  # whose arrays nobody can change
    assert start_point(xp.asarray([1, 2], "int32")).dtype == xp.namespace.float64
    assert start_point(3).shape == (1,)
    assert start_point([], comm=Serial()).shape == (0,)
    for bad, error, message in (
        ([], ValueError, r"x0 is empty \(shape \(0,\)\)"),
        ([1.0, np.nan], ValueError, "x0 has NaN or infinite entries"),
        (np.ones(2, np.float16), TypeError, "x0 has dtype float16, too coarse for secant pairs"),
        ([1j], TypeError, "x0 is complex"),
    ):
        with pytest.raises(error, match=message):
            start_point(bad)


def test_one_number(xp):
    wanted = "fun must return one real number"
    for value in (2, 2.0, np.float32(2), True):
        number = one_number(value, "f", wanted)
        assert type(number) is float and number == float(value)
    for shape in ((), (1,), (1, 1)):
        number = one_number(xp.asarray(np.full(shape, 2.0)), "f", wanted)
        assert np.shape(number) == () and to_number(number) == 2.0
    for bad, message in (
        (None, "fun must return one real number, got NoneType$"),
        ((1.0, 2.0), "fun must return one real number, got tuple; is it two"),
        (np.ones(2), r"fun must return one real number, got ndarray of shape \(2,\)$"),
        (1j, r"f is complex .*return its \.real"),
        (np.complex128(1j), "f is complex"),
        (np.ma.masked, "f is a masked array"),
    ):
        with pytest.raises(TypeError, match=message):
            one_number(bad, "f", wanted, if_tuple="; is it two")


def test_arrays_like_those_of_a_space(xp):
    x = xp.asarray(np.ones(3), "float32")
    space = space_of(x)
    a = xp.asarray(np.ones((2, 3)))
    same = array_like(a, space, "a")
    assert (same.dtype, tuple(same.shape)) == (a.dtype, (2, 3))
    if space.on_host:
        assert type(array_like([1, 2], space, "a")) is np.ndarray
    else:
        with pytest.raises(TypeError, match=rf"a must be an array of {space.package}, as x0 is, "):
            array_like(np.ones(3), space, "a")


def test_a_jax_array_or_cpu_tensor_is_as_good_as_numpys():
    space = space_of(np.ones(2))
    for name in ("torch", "jax"):
        a = array_like(BACKENDS[name]().asarray([1.0, 2.0]), space, "a")
        assert type(a) is np.ndarray and a.tolist() == [1.0, 2.0]


def test_another_device():
    here, there = BACKENDS["strict"](), BACKENDS["strict-device1"]()
    space = space_of(there.asarray(np.ones(2)))
    with pytest.raises(ValueError, match=r"g is on .*CPU.*, but x is on .*device1"):
        array_like(here.asarray(np.ones(2)), space, "g")


def test_vectors_of_a_space(xp):
    x = xp.asarray(np.ones(3), "float32")
    space = space_of(x)
    for other in (x, xp.asarray(np.ones(3)), xp.asarray([1, 1, 1], "int32")):
        v = space.checked(other, "v")
        assert v.dtype == x.dtype and (to_host(v) == 1.0).all()
    with pytest.raises(TypeError, match="v must hold numbers, got dtype"):
        space.checked(xp.asarray([True, False, True], "bool"), "v")
    with pytest.raises(ValueError, match=r"v must have shape \(3,\), got \(2,\)"):
        space.checked(xp.asarray(np.ones(2)), "v")


def test_jax_in_32_bits_is_noticed():
    jax = BACKENDS["jax"]()
    wide, narrow = space_of(np.ones(2)), space_of(np.ones(2, np.float32))
    g = jax.asarray(np.ones(2), "float32")
    assert is_narrow_jax(g, wide)
    assert not is_narrow_jax(g, narrow)
    assert not is_narrow_jax(jax.asarray(np.ones(2)), wide)
    assert not is_narrow_jax(np.ones(2, np.float32), wide)
