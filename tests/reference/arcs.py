"""ARCs-LSR1 (Ranganath, Singhal and Marcia 2025) with dense matrices: as meant, and as coded."""

from __future__ import annotations

import numpy as np

from tests.reference.dense import cubic_shape, eigenbasis, psi_of, smallest_generalised, sr1


def next_weight(mu, rho, eta1, eta2, gamma1, gamma2):
    if rho > eta2:
        return mu / 2
    return mu * (1 + gamma1) / 2 if rho >= eta1 else mu * (gamma1 + gamma2) / 2


def eigenvalue_gamma(S, Y, floor):
    lam = smallest_generalised(S, Y)
    return max(0.5 * lam, floor) if lam > 0 else min(1.5 * lam, -floor)


def author_iterates(fun, x, *, m, mu, eta1, eta2, gamma1, gamma2, K):
    """Yield x and the weight after each iteration of the authors' public code, on a full batch."""
    f, g = fun(x)
    # The first move is scaled, the pair that remembers it is not.
    x_new = x - min(1.0, 1.0 / np.abs(g).sum()) * g
    f_new, g_new = fun(x_new)
    S, Y = -g[:, None], (g_new - g)[:, None]
    x, f, g = x_new, f_new, g_new
    yield x, mu
    for _ in range(K - 1):
        gamma = eigenvalue_gamma(S, Y, 1e-6)
        d, U = eigenbasis(sr1(S, Y, gamma) - gamma * np.eye(len(x)), psi_of(S, Y, gamma))
        s, pred = cubic_shape(g, d, U, gamma, mu)
        f_new, g_new = fun(x + s)
        rho = (f - f_new) / pred
        mu = next_weight(mu, rho, eta1, eta2, gamma1, gamma2)
        if rho > eta1:
            S, Y = np.column_stack([S, s])[:, -m:], np.column_stack([Y, g_new - g])[:, -m:]
            x, f, g = x + s, f_new, g_new
        yield x, mu


def iterates(fun, x, *, m, mu, r, eta1, eta2, gamma1, gamma2, first_gamma, K):
    """Yield x and the weight after each iteration, with B's own eigenvalues and a pair test."""
    f, g = fun(x)
    S, Y, gamma = np.empty((len(x), 0)), np.empty((len(x), 0)), first_gamma
    for _ in range(K):
        B = sr1(S, Y, gamma)
        lam, U = eigenbasis(B, psi_of(S, Y, gamma))
        s, pred = cubic_shape(g, lam, U, gamma, mu)
        f_new, g_new = fun(x + s)
        rho, y = (f - f_new) / pred, g_new - g
        mu = next_weight(mu, rho, eta1, eta2, gamma1, gamma2)
        if not rho > eta1:
            yield x, mu
            continue
        T, Z = np.column_stack([S, s])[:, -m:], np.column_stack([Y, y])[:, -m:]
        new_gamma = eigenvalue_gamma(T, Z, 0.0)
        residual = y - sr1(T[:, :-1], Z[:, :-1], new_gamma) @ s
        if abs(s @ residual) >= r * np.linalg.norm(s) * np.linalg.norm(residual):
            S, Y, gamma = T, Z, new_gamma
        x, f, g = x + s, f_new, g_new
        yield x, mu
