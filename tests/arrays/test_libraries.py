"""What array libraries differ in."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve.arrays.libraries import (
    as_numpy,
    detached,
    device_of,
    from_numpy_like,
    library_of,
    take,
    to_host,
    to_number,
)
from tests.conftest import BACKENDS, FAR


def test_names():
    names = {name: library_of(BACKENDS[name]().namespace) for name in ("numpy", "torch", "jax")}
    assert names == {"numpy": "numpy", "torch": "torch", "jax": "jax.numpy"}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_to_the_host(xp, dtype):
    found = to_host(xp.asarray([[1, 2]], dtype))
    assert type(found) is np.ndarray and found.dtype == np.float64
    assert found.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_number(xp, shape):
    number = to_number(xp.asarray(np.full(shape, 2.5)))
    assert type(number) is float and number == 2.5


@pytest.mark.parametrize("value", [2, 2.0, True, np.float32(2.0), np.int64(2)])
def test_plain_numbers(value):
    assert type(to_number(value)) is float and to_number(value) == float(value)


def test_samples(xp):
    a = xp.asarray(np.arange(6.0).reshape(3, 2), "float32")
    found = take(a, np.array([2, 0, 2]))
    assert found.dtype == a.dtype
    assert to_host(found).tolist() == [[4.0, 5.0], [0.0, 1.0], [4.0, 5.0]]


@pytest.mark.parametrize("name", ["torch", "jax"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shared_with_numpy(name, dtype):
    like = BACKENDS[name]().asarray(np.ones(3), dtype)
    export = from_numpy_like(like, carry=True)  # JAX may be on a GPU
    x = np.arange(3, dtype=dtype)
    assert type(export(x)) is type(like)
    assert export(x).dtype == like.dtype
    np.testing.assert_array_equal(as_numpy(export(x)), x)
    assert as_numpy(like).dtype == x.dtype
    if name == "torch":
        assert np.shares_memory(as_numpy(export(x)), x)


@pytest.mark.parametrize("name", FAR)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_carried_to_numpy_and_back(name, dtype):
    like = BACKENDS[name]().asarray(np.ones(3), dtype)
    export = from_numpy_like(like, carry=True)
    x = np.arange(3, dtype=dtype)
    there = export(x)
    assert (type(there), there.dtype, device_of(there)) == (type(like), like.dtype, device_of(like))
    back = as_numpy(there, carry=True)
    assert type(back) is np.ndarray and back.dtype == x.dtype
    np.testing.assert_array_equal(back, x)
    assert from_numpy_like(like) is None


def test_not_shared_with_numpy():
    strict = BACKENDS["strict"]().asarray(np.ones(3))
    assert from_numpy_like(strict) is None
    assert as_numpy(strict) is strict
    torch = pytest.importorskip("torch")
    assert from_numpy_like(torch.ones(3, dtype=torch.bfloat16)) is None


def test_records_of_gradients_are_dropped():
    torch = pytest.importorskip("torch")
    x = torch.ones(2, requires_grad=True)
    assert not detached(x).requires_grad
    assert detached(3.0) == 3.0
    np.testing.assert_array_equal(as_numpy(x), [1.0, 1.0])
