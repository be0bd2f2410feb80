"""Runs in a box: where fun is called, where they end, and that nothing else has changed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import Bounds, rosen, rosen_der

import qnsolve
from qnsolve import Status

METHODS = ("hybrid-tr", "lsr1-tr", "lsr1-arc")

EPS = float(np.finfo(float).eps)


class Watched:
    """A function with its gradient, and a note of every point outside the box."""

    def __init__(self, fun, lower, upper):
        self.fun, self.lower, self.upper = fun, lower, upper
        self.calls = self.outside = 0

    def __call__(self, x):
        self.calls += 1
        self.outside += not ((x >= self.lower) & (x <= self.upper)).all()
        return self.fun(x)


def rosenbrock(x):
    return rosen(x), rosen_der(x)


def run(fun, x0, lower, upper, method="hybrid-tr", **options):
    """Minimise; assert what holds of every run."""
    x0 = np.asarray(x0, dtype=float)
    lower, upper = (np.broadcast_to(np.asarray(b, float), x0.shape).copy() for b in (lower, upper))
    watched = Watched(fun, lower, upper)
    bounds = Bounds(lower.ravel(), upper.ravel())
    result = qnsolve.minimize(
        watched, x0, jac=True, method=method, bounds=bounds, options=options or None
    )
    assert watched.outside == 0
    assert watched.calls == result.nfev
    x, g = result.x, result.jac
    assert ((x >= lower) & (x <= upper)).all()
    low, high = x == lower, x == upper
    assert set(np.unique(result.active)) <= {-1.0, 0.0, 1.0}
    np.testing.assert_array_equal(result.active != 0.0, low | high)
    held = (low & (g >= 0.0)) | (high & (g <= 0.0)) | (low & high)
    np.testing.assert_array_equal(result.multipliers, np.where(held, g, 0.0))
    moved = np.clip(-g, lower - x, upper - x)
    if result.status == Status.GTOL:
        assert np.abs(moved).max() <= options.get("gtol", 1e-5)
    return result


@pytest.mark.parametrize("method", METHODS)
class TestEdges:
    def test_a_bound_that_is_felt(self, method):
        result = run(rosenbrock, np.zeros(10), -0.5, 0.8, method)
        assert result.success and result.active[0] == 1.0 and result.multipliers[0] < 0.0

    def test_bounds_that_are_not_felt(self, method):
        result = run(rosenbrock, np.zeros(4), [-np.inf, -9.0, -np.inf, -9.0], 9.0, method)
        assert result.success and not result.active.any()
        np.testing.assert_allclose(result.x, 1.0, atol=1e-3)

    def test_all_fixed(self, method):
        result = run(rosenbrock, np.full(4, 0.3), 0.3, 0.3, method)
        assert (result.status, result.nfev) == (Status.GTOL, 1)

    def test_one_fixed(self, method):
        result = run(rosenbrock, [0.0, 0.3, 0.0, 0.0], [-1, 0.3, -1, -1], [1, 0.3, 1, 1], method)
        assert result.success and result.x[1] == 0.3

    def test_concave(self, method):
        result = run(lambda x: (-0.5 * x @ x, -x), [0.1, -0.2, 0.3], -1.0, 2.0, method)
        np.testing.assert_array_equal(result.x, [2.0, -1.0, 2.0])

    def test_linear(self, method):
        result = run(lambda x: (x.sum(), np.ones(5)), np.zeros(5), -3.0, 7.0, method)
        np.testing.assert_array_equal(result.x, -3.0)

    def test_one_variable(self, method):
        def fun(x):
            return float((x**4 - x).sum()), 4.0 * x**3 - 1.0

        assert run(fun, [-2.0], -3.0, 0.5, method).x == 0.5

    def test_a_box_of_two_numbers_a_side(self, method):
        result = run(rosenbrock, np.full(3, 0.3), 0.3, np.nextafter(0.3, 1.0), method)
        assert result.status in (Status.GTOL, Status.AS_FAR_AS_KNOWN)

    def test_a_degenerate_vertex(self, method):
        """The gradient is zero where the bounds are."""
        result = run(lambda x: (0.5 * float(x @ x), x.copy()), np.ones(5), 0.0, 2.0, method)
        np.testing.assert_allclose(result.x, 0.0, atol=1e-5)

    def test_a_region_without_values(self, method):
        def fun(x):
            return (np.nan, np.full(2, np.nan)) if x[0] > 0.9 else rosenbrock(x)

        result = run(fun, [-1.2, 0.7], -2.0, 0.8, method)
        assert result.success and result.x[0] == 0.8

    def test_a_start_without_values(self, method):
        result = run(lambda x: (np.nan, np.zeros(2)), [0.0, 1.0], -1.0, 1.0, method)
        assert result.status == Status.NON_FINITE_START and result.active[1] == 1.0

    def test_unbounded_below(self, method):
        result = run(lambda x: (-(x**4).sum(), -4.0 * x**3), np.ones(3), 0.0, np.inf, method)
        assert result.status == Status.UNBOUNDED

    @pytest.mark.parametrize("unit", [1e200, 1e-200])
    def test_units_at_the_ends_of_the_range(self, method, unit):
        if method == "lsr1-arc" and unit < 1.0:
            pytest.skip("the least weight is beyond this unit with and without bounds")

        def fun(x):
            return unit * ((x - 1.0) ** 2).sum(), 2.0 * unit * (x - 1.0)

        result = run(fun, np.zeros(5), -3.0, 0.5, method, gtol=1e-5 * min(unit, 1.0))
        np.testing.assert_array_equal(result.x, 0.5)

    def test_any_shape(self, method):
        result = run(lambda x: (((x - 1.0) ** 2).sum(), 2.0 * (x - 1.0)), np.zeros((2, 3)), -3, 0.5)
        assert result.x.shape == result.active.shape == result.multipliers.shape == (2, 3)


@pytest.mark.parametrize("method", METHODS)
@given(
    n=st.integers(1, 25),
    seed=st.integers(0, 2**32 - 1),
    least=st.sampled_from([1e-2, -1.0]),
)
def test_quadratics_in_random_boxes(method, n, seed, least):
    """Indefinite ones too, where every direction ends; some bounds are equal, some infinite."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    H = (Q * np.append(10.0 ** rng.uniform(-2.0, 2.0, n - 1), least)) @ Q.T
    b = rng.normal(size=n)
    lower, upper = -rng.choice([0.0, 0.1, 1.0, 3.0], n), rng.choice([0.0, 0.1, 1.0, 3.0], n)
    if least > 0.0:
        lower[rng.random(n) < 0.2] = -np.inf
        upper[rng.random(n) < 0.2] = np.inf
        lower[0] = -3.0  # where nothing is bounded the result has no fields of bounds

    def fun(x):
        Hx = H @ x
        return 0.5 * float(x @ Hx) - float(b @ x), Hx - b

    x0 = np.clip(rng.normal(size=n), lower, upper)
    result = run(fun, x0, lower, upper, method)
    assert result.success
    assert result.fun <= fun(x0)[0] + 1e3 * EPS * np.abs(H).sum()


@pytest.mark.parametrize("method", METHODS)
def test_infinite_bounds_are_none(method):
    """Bit for bit, and nothing of bounds is in the result."""
    x0 = np.zeros(12)
    plain = qnsolve.minimize(rosenbrock, x0, jac=True, method=method)
    for bounds in ([(None, None)] * 12, Bounds(-np.inf, np.inf)):
        same = qnsolve.minimize(rosenbrock, x0, jac=True, method=method, bounds=bounds)
        assert np.array_equal(plain.x, same.x) and plain.nfev == same.nfev
        assert set(plain) == set(same)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_goes_on_from_its_checkpoint_bit_for_bit(method, tmp_path):
    n = 30
    lower, upper = np.full(n, -1.5), np.full(n, 0.5)
    lower[::7], upper[::5], upper[3] = -np.inf, np.inf, -1.5

    def fun(x):
        return rosen(x) + np.cos(x).sum(), rosen_der(x) - np.sin(x)

    def iterates(stop=None, **options):
        seen = []

        def note(intermediate_result):
            seen.append(intermediate_result.x.copy())
            if len(seen) == stop:
                raise StopIteration

        x0, bounds = np.clip(np.full(n, -1.0), lower, upper), Bounds(lower, upper)
        options = {"gtol": 1e-8, **options}
        qnsolve.minimize(
            fun, x0, jac=True, method=method, bounds=bounds, callback=note, options=options
        )
        return seen

    whole = iterates()
    for stop in (1, 4, len(whole) // 2):
        path = tmp_path / f"{stop}"
        parts = iterates(stop, checkpoint=path) + iterates(checkpoint=path)
        assert len(parts) == len(whole)
        assert all(np.array_equal(a, b) for a, b in zip(parts, whole, strict=True))


def test_a_checkpoint_of_other_bounds_is_refused(tmp_path):
    options = {"checkpoint": tmp_path / "run", "maxiter": 2}
    for bounds, refused in ((Bounds(-1, 0.5), False), (Bounds(-1, 0.6), True), (None, True)):
        if refused:
            with pytest.raises(ValueError, match="of a run with bounds"):
                qnsolve.minimize(rosenbrock, np.zeros(4), jac=True, bounds=bounds, options=options)
        else:
            qnsolve.minimize(rosenbrock, np.zeros(4), jac=True, bounds=bounds, options=options)


def test_history_and_callback_measure_the_gradient_in_the_box():
    seen = []

    def note(intermediate_result):
        seen.append(intermediate_result.gnorm)

    bounds = Bounds(-1.0, 0.5)
    result = qnsolve.minimize(
        rosenbrock, np.zeros(4), jac=True, bounds=bounds, callback=note, options={"history": True}
    )
    assert [record["gnorm"] for record in result.history] == seen
    assert seen[-1] <= 1e-5 < np.abs(result.jac).max()


@pytest.mark.parametrize("method", METHODS)
def test_array_libraries(method, xp):
    """The same run as in NumPy, to rounding."""
    n = 30
    rng = np.random.default_rng(1)
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    H, b = (Q * np.geomspace(0.1, 100.0, n)) @ Q.T, 5.0 * rng.normal(size=n)

    def minimise(library):
        Hx, bx = library.asarray(H), library.asarray(b)

        def fun(x):
            g = Hx @ x - bx
            return 0.5 * (x @ (g - bx)), g

        x0 = library.asarray(np.zeros(n))
        return qnsolve.minimize(fun, x0, jac=True, method=method, bounds=Bounds(-0.5, 0.3))

    class Host:
        asarray = staticmethod(np.asarray)

    there, here = minimise(xp), minimise(Host)
    assert there.success and here.success
    np.testing.assert_allclose(float(there.fun), float(here.fun), rtol=1e-9)


@pytest.mark.parametrize("option", ["first_step", "matrix", "norm"])
def test_what_does_not_go_with_bounds_is_refused(option):
    value = "shape-2" if option == "norm" else lambda *_: None
    with pytest.raises(ValueError, match=f"with bounds the option {option} is not supported"):
        qnsolve.minimize(
            lambda x: pytest.fail("evaluated"),
            np.zeros(2),
            jac=True,
            bounds=Bounds(0.0, 1.0),
            options={option: value},
        )
