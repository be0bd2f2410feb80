"""The matrices that an outer loop can run on, one factory each.

A factory takes the space of the vectors, or one of them, the options of the run, and the gamma to
begin with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from qnsolve.arrays import Array, VectorSpace, space_of
from qnsolve.quasi_newton.base import CompactMatrix
from qnsolve.quasi_newton.hybrid import HybridLSR1
from qnsolve.quasi_newton.lsr1 import LSR1
from qnsolve.quasi_newton.psi import PsiLSR1
from qnsolve.quasi_newton.scaling import GammaRule

MatrixFactory = Callable[[Array | VectorSpace, Any, float], CompactMatrix]


class MatrixSettings(Protocol):
    """The options of a run that its matrix is made with."""

    @property
    def memory(self) -> int: ...

    @property
    def gamma(self) -> float | str | GammaRule | None: ...


@dataclass(frozen=True)
class Build:
    """The factory of a class of matrices.

    Parameters
    ----------
    matrix : type
        :class:`LSR1` or a class with its constructor.
    arguments : mapping
        Further arguments of the constructor.
    """

    matrix: Callable[..., CompactMatrix]
    arguments: dict[str, Any] = field(default_factory=dict)

    def __call__(
        self, like: Array | VectorSpace, options: MatrixSettings, initial_gamma: float
    ) -> CompactMatrix:
        space = space_of(like)
        return self.matrix(
            space.size,
            memory=options.memory,
            gamma=options.gamma,
            initial_gamma=initial_gamma,
            like=space,
            **self.arguments,
        )


build_lsr1 = Build(LSR1)
build_hybrid = Build(HybridLSR1)
build_psi = Build(PsiLSR1)
