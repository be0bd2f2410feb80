"""A solve that kills itself without notice at a given evaluation.

Usage: python killed_solve.py CHECKPOINT METHOD EVALUATION
"""

from __future__ import annotations

import os
import signal
import sys

import qnsolve
from qnsolve.problems import woods


def solve(method, killed_at=None, **options):
    """Minimise Woods' function in 40 variables, with the whole history."""
    problem, evaluations = woods(40), 0

    def fun(x):
        nonlocal evaluations
        evaluations += 1
        if evaluations == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return problem.fun(x)

    pairs = {} if method == "newton-tr" else {"memory": 5}
    options = {"history": True, **pairs, **options}
    return qnsolve.minimize(fun, problem.x0, jac=True, method=method, options=options)


if __name__ == "__main__":
    solve(sys.argv[2], int(sys.argv[3]), checkpoint=sys.argv[1], checkpoint_every=3)
