"""Subproblems in shape-changing and ellipsoidal norms for a dense matrix, solved the slow way.

Like :mod:`tests.oracles.dense`, on which they rest, these functions say what the right answer
is, and share no code with the limited-memory solvers that are judged against them.

The shape-changing norms are built from r orthonormal eigenvectors of B, the columns of U.  With an
orthonormal basis Q of what is orthogonal to them, the matrix [U Q] is orthogonal and a step is
s = U v + Q w.  Since B U = U diag(lam), the quadratic has no term that mixes v and w, nor two
entries of v:

    g's + s'Bs / 2 = sum_i (a_i v_i + lam_i v_i^2 / 2) + (Q'g)'w + w'(Q'B Q)w / 2,    a = U'g.

Each norm is made of the sizes of such blocks alone, so that the problem comes apart into problems
of one variable and a problem in w with the Euclidean norm.  The former are solved by listing every
point that can be a minimiser and taking the best; the latter is the subject of `dense`.

In the solutions `multiplier` is an array with one number for each block.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from scipy.linalg import null_space

from tests.oracles import dense
from tests.oracles.dense import DenseSolution, _check_model, _check_positive, _check_real

BASIS_RTOL = float(np.sqrt(np.finfo(np.float64).eps))
"""Accepted in max |U'U - I|, and in max |B U - U diag(lam)| relative to max |B|: rounding in how U
was formed, but not a wrong U."""


def trust_region_shape_inf(
    g: np.ndarray, B: np.ndarray, U: np.ndarray, radius: float
) -> DenseSolution:
    r"""Minimise a quadratic, convex or not, over a box times a ball.

    .. math::

        \min_s \; g^T s + \tfrac12 s^T B s \quad \text{subject to} \quad
        \max \left( \|U^T s\|_\infty, \; \|(I - U U^T) s\|_2 \right) \le \Delta

    Parameters
    ----------
    g : array_like, shape (n,)
        Gradient of the model at zero.
    B : array_like, shape (n, n)
        Symmetric matrix; may be indefinite or singular.
    U : array_like, shape (n, r)
        Orthonormal eigenvectors of B in its columns; r may be 0 or n.
    radius : float, > 0
        Bound :math:`\Delta` on each component along an eigenvector, and on the length of the rest.

    Returns
    -------
    DenseSolution
        A global minimiser, its decrease, and r + 1 multipliers: one :math:`\sigma_i` for each
        eigenvector, and last :math:`\sigma_\perp` for the rest.  ``hard_case`` is True where the
        sign of a component, or a direction, is free.

    Notes
    -----
    Along the eigenvector :math:`u_i` the problem is
    :math:`\min a v + \tfrac12 \lambda v^2` over :math:`|v| \le \Delta`.  A minimiser is one of the
    two ends, or stationary: :math:`v = -a / \lambda`, or any v if both are zero, for which 0 is
    taken.  Where a stationary point comes near an end their values agree in more digits than a
    float has, so they are compared as fractions, without any rounding.  The multiplier of an end
    is :math:`\sigma_i = -a / v - \lambda`, of an inner point 0.

    A step of the region is a global minimiser if and only if multipliers :math:`\ge 0` exist,
    each 0 unless its block is at the bound, such that with
    :math:`C = U \mathrm{diag}(\sigma_1, \dots, \sigma_r) U^T + \sigma_\perp (I - U U^T)`

    .. math:: (B + C) s = -g, \qquad B + C \text{ positive semidefinite}.

    References
    ----------
    .. [1] O. Burdakov, L. Gong, S. Zikrin and Y. Yuan, "On efficiently combining limited-memory
       and trust-region techniques", Math. Program. Comput. 9 (2017), 101-134.
    .. [2] J. J. Brust, O. Burdakov, J. B. Erway and R. F. Marcia, "Algorithm 1030: SC-SR1: MATLAB
       software for limited-memory SR1 trust-region methods", ACM Trans. Math. Softw. 48 (2022).

    Examples
    --------
    One eigenvector with negative curvature goes to the end; the rest has an interior minimiser.

    >>> import numpy as np
    >>> from tests.oracles.dense_shape import trust_region_shape_inf
    >>> B, U = np.diag([-1.0, 2.0, 2.0]), np.eye(3)[:, :1]
    >>> solution = trust_region_shape_inf([-1.0, 2.0, 0.0], B, U, radius=3.0)
    >>> print(solution.step, solution.multiplier, solution.decrease)
    [ 3. -1.  0.] [1.33333333 0.        ] 8.5
    """
    g, B = _check_model(g, B)
    radius = _check_positive(radius, "radius")
    U = _check_basis(U, B)
    lam, a, Q, g_perp, B_perp = _split(g, B, U)

    blocks = [(U[:, [i]], _best_in_interval(lam[i], a[i], radius)) for i in range(lam.size)]
    rest = dense.trust_region_l2(g_perp, B_perp, radius) if Q.size else _EMPTY
    return _assemble([*blocks, (Q, rest)])


def trust_region_shape_2(
    g: np.ndarray, B: np.ndarray, U: np.ndarray, radius: float
) -> DenseSolution:
    r"""Minimise a quadratic, convex or not, over a product of two balls.

    .. math::

        \min_s \; g^T s + \tfrac12 s^T B s \quad \text{subject to} \quad
        \max \left( \|U^T s\|_2, \; \|(I - U U^T) s\|_2 \right) \le \Delta

    Parameters
    ----------
    g : array_like, shape (n,)
        Gradient of the model at zero.
    B : array_like, shape (n, n)
        Symmetric matrix; may be indefinite or singular.
    U : array_like, shape (n, r)
        Orthonormal eigenvectors of B in its columns; r may be 0 or n.
    radius : float, > 0
        Bound :math:`\Delta` on the length inside of the span of U, and on that outside.

    Returns
    -------
    DenseSolution
        A global minimiser, its decrease, and two multipliers: :math:`\sigma_\parallel` for the
        span of U and :math:`\sigma_\perp` for the rest.  That of a space {0} is 0.

    Notes
    -----
    Two problems as in :func:`tests.oracles.dense.trust_region_l2`, in v and in w.  The
    optimality conditions are those of :func:`trust_region_shape_inf` with
    :math:`C = \sigma_\parallel U U^T + \sigma_\perp (I - U U^T)`.

    References
    ----------
    .. [1] O. Burdakov, L. Gong, S. Zikrin and Y. Yuan, "On efficiently combining limited-memory
       and trust-region techniques", Math. Program. Comput. 9 (2017), 101-134.
    .. [2] J. J. Brust, O. Burdakov, J. B. Erway and R. F. Marcia, "Algorithm 1030: SC-SR1: MATLAB
       software for limited-memory SR1 trust-region methods", ACM Trans. Math. Softw. 48 (2022).

    Examples
    --------
    Both parts reach their bounds, each by itself: the step is longer than the radius.

    >>> import numpy as np
    >>> from tests.oracles.dense_shape import trust_region_shape_2
    >>> solution = trust_region_shape_2([8.0, 4.0], np.diag([2.0, 1.0]), [[1.0], [0.0]], radius=2.0)
    >>> print(solution.step, solution.multiplier, solution.decrease)
    [-2. -2.] [2. 1.] 18.0
    """
    g, B = _check_model(g, B)
    radius = _check_positive(radius, "radius")
    U = _check_basis(U, B)
    lam, a, Q, g_perp, B_perp = _split(g, B, U)

    inside = dense.trust_region_l2(a, np.diag(lam), radius) if U.size else _EMPTY
    rest = dense.trust_region_l2(g_perp, B_perp, radius) if Q.size else _EMPTY
    return _assemble([(U, inside), (Q, rest)])


def cubic_shape(g: np.ndarray, B: np.ndarray, U: np.ndarray, weight: float) -> DenseSolution:
    r"""Minimise a quadratic, convex or not, plus the cube of a shape-changing norm.

    .. math::

        \min_s \; g^T s + \tfrac12 s^T B s
        + \tfrac{w}{3} \left( \|U^T s\|_3^3 + \|(I - U U^T) s\|_2^3 \right)

    Parameters
    ----------
    g : array_like, shape (n,)
        Gradient of the model at zero.
    B : array_like, shape (n, n)
        Symmetric matrix; may be indefinite or singular.
    U : array_like, shape (n, r)
        Orthonormal eigenvectors of B in its columns; r may be 0 or n.
    weight : float, > 0
        Weight w of the cubic term.

    Returns
    -------
    DenseSolution
        A global minimiser, its decrease (of the whole model, cubic term included), and r + 1
        multipliers: :math:`w |v_i|` for each eigenvector, and last the weight times the length of
        the rest.  ``hard_case`` is True where the sign of a component, or a direction, is free.

    Notes
    -----
    Along the eigenvector :math:`u_i` the problem is
    :math:`\min a v + \tfrac12 \lambda v^2 + \tfrac{w}{3} |v|^3`.  With
    :math:`v = \varsigma t`, :math:`\varsigma = \pm 1` and :math:`t \ge 0`, its derivative vanishes
    at the roots of :math:`w t^2 + \lambda t + \varsigma a`.  The minimiser is one of those, for
    one sign or the other, or 0.

    On the complement of U the regulariser is the cube of the Euclidean norm, not the sum of the
    cubes of n - r coordinates.  That sum would depend on which basis Q is taken.

    References
    ----------
    .. [1] O. Burdakov, L. Gong, S. Zikrin and Y. Yuan, "On efficiently combining limited-memory
       and trust-region techniques", Math. Program. Comput. 9 (2017), 101-134.
    .. [2] C. Cartis, N. I. M. Gould and P. L. Toint, "Adaptive cubic regularisation methods for
       unconstrained optimization. Part I", Math. Program. 127 (2011), 245-295.

    Examples
    --------
    Where the gradient is zero, negative curvature still pays: -v^2 / 2 + |v|^3 / 6 is least at 2.

    >>> import numpy as np
    >>> from tests.oracles.dense_shape import cubic_shape
    >>> solution = cubic_shape([0.0, -2.0], np.diag([-1.0, 0.0]), [[1.0], [0.0]], weight=0.5)
    >>> print(abs(solution.step), solution.multiplier, solution.hard_case)
    [2. 2.] [1. 1.] True
    """
    g, B = _check_model(g, B)
    weight = _check_positive(weight, "weight")
    U = _check_basis(U, B)
    lam, a, Q, g_perp, B_perp = _split(g, B, U)

    blocks = [(U[:, [i]], _best_on_line(lam[i], a[i], weight)) for i in range(lam.size)]
    rest = dense.cubic_l2(g_perp, B_perp, weight) if Q.size else _EMPTY
    return _assemble([*blocks, (Q, rest)])


def trust_region_diagonal(
    g: np.ndarray, B: np.ndarray, d: np.ndarray, radius: float
) -> DenseSolution:
    r"""Minimise a quadratic, convex or not, over an ellipsoid whose axes are the coordinates.

    .. math::

        \min_s \; g^T s + \tfrac12 s^T B s \quad \text{subject to} \quad
        \|s\|_A = \sqrt{s^T A s} \le \Delta, \qquad A = \mathrm{diag}(d)

    Parameters
    ----------
    g : array_like, shape (n,)
        Gradient of the model at zero.
    B : array_like, shape (n, n)
        Symmetric matrix; may be indefinite or singular.
    d : array_like, shape (n,), > 0
        Diagonal of A.
    radius : float, > 0
        Radius :math:`\Delta`, in the norm of A.

    Returns
    -------
    DenseSolution
        A global minimiser, its decrease, and its multiplier: a number x with
        :math:`(B + x A) s = -g` and :math:`B + x A` positive semidefinite.

    Notes
    -----
    The variables :math:`p = A^{1/2} s` turn the ellipsoid into the ball :math:`\|p\|_2 \le \Delta`,
    g into :math:`A^{-1/2} g` and B into :math:`A^{-1/2} B A^{-1/2}`.

    References
    ----------
    .. [1] A. R. Conn, N. I. M. Gould and P. L. Toint, "Trust-Region Methods", SIAM, 2000,
       chapter 7.

    Examples
    --------
    >>> import numpy as np
    >>> from tests.oracles.dense_shape import trust_region_diagonal
    >>> solution = trust_region_diagonal([-8.0, 0.0], np.eye(2), d=[4.0, 1.0], radius=2.0)
    >>> print(solution.step, solution.multiplier)
    [1. 0.] 1.75
    """
    g, B, root = _check_ellipsoid(g, B, d)
    return _from_ball(dense.trust_region_l2(*_to_ball(g, B, root), radius), root)


def cubic_diagonal(g: np.ndarray, B: np.ndarray, d: np.ndarray, weight: float) -> DenseSolution:
    r"""Minimise a quadratic, convex or not, plus the cube of an ellipsoidal norm.

    .. math::

        \min_s \; g^T s + \tfrac12 s^T B s + \tfrac{w}{3} \|s\|_A^3,
        \qquad \|s\|_A = \sqrt{s^T A s}, \quad A = \mathrm{diag}(d)

    Parameters
    ----------
    g : array_like, shape (n,)
        Gradient of the model at zero.
    B : array_like, shape (n, n)
        Symmetric matrix; may be indefinite or singular.
    d : array_like, shape (n,), > 0
        Diagonal of A.
    weight : float, > 0
        Weight w of the cubic term.

    Returns
    -------
    DenseSolution
        A global minimiser, its decrease (of the whole model, cubic term included), and its
        multiplier :math:`x = w \|s\|_A`, for which :math:`(B + x A) s = -g` and
        :math:`B + x A` is positive semidefinite.

    Notes
    -----
    The change of variables is that of :func:`trust_region_diagonal`.

    References
    ----------
    .. [1] C. Cartis, N. I. M. Gould and P. L. Toint, "Adaptive cubic regularisation methods for
       unconstrained optimization. Part I", Math. Program. 127 (2011), 245-295.

    Examples
    --------
    In one variable and with p = 2 s: -4 p + p^2 / 2 + |p|^3 / 2, least where 3 p^2 / 2 + p = 4.

    >>> from tests.oracles.dense_shape import cubic_diagonal
    >>> solution = cubic_diagonal([-8.0], [[4.0]], d=[4.0], weight=1.5)
    >>> print(f"{solution.step[0]:.6f} {solution.multiplier:.6f}")
    0.666667 2.000000
    """
    g, B, root = _check_ellipsoid(g, B, d)
    return _from_ball(dense.cubic_l2(*_to_ball(g, B, root), weight), root)


# Problems of one variable ------------------------------------------------------------------------


def _best_in_interval(curvature: float, slope: float, radius: float) -> DenseSolution:
    """Minimise ``slope v + curvature v^2 / 2`` over ``|v| <= radius`` among all candidates."""
    lam, a, Delta = Fraction(curvature), Fraction(slope), Fraction(radius)
    if lam != 0:
        stationary = [-a / lam]
    else:
        stationary = [Fraction(0)] if a == 0 else []
    candidates = [v for v in stationary if abs(v) <= Delta] + [-Delta, Delta]

    def model(v: Fraction) -> Fraction:
        return a * v + lam * v**2 / 2

    v = min(candidates, key=model)
    multiplier = -a / v - lam if abs(v) == Delta else Fraction(0)
    step = np.array([float(v)])
    return DenseSolution(step, float(-model(v)), float(multiplier), a == 0 and lam < 0)


def _best_on_line(lam: float, a: float, weight: float) -> DenseSolution:
    """Minimise ``a v + lam v^2 / 2 + weight |v|^3 / 3`` among all candidates."""
    lam, a = float(lam), float(a)
    # The side on which the gradient falls comes first: it wins where the values are equal.
    down = -math.copysign(1.0, a)
    candidates = [
        sign * t for sign in (down, -down) for t in _real_roots(weight, lam, sign * a) if t > 0
    ]

    def model(v: float) -> float:
        return a * v + lam * v**2 / 2 + weight * abs(v) ** 3 / 3

    v = min([*candidates, 0.0], key=model)
    return DenseSolution(np.array([v]), 0.0 - model(v), weight * abs(v), a == 0 and lam < 0)


def _real_roots(p2: float, p1: float, p0: float) -> list[float]:
    """Return the real roots of ``p2 t^2 + p1 t + p0``, p2 > 0, each to full relative accuracy.

    The textbook formula subtracts in one of the roots.  So only the other is found from it, and
    the product of both is p0 / p2.
    """
    cross = 2 * math.sqrt(p2) * math.sqrt(abs(p0))
    if p0 > 0:
        if abs(p1) < cross:
            return []
        root = math.sqrt(abs(p1) - cross) * math.sqrt(abs(p1) + cross)
    else:
        root = math.hypot(p1, cross)
    q = -(p1 + math.copysign(root, p1)) / 2
    return [q / p2, p0 / q] if q != 0 else [0.0]


# Blocks ------------------------------------------------------------------------------------------

_EMPTY = DenseSolution(np.zeros(0), 0.0, 0.0, False)
"""The solution of a problem without variables."""


def _split(
    g: np.ndarray, B: np.ndarray, U: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return lam and a = U'g of the eigenvectors; Q, Q'g and Q'B Q of the rest.

    A zero eigenvalue, or a zero component of g, comes out of these products as 1e-16.  What cannot
    be told from zero is set to zero, as in `dense` and for the same reason.
    """
    Q = null_space(U.T)
    lam, a = np.diag(U.T @ B @ U), U.T @ g
    g_perp, B_perp = Q.T @ g, Q.T @ B @ Q
    if np.count_nonzero(U) == U.shape[1] and not np.any(B - np.diag(np.diag(B))):
        # Coordinate vectors and a diagonal matrix: the products are exact.
        return lam, a, Q, g_perp, B_perp

    rounding = dense.EIGH_ROUNDING * g.size * np.finfo(np.float64).eps
    of_B, of_g = rounding * np.linalg.norm(B, 2), rounding * np.linalg.norm(g)
    lam = np.where(np.abs(lam) <= of_B, 0.0, lam)
    a = np.where(np.abs(a) <= of_g, 0.0, a)
    if np.linalg.norm(g_perp) <= of_g:
        g_perp = np.zeros_like(g_perp)
    if B_perp.size and np.linalg.norm(B_perp, 2) <= of_B:
        B_perp = np.zeros_like(B_perp)
    return lam, a, Q, g_perp, (B_perp + B_perp.T) / 2


def _assemble(blocks: list[tuple[np.ndarray, DenseSolution]]) -> DenseSolution:
    """Put together the solutions in the spaces that the columns of each basis span."""
    return DenseSolution(
        step=sum(basis @ part.step for basis, part in blocks),
        decrease=sum(part.decrease for _, part in blocks),
        multiplier=np.array([part.multiplier for _, part in blocks]),
        hard_case=any(part.hard_case for _, part in blocks),
    )


def _to_ball(g: np.ndarray, B: np.ndarray, root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    inverse = np.diag(1 / root)
    return inverse @ g, inverse @ B @ inverse


def _from_ball(solution: DenseSolution, root: np.ndarray) -> DenseSolution:
    step = np.diag(1 / root) @ solution.step
    return DenseSolution(step, solution.decrease, solution.multiplier, solution.hard_case)


# Arguments ---------------------------------------------------------------------------------------


def _check_basis(U: np.ndarray, B: np.ndarray) -> np.ndarray:
    U = _check_real(U, "U")
    n = B.shape[0]
    if U.ndim != 2 or U.shape[0] != n or U.shape[1] > n:
        raise ValueError(f"U must have shape ({n}, r) with r <= {n} to match B, got {U.shape}")
    if np.max(np.abs(U.T @ U - np.eye(U.shape[1])), initial=0.0) > BASIS_RTOL:
        raise ValueError("the columns of U must be orthonormal")
    residual = B @ U - U * np.diag(U.T @ B @ U)
    if np.max(np.abs(residual), initial=0.0) > BASIS_RTOL * np.max(np.abs(B)):
        raise ValueError("the columns of U must be eigenvectors of B")
    return U


def _check_ellipsoid(
    g: np.ndarray, B: np.ndarray, d: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return g, B and the square roots of d."""
    g, B = _check_model(g, B)
    d = _check_real(d, "d")
    if d.shape != g.shape:
        raise ValueError(f"d must have shape {g.shape} to match g, got {d.shape}")
    if not np.all(d > 0):
        raise ValueError(f"d must be positive, its least entry is {np.min(d)}")
    return g, B, np.sqrt(d)
