"""A box made of what users give for bounds: in every library, to the last digit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import Bounds

from qnsolve.arrays import new_space, space_of, to_host
from qnsolve.arrays.border import Border
from qnsolve.bounds import Box

FLOATS = st.floats(allow_nan=False, width=64)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bounds_of_the_library_of_x_and_of_numpy(xp, dtype):
    x = xp.asarray([0.5, 3.0, -3.0, 0.0], dtype)
    space = space_of(x)
    lower, upper = [0.0, -np.inf, -2.0, 0.0], [1.0, 2.0, np.inf, 0.0]
    pairs = np.array([lower, upper]).T
    forms = [
        Box(xp.asarray(lower, dtype), xp.asarray(upper, dtype)),
        Box(xp.asarray([[0.0, -np.inf], [-2.0, 0.0]], dtype), xp.asarray(upper, dtype)),
        Box(lower, xp.asarray(upper, dtype)),
        xp.asarray(pairs.tolist(), dtype),
        Bounds(lower, upper),
        pairs,
    ]
    for form in forms:
        box = Box.of(form, space)
        assert box.lower.dtype == box.upper.dtype == x.dtype
        assert np.array_equal([to_host(box.lower), to_host(box.upper)], [lower, upper])
        assert not box.contains(x)
        assert box.count_outside(x) == 2
        inside = box.project(x)
        assert inside.dtype == x.dtype
        assert to_host(inside).tolist() == [0.5, 2.0, -2.0, 0.0]
        assert box.contains(inside)
    free = xp.asarray([[-np.inf, np.inf]] * 4, dtype)
    assert Box.of(free, space) is None
    assert Box.of(Bounds(), space) is None


def test_bounds_are_checked_on_every_device(xp):
    space = space_of(xp.asarray([0.5, 3.0]))
    for low, high, words in [
        ([0.0, 2.0], [1.0, 1.0], "low <= high .* got low 2.0 and high 1.0 for variable 1"),
        ([0.0, np.nan], [1.0, 1.0], "must not be NaN, got low nan and high 1.0 for variable 1"),
        ([np.inf, 0.0], [np.inf, 1.0], "a finite number between them"),
        ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], "3 bounds on a side, x0 has 2"),
    ]:
        with pytest.raises(ValueError, match=words):
            Box.of(Box(xp.asarray(low), xp.asarray(high)), space)
    with pytest.raises(TypeError, match="sequence of pairs"):
        Box.of(xp.asarray([0.0, 1.0]), space)


def test_bounds_of_another_library_or_dtype_are_named():
    torch = pytest.importorskip("torch")
    strict = pytest.importorskip("array_api_strict")
    space = space_of(strict.asarray([0.5, 3.0]))
    with pytest.raises(TypeError, match=r"of array_api_strict with dtype .*float64.* got Tensor"):
        Box.of(Box(torch.zeros(2), torch.ones(2)), space)
    narrow = strict.asarray([0.0, 1.0], dtype=strict.float32)
    with pytest.raises(TypeError, match=r"with dtype .*float64, as x0 is, .* got Array"):
        Box.of(Box(narrow, 2.0), space)
    elsewhere = strict.asarray([0.0, 1.0], device=strict.Device("device1"))
    with pytest.raises(ValueError, match=r"bounds are on .*device1"):
        Box.of(Box(elsewhere, 2.0), space)


def test_tensors_in_the_memory_of_the_host_are_bounds_of_numpy():
    torch = pytest.importorskip("torch")
    x = torch.tensor([0.5, 3.0])
    border = Border(x)
    space = space_of(border.inside(x))
    box = Box.of(Box(torch.zeros(2, dtype=torch.float64), torch.ones(2)), space, border)
    assert isinstance(box.lower, np.ndarray)
    assert box.lower.dtype == np.float32
    assert Box.of([(torch.tensor(0.0), None), (None, torch.tensor(1.0))], space, border)


@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=5))
def test_bounds_with_more_digits_than_x_are_rounded_inwards(pairs):
    lower, upper = np.sort(np.array(pairs), axis=1).T
    with np.errstate(over="ignore"):
        near = np.clip(lower, -1e300, 1e300).astype(np.float32)
        ends = [near, *(np.nextafter(near, np.float32(end)) for end in (-np.inf, np.inf))]
    here = [np.isfinite(end) & (lower <= end) & (end <= upper) for end in ends]
    some = np.any([*here, (lower == upper) & np.isfinite(near)], axis=0)
    if not some.all():
        with pytest.raises(ValueError, match=r"a (finite )?number .*between"):
            Box.of(Bounds(lower, upper), new_space(len(pairs), np.float32))
        return
    box = Box.of(Bounds(lower, upper), new_space(len(pairs), np.float32))
    if box is None:
        assert np.isinf(lower).all()
        return
    fixed = lower == upper
    assert (box.lower <= box.upper).all()
    assert ((lower <= box.lower) & (box.upper <= upper))[~fixed].all()
    # The next number outwards is outside of what was given.
    with np.errstate(over="ignore"):
        below = np.nextafter(box.lower, np.float32(-np.inf)).astype(np.float64)
        above = np.nextafter(box.upper, np.float32(np.inf)).astype(np.float64)
    assert ((below < lower) | (box.lower == lower))[~fixed].all()
    assert ((above > upper) | (box.upper == upper))[~fixed].all()
    assert (box.lower == box.upper)[fixed].all()


@given(st.lists(st.tuples(FLOATS, FLOATS, st.floats(allow_infinity=False)), min_size=1, max_size=5))
def test_a_projection_is_inside_and_the_nearest_point(rows):
    low, high, x = np.array(rows).T
    lower, upper = np.minimum(low, high), np.maximum(low, high)
    lower, upper = np.where(lower == np.inf, 0.0, lower), np.where(upper == -np.inf, 0.0, upper)
    box = Box(lower, upper)
    z = box.project(x)
    nan = np.isnan(x)
    assert box.contains(np.where(nan, np.clip(0.0, lower, upper), z))
    assert np.array_equal(z, np.clip(x, lower, upper), equal_nan=True)
    assert box.contains(x) == (np.array_equal(z, x) and not nan.any())
    assert box.count_outside(np.where(nan, z, x)) == int((z != x)[~nan].sum())
