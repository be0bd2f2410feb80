"""How ill-conditioned the Hessian of LeNet is, with and without batch norm (L-SR1, section 4).

    python conditioning.py [--device cuda] [--samples 2000] [--epochs 0 5] [--seeds 3]

Printed are the largest and the least eigenvalue, by Lanczos on products with the Hessian, and the
root mean square of all eigenvalues, ||H v|| over random v of length 1 times the root of n.  The
largest over the root mean square says how far a few directions stick out.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from contenders import second_order
from measure import Meter
from nets import seeded
from problems import PROBLEMS, Problem, Source
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn

from qnsolve.stochastic.torch_adapter import ModuleLoss

PROBES = 20
RELATIVE = 1e-3
"""Accuracy of the eigenvalues, relative to the largest: no more than float32 products carry."""


def spectrum(problem: Problem, module: nn.Module, samples: int, seed: int) -> list[float]:
    """Return the largest and least eigenvalue and the root mean square of all."""
    loss = ModuleLoss(module, problem.loss, weight_decay=problem.decay, chunk=problem.chunk)
    batch, x = tuple(part[:samples] for part in problem.train), loss.params()

    def product(v: np.ndarray) -> np.ndarray:
        there = torch.as_tensor(v.reshape(-1), dtype=x.dtype, device=x.device)
        return loss.hessp(x, there, batch).double().cpu().numpy()

    n = x.numel()
    H = LinearOperator((n, n), matvec=product, dtype=np.float64)
    rng = np.random.default_rng(seed)
    ends = eigsh(
        H, k=2, which="BE", tol=RELATIVE, v0=rng.standard_normal(n), return_eigenvectors=False
    )
    probes = rng.standard_normal((PROBES, n))
    squares = [(product(v) ** 2).sum() / (v @ v) for v in probes]
    return [ends.max(), ends.min(), float(np.sqrt(np.mean(squares)))]


class Kept(Meter):
    """A meter that measures nothing and keeps the module it is shown last."""

    module: nn.Module

    def over(
        self,
        epoch: float,
        passes: float,
        backprops: float,
        module: nn.Module,
        skipped: float = np.nan,
    ) -> bool:
        self.module = module
        return epoch >= self._epochs


def main() -> None:
    """Print a row for each net, epoch and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--folder")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--train", type=int)
    parser.add_argument("--epochs", type=int, nargs="+", default=[0, 5])
    parser.add_argument("--batch", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    source = Source(given.data, given.folder, given.train, 1000)
    print("| net | epochs | seed | largest | least | root mean square | largest over it |")
    print("|---|---|---|---|---|---|---|")
    for name in ("lenet", "lenet-bn"):
        problem = PROBLEMS[name](source).to(given.device)
        for epochs in given.epochs:
            for seed in range(1, given.seeds + 1):
                module = seeded(problem.build, seed)
                if epochs:
                    meter = Kept(problem, {}, np.inf, 1.0, epochs=epochs)
                    second_order()[1].run(problem, None, given.batch, seed, meter)
                    module = meter.module
                high, low, mean = spectrum(problem, module, given.samples, seed)
                numbers = f"{high:.3g} | {low:.3g} | {mean:.3g} | {high / mean:.3g}"
                print(f"| {problem.name} | {epochs} | {seed} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
