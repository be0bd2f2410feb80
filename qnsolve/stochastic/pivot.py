"""The point that a run goes back to where the loss on all samples has not fallen since it."""

from __future__ import annotations

from typing import Any

import numpy as np

from qnsolve.arrays import Array
from qnsolve.state import Saved, Stateful
from qnsolve.stochastic.batches import ResumableBatches, StreamedBatches
from qnsolve.stochastic.options import StepOptions

COLUMNS = {"epoch": int, "loss": float, "undone": bool, "batch_size": int}
"""What is kept of every comparison."""


class Pivot(Stateful):
    """Steps on batches can raise the loss on all samples; every so many epochs that is looked at.

    Where the loss is lower than at the last pivot, the point becomes the new one; where it is not,
    all steps since are undone and the batches grow.  Radius, norm and pairs stay what they have
    become.

    Parameters
    ----------
    options : StepOptions

    References
    ----------
    J. Kohler, L. Adolphs, A. Lucchi, "Adaptive norms for deep learning with regularized Newton
    methods", arXiv 1905.09201; the check is that of the public code of the authors.
    """

    x: Saved[Array | None]
    loss: Saved[float]
    kept: Saved[dict[str, Any]]
    _seen: Saved[list[dict[str, Any]]]

    def __init__(self, options: StepOptions) -> None:
        self._options = options
        self.x, self.loss, self.kept = None, np.inf, {}
        self._seen = []

    def due(self, epoch: int) -> bool:
        """Tell whether the loss is to be compared at the beginning of `epoch`."""
        every = self._options.pivot_every
        return every is not None and epoch % every == 0

    def check(
        self, epoch: int, loss: float, x: Array, kept: dict[str, Any], batch_size: int
    ) -> bool:
        """Return whether the steps since the last pivot are to be undone; else move it to `x`.

        `kept` is what belongs to x besides.
        """
        # False for NaN too.
        lower = loss < self.loss
        undone = self.x is not None and not lower
        if not undone:
            self.x, self.loss, self.kept = x, loss, kept
        row = {"epoch": epoch, "loss": loss, "undone": undone, "batch_size": batch_size}
        self._seen.append(row)
        return undone

    def larger(self, stream: ResumableBatches | StreamedBatches) -> int:
        """Return the batch size after steps that were undone."""
        size, growth = stream.batch_size, self._options.batch_growth
        if not stream.samples or growth == 1.0:
            return size
        limit = int(self._options.largest_batch * stream.samples)
        return max(size, min(limit, max(size + 1, int(growth * size))))

    def history(self) -> dict[str, np.ndarray]:
        """Return the comparisons."""
        return {
            name: np.array([row[name] for row in self._seen], kind)
            for name, kind in COLUMNS.items()
        }
