"""Starts an ulp apart: for statements about a path that one rounding error may change.

Where iterates amplify rounding, one run says as much about the processor as about the method.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def an_ulp_apart(x0: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Yield `count` points: `x0`, then points an ulp from it, or of 1, in every coordinate."""
    yield x0
    ulp = np.spacing(np.maximum(np.abs(x0), 1.0))
    for seed in range(1, count):
        yield x0 + ulp * np.random.default_rng(seed).choice([-1, 1], x0.shape)
