"""What is passed to matrices, norms and subproblems: right, or refused in a sentence."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from qnsolve import (
    LBFGS,
    LSR1,
    DiagonalNorm,
    HybridLSR1,
    LSR1Strategy,
    PartialSpectrum,
    QuadraticModel,
    ScaledMatrix,
    as_linear_operator,
    solve_cubic,
    solve_trs,
    steihaug_cg,
)
from qnsolve.krylov.gltr import gltr, lanczos_cubic
from qnsolve.quasi_newton.inverse import InverseLSR1
from qnsolve.quasi_newton.psi import PsiLSR1

IDENTITY, ONES = np.eye(2), np.ones(2)
UNIT = DiagonalNorm(ONES)
SAME = PartialSpectrum.from_dense(IDENTITY)
KINDS = [LSR1, LBFGS, HybridLSR1, PsiLSR1, InverseLSR1]


def same(v):
    return v


def strategy(s, y):
    made = LSR1Strategy()
    made.initialize(2, "hess")
    made.update(s, y)
    return made.dot(s)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# Vectors ------------------------------------------------------------------------------------------

WRONG_VECTORS = {
    "complex": np.array([1.0, 1j]),
    "None": None,
    "text": ["a", "b"],
    "masked": np.ma.array([1.0, 2.0], mask=[False, True]),
    "bool": np.array([True, False]),
    "shape": np.ones(3),
    "column": np.ones((2, 1)),
    "number": 1.0,
    "objects": np.array([1.0, None], dtype=object),
    "empty": np.array([]),
    "ragged": [[1.0], [1.0, 2.0]],
    "set": {1.0, 2.0},
}
TAKES_A_VECTOR = {
    "solve_trs": lambda v: solve_trs(v, IDENTITY, 1.0).step,
    "solve_trs of LSR1": lambda v: solve_trs(v, LSR1(2), 1.0).step,
    "solve_cubic": lambda v: solve_cubic(v, IDENTITY, 1.0).step,
    "QuadraticModel": lambda v: QuadraticModel(v, IDENTITY).trust_region(1.0).step,
    "PartialSpectrum @": lambda v: SAME @ v,
    "PartialSpectrum.solve": SAME.solve,
    "ScaledMatrix @": lambda v: ScaledMatrix(LSR1(2), UNIT) @ v,
    "ScaledMatrix.solve": lambda v: ScaledMatrix(LSR1(2), UNIT).solve(v),
    "LSR1Strategy": lambda v: strategy(v, v),
    **{f"{kind.__name__} @": lambda v, kind=kind: kind(2) @ v for kind in KINDS},
    **{f"{kind.__name__}.solve": lambda v, kind=kind: kind(2).solve(v) for kind in KINDS},
    **{
        f"{kind.__name__}.quadratic_form": lambda v, kind=kind: kind(2).quadratic_form(v)
        for kind in KINDS
    },
    **{f"{kind.__name__}.update": lambda v, kind=kind: kind(2).update(v, v) for kind in KINDS},
}


@pytest.mark.parametrize("wrong", WRONG_VECTORS)
@pytest.mark.parametrize("door", TAKES_A_VECTOR)
def test_wrong_vectors_are_refused(door, wrong):
    with pytest.raises((TypeError, ValueError)) as caught:
        TAKES_A_VECTOR[door](WRONG_VECTORS[wrong])
    assert len(str(caught.value)) > 15


@pytest.mark.parametrize(
    "v",
    [[3, -4], (3.0, -4.0), np.array([3, -4]), np.array([3, -4], np.float32)],
    ids=["list", "tuple", "int", "float32"],
)
@pytest.mark.parametrize("door", TAKES_A_VECTOR)
def test_vectors_of_other_kinds_are_as_good(door, v):
    expected = TAKES_A_VECTOR[door](np.array([3.0, -4.0]))
    found = TAKES_A_VECTOR[door](v)
    if isinstance(expected, float | np.ndarray):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    else:
        assert found == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_not_finite(bad):
    v = np.array([bad, 1.0])
    for solver, B in ((solve_trs, IDENTITY), (solve_cubic, LSR1(2))):
        with pytest.raises(ValueError, match="g has entries that are not finite"):
            solver(v, B, 1.0)
    for solver in (steihaug_cg, gltr, lanczos_cubic):
        with pytest.raises(ValueError, match=r"not finite|NaN or infinite"):
            solver(v, same, 1.0)
    for kind in KINDS:
        assert not kind(2).update(v, ONES).stored
        assert not kind(2).update(ONES, v).stored


@pytest.mark.parametrize("wrong", [name for name in WRONG_VECTORS if name not in ("shape", "set")])
@pytest.mark.parametrize("solver", [steihaug_cg, gltr, lanczos_cubic, DiagonalNorm])
def test_wrong_gradients_and_diagonals_are_refused(solver, wrong):
    arguments = () if solver is DiagonalNorm else (same, 1.0)
    with pytest.raises((TypeError, ValueError)):
        solver(WRONG_VECTORS[wrong], *arguments)


@pytest.mark.parametrize(
    "like", [np.ones((2, 1)), np.array([1j, 1.0]), np.array([1, 2]), np.array([])]
)
@pytest.mark.parametrize("kind", KINDS)
def test_like_must_be_such_a_vector(kind, like):
    with pytest.raises((TypeError, ValueError), match="like"):
        kind(2, like=like)


# Matrices -----------------------------------------------------------------------------------------

WRONG_MATRICES = {
    "nan": np.nan * IDENTITY,
    "inf": np.diag([np.inf, 1.0]),
    "complex": 1j * IDENTITY,
    "None": None,
    "asymmetric": np.array([[1.0, 2.0], [0.0, 1.0]]),
    "vector": ONES,
    "rectangle": np.ones((2, 3)),
    "masked": np.ma.array(IDENTITY, mask=[[False, True], [True, False]]),
    "text": "B",
    "larger": np.eye(3),
    "objects": np.array([[1.0, None], [None, 1.0]], dtype=object),
    "empty": np.zeros((0, 0)),
    "callable": same,
}
TAKES_A_MATRIX = {
    "solve_trs": lambda B: solve_trs(ONES, B, 1.0),
    "solve_cubic": lambda B: solve_cubic(ONES, B, 1.0),
    "solve_trs in a norm": lambda B: solve_trs(ONES, B, 1.0, norm=UNIT),
    "QuadraticModel": lambda B: QuadraticModel(ONES, B),
    "ScaledMatrix": lambda B: ScaledMatrix(B, UNIT),
    "as_linear_operator": as_linear_operator,
}


@pytest.mark.parametrize("wrong", WRONG_MATRICES)
@pytest.mark.parametrize("door", TAKES_A_MATRIX)
def test_wrong_matrices_are_refused(door, wrong):
    with pytest.raises((TypeError, ValueError)) as caught:
        TAKES_A_MATRIX[door](WRONG_MATRICES[wrong])
    assert len(str(caught.value)) > 15


@pytest.mark.parametrize("dtype", [int, np.float32])
def test_matrices_of_other_dtypes_are_as_good(dtype):
    g = np.array([3.0, -4.0])
    for solver in (solve_trs, solve_cubic):
        step = solver(g, IDENTITY.astype(dtype), 1.0).step
        np.testing.assert_array_equal(step, solver(g, IDENTITY, 1.0).step)


# Numbers ------------------------------------------------------------------------------------------

NO_NUMBERS = [1j, None, "1", True, [1.0], np.array([1.0, 2.0]), np.ma.masked]
TAKES_A_NUMBER = {
    "radius": lambda value: solve_trs(ONES, IDENTITY, value),
    "weight": lambda value: solve_cubic(ONES, IDENTITY, value),
    "power": lambda value: solve_cubic(ONES, IDENTITY, 1.0, norm="l2", power=value),
    "radius of steihaug_cg": lambda value: steihaug_cg(ONES, same, value),
    "n": LSR1,
    "memory": lambda value: LSR1(2, memory=value),
    "initial_gamma": lambda value: LBFGS(2, initial_gamma=value),
    "skip": lambda value: LSR1(2, skip=value),
    "shift": lambda value: LSR1(2).solve(ONES, value),
    "shift of a spectrum": lambda value: SAME.solve(ONES, value),
    "memory of a strategy": LSR1Strategy,
}
MAY_BE_ANY = ("shift", "shift of a spectrum")


@pytest.mark.parametrize("value", NO_NUMBERS, ids=str)
@pytest.mark.parametrize("door", TAKES_A_NUMBER)
def test_what_is_no_number_is_refused(door, value):
    with pytest.raises(TypeError, match="must be"):
        TAKES_A_NUMBER[door](value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0, 10**400])
@pytest.mark.parametrize("door", [door for door in TAKES_A_NUMBER if door not in MAY_BE_ANY])
def test_numbers_out_of_range_are_refused(door, value):
    if value == 10**400 and door in ("n", "memory", "memory of a strategy"):
        pytest.skip("whole numbers have no largest; this one does not fit into memory")
    with pytest.raises((TypeError, ValueError), match="must be"):
        TAKES_A_NUMBER[door](value)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 10**400, -(10**400)])
@pytest.mark.parametrize("kind", KINDS)
def test_gamma_out_of_range_is_refused(kind, value):
    with pytest.raises(ValueError, match="gamma must be finite"):
        kind(2, gamma=value)
    with pytest.raises(ValueError, match="gamma must be finite"):
        kind(2).reset(value)
