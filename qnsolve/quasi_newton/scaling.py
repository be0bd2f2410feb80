"""Rules for gamma, the curvature that a limited-memory matrix has off its pairs (B0 = gamma I).

A rule is a callable ``rule(blocks, ratios, current) -> float``: `blocks` are the Gram blocks of the
pairs that would be stored, `ratios` the values y'y / s'y of the last pairs offered (stored or not,
NaN where s'y is not safely positive), `current` the gamma in use.  A rule that has nothing to say
returns `current`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import scipy.linalg

from qnsolve.checks import REAL, scalar
from qnsolve.quasi_newton.pairs import GramBlocks, PairProducts, SeenPair

GammaRule = Callable[[GramBlocks, Sequence[float], float], float]

MIN_COSINE = 1e-8
"""Least s'y / (|s| |y|) at which y'y / s'y is taken for a curvature (LMTR's pair test)."""

MAX_WINDOW = 64
"""Number of offered pairs whose ratios are remembered for the rules."""


def curvature_ratio(pair: PairProducts | SeenPair) -> float:
    """Return y'y / s'y, or NaN where s'y is not safely positive."""
    if pair.sy > MIN_COSINE * math.sqrt(pair.ss) * math.sqrt(pair.yy):
        return pair.yy / pair.sy
    return float("nan")


@dataclass(frozen=True)
class Constant:
    """gamma = `value` for ever."""

    value: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.value) and self.value != 0.0):
            raise ValueError(f"gamma must be finite and not zero, got {self.value!r}")

    def __call__(self, blocks: GramBlocks, ratios: Sequence[float], current: float) -> float:
        return self.value


@dataclass(frozen=True)
class Latest:
    """gamma = y'y / s'y of the pair just offered, where s'y is safely positive."""

    def __call__(self, blocks: GramBlocks, ratios: Sequence[float], current: float) -> float:
        return current if math.isnan(ratios[-1]) else ratios[-1]


@dataclass(frozen=True)
class Smoothed:
    """gamma = the geometric mean, weighted by `share`, of y'y / s'y of the newest pair and gamma.

    The first pair gives gamma alone.  One pair of unusual curvature moves gamma by half as many
    decades, two by three quarters.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"share must lie in (0, 1], got {self.share!r}")

    def __call__(self, blocks: GramBlocks, ratios: Sequence[float], current: float) -> float:
        newest = Latest()(blocks, ratios, current)
        if len(blocks) == 1:
            return newest
        return float(newest**self.share * current ** (1.0 - self.share))


@dataclass(frozen=True)
class LengthRatio:
    """gamma = |y| / |s| of the newest pair, whatever its curvature."""

    def __call__(self, blocks: GramBlocks, ratios: Sequence[float], current: float) -> float:
        return float(blocks.y_norms[-1] / blocks.s_norms[-1])


@dataclass(frozen=True)
class WindowMax:
    """gamma = the largest y'y / s'y among the last `window` pairs offered (ACM Algorithm 1030)."""

    window: int = 7

    def __post_init__(self) -> None:
        if not 1 <= self.window <= MAX_WINDOW:
            raise ValueError(f"window must be between 1 and {MAX_WINDOW}, got {self.window!r}")

    def __call__(self, blocks: GramBlocks, ratios: Sequence[float], current: float) -> float:
        known = [ratio for ratio in list(ratios)[-self.window :] if not math.isnan(ratio)]
        return max(known, default=current)


@dataclass(frozen=True)
class GeneralisedEigenvalue:
    """gamma just below the least curvature seen on span(S) (Erway, Griffin, Marcia, Omheni 2020).

    With A = L + D + L' the lower triangle of S'Y mirrored and ``lam`` the smallest eigenvalue of
    ``A z = lam S'S z``, gamma is ``lam / 2`` where lam > 0 and ``3 lam / 2`` where it is not.  Then
    A - gamma S'S is positive definite and gamma is the smallest eigenvalue of B, unless the floor
    lifts gamma above a small lam > 0.

    Parameters
    ----------
    floor : float
        Least |gamma|, relative to the largest generalised eigenvalue in modulus.
    relative : bool
        False makes `floor` absolute, as in the published codes.
    """

    floor: float = 1e-6
    relative: bool = True

    def __call__(self, blocks: GramBlocks, ratios: Sequence[float], current: float) -> float:
        if not blocks.s_norms.all():  # under bounds: of the free variables none has moved
            return current
        scale = 1.0 / blocks.s_norms
        outer = np.outer(scale, scale)
        try:
            lam = scipy.linalg.eigh(
                blocks.lower_mirrored * outer, blocks.SS * outer, eigvals_only=True
            )
        except np.linalg.LinAlgError:  # steps dependent to rounding: no generalised eigenvalue
            return current
        floor = self.floor * (np.abs(lam).max() if self.relative else 1.0)
        if not np.isfinite(floor) or floor == 0.0:
            return current
        return float(max(0.5 * lam[0], floor) if lam[0] > 0 else min(1.5 * lam[0], -floor))


RULES: dict[str, GammaRule] = {
    "latest": Latest(),
    "smoothed": Smoothed(),
    "length-ratio": LengthRatio(),
    "window-max": WindowMax(),
    "eigenvalue": GeneralisedEigenvalue(),
}


def resolve_rule(gamma: float | str | GammaRule) -> GammaRule:
    """Return the rule that a user's `gamma` names: a number, a name in ``RULES`` or a callable."""
    if isinstance(gamma, str):
        if gamma not in RULES:
            raise ValueError(
                f"gamma must be a number, a callable or one of {sorted(RULES)}, got {gamma!r}"
            )
        return RULES[gamma]
    value = scalar(gamma)
    if isinstance(value, Real) and not isinstance(value, bool):
        return Constant(REAL(value, "gamma"))
    if callable(gamma):
        return gamma
    raise TypeError(
        f"gamma must be a number, a rule's name or a callable, got {type(gamma).__name__}"
    )
