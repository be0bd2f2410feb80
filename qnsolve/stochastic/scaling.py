"""The rule for gamma on mini-batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qnsolve.quasi_newton.pairs import GramBlocks
from qnsolve.quasi_newton.scaling import Latest

LEAST_GAMMA, LARGEST_GAMMA = 1e-6, 1e8
"""Range of :class:`PartOfLatest`."""


@dataclass(frozen=True)
class PartOfLatest:
    """gamma = `part` of y'y / s'y of the pair just offered, where s'y is safely positive.

    y'y / s'y is nearer to the largest curvature along the pair than to the mean one; with all of it
    the steps are shorter than the region, and the ratio of reductions is about 1.3.
    """

    part: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 < self.part <= 1.0:
            raise ValueError(f"part must lie in (0, 1], got {self.part!r}")

    def __call__(self, blocks: GramBlocks, ratios: Sequence[float], current: float) -> float:
        newest = Latest()(blocks, ratios, current)
        if newest is current:
            return current
        return min(max(self.part * newest, LEAST_GAMMA), LARGEST_GAMMA)
