"""Training on the ranks of one launch; run by test_training.py under mpiexec, JSON on rank 0.

mpiexec -n 2 python -m tests.mpi.training_ranks agree even
"""

from __future__ import annotations

import json
import sys
import traceback

import numpy as np
from mpi4py import MPI as library

from qnsolve import DiagonalNorm
from qnsolve.comm import MPI, RankError
from qnsolve.stochastic import MiniBatches, train
from tests.mpi.ranks import CUTS, N

WORLD = library.COMM_WORLD
RANK, SIZE = WORLD.Get_rank(), WORLD.Get_size()
RUNS = {
    "hybrid-tr": {},
    "hybrid-tr/both": {"measure": "both", "refresh": 1},
    "hybrid-tr/diagonal": {"norm": "diagonal"},
    "lsr1-tr": {"norm": "rmsprop"},
    "lsr1-arc": {},
    "lsr1-ls": {},
    "newton-tr": {},
    "newton-tr/gltr": {"inner": "gltr", "norm": "adagrad"},
    "newton-tr/pivot": {"pivot_every": 1, "batch_growth": 1.5, "initial_rate": 1.0},
}

weight = np.linspace(1.0, 30.0, N)
x0 = np.cos(np.arange(N))
centres = np.random.default_rng(0).standard_normal((48, N))


def loss_of(mine):
    """Return the part of the loss, and of its gradient, that belongs to a slice."""
    d = weight[mine]

    def loss(x, batch):
        e = x - batch[0][:, mine]
        value = 0.5 * (e**2 @ d).mean() - np.cos(2.0 * x).sum()
        return float(value), d * e.mean(0) + 2.0 * np.sin(2.0 * x)

    return loss


class Counted(MPI):
    """Counts the all-reduces and the bytes of the largest."""

    count = largest = 0

    def allreduce_sum(self, a):
        self.count += 1
        self.largest = max(self.largest, a.nbytes)
        return super().allreduce_sum(a)


def run(name, mine, comm, **further):
    options = {"initial_rate": 0.01, **RUNS[name]}
    if options.get("norm") == "diagonal":
        options["norm"] = DiagonalNorm(1.0 + np.arange(N)[mine] % 3) if mine != EMPTY else "l2"
    batches = MiniBatches(centres, batch_size=8)
    method = name.split("/")[0]
    return train(
        loss_of(mine), x0[mine], batches, method=method, epochs=2, comm=comm, **options, **further
    )


EMPTY = slice(0, 0)


def agree(cut):
    """Compare every method with the serial run."""
    mine = slice(CUTS[cut][RANK], CUTS[cut][RANK + 1])
    found = {}
    for name in RUNS:
        if cut == "empty" and name == "hybrid-tr/diagonal":
            continue  # a norm of no entries cannot be written down
        serial = run(name, slice(None), None)
        comm, marks = Counted(), []
        ours = run(name, mine, comm, step_callback=lambda progress: marks.append(comm.count))  # noqa: B023
        x = np.concatenate(WORLD.allgather(ours.params))
        history = {key: values.tolist() for key, values in ours.history.items()}
        everywhere = WORLD.allgather((ours.steps, ours.passes, str(history)))
        losses = np.array([ours.history["loss"], serial.history["loss"]])
        found[name] = {
            "x": float(np.abs(x - serial.params).max() / np.abs(serial.params).max()),
            "loss": float(np.abs(losses[0] - losses[1]).max() / np.abs(losses).max()),
            "accepted": [a.history["accepted"].tolist() for a in (ours, serial)],
            "steps": [ours.steps, serial.steps],
            "same": all(entry == everywhere[0] for entry in everywhere),
            # Two belong to the callback: did it raise, and does it want to stop.
            "counts": [count - 2 for count in np.diff(marks).tolist()],
            "bytes": comm.largest,
        }
    return found


def failing(where):
    """Raise on the last rank alone, in the third call."""
    mine = slice(CUTS["even"][RANK], CUTS["even"][RANK + 1])
    last, calls = RANK == SIZE - 1, {"loss": 0, "callback": 0, "batches": 0}

    def fail(name):
        calls[name] += 1
        if name == where and last and calls[name] == 3:
            raise ValueError("no value on this rank")

    def loss(x, batch):
        fail("loss")
        return loss_of(mine)(x, batch)

    class Batches:
        def __len__(self):
            return 6 if where == "count" and last else 5

        def part(self, epoch, number):
            fail("batches")
            return (centres[number::5],)

    try:
        train(
            loss,
            x0[mine],
            Batches(),
            step_callback=lambda progress: fail("callback"),
            epochs=2,
            comm=WORLD,
        )
    except (TypeError, ValueError, RankError):
        traceback.print_exc()
        # mpiexec kills the others once one has ended; each shall have said why before.
        WORLD.Barrier()
        sys.exit(1)


def stopping(_):
    """Stop on one rank by the callback; a batch that is not finite on one rank; a checkpoint."""
    mine = slice(CUTS["uneven"][RANK], CUTS["uneven"][RANK + 1])

    def callback(progress):
        if RANK == SIZE - 1 and progress.step == 4:
            raise StopIteration

    stopped = run("hybrid-tr", mine, WORLD, step_callback=callback)
    calls = []

    def holes(x, batch):
        calls.append(1)
        value, g = loss_of(mine)(x, batch)
        return (np.nan if RANK == 0 and len(calls) == 4 else value), g

    survived = train(holes, x0[mine], MiniBatches(centres, batch_size=8), epochs=1, comm=WORLD)
    try:
        run("hybrid-tr", mine, WORLD, checkpoint="run.npz")
    except ValueError as error:
        refused = str(error)
    return {
        "steps": WORLD.allgather(stopped.steps),
        "message": stopped.message,
        "finite": WORLD.allgather(survived.history["finite"].tolist()),
        "refused": refused,
    }


if __name__ == "__main__":
    report = {"agree": agree, "failing": failing, "stopping": stopping}[sys.argv[1]](sys.argv[2])
    if RANK == 0:
        print(json.dumps(report))
