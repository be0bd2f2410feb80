"""Vectors cross between the user's library and NumPy without a copy, where that can be."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve.arrays.border import CARRIED, REMEMBERED, Border
from tests.conftest import BACKENDS, FAR


def test_arrays_of_the_host_share_their_memory():
    torch = pytest.importorskip("torch")
    a = torch.ones(3, requires_grad=True)
    border = Border(a)
    x = border.inside(a)
    assert isinstance(x, np.ndarray)
    assert np.shares_memory(x, a.detach().numpy())
    out = border.outside(x)
    assert torch.is_tensor(out) and out.data_ptr() == x.ctypes.data


def test_one_array_stands_for_one_vector():
    torch = pytest.importorskip("torch")
    border = Border(torch.zeros(3))
    points = [np.full(3, float(k)) for k in range(REMEMBERED)]
    seen = [border.outside(x) for x in points]
    assert all(border.outside(x) is a for x, a in zip(points, seen, strict=True))
    border.outside(np.ones(3))
    assert border.outside(points[0]) is not seen[0]
    assert (border.outside(points[0]) == seen[0]).all()


def test_jax_and_back():
    jax = pytest.importorskip("jax")
    border = Border(jax.numpy.zeros(3, dtype="float32"))
    x = border.inside(jax.numpy.arange(3, dtype="float32"))
    assert isinstance(x, np.ndarray) and x.dtype == np.float32
    assert isinstance(border.outside(x), jax.Array)
    assert (border.outside(x) == x).all()


@pytest.mark.parametrize("name", FAR)
def test_long_vectors_stay_on_their_device(name):
    xp = BACKENDS[name]()
    short, long = xp.asarray(np.ones(CARRIED)), xp.asarray(np.ones(CARRIED + 1))
    assert Border(short).crossed and isinstance(Border(short).inside(short), np.ndarray)
    assert not Border(long).crossed and Border(long).outside(long) is long
    assert not Border(short, size=CARRIED + 1).crossed


def test_other_arrays_stay_what_they_are():
    torch = pytest.importorskip("torch")
    half, array = torch.zeros(3, dtype=torch.bfloat16), np.zeros(3)
    for border, a in ((Border(half), half), (Border(array), array), (Border(), array)):
        assert border.outside(a) is a
    assert Border(array).inside(array) is array
    assert not Border(half).inside(half.requires_grad_()).requires_grad
