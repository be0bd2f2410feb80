"""The default method with n x n matrices: SR1 re-applied on L-BFGS in an l2 trust region.

By the rules of `docs/` and the printed updates, one by one.  Left out is what only ends a run, and
what happens where f or g is not finite.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.linalg import norm

from tests.reference.dense import trust_region_l2

EPS = np.finfo(float).eps

FEW = 12
"""Largest number of variables for which all pairs are re-applied."""


def cosine(u, v):
    return u @ v / (norm(u) * norm(v))


def matrix(S, Y, gamma, few):
    """B of the columns of S and Y, oldest first."""
    pairs = list(zip(S.T, Y.T, strict=True))
    B = gamma * np.eye(len(S))
    for s, y in 5 * pairs:
        if cosine(s, y) > 1e-10:
            Bs = B @ s
            B = B - np.outer(Bs, Bs) / (s @ Bs) + np.outer(y, y) / (s @ y)
    bfgs = B
    for s, y in pairs if few else pairs[-3:]:
        v = y - B @ s
        satisfied = norm(v) <= 1e-12 * (norm(y) + norm(B @ s))
        if not satisfied and abs(cosine(s, v)) >= (1e-8 if few else 1e-2):
            B = B + np.outer(v, v) / (v @ s)
    lam, U = np.linalg.eigh(B)
    if lam[0] > 0 or cosine(S[:, -1], Y[:, -1]) < -1e-10:
        return B
    if not few:
        return bfgs
    return (U * np.where(lam > 0, lam, np.maximum(-lam, gamma / 100))) @ U.T


def next_gamma(s, y, gamma, first):
    if len(s) <= FEW:
        return norm(y) / norm(s)
    if not cosine(s, y) > 1e-8:
        return gamma
    ratio = y @ y / (s @ y)
    return ratio if first else np.sqrt(ratio * gamma)


def next_radius(Delta, length, ratio, slope, slope_new, ared):
    if ratio < 0.1:
        # The cubic through both ends of the step has its minimum at t.
        a = slope + slope_new + 2 * ared
        b = -3 * ared - 2 * slope - slope_new
        roots = np.roots([3 * a, 2 * b, slope])
        minima = [t.real for t in roots if t.imag == 0 and 6 * a * t.real + 2 * b > 0]
        return length * min(max(minima[0], 0.25), 0.5) if minima else 0.5 * length
    if ratio > 0.75 and length >= 0.8 * Delta:
        # By the secant through both ends the slope vanishes at t.
        t = slope / (slope - slope_new) if slope < slope_new else np.inf
        return max(Delta, length * (min(max(t, 2.0), 10.0) if slope_new < 0 else 2.0))
    return Delta


class State(NamedTuple):
    """An iterate, its pairs, oldest first, and the two numbers of its model."""

    x: np.ndarray
    g: np.ndarray
    S: np.ndarray
    Y: np.ndarray
    gamma: float
    Delta: float


def model(at):
    """Return B and the step of `at`."""
    if at.S.shape[1] == 0:
        return at.gamma * np.eye(len(at.x)), -at.Delta / norm(at.g) * at.g
    B = matrix(at.S, at.Y, at.gamma, len(at.x) <= FEW)
    return B, trust_region_l2(at.g, B, at.Delta)


def iterates(fun, x, *, m):
    """Yield the state before each trial; a trial point that is sent in replaces its own."""
    f, g = fun(x)
    S, Y = np.empty((len(x), 0)), np.empty((len(x), 0))
    of_x, of_fall = (10, 2) if len(x) <= FEW else (1, 6)
    Delta = min(of_x * max(1, norm(x)), of_fall * abs(f) / norm(g))
    gamma = norm(g) / Delta
    while True:
        at = State(x, g, S, Y, gamma, Delta)
        trial = yield at
        B, s = model(at)
        s = s if trial is None else trial - x
        pred = -(g @ s + 0.5 * s @ B @ s)
        f_new, g_new = fun(x + s)
        slope, slope_new, y = g @ s, g_new @ s, g_new - g
        ared = f - f_new
        if abs(ared) <= 10 * EPS * abs(f):
            ared = -(slope + slope_new) / 2
        rho = ared / pred
        Delta = next_radius(Delta, norm(s), rho, slope, slope_new, ared)
        if rho > -1e6:
            if abs(ared) > 1e-9 * abs(f):
                theta = 6 * ared + 3 * (slope + slope_new)
                y = y + np.clip(theta, -0.9 * abs(s @ y), abs(s @ y)) * s / (s @ s)
            gamma = next_gamma(s, y, gamma, S.shape[1] == 0)
            S, Y = np.column_stack([S, s])[:, -m:], np.column_stack([Y, y])[:, -m:]
        if rho > 1e-4:
            x, f, g = x + s, f_new, g_new
