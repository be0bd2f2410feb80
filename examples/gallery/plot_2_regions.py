"""
Model and region in each norm
=============================

One model, and four ways to keep its minimiser near. The contour lines are those of the quadratic
model at the current point, marked +; the shaded region is where the model is trusted; the arrow
is the exact minimiser.
"""

import numpy as np

import qnsolve
from qnsolve import plotting

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
figure = plotting.regions(results, half_width=3.2)
figure

# %%
# With two pairs and a third direction, the (P, 2) norm would be a ball in the plane of the pairs
# and an interval off it: a cylinder. Here, with one pair, it is the box.
#
# Every answer proves itself: stationarity, complementarity, the smallest eigenvalue of the shifted
# matrix, feasibility, measured on the vector.

for name, result in results.items():
    print(f"{name:24} decrease {result.decrease:.4f}   violation {result.certificate().worst:.0e}")
