"""
An L-SR1 trust-region method from nothing
=========================================

Sixty lines of NumPy make a method that minimises nonconvex functions with gradients alone: a
matrix from pairs, its eigenvalues, the exact step in a ball, a loop.  Each part is checked as soon
as it stands, and at the end the whole against :func:`qnsolve.minimize`, iterate by iterate.
"""

import numpy as np
from numpy.linalg import eigh, norm, qr, solve

import qnsolve
from qnsolve import plotting, verify
from qnsolve.presets import RAMAMURTHY_DUFFY

rng = np.random.default_rng(0)

# %%
# 1. A matrix from pairs
# ----------------------
#
# All we have are pairs: steps :math:`s_i` and the changes :math:`y_i` of the gradient along them.
# The symmetric rank-one update adds to a matrix what is missing for :math:`B s = y`:
#
# .. math:: B \leftarrow B + \frac{r r^T}{r^T s}, \qquad r = y - B s.


def sr1(B, s, y):
    r = y - B @ s
    return B + np.outer(r, r) / (r @ s)


# %%
# On a quadratic function with Hessian H it learns H itself, after n steps in any directions, and
# whatever the signs of its eigenvalues:

H = rng.standard_normal((6, 6))
H = H + H.T
B = np.eye(6)
for s in rng.standard_normal((6, 6)):
    B = sr1(B, s, H @ s)
print("eigenvalues of H ", eigh(H)[0].round(3))
print("error of B       ", f"{norm(B - H) / norm(H):.1e}")

# %%
# 2. The same without an n x n matrix
# -----------------------------------
#
# With n = 10,000 variables B does not fit. But k updates from :math:`\gamma I` are one formula,
#
# .. math::
#     B = \gamma I + \Psi M^{-1} \Psi^T, \qquad \Psi = Y - \gamma S, \qquad
#     M = D + L + L^T - \gamma S^T S,
#
# with D and L the diagonal and the strictly lower triangle of :math:`S^T Y`. (The proof is on
# :doc:`a page of its own </theory/compact-form>`.)  What we need of B are its eigenvalues. Off the
# span of :math:`\Psi` they are :math:`\gamma`. On it: orthogonalise, :math:`\Psi = Q R`, and
# diagonalise the k x k matrix :math:`R M^{-1} R^T`.


def spectrum(S, Y, gamma):
    """Return eigenvalues and eigenvectors (as columns) on the span of Psi."""
    SY, Psi = S.T @ Y, Y - gamma * S
    M = np.tril(SY) + np.tril(SY, -1).T - gamma * S.T @ S
    Q, R = qr(Psi)
    core = R @ solve(M, R.T)
    d, P = eigh((core + core.T) / 2)
    return gamma + d, Q @ P


# %%
# Check it against the updates one by one, and against the package:

n, k, gamma = 50, 4, 0.8
S, Y = rng.standard_normal((2, n, k))
B, theirs = gamma * np.eye(n), qnsolve.LSR1(n, memory=k, gamma=gamma)
for s, y in zip(S.T, Y.T, strict=True):
    B = sr1(B, s, y)
    theirs.update(s, y)
lam, U = spectrum(S, Y, gamma)
assert np.allclose(U * (lam - gamma) @ U.T + gamma * np.eye(n), B)
assert np.allclose(lam, theirs.spectrum().eigenvalues)
print("on the pairs", lam.round(3), "elsewhere", gamma)

# %%
# 3. The best step in a ball
# --------------------------
#
# The model :math:`g^T s + \frac12 s^T B s` is to be minimised over :math:`\|s\| \le \Delta`. In the
# eigenvectors it comes apart: r numbers :math:`a = U^T g`, and one for the rest of g, of length
# :math:`\|g_\perp\|`, with curvature :math:`\gamma`.  A step is the minimiser if and only if
#
# .. math:: (\lambda_i + \sigma) p_i = -a_i, \quad \lambda_i + \sigma \ge 0, \quad
#    \sigma (\Delta - \|p\|) = 0
#
# for some :math:`\sigma \ge 0`: one unknown. Newton's method on :math:`1/\|p(\sigma)\| - 1/\Delta`
# finds it, from the left, in a few steps.  In the hard case there is no root: g does not see the
# leftmost eigenvector, and any multiple of that may be added.


def ball(lam, a, radius):
    """Return p, the minimiser of a'p + p'diag(lam)p / 2 over the ball."""
    lowest = max(0.0, -lam.min())  # sigma is at least this
    seen = a != 0.0
    least = np.divide(-a, lam + lowest, where=seen & (lam + lowest > 0), out=np.zeros_like(a))
    blocked = np.any(seen & (lam + lowest == 0.0))
    if not blocked and norm(least) <= radius:
        if lowest > 0.0:  # the hard case
            least[np.argmin(lam)] += np.sqrt(radius**2 - norm(least) ** 2)
        return least
    lam, a = lam[seen], a[seen]
    sigma = max(lowest, (np.abs(a) / radius - lam).max())
    for _ in range(50):
        p = -a / (lam + sigma)
        increase = (norm(p) / radius - 1.0) * norm(p) ** 2 / (p @ (p / (lam + sigma)))
        if increase <= 1e-15 * sigma:
            break
        sigma += increase
    step = np.zeros_like(least)
    step[seen] = p
    return step


def best_step(g, lam, U, gamma, radius):
    a = U.T @ g
    g_perp = g - U @ a
    length = norm(g_perp)
    p = ball(np.append(lam, gamma), np.append(a, length), radius)
    return U @ p[:-1] + (p[-1] / length * g_perp if length > 0.0 else 0.0)


# %%
# The package judges steps from anywhere: :func:`qnsolve.verify.check_trs` measures the conditions
# above on the vector. Ours passes, and is the same step:

g = rng.standard_normal(n)
for radius in (0.1, 1.0, 10.0):
    step = best_step(g, lam, U, gamma, radius)
    answer = qnsolve.solve_trs(g, theirs, radius)
    assert np.allclose(step, answer.step, atol=1e-10)
    print(f"radius {radius:5}   violation {verify.check_trs(g, B, radius, step).worst:.1e}")

# %%
# The hard case, where a gradient has no part along the leftmost eigenvector:

hard = ball(np.array([-1.0, 1.0]), np.array([0.0, 1.0]), 2.0)
print("step", hard, "length", norm(hard))

# %%
# 4. The loop
# -----------
#
# Minimise the model, look whether f followed it, believe it a little more or less. A pair is
# learnt from every trial, rejected or not: it says where the model was wrong. This is Algorithm 1
# of Ramamurthy and Duffy (2017).


def minimise(fun, x, memory=5, iterations=100):
    f, g = fun(x)
    S = Y = np.empty((x.size, 0))
    radius, path = norm(g), [x]
    for _ in range(iterations):
        lam, U = spectrum(S, Y, 1.0) if S.shape[1] else (np.empty(0), np.empty((x.size, 0)))
        s = best_step(g, lam, U, 1.0, radius)
        Bs = s + U @ ((lam - 1.0) * (U.T @ s))
        f_new, g_new = fun(x + s)
        ratio = (f_new - f) / (g @ s + 0.5 * s @ Bs)
        y = g_new - g
        if abs(s @ (y - Bs)) >= 1e-8 * norm(s) * norm(y - Bs):
            S, Y = np.c_[S, s][:, -memory:], np.c_[Y, y][:, -memory:]
        if ratio > 0.75 and norm(s) > 0.8 * radius:
            radius *= 2
        elif ratio < 0.1:
            radius /= 2
        if ratio > 1e-4:
            x, f, g = x + s, f_new, g_new
        path.append(x)
        if np.abs(g).max() <= 1e-5:
            break
    return path


# %%
# That is all. It minimises Rosenbrock's function, from the usual start:


def rosenbrock(x):
    valley, slope = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    g = np.zeros_like(x)
    g[:-1] = -400 * x[:-1] * valley - 2 * slope
    g[1:] += 200 * valley
    return 100 * valley @ valley + slope @ slope, g


start = np.array([-1.2, 1.0])
path = minimise(rosenbrock, start)
print(len(path) - 1, "iterations, x =", path[-1])

figure = plotting.contours(
    lambda x: np.log1p(rosenbrock(x)[0]),
    {"our iterates": path},
    xlim=(-1.6, 1.6),
    ylim=(-0.7, 1.7),
    title="Rosenbrock's function, logarithmic contour lines",
)
figure

# %%
# 5. Against the package
# ----------------------
#
# :data:`qnsolve.presets.RAMAMURTHY_DUFFY` holds the constants of the same publication. Both must
# then take the same steps.  Fifty variables and five pairs, on a chain of double wells, started
# near the saddle at the origin:


def double_wells(x):
    wall, pull = x**2 - 1, np.diff(x)
    g = 4 * x * wall
    g[1:] += pull
    g[:-1] -= pull
    return wall @ wall + 0.5 * pull @ pull, g


x0 = 0.1 * np.cos(np.arange(50.0))
ours = minimise(double_wells, x0)
print(len(ours) - 1, "iterations, f =", double_wells(ours[-1])[0])
for iterations in (1, 5, 10, 15):
    options = {**RAMAMURTHY_DUFFY, "maxiter": iterations}
    theirs = qnsolve.minimize(double_wells, x0, jac=True, method="lsr1-tr", options=options)
    difference = norm(ours[iterations] - theirs.x) / norm(theirs.x)
    print(f"after {iterations:2} iterations: relative difference {difference:.1e}")
    assert difference < 1e-8

# %%
# What is missing
# ---------------
#
# Try ``minimise`` with a function whose pairs become nearly parallel, with a start at which f is
# huge, or in other units, and it will break. What the package adds is what makes it hold: pairs
# that are judged on the memory as it will be, a basis that reveals its rank, a multiplier measured
# from its lower bound, Gram matrices that are kept instead of QR at every step, rules for
# :math:`\gamma` and the radius. :doc:`/decisions` has the reasons, one by one.
#
# Exercises
# ---------
#
# 1. *The order of age.* Of :math:`S^T Y` only the lower triangle and its mirror image belong in M.
#    Show that all of it, as in the paper's pseudocode, is not symmetric and gives another matrix.
# 2. *No negative curvature.* Put :math:`|\lambda_i|` in place of :math:`\lambda_i` into the loop,
#    as saddle-free Newton methods do. What does it cost on the chain of wells?
# 3. *Rejected pairs.* Learn pairs from accepted steps only. How many iterations more does
#    Rosenbrock's function take?
#
# Solutions
# ---------
#
# **1.** For a quadratic function :math:`S^T Y = S^T H S` is symmetric, and nobody notices. Else:

n, k, gamma = 30, 4, 0.8
S, Y = rng.standard_normal((2, n, k))
B, Psi = gamma * np.eye(n), Y - gamma * S
for s, y in zip(S.T, Y.T, strict=True):
    B = sr1(B, s, y)
printed = gamma * np.eye(n) + Psi @ solve(S.T @ Y - gamma * S.T @ S, Psi.T)
print(f"asymmetry {norm(printed - printed.T) / norm(B):.2f}", end=", ")
print(f"difference from the recursion {norm(printed - B) / norm(B):.2f}")
assert norm(printed - printed.T) > 1e-3 * norm(B)

# %%
# **2.** The loop calls ``spectrum``, and a name may be given another meaning:


def with_moduli(S, Y, gamma):
    lam, U = with_signs(S, Y, gamma)
    return np.abs(lam), U


with_signs, spectrum = spectrum, with_moduli
saddle_free = minimise(double_wells, x0)
spectrum = with_signs
for name, run in (("signs as they are", ours), ("moduli", saddle_free)):
    print(f"{name}: {len(run) - 1} iterations, f = {double_wells(run[-1])[0]:.3f}")

# %%
# **3.** A pair is learnt where f and the model agree, and not where they differ:


def forgetful(fun, x, iterations=300):
    """Return the iterates of ``minimise`` that learns from accepted steps alone."""
    f, g = fun(x)
    S = Y = np.empty((x.size, 0))
    radius, path = norm(g), [x]
    for _ in range(iterations):
        lam, U = spectrum(S, Y, 1.0) if S.shape[1] else (np.empty(0), np.empty((x.size, 0)))
        s = best_step(g, lam, U, 1.0, radius)
        Bs = s + U @ ((lam - 1.0) * (U.T @ s))
        f_new, g_new = fun(x + s)
        ratio = (f_new - f) / (g @ s + 0.5 * s @ Bs)
        y = g_new - g
        if ratio > 0.75 and norm(s) > 0.8 * radius:
            radius *= 2
        elif ratio < 0.1:
            radius /= 2
        if ratio > 1e-4:
            if abs(s @ (y - Bs)) >= 1e-8 * norm(s) * norm(y - Bs):
                S, Y = np.c_[S, s][:, -5:], np.c_[Y, y][:, -5:]
            x, f, g = x + s, f_new, g_new
        path.append(x)
        if np.abs(g).max() <= 1e-5:
            break
    return path


for name, run in (("all pairs", minimise), ("of accepted steps", forgetful)):
    found = run(rosenbrock, start)
    print(f"{name}: {len(found) - 1} iterations, f = {rosenbrock(found[-1])[0]:.1e}")
