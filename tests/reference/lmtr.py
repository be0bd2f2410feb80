"""LMTR (Burdakov et al. 2017) with dense initialisation (Brust et al. 2019), dense matrices."""

from __future__ import annotations

import numpy as np

from tests.reference.dense import bfgs, eigenbasis, trust_region_shape_inf


def iterates(fun, x, *, m, mix, tau0, tau1, tau2, c1, c2, c3, c4, K):
    """Yield x and the radius after each evaluation."""
    f, g = fun(x)
    # First step: along -g, length doubled while f falls, or halved until it does.
    d, t = -g / np.linalg.norm(g), 1.0
    if fun(x + d)[0] < f:
        while fun(x + 2 * t * d)[0] < fun(x + t * d)[0]:
            t *= 2
    else:
        while not fun(x + t * d)[0] < f:
            t /= 2
    s = t * d
    Delta = 2 * np.linalg.norm(s)
    S, Y, gamma, gamma_max = np.empty((len(x), 0)), np.empty((len(x), 0)), 1.0, 0.0
    for _ in range(K):
        f_new, g_new = fun(x + s)
        y = g_new - g
        if s @ y > 1e-8 * np.linalg.norm(s) * np.linalg.norm(y):
            S, Y = np.column_stack([S, s])[:, -m:], np.column_stack([Y, y])[:, -m:]
            gamma = y @ y / (s @ y)
            gamma_max = max(gamma, gamma_max)
        x, f, g = x + s, f_new, g_new
        yield x, Delta
        B = bfgs(S, Y, gamma)
        gamma_perp = mix * gamma_max + (1 - mix) * gamma
        lam, U = eigenbasis(B, np.column_stack([S, Y]))
        B = (U * lam) @ U.T + gamma_perp * (np.eye(len(x)) - U @ U.T)
        while True:
            s, length = trust_region_shape_inf(g, lam, U, gamma_perp, Delta)
            rho = (f - fun(x + s)[0]) / -(g @ s + 0.5 * s @ B @ s)
            if rho < tau1:
                Delta = min(c1 * np.linalg.norm(s), c2 * Delta)
            elif rho > tau2 and length >= c3 * Delta:
                Delta = c4 * Delta
            if rho > tau0:
                break
            yield x, Delta
