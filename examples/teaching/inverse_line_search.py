"""
The inverse form and a line search, from nothing
================================================

The matrix of :doc:`the first page </teaching/lsr1_trust_region>` answers the question "what is
:math:`B s`?". A line search asks for :math:`B^{-1} g`. SR1 can say that directly: with the roles of
s and y exchanged the same formula builds the inverse. With a search along :math:`-H g` that is
Algorithm 2 of Ramamurthy and Duffy (2017), here in some forty lines of NumPy, and at the end
against :func:`qnsolve.minimize`, iterate by iterate.
"""

import numpy as np
from numpy.linalg import cond, eigh, inv, norm, qr, solve

import qnsolve
from qnsolve import plotting, verify
from qnsolve.presets import RAMAMURTHY_DUFFY_LS
from qnsolve.quasi_newton.inverse import InverseLSR1
from qnsolve.questions import drive
from qnsolve.solvers.wolfe import LinePoint, strong_wolfe

rng = np.random.default_rng(0)

# %%
# 1. The update is its own dual
# -----------------------------
#
# B learns :math:`B s = y`, H learns :math:`H y = s`:
#
# .. math:: B \leftarrow B + \frac{r r^T}{r^T s},\ r = y - B s, \qquad
#           H \leftarrow H + \frac{q q^T}{q^T y},\ q = s - H y.
#
# If :math:`H = B^{-1}` before, then :math:`q = -H r`, and by the formula of Sherman and Morrison
# :math:`H = B^{-1}` after. (The dual of BFGS is another update, DFP.)


def sr1(B, s, y):
    r = y - B @ s
    return B + np.outer(r, r) / (r @ s)


B, H = 2.0 * np.eye(6), 0.5 * np.eye(6)
for s, y in rng.standard_normal((4, 2, 6)):
    B, H = sr1(B, s, y), sr1(H, y, s)
    print(f"error of H B = I after a pair: {norm(H @ B - np.eye(6)):.1e}")
    assert norm(H @ B - np.eye(6)) < 1e-9

# %%
# 2. A product with H
# -------------------
#
# The compact form with S and Y exchanged, and :math:`H_0 = I`:
#
# .. math::
#     H = I + \Psi M^{-1} \Psi^T, \qquad \Psi = S - Y, \qquad M = D + R + R^T - Y^T Y,
#
# with D and R the diagonal and the strictly *upper* triangle of :math:`S^T Y`: of
# :math:`Y^T S` it is the lower one that belongs to the recursion, as in the first page. (The
# paper's pseudocode has all of :math:`Y^T S`, which is not symmetric.) A product takes two passes
# over the pairs.


def inner(S, Y):
    SY = S.T @ Y
    return np.triu(SY) + np.triu(SY, 1).T - Y.T @ Y


def product(S, Y, v):
    """Return H v."""
    Psi = S - Y
    return v + Psi @ solve(inner(S, Y), Psi.T @ v) if S.shape[1] else v


n, k = 30, 4
S, Y = rng.standard_normal((2, n, k))
H, theirs = np.eye(n), InverseLSR1(n, memory=k, gamma=1.0)
for s, y in zip(S.T, Y.T, strict=True):
    H = sr1(H, y, s)
    theirs.update(s, y)
v = rng.standard_normal(n)
assert np.allclose(product(S, Y, v), H @ v)
assert np.allclose(product(S, Y, v), theirs @ v)
assert verify.check_secant(theirs, Y[:, -1], S[:, -1]) < 1e-12

# %%
# 3. A direction of descent
# -------------------------
#
# H may be indefinite, as B may. Then :math:`-H g` can lead uphill, or nowhere. The paper does not
# say what to do in that case, and so it is ours to choose: keep the eigenvectors of H and those
# eigenvalues that are positive, and take :math:`H_0` in place of the others.


def direction(S, Y, g):
    d = -product(S, Y, g)
    if g @ d < -1e-8 * norm(g) * norm(d):
        return d
    Q, R = qr(S - Y)
    core = R @ solve(inner(S, Y), R.T)
    t, P = eigh((core + core.T) / 2)
    U, t = Q @ P, np.where(1.0 + t > 0.0, t, 0.0)
    return -g - U @ (t * (U.T @ g))


t, U = eigh(H)
for g in (U[:, 0], U[:, -1], rng.standard_normal(n)):
    d = direction(S, Y, g)
    print(f"slope along -Hg {-g @ H @ g:9.3f}, along the direction {g @ d:9.3f}")
    assert g @ d < 0.0

# %%
# 4. Any line search
# ------------------
#
# BFGS needs a search with the Wolfe conditions, for its matrix stays definite only with
# :math:`s^T y > 0`. SR1 asks nothing of s and y but that the denominator is not zero. So the
# simplest search will do: halve the step until f falls enough (Dennis and Schnabel 1983, with a
# fixed factor).


def backtracking(fun, x, f, g, d, t):
    while not fun(x + t * d)[0] <= f + 1e-4 * t * (g @ d) and t > 1e-16:
        t /= 2
    return t


# %%
# 5. The loop
# -----------
#
# A pair is refused where :math:`|y^T (s - H y)|` is tiny, and the oldest pairs go while the inner
# matrix, its rows and columns scaled, is singular.  The search begins with twice the last step
# length, but never with more than 1, the step to which H points.


def minimise(fun, x, search=backtracking, memory=5, iterations=100):
    f, g = fun(x)
    S = Y = np.empty((x.size, 0))
    t, path = 0.5, [x]
    for _ in range(iterations):
        d = direction(S, Y, g)
        t = search(fun, x, f, g, d, min(1.0, 2 * t))
        s = t * d
        f_new, g_new = fun(x + s)
        y = g_new - g
        q = s - product(S, Y, y)
        if abs(y @ q) >= 1e-8 * norm(y) * norm(q):
            S, Y = np.c_[S, s][:, -memory:], np.c_[Y, y][:, -memory:]
            while S.shape[1]:
                size = np.sqrt(norm(Y, axis=0) * norm(S - Y, axis=0))
                if cond(inner(S, Y) / np.outer(size, size)) < 1e12:
                    break
                S, Y = S[:, 1:], Y[:, 1:]
        x, f, g = x + s, f_new, g_new
        path.append(x)
        if np.abs(g).max() <= 1e-5:
            break
    return path


def rosenbrock(x):
    valley, slope = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    g = np.zeros_like(x)
    g[:-1] = -400 * x[:-1] * valley - 2 * slope
    g[1:] += 200 * valley
    return 100 * valley @ valley + slope @ slope, g


start = np.array([-1.2, 1.0])
path = minimise(rosenbrock, start)
print(len(path) - 1, "iterations, x =", path[-1])
assert norm(path[-1] - 1.0) < 1e-3

figure = plotting.contours(
    lambda x: np.log1p(rosenbrock(x)[0]),
    {"our iterates": path},
    xlim=(-1.6, 1.6),
    ylim=(-0.7, 1.7),
    title="Rosenbrock's function, logarithmic contour lines",
)
figure

# %%
# 6. Against the package
# ----------------------
#
# :data:`qnsolve.presets.RAMAMURTHY_DUFFY_LS` has the same constants, but for the search: the
# package's satisfies the strong Wolfe conditions. A search is a function, so give ours that one.
# (In the package a search is a generator: it yields step lengths and receives values.)  Then both
# take the same steps. The unit of f is such that the first gradient has length 1, as the package
# chooses a first step of its own where :math:`-g` is too long.


def wolfe(fun, x, f, g, d, t):
    def line(t):
        f, g = fun(x + t * d)
        return LinePoint(t, f, g @ d)

    start, constants = LinePoint(0.0, f, g @ d), {"decrease": 1e-4, "curvature": 0.9}
    steps = strong_wolfe(start, t, **constants, too_short=lambda t: t < 1e-16, eps=2.0**-52)
    return drive(steps, line).t


def scaled_wells(x):
    wall, pull = x**2 - 1, np.diff(x)
    g = 4 * x * wall
    g[1:] += pull
    g[:-1] -= pull
    return (wall @ wall + 0.5 * pull @ pull) / unit, g / unit


x0, unit = 0.1 * np.cos(np.arange(50.0)), 1.0
unit = norm(scaled_wells(x0)[1])
ours = minimise(scaled_wells, x0, search=wolfe)
print(len(ours) - 1, "iterations, f =", scaled_wells(ours[-1])[0])
for iterations in (1, 5, 10, 15):
    options = {**RAMAMURTHY_DUFFY_LS, "maxiter": iterations}
    result = qnsolve.minimize(scaled_wells, x0, jac=True, method="lsr1-ls", options=options)
    difference = norm(ours[iterations] - result.x) / norm(result.x)
    print(f"after {iterations:2} iterations: relative difference {difference:.1e}")
    assert difference < 1e-8

# %%
# Exercises
# ---------
#
# 1. *Two ways to one vector.* Show in numbers that ``product(S, Y, g)`` is the solution of
#    :math:`B p = g` with the compact B of the first page. When does only one of them exist?
# 2. *What the search costs.* Count evaluations of f and g with both searches in section 6. How many
#    pairs have :math:`s^T y < 0`, and does the method mind?
# 3. *Indefinite, and still downhill.* At how many of the iterates of section 6 is H indefinite, and
#    at how many of those does :math:`-H g` lead uphill?  What does it cost to replace it at all of
#    them (``modify="indefinite"``, the package's default)?
#
# Solutions
# ---------
#
# **1.** They are inverse to each other. H does not exist where B is singular, and the reverse: with
# one pair, where :math:`y^T (s - H_0 y) = 0` or :math:`s^T (y - B_0 s) = 0`.

SY = S.T @ Y
Psi, M = Y - S, np.tril(SY) + np.tril(SY, -1).T - S.T @ S
B = np.eye(n) + Psi @ solve(M, Psi.T)
g = rng.standard_normal(n)
print(f"difference {norm(product(S, Y, g) - solve(B, g)) / norm(solve(B, g)):.1e}")
assert np.allclose(product(S, Y, g), solve(B, g))
assert np.allclose(inv(B), H)

# %%
# **2.** The Wolfe conditions leave no pair with negative curvature, backtracking does; the matrix
# takes such pairs as it takes any. (Our loop evaluates the end of each search once more.)

for search in (backtracking, wolfe):
    count = [0]

    def counted(x, count=count):
        count[0] += 1
        return scaled_wells(x)

    path = minimise(counted, x0, search=search)
    gradients = [scaled_wells(x)[1] for x in path]
    negative = sum(np.sum(np.diff(path, axis=0) * np.diff(gradients, axis=0), axis=1) < 0)
    print(
        f"{search.__name__}: {len(path) - 1} iterations, {count[0]} evaluations, "
        f"f = {scaled_wells(path[-1])[0]:.3f}, {negative} pairs of negative curvature"
    )

# %%
# **3.** The result of the package counts the directions that it has replaced: with "ascent" where
# :math:`-H g` leads uphill, with "indefinite" where H is indefinite. Here both cost much the same:

for modify in ("ascent", "indefinite"):
    options = {**RAMAMURTHY_DUFFY_LS, "modify": modify}
    result = qnsolve.minimize(scaled_wells, x0, jac=True, method="lsr1-ls", options=options)
    print(
        f"{modify}: {result.n_modified} of {result.nit} directions replaced, "
        f"{result.nfev} evaluations, f = {result.fun:.3f}"
    )
