r"""Scalable test functions with gradients.

Each factory takes the number of variables n and returns a :class:`~qnsolve.problems.Problem`.  A
value and its gradient cost O(n) together.  The functions accept the arrays of any library that
follows the Python array API standard, and complex arrays, which the complex-step check needs.

References
----------
.. [MGH] J. J. Moré, B. S. Garbow and K. E. Hillstrom, "Testing unconstrained optimization
   software", ACM Trans. Math. Softw. 7 (1981), 17-41.  Numbers are those of its section 3.
.. [LV] L. Lukšan and J. Vlček, "Sparse and partially separable test problems for unconstrained and
   equality constrained optimization", Report V-767, Czech Academy of Sciences, 1999.
.. [LMV] L. Lukšan, C. Matonoha and J. Vlček, "Modified CUTE problems for sparse unconstrained
   optimization", Report V-1081, Czech Academy of Sciences, 2010.
"""

from __future__ import annotations

import math
import operator
from functools import partial
from typing import Any

import numpy as np

from qnsolve.arrays.libraries import Array, device_of, namespace_of, placement
from qnsolve.problems.problem import Problem

Value = tuple[Any, Array]

# The functions are at module level, not closures, so that problems can be pickled.


def extended_rosenbrock(n: int = 100) -> Problem:
    r"""Return n/2 independent Rosenbrock valleys, problem 21 of [MGH]_.

    .. math::

        f(x) = \sum_{i=1}^{n/2} 100 (x_{2i} - x_{2i-1}^2)^2 + (1 - x_{2i-1})^2,
        \qquad x_0 = (-1.2, 1, -1.2, 1, \dots)

    Parameters
    ----------
    n : int, even

    Returns
    -------
    Problem
        Minimum 0 at (1, ..., 1).

    Examples
    --------
    >>> from qnsolve.problems import extended_rosenbrock
    >>> problem = extended_rosenbrock(4)
    >>> f, g = problem.fun(problem.x0)
    >>> round(float(f), 10)
    48.4
    """
    n = _check_n("extended_rosenbrock", n, least=2, multiple_of=2)
    x0 = np.tile([-1.2, 1.0], n // 2)
    return Problem(
        "extended-rosenbrock", n, x0, _extended_rosenbrock, 0.0, "MGH 21", x_min=np.ones(n)
    )


def _extended_rosenbrock(x: Array) -> Value:
    u, v = x[0::2], x[1::2]
    valley, slope = v - u * u, 1.0 - u
    f = 100.0 * (valley @ valley) + slope @ slope
    return f, _interleave(-400.0 * u * valley - 2.0 * slope, 200.0 * valley)


def chained_rosenbrock(n: int = 100) -> Problem:
    r"""Return the Rosenbrock function in which each variable is tied to the next.

    .. math::

        f(x) = \sum_{i=1}^{n-1} 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2,
        \qquad x_0 = (-1.2, 1, -1.2, 1, \dots)

    Problem 5.1 of [LV]_ without its constraints; ``scipy.optimize.rosen`` is the same function.

    Parameters
    ----------
    n : int, >= 2

    Returns
    -------
    Problem
        Minimum 0 at (1, ..., 1).  For n >= 4 there is another local minimiser near
        (-1, 1, ..., 1), with a value near 4.

    Examples
    --------
    >>> from qnsolve.problems import chained_rosenbrock
    >>> problem = chained_rosenbrock(3)
    >>> f, g = problem.fun(problem.x_min)
    >>> float(f), float(abs(g).max())
    (0.0, 0.0)
    """
    n = _check_n("chained_rosenbrock", n, least=2)
    x0 = np.ones(n)
    x0[0::2] = -1.2
    return Problem(
        "chained-rosenbrock", n, x0, _chained_rosenbrock, 0.0, "LV 5.1", x_min=np.ones(n)
    )


def _chained_rosenbrock(x: Array) -> Value:
    head = x[:-1]
    valley, slope = x[1:] - head * head, 1.0 - head
    f = 100.0 * (valley @ valley) + slope @ slope
    return f, _chain(-400.0 * head * valley - 2.0 * slope, 200.0 * valley)


def powell_singular(n: int = 100) -> Problem:
    r"""Return the extended Powell singular function, problem 22 of [MGH]_.

    .. math::

        f(x) = \sum_{i=1}^{n/4} (x_{4i-3} + 10 x_{4i-2})^2 + 5 (x_{4i-1} - x_{4i})^2
        + (x_{4i-2} - 2 x_{4i-1})^4 + 10 (x_{4i-3} - x_{4i})^4,
        \qquad x_0 = (3, -1, 0, 1, \dots)

    Parameters
    ----------
    n : int, multiple of 4

    Returns
    -------
    Problem
        Minimum 0 at the origin, where half of the Hessian's eigenvalues vanish: superlinear
        convergence is not to be had.

    Examples
    --------
    >>> from qnsolve.problems import powell_singular
    >>> problem = powell_singular(4)
    >>> float(problem.fun(problem.x0)[0])
    215.0
    """
    n = _check_n("powell_singular", n, least=4, multiple_of=4)
    x0 = np.tile([3.0, -1.0, 0.0, 1.0], n // 4)
    return Problem("powell-singular", n, x0, _powell_singular, 0.0, "MGH 22", x_min=np.zeros(n))


def _powell_singular(x: Array) -> Value:
    a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
    r1, r2, r3, r4 = a + 10.0 * b, c - d, b - 2.0 * c, a - d
    q3, q4 = r3 * r3, r4 * r4
    f = r1 @ r1 + 5.0 * (r2 @ r2) + q3 @ q3 + 10.0 * (q4 @ q4)
    d1, d2, d3, d4 = 2.0 * r1, 10.0 * r2, 4.0 * q3 * r3, 40.0 * q4 * r4
    return f, _interleave(d1 + d4, 10.0 * d1 + d3, d2 - 2.0 * d3, -d2 - d4)


def dixon_price(n: int = 100) -> Problem:
    r"""Return the Dixon-Price function.

    .. math::

        f(x) = (x_1 - 1)^2 + \sum_{i=2}^{n} i \, (2 x_i^2 - x_{i-1})^2,
        \qquad x_0 = (1, \dots, 1)

    From L. C. W. Dixon and R. C. Price, "Truncated Newton method for sparse unconstrained
    optimization using automatic differentiation", J. Optim. Theory Appl. 60 (1989), 261-275.
    The literature has no common starting point; this one is a choice.

    Parameters
    ----------
    n : int, >= 2

    Returns
    -------
    Problem
        Minimum 0 at :math:`x_i = 2^{-(2^i - 2)/2^i}`; the sign of :math:`x_n` is free.

    Examples
    --------
    >>> from qnsolve.problems import dixon_price
    >>> problem = dixon_price(10)
    >>> float(problem.fun(problem.x0)[0])
    54.0
    """
    n = _check_n("dixon_price", n, least=2)
    i = np.arange(1.0, n + 1.0)
    # (2^i - 2) / 2^i written so that it does not overflow for large i.
    x_min = 2.0 ** (2.0 ** (1.0 - i) - 1.0)
    fun = partial(_dixon_price, i[1:])
    source = "Dixon and Price (1989)"
    return Problem("dixon-price", n, np.ones(n), fun, 0.0, source, x_min=x_min)


def _dixon_price(weights: np.ndarray, x: Array) -> Value:
    xp = namespace_of(x)
    tail = x[1:]
    r = 2.0 * tail * tail - x[:-1]
    wr = _like(weights, x) * r
    start = x[:1] - 1.0
    f = start @ start + wr @ r
    g = _chain(-2.0 * wr, 8.0 * wr * tail)
    return f, xp.concat([g[:1] + 2.0 * start, g[1:]])


def broyden_tridiagonal(n: int = 100) -> Problem:
    r"""Return the Broyden tridiagonal function as a sum of squares, problem 30 of [MGH]_.

    .. math::

        f(x) = \sum_{i=1}^{n} \bigl( (3 - 2 x_i) x_i - x_{i-1} - 2 x_{i+1} + 1 \bigr)^2,
        \quad x_0 = x_{n+1} = 0,
        \qquad \text{start } (-1, \dots, -1)

    Parameters
    ----------
    n : int, >= 1

    Returns
    -------
    Problem
        Minimum 0; the minimiser has no closed form.  Other local minimisers have values above 0.

    Examples
    --------
    >>> from qnsolve.problems import broyden_tridiagonal
    >>> problem = broyden_tridiagonal(5)
    >>> float(problem.fun(problem.x0)[0])
    16.0
    """
    n = _check_n("broyden_tridiagonal", n, least=1)
    return Problem("broyden-tridiagonal", n, np.full(n, -1.0), _broyden_tridiagonal, 0.0, "MGH 30")


def _broyden_tridiagonal(x: Array) -> Value:
    xp = namespace_of(x)
    zero = xp.zeros_like(x[:1])
    r = (3.0 - 2.0 * x) * x + 1.0
    r = r - xp.concat([zero, x[:-1]]) - 2.0 * xp.concat([x[1:], zero])
    f = r @ r
    g = (6.0 - 8.0 * x) * r - 2.0 * xp.concat([r[1:], zero]) - 4.0 * xp.concat([zero, r[:-1]])
    return f, g


def trigonometric(n: int = 100) -> Problem:
    r"""Return the trigonometric function as a sum of squares, problem 26 of [MGH]_.

    .. math::

        f(x) = \sum_{i=1}^{n} \Bigl( n - \sum_{j=1}^{n} \cos x_j + i (1 - \cos x_i)
        - \sin x_i \Bigr)^2,
        \qquad x_0 = (1/n, \dots, 1/n)

    Parameters
    ----------
    n : int, >= 1

    Returns
    -------
    Problem
        Minimum 0, among others at the origin.  There are many local minimisers.

    Examples
    --------
    >>> from qnsolve.problems import trigonometric
    >>> problem = trigonometric(10)
    >>> round(float(problem.fun(problem.x0)[0]), 6)
    0.007076
    """
    n = _check_n("trigonometric", n, least=1)
    x0 = np.full(n, 1.0 / n)
    fun = partial(_trigonometric, np.arange(1.0, n + 1.0))
    return Problem("trigonometric", n, x0, fun, 0.0, "MGH 26", x_min=np.zeros(n))


def _trigonometric(weights: np.ndarray, x: Array) -> Value:
    xp = namespace_of(x)
    i = _like(weights, x)
    cos, sin = xp.cos(x), xp.sin(x)
    r = xp.sum(1.0 - cos) + i * (1.0 - cos) - sin
    f = r @ r
    return f, 2.0 * (sin * xp.sum(r) + r * (i * sin - cos))


def cosine(n: int = 100) -> Problem:
    r"""Return the chain of cosines, problem 6 of [LMV]_.

    .. math::

        f(x) = \sum_{i=1}^{n-1} \cos\bigl( x_i^2 - \tfrac12 x_{i+1} \bigr),
        \qquad x_0 = (1, \dots, 1)

    Parameters
    ----------
    n : int, >= 2

    Returns
    -------
    Problem
        Minimum -(n - 1), among others where all :math:`x_i` equal the positive root of
        :math:`x^2 - x/2 = \pi`.  Saddle points and maxima abound.

    Examples
    --------
    >>> from qnsolve.problems import cosine
    >>> problem = cosine(11)
    >>> problem.f_min, round(float(problem.fun(problem.x_min)[0]), 12)
    (-10.0, -10.0)
    """
    n = _check_n("cosine", n, least=2)
    x_min = np.full(n, (0.5 + math.sqrt(0.25 + 4.0 * math.pi)) / 2.0)
    return Problem("cosine", n, np.ones(n), _cosine, -(n - 1.0), "LMV 6", x_min=x_min)


def _cosine(x: Array) -> Value:
    xp = namespace_of(x)
    head = x[:-1]
    angle = head * head - 0.5 * x[1:]
    sin = xp.sin(angle)
    return xp.sum(xp.cos(angle)), _chain(-2.0 * head * sin, 0.5 * sin)


def styblinski_tang(n: int = 100) -> Problem:
    r"""Return the Styblinski-Tang function: n double wells with unequal depths.

    .. math::

        f(x) = \tfrac12 \sum_{i=1}^{n} x_i^4 - 16 x_i^2 + 5 x_i,
        \qquad (x_0)_i = -1 + 2 \, \frac{i - 1}{n - 1}

    From M. A. Styblinski and T.-S. Tang, "Experiments in nonconvex optimization: stochastic
    approximation with function smoothing and simulated annealing", Neural Networks 3 (1990),
    467-483.  The start is a choice: every eigenvalue of the Hessian is negative there, and both
    wells attract some of the variables.

    Parameters
    ----------
    n : int, >= 1

    Returns
    -------
    Problem
        Minimum near -39.166 n, all variables near -2.9035.  Of the :math:`2^n` local minimisers
        a descent method finds one near its start, seldom the global one.

    Examples
    --------
    >>> from qnsolve.problems import styblinski_tang
    >>> round(styblinski_tang(10).f_min, 6)
    -391.661657
    """
    n = _check_n("styblinski_tang", n, least=1)
    # The least root of 2 x^3 - 16 x + 5/2, by the trigonometric form of the cubic formula.
    angle = math.acos(-(15.0 / 64.0) * math.sqrt(3.0 / 8.0)) / 3.0
    x_min = np.full(n, 2.0 * math.sqrt(8.0 / 3.0) * math.cos(angle + 2.0 * math.pi / 3.0))
    f_min = float(_styblinski_tang(x_min)[0])
    source = "Styblinski and Tang (1990)"
    x0 = np.linspace(-1.0, 1.0, n)
    return Problem("styblinski-tang", n, x0, _styblinski_tang, f_min, source, x_min=x_min)


def _styblinski_tang(x: Array) -> Value:
    square = x * x
    f = 0.5 * (((square - 16.0) * x + 5.0) @ x)
    return f, (2.0 * square - 16.0) * x + 2.5


def woods(n: int = 100) -> Problem:
    r"""Return n/4 independent Wood functions, problem 14 of [MGH]_.

    .. math::

        f(x) = \sum_{i=1}^{n/4} 100 (b_i - a_i^2)^2 + (1 - a_i)^2 + 90 (d_i - c_i^2)^2
        + (1 - c_i)^2 + 10 (b_i + d_i - 2)^2 + \tfrac{1}{10} (b_i - d_i)^2

    with :math:`(a_i, b_i, c_i, d_i) = (x_{4i-3}, x_{4i-2}, x_{4i-1}, x_{4i})`, started at
    (-3, -1, -3, -1, ...).

    Parameters
    ----------
    n : int, multiple of 4

    Returns
    -------
    Problem
        Minimum 0 at (1, ..., 1).  A nearly stationary, indefinite point lies on the way.

    Examples
    --------
    >>> from qnsolve.problems import woods
    >>> problem = woods(4)
    >>> float(problem.fun(problem.x0)[0])
    19192.0
    """
    n = _check_n("woods", n, least=4, multiple_of=4)
    x0 = np.tile([-3.0, -1.0], n // 2)
    return Problem("woods", n, x0, _woods, 0.0, "MGH 14", x_min=np.ones(n))


def _woods(x: Array) -> Value:
    a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
    r1, r2, r3, r4 = b - a * a, 1.0 - a, d - c * c, 1.0 - c
    r5, r6 = b + d - 2.0, b - d
    f = 100.0 * (r1 @ r1) + r2 @ r2 + 90.0 * (r3 @ r3) + r4 @ r4
    f = f + 10.0 * (r5 @ r5) + 0.1 * (r6 @ r6)
    together, apart = 20.0 * r5, 0.2 * r6
    g = _interleave(
        -400.0 * a * r1 - 2.0 * r2,
        200.0 * r1 + together + apart,
        -360.0 * c * r3 - 2.0 * r4,
        180.0 * r3 + together - apart,
    )
    return f, g


def monkey_saddle(n: int = 100) -> Problem:
    r"""Return n/2 monkey saddles, bounded below by a quartic, started close to the saddle.

    .. math::

        f(x) = \sum_{i=1}^{n/2} u_i^3 - 3 u_i v_i^2 + \tfrac14 (u_i^2 + v_i^2)^2,
        \qquad (u_i, v_i) = (x_{2i-1}, x_{2i})

    The start is :math:`(u_i, v_i) = \tfrac{1}{10} (\cos i, \sin i)`.  The cubic is harmonic, so
    the Hessian there has one negative and one positive eigenvalue per pair.

    Parameters
    ----------
    n : int, even

    Returns
    -------
    Problem
        Minimum -27/4 per pair, at (-3, 0) and its rotations by 120 degrees.  At the origin both
        the gradient and the Hessian vanish.

    Examples
    --------
    >>> from qnsolve.problems import monkey_saddle
    >>> problem = monkey_saddle(4)
    >>> problem.f_min, float(problem.fun(problem.x_min)[0])
    (-13.5, -13.5)
    """
    n = _check_n("monkey_saddle", n, least=2, multiple_of=2)
    i = np.arange(1.0, n // 2 + 1.0)
    x0 = 0.1 * np.column_stack([np.cos(i), np.sin(i)]).ravel()
    x_min = np.tile([-3.0, 0.0], n // 2)
    source = "made for this package"
    return Problem("monkey-saddle", n, x0, _monkey_saddle, -6.75 * (n // 2), source, x_min=x_min)


def _monkey_saddle(x: Array) -> Value:
    u, v = x[0::2], x[1::2]
    uu, vv = u * u, v * v
    rr = uu + vv
    f = (uu - 3.0 * vv) @ u + 0.25 * (rr @ rr)
    return f, _interleave(3.0 * (uu - vv) + rr * u, (rr - 6.0 * u) * v)


def convex_quadratic(n: int = 100, condition: float = 1e4) -> Problem:
    r"""Return a convex quadratic with eigenvalues spread evenly on a logarithmic scale.

    .. math::

        f(x) = \tfrac12 \sum_{i=1}^{n} d_i (x_i - 1)^2,
        \quad d_i = \kappa^{(i-1)/(n-1)},
        \qquad x_0 = (0, \dots, 0)

    The Hessian is diagonal without loss of generality for methods that are invariant under
    rotations, as all quasi-Newton methods started from a multiple of the identity are.

    Parameters
    ----------
    n : int, >= 1
    condition : float, >= 1
        Condition number :math:`\kappa` of the Hessian.

    Returns
    -------
    Problem
        Minimum 0 at (1, ..., 1).

    Examples
    --------
    >>> from qnsolve.problems import convex_quadratic
    >>> problem = convex_quadratic(3, condition=100.0)
    >>> (-problem.fun(problem.x0)[1]).tolist()
    [1.0, 10.0, 100.0]
    """
    n = _check_n("convex_quadratic", n, least=1)
    if not 1.0 <= condition < math.inf:
        raise ValueError(f"convex_quadratic: condition must be finite and >= 1, got {condition!r}")
    fun = partial(_convex_quadratic, np.geomspace(1.0, condition, n))
    source = "made for this package"
    return Problem("convex-quadratic", n, np.zeros(n), fun, 0.0, source, x_min=np.ones(n))


def _convex_quadratic(eigenvalues: np.ndarray, x: Array) -> Value:
    e = x - 1.0
    g = _like(eigenvalues, x) * e
    return 0.5 * (g @ e), g


def _check_n(name: str, n: int, *, least: int, multiple_of: int = 1) -> int:
    n = operator.index(n)
    if n < least or n % multiple_of:
        wanted = f"at least {least}"
        if multiple_of > 1:
            wanted = f"a positive multiple of {multiple_of}"
        raise ValueError(f"{name}: n must be {wanted}, got {n}")
    return n


def _like(a: np.ndarray, x: Array) -> Array:
    """Return `a` in the library, dtype and device of `x`; for NumPy float64 no copy."""
    xp = namespace_of(x)
    return xp.asarray(a, dtype=x.dtype, **placement(device_of(x)))


def _interleave(*parts: Array) -> Array:
    """Return (p1[0], p2[0], ..., p1[1], p2[1], ...)."""
    xp = namespace_of(parts[0])
    return xp.reshape(xp.stack(parts, axis=1), (-1,))


def _chain(head: Array, tail: Array) -> Array:
    """Return the gradient of a sum over neighbours: `head` for x_i, `tail` for x_{i+1}."""
    xp = namespace_of(head)
    return xp.concat([head[:1], head[1:] + tail[:-1], tail[-1:]])
