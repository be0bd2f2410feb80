"""
Leaving a saddle point
======================

At a saddle the gradient is zero and the function falls in some directions. A method that only
sees gradients, or that insists on a positive definite matrix, is slow to notice; one whose
matrix can be indefinite is not.
"""

import numpy as np
from scipy.optimize import minimize

import qnsolve
from qnsolve import plotting
from qnsolve.problems import linear_network

# %%
# Two variables
# -------------
#
# A curved valley that leads over a saddle: it is steep to both sides, and its bottom falls slowly
# away from the axis.  The start is nearly on the axis.


def valley(x):
    """Return 5 w^2 - v^2 / 2 + v^4 / 4 at x = (u, v), w = u - 0.6 v^2, and its gradient."""
    u, v = x
    w = u - 0.6 * v**2
    return 5 * w**2 - 0.5 * v**2 + 0.25 * v**4, np.array([10 * w, v**3 - v - 12 * w * v])


def evaluated(solve, fun, x0):
    """Return the points that `solve` evaluates, and value and largest slope at each."""
    points, rows = [], []

    def recorded(x):
        f, g = fun(x)
        points.append(np.array(x))
        rows.append((float(f), float(np.abs(g).max())))
        return f, g

    solve(recorded, x0)
    return np.array(points), rows


def descend(fun, x, rate=0.1, steps=120):
    """Gradient descent with a constant rate."""
    for _ in range(steps):
        x = x - rate * fun(x)[1]


# %%
# Near a saddle the gradient is smaller than any sensible tolerance. So the tolerances are zero
# here, and a run ends where there is no progress left, or after 120 evaluations.


def lbfgs(fun, x):
    minimize(fun, x, jac=True, method="L-BFGS-B", options={"gtol": 0, "ftol": 0, "maxfun": 120})


def hybrid(fun, x):
    qnsolve.minimize(fun, x, jac=True, options={"gtol": 0.0, "maxfev": 120})


def lsr1(fun, x):
    qnsolve.minimize(fun, x, jac=True, method="lsr1-tr", options={"gtol": 0.0, "maxfev": 120})


solvers = {
    "gradient descent": descend,
    "L-BFGS-B": lbfgs,
    "hybrid-tr": hybrid,
    "lsr1-tr": lsr1,
}
start = np.array([0.45, 1e-4])
runs = {name: evaluated(solve, valley, start) for name, solve in solvers.items()}
figure = plotting.contours(
    lambda x: valley(x)[0],
    {name: points for name, (points, _) in runs.items()},
    xlim=(-0.6, 1.2),
    ylim=(-1.5, 1.5),
    labels=("u", "v"),
    title="All points evaluated, from (0.45, 0.0001)",
)
figure

# %%
# Which of the two minima is reached does not matter. What does is how long a run stays at the level
# of the saddle:

figure = plotting.convergence(
    {name: rows[:120] for name, (_, rows) in runs.items()},
    offset=-0.25,
    value_label="lowest f so far, above the minimum",
    title="The level of the saddle is 0.25 above the minimum",
)
figure

# %%
# A small network
# ---------------
#
# The loss of a deep linear network has a saddle whose Hessian has eigenvalues of both signs in
# pairs. At a distance of 1e-8 the change of f is below its rounding error, and a line search that
# needs a lower f stops. (Of five random directions, L-BFGS-B gets away in two; this is one of the
# others.) The page on :doc:`/saddles` has counts for five functions and eight methods, and says
# where this does not pay.

network = linear_network(48)
runs = {
    name: evaluated(solve, network.fun, network.start(1e-8, seed=1))[1]
    for name, solve in solvers.items()
}
figure = plotting.convergence(runs, title="Deep linear network, n = 48, 1e-8 from a saddle")
figure
