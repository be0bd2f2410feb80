"""What the transcriptions share: matrices and subproblems written out with n x n arrays.

Plain formulas for small n, by other routes than the package takes: no Gram matrices, no partial
spectrum, no scaling.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq


def psi_of(S, Y, gamma):
    return Y - gamma * S


def inner_of(S, Y, gamma):
    """D + L + L' - gamma S'S, the lower triangle of S'Y mirrored."""
    SY = S.T @ Y
    return np.tril(SY) + np.tril(SY, -1).T - gamma * S.T @ S


def sr1(S, Y, gamma):
    """The L-SR1 matrix of the columns of S and Y."""
    n, k = S.shape
    if k == 0:
        return gamma * np.eye(n)
    Psi = psi_of(S, Y, gamma)
    return gamma * np.eye(n) + Psi @ np.linalg.solve(inner_of(S, Y, gamma), Psi.T)


def bfgs(S, Y, gamma):
    """The L-BFGS matrix by its recursion."""
    B = gamma * np.eye(len(S))
    for s, y in zip(S.T, Y.T, strict=True):
        Bs = B @ s
        B = B - np.outer(Bs, Bs) / (s @ Bs) + np.outer(y, y) / (s @ y)
    return B


def orth(V):
    """An orthonormal basis of the range of V, columns scaled to length 1 first."""
    if V.shape[1] == 0:
        return V
    U, t, _ = np.linalg.svd(V / np.linalg.norm(V, axis=0), full_matrices=False)
    return U[:, t > 1e-7 * t[0]]


def eigenbasis(B, V):
    """Eigenvalues and eigenvectors of B in the range of V, which B maps into itself."""
    Q = orth(V)
    lam, P = np.linalg.eigh(Q.T @ B @ Q)
    return lam, Q @ P


def trust_region_l2(g, B, radius):
    """Minimise g's + s'Bs/2 over ||s|| <= radius; no hard case."""
    lam, U = np.linalg.eigh(B)
    a = U.T @ g
    if lam[0] > 0 and np.linalg.norm(a / lam) <= radius:
        return -U @ (a / lam)
    low = max(0.0, -lam[0])

    def secular(sigma):
        return 1 / radius - 1 / np.linalg.norm(a / (lam + sigma))

    high = low + np.linalg.norm(g) / radius + 1.0
    width = np.linalg.norm(g) / radius
    sigma = brentq(secular, low + 1e-14 * (width + low), high, xtol=1e-300, rtol=1e-15)
    return -U @ (a / (lam + sigma))


def one_coordinate(a, lam, radius):
    """Minimise a v + lam v^2 / 2 over |v| <= radius, a != 0."""
    inside = lam > 0 and abs(a) <= lam * radius
    return -a / lam if inside else -np.sign(a) * radius


def trust_region_shape_inf(g, lam, U, gamma, radius):
    """Minimise over max(|U's|_inf, |P_perp s|_2) <= radius, one coordinate at a time."""
    par = np.array([one_coordinate(a, t, radius) for a, t in zip(U.T @ g, lam, strict=True)])
    g_perp = g - U @ (U.T @ g)
    length = np.linalg.norm(g_perp)
    if U.shape[1] == len(g) or length == 0:
        return U @ par, np.abs(par).max(initial=0.0)
    perp = one_coordinate(length, gamma, radius)
    return U @ par + perp * g_perp / length, max(np.abs(par).max(initial=0.0), abs(perp))


def cubic_shape(g, lam, U, gamma, weight):
    """Step and decrease of the shape-changing cubic model, by the closed form of the paper."""
    h = U.T @ g
    g_perp = g - U @ h
    length = np.linalg.norm(g_perp)
    c = 2 / (lam + np.sqrt(lam**2 + 4 * weight * np.abs(h)))
    step, model = -U @ (c * h), 0.0
    t = c * np.abs(h)
    model += np.sum(-np.abs(h) * t + lam * t**2 / 2 + weight * t**3 / 3)
    if U.shape[1] < len(g):
        alpha = 2 / (gamma + np.sqrt(gamma**2 + 4 * weight * length))
        t = alpha * length
        step = step - alpha * g_perp
        model += -length * t + gamma * t**2 / 2 + weight * t**3 / 3
    return step, -model


def window_max(ratios, window):
    """Largest y'y / s'y of the last pairs offered."""
    return max(ratios[-window:])


def smallest_generalised(S, Y):
    """Smallest eigenvalue of (D + L + L') z = lam S'S z."""
    A = np.tril(S.T @ Y) + np.tril(S.T @ Y, -1).T
    R = np.linalg.qr(S, mode="r")
    return np.linalg.eigvalsh(np.linalg.solve(R.T, np.linalg.solve(R.T, A).T))[0]
