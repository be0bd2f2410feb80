"""A library without float64, as JAX is by default."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from qnsolve.arrays.device import DeviceSpace


class OnlyFloat32:
    """NumPy without float64: to ask for it is an error here."""

    float64 = np.float64  # a name that the library has all the same

    def __getattr__(self, name):
        return getattr(np, name)

    def __array_namespace_info__(self):
        return SimpleNamespace(dtypes=lambda *, device, kind: {"float32": np.dtype("float32")})

    def astype(self, a, dtype, copy=True):
        assert dtype == np.float32, f"float64 asked for: {dtype}"
        return a.astype(dtype, copy=copy)


@pytest.fixture
def space():
    return DeviceSpace(OnlyFloat32(), np.dtype("float32"), None, 2)


def test_no_float64_is_asked_for(space):
    v = np.array([3.0, 4.0], dtype=np.float32)
    assert space.wide is None
    assert space.product_eps == np.finfo(np.float32).eps
    assert space.dot(v, v) == 25.0
    assert space.products(v[None, :], v).tolist() == [25.0]
    assert space.combine(np.ones(1), v[None, :]).dtype == np.float32


@pytest.mark.parametrize("exponent", [-140, -75, -63, 0, 63, 100, 125])
def test_norms_where_the_square_leaves_the_range_of_float32(space, exponent):
    v = np.array([3.0, 4.0], dtype=np.float32) * np.float32(2.0**exponent)
    assert space.norm(v) == 5.0 * 2.0**exponent
