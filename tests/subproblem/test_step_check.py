"""Verdicts on steps: how good one is, whatever made it and however its matrix is known."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from qnsolve import (
    LSR1,
    DiagonalNorm,
    PartialSpectrum,
    QuadraticModel,
    ScaledMatrix,
    solve_cubic,
    solve_trs,
    steihaug_cg,
    verify,
)
from qnsolve.subproblem.step_check import Verdict
from tests.oracles.duality import cubic_bound, trust_region_bound
from tests.strategies import log_uniform, orthogonal, radii, seeds, spectral_cases, weights
from tests.subproblem.test_certificate import REGIONS, forgiven, model_value, wide
from tests.tolerances import EPS, model_tolerance

CUBICS = ("l2", "shape")
BY_LANCZOS = 1e-6
"""A share of the decrease that the bound by products may leave: the Lanczos process stops at a
residual of 1.5e-8, which near the hard case is the decrease's relative error too."""


def drawn(seed, n=None):
    """Return g and a dense indefinite B."""
    rng = np.random.default_rng(seed)
    n = n or int(rng.integers(1, 9))
    A = rng.standard_normal((n, n))
    return rng.standard_normal(n), A + A.T


# The multiplier is fitted everywhere --------------------------------------------------------------


@given(seeds(), radii(), st.sampled_from(REGIONS), log_uniform(1e-9, 0.5))
def test_a_short_step_is_told_how_short(seed, radius, norm, by):
    g, B = drawn(seed)
    exact = solve_trs(g, B, radius, norm=norm)
    check = verify.check_trs(g, B, radius, (1.0 - by) * exact.step, norm=norm)
    # What a step misses that is short by a part t is t^2 of what B + C is on it, and 2 t - t^2 of
    # what the multipliers are, of a decrease that is the sum of both.
    assert by**2 * (1 - 1e-6) - 1e-12 <= check.gap <= 2.0 * by * (1 + 1e-6) + 1e-12
    if norm != "shape-inf":
        assert check.stationarity <= by + 1e-12
        assert check.worst <= 2.0 * by * (1 + 1e-6) + 1e-9
    assert check.verdict is (Verdict.EXACT if check.worst <= EPS**0.5 else Verdict.INEXACT)


def test_a_step_within_a_millionth_of_the_radius():
    """The distance at which multipliers used to be taken for zero."""
    for seed in range(50):
        g, B = drawn(seed, 6)
        exact = solve_trs(g, B, 0.5)
        for share in (1.0 - 0.9e-6, 1.0 - 1.1e-6, 1.0 - 2e-6, 1.0 - 1e-3):
            check = verify.check_trs(g, B, 0.5, share * exact.step)
            assert check.worst <= 2.5 * (1.0 - share)
            np.testing.assert_allclose(check.multipliers, exact.multipliers, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("norm", REGIONS)
def test_an_interior_minimiser_far_from_the_radius_is_exact(norm):
    g, B = np.array([1.0, 1e-20, 3.0]), np.diag([1.0, 2.0, 5.0])
    for radius in (10.0, 1e8, 1e100):
        check = verify.check_trs(g, B, radius, -g / np.diag(B), norm=norm)
        assert check.worst <= 1e-15
        assert check.verdict is Verdict.EXACT


# The fraction of the greatest decrease ------------------------------------------------------------


@given(wide(), radii(), seeds(), log_uniform(1e-8, 1.0))
def test_the_fraction_is_that_of_the_dual_bound(problem, radius, seed, size):
    """Not only no less than what is missed, but just that."""
    lam, g = problem
    rng = np.random.default_rng(seed)
    step = solve_trs(g, np.diag(lam), radius).step
    step = step * (1.0 + size * rng.standard_normal(len(step)))
    step *= min(1.0, radius / np.linalg.norm(step))
    best = trust_region_bound(lam, g, radius).value
    value, terms = model_value(lam, g, step)
    check = verify.check_trs(g, np.diag(lam), radius, step)
    noise = 256 * EPS * float(terms) / abs(best)
    share = float(value / best)
    left_out = max(
        forgiven(lam, g, step, radius, multiplier)
        for multiplier in (trust_region_bound(lam, g, radius).multiplier, check.multipliers[0])
    )
    assert check.fraction <= max(0.0, share) * (1.0 + 1e-6) + noise + left_out / abs(best)
    assert check.fraction >= share - 1e-6 * abs(share) - noise
    assert check.decrease == pytest.approx(-float(value), abs=64 * EPS * float(terms))


@given(spectral_cases(), weights(), seeds(), log_uniform(1e-6, 1.0))
def test_the_fraction_of_the_cubic_is_that_of_the_dual_bound(case, weight, seed, size):
    lam, a = case.diagonal()[1].diagonal(), case.diagonal()[0]
    step = solve_cubic(a, np.diag(lam), weight, norm="l2").step
    step = step * (1.0 + size * np.random.default_rng(seed).standard_normal(len(step)))
    best = cubic_bound(lam, a, weight).value
    if best == 0.0:
        return
    value, terms = model_value(lam, a, step, weight)
    check = verify.check_cubic(a, np.diag(lam), weight, step, norm="l2")
    noise = 256 * EPS * float(terms) / abs(best)
    assert check.fraction <= max(0.0, float(value / best)) * (1.0 + 1e-6) + noise


def trust_exact(g, B, radius):
    """Return the step of SciPy's More-Sorensen solver: one iteration on the model itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return minimize(
            lambda x: g @ x + 0.5 * x @ B @ x,
            np.zeros(len(g)),
            jac=lambda x: g + B @ x,
            hess=lambda x: B,
            method="trust-exact",
            options={
                "initial_trust_radius": radius,
                "max_trust_radius": 2.0 * radius,
                "maxiter": 1,
                "eta": 0.0,
                "gtol": 0.0,
            },
        ).x


def test_answers_of_scipy_that_are_good_are_not_called_wrong():
    """It stops at a length that is right to a tenth; so do its answers."""
    rng = np.random.default_rng(0)
    for seed in range(300):
        g, B = drawn(seed, int(rng.integers(2, 21)))
        radius = 10 ** rng.uniform(-2, 1)
        step, greatest = trust_exact(g, B, radius), solve_trs(g, B, radius).decrease
        share = -(g @ step + 0.5 * step @ B @ step) / greatest
        check = verify.check_trs(g, B, radius, step)
        if share > 0.9:
            assert check.verdict in (Verdict.EXACT, Verdict.INEXACT)
        if check.feasibility == 0.0:
            assert check.fraction == pytest.approx(share, rel=1e-10)
        else:
            assert check.feasibility == pytest.approx(np.linalg.norm(step) / radius - 1.0)


# The other figures --------------------------------------------------------------------------------


@given(seeds(), radii(), st.sampled_from(REGIONS))
def test_the_cauchy_point_has_a_ratio_of_one(seed, radius, norm):
    g, B = drawn(seed)
    U = np.linalg.eigh(B)[1]
    longest = np.linalg.norm(g) if norm != "shape-inf" else np.abs(U.T @ g).max()
    curvature = g @ B @ g
    length = radius / longest
    if curvature > 0.0:
        length = min(length, g @ g / curvature)
    check = verify.check_trs(g, B, radius, -length * g, norm=norm)
    assert check.cauchy == pytest.approx(1.0, rel=1e-9)
    assert verify.check_trs(g, B, radius, -0.05 * length * g, norm=norm).verdict in (
        Verdict.INEXACT,
        Verdict.INSUFFICIENT,
    )
    if curvature > 0.0:
        assert verify.check_trs(g, B, radius, 0.5 * length * g, norm=norm).cauchy < 0.0
    exact = solve_trs(g, B, radius, norm=norm).step
    assert verify.check_trs(g, B, radius, exact, norm=norm).cauchy >= 1.0 - 1e-9


@given(seeds(), weights(), st.sampled_from(CUBICS))
def test_the_cauchy_point_of_a_cubic_has_a_ratio_of_one(seed, weight, norm):
    g, B = drawn(seed)
    U = np.linalg.eigh(B)[1]
    cubes = (np.abs(U.T @ g) ** 3).sum() if norm == "shape" else np.linalg.norm(g) ** 3
    # g'g = t g'Bg + t^2 w ||g||^3
    b, c = g @ B @ g, weight * cubes
    root = np.sqrt(b * b + 4.0 * c * (g @ g))
    t = 2.0 * (g @ g) / (b + root) if b > 0.0 else (root - b) / (2.0 * c)
    check = verify.check_cubic(g, B, weight, -t * g, norm=norm)
    assert check.cauchy == pytest.approx(1.0, rel=1e-8)


def test_verdicts():
    g, B = np.array([1.0, 0.5]), np.diag([1.0, -1.0])
    exact = solve_trs(g, B, 1.0).step
    for step, verdict in (
        (exact, Verdict.EXACT),
        (0.8 * exact, Verdict.INEXACT),
        (1.05 * exact, Verdict.INEXACT),
        (1.2 * exact, Verdict.INFEASIBLE),
        (0.01 * exact, Verdict.INSUFFICIENT),
        (0.0 * exact, Verdict.INSUFFICIENT),
        (np.array([0.5, 0.0]), Verdict.UPHILL),
        (np.array([np.nan, 0.0]), Verdict.NOTHING),
    ):
        assert verify.check_trs(g, B, 1.0, step).verdict is verdict
        assert verify.check_trs(g, lambda v: B @ v, 1.0, step).verdict is verdict


def test_what_has_no_minimiser():
    """With power 2 and too little weight every step misses everything."""
    g, B = np.array([1.0, 0.5]), np.diag([1.0, -1.0])
    check = verify.check_cubic(g, B, 0.5, np.array([-1.0, -1.0]), norm="l2", power=2.0)
    assert check.fraction == 0.0
    assert check.verdict is Verdict.INEXACT
    # Along -g, too: without a Cauchy point.
    check = verify.check_cubic(g, -B, 0.1, np.array([-1.0, -1.0]), norm="l2", power=2.0)
    assert (check.fraction, check.cauchy) == (0.0, 0.0)


def test_a_saddle_of_the_model_has_nothing_of_the_decrease():
    check = verify.check_trs(np.zeros(2), np.diag([1.0, -1.0]), 1.0, np.zeros(2))
    assert (check.fraction, check.cauchy, check.verdict) == (0.0, 1.0, Verdict.INEXACT)
    down = verify.check_trs(np.zeros(2), np.diag([1.0, -1.0]), 1.0, np.array([0.0, 0.5]))
    assert (down.fraction, down.cauchy) == (0.25, np.inf)


def test_a_check_says_it_in_a_sentence():
    check = verify.check_trs(np.array([-1.0]), np.eye(1), 10.0, np.array([0.5]))
    assert str(check).startswith(f"{Verdict.INEXACT.value}: at least 0.75 of the greatest decrease")
    for figure in ("0.75 times that to the Cauchy point", "stationarity", "smallest eigenvalue"):
        assert figure in str(check)


def test_digits_are_those_of_the_vectors():
    """A step that was computed in float32 is exact to its digits, and no wrong one is."""
    g, B = drawn(5, 6)
    step = solve_trs(g, B, 1.0).step
    narrow = verify.check_trs(g, B, 1.0, step.astype(np.float32))
    assert 1e-9 < narrow.worst <= 1e-6
    assert narrow.verdict is Verdict.EXACT
    assert verify.check_trs(g, B, 1.0, 0.99 * step.astype(np.float32)).verdict is Verdict.INEXACT
    # Of a matrix in float32 lists have no more digits.
    compact = LSR1(6, memory=2, dtype=np.float32)
    compact.update(np.arange(6, dtype=np.float32), np.ones(6, np.float32))
    answer = solve_trs(g.astype(np.float32), compact, 1.0)
    assert verify.check_trs(list(g), compact, 1.0, answer.step.tolist()).verdict is Verdict.EXACT


# A matrix that is known by its products -----------------------------------------------------------


def within(step, radius, length=None):
    """Return the step, shortened to the radius where it is longer."""
    length = np.linalg.norm(step) if length is None else length
    return step * min(1.0, radius / length) if length else step


def products_of(B):
    yield scipy.sparse.csr_array(B)
    yield scipy.sparse.csc_matrix(B)
    yield aslinearoperator(B)
    yield lambda v: B @ v


@given(spectral_cases(kind="generic"), seeds(), seeds(), log_uniform(1e-8, 1.0))
def test_by_products_as_by_the_spectrum(case, seed, other, size):
    g, B, _ = case.rotated(seed)
    rng = np.random.default_rng(other)
    for check, solve in ((verify.check_trs, solve_trs), (verify.check_cubic, solve_cubic)):
        exact = solve(g, B, case.radius, norm="l2")
        step = exact.step * (1.0 + size * rng.standard_normal(case.n))
        if check is verify.check_trs:
            step = within(step, case.radius)
        dense = check(g, B, case.radius, step, norm="l2")
        found = check(g, lambda v: B @ v, case.radius, step, norm="l2")
        # The eigenvalues of a dense B are known to rounding only, and so is the greatest decrease.
        reach = np.linalg.norm(exact.step) + np.linalg.norm(step)
        sizes = np.linalg.norm(g), np.abs(case.eigenvalues).max(initial=abs(case.gamma)), reach
        close = BY_LANCZOS + 2.0 * model_tolerance(case.n, *sizes) / exact.decrease
        if dense.gap <= 1.0:
            assert found.gap == pytest.approx(dense.gap, rel=close, abs=close)
        else:
            assert 1.0 - close < found.gap <= dense.gap * (1.0 + close)
        assert found.feasibility == pytest.approx(dense.feasibility, abs=1e-12)


def test_every_kind_of_products():
    g, B = drawn(1, 12)
    step = 0.9 * solve_trs(g, B, 1.0).step
    wanted = verify.check_trs(g, B, 1.0, step)
    for operator in products_of(B):
        found = verify.check_trs(g, operator, 1.0, step)
        assert found.fraction == pytest.approx(wanted.fraction, rel=1e-6)
        assert found.cauchy == pytest.approx(wanted.cauchy, rel=1e-12)
        assert verify.check_trs(list(g), operator, 1.0, list(step)).fraction == found.fraction
        cubic = verify.check_cubic(g, operator, 1.0, step, norm="l2")
        dense = verify.check_cubic(g, B, 1.0, step, norm="l2")
        assert cubic.fraction == pytest.approx(dense.fraction, rel=1e-6)


def test_the_hard_case_by_products():
    """g has no part along the leftmost eigenvectors: only the search of the Lanczos process finds
    that a minimiser over the Krylov space of g is none."""
    rng = np.random.default_rng(0)
    U, lam = orthogonal(40, 0), np.concatenate([[-3.0, -3.0], rng.uniform(-1.0, 5.0, 38)])
    B, g = (U * lam) @ U.T, U[:, 2:] @ rng.standard_normal(38)
    operator, radius = aslinearoperator((B + B.T) / 2), 50.0
    exact = solve_trs(g, B, radius)
    assert exact.hard_case or exact.multipliers[0] == pytest.approx(3.0)
    assert verify.check_trs(g, operator, radius, exact.step).fraction >= 1.0 - 1e-6
    inside = U[:, 2:] @ (U[:, 2:].T @ exact.step)  # the minimiser there, nearly
    missed = verify.check_trs(g, operator, radius, inside)
    assert missed.fraction == pytest.approx(verify.check_trs(g, B, radius, inside).fraction, 1e-5)
    assert missed.fraction < 0.5


def test_a_thousand_variables_by_products():
    n = 1000
    d = np.cos(np.arange(n)) + 0.5
    B = scipy.sparse.diags_array([np.ones(n - 1), 4.0 * d, np.ones(n - 1)], offsets=[-1, 0, 1])
    g, products = np.sin(np.arange(1.0, n + 1)), []
    operator = LinearOperator((n, n), matvec=lambda v: (products.append(1), B @ v)[1], dtype=float)
    step = steihaug_cg(g, lambda v: B @ v, 5.0).step
    check = verify.check_trs(g, operator, 5.0, step)
    dense = verify.check_trs(g, B.toarray(), 5.0, step)
    assert check.fraction == pytest.approx(dense.fraction, rel=1e-5)
    assert check.cauchy == pytest.approx(dense.cauchy, rel=1e-9)
    assert len(products) <= 300


@given(seeds(), log_uniform(1e-2, 1e2))
def test_a_diagonal_norm_of_any_matrix(seed, radius):
    n = 8
    rng = np.random.default_rng(seed)
    metric = DiagonalNorm(10 ** rng.uniform(-1, 1, n))
    g, B = drawn(seed, n)
    step = solve_trs(g, B, radius, norm=metric).step * (1.0 + 0.1 * rng.standard_normal(n))
    step = within(within(step, radius, metric.norm(step)), radius)
    dense = verify.check_trs(g, B, radius, step, norm=metric)
    for operator in products_of(B):
        found = verify.check_trs(g, operator, radius, step, norm=metric)
        assert found.gap == pytest.approx(dense.gap, rel=1e-4, abs=1e-6)
    # A matrix whose spectrum is in another metric.
    compact = LSR1(n, memory=2)
    for _ in range(2):
        compact.update(*rng.standard_normal((2, n)))
    scaled = ScaledMatrix(PartialSpectrum.from_dense(B), metric)
    for matrix, norm in ((compact, metric), (scaled, "l2")):
        dense_matrix = matrix.to_dense()
        dense_matrix = (dense_matrix + dense_matrix.T) / 2
        found = verify.check_trs(g, matrix, radius, step, norm=norm)
        wanted = verify.check_trs(g, dense_matrix, radius, step, norm=norm)
        assert found.fraction == pytest.approx(wanted.fraction, rel=1e-4, abs=1e-6)


def test_a_matrix_that_is_not_symmetric_is_refused():
    g, B = drawn(2, 9)
    B[0, 1] += 1.0
    with pytest.raises(ValueError, match="symmetric"):
        verify.check_trs(g, B, 1.0, g)
    with pytest.raises(ValueError, match="B must be symmetric: with v a random vector"):
        verify.check_trs(g, scipy.sparse.csr_array(B), 1.0, np.arange(9.0))


# What B may be ------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", REGIONS)
def test_dense_matrices_of_every_kind(norm, xp):
    xp, device = xp.namespace, xp.device
    g, B = np.array([1.0, -2.0]), [[1.0, 2.0], [2.0, -1.0]]
    step = solve_trs(g, np.array(B), 1.0, norm=norm).step
    wanted = verify.check_trs(g, np.array(B), 1.0, step, norm=norm)
    assert wanted.verdict is Verdict.EXACT
    there = xp.asarray(B, dtype=xp.float64, device=device)
    s_there = xp.asarray(step.tolist(), dtype=xp.float64, device=device)
    for matrix in (B, tuple(map(tuple, B)), np.array(B, dtype=int), there):
        for s in (step, list(step), s_there):
            assert verify.check_trs(g, matrix, 1.0, s, norm=norm) == wanted


def test_a_compact_matrix_of_another_library_takes_numpy(xp):
    xp, device = xp.namespace, xp.device
    like = xp.zeros(4, dtype=xp.float64, device=device)
    B = LSR1(4, like=like)
    s = xp.asarray([1.0, 2.0, 0.0, 1.0], dtype=xp.float64, device=device)
    B.update(s, xp.asarray([1.0, -1.0, 0.5, 1.0], dtype=xp.float64, device=device))
    g = [1.0, 0.5, -1.0, 2.0]
    step = solve_trs(xp.asarray(g, dtype=xp.float64, device=device), B, 1.0).step
    host = np.array([float(step[i]) for i in range(4)])
    for given_step in (step, host, list(host)):
        assert verify.check_trs(g, B, 1.0, given_step).verdict is Verdict.EXACT


@pytest.mark.parametrize(
    ("B", "error", "message"),
    [
        (None, TypeError, "B must be a matrix of qnsolve, .* got NoneType"),
        ("eye", TypeError, "B must be a matrix of qnsolve, .* got str"),
        ([[1.0, 0.0], [0.0]], ValueError, "square matrix, got lists of several lengths"),
        ([1.0, 0.0], ValueError, "B must be a square matrix, got shape"),
        (np.ones((2, 3)), ValueError, "B must be a square matrix"),
        (scipy.sparse.csr_array(np.ones((2, 3))), ValueError, r"square matrix, got csr_array"),
        (scipy.sparse.csr_array(1j * np.eye(2)), TypeError, "B must be real"),
        (np.eye(3), ValueError, "g must have shape"),
        (scipy.sparse.eye_array(3), ValueError, "g must have shape"),
    ],
)
def test_what_is_no_matrix_is_refused(B, error, message):
    with pytest.raises(error, match=message):
        verify.check_trs(np.ones(2), B, 1.0, np.ones(2))


def test_shape_norms_need_the_eigenvectors():
    for operator in products_of(np.eye(2)):
        with pytest.raises(ValueError, match="from products they are not known: give a dense B"):
            verify.check_trs(np.ones(2), operator, 1.0, np.ones(2), norm="shape-inf")
        with pytest.raises(ValueError, match="from products they are not known: give a dense B"):
            verify.check_cubic(np.ones(2), operator, 1.0, np.ones(2))
        with pytest.raises(TypeError, match="norm must be a name or a DiagonalNorm"):
            verify.check_trs(np.ones(2), operator, 1.0, np.ones(2), norm=2)


# The split of a shape norm ------------------------------------------------------------------------


@given(spectral_cases(kind="generic"), seeds())
def test_a_basis_is_the_split_of_the_norm(case, seed):
    """The answers of a limited-memory matrix, judged on the dense form of it."""
    g, B, U = case.rotated(seed)
    r = len(case.eigenvalues)
    basis = np.ascontiguousarray(U[:, :r].T).reshape(r, case.n)
    model = QuadraticModel(g, PartialSpectrum.from_basis(case.gamma, case.eigenvalues, basis))
    for norm in ("shape-inf", "shape-2"):
        step = model.trust_region(case.radius, norm).step
        check = verify.check_trs(g, B, case.radius, step, norm=norm, basis=basis)
        assert check.worst <= 1e-9
    step = model.regularised(case.radius, "shape").step
    assert verify.check_cubic(g, B, case.radius, step, basis=basis).worst <= 1e-9


def test_without_the_basis_a_right_answer_fails():
    rng = np.random.default_rng(0)
    B = LSR1(30, memory=5)
    for _ in range(5):
        s = rng.standard_normal(30)
        B.update(s, np.cos(np.arange(30)) * s)
    g, dense = rng.standard_normal(30), B.to_dense()
    dense = (dense + dense.T) / 2
    spectrum = B.spectrum()
    basis = np.array([spectrum.lift(e, 0.0, g, 0.0 * e) for e in np.eye(5)])
    for norm in ("shape-inf", "shape-2"):
        step = solve_trs(g, B, 0.2, norm=norm).step
        # All 30 eigenvectors apart, or all together: of those regions it is no minimiser.
        assert verify.check_trs(g, dense, 0.2, step, norm=norm).worst > 0.1
        assert verify.check_trs(g, dense, 0.2, step, norm=norm, basis=basis).worst <= 1e-11
        assert verify.check_trs(g, B, 0.2, step, norm=norm).worst <= 1e-11


def test_what_is_no_basis_of_the_matrix_is_refused():
    B, g = np.diag([1.0, 2.0, 2.0]), np.ones(3)

    def check(basis, B=B, norm="shape-2"):
        return verify.check_trs(g, B, 1.0, g, norm=norm, basis=basis)

    assert check(np.eye(3)[:1]).feasibility > 0.0
    assert check(np.eye(3)).feasibility == 0.0 or True
    with pytest.raises(ValueError, match="B must have the rows of basis for eigenvectors"):
        check(np.eye(3)[1:2])  # off it B is no multiple of the identity
    with pytest.raises(ValueError, match="B must have the rows of basis for eigenvectors"):
        check(np.array([[0.6, 0.8, 0.0]]))
    with pytest.raises(ValueError, match="rows of basis must be orthonormal"):
        check(np.array([[2.0, 0.0, 0.0]]))
    with pytest.raises(ValueError, match=r"basis must have shape \(r, 3\)"):
        check(np.eye(2))
    for matrix, norm in ((LSR1(3), "shape-2"), (B, "l2"), (aslinearoperator(B), "shape-2")):
        with pytest.raises(ValueError, match="basis is for a dense B"):
            check(np.eye(3)[:1], matrix, norm)
