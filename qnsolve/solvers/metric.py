"""The norm in which steps are measured, and gradients in its dual."""

from __future__ import annotations

from qnsolve.arrays import Array, VectorSpace
from qnsolve.norms import DiagonalNorm


class EuclideanNorm:
    """The l2 norm, with the methods of a DiagonalNorm."""

    def __init__(self, space: VectorSpace) -> None:
        self.space = space
        self.norm = self.dual_norm = space.norm

    def to_ball(self, s: Array) -> Array:
        return s

    def from_ball(self, p: Array) -> Array:
        return p


Metric = EuclideanNorm | DiagonalNorm


def metric_of(norm: str | DiagonalNorm, space: VectorSpace) -> Metric:
    """Return the metric that an option `norm` asks for: Euclidean for a name.

    Raises
    ------
    ValueError, TypeError
        If its diagonal does not belong to the vectors of `space`.
    """
    if not isinstance(norm, DiagonalNorm):
        return EuclideanNorm(space)
    space.agreed(lambda: _check_diagonal(norm, space))
    return DiagonalNorm.of_slice(norm.d, space)


def named_norm(norm: str | DiagonalNorm) -> str:
    """Return the name, in the variables of its metric, of the norm that an option asks for."""
    return "l2" if isinstance(norm, DiagonalNorm) else norm


def _check_diagonal(norm: DiagonalNorm, space: VectorSpace) -> None:
    if norm.space.size != space.length:
        raise ValueError(f"norm is for n = {norm.space.size}, x0 has n = {space.length}")
    if norm.space.xp is not space.xp or norm.space.dtype != space.dtype:
        raise TypeError(
            "the diagonal of norm must have the array library and dtype of x0, got "
            f"{norm.space.dtype} of {norm.space.xp.__name__}, not "
            f"{space.dtype} of {space.xp.__name__}"
        )
