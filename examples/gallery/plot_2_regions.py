"""
Model and region in each norm
=============================

One model, and four ways to keep its minimiser near. The contour lines are those of the quadratic
model at the current point, marked +; the shaded region is where the model is trusted; the arrow
is the exact minimiser.
"""

import figures
import numpy as np
from matplotlib.figure import Figure

import qnsolve

# %%
# The matrix is L-SR1 with one pair, so it knows one direction, of negative curvature, and one
# number for the rest.

B = qnsolve.LSR1(2, gamma=1.0)
B.update(np.array([2.0, 1.0]), np.array([-2.5, -1.0]))
print("eigenvalue on the pair", B.spectrum().eigenvalues, "off it", B.gamma)

# %%
# In the ball the multiplier bends the step. The shape-changing box, with a side along each known
# eigenvector, takes each direction on its own: full length where the curvature is negative, and in
# the other direction the minimiser, if it is inside. The ellipse belongs to a norm in which the
# second variable counts nine times. The last panel has no region: a cubic term raises the model
# far out, and the step is as long as that makes it.

g = np.array([0.3, 1.0])
model = qnsolve.QuadraticModel(g, B)
metric = qnsolve.DiagonalNorm(np.array([1.0, 9.0]))
results = {
    "ball": model.trust_region(1.5),
    "shape-inf: a box": model.trust_region(1.5, "shape-inf"),
    "ellipse": qnsolve.solve_trs(g, B.to_dense(), 1.5, norm=metric),
    "cubic, shape-changing": model.regularised(0.8, "shape"),
}
figure = figures.regions(results, half_width=3.2)
figure

# %%
# Every answer proves itself: stationarity, complementarity, the smallest eigenvalue of the shifted
# matrix, feasibility, measured on the vector.

for name, result in results.items():
    print(f"{name:24} decrease {result.decrease:.4f}   violation {result.certificate().worst:.0e}")

# %%
# With one pair the two shape-changing norms are one. With two pairs and a third direction they
# part: the box of (P, inf) has a side along each eigenvector, the cylinder of (P, 2) is a disc in
# the plane of the pairs. Drawn in the coordinates that B is diagonal in, with the step that each
# region allows.

rng = np.random.default_rng(1)
B = qnsolve.LSR1(3, gamma=1.0)
for _ in range(2):
    s = rng.standard_normal(3)
    B.update(s, np.array([-1.5, 0.5, 3.0]) * s)
spectrum = B.spectrum()
model = qnsolve.QuadraticModel(np.array([1.0, -0.6, -2.0]), B)

turn = np.linspace(0.0, 2.0 * np.pi, 73)  # the corners of a square among them
side = np.linspace(-1.0, 1.0, 31)
height = side[:, None]
across = np.sqrt(1 - height**2)
square = np.maximum(np.abs(np.cos(turn)), np.abs(np.sin(turn)))
edges = {
    "l2": (across * np.cos(turn), across * np.sin(turn), height),
    "shape-2": (np.cos(turn), np.sin(turn), height),
    "shape-inf": (np.cos(turn) / square, np.sin(turn) / square, height),
}

solids = Figure(figsize=(9.0, 3.6), layout="constrained", facecolor="none")
for place, (norm, surface) in enumerate(edges.items()):
    axes = solids.add_subplot(1, 3, place + 1, projection="3d", facecolor="none")
    surface = np.broadcast_arrays(*surface)
    axes.plot_wireframe(*surface, color="#2B83C6", alpha=0.35, linewidth=0.6, rstride=5, cstride=3)
    v, off = spectrum.project(model.trust_region(1.0, norm).step)
    axes.plot([0, v[0]], [0, v[1]], [0, off], color="#D55E00", linewidth=2.5)
    axes.scatter(*v, off, color="#D55E00")
    axes.set_title(norm, color="#767676")
    axes.set(xticks=[-1, 1], yticks=[-1, 1], zticks=[-1, 1])
    axes.grid(False)
    axes.set_box_aspect((1, 1, 1), zoom=0.95)
    axes.tick_params(colors="#767676", labelsize=7)
    for axis, name in zip(
        (axes.xaxis, axes.yaxis, axes.zaxis), ("$v_1$", "$v_2$", "off"), strict=True
    ):
        axis.set_label_text(name, color="#767676")
        axis.labelpad = -8
        axis.set_pane_color((0, 0, 0, 0))
        axis.line.set_color("#767676")
solids
