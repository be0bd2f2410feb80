"""Answers to subproblems as users have them: what they are of is told apart, then they are judged.

Nothing in the solvers imports this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from operator import matmul
from typing import Any

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import LinearOperator

from qnsolve.arrays import Array, VectorSpace, new_space, space_of, to_host
from qnsolve.arrays.libraries import is_array, precision_of
from qnsolve.arrays.user import describe, floating_vector, own_array
from qnsolve.krylov.step_check import check_by_products
from qnsolve.norms import DiagonalNorm
from qnsolve.quasi_newton.base import CompactMatrix
from qnsolve.quasi_newton.scaled import ScaledMatrix
from qnsolve.quasi_newton.spectrum import PartialSpectrum
from qnsolve.solve import checked_problem, in_metric
from qnsolve.subproblem.arguments import checked_name
from qnsolve.subproblem.model import QuadraticModel, space_of_matrix
from qnsolve.subproblem.regions import Term
from qnsolve.subproblem.step_check import StepCheck

BASIS_ERROR = 1e3
"""Roundings, of n entries, by which a dense B may differ from the one that a basis belongs to: it
was summed up from parts that can be larger than B."""

Products = Callable[[Array], Array]


def judge(
    g: Any,
    B: Any,
    step: Any,
    term: Term,
    multipliers: Any,
    norm: str | DiagonalNorm,
    names: Iterable[str],
    basis: Any = None,
) -> StepCheck:
    """Return how good `step` is; `names` are the norms that there are for `term`."""
    eps = max(precision_of(g), precision_of(step))
    B, products = _matrix_or_products(B)
    if basis is not None and not (isinstance(B, np.ndarray) and str(norm).startswith("shape")):
        raise ValueError(
            "basis is for a dense B and a norm that measures its eigenvectors apart, got "
            f"{describe(B if products is None else products)} and norm {norm!r}"
        )
    if products is None:
        space = space_of_matrix(B) or new_space(B.shape[0])
        g, norm = _as_vector(g, space, "g"), _on_host(norm) if space.on_host else norm
        g, B = checked_problem(g, B, norm, names)
        known = in_metric(B, norm)
        if known is not None:
            spectrum = None if basis is None else _spectrum_on(B, basis)
            model = QuadraticModel(g, known, spectrum=spectrum)
            step = space.checked(_as_vector(step, space, "step"), "step")
            given = _checked_multipliers(multipliers, term, len(model.spectrum.eigenvalues))
            return model.check(step, term, given, max(eps, space.eps))
        products = partial(matmul, B)
    else:
        space, g, norm = _space_of_products(g, B, norm, names, term)
    step = space.checked(_as_vector(step, space, "step"), "step")
    metric = norm if isinstance(norm, DiagonalNorm) else None
    given = _checked_multipliers(multipliers, term, 0)
    return check_by_products(g, products, term, step, given, max(eps, space.eps), norm=metric)


def _matrix_or_products(B: Any) -> tuple[Any, Products | None]:
    """Return B as a model takes it, or its shape if there is one, and its products."""
    if isinstance(B, CompactMatrix | ScaledMatrix | PartialSpectrum):
        return B, None
    if scipy.sparse.issparse(B) or isinstance(B, LinearOperator):
        shape, dtype = tuple(B.shape), np.dtype(B.dtype)
        if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
            raise ValueError(f"B must be a square matrix, got {describe(B)}")
        if dtype.kind not in "biuf":
            raise TypeError(f"B must be real, got dtype {dtype}")
        return shape, partial(matmul, B)
    if callable(B) and not is_array(B):
        return None, B
    if not (is_array(B) or isinstance(B, list | tuple)):
        raise TypeError(
            "B must be a matrix of qnsolve, an array or nested list, sparse, a LinearOperator or a "
            f"callable v -> B v, got {describe(B)}"
        )
    try:
        dense = own_array(B, "B")
    except ValueError as error:  # lists in lists of several lengths
        raise ValueError("B must be a square matrix, got lists of several lengths") from error
    if is_array(B) and not isinstance(B, np.ndarray):
        dense = to_host(dense)
    space_of_matrix(dense)
    return dense, None


def _space_of_products(
    g: Any, shape: tuple[int, int] | None, norm: Any, names: Iterable[str], term: Term
) -> tuple[VectorSpace, Array, str | DiagonalNorm]:
    """Return where the vectors live, g, and the norm, for a B that is known by its products."""
    if not isinstance(norm, str | DiagonalNorm):
        raise TypeError(f"norm must be a name or a DiagonalNorm, got {type(norm).__name__}")
    if isinstance(norm, str) and checked_name(norm, names) != "l2":
        raise ValueError(
            f"norm {norm!r} measures the eigenvectors of B apart, and from products they are not "
            "known: give a dense B (.toarray()), a PartialSpectrum, or norm='l2'"
        )
    if shape is None:
        g = floating_vector(g, "g")
        space = space_of(g)
        if space.on_host:
            space = new_space(space.size)
    else:
        space = new_space(shape[0])
    if space.on_host:
        norm = _on_host(norm)
    return space, space.checked(_as_vector(g, space, "g"), "g"), norm


def _as_vector(v: Any, space: VectorSpace, name: str) -> Any:
    """Return a user's vector in the library of `space` where that needs no guess."""
    foreign = is_array(v) and not isinstance(v, np.ndarray)
    if space.on_host:
        # A copy to the host is what judging a dense matrix there asks for.
        return to_host(v) if foreign else v
    return v if foreign else space.from_host(new_space(space.size).checked(v, name))


def _on_host(norm: str | DiagonalNorm) -> str | DiagonalNorm:
    if isinstance(norm, DiagonalNorm) and not isinstance(norm.d, np.ndarray):
        return DiagonalNorm(to_host(norm.d))
    return norm


def _spectrum_on(B: np.ndarray, basis: Any) -> PartialSpectrum:
    """Return the spectrum of a dense B with the eigenvectors of a user's basis."""
    n = len(B)
    U = to_host(own_array(basis, "basis"))
    if U.ndim != 2 or U.shape[1] != n or len(U) > n:
        raise ValueError(f"basis must have shape (r, {n}) with r <= {n}, got {U.shape}")
    eigenvalues = np.einsum("ij,jk,ik->i", U, B, U)
    rest = n - len(U)
    gamma = float(np.trace(B) - eigenvalues.sum()) / rest if rest else 0.0
    spectrum = PartialSpectrum.from_basis(gamma, eigenvalues, U)
    error = np.abs(B - gamma * np.eye(n) - (U.T * (eigenvalues - gamma)) @ U).max()
    if not error <= BASIS_ERROR * n * np.finfo(float).eps * np.abs(B).max():
        raise ValueError(
            "B must have the rows of basis for eigenvectors and be a multiple of the identity on "
            f"their complement; its entries differ by {error:.1e} from those of such a matrix"
        )
    return spectrum


def _checked_multipliers(multipliers: Any, term: Term, r: int) -> np.ndarray | None:
    if multipliers is None:
        return None
    multipliers = np.atleast_1d(np.asarray(multipliers))
    if multipliers.dtype.kind not in "iuf":
        raise TypeError(f"multipliers must be real numbers, got dtype {multipliers.dtype}")
    multipliers = multipliers.astype(float)
    wanted = (int(term.blocks(r)[-1]) + 1,)
    if multipliers.shape != wanted:
        raise ValueError(f"multipliers must have shape {wanted}, got {multipliers.shape}")
    if not ((multipliers >= 0.0) & np.isfinite(multipliers)).all():
        raise ValueError(f"multipliers must be at least 0 and finite, got {multipliers}")
    return multipliers
