"""
The secular equation, and the hard case
=======================================

On the boundary of a ball the minimiser is :math:`p(\\sigma) = -(B + \\sigma I)^{-1} g` with the
one multiplier for which it is as long as the radius. That is an equation in one unknown,
whatever n is.
"""

import figures
import numpy as np

import qnsolve

# %%
# To the right of minus the smallest eigenvalue the length falls from infinity, so it meets the
# radius once. The upper curve bends sharply there, and Newton's method on it would do badly; its
# reciprocal, below, is nearly a line, and Newton's method needs a few steps from the left.
#
# The three gradients have less and less of the leftmost eigenvector. The pole gets thinner, the
# root moves to its edge, and with nothing left there is no root: the hard case. Then the
# multiplier *is* minus the smallest eigenvalue, and what is missing in length is taken from its
# eigenspace.

eigenvalues = np.array([-1.0, 1.0, 2.5])
gradients = {
    "easy": [0.8, 0.6, 0.5],
    "nearly hard": [0.05, 0.6, 0.5],
    "hard": [0.0, 0.6, 0.5],
}
title = "Length of the step against the multiplier, and its reciprocal"
figure = figures.secular(eigenvalues, gradients, radius=1.0, title=title)
figure

# %%
# The solver measures the multiplier from its lower bound, so that nothing cancels at the edge.
# However thin the pole, the answer has all digits; no tolerance decides which case it is.

for part in (0.8, 0.05, 1e-8, 1e-100, 0.0):
    answer = qnsolve.solve_trs(np.array([part, 0.6, 0.5]), np.diag(eigenvalues), radius=1.0)
    print(
        f"part {part:7.1e}   multiplier {answer.multipliers[0]:.16f}   hard {answer.hard_case!s:5}"
        f"   Newton steps {answer.nit:2d}   violation {answer.certificate().worst:.0e}"
    )
