"""Fit a logistic regression whose data are spread over the workers of a dask cluster.

python examples/dask_sum.py            # pip install distributed
"""

import numpy as np
from dask.distributed import Client, LocalCluster

import qnsolve
from qnsolve.parallel import ShardSum


def negative_log_likelihood(x, shard):
    """Return the part of one shard, and its gradient; log(1 + exp(-t)) without overflow."""
    features, signs = shard
    t = signs * (features @ x)
    return np.logaddexp(0.0, -t).sum(), -features.T @ (signs * np.exp(-np.logaddexp(0.0, t)))


def make_shards(count, rows, n):
    """Return random data that a known x separates, with noise."""
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(n)
    for _ in range(count):
        features = rng.standard_normal((rows, n))
        yield features, np.sign(features @ truth + rng.logistic(size=rows))


def main(count=4, rows=2000, n=50, processes=True):
    shards = list(make_shards(count, rows, n))
    with LocalCluster(n_workers=2, processes=processes, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            # The data go to the workers once; x and the gradients travel in every evaluation.
            placed = client.scatter(shards)
            fun = ShardSum(negative_log_likelihood, placed, client.get_executor(), timeout=60.0)
            result = qnsolve.minimize(fun, np.zeros(n), jac=True, options={"gtol": 1e-4})
    print(result.message)
    print(f"f = {result.fun:.6f} after {result.nfev} evaluations of {count} shards")
    return result, shards


if __name__ == "__main__":
    main()
