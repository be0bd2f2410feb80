"""What the ranks of one launch do; run by test_mpi.py under mpiexec, prints JSON on rank 0.

mpiexec -n 2 python -m tests.mpi.ranks agree even
"""

from __future__ import annotations

import json
import sys
import traceback

import numpy as np
from mpi4py import MPI as library

import qnsolve
from qnsolve import DiagonalNorm
from qnsolve.comm import MPI, RankError

N = 60
WORLD = library.COMM_WORLD
RANK, SIZE = WORLD.Get_rank(), WORLD.Get_size()
CUTS = {
    "even": [N * r // SIZE for r in range(SIZE + 1)],
    "uneven": [0, *(N - 7 * (SIZE - r) for r in range(1, SIZE)), N],
    "empty": [0, *(0 for _ in range(SIZE - 1)), N],
}
RUNS = {
    "hybrid-tr": ("hybrid-tr", {}),
    "lsr1-tr": ("lsr1-tr", {}),
    "lsr1-tr/shape-inf": ("lsr1-tr", {"norm": "shape-inf"}),
    "lsr1-arc": ("lsr1-arc", {}),
    "lsr1-ls": ("lsr1-ls", {}),
    "newton-tr": ("newton-tr", {}),
    "newton-tr/rmsprop": ("newton-tr", {"norm": "rmsprop"}),
    "newton-tr/gltr": ("newton-tr", {"inner": "gltr"}),
}

weight, centre = np.linspace(1.0, 30.0, N), np.sin(np.arange(N))
x0 = np.cos(np.arange(N))


def objective(mine):
    """Return the part of f, and of its gradient, that belongs to a slice."""
    d, c = weight[mine], centre[mine]

    def fun(x):
        return float(np.sum(0.5 * d * (x - c) ** 2 - np.cos(2.0 * x))), (
            d * (x - c) + 2.0 * np.sin(2.0 * x)
        )

    def hessp(x, p):
        return d * p + 4.0 * np.cos(2.0 * x) * p

    return fun, hessp


class Counted(MPI):
    """Counts the all-reduces and the bytes of the largest."""

    count = largest = 0

    def allreduce_sum(self, a):
        self.count += 1
        self.largest = max(self.largest, a.nbytes)
        return super().allreduce_sum(a)


def agree(cut):
    """Compare every method with the serial run."""
    mine = slice(CUTS[cut][RANK], CUTS[cut][RANK + 1])
    found = {}
    for name, (method, options) in RUNS.items():
        options = {"maxiter": 8, "gtol": 0.0, **options}
        if method in ("hybrid-tr", "lsr1-arc") and cut == "even":
            d = 1.0 + np.arange(N) % 3
            serial_norm, norm = {"norm": DiagonalNorm(d)}, {"norm": DiagonalNorm(d[mine])}
        else:
            serial_norm = norm = {}
        further = lambda hessp: {"hessp": hessp} if method == "newton-tr" else {}  # noqa: E731, B023
        fun, hessp = objective(slice(None))
        serial = qnsolve.minimize(
            fun, x0, jac=True, method=method, options={**options, **serial_norm}, **further(hessp)
        )
        fun, hessp = objective(mine)
        comm, marks = Counted(), []
        ours = qnsolve.minimize(
            fun,
            x0[mine],
            jac=True,
            method=method,
            comm=comm,
            callback=lambda x: marks.append(comm.count),  # noqa: B023
            options={**options, **norm},
            **further(hessp),
        )
        x, g = (np.concatenate(WORLD.allgather(a)) for a in (ours.x, ours.jac))
        # Two belong to the callback: did it raise, and does it want to stop.
        counts = [count - 2 for count in np.diff(marks).tolist()]
        everywhere = WORLD.allgather((ours.nit, ours.nfev, ours.fun, int(ours.status)))
        found[name] = {
            "x": float(np.abs(x - serial.x).max() / np.abs(serial.x).max()),
            "jac": float(np.abs(g - objective(slice(None))[0](x)[1]).max()),
            "fun": [ours.fun, serial.fun],
            "nit": [ours.nit, serial.nit],
            "same": all(entry == everywhere[0] for entry in everywhere),
            "counts": counts,
            "bytes": comm.largest,
        }
    return found


def failing(where):
    """Raise on the last rank alone, in the third call."""
    mine = slice(CUTS["even"][RANK], CUTS["even"][RANK + 1])
    calls = {"fun": 0, "callback": 0, "hessp": 0}

    def fail(name):
        calls[name] += 1
        if name == where and RANK == SIZE - 1 and calls[name] == 3:
            raise ValueError("no value on this rank")

    def fun(x):
        fail("fun")
        f, g = objective(mine)[0](x)
        return f, None if where == "jac" and RANK == SIZE - 1 else g

    def hessp(x, p):
        fail("hessp")
        return objective(mine)[1](x, p)

    start = x0[mine].copy()
    options = {}
    if where == "x0" and RANK == SIZE - 1:
        start[0] = np.nan
    if where == "dtype" and RANK == SIZE - 1:
        start = start.astype(np.float32)
    if where == "norm":
        options["norm"] = DiagonalNorm(np.ones(len(start) + (RANK == SIZE - 1)))
    try:
        qnsolve.minimize(
            fun,
            start,
            jac=True,
            method="newton-tr" if where == "hessp" else None,
            hessp=hessp if where == "hessp" else None,
            callback=lambda x: fail("callback"),
            comm=WORLD,
            options=options,
        )
    except (TypeError, ValueError, RankError):
        traceback.print_exc()
        # mpiexec kills the others once one has ended; each shall have said why before.
        WORLD.Barrier()
        sys.exit(1)


def stopping(_):
    """Stop on one rank, by the callback and by the clock; separate jac; the option disp."""
    mine = slice(CUTS["uneven"][RANK], CUTS["uneven"][RANK + 1])
    fun, _ = objective(mine)
    seen = []

    def callback(x):
        seen.append(x.shape)
        if RANK == SIZE - 1 and len(seen) == 4:
            raise StopIteration

    by_callback = qnsolve.minimize(fun, x0[mine], jac=True, callback=callback, comm=WORLD)
    late = {"maxtime": 1e-9 if RANK == SIZE - 1 else 1e9}
    by_clock = qnsolve.minimize(fun, x0[mine], jac=True, options=late, comm=WORLD)
    apart = qnsolve.minimize(
        lambda x: fun(x)[0], x0[mine], jac=lambda x: fun(x)[1], comm=WORLD, options={"gtol": 1e-8}
    )
    together = qnsolve.minimize(fun, x0[mine], jac=True, comm=WORLD, options={"gtol": 1e-8})
    unbounded = qnsolve.minimize(
        lambda x: (-float(x @ x), -2.0 * x), x0[mine], jac=True, comm=WORLD
    )
    bad = qnsolve.minimize(
        lambda x: (np.nan if RANK == 0 else 1.0, x), x0[mine], jac=True, comm=WORLD
    )
    return {
        "callback": [by_callback.nit, int(by_callback.status)],
        "clock": [by_clock.nit, int(by_clock.status)],
        "apart": bool(WORLD.allreduce(float(np.abs(apart.x - together.x).max(initial=0.0))) == 0.0),
        "success": bool(apart.success),
        "unbounded": int(unbounded.status),
        "bad": int(bad.status),
    }


if __name__ == "__main__":
    report = {"agree": agree, "failing": failing, "stopping": stopping}[sys.argv[1]](sys.argv[2])
    if RANK == 0:
        print(json.dumps(report))
