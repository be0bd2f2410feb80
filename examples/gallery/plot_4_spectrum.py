"""
What the matrix learns of the Hessian
=====================================

Eigenvalues of the quasi-Newton matrix along a run, beside those of the true Hessian at the same
points.
"""

import figures
import numpy as np

import qnsolve
from qnsolve.problems import linear_network
from qnsolve.solvers.matrices import build_hybrid, build_lsr1

# %%
# The problem starts next to a saddle: its Hessian has eigenvalues of both signs. The option
# ``matrix`` takes a factory; ours keeps hold of the matrix that it makes, and the callback looks
# at it after each iteration.

problem = linear_network(27)


def watched_run(method, build, memory):
    """Return the eigenvalues of the matrix, and of the Hessian, after each iteration."""
    made, estimates, exact = [], [], []

    def factory(*arguments):
        made.append(build(*arguments))
        return made[0]

    def look(intermediate_result):
        estimates.append(made[0].spectrum().all_eigenvalues)
        exact.append(np.linalg.eigvalsh(problem.hess(intermediate_result.x)))

    options = {"matrix": factory, "memory": memory, "maxiter": 60}
    qnsolve.minimize(
        problem.fun, problem.x0, jac=True, method=method, callback=look, options=options
    )
    return estimates, exact


figure = figures.spectra(*watched_run("lsr1-tr", build_lsr1, 10), title="L-SR1, 10 pairs, n = 27")
figure

# %%
# L-SR1 follows the negative curvature while it is there, and the largest eigenvalues; off its
# pairs it has one number, gamma. It also invents: some of its eigenvalues are lower or higher than
# any of the Hessian's. With fewer pairs than variables it cannot be otherwise
# (:doc:`/theory/hybrid-matrix`).
#
# The hybrid matrix, the default, starts from BFGS updates, which are positive definite, and keeps
# a negative eigenvalue only while the newest pair has shown negative curvature. It invents less.

figure = figures.spectra(
    *watched_run("hybrid-tr", build_hybrid, 10), title="SR1 on L-BFGS, 10 pairs, n = 27"
)
figure
