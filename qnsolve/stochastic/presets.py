"""Published training methods as options: every constant of the paper, ours where it is silent.

``train(..., method=preset.method, **preset)``.  In all of them the pair and the ratio of a step are
of the batch of that step; a number that a paper leaves open is the default of the method.
"""

from __future__ import annotations

import sys

from qnsolve.presets import Preset
from qnsolve.published import RamamurthyDuffyLSR1
from qnsolve.quasi_newton.scaling import GeneralisedEigenvalue
from qnsolve.solvers.matrices import Build
from qnsolve.solvers.weight import Midpoints

RAMAMURTHY_DUFFY = Preset(
    "lsr1-tr",
    "Ramamurthy and Duffy, L-SR1 (2017), Algorithm 1",
    overlap=False,
    norm="l2",
    initial_rate=1.0,
    min_radius=sys.float_info.min,
    max_radius=float("inf"),
    memory=5,
    gamma=1.0,
    matrix=Build(RamamurthyDuffyLSR1),
    accept=1e-4,
    shrink_below=0.1,
    grow_above=0.75,
    shrink=0.5,
    grow=2.0,
    long_step=0.8,
    store_rejected=True,
)
"""Algorithm 1 of Ramamurthy and Duffy: the first radius is the norm of the gradient, however large,
and B0 = I."""

RAMAMURTHY_DUFFY_LS = Preset(
    "lsr1-ls",
    "Ramamurthy and Duffy, L-SR1 (2017), Algorithm 2",
    overlap=False,
    initial_rate=1.0,
    memory=5,
    gamma=1.0,
    modify="ascent",
    decrease=1e-4,
    curvature=0.9,
)
"""Algorithm 2 of Ramamurthy and Duffy: H0 = I, and -Hg while it is a direction of descent."""

YOUSEFI_MARTINEZ = Preset(
    "lsr1-tr",
    "Yousefi and Martinez, sL-SR1-TR, Algorithms 16 (2023)",
    overlap=True,
    measure="both",
    norm="l2",
    initial_radius=1.0,
    initial_rate=1.0,  # gamma = 1 before the first pair
    memory=20,
    gamma=GeneralisedEigenvalue(floor=1e-6, relative=False),
    accept=1e-4,
    shrink_below=0.1,
    grow_above=0.75,
    shrink=0.5,
    grow=2.0,
    long_step=0.8,
    store_rejected=True,
)
"""The stochastic L-SR1 trust region on half-overlapping batches."""

ARCS_LSR1 = Preset(
    "lsr1-arc",
    "Ranganath, Singhal and Marcia, ARCs-LSR1, arXiv 2502.12298 (2025)",
    overlap=False,
    norm="l2",
    memory=5,
    gamma="eigenvalue",
    initial_rate=0.5,  # gamma = 1 before the first pair
    regulariser="shape",
    initial_weight=1.0,
    weight_rule=Midpoints(modest=1.0, steep=10.0),
    accept=0.1,
    grow_below=0.1,
    shrink_above=0.75,
    longest_step=float("inf"),
    store_rejected=False,
)
"""ARCs-LSR1, corrected, with the constants that the paper leaves open filled in."""

ADAPTIVE_NORMS = Preset(
    "newton-tr",
    "Kohler, Adolphs and Lucchi, Adaptive norms, arXiv 1905.09201 (2019)",
    overlap=False,
    norm="rmsprop",
    decay=0.8,
    epsilon=1e-5,
    initial_radius=1e-4,
    max_radius=10.0,
    accept=0.01,
    shrink_below=0.01,
    grow_above=0.95,
    shrink=1.0 / 1.75,
    grow=1.1,
    long_step=0.0,
    inner="steihaug",
    inner_maxiter=50,
    forcing=0.1,
    pivot_every=10,
    batch_growth=1.05,
    largest_batch=0.2,
)
"""The RMSProp ellipsoid with the constants of the authors' code for a dense net on Fashion-MNIST.
Without its first epoch of first-order steps; the norm follows all gradients, there only those after
a step that was taken."""

ADAPTIVE_NORMS_ADAGRAD = Preset(
    "newton-tr",
    ADAPTIVE_NORMS.source,
    **{**ADAPTIVE_NORMS, "norm": "adagrad", "initial_radius": 0.05, "shrink": 1.0 / 1.5},
)
"""The same with the Adagrad ellipsoid."""

ADAPTIVE_NORMS_UNIFORM = Preset(
    "newton-tr",
    ADAPTIVE_NORMS.source,
    **{
        **ADAPTIVE_NORMS,
        "norm": "l2",
        "initial_radius": 0.05,
        "shrink": 1.0 / 1.25,
        "grow_above": 0.8,
    },
)
"""The same with the sphere, which the paper compares them with."""
