"""The dense oracles in other norms: conditions of optimality, blind search, and limits."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.linalg import norm
from scipy.optimize import minimize

from tests.oracles import dense
from tests.oracles.dense_shape import (
    _real_roots,
    cubic_diagonal,
    cubic_shape,
    trust_region_diagonal,
    trust_region_shape_2,
    trust_region_shape_inf,
)
from tests.strategies import (
    HARD_CASES,
    NAMED_CASES,
    log_uniform,
    named_case,
    orthogonal,
    seeds,
    spectral_cases,
    weights,
)
from tests.tolerances import (
    DESCENT_RTOL,
    EPS,
    SECULAR_ROUNDINGS,
    SPECTRAL_GAP_RTOL,
    block_tolerance,
    curvature_tolerance,
    model_tolerance,
    stationarity_tolerance,
)

NAMED_WEIGHT = 0.1
SHAPES = [trust_region_shape_inf, trust_region_shape_2, cubic_shape]
STARTS = 60


def block_lengths(solve, V, r, s):
    """Return the lengths of the blocks of s, where the first r columns of V are the eigenvectors.

    Several steps may be given in rows.
    """
    v, rest = np.split(s @ V, [r], axis=-1)
    inside = norm(v, axis=-1, keepdims=True) if solve is trust_region_shape_2 else np.abs(v)
    return np.concatenate([inside, norm(rest, axis=-1, keepdims=True)], axis=-1)


def check(solve, g, B, V, r, parameter):
    """Return the solution, after the conditions that make it a global minimiser.

    All columns of V are eigenvectors of B; the first r of them are those of the norm.
    """
    solution = solve(g, B, V[:, :r], parameter)
    s, n = solution.step, g.size
    inside, outside = solution.multiplier[:-1], solution.multiplier[-1]
    assert inside.size == (1 if solve is trust_region_shape_2 else r)
    shifts = np.append(np.broadcast_to(inside, r), np.full(n - r, outside))
    norm_g, norm_B, norm_s = norm(g), norm(B, 2), norm(s)

    residual = norm(B @ s + V @ (shifts * (V.T @ s)) + g)
    assert residual <= stationarity_tolerance(n, norm_g, norm_B, max(shifts), norm_s)
    eigenvalues = np.diag(V.T @ B @ V)
    assert np.min(eigenvalues + shifts) >= -curvature_tolerance(n, norm_B)
    assert np.min(solution.multiplier) >= 0 and solution.decrease >= 0

    lengths = block_lengths(solve, V, r, s)
    value = g @ s + s @ B @ s / 2
    if solve is cubic_shape:
        value += parameter * np.sum(lengths**3) / 3
        scale = solution.multiplier + norm_B + parameter * norm_s
        mismatch = np.abs(parameter * lengths - solution.multiplier)
        assert np.all(mismatch <= SECULAR_ROUNDINGS * n * EPS * scale)
    else:
        assert np.all(lengths <= parameter * (1 + block_tolerance(n)))
        active = solution.multiplier > 0
        assert np.all(lengths[active] >= parameter * (1 - block_tolerance(n)))
    assert abs(value + solution.decrease) <= model_tolerance(n, norm_g, norm_B, norm_s)
    return solution


# Optimality conditions ---------------------------------------------------------------------------


@pytest.mark.parametrize("solve", SHAPES)
@pytest.mark.parametrize("name", NAMED_CASES)
def test_named_cases(solve, name):
    case = named_case(name)
    r = case.eigenvalues.size
    parameter = NAMED_WEIGHT if solve is cubic_shape else case.radius
    for g, B, V in ((*case.diagonal(), np.eye(case.n)), case.rotated(seed=1)):
        assert check(solve, g, B, V, r, parameter).hard_case == (name in HARD_CASES)


@pytest.mark.parametrize("solve", SHAPES)
@given(case=spectral_cases(), weight=weights(), seed=seeds())
def test_optimality_conditions(solve, case, weight, seed):
    parameter = weight if solve is cubic_shape else case.radius
    check(solve, *case.rotated(seed), case.eigenvalues.size, parameter)


@pytest.mark.parametrize("solve", SHAPES)
@given(case=spectral_cases(), weight=weights(), seed=seeds(), data=st.data())
def test_any_eigenvectors_will_do(solve, case, weight, seed, data):
    """Nothing asks for one eigenvalue on the complement, nor for any order of the columns."""
    g, B, V = case.rotated(seed)
    V = V[:, data.draw(st.permutations(range(case.n)))]
    parameter = weight if solve is cubic_shape else case.radius
    check(solve, g, B, V, data.draw(st.integers(0, case.n)), parameter)


# Blind search ------------------------------------------------------------------------------------


@pytest.mark.parametrize("solve", SHAPES)
@pytest.mark.parametrize("name", NAMED_CASES)
def test_solution_beats_random_steps(solve, name):
    case = named_case(name)
    r = case.eigenvalues.size
    g, B, V = case.rotated(seed=3)
    rng = np.random.default_rng(3)
    S = rng.standard_normal((20_000, case.n))
    S /= np.max(block_lengths(solve, V, r, S), axis=1, keepdims=True)
    S *= case.radius * rng.random((20_000, 1)) ** (1 / case.n)
    sampled = S @ g + 0.5 * np.sum((S @ B) * S, axis=1)
    parameter = case.radius
    if solve is cubic_shape:
        parameter = NAMED_WEIGHT
        sampled += NAMED_WEIGHT / 3 * np.sum(block_lengths(solve, V, r, S) ** 3, axis=1)
    reach = case.radius * np.sqrt(case.n)
    tolerance = model_tolerance(case.n, norm(g), norm(B, 2), reach)
    assert -np.min(sampled) <= solve(g, B, V[:, :r], parameter).decrease + tolerance


def lowest_of_many_descents(g, B, U, weight, *, seed):
    """Return the lowest value of the cubic model of `cubic_shape` that BFGS runs into."""
    P = np.eye(g.size) - U @ U.T

    def model(s):
        v, rest = U.T @ s, P @ s
        cube = np.sum(np.abs(v) ** 3) + norm(rest) ** 3
        slope = U @ (np.abs(v) * v) + norm(rest) * rest
        return g @ s + s @ B @ s / 2 + weight / 3 * cube, g + B @ s + weight * slope

    rng = np.random.default_rng(seed)
    curvature, steepness = norm(B, 2), norm(g)
    longest = (curvature + np.sqrt(curvature**2 + 4 * weight * steepness)) / (2 * weight)
    starts = longest * rng.standard_normal((STARTS, g.size))
    return min(minimize(model, x0, jac=True, options={"gtol": 1e-9}).fun for x0 in starts)


@pytest.mark.parametrize(
    "eigenvalues, gamma, a_par, norm_perp",
    [
        ([1.0, 2.0], 0.7, [1.0, -0.5], 1.5),
        ([-1.0, 2.0], -0.8, [0.3, 1.0], 1.0),
        ([-1.0, -0.4, 3.0], 0.0, [0.0, 0.2, -1.0], 0.6),
        ([0.5], -1.5, [-2.0], 0.0),
        ([], -1.0, [], 0.1),
        ([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0], 0.0, [0.1, 0.0, 0.3, 0.4, -0.5, 0.6], 0.0),
    ],
    ids=["convex", "indefinite", "singular", "hard", "empty", "full"],
)
def test_no_descent_ends_below_the_cubic_minimum(eigenvalues, gamma, a_par, norm_perp):
    n, r, weight = 6, len(eigenvalues), 0.6
    V = orthogonal(n, seed=4)
    diagonal = np.append(eigenvalues, np.full(n - r, gamma))
    a = np.append(a_par, [norm_perp] * (n > r) + [0.0] * (n - r - 1))
    g, B = V @ a, (V * diagonal) @ V.T
    B = (B + B.T) / 2
    lowest = lowest_of_many_descents(g, B, V[:, :r], weight, seed=5)
    decrease = cubic_shape(g, B, V[:, :r], weight).decrease
    assert lowest == pytest.approx(-decrease, rel=DESCENT_RTOL, abs=0)


def completed_basis(g, U, seed):
    """Return U with g_perp / ||g_perp|| next to it, and any orthonormal vectors after that."""
    fill = np.random.default_rng(seed).standard_normal((g.size, g.size - U.shape[1] - 1))
    Q, R = np.linalg.qr(np.column_stack([U, g - U @ (U.T @ g), fill]))
    return Q * np.sign(np.diag(R))


def test_cubic_is_well_posed_only_with_one_length_for_the_complement():
    """The l3 norm over a complete eigenbasis has a lower minimum than its closed form, the
    rotation-invariant norm does not.

    The closed form moves along the eigenvectors and along g_perp.  With gamma < 0 the l3 norm lets
    each of the n - k - 1 coordinates that are left move to |gamma| / weight too, and gain
    |gamma|^3 / (6 weight^2); and what its minimum is depends on how the basis was completed.
    """
    n, k, gamma, weight = 6, 2, -0.8, 0.6
    U = orthogonal(n, seed=6)[:, :k]
    eigenvalues = np.array([-0.5, 1.2])
    B = gamma * np.eye(n) + (U * (eigenvalues - gamma)) @ U.T
    B = (B + B.T) / 2
    g = np.random.default_rng(6).standard_normal(n)

    size = np.append(np.abs(U.T @ g), norm(g - U @ (U.T @ g)))
    lam = np.append(eigenvalues, gamma)
    t = (-lam + np.sqrt(lam**2 + 4 * weight * size)) / (2 * weight)
    closed = np.sum(size * t / 2 + weight * t**3 / 6)

    invariant = cubic_shape(g, B, U, weight).decrease
    assert invariant == pytest.approx(closed, rel=1e2 * EPS)
    lowest = lowest_of_many_descents(g, B, U, weight, seed=7)
    assert lowest == pytest.approx(-closed, rel=DESCENT_RTOL)

    # With U complete, cubic_shape is the problem in the literal l3 norm.
    V = completed_basis(g, U, seed=8)
    literal = cubic_shape(g, B, V, weight).decrease
    gain = (n - k - 1) * abs(gamma) ** 3 / (6 * weight**2)
    assert literal == pytest.approx(closed + gain, rel=1e2 * EPS)
    lowest = lowest_of_many_descents(g, B, V, weight, seed=9)
    assert lowest == pytest.approx(-closed - gain, rel=DESCENT_RTOL)

    turned = np.column_stack([U, V[:, k:] @ orthogonal(n - k, seed=10)])
    assert abs(cubic_shape(g, B, turned, weight).decrease - literal) > 0.1 * literal


def test_both_cubic_norms_agree_without_negative_curvature_outside():
    n, k, gamma, weight = 6, 2, 0.8, 0.6
    U = orthogonal(n, seed=11)[:, :k]
    B = gamma * np.eye(n) + (U * ([-0.5, 1.2] - np.array(gamma))) @ U.T
    g = np.random.default_rng(11).standard_normal(n)
    literal = cubic_shape(g, (B + B.T) / 2, completed_basis(g, U, seed=12), weight)
    invariant = cubic_shape(g, (B + B.T) / 2, U, weight)
    assert literal.decrease == pytest.approx(invariant.decrease, rel=1e2 * EPS)
    np.testing.assert_allclose(literal.step, invariant.step, rtol=0, atol=1e2 * EPS)


# Limits and inclusions ---------------------------------------------------------------------------


@given(spectral_cases(), weights(), seeds())
def test_without_eigenvectors_the_norm_is_euclidean(case, weight, seed):
    g, B, _ = case.rotated(seed)
    none = np.zeros((case.n, 0))
    ball = dense.trust_region_l2(g, B, case.radius)
    for solve in (trust_region_shape_inf, trust_region_shape_2):
        assert solve(g, B, none, case.radius).decrease == pytest.approx(
            ball.decrease, rel=SPECTRAL_GAP_RTOL, abs=0
        )
    assert cubic_shape(g, B, none, weight).decrease == pytest.approx(
        dense.cubic_l2(g, B, weight).decrease, rel=SPECTRAL_GAP_RTOL, abs=0
    )


@given(spectral_cases(), weights())
def test_regions_lie_in_each_other(case, weight):
    """l2 ball, (P,2), (P,inf) grow in this order, and all fit into a larger l2 ball."""
    g, B = case.diagonal()
    r = case.eigenvalues.size
    U = np.eye(case.n)[:, :r]
    decreases = [
        dense.trust_region_l2(g, B, case.radius).decrease,
        trust_region_shape_2(g, B, U, case.radius).decrease,
        trust_region_shape_inf(g, B, U, case.radius).decrease,
        dense.trust_region_l2(g, B, np.sqrt(r + 1) * case.radius).decrease,
    ]
    # The norm of the cubic lies between the l2 norm and its (r + 1)^(-1/6)-fold.
    cubic = [
        dense.cubic_l2(g, B, weight).decrease,
        cubic_shape(g, B, U, weight).decrease,
        dense.cubic_l2(g, B, weight / np.sqrt(r + 1)).decrease,
    ]
    for smaller, larger in (*pairwise(decreases), *pairwise(cubic)):
        assert smaller <= larger * (1 + SPECTRAL_GAP_RTOL)


@pytest.mark.parametrize("curvature", [-2.0, 0.0, 2.0])
@pytest.mark.parametrize("slope", [-3.0, 0.0, 1e-3])
def test_one_variable_is_the_same_in_every_norm(slope, curvature):
    g, B, radius, weight = [slope], [[curvature]], 1.25, 0.5
    ball, cubic = dense.trust_region_l2(g, B, radius), dense.cubic_l2(g, B, weight)
    for U in ([[1.0]], [[-1.0]], np.zeros((1, 0))):
        for solution, expected in (
            (trust_region_shape_inf(g, B, U, radius), ball),
            (trust_region_shape_2(g, B, U, radius), ball),
            (cubic_shape(g, B, U, weight), cubic),
        ):
            assert solution.decrease == pytest.approx(expected.decrease, rel=SPECTRAL_GAP_RTOL)
            np.testing.assert_allclose(np.abs(solution.step), np.abs(expected.step), rtol=8 * EPS)
            assert max(solution.multiplier) == pytest.approx(expected.multiplier, rel=8 * EPS)
            assert solution.hard_case == expected.hard_case


def test_stationary_point_next_to_the_end_of_the_interval():
    """Their values agree in all digits, but only one of them is a minimiser."""
    for factor in (1 - 1e-9, 1.0, 1 + 1e-9):
        g, radius = np.array([-1.0]), factor
        solution = trust_region_shape_inf(g, np.eye(1), np.eye(1), radius)
        assert solution.step[0] == min(1.0, factor)
        assert solution.multiplier[0] == pytest.approx(max(0.0, 1 / factor - 1), rel=1e-6)


# Ellipsoids --------------------------------------------------------------------------------------


def diagonals(n):
    return st.lists(log_uniform(1e-6, 1e6), min_size=n, max_size=n).map(np.array)


@pytest.mark.parametrize("solve", [trust_region_diagonal, cubic_diagonal])
@given(case=spectral_cases(), weight=weights(), seed=seeds(), data=st.data())
def test_optimality_conditions_in_an_ellipsoid(solve, case, weight, seed, data):
    g, B, _ = case.rotated(seed)
    d, n = data.draw(diagonals(case.n)), case.n
    solution = solve(g, B, d, weight if solve is cubic_diagonal else case.radius)
    s, x = solution.step, solution.multiplier
    # Rounding is relative to the problem in the variables in which the ellipsoid is a ball.
    root = np.sqrt(d)
    scaled_B = B / np.outer(root, root)
    norm_g, norm_B, length = norm(g / root), norm(scaled_B, 2), norm(root * s)

    residual = norm((B @ s + x * d * s + g) / root)
    assert residual <= stationarity_tolerance(n, norm_g, norm_B, x, length)
    assert np.linalg.eigvalsh(scaled_B)[0] + x >= -curvature_tolerance(n, norm_B)
    assert x >= 0 and solution.decrease >= 0
    value = g @ s + s @ B @ s / 2
    if solve is cubic_diagonal:
        value += weight * length**3 / 3
        assert abs(weight * length - x) <= SECULAR_ROUNDINGS * n * EPS * (x + norm_B)
    else:
        assert length <= case.radius * (1 + block_tolerance(n))
        assert x == 0 or length >= case.radius * (1 - block_tolerance(n))
    assert abs(value + solution.decrease) <= model_tolerance(n, norm_g, norm_B, length)


@given(spectral_cases(), weights())
def test_unit_diagonal_is_the_euclidean_norm(case, weight):
    g, B = case.diagonal()
    for c in (1.0, 4.0, 0.0625):
        d = np.full(case.n, c)
        ellipsoid = trust_region_diagonal(g, B, d, case.radius)
        ball = dense.trust_region_l2(g, B, case.radius / np.sqrt(c))
        assert ellipsoid.decrease == pytest.approx(ball.decrease, rel=SPECTRAL_GAP_RTOL, abs=0)
        ellipsoid = cubic_diagonal(g, B, d, weight)
        ball = dense.cubic_l2(g, B, weight * c**1.5)
        assert ellipsoid.decrease == pytest.approx(ball.decrease, rel=SPECTRAL_GAP_RTOL, abs=0)


@pytest.mark.parametrize("name", NAMED_CASES)
def test_ellipsoid_beats_random_steps(name):
    case = named_case(name)
    g, B, _ = case.rotated(seed=13)
    rng = np.random.default_rng(13)
    d = 10 ** rng.uniform(-1, 1, case.n)
    p = rng.standard_normal((20_000, case.n))
    p *= case.radius * rng.random((20_000, 1)) ** (1 / case.n) / norm(p, axis=1, keepdims=True)
    S = p / np.sqrt(d)
    sampled = S @ g + 0.5 * np.sum((S @ B) * S, axis=1)
    reach = case.radius / np.sqrt(np.min(d))
    tolerance = model_tolerance(case.n, norm(g), norm(B, 2), reach)
    assert -np.min(sampled) <= trust_region_diagonal(g, B, d, case.radius).decrease + tolerance
    sampled += NAMED_WEIGHT / 3 * norm(p, axis=1) ** 3
    assert -np.min(sampled) <= cubic_diagonal(g, B, d, NAMED_WEIGHT).decrease + tolerance


# Wrong input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("solve", SHAPES)
@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"U": np.eye(3)}, ValueError, r"shape \(2, r\)"),
        ({"U": [1.0, 0.0]}, ValueError, r"shape \(2, r\)"),
        ({"U": np.ones((2, 3))}, ValueError, r"shape \(2, r\)"),
        ({"U": [[2.0], [0.0]]}, ValueError, "orthonormal"),
        ({"U": [[0.6], [0.8]]}, ValueError, "eigenvectors"),
        ({"U": [[np.nan], [0.0]]}, ValueError, "U must be finite"),
        ({"U": [[1.0j], [0.0]]}, TypeError, "real"),
        ({"B": [[1.0, 2.0], [3.0, 1.0]]}, ValueError, "symmetric"),
        ({"g": [1.0, np.inf]}, ValueError, "g must be finite"),
        ({"parameter": 0.0}, ValueError, "positive"),
        ({"parameter": np.nan}, ValueError, "positive"),
    ],
)
def test_wrong_input_is_refused(solve, change, error, message):
    good = {"g": [1.0, 2.0], "B": np.diag([1.0, 2.0]), "U": [[1.0], [0.0]], "parameter": 1.0}
    solve(*good.values())
    with pytest.raises(error, match=message):
        solve(*(good | change).values())


@pytest.mark.parametrize(
    "coefficients, roots",
    [
        ((1.0, -1.0, 0.1875), [0.25, 0.75]),
        ((2.0, 2.0, -4.0), [-2.0, 1.0]),
        ((1.0, -2.0, 1.0), [1.0, 1.0]),
        ((1.0, 1.0, 1.0), []),
        ((1.0, -3.0, 0.0), [0.0, 3.0]),
        ((3.0, 0.0, 0.0), [0.0]),
        ((1.0, -1e9, 1.0), [1e-9, 1e9]),
    ],
)
def test_roots_of_a_quadratic(coefficients, roots):
    """On the side that loses, too: there the best of all candidates does not tell."""
    np.testing.assert_allclose(sorted(_real_roots(*coefficients)), roots, rtol=4 * EPS)


@pytest.mark.parametrize("solve", [trust_region_diagonal, cubic_diagonal])
@pytest.mark.parametrize(
    "d, error, message",
    [
        ([1.0], ValueError, "shape"),
        ([1.0, 0.0], ValueError, "positive"),
        ([1.0, -1.0], ValueError, "positive"),
        ([1.0, np.inf], ValueError, "d must be finite"),
        ([1.0, 1.0j], TypeError, "real"),
    ],
)
def test_wrong_diagonal_is_refused(solve, d, error, message):
    with pytest.raises(error, match=message):
        solve([1.0, 2.0], np.eye(2), d, 1.0)


@pytest.mark.parametrize("solve", [*SHAPES, trust_region_diagonal, cubic_diagonal])
def test_inputs_are_left_alone(solve):
    g, B, V = named_case("hard_lambda1").rotated(seed=14)
    third = V[:, :4] if solve in SHAPES else np.arange(1.0, 1.0 + g.size)
    arrays = (g, B, third)
    before = [array.copy() for array in arrays]
    solve(*arrays, 1.0)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))
