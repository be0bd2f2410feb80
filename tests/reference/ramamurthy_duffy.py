"""Ramamurthy and Duffy (2017), Algorithm 1, line by line with dense matrices.

Mended where the text slips: the inner matrix is D + L + L' - gamma S'S, the radius holds for steps
without pairs too, and "det != 0" is a bound on the condition.
"""

from __future__ import annotations

import numpy as np

from tests.reference.dense import inner_of, psi_of, sr1, trust_region_l2


def iterates(fun, x, *, m, gamma, eta, r, u, rho, low, K):
    """Yield x_{k+1} and Delta_{k+1} for k = 0, 1, ..., K - 1."""
    f, g = fun(x)
    S, Y = np.empty((len(x), 0)), np.empty((len(x), 0))
    Delta = np.linalg.norm(g)
    for _ in range(K):
        B = sr1(S, Y, gamma)
        if S.shape[1] == 0:
            s = -min(1.0 / gamma, Delta / np.linalg.norm(g)) * g
        else:
            s = trust_region_l2(g, B, Delta)
        pred = -(g @ s + 0.5 * s @ B @ s)
        f_new, g_new = fun(x + s)
        ared, y = f - f_new, g_new - g
        if ared / pred > eta:
            x, f, g = x + s, f_new, g_new
        if ared / pred > u:
            if np.linalg.norm(s) > rho * Delta:
                Delta = 2 * Delta
        elif ared / pred < low:
            Delta = 0.5 * Delta
        residual = y - B @ s
        if abs(s @ residual) >= r * np.linalg.norm(s) * np.linalg.norm(residual):
            S, Y = np.column_stack([S, s])[:, -m:], np.column_stack([Y, y])[:, -m:]
            while S.shape[1]:
                Psi, M = psi_of(S, Y, gamma), inner_of(S, Y, gamma)
                Psi = Psi / np.linalg.norm(Psi, axis=0)
                independent = np.linalg.matrix_rank(Psi, tol=1e-7) == Psi.shape[1]
                scale = np.sqrt(np.linalg.norm(S, axis=0) * np.linalg.norm(Y, axis=0))
                if independent and np.linalg.cond(M / scale / scale[:, None]) < 1e12:
                    break
                S, Y = S[:, 1:], Y[:, 1:]
        yield x, Delta
