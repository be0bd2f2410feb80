"""
Newton's method in the ellipsoids of first-order methods, from nothing
======================================================================

RMSProp divides each component of the gradient by its recent size. Kohler, Adolphs and Lucchi
(2019) read that as a trust region: an ellipsoid, in which RMSProp's is the best linear step. So put
a better model into the same ellipsoid, with curvature from Hessian-vector products. That is their
method, here in some forty lines of NumPy, each part checked as soon as it stands, the whole against
:func:`qnsolve.minimize`.
"""

import numpy as np
from numpy.linalg import norm

import qnsolve
from qnsolve import DiagonalNorm, plotting, verify
from qnsolve.presets import ADAPTIVE_NORMS

rng = np.random.default_rng(0)

# %%
# 1. RMSProp is a trust-region method
# -----------------------------------
#
# Measure steps by :math:`\|s\|_A = \sqrt{s^T A s}` with A = diag(d). The linear model :math:`g^T s`
# is least over :math:`\|s\|_A \le \Delta` at
#
# .. math:: s = -\Delta\, A^{-1} g / \|g\|_{A^{-1}},
#
# by the inequality of Cauchy and Schwarz in :math:`g^T s = (A^{-1/2} g)^T (A^{1/2} s)`. With
# :math:`d = \sqrt{v}`, v the mean of the squared gradients, and
# :math:`\Delta = \eta \|g\|_{A^{-1}}` this is :math:`-\eta g / \sqrt{v}`: a step of RMSProp.

d, g, eta = 10.0 ** rng.uniform(-1, 1, 5), rng.standard_normal(5), 0.01
radius = eta * np.sqrt(g @ (g / d))
linear = qnsolve.solve_trs(g, np.zeros((5, 5)), radius, norm=DiagonalNorm(d)).step
assert np.allclose(linear, -eta * g / d)
print("RMSProp's step ", -eta * g / d)
print("of the ellipsoid", linear)

# %%
# 2. A model with curvature
# -------------------------
#
# Now :math:`m(s) = g^T s + \frac12 s^T B s` with the Hessian B of which only products are known.
# Conjugate gradients minimise it where B is positive definite; Steihaug (1983) follows them until
#
# - the residual is small,
# - or the path leaves the region: stop on its boundary,
# - or a direction p has :math:`p^T B p \le 0`: follow it to the boundary, it leads down for ever.
#
# The first direction is :math:`-A^{-1} g`, so the step is never worse than RMSProp's best. In the
# region's own norm the iterates only get longer, so leaving once is leaving for good. For that the
# conjugate gradients must be those of the variables :math:`A^{1/2} s`, which is to say
# *preconditioned by A*: the norm of the region and the preconditioner are one thing.


def steihaug(g, product, d, radius, tolerance, most):
    """Return a step in the ellipsoid s'diag(d)s <= radius^2."""
    s, r = np.zeros_like(g), g
    p = -r / d
    stop = tolerance * np.sqrt(g @ (g / d))
    for _ in range(most):
        size = r @ (r / d)
        if np.sqrt(size) <= stop:
            break
        Bp = product(p)
        curvature = p @ Bp
        # The positive root of ||s + t p||_A = radius.
        a, b, c = p @ (d * p), s @ (d * p), s @ (d * s) - radius**2
        boundary = (-b + np.sqrt(b * b - a * c)) / a
        if curvature <= 0 or size / curvature >= boundary:
            return s + boundary * p
        t = size / curvature
        s, r = s + t * p, r + t * Bp
        p = -r / d + (r @ (r / d)) / size * p
    return s


# %%
# The package has it as :func:`qnsolve.steihaug_cg`, and says what such a step is worth. It is no
# minimiser of the model where B is indefinite, but always better than the Cauchy point, here the
# best multiple of RMSProp's step:

n = 30
H = rng.standard_normal((n, n))
H = (H + H.T) / 2 + 3.0 * np.eye(n)
g, d = rng.standard_normal(n), 10.0 ** rng.uniform(-1, 1, n)
for radius in (0.1, 1.0, 10.0):
    step = steihaug(g, lambda v: H @ v, d, radius, 1e-8, n)
    theirs = qnsolve.steihaug_cg(g, lambda v: H @ v, radius, norm=DiagonalNorm(d), tol=1e-8)
    assert np.allclose(step, theirs.step, atol=1e-6 * norm(step))
    check = verify.check_trs(g, H, radius, step, norm=DiagonalNorm(d))
    print(
        f"radius {radius:4}: {check.fraction:.3f} of the greatest decrease, "
        f"{check.cauchy:.2f} times that to the Cauchy point"
    )
    assert check.cauchy >= 1.0 - 1e-12

# %%
# 3. The loop
# -----------
#
# The ellipsoid follows the gradients at the points that are taken. It must stay equivalent to a
# ball for the theory of trust regions to hold, so d is kept from falling to zero. The radius is a
# length in it, and changes by small factors. The constants are those of the authors' code.


def minimise(fun, hessp, x, radius, beta=0.8, floor=1e-10, iterations=200):
    f, g = fun(x)
    first, v = norm(g), beta * floor + (1 - beta) * g**2
    path = [x]
    for _ in range(iterations):
        d = np.sqrt(np.maximum(v, floor))
        tolerance = min(0.1, np.sqrt(norm(g) / first))
        s = steihaug(g, lambda p, x=x: hessp(x, p), d, radius, tolerance, 50)
        f_new, g_new = fun(x + s)
        ratio = (f_new - f) / (g @ s + 0.5 * s @ hessp(x, s))
        if ratio > 0.01:
            x, f, g = x + s, f_new, g_new
            v = beta * v + (1 - beta) * g**2
        radius = (
            min(1.1 * radius, 10.0) if ratio > 0.95 else radius / 1.75 if ratio < 0.01 else radius
        )
        path.append(x)
        if np.abs(g).max() <= 1e-5:
            break
    return path


# %%
# A valley whose two variables have different units: in the second f is a thousand times steeper.
# The ellipsoid is what a change of the unit would have made of the ball.


def valley(x):
    u, v = x[0], 30.0 * x[1] - x[0] ** 2
    return (1 - u) ** 2 + 10 * v**2, np.array([-2 * (1 - u) - 40 * v * u, 600 * v])


def valley_hessp(x, p):
    u, v = x[0], 30.0 * x[1] - x[0] ** 2
    top = (2 - 40 * v + 80 * u * u) * p[0] - 1200 * u * p[1]
    return np.array([top, -1200 * u * p[0] + 18000 * p[1]])


assert verify.check_hessp(valley, np.array([0.3, -0.2]), valley_hessp).consistent
start = np.array([-1.0, 0.1])
path = minimise(valley, valley_hessp, start, 0.5)
print(len(path) - 1, "iterations, x =", path[-1], "where 1 and 1/30 is best")
assert norm(path[-1] - [1.0, 1 / 30]) < 1e-4

figure = plotting.contours(
    lambda x: np.log1p(valley(x)[0]),
    {"our iterates": path},
    xlim=(-1.4, 1.4),
    ylim=(-0.04, 0.12),
    title="A valley in two units, logarithmic contour lines",
)
figure

# %%
# 4. Against the package
# ----------------------
#
# :data:`qnsolve.presets.ADAPTIVE_NORMS` has the same constants. Fifty variables, a chain of double
# wells, started near the saddle at the origin:


def double_wells(x):
    wall, pull = x**2 - 1, np.diff(x)
    g = 4 * x * wall
    g[1:] += pull
    g[:-1] -= pull
    return wall @ wall + 0.5 * pull @ pull, g


def wells_hessp(x, p):
    pull = np.diff(p)
    product = (12 * x**2 - 4) * p
    product[1:] += pull
    product[:-1] -= pull
    return product


x0 = 0.1 * np.cos(np.arange(50.0))
assert verify.check_hessp(double_wells, x0, wells_hessp).consistent
ours = minimise(double_wells, wells_hessp, x0, 0.05)
print(len(ours) - 1, "iterations, f =", double_wells(ours[-1])[0])
for iterations in (1, 10, 20):
    result = qnsolve.minimize(
        double_wells,
        x0,
        jac=True,
        hessp=wells_hessp,
        method="newton-tr",
        options={**ADAPTIVE_NORMS, "initial_radius": 0.05, "maxiter": iterations},
    )
    difference = norm(ours[iterations] - result.x) / norm(result.x)
    print(f"after {iterations:2} iterations: relative difference {difference:.1e}")
    assert difference < 1e-8

# %%
# Exercises
# ---------
#
# 1. *Only as long as the norm fits.* Run Steihaug's method without the preconditioner, but stop it
#    where it leaves the ellipsoid. Show that :math:`\|s\|_A` need not increase along the path, and
#    what the step may miss.
# 2. *The exact step.* :func:`qnsolve.solve_trs` solves the subproblem in the ellipsoid exactly.
#    Put it into the loop in place of ``steihaug``. Does it save iterations?
# 3. *Adagrad.* Its ellipsoid has the sum of the squares in place of the mean. It grows for ever:
#    what does that do to the radius, and why is there no constant c with
#    :math:`\|s\|_A \le c \|s\|_2` for all iterations?
#
# Solutions
# ---------
#
# **1.** Conjugate gradients increase the length in the norm of their own preconditioner, so here
# the Euclidean one. In the ellipsoid's norm the path may go out and come back:

H = np.diag([1.0, 10.0])
g, d = np.array([-1.0, -1.0]), np.array([0.01, 10.0])
lengths = []
for most in (1, 2):
    s = steihaug(g, lambda v: H @ v, np.ones(2), 1e9, 0.0, most)
    lengths.append((norm(s), np.sqrt(s @ (d * s))))
print("lengths, Euclidean and in the ellipsoid:", np.round(lengths, 4).tolist())
assert lengths[0][0] < lengths[1][0] and lengths[0][1] > lengths[1][1]

# %%
# A path that was cut where it leaves for the first time may so end before its best point inside.
#
# **2.** The Hessian is needed as a matrix, and each subproblem costs an eigendecomposition. On this
# chain it saves nothing: the exact steps follow all of the negative curvature from the start, and
# take a longer way, to a lower minimum.


def exact(g, product, d, radius, tolerance, most):
    B = np.column_stack([product(e) for e in np.eye(g.size)])
    return qnsolve.solve_trs(g, (B + B.T) / 2, radius, norm=DiagonalNorm(d)).step


by_steihaug, steihaug = len(ours) - 1, exact
by_exact = minimise(double_wells, wells_hessp, x0, 0.05)
print(f"{by_steihaug} iterations with Steihaug's steps, {len(by_exact) - 1} with exact ones")
print(f"f = {double_wells(ours[-1])[0]:.3f} and {double_wells(by_exact[-1])[0]:.3f}")

# %%
# **3.** With :math:`v_k = \sum_i g_i^2` the same radius is an ever shorter Euclidean step; the
# radius has to grow to make up for it. As the entries of v grow without bound, so does every c. The
# mean of RMSProp is at most the largest square, and with a floor it is bounded from both sides:

v_sum = v_mean = np.zeros(3)
for k in range(1, 1001):
    square = rng.uniform(0.5, 1.0, 3) ** 2
    v_sum, v_mean = v_sum + square, 0.8 * v_mean + 0.2 * square
    if k in (10, 100, 1000):
        print(f"after {k:4}: largest entry of A, Adagrad {np.sqrt(v_sum).max():6.2f}", end=", ")
        print(f"RMSProp {np.sqrt(v_mean).max():.2f}")
assert np.sqrt(v_mean).max() <= 1.0 < np.sqrt(v_sum).max()
