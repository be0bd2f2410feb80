"""
A membrane on an obstacle
=========================

A membrane that is held at its rim and pressed down comes to rest on an obstacle: its height is
bounded from below. Where it lies on, the multipliers of the bounds are the force that carries it.
"""

import numpy as np

import qnsolve
from qnsolve import plotting
from qnsolve.bounds import Box

# %%
# The problem
# -----------
#
# Heights on a grid, with the energy of a membrane under a constant load. The obstacle is a lower
# bound; at the rim both bounds are the same number, and those variables cost nothing.

side, load = 41, 2.0
axis = np.linspace(-1.0, 1.0, side)
h = axis[1] - axis[0]
rim = np.ones((side, side), dtype=bool)
rim[1:-1, 1:-1] = False
obstacle = 0.4 - 2.0 * np.add.outer(axis**2, 0.5 * axis**2)
lower = np.where(rim, 0.0, obstacle)
upper = np.where(rim, 0.0, np.inf)


def energy(u):
    across, along = np.diff(u, axis=0), np.diff(u, axis=1)
    g = np.full_like(u, load * h * h)
    g[1:] += across
    g[:-1] -= across
    g[:, 1:] += along
    g[:, :-1] -= along
    return 0.5 * (np.sum(across**2) + np.sum(along**2)) + load * h * h * np.sum(u), g


start = np.clip(np.zeros((side, side)), lower, upper)
result = qnsolve.minimize(energy, start, jac=True, bounds=Box(lower, upper), options={"gtol": 1e-6})
print(result.message, result.nfev, "evaluations for", result.x.size, "variables")

# %%
# Where it lies on
# ----------------
#
# ``result.active`` is -1 where a variable is on its lower bound, ``result.multipliers`` the slope
# that f has there: the force of the obstacle on a cell of the grid, here over its area.

force = np.where(rim, 0.0, result.multipliers) / (h * h)
touching = (result.active == -1) & ~rim
print(f"{touching.sum()} points touch, where the obstacle carries up to {force.max():.1f}")

figure = plotting.new_figure(9.0, 4.2)
panels = figure.subplots(1, 2)
for axes, values, label in zip(panels, (result.x, force), ("height", "force / area"), strict=True):
    plotting.dress(axes, "", label)
    image = axes.imshow(values.T, origin="lower", extent=(-1, 1, -1, 1), cmap="viridis")
    axes.contour(axis, axis, touching.T, levels=[0.5], colors=[plotting.COLOURS[1]])
    axes.set_xlim(-1, 1)
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes)
figure
