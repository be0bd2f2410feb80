"""What a space over ranks finds; run by test_space.py under mpiexec, prints JSON on rank 0.

mpiexec -n 2 python -m tests.mpi.space_ranks
"""

from __future__ import annotations

import json

import numpy as np

from qnsolve.arrays import Request, space_of
from qnsolve.comm import MPI

N, ROWS = 40, 3


class Counted(MPI):
    count = 0

    def allreduce_sum(self, a):
        self.count += 1
        return super().allreduce_sum(a)


def whole():
    rng = np.random.default_rng(0)
    return rng.standard_normal(N), rng.standard_normal((ROWS, N))


def report(comm):
    a, rows = whole()
    ends = [0, *(N - 7 * (comm.size - rank) for rank in range(1, comm.size)), N]
    mine = slice(ends[comm.rank], ends[comm.rank + 1])
    a, rows = a[mine], rows[:, mine]
    space = space_of(a, comm)
    before = comm.count
    found = space.reduce(Request([(a, a)], rows, [a], [a]), [1.0])
    return {
        "messages": comm.count - before,
        "dots": found.dots,
        "products": found.products[0].tolist(),
        "largest": found.largest,
        "scalars": found.scalars,
        "first": space.each(space.first).tolist(),
        "leaders": space.each(space.leader).tolist(),
        "same": [space.same(found.dots[0]), space.same(space.first)],
        "any": [space.any(comm.rank == comm.size - 1), space.any(False)],
    }


if __name__ == "__main__":
    comm = Counted()
    found = report(comm)
    if comm.rank == 0:
        print(json.dumps(found))
