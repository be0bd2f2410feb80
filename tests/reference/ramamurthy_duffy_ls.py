"""Ramamurthy and Duffy (2017), Algorithm 2, line by line with dense matrices.

Mended where the text slips: of Y'S only the triangle with i >= j, in the order of age, belongs in
the inner matrix, and "det != 0" is a bound on its condition.  Where -Hg is no direction of
descent, of which the text says nothing, H0 takes the place of H along the eigenvectors of H with
eigenvalues that are not positive.
"""

from __future__ import annotations

import numpy as np

from tests.reference.dense import inner_of, psi_of, sr1


def iterates(fun, x, *, m, r, step_length, K):
    """Yield x_{k+1} and lambda_k for k = 0, 1, ..., K - 1, with H0 = I.

    `step_length` is ``step_length(fun, x, d, lambda_0)``.
    """
    _, g = fun(x)
    S, Y = np.empty((len(x), 0)), np.empty((len(x), 0))
    first = 1.0
    for _ in range(K):
        H = sr1(Y, S, 1.0)  # roles of s and y exchanged
        d = -g if S.shape[1] == 0 else -H @ g
        if not g @ d < -1e-8 * np.linalg.norm(g) * np.linalg.norm(d):
            t, U = np.linalg.eigh(H)
            d = -U @ (np.where(t > 0, t, 1.0) * (U.T @ g))
        lam = step_length(fun, x, d, first)
        s = lam * d
        _, g_new = fun(x + s)
        y = g_new - g
        x, g = x + s, g_new
        first = min(1.0, 2.0 * lam)
        residual = s - H @ y
        if abs(y @ residual) >= r * np.linalg.norm(y) * np.linalg.norm(residual):
            S, Y = np.column_stack([S, s])[:, -m:], np.column_stack([Y, y])[:, -m:]
            while S.shape[1]:
                M = inner_of(Y, S, 1.0)
                lengths = np.linalg.norm(Y, axis=0) * np.linalg.norm(psi_of(Y, S, 1.0), axis=0)
                if np.linalg.cond(M / np.sqrt(np.outer(lengths, lengths))) < 1e12:
                    break
                S, Y = S[:, 1:], Y[:, 1:]
        yield x, lam
