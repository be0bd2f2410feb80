"""The model in a box, against dense answers that share no code with it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsolve import PartialSpectrum
from qnsolve.quasi_newton.faces import Basis, on_face
from qnsolve.subproblem.box import BoxedModel, BoxedStep
from qnsolve.subproblem.model import SubproblemResult
from qnsolve.subproblem.regions import Regularisation, TrustRegion
from tests.oracles import box as oracle
from tests.oracles.dense import trust_region_l2

EPS = float(np.finfo(float).eps)


class Case:
    """A spectrum that is drawn first, and a box around zero with degenerate sides."""

    def __init__(self, n, r, seed, scale=1.0):
        rng = np.random.default_rng(seed)
        self.n, self.free = n, np.ones(n, dtype=bool)
        U = np.linalg.qr(rng.normal(size=(n, n)))[0][:, :r]
        eigenvalues = rng.choice([-2.0, 0.0, 1e-3, 1.0, 3.0, 50.0], r)
        self.gamma = float(rng.choice([-1.0, 0.1, 1.0, 20.0]))
        self.spectrum = PartialSpectrum.from_basis(self.gamma, eigenvalues, U.T.copy())
        self.B = self.gamma * (np.eye(n) - U @ U.T) + (U * eigenvalues) @ U.T
        self.g = scale * rng.choice([-3.0, -1.0, -1e-3, 0.0, 1e-3, 1.0, 3.0], n)
        sides = np.array([0.0, 1e-3, 0.1, 1.0, 5.0, np.inf])
        self.lower, self.upper = -rng.choice(sides, n), rng.choice(sides, n)
        self.radius = float(rng.choice([1e-3, 0.3, 2.0, 100.0]))

    @property
    def model(self):
        return BoxedModel(self.g, self.spectrum, self.lower, self.upper, self.free)

    def rounding(self, length):
        """Rounding error of a value of the model at a step of that length."""
        size = np.abs(self.spectrum.all_eigenvalues).max() + abs(self.gamma)
        return 1e3 * self.n * EPS * (np.linalg.norm(self.g) * length + size * length**2)


sizes = st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
cases = st.builds(lambda size, seed: Case(*size, seed), sizes, st.integers(0, 2**32 - 1))


def inside(case, s):
    return bool(((s >= case.lower) & (s <= case.upper)).all())


@given(cases)
def test_a_step_is_inside_and_as_good_as_the_path(case):
    step = case.model.minimise(TrustRegion(case.radius))
    s = np.asarray(step.step)
    assert inside(case, s)
    length = np.linalg.norm(s)
    assert length <= case.radius * (1.0 + 1e-6)
    assert step.length == pytest.approx(length, rel=1e-7, abs=1e-300)
    value = oracle.model(case.g, case.B, s)
    assert abs(value + step.decrease) <= case.rounding(length)
    cauchy = oracle.cauchy_point(case.g, case.B, case.lower, case.upper, case.radius)
    assert value <= oracle.model(case.g, case.B, cauchy) + case.rounding(case.radius)


@given(cases)
def test_no_step_is_below_the_global_minimum(case):
    case.lower, case.upper = np.maximum(case.lower, -2.0), np.minimum(case.upper, 2.0)
    step = case.model.minimise(TrustRegion(100.0))
    least, _ = oracle.global_minimum(case.g, case.B, case.lower, case.upper)
    assert -step.decrease >= least - case.rounding(2.0 * case.n)


@given(cases)
def test_the_first_step_of_the_path_is_the_oracles(case):
    """The number of faces is the only thing that is left out here."""
    model = case.model
    norm = model.gradient_norm
    if norm == 0.0:
        return
    origin = model.at(np.zeros(case.n))
    with np.errstate(divide="ignore"):
        found, stopped = model._along(
            origin, -case.g / norm, -model._products / norm, math.inf, TrustRegion(case.radius)
        )
    wanted = oracle.cauchy_point(case.g, case.B, case.lower, case.upper, case.radius)
    room = case.rounding(case.radius)
    assert inside(case, found.step)
    assert abs(oracle.model(case.g, case.B, found.step) - oracle.model(case.g, case.B, wanted)) <= (
        room
    )
    at = model.at(found.step)
    for name in ("slope", "square", "par"):
        np.testing.assert_allclose(getattr(found, name), getattr(at, name), rtol=1e-9, atol=1e-12)
    reached = (found.step != 0.0) & ((found.step == case.lower) | (found.step == case.upper))
    assert stopped or not reached.any()


@given(cases)
def test_without_bounds_it_is_the_trust_region(case):
    case.lower, case.upper = np.full(case.n, -np.inf), np.full(case.n, np.inf)
    step = case.model.minimise(TrustRegion(case.radius))
    assert isinstance(step, SubproblemResult)
    dense = trust_region_l2(case.g, case.B, case.radius)
    assert abs(step.decrease - dense.decrease) <= case.rounding(case.radius)


@given(cases)
def test_a_face_is_the_matrix_without_what_is_held(case):
    rng = np.random.default_rng(case.n)
    free = rng.random(case.n) < 0.6
    size = int(free.sum())
    if not size:
        return
    face = Basis.face(case.spectrum, case.free).within(free, size)
    found = on_face(case.spectrum, face)
    assert found.complement_dim == size - found.rank >= 0
    dense = case.B[np.ix_(free, free)]
    wanted = np.linalg.eigvalsh(dense)
    all_of_it = np.append(found.eigenvalues, np.full(found.complement_dim, case.gamma))
    scale = np.abs(case.spectrum.all_eigenvalues).max() + abs(case.gamma)
    np.testing.assert_allclose(np.sort(all_of_it), wanted, rtol=0, atol=1e-6 * scale)
    v = np.where(free, rng.normal(size=case.n), 0.0)
    product = found.lift(
        found.eigenvalues * found.project(v)[0], found.gamma, v, found.project(v)[0]
    )
    np.testing.assert_allclose(product[free], dense @ v[free], rtol=0, atol=1e-5 * scale)
    assert not product[~free].any()


@given(cases, st.sampled_from([1e-2, 1.0, 100.0]))
def test_a_weight_in_place_of_the_radius(case, weight):
    term = Regularisation(weight)
    step = case.model.minimise(term)
    s = np.asarray(step.step)
    assert inside(case, s)
    length = np.linalg.norm(s)
    value = oracle.model(case.g, case.B, s) + weight / 3.0 * length**3
    assert abs(value + step.decrease) <= case.rounding(length) + 1e-12 * weight * length**3
    # No worse than the Cauchy points within any radius, of which one is that of the weight.
    for radius in (0.1 * length, length):
        if radius:
            c = oracle.cauchy_point(case.g, case.B, case.lower, case.upper, radius)
            bound = oracle.model(case.g, case.B, c) + weight / 3.0 * np.linalg.norm(c) ** 3
            assert value <= bound + case.rounding(length) + 1e-9 * abs(bound)


def test_a_convex_separable_model_is_solved_exactly():
    """Each variable goes to its own minimiser, or to the bound before it."""
    n = 500
    rng = np.random.default_rng(0)
    g, lower, upper = rng.normal(size=n), -rng.uniform(0, 2, n), rng.uniform(0, 2, n)
    spectrum = PartialSpectrum(2.0, np.empty(0), Case(n, 0, 0).spectrum.rows, np.zeros((0, 0)))
    model = BoxedModel(g, spectrum, lower, upper, np.ones(n, dtype=bool))
    step = model.minimise(TrustRegion(1e6))
    assert isinstance(step, BoxedStep)
    np.testing.assert_allclose(step.step, np.clip(-g / 2.0, lower, upper), rtol=1e-12)
