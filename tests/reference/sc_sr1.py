"""The outer loop of ACM Algorithm 1030 (SC-SR1) with dense matrices, from its first model on."""

from __future__ import annotations

import numpy as np

from tests.reference.dense import eigenbasis, psi_of, sr1, trust_region_shape_inf, window_max


def iterates(fun, x, x_first, *, m, q, tol, least, c1, c2, c3, c4, c5, c6, c7, K):
    """Yield x and the radius after each iteration; `x_first` is the end of the line search."""
    f, g = fun(x)
    s = x_first - x
    f_new, g_new = fun(x_first)
    S, Y, ratios = np.empty((len(x), 0)), np.empty((len(x), 0)), []
    gamma, y = 1.0, g_new - g
    x, f, g = x_first, f_new, g_new
    Delta = 2 * np.linalg.norm(s)
    for _ in range(K):
        # gamma and pairs: of every trial step.
        if s @ y > 1e-8 * np.linalg.norm(s) * np.linalg.norm(y):
            ratios.append(y @ y / (s @ y))
        gamma = window_max(ratios, q) if ratios else gamma
        psi = y - gamma * s
        if abs(s @ psi) > tol * max(np.linalg.norm(s) * np.linalg.norm(psi), least):
            S, Y = np.column_stack([S, s])[:, -m:], np.column_stack([Y, y])[:, -m:]
        yield x, Delta
        B = sr1(S, Y, gamma)
        lam, U = eigenbasis(B, psi_of(S, Y, gamma))
        s, _ = trust_region_shape_inf(g, lam, U, gamma, Delta)
        f_new, g_new = fun(x + s)
        rho = (f - f_new) / -(g @ s + 0.5 * s @ B @ s)
        y = g_new - g
        if rho > c1:
            x, f, g = x + s, f_new, g_new
        if rho > c2:
            Delta = c4 * Delta if np.linalg.norm(s) > c3 * Delta else Delta
        elif not c5 <= rho <= c6:
            Delta = c7 * Delta
