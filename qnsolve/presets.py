"""Published methods as options: every constant of the paper, ours where it is silent.

A preset is an immutable mapping for the `options` of :func:`qnsolve.minimize`, with the name of its
method as :attr:`Preset.method`.  ``docs/presets.md`` says where each constant comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from qnsolve.published import (
    DenseLBFGS,
    DoublingSearch,
    RamamurthyDuffyLSR1,
    ScLSR1,
    WolfeSearch,
)
from qnsolve.quasi_newton.scaling import WindowMax
from qnsolve.solvers.matrices import Build
from qnsolve.solvers.radius import DoubleOrHalve, StepOrRadius
from qnsolve.solvers.weight import Midpoints


class Preset(Mapping[str, Any]):
    """Options that replay a published method.

    Parameters
    ----------
    method : str
        Name of the method that they are options of.
    source : str
        Publication.
    **options
        The options.

    Examples
    --------
    >>> import qnsolve
    >>> from qnsolve.presets import RAMAMURTHY_DUFFY
    >>> RAMAMURTHY_DUFFY.method, RAMAMURTHY_DUFFY["memory"]
    ('lsr1-tr', 5)
    >>> fun, options = lambda x: (x @ x, 2 * x), {**RAMAMURTHY_DUFFY, "gtol": 1e-8}
    >>> qnsolve.minimize(fun, [1.0, 2.0], jac=True, method="lsr1-tr", options=options).success
    True
    """

    def __init__(self, method: str, source: str, **options: Any) -> None:
        self.method, self.source = method, source
        self._options = MappingProxyType(options)

    def __getitem__(self, name: str) -> Any:
        return self._options[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), self.method, self.source, **self), ()

    def __repr__(self) -> str:
        return f"<{self.method} as in {self.source}>"


RAMAMURTHY_DUFFY = Preset(
    "lsr1-tr",
    "Ramamurthy and Duffy, L-SR1: a second order optimization method (2017), Algorithm 1",
    memory=5,
    gamma=1.0,
    matrix=Build(RamamurthyDuffyLSR1),
    norm="l2",
    initial_radius="gradient",
    radius_rule=DoubleOrHalve(long_step=0.8, grow=2.0, shrink=0.5),
    accept=1e-4,
    shrink_below=0.1,
    grow_above=0.75,
    store_rejected=True,
)
"""Algorithm 1 of Ramamurthy and Duffy (2017)."""

RAMAMURTHY_DUFFY_LS = Preset(
    "lsr1-ls",
    "Ramamurthy and Duffy, L-SR1: a second order optimization method (2017), Algorithm 2",
    memory=5,
    gamma=1.0,
    first_trial="previous",
    modify="ascent",
    decrease=1e-4,
    curvature=0.9,
)
"""Algorithm 2 of Ramamurthy and Duffy (2017)."""

SC_SR1 = Preset(
    "lsr1-tr",
    "Brust, Burdakov, Erway and Marcia, ACM Algorithm 1030: SC-SR1 (2022)",
    memory=8,
    gamma=WindowMax(7),
    matrix=Build(ScLSR1, {"skip": 1e-8, "least": 1e-10}),
    first_step=WolfeSearch(decrease=1e-4, curvature=0.9),
    norm="shape-inf",
    radius_rule=DoubleOrHalve(long_step=0.8, grow=2.0, shrink=0.5),
    accept=1e-5,
    shrink_below=0.1,
    grow_above=0.75,
    store_rejected=True,
)
"""The outer loop of ACM Algorithm 1030."""

LMTR_DENSE = Preset(
    "lsr1-tr",
    "Brust, Burdakov, Erway and Marcia, A dense initialization (2019)",
    memory=5,
    gamma="latest",
    matrix=Build(DenseLBFGS, {"mix": 0.5, "factor": 1.0}),
    first_step=DoublingSearch(),
    norm="shape-inf",
    radius_rule=StepOrRadius(step_part=0.5, radius_part=0.25, long_step=0.8, grow=2.0),
    accept=0.0,
    shrink_below=0.25,
    grow_above=0.75,
    store_rejected=False,
)
"""The L-BFGS trust region LMTR (Burdakov et al. 2017) with dense initialisation."""

ARCS_LSR1 = Preset(
    "lsr1-arc",
    "Ranganath, Singhal and Marcia, ARCs-LSR1, arXiv 2502.12298 (2025)",
    gamma="eigenvalue",
    norm="shape",
    initial_weight=1.0,
    weight_rule=Midpoints(modest=1.0, steep=10.0),
    accept=0.1,
    grow_below=0.1,
    shrink_above=0.75,
    longest_step=float("inf"),
    store_rejected=False,
)
"""ARCs-LSR1 with the constants that the paper leaves open filled in."""

ADAPTIVE_NORMS = Preset(
    "newton-tr",
    "Kohler, Adolphs and Lucchi, Adaptive norms, arXiv 1905.09201 (2019)",
    norm="rmsprop",
    decay=0.8,
    norm_bounds=(1e-5, float("inf")),
    normalise=False,
    inner="steihaug",
    inner_maxiter=50,
    forcing=0.1,
    initial_radius=1e-4,
    max_radius=10.0,
    radius_rule=DoubleOrHalve(long_step=0.0, grow=1.1, shrink=1.0 / 1.75),
    accept=0.01,
    shrink_below=0.01,
    grow_above=0.95,
)
"""The RMSProp ellipsoid with the constants of the authors' code."""
