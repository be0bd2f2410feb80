"""``solve_trs`` and ``solve_cubic``: every model and norm behind one signature each."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from operator import matmul
from typing import Any

import numpy as np

from qnsolve.arrays import Array, new_space
from qnsolve.krylov.gltr import gltr, lanczos_cubic
from qnsolve.krylov.model import KrylovResult
from qnsolve.norms import DiagonalNorm
from qnsolve.quasi_newton.scaled import ScaledMatrix
from qnsolve.subproblem.arguments import checked_name, checked_positive, checked_power
from qnsolve.subproblem.model import Matrix, QuadraticModel, SubproblemResult, space_of_matrix
from qnsolve.subproblem.regions import REGULARISATIONS, TRUST_REGIONS


def solve_trs(
    g: Array, B: Matrix, radius: float, *, norm: str | DiagonalNorm = "l2"
) -> SubproblemResult | KrylovResult:
    r"""Solve the trust-region subproblem exactly.

    .. math::

        \min_s \; g^T s + \tfrac12 s^T B s \quad \text{subject to} \quad \|s\| \le \Delta

    Parameters
    ----------
    g : array, shape (n,)
        Gradient, finite.
    B : LSR1, LBFGS, ScaledMatrix, PartialSpectrum, or dense symmetric NumPy array, shape (n, n)
        May be indefinite or singular.
    radius : float, > 0
        Delta, in `norm`.
    norm : {"l2", "shape-inf", "shape-2"} or DiagonalNorm
        With U the eigenvectors of B on its small space (all, for a dense B) and P_perp the
        projector on their complement, the norm is

        - "l2": ||s||_2;
        - "shape-inf": max(||U's||_inf, ||P_perp s||_2);
        - "shape-2": max(||U's||_2, ||P_perp s||_2);
        - DiagonalNorm(d): sqrt(sum d_i s_i^2).

    Returns
    -------
    SubproblemResult
        ``step``, ``decrease``, ``multipliers``, ``on_boundary``, ``hard_case``, ``nit``, ``status``
        and ``certificate()``.  Where g has coordinates beyond the range, no step and a status.
    KrylovResult
        The same fields, for a DiagonalNorm and a B that is not of the form of the Notes.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described.

    Notes
    -----
    Cost: O(mn + m^3) for a limited-memory matrix, O(n^3) for a dense one.  To solve again with
    another radius use ``result.model.trust_region(radius, norm)``, which is O(m).

    A DiagonalNorm is exact by the change of variables p = A^{1/2} s where B is dense, or a
    ScaledMatrix made with that very object (B0 = gamma A).  For any other B the matrix there has no
    partial spectrum, and the problem is solved by :func:`gltr`, with products by B, preconditioned
    by the norm: as exact as its tolerance, which its certificate shows.  A ScaledMatrix has its
    eigenvectors in its own metric: with it "shape-inf" and "shape-2" are norms of p.

    References
    ----------
    J. Brust, J. B. Erway, R. F. Marcia, "On solving L-SR1 trust-region subproblems", Comput. Optim.
    Appl. 66 (2017), Algorithm 1 ("l2").

    J. J. Brust, O. Burdakov, J. B. Erway, R. F. Marcia, "Algorithm 1030: SC-SR1", ACM Trans. Math.
    Softw. 48 (2022), section 3 ("shape-2" and "shape-inf").

    Examples
    --------
    The hard case: the gradient has no component on the leftmost eigenvector.

    >>> import numpy as np
    >>> import qnsolve
    >>> result = qnsolve.solve_trs(np.array([0.0, 1.0]), np.diag([-1.0, 1.0]), radius=2.0)
    >>> result.hard_case, result.multipliers, result.decrease
    (True, array([1.]), 2.25)
    >>> result.certificate().worst < 1e-15
    True
    """
    radius = checked_positive(radius, "radius")
    g, B = checked_problem(g, B, norm, TRUST_REGIONS)
    known = in_metric(B, norm)
    name, metric = ("l2", norm) if isinstance(norm, DiagonalNorm) else (norm, None)
    if known is None:
        return gltr(g, partial(matmul, B), radius, norm=metric)
    return QuadraticModel(g, known).trust_region(radius, name)


def solve_cubic(
    g: Array, B: Matrix, weight: float, *, norm: str | DiagonalNorm = "shape", power: float = 3.0
) -> SubproblemResult | KrylovResult:
    r"""Minimise a quadratic model with a cubic regulariser exactly.

    .. math::

        \min_s \; g^T s + \tfrac12 s^T B s + \tfrac{w}{3} \Phi(s)^3

    Parameters
    ----------
    g : array, shape (n,)
        Gradient, finite.
    B : LSR1, LBFGS, ScaledMatrix, PartialSpectrum, or dense symmetric NumPy array, shape (n, n)
        May be indefinite or singular.
    weight : float, > 0
        w, with the unit of f over that of `norm` cubed.
    norm : {"shape", "l2"} or DiagonalNorm
        With U the eigenvectors of B on its small space (all, for a dense B) and P_perp the
        projector on their complement, the regulariser is

        - "shape": Phi^3 = ||U's||_3^3 + ||P_perp s||_2^3, in closed form;
        - "l2": Phi = ||s||_2, by the secular equation;
        - DiagonalNorm(d): Phi = sqrt(sum d_i s_i^2).
    power : float, >= 2
        q in (w / q) Phi^q, for "l2" and a DiagonalNorm; 3 is the cubic, 2 the shifted system.

    Returns
    -------
    SubproblemResult
        ``step``, ``decrease`` (regulariser included), ``multipliers``, ``hard_case``, ``nit``,
        ``status`` and ``certificate()``.
    KrylovResult
        The same fields, for a DiagonalNorm and a B that is not of the form of the Notes.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described.

    Notes
    -----
    Cost: O(mn + m^3) for a limited-memory matrix, O(n^3) for a dense one.  To solve again with
    another weight use ``result.model.regularised(weight, norm, power)``, which is O(m).

    A DiagonalNorm is treated as in :func:`solve_trs`, with :func:`lanczos_cubic` where there is no
    partial spectrum.

    References
    ----------
    A. Ranganath, M. Singhal, R. Marcia, "Symmetric rank-one quasi-Newton methods for deep learning
    using cubic regularization", arXiv 2502.12298 ("shape").

    C. Cartis, N. I. M. Gould, P. L. Toint, "Adaptive cubic regularisation methods for unconstrained
    optimization. Part I", Math. Program. 127 (2011), section 6.1 ("l2").

    Examples
    --------
    >>> import numpy as np
    >>> import qnsolve
    >>> result = qnsolve.solve_cubic(np.array([0.0, -6.0]), np.diag([-1.0, 1.0]), weight=1.0)
    >>> abs(result.step[0]), result.step[1]
    (np.float64(1.0), np.float64(2.0))
    """
    weight = checked_positive(weight, "weight")
    power = checked_power(power, norm)
    g, B = checked_problem(g, B, norm, REGULARISATIONS)
    known = in_metric(B, norm)
    name, metric = ("l2", norm) if isinstance(norm, DiagonalNorm) else (norm, None)
    if known is None:
        return lanczos_cubic(g, partial(matmul, B), weight, norm=metric, power=power)
    return QuadraticModel(g, known).regularised(weight, name, power)


def checked_problem(g: Any, B: Any, norm: Any, names: Iterable[str]) -> tuple[Array, Matrix]:
    """Return g and B as a model takes them, or raise TypeError or ValueError."""
    if not isinstance(norm, str | DiagonalNorm):
        raise TypeError(f"norm must be a name or a DiagonalNorm, got {type(norm).__name__}")
    if isinstance(norm, str):
        checked_name(norm, names)
    space = space_of_matrix(B)
    if space is None:
        B, space = np.array(B, dtype=float), new_space(B.shape[0])
    g = space.checked(g, "g")
    if isinstance(norm, DiagonalNorm) and norm.space.size != space.size:
        raise ValueError(f"the norm is for n = {norm.space.size}, g has n = {space.size}")
    if not np.isfinite(space.norm_inf(g)):
        raise ValueError("g has entries that are not finite")
    # A copy: the step is formed later, when a caller may have written the next gradient into g.
    return space.xp.asarray(g, copy=True), B


def in_metric(B: Matrix, norm: str | DiagonalNorm) -> Matrix | None:
    """Return B, or B in other variables, with a spectrum in the metric of `norm`; or None.

    Names of norms are those of the variables in which B has its spectrum, except "l2", which is
    that of the user's own.
    """
    if isinstance(norm, str):
        return None if norm == "l2" and isinstance(B, ScaledMatrix) else B
    if isinstance(B, np.ndarray):
        return ScaledMatrix.of_dense(B, norm)
    return B if isinstance(B, ScaledMatrix) and B.metric is norm else None
