"""Test functions and small real data sets with gradients, for demos, tests and benchmarks."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from qnsolve.problems.datasets import Dataset, breast_cancer, digits
from qnsolve.problems.functions import (
    broyden_tridiagonal,
    chained_rosenbrock,
    convex_quadratic,
    cosine,
    dixon_price,
    extended_rosenbrock,
    monkey_saddle,
    powell_singular,
    styblinski_tang,
    trigonometric,
    woods,
)
from qnsolve.problems.grids import ginzburg_landau, minimal_surface
from qnsolve.problems.models import (
    Classifier,
    TanhNetwork,
    breast_cancer_network,
    breast_cancer_network_of_size,
    digits_network,
    digits_network_of_size,
    fourier_logistic,
    fourier_robust,
    robust_regression,
)
from qnsolve.problems.problem import Problem
from qnsolve.problems.saddles import (
    SaddleProblem,
    linear_network,
    matrix_factorisation,
    phase_retrieval,
    saddle_chain,
)

PROBLEMS: Mapping[str, Callable[..., Problem]] = MappingProxyType(
    {
        "breast-cancer-network": breast_cancer_network_of_size,
        "broyden-tridiagonal": broyden_tridiagonal,
        "chained-rosenbrock": chained_rosenbrock,
        "convex-quadratic": convex_quadratic,
        "cosine": cosine,
        "digits-network": digits_network_of_size,
        "dixon-price": dixon_price,
        "extended-rosenbrock": extended_rosenbrock,
        "fourier-logistic": fourier_logistic,
        "fourier-robust": fourier_robust,
        "ginzburg-landau": ginzburg_landau,
        "minimal-surface": minimal_surface,
        "linear-network": linear_network,
        "matrix-factorisation": matrix_factorisation,
        "monkey-saddle": monkey_saddle,
        "phase-retrieval": phase_retrieval,
        "powell-singular": powell_singular,
        "robust-regression": robust_regression,
        "saddle-chain": saddle_chain,
        "styblinski-tang": styblinski_tang,
        "trigonometric": trigonometric,
        "woods": woods,
    }
)
"""Factories by name; each takes the number of variables n as its first argument."""


def get_problem(name: str, n: int | None = None) -> Problem:
    """Return the problem called `name` with n variables.

    Parameters
    ----------
    name : str
        A key of ``PROBLEMS``.
    n : int, optional
        Number of variables; by default the factory's own.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        If there is no such problem, or not with n variables.

    Examples
    --------
    >>> from qnsolve.problems import get_problem
    >>> get_problem("woods", 8).n
    8
    >>> get_problem("wood", 8)
    Traceback (most recent call last):
        ...
    ValueError: no problem is called 'wood'; did you mean 'woods'?
    """
    try:
        factory = PROBLEMS[name]
    except KeyError:
        nearest = difflib.get_close_matches(name, PROBLEMS, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(PROBLEMS)}"
        raise ValueError(f"no problem is called {name!r}; {hint}") from None
    return factory() if n is None else factory(n)


__all__ = [
    "PROBLEMS",
    "Classifier",
    "Dataset",
    "Problem",
    "SaddleProblem",
    "TanhNetwork",
    "breast_cancer",
    "breast_cancer_network",
    "breast_cancer_network_of_size",
    "broyden_tridiagonal",
    "chained_rosenbrock",
    "convex_quadratic",
    "cosine",
    "digits",
    "digits_network",
    "digits_network_of_size",
    "dixon_price",
    "extended_rosenbrock",
    "fourier_logistic",
    "fourier_robust",
    "get_problem",
    "ginzburg_landau",
    "linear_network",
    "matrix_factorisation",
    "minimal_surface",
    "monkey_saddle",
    "phase_retrieval",
    "powell_singular",
    "robust_regression",
    "saddle_chain",
    "styblinski_tang",
    "trigonometric",
    "woods",
]
