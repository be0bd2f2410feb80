"""Every tolerance of the test suite, by name, with its reason.

A tolerance is a number of roundings times what is rounded.  Nothing here is absolute.
"""

from __future__ import annotations

import numpy as np

from qnsolve.quasi_newton.spectrum import CANCELLATION

EPS = float(np.finfo(np.float64).eps)

EXTENDED_EPS = float(np.finfo(np.longdouble).eps)
"""Rounding of the tests' own arithmetic; equals EPS on machines without 80-bit floats."""

FEASIBILITY_RTOL = 8 * EPS
"""Length of a step against the radius: one scaling, and the rounding of each entry."""

SPECTRAL_GAP_RTOL = 16 * EPS
"""Gap to the dual bound, relative to the decrease, when eigenvalues and components are given as
numbers: all terms have one sign, so only the roundings of a few operations remain (seen: 4 EPS)."""

WEAK_DUALITY_RTOL = 64 * EXTENDED_EPS
"""How far below the bound extended arithmetic may put a feasible value: its own roundings."""

DATA_ROUNDINGS = 8.0
"""Roundings, in units of n eps, made by forming U diag(lam) U' and by decomposing it again."""

SECULAR_ROUNDINGS = 16.0
"""Roundings, in units of eps, in the length of a step as a function of the multiplier."""

ORACLE_RTOL = 1e-10
"""Agreement in the decrease with a foreign solver that stops at about 2e-12."""


GRAM_DRIFT = 100 * EPS
"""Error of a Gram entry relative to |w_i| |w_j|: at most 68 EPS were seen in 1,000 iterations."""


LIBRARY_ROUNDINGS = 1e3
"""Difference of the iterates in two libraries after 8 iterations, in units of eps max|x|, on a
problem that does not amplify it: every library adds up in its own order (seen: 10)."""


def model_tolerance(n: int, norm_g: float, norm_B: float, reach: float, eps: float = EPS) -> float:
    """Uncertainty of a quadratic model's minimum when g and B are known to rounding.

    Perturbing g and B moves the minimum by at most ``||dg|| ||s|| + ||dB|| ||s||^2 / 2``; `reach`
    bounds the lengths of the minimisers s before and after.
    """
    return DATA_ROUNDINGS * n * eps * (norm_g * reach + norm_B * reach**2)


def stationarity_tolerance(
    n: int, norm_g: float, norm_B: float, multiplier: float, norm_s: float, eps: float = EPS
) -> float:
    """Rounding in ``(B + x I) s + g``: that of its terms, each of which may be far larger."""
    return DATA_ROUNDINGS * n * eps * (norm_g + (norm_B + multiplier) * norm_s)


def curvature_tolerance(n: int, norm_B: float, eps: float = EPS) -> float:
    """Error of an eigenvalue of B: a small multiple of n eps ||B||, however small it is itself."""
    return DATA_ROUNDINGS * n * eps * norm_B


def compact_tolerance(growth: float) -> float:
    """Entries of a compact matrix against the recursion, relative to the matrix's norm.

    `growth` multiplies the largest |r| |s| / |r's| met, the norm of an intermediate matrix relative
    to the first, and the condition of the inner matrix: no rounding error grows by more.
    """
    return 1e3 * EPS * growth


def block_tolerance(n: int, eps: float = EPS) -> float:
    """Length of one block of a rotated step relative to the radius.

    Turning a step into coordinates rounds each of them relative to the whole step, which may have
    up to n blocks that long.
    """
    return DATA_ROUNDINGS * n * eps


def split_loss(norm_g: float, norm_perp: float) -> float:
    """Growth of the rounding of ||g|| in ||g_perp||, absolute, where the latter is found from
    a difference of squares; the growth of its relative error is the square of this."""
    if norm_perp < CANCELLATION / 2 * norm_g:
        return 1.0  # g_perp was formed
    return norm_g / norm_perp if norm_perp > 0.0 else 1.0


DESCENT_RTOL = 1e-12
"""Value at which a descent ends that stops at a gradient of about 1e-9: the square of that, and
the rounding of the model."""

STATIONARITY_RTOL = 16 * EPS
"""Residual of ``(lam + sigma) p = -a`` in coordinates, relative to the sizes of its terms: a
division, a scaling and the three operations of the residual itself, in a few coordinates."""

CURVATURE_RTOL = 4 * EPS
"""How far below zero ``lam + sigma`` may be, relative to |lam| + sigma: sigma's own rounding."""

MULTIPLIER_RTOL = 8 * EPS
"""Closed forms against each other: a root, a sum and two divisions, all of positive numbers."""
