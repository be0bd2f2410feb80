"""Options of the training methods: every field with its meaning, range and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from qnsolve.checks import (
    BETWEEN_ZERO_AND_ONE,
    FROM_ZERO_TO_ONE,
    MORE_THAN_ONE,
    ONE_OR_MORE,
    PART,
    POSITIVE,
    at_least,
    flag,
    function,
    one_of,
)
from qnsolve.norms import DiagonalNorm
from qnsolve.options import (
    INNER_SOLVERS,
    LENGTH,
    WEIGHT_RULES,
    Options,
    check_gamma,
    norm_or_one_of,
    option,
    rule_or_one_of,
)
from qnsolve.quasi_newton.hybrid import HybridLSR1
from qnsolve.quasi_newton.lsr1 import LSR1
from qnsolve.quasi_newton.scaling import GammaRule
from qnsolve.solvers.matrices import Build, MatrixFactory
from qnsolve.solvers.moving_norms import MOMENTS
from qnsolve.stochastic.scaling import PartOfLatest
from qnsolve.subproblem.regions import REGULARISATIONS

NORMS = ("l2", *MOMENTS)
"""Named norms of the region."""


@dataclass(frozen=True, kw_only=True)
class StepOptions(Options):
    """Options that every training method takes.

    Parameters
    ----------
    overlap : bool
        Every step sees the samples of the batch before too: its function is the mean over both
        (Yousefi and Martinez 2023).  The model then changes less from step to step.  Default True.
    measure : {"new", "both"}
        Which of the two batches ratio and pair of a step are of: the new one, which the next step
        sees too, so that a step takes two gradients of a batch (Berahas, Nocedal and Takac 2016);
        or both, which takes three.  A line search sees both in any case.  Default "new".
    norm : {"l2", "adagrad", "rmsprop", "adam"} or DiagonalNorm
        Norm in which a step is short; the last three follow the gradients
        (:class:`qnsolve.solvers.moving_norms.SecondMoments`).  Default "adam".
    decay : float, in (0, 1)
        beta of "rmsprop" and "adam".  Default 0.9; 0.99 was a little behind.
    epsilon : float, > 0
        Added to the diagonal of those three norms.  Default 1e-8.
    initial_rate : float, > 0
        The first step is that of the preconditioned gradient, -initial_rate A^{-1} g.
        Default 1e-3.
    accept : float, in [0, 1)
        A step is taken where the reduction of f on the batch is more than `accept` times the
        predicted one.  Default 1e-4.
    pivot_every : int, >= 1, or None
        At the beginning of every so many epochs the loss on all samples is compared with that of
        the last comparison, and where it is not lower all steps since are undone and the batches
        grow (:class:`qnsolve.stochastic.pivot.Pivot`).  Default None: never.
    batch_growth : float, >= 1
        Factor by which they grow; more than 1 needs MiniBatches.  Default 1.
    largest_batch : float, in (0, 1]
        Part of the samples beyond which they do not grow.  Default 0.2.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong type or out of range.

    Examples
    --------
    >>> StepOptions.from_user({"norm": "adagrad"}).overlap
    True
    >>> StepOptions.from_user({"beta": 0.9})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    TypeError: unknown option 'beta'; the options are overlap, measure, norm, ...
    """

    overlap: bool = option(True, flag)
    measure: str = option("new", one_of(("new", "both")))
    norm: str | DiagonalNorm = option("adam", norm_or_one_of(NORMS))
    decay: float = option(0.9, BETWEEN_ZERO_AND_ONE)
    epsilon: float = option(1e-8, POSITIVE)
    initial_rate: float = option(1e-3, POSITIVE)
    accept: float = option(1e-4, FROM_ZERO_TO_ONE)
    pivot_every: int | None = option(None, at_least(1).or_none())
    batch_growth: float = option(1.0, ONE_OR_MORE)
    largest_batch: float = option(0.2, PART)

    BETWEEN_BATCHES: ClassVar[dict[str, Any]] = {
        "overlap": False,
        "measure": None,
        "pivot_every": None,
        "batch_growth": 1.0,
        "largest_batch": None,
    }
    """Options that act between batches, and what each is where every step is given its function."""


@dataclass(frozen=True, kw_only=True)
class MatrixOptions(StepOptions):
    """Options of the methods with a limited-memory matrix, on top of :class:`StepOptions`.

    Parameters
    ----------
    memory : int, >= 1
        Number of pairs (s, y) kept.  Default 20.
    matrix : callable
        ``matrix(gradient, options, initial_gamma)`` (:mod:`qnsolve.solvers.matrices`).  Default:
        HybridLSR1 with three pairs re-applied, and none where that would bring a negative
        eigenvalue, whatever the newest pair: it is positive definite.
    gamma : float, str or callable
        Curvature of the model off the pairs, B0 = gamma A: a number, the name of a rule or a rule
        (:mod:`qnsolve.quasi_newton.scaling`).  Default ``PartOfLatest(0.5)``.
    refresh : int, >= 1
        A follows the gradients every so many steps, or every k where there are k pairs and that is
        more often.  It costs 4 k^2 n flops.  Default 3, which lost nothing against 1; with 10 the
        loss after 48 steps was higher.
    store_rejected : bool
        Offer the pair of a rejected step to the memory too.  Default True.
    """

    memory: int = option(20, at_least(1))
    matrix: MatrixFactory = option(
        Build(HybridLSR1, {"re_applied": 3, "negative": "drop"}), function
    )
    gamma: float | str | GammaRule = option(PartOfLatest(0.5), check_gamma)
    refresh: int = option(3, at_least(1))
    store_rejected: bool = option(True, flag)


@dataclass(frozen=True, kw_only=True)
class RegionOptions(StepOptions):
    """Options of the trust region, on top of :class:`StepOptions`.

    Parameters
    ----------
    initial_radius : float, > 0 and finite, or None
        Default None: initial_rate ||g||, g the first gradient in the dual norm.
    min_radius, max_radius : float, > 0
        The radius stays in this range.  Default 1e-10 and 1e3.
    shrink_below, grow_above : float, in (0, 1)
        The radius shrinks where the ratio of the actual to the predicted reduction is less than
        the one, and grows where it is more than the other and the step used the region.
        Default 0.1 and 0.75.
    shrink : float, in (0, 1)
        Factor.  Default 0.5.
    grow : float, > 1
        Factor.  Default 2.
    long_step : float, in [0, 1)
        Part of the radius that a step must have used for the radius to grow.  Default 0.8.
    """

    initial_radius: float | None = option(None, LENGTH)
    min_radius: float = option(1e-10, POSITIVE)
    max_radius: float = option(1e3, POSITIVE)
    shrink_below: float = option(0.1, BETWEEN_ZERO_AND_ONE)
    grow_above: float = option(0.75, BETWEEN_ZERO_AND_ONE)
    shrink: float = option(0.5, BETWEEN_ZERO_AND_ONE)
    grow: float = option(2.0, MORE_THAN_ONE)
    long_step: float = option(0.8, FROM_ZERO_TO_ONE)

    ORDERED = (
        "accept <= shrink_below",
        "shrink_below <= grow_above",
        "min_radius <= max_radius",
    )


@dataclass(frozen=True, kw_only=True)
class TrustRegionStepOptions(RegionOptions, MatrixOptions):
    """Options of "hybrid-tr": :class:`RegionOptions` and :class:`MatrixOptions`."""


@dataclass(frozen=True, kw_only=True)
class LSR1StepOptions(TrustRegionStepOptions):
    """Options of "lsr1-tr": those of "hybrid-tr" with the L-SR1 matrix and its gamma.

    `gamma` defaults to "eigenvalue", just below the least curvature seen: with the largest one most
    matrices were indefinite, and a quarter of the steps rejected.
    """

    matrix: MatrixFactory = option(Build(LSR1), function)
    gamma: float | str | GammaRule = option("eigenvalue", check_gamma)


@dataclass(frozen=True, kw_only=True)
class CubicStepOptions(MatrixOptions):
    """Options of "lsr1-arc", adaptive cubic regularisation, on top of :class:`MatrixOptions`.

    Defaults that differ: `matrix` is LSR1, and `gamma` "eigenvalue", as in "lsr1-tr".

    Parameters
    ----------
    regulariser : {"shape", "l2"}
        Norm that is cubed, in the variables of `norm`; as in :func:`qnsolve.solve_cubic`.
        Default "shape", that of ARCs-LSR1.
    initial_weight : float, > 0 and finite, or None
        Default None: with it the first step has the length that `initial_rate` says.
    weight_rule : {"interpolation", "arcs", "cgt"} or callable
        How the weight follows the ratio of the actual to the predicted reduction
        (:mod:`qnsolve.solvers.weight`).  Default "arcs".
    grow_below, shrink_above : float, in (0, 1)
        The weight grows where that ratio is less than the one, and shrinks where it is more than
        the other.  Default 0.1 and 0.75.
    longest_step : float, > 0
        A step longer than `longest_step` times the longest of those recently taken is not
        evaluated; the weight is raised instead.  Default 100.
    """

    matrix: MatrixFactory = option(Build(LSR1), function)
    gamma: float | str | GammaRule = option("eigenvalue", check_gamma)
    regulariser: str = option("shape", one_of(REGULARISATIONS))
    initial_weight: float | None = option(None, LENGTH)
    weight_rule: Any = option("arcs", rule_or_one_of(WEIGHT_RULES))
    grow_below: float = option(0.1, BETWEEN_ZERO_AND_ONE)
    shrink_above: float = option(0.75, BETWEEN_ZERO_AND_ONE)
    longest_step: float = option(100.0, POSITIVE)

    ORDERED = ("accept <= grow_below", "grow_below < shrink_above")


@dataclass(frozen=True, kw_only=True)
class NewtonStepOptions(RegionOptions):
    """Options of "newton-tr", on top of :class:`RegionOptions`.

    Parameters
    ----------
    inner : {"steihaug", "gltr"}
        Solver of the subproblem: :func:`qnsolve.steihaug_cg` or :func:`qnsolve.gltr`.
        Default "steihaug".
    inner_maxiter : int, >= 1
        Most products with the Hessian of the batch a step.  Default 10.
    forcing : float, in (0, 1)
        The inner solver stops where the residual is this part of the gradient.  Default 0.1.
    """

    inner: str = option("steihaug", one_of(INNER_SOLVERS))
    inner_maxiter: int = option(10, at_least(1))
    forcing: float = option(0.1, BETWEEN_ZERO_AND_ONE)
    # There are no pairs to store.
    store_rejected: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class LineSearchStepOptions(StepOptions):
    """Options of "lsr1-ls"; `norm` must be "l2".

    Parameters
    ----------
    memory : int, >= 1
        Number of pairs (s, y) kept.  Default 20.
    gamma : float, str or callable
        Curvature off the pairs, H0 = I / gamma.  Default ``PartOfLatest(0.5)``.
    modify : {"indefinite", "ascent"}
        When to replace the direction -Hg by one that uses the positive eigenvalues of H alone, and
        H0 in place of the others: whenever H is indefinite, or only where -Hg is no direction of
        descent, as in Algorithm 2 of Ramamurthy and Duffy (2017).  Default "indefinite".
    decrease, curvature : float, in (0, 1)
        c1 and c2 of the strong Wolfe conditions on the batch.  Default 1e-4 and 0.9.
    """

    norm: str = option("l2", one_of(("l2",)))
    memory: int = option(20, at_least(1))
    gamma: float | str | GammaRule = option(PartOfLatest(0.5), check_gamma)
    modify: str = option("indefinite", one_of(("indefinite", "ascent")))
    decrease: float = option(1e-4, BETWEEN_ZERO_AND_ONE)
    curvature: float = option(0.9, BETWEEN_ZERO_AND_ONE)

    ORDERED = ("decrease < curvature",)
