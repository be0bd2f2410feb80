"""Starts an ulp apart: for statements about a path that one rounding error may change.

Where iterates amplify rounding, one run says as much about the processor as about the method.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def an_ulp_apart(x0: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Yield `count` points: `x0`, then points next to it in every coordinate."""
    yield x0
    for seed in range(1, count):
        side = np.random.default_rng(seed).choice([-np.inf, np.inf], x0.shape)
        yield np.nextafter(x0, side.astype(x0.dtype))
