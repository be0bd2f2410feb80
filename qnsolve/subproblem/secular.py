"""The secular equation of the l2 norm, in the shift measured from its lower bound."""

from __future__ import annotations

import math

import numpy as np

EPS = float(np.finfo(float).eps)
MAX_NEWTON = 100
"""Limit on Newton steps; a dozen is usual, since 1/||p|| is nearly linear in the shift."""


def boundary_shift(base: np.ndarray, a: np.ndarray) -> tuple[float, int, bool]:
    r"""Solve :math:`\| a / (base + \delta) \|_2 = 1` for :math:`\delta \ge 0`.

    Parameters
    ----------
    base : ndarray, shape (r,)
        Eigenvalues of the matrix shifted by its least admissible multiplier: all >= 0.
    a : ndarray, shape (r,)
        Components of the gradient, none of them zero, with ``||a / base|| > 1``.

    Returns
    -------
    delta : float
    nit : int
        Newton steps.
    converged : bool

    Notes
    -----
    Newton's method on :math:`\phi(\delta) = 1 / \|p(\delta)\| - 1`, which is concave and
    increasing: from a point left of the root it stays left of it and increases.  Each single
    component bounds the root from below, :math:`\delta \ge |a_i| - base_i`, which gives such a
    start (Conn, Gould and Toint 2000, section 7.3.3).  Since delta is measured from the least
    admissible multiplier, the sums ``base + delta`` do not cancel, however near the hard case is.
    """
    delta = max(0.0, float((np.abs(a) - base).max()))
    # Where the shift is below the range of 1 / x the increase is too.
    with np.errstate(over="ignore"):
        for nit in range(1, MAX_NEWTON + 1):
            shifted = base + delta
            p = a / shifted
            square = float(np.vdot(p, p))
            excess = math.sqrt(square) - 1.0
            increase = excess * square / float(np.vdot(p, p / shifted))
            # The second test ends a run that has reached the last bit of delta.
            if excess <= 4.0 * EPS or delta + increase == delta:
                return delta, nit, True
            delta += increase
    return delta, MAX_NEWTON, False
