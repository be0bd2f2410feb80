"""Minimise over several processes, each of which holds a slice of every vector.

mpiexec -n 2 python examples/mpi_minimize.py            # pip install mpi4py mpich
"""

import argparse

import numpy as np
from mpi4py import MPI

import qnsolve

ranks = MPI.COMM_WORLD


class CoupledWells:
    """A chain of double wells, each drawn to its neighbours, cut into one piece a rank.

    The sum over all ranks is sum_i (x_i^2 - 1)^2 + sum_i (x_{i+1} - x_i)^2 / 2.
    """

    def __init__(self, n):
        ends = [n * rank // ranks.size for rank in range(ranks.size + 1)]
        self.first, self.length = ends[ranks.rank], ends[ranks.rank + 1] - ends[ranks.rank]
        self.left = ranks.rank - 1 if ranks.rank > 0 else MPI.PROC_NULL
        self.right = ranks.rank + 1 if ranks.rank + 1 < ranks.size else MPI.PROC_NULL

    def start(self):
        """Return this rank's slice of a start that does not depend on the number of ranks."""
        return 0.1 * np.sin(1.0 + np.arange(self.first, self.first + self.length))

    def __call__(self, x):
        """Return this rank's *part* of f, and its slice of the gradient of the sum."""
        # The neighbours' numbers next to the cuts; where there is no neighbour, nothing pulls.
        before, after = x[:1].copy(), x[-1:].copy()
        ranks.Sendrecv(x[-1:].copy(), self.right, recvbuf=before, source=self.left)
        ranks.Sendrecv(x[:1].copy(), self.left, recvbuf=after, source=self.right)
        pull = np.diff(np.concatenate([before, x, after]))
        wall = x**2 - 1.0
        # A pull across a cut belongs to the rank on its right.
        return wall @ wall + 0.5 * pull[:-1] @ pull[:-1], 4.0 * x * wall + pull[:-1] - pull[1:]


def main(n=100_000):
    wells = CoupledWells(n)
    result = qnsolve.minimize(wells, wells.start(), jac=True, comm=ranks)
    # f, counts and status are the same on every rank; x and jac are slices.
    if ranks.rank == 0:
        print(f"{ranks.size} ranks, n = {n}: {result.message}")
        print(f"f = {result.fun:.12g} after {result.nfev} evaluations")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000)
    main(parser.parse_args().n)
