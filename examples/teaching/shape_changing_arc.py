"""
Cubic regularisation with a shape-changing norm, from nothing
=============================================================

A trust region keeps the step short by a ball, and its radius is found by Newton's method. A cubic
penalty does it without a radius; and measured along the eigenvectors of B it has a closed form,
with no iteration at all. That is ARCs-LSR1 (Ranganath, Singhal and Marcia 2025), here in some
forty lines of NumPy, each part checked as soon as it stands, the whole against
:func:`qnsolve.minimize`.
"""

import numpy as np
import scipy.linalg
from numpy.linalg import eigh, norm, qr, solve

import qnsolve
from qnsolve import plotting, verify
from qnsolve.presets import ARCS_LSR1

rng = np.random.default_rng(0)

# %%
# 1. One variable
# ---------------
#
# What is the least value of :math:`h z + \frac12 \lambda z^2 + \frac{w}{3} |z|^3`?  The best z has
# the sign of :math:`-h`, and its length t is where the slope vanishes:
# :math:`|h| = \lambda t + w t^2`. A quadratic, with one root that is not negative:
#
# .. math:: t = \frac{-\lambda + \sqrt{\lambda^2 + 4 w |h|}}{2 w}
#             = \frac{2 |h|}{\lambda + \sqrt{\lambda^2 + 4 w |h|}}.
#
# The first form cancels where :math:`\lambda > 0`, the second where :math:`\lambda < 0`; so we take
# each where it does not. The value gained, with :math:`\lambda` eliminated, is a sum of terms that
# are not negative: :math:`\frac12 |h| t + \frac16 w t^3`.


def one(h, lam, w):
    """Return the minimisers z, and what they gain, coordinate by coordinate."""
    root = np.hypot(lam, 2.0 * np.sqrt(w * np.abs(h)))
    safe = np.where(lam + root > 0.0, lam + root, 1.0)
    t = np.where(lam > 0.0, 2.0 * np.abs(h) / safe, (root - lam) / (2.0 * w))
    return np.where(h > 0.0, -t, t), 0.5 * np.abs(h) * t + w * t**3 / 6.0


# %%
# Compared with all points of a fine grid, for curvatures of both signs and for h = 0, where a
# negative curvature alone says how far to go:

z = np.linspace(-8.0, 8.0, 400_001)
for h, lam in ((1.0, 2.0), (-3.0, -1.0), (0.0, -2.0), (1e-9, 1.0)):
    found, gain = one(np.array([h]), np.array([lam]), 0.5)
    value = h * z + 0.5 * lam * z**2 + 0.5 / 3 * np.abs(z) ** 3
    assert abs(gain[0] + value.min()) < 1e-8
    print(f"h {h:6}, lambda {lam:4}: z = {found[0]:.6f}, gain {gain[0]:.6f}")

# %%
# 2. n variables
# --------------
#
# In the eigenvectors of B the quadratic model comes apart into such functions. If the penalty does
# too, then so does the whole problem. So measure the step there:
#
# .. math:: \Phi(s)^3 = \sum_i |u_i^T s|^3 + \|s_\perp\|_2^3.
#
# The first sum runs over the eigenvectors on the span of the pairs. Off it B is :math:`\gamma I`,
# every basis is one of eigenvectors, and a sum of cubes would depend on which. The length of
# :math:`s_\perp` does not (:doc:`/theory/shape-changing-cubic` has what goes wrong otherwise). Of
# all :math:`s_\perp` of one length the best points along :math:`-g_\perp`: one more coordinate.
#
# The eigenvectors are those of :doc:`the first page </teaching/lsr1_trust_region>`.


def spectrum(S, Y, gamma):
    """Return eigenvalues and eigenvectors (as columns) of B on the span of its pairs."""
    if not S.shape[1]:
        return np.empty(0), np.empty(S.shape)
    SY, Psi = S.T @ Y, Y - gamma * S
    M = np.tril(SY) + np.tril(SY, -1).T - gamma * S.T @ S
    Q, R = qr(Psi)
    core = R @ solve(M, R.T)
    d, P = eigh((core + core.T) / 2)
    return gamma + d, Q @ P


def cubic_step(g, lam, U, gamma, w):
    """Return the minimiser of the cubic model, and the decrease of the model."""
    a = U.T @ g
    g_perp = g - U @ a
    length = norm(g_perp)
    v, gain = one(np.append(a, length), np.append(lam, gamma), w)
    return U @ v[:-1] + (v[-1] / length * g_perp if length > 0.0 else 0.0), gain.sum()


# %%
# Against the package, which judges the step, too: a lower bound of the model, at which no step of
# any kind can be below, shows that there is nothing left to gain.

n, k, gamma = 40, 4, 0.7
S, Y = rng.standard_normal((2, n, k))
theirs = qnsolve.LSR1(n, memory=k, gamma=gamma)
for s, y in zip(S.T, Y.T, strict=True):
    theirs.update(s, y)
lam, U = spectrum(S, Y, gamma)
g = rng.standard_normal(n)
for weight in (0.1, 1.0, 10.0):
    step, decrease = cubic_step(g, lam, U, gamma, weight)
    answer = qnsolve.solve_cubic(g, theirs, weight)
    assert np.allclose(step, answer.step, atol=1e-9)
    check = verify.check_cubic(g, theirs, weight, step)
    print(f"weight {weight:4}: decrease {decrease:8.4f}, {check.verdict.name}")
    assert check.verdict is check.verdict.EXACT

# %%
# 3. The loop
# -----------
#
# The weight w does what the radius does, the other way round: it is halved where f followed the
# model, and grows where it did not. The rule is the midpoint of the intervals that Cartis, Gould
# and Toint (2011) allow: w / 2 above 0.75, 5.5 w below 0.1.


def minimise(fun, x, memory=5, iterations=100):
    f, g = fun(x)
    S = Y = np.empty((x.size, 0))
    w, path = 1.0, [x]
    for _ in range(iterations):
        lam, U = spectrum(S, Y, 1.0)
        s, predicted = cubic_step(g, lam, U, 1.0, w)
        f_new, g_new = fun(x + s)
        ratio = (f - f_new) / predicted
        w *= 0.5 if ratio > 0.75 else 1.0 if ratio >= 0.1 else 5.5
        if ratio > 0.1:
            y = g_new - g
            r = y - s - U @ ((lam - 1.0) * (U.T @ s))
            if abs(s @ r) >= 1e-8 * norm(s) * norm(r):
                S, Y = np.c_[S, s][:, -memory:], np.c_[Y, y][:, -memory:]
            x, f, g = x + s, f_new, g_new
        path.append(x)
        if np.abs(g).max() <= 1e-5:
            break
    return path


# %%
# From a point near a saddle of a function with two wells. The weight falls while the model is
# right, so that the steps along negative curvature, which are at least :math:`|\lambda| / w` long,
# grow:


def wells(x):
    return (x[0] ** 2 - 1) ** 2 + 2 * (x[1] - 0.5 * x[0]) ** 2, np.array(
        [4 * x[0] * (x[0] ** 2 - 1) - 2 * (x[1] - 0.5 * x[0]), 4 * (x[1] - 0.5 * x[0])]
    )


path = minimise(wells, np.array([0.02, 0.9]))
print(len(path) - 1, "iterations, x =", path[-1])
assert np.abs(wells(path[-1])[1]).max() <= 1e-5

figure = plotting.contours(
    lambda x: wells(x)[0],
    {"our iterates": path},
    xlim=(-1.6, 1.6),
    ylim=(-1.1, 1.3),
    title="Two wells and a saddle between them",
)
figure

# %%
# 4. Against the package
# ----------------------
#
# :data:`qnsolve.presets.ARCS_LSR1` holds the same constants; its rule for :math:`\gamma` is
# exercise 3, so here it gets our :math:`\gamma = 1`. Fifty variables, a chain of double wells:


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
    options = {**ARCS_LSR1, "gamma": 1.0, "memory": 5, "maxiter": iterations}
    result = qnsolve.minimize(double_wells, x0, jac=True, method="lsr1-arc", options=options)
    difference = norm(ours[iterations] - result.x) / norm(result.x)
    print(f"after {iterations:2} iterations: relative difference {difference:.1e}")
    assert difference < 1e-8

# %%
# Exercises
# ---------
#
# 1. *A trust region in the same coordinates.* Replace the penalty by :math:`|u_i^T s| \le \Delta`
#    for each i and :math:`\|s_\perp\| \le \Delta`. What is the step of one coordinate? Compare with
#    ``norm="shape-inf"`` of :func:`qnsolve.solve_trs`.
# 2. *The literal norm.* The paper sums the cubes over all n eigenvectors. Show with
#    :math:`B = -I`, :math:`\gamma = -1` and no pairs that its minimum is lower than ours, and
#    depends on the basis.
# 3. *A rule for gamma.* With :math:`\mu` the least eigenvalue of :math:`A z = \mu\, S^T S z`, where
#    :math:`A = D + L + L^T`, the paper's code takes :math:`\gamma = \mu / 2` where :math:`\mu > 0`
#    and :math:`3 \mu / 2` where not. Show that no eigenvalue of B is below gamma then, and that B
#    is definite exactly where the pairs have seen positive curvature only.
#
# Solutions
# ---------
#
# **1.** Newton's point if it is inside and the curvature positive, else the end of the interval
# that g points away from:


def box(a, lam, radius):
    newton = np.divide(-a, lam, where=lam > 0.0, out=np.full_like(a, np.inf))
    return np.where(np.abs(newton) <= radius, newton, -np.copysign(radius, a))


a = U.T @ g
g_perp = g - U @ a
v = box(np.append(a, norm(g_perp)), np.append(lam, gamma), 0.5)
step = U @ v[:-1] + v[-1] / norm(g_perp) * g_perp
assert np.allclose(step, qnsolve.solve_trs(g, theirs, 0.5, norm="shape-inf").step, atol=1e-9)

# %%
# **2.** With g along the first axis, ours moves along it alone. The literal sum lets each other
# coordinate gain :math:`|\gamma|^3 / 6 w^2` of its own; and in another basis g has other parts:

g, w = np.array([1.0, 0.0, 0.0, 0.0]), 0.6
ours = cubic_step(g, np.empty(0), np.empty((4, 0)), -1.0, w)[1]
literal = one(g, -np.ones(4), w)[1].sum()
turned = one(qr(rng.standard_normal((4, 4)))[0] @ g, -np.ones(4), w)[1].sum()
print(f"gain: ours {ours:.4f}, literal {literal:.4f}, in another basis {turned:.4f}")
assert np.isclose(literal - ours, 3 * 1.0 / (6 * w**2))
assert abs(literal - turned) > 1e-3

# %%
# **3.** Let :math:`\gamma < \mu`. Then :math:`M = A - \gamma S^T S` is positive definite, and so is
# :math:`R M^{-1} R^T`: every eigenvalue on the pairs is above gamma, and gamma is the least of B.
# Its sign is that of :math:`\mu`, the least curvature :math:`z^T A z / z^T S^T S z` on the span of
# the steps:

for shift in (0.0, 12.0):
    H = rng.standard_normal((n, n))
    H = (H + H.T) / 2 + shift * np.eye(n)
    S = rng.standard_normal((n, k))
    SY = S.T @ (H @ S)
    A = np.tril(SY) + np.tril(SY, -1).T
    mu = scipy.linalg.eigh(A, S.T @ S, eigvals_only=True)[0]
    gamma = 0.5 * mu if mu > 0 else 1.5 * mu
    lam = spectrum(S, H @ S, gamma)[0]
    print(f"mu {mu:6.2f}, gamma {gamma:6.2f}, eigenvalues on the pairs {lam.round(2)}")
    assert lam.min() > gamma
    assert (gamma > 0) == (mu > 0)
