"""The border between n-vectors and numbers: which precision the inner products have."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from qnsolve.arrays import VectorSpace, new_space, space_of
from tests.tolerances import EPS


class OnlyFloat32:
    """NumPy without float64, as JAX is by default: to ask for it is an error here."""

    float64 = np.float64  # a name that the library has all the same

    def __getattr__(self, name):
        return getattr(np, name)

    def __array_namespace_info__(self):
        return SimpleNamespace(dtypes=lambda *, device, kind: {"float32": np.dtype("float32")})

    def astype(self, a, dtype):
        assert dtype == np.float32, f"float64 asked for: {dtype}"
        return a.astype(dtype)


def test_products_of_float32_are_in_float64_where_there_is_one(xp):
    values = np.array([1.0, 2.0**-20, -1.0])
    v, ones = xp.asarray(values, "float32"), xp.asarray(np.ones(3), "float32")
    space = space_of(v)
    assert space.wide == xp.namespace.float64
    assert space.product_eps == EPS
    assert space.dot(v, v) == 2.0 + 2.0**-40
    assert space.dot(v, ones) == 2.0**-20


@pytest.mark.parametrize("method", ["dot", "products", "combine"])
def test_no_float64_is_asked_for_where_there_is_none(method):
    v = np.array([3.0, 4.0], dtype=np.float32)
    space = VectorSpace(OnlyFloat32(), v.dtype, None, 2)
    assert space.wide is None
    assert space.product_eps == np.finfo(np.float32).eps
    one, rows = np.ones(1), v[None, :]
    got = {
        "dot": lambda: space.dot(v, v),
        "products": lambda: space.products(rows, v),
        "combine": lambda: space.combine(one, rows) @ v,
    }[method]()
    assert got == 25.0


def test_float64_is_not_widened(xp):
    assert space_of(xp.asarray(np.ones(2))).wide is None


@pytest.mark.parametrize("dtype", [int, complex, bool, object])
def test_vectors_are_real_floating(dtype):
    with pytest.raises(TypeError, match="dtype must be real floating"):
        new_space(3, dtype)


def test_masks_are_refused():
    with pytest.raises(TypeError, match="v is a masked array"):
        new_space(2).checked(np.ma.array([1.0, 2.0], mask=[0, 1]), "v")
