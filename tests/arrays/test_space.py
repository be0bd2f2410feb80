"""All methods of a space, in every home, against NumPy in float64."""

from __future__ import annotations

import copy
import math
import pickle
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qnsolve.arrays.device
import qnsolve.arrays.host
from qnsolve.arrays import Request, VectorSpace, new_space, space_of, to_host
from qnsolve.arrays.device import DeviceSpace
from qnsolve.arrays.host import HostSpace
from qnsolve.arrays.sharded import ShardedSpace
from qnsolve.comm import Serial
from tests.arrays.homes import cuts, on_ranks
from tests.conftest import BACKENDS
from tests.strategies import seeds
from tests.tolerances import EPS

N, Q = 50, 6
DTYPES = ["float32", "float64"]


@pytest.fixture(params=DTYPES)
def dtype(request):
    return request.param


@pytest.fixture(params=[None, Serial()], ids=["alone", "sharded"])
def comm(request):
    return request.param


@pytest.fixture
def narrow_chunks(monkeypatch):
    """Chunks so short that vectors of length N need several."""
    monkeypatch.setattr(qnsolve.arrays.host, "IN_CACHE", 16)
    monkeypatch.setattr(qnsolve.arrays.host, "LEAST_WIDTH", 7)
    monkeypatch.setattr(qnsolve.arrays.device, "CHUNK", 16)
    monkeypatch.setattr(qnsolve.arrays.device, "LEAST_WIDTH", 7)


@pytest.fixture(params=["one chunk", "several"])
def chunked(request):
    if request.param == "several":
        request.getfixturevalue("narrow_chunks")


class Data:
    """The same vectors on a device and, as they were rounded, in float64 on the host."""

    def __init__(self, xp, dtype, n=N, q=Q, seed=0):
        rng = np.random.default_rng(seed)
        self.c = rng.standard_normal(q)
        self.C = rng.standard_normal((q, 3))
        for name, shape in {"a": n, "b": n, "rows": (q, n)}.items():
            array = xp.asarray(rng.standard_normal(shape), dtype)
            setattr(self, f"far_{name}", array)
            setattr(self, name, to_host(array).copy())

    def request(self):
        a, b = self.far_a, self.far_b
        return Request([(a, b), (a, a)], self.far_rows, [b, a], [b])


def close(found, exact, scale, space, products=False):
    """Compare numbers that were rounded N times, relative to the sum of the moduli of the terms."""
    eps = space.product_eps if products else space.eps
    np.testing.assert_array_less(
        np.abs(found - exact), N * eps * np.abs(scale) + sys.float_info.min
    )


# -- which home ------------------------------------------------------------------------------------


def test_homes(xp, dtype):
    x = xp.asarray(np.ones(3), dtype)
    space = space_of(x)
    home = HostSpace if isinstance(x, np.ndarray) else DeviceSpace
    assert type(space) is home
    assert space_of(space) is space
    assert (space.size, space.first, space.length) == (3, 0, 3)
    assert space.dtype == x.dtype
    assert space.eps == float(np.finfo(dtype).eps)
    assert space.product_eps == EPS
    assert space.crosses == (home is DeviceSpace)
    assert space.on_host == (home is HostSpace)
    assert (space.sharded, space.comm, space.leader) == (False, None, True)
    assert "array_api_compat" not in space.package

    sharded = space_of(x, Serial())
    assert type(sharded) is ShardedSpace
    assert space_of(sharded) is sharded
    assert isinstance(sharded.comm, Serial)
    assert (sharded.crosses, sharded.sharded, sharded.leader) == (True, True, True)
    assert sharded.on_host == space.on_host
    for name in ("xp", "dtype", "device", "wide", "eps", "product_eps", "package", "length"):
        assert getattr(sharded, name) == getattr(space, name)


def test_new_spaces(xp):
    assert type(new_space(3)) is HostSpace
    assert new_space(3).dtype == np.float64
    space = new_space(3, xp.namespace.float32, xp.namespace)
    assert space.size == 3
    assert space.dtype == xp.namespace.float32
    assert space.xp is xp.namespace


@pytest.mark.parametrize("dtype", [int, complex, bool, object])
def test_vectors_are_real_floating(dtype):
    with pytest.raises(TypeError, match="dtype must be real floating"):
        new_space(3, dtype)


@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_copies(xp, dtype, comm, how):
    space = space_of(xp.asarray(np.ones(3), dtype), comm)
    other = pickle.loads(pickle.dumps(space)) if how == "pickle" else copy.deepcopy(space)
    assert type(other) is type(space)
    assert other.xp is space.xp
    for name in ("dtype", "device", "size", "first", "length", "wide"):
        assert getattr(other, name) == getattr(space, name)
    assert other.norm(xp.asarray([3.0, 0.0, 4.0], dtype)) == 5.0


# -- vectors ---------------------------------------------------------------------------------------


def same_kind(v, like):
    assert v.dtype == like.dtype
    assert getattr(v, "device", None) == getattr(like, "device", None)


def test_new_vectors(xp, dtype, comm):
    x = xp.asarray(np.ones(4), dtype)
    space = space_of(x, comm)
    for v, exact in (
        (space.zeros(4), np.zeros(4)),
        (space.zeros((2, 4)), np.zeros((2, 4))),
        (space.unit(2), np.eye(4)[2]),
        (space.from_host(np.arange(3.0)), np.arange(3.0)),
        (space.add(x, 2.0, x), np.full(4, 3.0)),
    ):
        same_kind(v, x)
        np.testing.assert_array_equal(to_host(v), exact)


def test_rows_are_set(xp, dtype, comm):
    block, row = xp.asarray(np.zeros((3, 2)), dtype), xp.asarray([1.0, 2.0], dtype)
    block = space_of(row, comm).set_row(block, 1, row)
    same_kind(block, row)
    np.testing.assert_array_equal(to_host(block), [[0, 0], [1, 2], [0, 0]])


@pytest.mark.usefixtures("chunked")
def test_combinations(xp, dtype, comm):
    data = Data(xp, dtype)
    space = space_of(data.far_a, comm)
    exact, scale = data.c @ data.rows, np.abs(data.c) @ np.abs(data.rows)
    s = space.combine(data.c, data.far_rows)
    same_kind(s, data.far_a)
    close(to_host(s), exact, scale, space)
    for alpha in (0.0, 0.5):
        for multiply in (False, True):
            s, products = space.combine_and_add(
                data.c, data.far_rows, alpha, data.far_a, multiply=multiply
            )
            same_kind(s, data.far_a)
            close(to_host(s), exact + alpha * data.a, scale + np.abs(data.a), space)
            assert (products is not None) == (multiply and not space.crosses)
            if products is not None:
                scale_of_rows = np.abs(data.rows) @ np.abs(s)
                close(products, data.rows @ s.astype(np.float64), scale_of_rows, space, True)


def test_a_combination_of_nothing(xp, dtype, comm):
    x = xp.asarray(np.ones(4), dtype)
    space = space_of(x, comm)
    s = space.combine(np.empty(0), space.zeros((0, 4)))
    same_kind(s, x)
    assert (to_host(s) == 0.0).all()
    assert space.products(space.zeros((0, 4)), x).shape == (0,)


@pytest.mark.usefixtures("chunked")
def test_products_of_combinations(xp, dtype, comm):
    data = Data(xp, dtype)
    space = space_of(data.far_a, comm)
    with_rows, among = space.products_of_combinations(data.C, data.far_rows)
    columns, sizes = data.C.T @ data.rows, np.abs(data.C.T) @ np.abs(data.rows)
    close(with_rows, columns @ data.rows.T, sizes @ np.abs(data.rows.T), space, True)
    close(among, columns @ columns.T, sizes @ sizes.T, space, True)
    assert with_rows.dtype == among.dtype == np.float64


@pytest.mark.usefixtures("chunked")
def test_rescaled_pairs(xp, dtype, comm):
    data, used = Data(xp, dtype), 4
    space = space_of(data.far_a, comm)
    far_factor = xp.asarray(np.exp(data.b), dtype)
    factor = to_host(far_factor)
    block, SS, YY = space.rescale_pairs(data.far_rows, used, far_factor)
    same_kind(block, data.far_a)
    assert (block is data.far_rows) == space.on_host
    block = to_host(block).astype(np.float64)
    np.testing.assert_array_equal(block[used:], data.rows[used:])
    for kind, exact, gram in (
        (block[:used:2], data.rows[:used:2] * factor, SS),
        (block[1:used:2], data.rows[1:used:2] / factor, YY),
    ):
        np.testing.assert_allclose(kind, exact, rtol=2 * space.eps)
        close(gram, kind @ kind.T, np.abs(kind) @ np.abs(kind.T), space, True)


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("chunked")
def test_numbers(xp, dtype, comm):
    data = Data(xp, dtype)
    a, b, rows = data.a, data.b, data.rows
    space = space_of(data.far_a, comm)
    found = space.reduce(data.request(), [2.5, data.far_b[3], np.float64(7.0)])
    close(found.dots[0], a @ b, np.abs(a) @ np.abs(b), space, True)
    close(found.dots[1], a @ a, a @ a, space, True)
    for products, v in zip(found.products, (b, a), strict=True):
        close(products, rows @ v, np.abs(rows) @ np.abs(v), space, True)
        assert products.dtype == np.float64
    assert found.largest == [np.abs(b).max()]
    assert found.scalars == [2.5, b[3], 7.0]
    numbers = [*found.dots, *found.largest, *found.scalars]
    assert all(type(number) is float for number in numbers)
    close(space.norm(data.far_a), np.linalg.norm(a), np.linalg.norm(a), space, True)


@pytest.mark.parametrize("name", list(BACKENDS))
@given(seed=seeds(), n=st.integers(1, 3000), q=st.integers(0, 5), narrow=st.booleans())
@settings(max_examples=10)
def test_together_is_one_by_one(name, seed, n, q, narrow):
    """To the last bit, in every home."""
    data = Data(BACKENDS[name](), "float32" if narrow else "float64", n, q, seed)
    a, b = data.far_a, data.far_b
    for comm in (None, Serial()):
        space = space_of(a, comm)
        found = space.reduce(data.request(), [0.1, a[0]])
        assert found.dots == [space.dot(a, b), space.dot(a, a)]
        for products, v in zip(found.products, (b, a), strict=True):
            np.testing.assert_array_equal(products, space.products(data.far_rows, v))
        assert found.largest == [space.norm_inf(b)]
        assert found.scalars == [0.1, data.a[0]]
        assert space.norm(a) == math.sqrt(found.dots[1])


def test_nothing_asked(xp, comm):
    space = space_of(xp.asarray(np.ones(3)), comm)
    assert space.reduce(Request()) == ([], [], [], [])
    assert space.reduce(Request(), [1.5]).scalars == [1.5]


def test_products_of_float32_are_in_float64(xp, comm):
    v = xp.asarray(np.array([1.0, 2.0**-20, -1.0]), "float32")
    space = space_of(v, comm)
    assert space.wide == xp.namespace.float64
    assert space_of(xp.asarray(np.ones(2)), comm).wide is None
    assert space.dot(v, v) == 2.0 + 2.0**-40
    assert space.dot(v, xp.asarray(np.ones(3), "float32")) == 2.0**-20


@pytest.mark.parametrize(
    ("dtype", "sizes"),
    [
        ("float64", [1e-320, 1e-310, 1e-300, 1e-160, 1e160, 1e300]),
        ("float32", [1e-44, 1e-30, 1e30]),
    ],
)
def test_norms_at_the_ends_of_the_range(xp, comm, dtype, sizes):
    for size in sizes:
        v = xp.asarray(size * np.array([3.0, 0.0, -4.0]), dtype)
        exact = to_host(v).astype(np.longdouble)
        if not to_host(1.0 * v).any():
            continue  # the library computes with zero instead
        space = space_of(v, comm)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            norm = space.norm(v)
        wanted = float(np.linalg.norm(exact))
        if wanted < np.finfo(np.float64).tiny:
            assert norm == pytest.approx(wanted, abs=2 * 5e-324)  # of the last digit there is
        else:
            assert norm == pytest.approx(wanted, rel=4 * EPS)


def test_norms_beyond_the_range(xp, comm):
    space = space_of(xp.asarray(np.ones(2)), comm)
    assert space.norm(xp.asarray([0.0, 0.0])) == 0.0
    assert space.norm(xp.asarray([1.5e308, 1.5e308])) == np.inf
    assert space.norm(xp.asarray([1.0, -np.inf])) == np.inf
    assert np.isnan(space.norm(xp.asarray([1.0, np.nan])))


@pytest.mark.parametrize("n", [3, qnsolve.arrays.host.IN_CACHE + 1])
def test_largest_entries(xp, comm, dtype, n):
    values = np.zeros(n)
    for entries, largest in (
        ([1.0, -3.0], 3.0),
        ([2.0, -1.0], 2.0),
        ([0.0, -0.0], 0.0),
        ([1.0, -np.inf], np.inf),
    ):
        values[-2:] = entries
        v = xp.asarray(values, dtype)
        assert space_of(v, comm).norm_inf(v) == largest
    for place in (0, n - 1):
        values[place] = np.nan
        v = xp.asarray(values, dtype)
        assert np.isnan(space_of(v, comm).norm_inf(v))


@pytest.mark.usefixtures("chunked")
def test_overflow_never_warns(xp, comm, dtype):
    huge = np.full(N, 0.9 * float(np.finfo(dtype).max))
    a = xp.asarray(huge, dtype)
    rows = xp.asarray(np.stack([huge, -huge]), dtype)
    space = space_of(a, comm)
    beyond = np.inf if dtype == "float64" else pytest.approx(N * to_host(a)[0] ** 2, rel=N * EPS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = space.reduce(Request([(a, a)], rows, [a]))
        assert found.dots == [beyond]
        assert found.products[0][0] == beyond
        for s in (
            space.combine(np.array([2.0, 2.0]), rows),
            space.combine_and_add(np.ones(2), rows, 2.0, a, multiply=True)[0],
        ):
            assert s.shape == (N,)
        space.products_of_combinations(np.array([[3.0], [1.0]]), rows)
        space.rescale_pairs(rows, 2, a)


# -- what crosses, and what stays ------------------------------------------------------------------


@pytest.fixture
def transfers(monkeypatch):
    """Sizes of the transfers to the host since the fixture was asked for."""
    sizes = []

    def counted(a):
        sizes.append(math.prod(a.shape))
        return to_host(a)

    monkeypatch.setattr(qnsolve.arrays.device, "to_host", counted)
    return sizes


def test_one_transfer(transfers, monkeypatch, dtype):
    data = Data(BACKENDS["strict-device1"](), dtype)
    array = type(data.far_a)

    def refuse(self):
        raise AssertionError("a number was read from the device one by one")

    for name in ("__float__", "__int__", "__bool__", "__index__", "__complex__"):
        monkeypatch.setattr(array, name, refuse)
    for comm in (None, Serial()):
        space = space_of(data.far_a, comm)
        transfers.clear()
        space.reduce(data.request(), [1.0, data.far_a[0], 2.0, data.far_b[1]])
        # Of the vector whose largest entry is wanted both ends, and the square.
        assert transfers == [2 + 2 + 2 * Q + 3]
        for method in ("dot", "norm", "norm_inf"):
            transfers.clear()
            getattr(space, method)(*[data.far_a] * (2 if method == "dot" else 1))
            assert len(transfers) == 1
        for call in (
            lambda: space.products(data.far_rows, data.far_a),  # noqa: B023
            lambda: space.products_of_combinations(data.C, data.far_rows),  # noqa: B023
            lambda: space.rescale_pairs(data.far_rows, 4, data.far_a),  # noqa: B023
        ):
            transfers.clear()
            call()
            assert len(transfers) == 1
        transfers.clear()
        space.reduce(Request(), [1.0])
        space.combine(data.c, data.far_rows)
        space.combine_and_add(data.c, data.far_rows, 1.0, data.far_a, multiply=True)
        space.checked(data.far_a, "v")
        assert not transfers


def test_nothing_grows(comm):
    """A space has no state: 10,000 calls leave no more than they found."""
    rng = np.random.default_rng(0)
    rows, c = rng.standard_normal((4, 20)), rng.standard_normal(4)
    space = space_of(rows[0], comm)
    before = dict(vars(space))

    def call(times):
        for _ in range(times):
            a, b = rng.standard_normal((2, 20))
            space.reduce(Request([(a, b)], rows, [a], [b]), [1.0])
            space.combine_and_add(c, rows, 1.0, a, multiply=True)
            space.norm(a)

    call(100)
    tracemalloc.start()
    start, _ = tracemalloc.get_traced_memory()
    call(10_000)
    end, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Less than a byte a call: what the interpreter itself keeps.
    assert end - start < 10_000
    assert vars(space) == before


# -- ranks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("name", ["numpy", "strict-device1", "torch"])
def test_the_numbers_of_the_whole_vector(name, size, dtype):
    xp = BACKENDS[name]()
    data = Data(xp, dtype)
    a, b, rows = data.a, data.b, data.rows

    def ask(comm):
        mine = cuts(N, size)[comm.rank]
        sliced = {n: getattr(data, f"far_{n}")[..., mine] for n in ("a", "b")}
        far_rows = data.far_rows[:, mine]
        far_a, far_b = sliced["a"], sliced["b"]
        space = space_of(far_a, comm)
        assert comm.count == 1
        found = space.reduce(
            Request([(far_a, far_b)], far_rows, [far_b], [far_b, far_a]),
            [1.0, float(comm.rank)],
        )
        assert comm.count == 2
        combined = space.products_of_combinations(data.C, far_rows)
        assert comm.count == 3
        _, *grams = space.rescale_pairs(xp.namespace.asarray(far_rows, copy=True), 4, far_a)
        assert comm.count == 4
        norm = space.norm(far_a)
        assert comm.count == 5
        units = np.stack([to_host(space.unit(j)) for j in range(N)])
        s = space.combine_and_add(data.c, far_rows, 1.0, far_a, multiply=True)[0]
        assert comm.count == 5
        place = (space.size, space.first, space.length, space.leader)
        return found, combined, grams, norm, units, to_host(s), place

    answers = on_ranks(size, ask)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    space = space_of(data.far_a)
    for rank, (found, combined, grams, norm, *_, place) in enumerate(answers):
        mine = cuts(N, size)[rank]
        assert place == (N, mine.start, mine.stop - mine.start, rank == 0)
        close(found.dots[0], a @ b, np.abs(a) @ np.abs(b), space, True)
        close(found.products[0], rows @ b, np.abs(rows) @ np.abs(b), space, True)
        assert found.largest == [np.abs(b).max(), np.abs(a).max()]
        assert found.scalars == [size, size * (size - 1) / 2]
        assert norm == pytest.approx(np.linalg.norm(a), rel=N * EPS)
        columns = data.C.T @ rows
        sizes = np.abs(data.C.T) @ np.abs(rows)
        close(combined[0], columns @ rows.T, sizes @ np.abs(rows.T), space, True)
        close(combined[1], columns @ columns.T, sizes @ sizes.T, space, True)
        S = rows[:4:2] * a
        np.testing.assert_allclose(grams[0], S @ S.T, rtol=0, atol=N * space.eps * np.sum(S**2))
        # The same bits everywhere.
        assert found.dots == answers[0][0].dots
    np.testing.assert_array_equal(np.concatenate([u for *_, u, _, _ in answers], axis=1), np.eye(N))
    s = np.concatenate([s for *_, s, _ in answers])
    close(s, data.c @ rows + a, np.abs(data.c) @ np.abs(rows) + np.abs(a), space)


@pytest.mark.parametrize("place", [0, N - 1])
def test_a_nan_on_one_rank_is_seen_by_all(place):
    values = np.ones(N)
    values[place] = np.nan

    def ask(comm):
        v = values[cuts(N, 3)[comm.rank]]
        return space_of(v, comm).reduce(Request([(v, v)], largest=[v]))

    for found in on_ranks(3, ask):
        assert np.isnan([*found.dots, *found.largest]).all()


def test_a_request_of_wrong_length_does_not_pass():
    space = space_of(np.ones(3))
    with pytest.raises(ValueError):
        space.dot(np.ones(3), np.ones(4))


def test_there_is_no_space_of_no_home():
    with pytest.raises(TypeError, match="abstract"):
        VectorSpace(np, np.float64, None, 3, None)
