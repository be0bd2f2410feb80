"""The methods that are compared: a table of functions of (loss, x0), ended by the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

import qnsolve
from examples.pinn import broyden
from examples.pinn.measure import Measured

Contender = Callable[[Measured, Tensor], None]

RATE = 1e-3
"""Learning rate of Adam, its default and the habit of the field."""

WARM_UP = 0.2
"""Part of the evaluations that Adam gets where another method follows."""

ENDLESS = 10**9
"""More iterations than any budget: only the loss ends a run."""


def adam(loss: Measured, x0: Tensor, steps: int = ENDLESS) -> Tensor:
    """Take steps of Adam and return where they lead."""
    x = torch.nn.Parameter(x0.clone())
    optimizer = torch.optim.Adam([x], lr=RATE)
    for _ in range(steps):
        x.grad = loss(x)[1]
        optimizer.step()
    return x.detach()


def after_adam(contender: Contender) -> Contender:
    """Return a contender that starts where Adam has led."""

    def run(loss: Measured, x0: Tensor) -> None:
        contender(loss, adam(loss, x0, round(WARM_UP * loss.budget)))

    return run


def torch_lbfgs(pairs: int) -> Contender:
    """Return L-BFGS of PyTorch with its strong Wolfe search."""

    def run(loss: Measured, x0: Tensor) -> None:
        x = torch.nn.Parameter(x0.clone())
        optimizer = torch.optim.LBFGS(
            [x],
            max_iter=ENDLESS,
            max_eval=ENDLESS,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            history_size=pairs,
            line_search_fn="strong_wolfe",
        )

        def closure() -> float:
            f, x.grad = loss(x)
            return f

        optimizer.step(closure)

    return run


def from_scipy(method: str, **options: Any) -> Contender:
    """Return a method of SciPy, which works on the host."""

    def run(loss: Measured, x0: Tensor) -> None:
        def fun(x: np.ndarray) -> tuple[float, np.ndarray]:
            f, g = loss(torch.as_tensor(x, device=x0.device))
            return f, g.cpu().numpy()

        given = {"maxiter": ENDLESS, "gtol": 0.0, **options}
        scipy.optimize.minimize(fun, x0.cpu().numpy(), jac=True, method=method, options=given)

    return run


def lbfgsb(pairs: int) -> Contender:
    """Return L-BFGS-B of SciPy with so many pairs, tests of convergence off."""
    return from_scipy("L-BFGS-B", maxcor=pairs, maxfun=ENDLESS, ftol=0.0)


def from_qnsolve(method: str, **options: Any) -> Contender:
    """Return a method of qnsolve, on the tensors of the loss."""

    def run(loss: Measured, x0: Tensor) -> None:
        given = {"maxiter": ENDLESS, "gtol": 0.0, **options}
        qnsolve.minimize(loss, x0, jac=True, method=method, options=given)

    return run


CONTENDERS: dict[str, Contender] = {
    "hybrid-tr, 20 pairs": from_qnsolve("hybrid-tr", memory=20),
    "hybrid-tr, 50 pairs": from_qnsolve("hybrid-tr", memory=50),
    "lsr1-tr, 20 pairs": from_qnsolve("lsr1-tr", memory=20),
    "Adam": adam,
    "Adam, torch L-BFGS, 10 pairs": after_adam(torch_lbfgs(10)),
    "Adam, torch L-BFGS, 100 pairs": after_adam(torch_lbfgs(100)),
    "Adam, hybrid-tr, 20 pairs": after_adam(from_qnsolve("hybrid-tr", memory=20)),
    "L-BFGS-B, 10 pairs": lbfgsb(10),
    "L-BFGS-B, 50 pairs": lbfgsb(50),
    "SSBroyden, dense": broyden.minimise,
    "BFGS, SciPy, dense": from_scipy("BFGS"),
}
