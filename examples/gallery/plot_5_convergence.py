"""
Convergence, and profiles over many problems
============================================

How far each method is after so many evaluations, on one problem; and how many problems of a list
each has solved, at what cost.
"""

import numpy as np
from scipy.optimize import minimize

import qnsolve
from qnsolve import plotting, problems

# %%
# One problem
# -----------
#
# A recorder around the objective notes value and largest gradient component of every evaluation, so
# that all solvers are measured alike, whatever they report themselves.


def evaluations(problem, solver, gtol=1e-5):
    """Return what `solver` evaluated on `problem`: value and largest gradient component."""
    fun = plotting.Recorder(problem.fun)
    if solver == "L-BFGS-B":
        limits = {"gtol": gtol, "ftol": 0.0, "maxcor": 10, "maxfun": 2000, "maxiter": 2000}
        minimize(fun, problem.x0, jac=True, method=solver, options=limits)
    else:
        options = {"gtol": gtol, "maxfev": 2000}
        qnsolve.minimize(fun, problem.x0, jac=True, method=solver, options=options)
    return fun.rows


solvers = ("hybrid-tr", "lsr1-tr", "lsr1-arc", "L-BFGS-B")
wells = problems.woods(100)
runs = {solver: evaluations(wells, solver) for solver in solvers}
figure = plotting.convergence(runs, gtol=1e-5, title="Woods, n = 100")
figure

# %%
# Many problems
# -------------
#
# The cost of a problem is the number of evaluations until the largest gradient component is within
# 1e-5. One problem says little; a profile shows a whole list at once. The left panel
# asks who is how far behind the best, the right one what is solved within a budget.
#
# These are the small problems that ship with the package, too few to rank solvers by: measured
# figures over hundreds of problems, and how they were taken, are in :doc:`/benchmarks`.

names = [
    "extended-rosenbrock",
    "powell-singular",
    "dixon-price",
    "broyden-tridiagonal",
    "styblinski-tang",
    "woods",
    "cosine",
    "trigonometric",
    "linear-network",
    "matrix-factorisation",
    "phase-retrieval",
    "saddle-chain",
]


def cost(name, solver):
    """Return the evaluations until the gradient is small, inf if it never was."""
    norms = [g for _, g in evaluations(problems.get_problem(name), solver)]
    return next((i for i, g in enumerate(norms, start=1) if g <= 1e-5), np.inf)


costs = {solver: np.array([cost(name, solver) for name in names]) for solver in solvers}
lowest = np.min(list(costs.values()), axis=0)

profiles = plotting.new_figure(9.0, 4.4)
relative, absolute = profiles.subplots(1, 2, sharey=True)
for i, (solver, counts) in enumerate(costs.items()):
    style = plotting.line_style(i, marker=None)
    # What was not solved is beyond the edge of the panel.
    relative.ecdf(np.minimum(counts / lowest, 1e9), label=solver, **style)
    absolute.ecdf(np.minimum(counts, 1e9), **style)
plotting.dress(relative, "share of problems solved", "evaluations / fewest of all")
plotting.dress(absolute, "", "evaluations")
for axes, base, end in ((relative, 2, 8), (absolute, 10, 2000)):
    axes.set_xscale("log", base=base)
    axes.set_xlim(1, end)
    axes.set_ylim(0, 1.02)
plotting.finish(profiles, relative, f"{len(names)} problems of qnsolve.problems")
