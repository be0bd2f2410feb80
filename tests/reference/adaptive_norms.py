"""Ellipsoidal trust-region Newton of Kohler, Adolphs and Lucchi (2019), with dense Hessians.

Mended: A is not let fall below its first value, which the theory of the paper asks for.  The inner
solver stops on the residual in the dual norm; the authors' code stops on the gain in the model.
"""

from __future__ import annotations

import numpy as np


def steihaug(g, H, M, Delta, tol, maxiter):
    """Conn, Gould and Toint (2000), Algorithm 7.5.1, preconditioned by the diagonal M."""
    s, r = np.zeros_like(g), g.copy()
    v = r / M
    p = -v
    stop = tol * np.sqrt(g @ (g / M))
    for _ in range(maxiter):
        if np.sqrt(r @ v) <= stop:
            break
        kappa = p @ H @ p
        a, b, c = p @ (M * p), s @ (M * p), s @ (M * s) - Delta**2
        to_boundary = (-b + np.sqrt(b**2 - a * c)) / a
        if kappa <= 0:
            return s + to_boundary * p
        alpha = (r @ v) / kappa
        if alpha >= to_boundary:
            return s + to_boundary * p
        s, r_new = s + alpha * p, r + alpha * H @ p
        v_new = r_new / M
        beta = (r_new @ v_new) / (r @ v)
        p, r, v = -v_new + beta * p, r_new, v_new
    return s


def iterates(fun, hess, x, *, beta, eps, Delta, most, eta1, eta2, grow, shrink, forcing, inner, K):
    """Yield x_{k+1} and Delta_{k+1}; `beta` None is Adagrad."""
    f, g = fun(x)
    g_start = np.linalg.norm(g)
    v = eps * np.ones_like(x)

    def second_moment(v, g):
        return v + g**2 if beta is None else beta * v + (1 - beta) * g**2

    v = second_moment(v, g)
    for _ in range(K):
        M = np.sqrt(np.maximum(v, eps))
        tol = min(forcing, np.sqrt(np.linalg.norm(g) / g_start))
        s = steihaug(g, hess(x), M, Delta, tol, inner)
        f_new, g_new = fun(x + s)
        rho = (f - f_new) / -(g @ s + 0.5 * s @ hess(x) @ s)
        if rho > eta1:
            x, f, g = x + s, f_new, g_new
            v = second_moment(v, g)
        if rho > eta2:
            Delta = min(grow * Delta, most)
        elif rho < eta1:
            Delta = Delta / shrink
        yield x, Delta
