r"""The quadratic model in a box: the projected path, and the faces from its end.

With the partial spectrum B = gamma I + U (Lambda - gamma) U' a step s is known to the model by five
numbers and U's: along a straight piece of the path P(s + t d) its slope and curvature are

.. math::

    q' = g^T d + \gamma s^T d + (U^T s)^T (\Lambda - \gamma) U^T d, \qquad
    q'' = \gamma d^T d + (U^T d)^T (\Lambda - \gamma) U^T d,

and a variable that stops at its bound changes each of them by one column of U'.  On a face, where
some variables are held, B is of the same form (:mod:`qnsolve.quasi_newton.faces`), and the model is
minimised there as it is without bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq

from qnsolve.arrays import Array, Request
from qnsolve.quasi_newton.faces import Basis, Face, on_face
from qnsolve.quasi_newton.spectrum import PartialSpectrum
from qnsolve.subproblem.model import QuadraticModel, SubproblemResult
from qnsolve.subproblem.regions import Regularisation, Term, TrustRegion
from qnsolve.subproblem.types import SubproblemStatus

FACES = 20
"""Faces that one minimisation goes through at most; 1.05 is the average."""

AHEAD = 2.0
"""Breakpoints are sorted up to this multiple of the way to the end of the present piece."""

BATCH = 2**10
"""Columns of U that are held at a time: more would leave the cache."""

LEFT_OF_RADIUS = 1e-20
"""Part of the squared radius below which the held variables leave nothing to a face."""

ROOT = 1e-12
"""Relative error of the length that belongs to a weight: its square root in the model's value."""

MOST_HALVINGS = 200
"""Bisections after which an interval of floating-point numbers has no number inside."""


@dataclass(frozen=True, eq=False)
class Point:
    """A step s, and what the model is told of it: W s, U's, g's and s's."""

    step: Array
    products: np.ndarray
    par: np.ndarray
    slope: float
    square: float


@dataclass(eq=False)
class Piece:
    """A straight piece of a path, s + tau d: the numbers of which the model along it is made.

    Attributes
    ----------
    gd, dd, sd, ss : float
        g'd, d'd, s'd and s's.
    s_par, d_par : ndarray, shape (r,)
        U's and U'd.
    """

    gd: float
    dd: float
    sd: float
    ss: float
    s_par: np.ndarray
    d_par: np.ndarray


@dataclass(eq=False)
class Pieces:
    """The same of many pieces, one after the other: arrays of shape (k,) and (r, k)."""

    gd: np.ndarray
    dd: np.ndarray
    sd: np.ndarray
    ss: np.ndarray
    s_par: np.ndarray
    d_par: np.ndarray

    def __getitem__(self, j: int) -> Piece:
        scalars = (float(each[j]) for each in (self.gd, self.dd, self.sd, self.ss))
        gd, dd, sd, ss = scalars
        return Piece(gd, dd, sd, ss, self.s_par[:, j], self.d_par[:, j])


class BoxedModel:
    r"""The model :math:`g^T s + \tfrac12 s^T B s` on the steps with lower <= s <= upper.

    Parameters
    ----------
    g : array, shape (n,)
    spectrum : PartialSpectrum
        Of B, on all variables or on a face.
    lower, upper : array, shape (n,)
        lower <= 0 <= upper; both zero where a variable is not on the face, and so is g.
    free : array of bool, shape (n,)
        The variables of that face.
    products : ndarray, optional
        W g, W the rows of `spectrum`, where it is known already.
    norm : float, optional
        ||g||, where it is known already.

    Notes
    -----
    A minimisation begins with the first local minimiser along the projected path of steepest
    descent, from which a model has its convergence (Conn, Gould and Toint 2000, section 12.1), and
    goes on to minimisers on faces: of the variables that are not at a bound there, then of those
    not stopped on the way to the minimiser before.  It never gets worse on the way.

    It touches W six to eight times, four times more for each further face, and one column of U' for
    each variable that is stopped.

    References
    ----------
    R. H. Byrd, P. Lu, J. Nocedal, C. Zhu, "A limited memory algorithm for bound constrained
    optimization", SIAM J. Sci. Comput. 16 (1995), Algorithm CP.

    C.-J. Lin, J. J. More, "Newton's method for large bound-constrained optimization problems", SIAM
    J. Optim. 9 (1999), section 4.
    """

    def __init__(
        self,
        g: Array,
        spectrum: PartialSpectrum,
        lower: Array,
        upper: Array,
        free: Array,
        *,
        products: np.ndarray | None = None,
        norm: float | None = None,
    ) -> None:
        self.gradient, self.spectrum, self.space = g, spectrum, spectrum.space
        self.lower, self.upper = lower, upper
        self.gradient_norm = self.space.norm(g) if norm is None else norm
        self._products = spectrum.rows.products(g) if products is None else products
        self._free = free

    @cached_property
    def _shift(self) -> np.ndarray:
        return self.spectrum.eigenvalues - self.spectrum.gamma

    @cached_property
    def _face(self) -> Face:
        return Basis.face(self.spectrum, self._free)

    # -- the model at a step -----------------------------------------------------------------------

    def at(self, step: Array) -> Point:
        """Return a step with its numbers: one pass over W."""
        rows = self.spectrum.rows
        products = rows.products(step)
        slope, square = self.space.reduce(Request(((self.gradient, step), (step, step)))).dots
        return Point(step, products, self.spectrum.coefficients.T @ products, slope, square)

    def curvature(self, point: Point) -> float:
        """Return s'Bs."""
        along = float(point.par @ (self._shift * point.par))
        return self.spectrum.gamma * point.square + along

    def value(self, point: Point, term: Term) -> float:
        """Return the model at a step, what a weight adds to it included."""
        added = 0.0
        if isinstance(term, Regularisation):
            added = term.weight / term.power * np.float64(point.square) ** (0.5 * term.power)
        return point.slope + 0.5 * self.curvature(point) + added

    # -- minimisation ------------------------------------------------------------------------------

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def minimise(self, term: Term) -> SubproblemResult | BoxedStep:
        """Return a step from which no single face leads further down, within the term."""
        nothing = self.space.zeros(self.space.length)
        here = Point(nothing, 0.0 * self._products, np.zeros(self.spectrum.rank), 0.0, 0.0)
        norm = self.gradient_norm
        if not norm < math.inf or not np.isfinite(self._products).all():
            return BoxedStep(self, term, here, SubproblemStatus.NONFINITE)
        # 1. The path of steepest descent, by its length.
        if norm > 0.0:
            downhill = self.gradient * (-1.0 / norm)
            here, _ = self._along(here, downhill, self._products / -norm, math.inf, term)
        # 2. Faces.
        for _ in range(FACES):
            s = here.step
            free = self._free & (s > self.lower) & (s < self.upper)
            size = self.space.count(free)
            if size == self.space.size:  # no bound has been felt
                best = self._on_all(term)
                if self._is_inside(best.step):
                    return best
                target = self.at(best.step)
            else:
                found = self._on_face(here, free, size, term) if size else None
                if found is None:
                    break
                target = found
                if self._is_inside(target.step):
                    better = self.value(target, term) < self.value(here, term)
                    here = target if better else here
                    break
            way, products = target.step - s, target.products - here.products
            penalty = term if isinstance(term, Regularisation) else None
            new, stopped = self._along(here, way, products, 1.0, penalty)
            if not self.value(new, term) < self.value(here, term):
                break
            here = new
            if not stopped:
                break
        return BoxedStep(self, term, here)

    def _is_inside(self, step: Array) -> bool:
        xp = self.space.xp
        return bool(xp.all((step >= self.lower) & (step <= self.upper)))

    def _on_all(self, term: Term) -> SubproblemResult:
        """Return the minimiser within the term, bounds aside."""
        return QuadraticModel(
            self.gradient, self.spectrum, products=self._products, norm=self.gradient_norm
        ).minimise(term)

    def _on_face(self, here: Point, free: Array, size: int, term: Term) -> Point | None:
        """Return the minimiser within the term over the `free` variables, bounds aside."""
        xp, space, spectrum = self.space.xp, self.space, self.spectrum
        held = xp.where(free, xp.zeros_like(here.step), here.step)
        square = space.dot(held, held)
        g = self.gradient
        if square > 0.0:
            par = spectrum.coefficients.T @ spectrum.rows.products(held)
            inside = spectrum.coefficients @ (self._shift * par)
            g = spectrum.rows.combine_and_add(inside, 1.0, g)[0]
        g = xp.where(free, g, xp.zeros_like(g))
        model = QuadraticModel(g, on_face(spectrum, self._face.within(free, size)))
        left = left_to_face(term, model, square)
        if left is None:
            return None
        step = model.minimise(left).step
        return self.at(held + xp.where(free, step, xp.zeros_like(step)))

    # -- the path ----------------------------------------------------------------------------------

    def _along(
        self, start: Point, d: Array, products: np.ndarray, most: float, term: Term | None
    ) -> tuple[Point, bool]:
        """Return the first local minimiser along P(s + t d), t <= most, and whether a bound stopped
        a variable on the way.

        `products` is W d.  The term is felt on the way; without one, it is known not to be.
        """
        xp, space, s = self.space.xp, self.space, start.step
        lower, upper, zero = self.lower, self.upper, xp.zeros_like(d)
        moving = d != 0.0
        bounds = xp.where(d > 0.0, upper, lower)
        times = xp.where(moving, (bounds - s) / xp.where(moving, d, zero + 1.0), zero + math.inf)
        gd, dd, sd = space.reduce(Request(((self.gradient, d), (d, d), (s, d)))).dots
        d_par = self.spectrum.coefficients.T @ products
        piece = Piece(gd, dd, sd, start.square, start.par, d_par)
        now, passed = 0.0, -math.inf
        while True:
            way = min(self._end(piece, term), most - now)
            horizon = min(now + AHEAD * way, most)
            indices = space.entries((times > passed) & (times <= horizon))
            if not indices.shape[0]:
                break
            passed = horizon
            beyond = xp.where(times > horizon, d, zero)
            rest = space.reduce(Request(((self.gradient, beyond), (beyond, beyond), (s, beyond))))
            of_all = [space.columns(v, indices) for v in (times, d, self.gradient, s)]
            piece, now, ended = self._pass(piece, now, indices, of_all, rest.dots, term)
            if ended:
                way = self._end(piece, term)
                break
        now += way
        stopped = times <= now
        step = s + now * d
        step = xp.where(step < lower, lower, xp.where(step > upper, upper, step))
        step = xp.where(stopped, bounds, step)
        if not space.count(stopped):
            return self._straight(start, step, now, products, piece), False
        return self.at(step), True

    def _straight(
        self, start: Point, step: Array, t: float, products: np.ndarray, piece: Piece
    ) -> Point:
        """Return s + t d, which no bound has bent, without a pass over W."""
        square = piece.ss + t * (2.0 * piece.sd + t * piece.dd)
        slope = start.slope + t * piece.gd
        products, par = start.products + t * products, start.par + t * piece.d_par
        return Point(step, products, par, slope, square)

    def _end(self, piece: Piece, term: Term | None) -> float:
        """Return how far it is to the end of the path on a piece that no bound ends."""
        slope, curvature = self._slope(piece), self._bend(piece)
        if isinstance(term, Regularisation):
            return end_with_weight(slope, curvature, piece, term)
        if not slope < 0.0 or not piece.dd > 0.0:
            return 0.0
        end = -slope / curvature if curvature > 0.0 else math.inf
        if isinstance(term, TrustRegion):
            room = max(0.0, term.radius * term.radius - piece.ss)
            root = math.sqrt(piece.sd * piece.sd + piece.dd * room)
            below = piece.sd + root
            way = room / below if piece.sd > 0.0 else (root - piece.sd) / piece.dd
            end = min(end, way)
        return end

    def _slope(self, piece: Piece) -> float:
        along = float(piece.s_par @ (self._shift * piece.d_par))
        return piece.gd + self.spectrum.gamma * piece.sd + along

    def _bend(self, piece: Piece) -> float:
        return self.spectrum.gamma * piece.dd + float(piece.d_par @ (self._shift * piece.d_par))

    def _pass(
        self,
        piece: Piece,
        now: float,
        indices: Array,
        of_all: list[np.ndarray],
        rest: list[float],
        term: Term | None,
    ) -> tuple[Piece, float, bool]:
        """Go from breakpoint to breakpoint, to the piece on which the path ends or past the last.

        Parameters
        ----------
        piece : Piece
        now : float
            Where the path is, and when.
        indices : array of int
            The variables that are stopped next.
        of_all : list of ndarray
            Of these variables the times, and the entries of d, g and s at the beginning.
        rest : list of float
            g'd, d'd and s'd at the beginning, of those that go on.
        term : TrustRegion, Regularisation or None

        Returns
        -------
        piece, now
            The piece and the time at which it begins.
        ended : bool
            Whether the path ends on it.

        Notes
        -----
        Sums over the variables that go on have no cancellation; those over the ones that are
        stopped are the rest of it.
        """
        order = np.argsort(of_all[0], kind="stable")
        T, d, g, s = (each[order] for each in of_all)
        begins = np.append(now, T)
        gd, dd = after(g * d, rest[0]), after(d * d, rest[1])
        sd = after(s * d, rest[2]) + begins * dd
        dt = np.diff(begins)
        ss = piece.ss + before(dt * (2.0 * sd[:-1] + dt * dd[:-1]))
        for first in range(0, len(order), BATCH):
            some = slice(first, first + BATCH)
            here = self.space.xp.take(
                indices, self.space.from_host(order[some], indices.dtype), axis=0
            )
            U = self.spectrum.coefficients.T @ self.spectrum.rows.take(here)
            d_par = piece.d_par[:, None] - before(U * d[some])
            s_par = piece.s_par[:, None] + before(d_par[:, :-1] * dt[some])
            ends = slice(first, first + BATCH + 1)
            pieces = Pieces(gd[ends], dd[ends], sd[ends], ss[ends], s_par, d_par)
            for j in self._ends(pieces, dt[some], term):
                if self._end(pieces[j], term) <= dt[first + j]:
                    return pieces[j], float(begins[first + j]), True
            piece = pieces[-1]
        return piece, float(T[-1]), False

    def _ends(self, pieces: Pieces, dt: np.ndarray, term: Term | None) -> list[int]:
        """Return which of the pieces, of lengths `dt`, the path may end on."""
        gamma, shift = self.spectrum.gamma, self._shift
        dd, sd, ss = pieces.dd[:-1], pieces.sd[:-1], pieces.ss[:-1]
        s_par, d_par = pieces.s_par[:, :-1], pieces.d_par[:, :-1]
        slope = pieces.gd[:-1] + gamma * sd + shift @ (s_par * d_par)
        at_end = slope + (gamma * dd + shift @ (d_par * d_par)) * dt
        square = ss + dt * (2.0 * sd + dt * dd)
        if isinstance(term, Regularisation):
            q = 0.5 * (term.power - 2.0)
            slope = slope + term.weight * ss**q * sd
            at_end = at_end + term.weight * square**q * (sd + dd * dt)
        ends = (slope >= 0.0) | (at_end >= 0.0) | (dd <= 0.0)
        if isinstance(term, TrustRegion):
            ends |= square >= term.radius * term.radius
        found: list[int] = np.flatnonzero(ends & (dt > 0.0)).tolist()
        return found


class BoxedStep:
    """A step in the box that no single face leads further down from.

    Attributes
    ----------
    model : BoxedModel
    term : TrustRegion or Regularisation
    step : array, shape (n,)
        Exactly at its bound where a variable was stopped there.
    products : ndarray
        W step.
    slope, curvature, length, decrease : float
        g's, s'Bs, ||s||, and by how much the model falls.
    status : SubproblemStatus
    """

    def __init__(
        self,
        model: BoxedModel,
        term: Term,
        point: Point,
        status: SubproblemStatus = SubproblemStatus.APPROXIMATE,
    ) -> None:
        self.model, self.term, self.status = model, term, status
        self.step, self.products = point.step, point.products
        self.slope, self.curvature = point.slope, model.curvature(point)
        self.length = math.sqrt(point.square)
        self.decrease = -model.value(point, term)

    @property
    def longest_block(self) -> float:
        return self.length

    @property
    def cube(self) -> float:
        """||s||^3."""
        return self.length * self.length * self.length  # inf on overflow, where ** raises


def before(terms: np.ndarray) -> np.ndarray:
    """Return the sums over all terms before each, and over all of them."""
    out = np.zeros((*terms.shape[:-1], terms.shape[-1] + 1))
    np.cumsum(terms, axis=-1, out=out[..., 1:])
    return out


def after(terms: np.ndarray, rest: float) -> np.ndarray:
    """Return the sums over each term, all terms behind it, and the rest; then the rest alone."""
    return np.cumsum(np.append(rest, terms[::-1]))[::-1]


def left_to_face(term: Term, model: QuadraticModel, square: float) -> Term | None:
    """Return what keeps a step on a face short, where held variables have moved already.

    Parameters
    ----------
    term : TrustRegion or Regularisation
        Of the whole step, in the l2 norm.
    model : QuadraticModel
        On the face.
    square : float
        Squared length of what is held, h.

    Notes
    -----
    A weight becomes a radius rho: the minimiser on the face with the multiplier sigma is that of
    the regularised model where :math:`\\sigma = w (h + \\rho^2)^{(q - 2) / 2}`.  As rho grows sigma
    falls and the other side grows; without h it would be too short for this equation.
    """
    if isinstance(term, TrustRegion):
        room = term.radius * term.radius - square
        if not room > LEFT_OF_RADIUS * term.radius * term.radius:
            return None
        return TrustRegion(math.sqrt(room))
    assert isinstance(term, Regularisation)
    if square == 0.0:
        return term
    high = model.minimise(term).length
    if not 0.0 < high < math.inf:
        return None

    def excess(radius: float) -> float:
        multiplier = TrustRegion(radius).solve(model.problem).multiplier
        return multiplier - term.weight * (square + radius * radius) ** (0.5 * term.power - 1.0)

    low = high
    while low > 0.0 and not excess(low) > 0.0:
        low *= 0.25
    if not 0.0 < low < high:
        return TrustRegion(high)
    return TrustRegion(float(brentq(excess, low, high, xtol=ROOT * low, rtol=ROOT)))


def end_with_weight(slope: float, curvature: float, piece: Piece, term: Regularisation) -> float:
    """Return the first tau > 0 at which the regularised model along a piece has no slope."""
    w, q = term.weight, 0.5 * (term.power - 2.0)

    def derivative(tau: float) -> float:
        square = piece.ss + tau * (2.0 * piece.sd + tau * piece.dd)
        growth = w * max(square, 0.0) ** q * (piece.sd + tau * piece.dd)
        return slope + curvature * tau + growth

    if not derivative(0.0) < 0.0 or not piece.dd > 0.0:
        return 0.0
    high = 1.0
    while derivative(high) < 0.0 and high < math.inf:
        high *= 2.0
    low = 0.0
    for _ in range(MOST_HALVINGS):
        middle = 0.5 * (low + high)
        if not low < middle < high or high - low <= ROOT * high:
            break
        low, high = (middle, high) if derivative(middle) < 0.0 else (low, middle)
    return high
