"""What is wrong on the last rank alone; run by test_disagreement.py, prints JSON on rank 0.

mpiexec -n 2 python -m tests.mpi.disagreeing_ranks
"""

from __future__ import annotations

import json
import warnings

import numpy as np
from mpi4py import MPI as library

import qnsolve
from qnsolve.stochastic import train

WORLD = library.COMM_WORLD
LAST = WORLD.Get_rank() == WORLD.Get_size() - 1
START = np.full(4, 3.0)


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


RAISED = {
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "surrogate": ValueError("bad \udc80 text"),
    "mute": Mute(),
    "StopIteration": StopIteration(),
}


def fun(x, batch=None):
    return float(np.sum(x**4 - x**2 + x)), 4.0 * x**3 - 2.0 * x + 1.0


def raising(error):
    calls = []

    def failing(x, batch=None):
        calls.append(1)
        if LAST and len(calls) == 3:
            raise error
        return fun(x)

    return failing


def minimize(objective=fun, method=None, options=None, **arguments):
    qnsolve.minimize(
        objective, START, method=method, options=options, **{"jac": True, **arguments}, comm=WORLD
    )


def trained(loss=fun, **arguments):
    train(loss, START, [1, 2, 3], **{"epochs": 2, **arguments}, comm=WORLD)


def hessp(x, p):
    return 12.0 * x**2 * p - 2.0 * p


def when_last(**arguments):
    return arguments if LAST else {}


CASES = {
    "option": lambda: minimize(options={"maxiter": -1 if LAST else 3}),
    "unknown option": lambda: minimize(options=when_last(maxitr=3)),
    "no mapping": lambda: minimize(options=5 if LAST else {}),
    "maxiter": lambda: minimize(options={"maxiter": 5 if LAST else 3}),
    "gtol": lambda: minimize(options={"gtol": 1e-3 if LAST else 1e-9}),
    "memory": lambda: minimize(options={"memory": 5 if LAST else 3}),
    "norm": lambda: minimize(options={"norm": "l2" if LAST else "shape-inf"}),
    "first_step": lambda: minimize(options=when_last(first_step=len)),
    "checkpoint": lambda: minimize(options=when_last(checkpoint="run.npz")),
    "method": lambda: minimize(method="lsr1-tr" if LAST else "newton-tr"),
    "unknown method": lambda: minimize(method="newton" if LAST else "newton-tr"),
    "bounds": lambda: minimize(**when_last(bounds=[(0, 1)] * 4)),
    "callback": lambda: minimize(**when_last(callback=3)),
    "hess": lambda: minimize(method="newton-tr", **when_last(hess=hessp)),
    "hessp": lambda: minimize(method="newton-tr", **when_last(hessp=hessp)),
    "no hessp": lambda: minimize(method="newton-tr", **when_last(hessp=5)),
    "jac": lambda: minimize(jac=fun if LAST else True),
    "train option": lambda: trained(**when_last(memory=-1)),
    "train method": lambda: trained(**when_last(method="lsr1-ls")),
    "train epochs": lambda: trained(**when_last(epochs=3)),
    "train overlap": lambda: trained(**when_last(overlap=False)),
    "train memory": lambda: trained(**when_last(memory=3)),
    "train pivot": lambda: trained(**when_last(pivot_every=1)),
    "train hessp": lambda: trained(method="newton-tr", **when_last(hessp=hessp)),
    "train callback": lambda: trained(**when_last(callback=3)),
    "train checkpoint": lambda: trained(**when_last(checkpoint="run.npz")),
    **{f"fun {name}": (lambda e=e: minimize(raising(e))) for name, e in RAISED.items()},
    **{f"loss {name}": (lambda e=e: trained(raising(e))) for name, e in RAISED.items()},
}
"""Each ends in an error on every rank."""

FINE = {
    "callback": lambda: minimize(**when_last(callback=lambda x: None)),
    "options of a rank": lambda: minimize(options={"history": LAST, "maxtime": 60.0 + LAST}),
    "train callbacks": lambda: trained(
        **when_last(callback=lambda progress: None, step_callback=lambda progress: None)
    ),
}
"""What the ranks need not share."""


def outcome(case):
    """Return the name and the message of what a case raises, of every rank."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case()
    except BaseException as error:
        try:
            found = [type(error).__name__, ascii(str(error))]
        except RuntimeError:
            found = [type(error).__name__, ""]
    else:
        found = ["none", ""]
    return WORLD.allgather(found)


if __name__ == "__main__":
    found = {name: outcome(case) for name, case in CASES.items()}
    fine = {name: outcome(case) for name, case in FINE.items()}
    if WORLD.Get_rank() == 0:
        print(json.dumps({"errors": found, "fine": fine}))
