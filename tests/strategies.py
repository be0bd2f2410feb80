"""What the tests draw: spectra first, matrices from them, and streams of pairs.

A subproblem on a partial spectrum is a handful of numbers, so the difficult cases - repeated
eigenvalues, gaps of 1e-12, components that vanish exactly - are drawn as numbers, not hoped for
in random matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from qnsolve.subproblem.types import ReducedProblem

SMALL_GAP = 1e-12
"""Relative distance of eigenvalues that are nearly, but not quite, equal."""


# Spectra -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SpectralCase:
    """A trust-region subproblem on a partial spectrum.

    Attributes
    ----------
    eigenvalues : ndarray, shape (r,)
        Ascending eigenvalues on the small space; r may be 0.
    gamma : float
        Eigenvalue on the complement; without meaning where `dim_perp` is 0.
    a_par : ndarray, shape (r,)
        Components of the gradient along the eigenvectors.
    norm_perp : float
        Norm of the gradient's part in the complement; 0 where `dim_perp` is 0.
    dim_perp : int
        Dimension n - r of the complement.
    radius : float
        Radius of the trust region.
    """

    eigenvalues: np.ndarray
    gamma: float
    a_par: np.ndarray
    norm_perp: float
    dim_perp: int
    radius: float

    @property
    def n(self) -> int:
        return self.eigenvalues.size + self.dim_perp

    def spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        """Return eigenvalues and components as r + 1 numbers each, r if there is no complement."""
        if self.dim_perp == 0:
            return self.eigenvalues, self.a_par
        return np.append(self.eigenvalues, self.gamma), np.append(self.a_par, self.norm_perp)

    def reduced(self) -> ReducedProblem:
        """Return what the solvers are given."""
        if self.dim_perp == 0:
            return ReducedProblem.of(self.eigenvalues, self.a_par)
        return ReducedProblem.of(self.eigenvalues, self.a_par, self.gamma, self.norm_perp)

    def diagonal(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (g, B) with B diagonal of size n: the problem as drawn, without rounding."""
        perp = np.zeros(self.dim_perp)
        perp[:1] = self.norm_perp
        eigenvalues = np.append(self.eigenvalues, np.full(self.dim_perp, self.gamma))
        return np.append(self.a_par, perp), np.diag(eigenvalues)

    def rotated(self, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (g, B, U): the problem of `diagonal` in another orthonormal basis U."""
        a, D = self.diagonal()
        U = orthogonal(self.n, seed)
        B = (U * np.diag(D)) @ U.T
        return U @ a, (B + B.T) / 2, U


_CASES = {
    # lam, gamma, a_par, norm_perp, dim_perp, radius
    "interior": ([1.0, 2.0, 4.0], 3.0, [1.0, -1.0, 2.0], 1.5, 4, 10.0),
    "boundary": ([1.0, 2.0, 4.0], 3.0, [1.0, -1.0, 2.0], 1.5, 4, 0.5),
    # Consistent: the gradient has no component in the null space, so minimisers form a segment.
    "singular": ([0.0, 1.0, 3.0], 2.0, [0.0, 1.0, -1.0], 0.5, 3, 5.0),
    "indefinite": ([-2.0, 1.0, 3.0], -0.5, [0.5, -1.0, 2.0], 1.0, 3, 2.0),
    # The leftmost eigenvalue is double, and the gradient vanishes on all of its space.
    "hard_lambda1": ([-2.0, -2.0, 1.0, 3.0], 2.0, [0.0, 0.0, 1.0, 1.0], 1.0, 3, 4.0),
    # The complement is leftmost, and the gradient has no part in it.
    "hard_gamma": ([0.5, 2.0], -1.0, [1.0, -2.0], 0.0, 3, 3.0),
    "zero_gradient": ([-1.0, 2.0], 1.0, [0.0, 0.0], 0.0, 3, 1.5),
    "empty_memory": ([], 0.5, [], 2.0, 3, 1.0),
    # A direction that carries no update has the eigenvalue gamma, exactly.
    "rank_deficient": ([-1.0, 2.0, 2.0], 2.0, [0.5, 1.0, -1.0], 1.0, 3, 2.0),
    "n1": ([-1.0], 1.0, [0.5], 0.0, 0, 2.0),
}

NAMED_CASES = tuple(_CASES)
HARD_CASES = ("hard_lambda1", "hard_gamma", "zero_gradient")
"""The named cases whose trust-region and (at weight 0.1) cubic solutions are hard cases."""


def named_case(name: str) -> SpectralCase:
    """Return the case `name` out of `NAMED_CASES`: round numbers, the same on every run."""
    eigenvalues, gamma, a_par, norm_perp, dim_perp, radius = _CASES[name]
    return SpectralCase(
        np.array(eigenvalues, dtype=float), gamma, np.array(a_par), norm_perp, dim_perp, radius
    )


def log_uniform(low: float, high: float) -> st.SearchStrategy[float]:
    """Positive numbers with uniform logarithm; the simplest is the one nearest to `low`."""
    return st.floats(np.log10(low), np.log10(high)).map(lambda e: float(10.0**e))


def signed(magnitudes: st.SearchStrategy[float]) -> st.SearchStrategy[float]:
    return st.tuples(magnitudes, st.sampled_from([1.0, -1.0])).map(lambda p: p[0] * p[1])


def radii() -> st.SearchStrategy[float]:
    return log_uniform(1e-8, 1e8)


def weights() -> st.SearchStrategy[float]:
    return log_uniform(1e-8, 1e8)


def seeds() -> st.SearchStrategy[int]:
    """Seeds for `numpy.random.default_rng`, where a draw per entry would only slow things down."""
    return st.integers(0, 2**32 - 1)


@st.composite
def eigenvalue_lists(draw: st.DrawFn, size: int, *, spread: float = 1e-6) -> np.ndarray:
    """Draw `size` ascending eigenvalues of one scale, with zeros, repeats and tiny gaps.

    The scale is drawn from 1e-6 to 1e6; magnitudes go down to `spread` times the scale.
    """
    scale = draw(log_uniform(1e-6, 1e6))
    fresh = signed(st.one_of(st.just(1.0), log_uniform(spread, 1.0))).map(lambda v: scale * v)
    values: list[float] = []
    for _ in range(size):
        options = [fresh, fresh, st.just(0.0)]
        if values:
            old = st.sampled_from(list(values))
            options += [old, old.map(lambda v: v * (1 + SMALL_GAP) + (v == 0) * SMALL_GAP * scale)]
        values.append(draw(st.one_of(options)))
    return np.sort(np.array(values, dtype=float))


@st.composite
def spectral_cases(draw: st.DrawFn, *, kind: str = "any", max_rank: int = 6) -> SpectralCase:
    """Draw a subproblem on a partial spectrum.

    Parameters
    ----------
    kind : {"any", "generic", "hard_lambda1", "hard_gamma", "near_hard", "convex", "zero_gradient"}
        "generic" gives no component of the gradient a special value.  "hard_lambda1" and
        "hard_gamma" make the smallest eigenvalue negative, put it inside and outside of the small
        space, and remove the gradient's part along it; the radius may still be too short for the
        hard case to occur.  "near_hard" leaves a part between 1e-30 and 1e-6.  "any" is one of all.
    max_rank : int
        Largest number of eigenvalues besides gamma.
    """
    kinds = ["generic", "hard_lambda1", "hard_gamma", "near_hard", "convex", "zero_gradient"]
    if kind == "any":
        kind = draw(st.sampled_from(kinds))
    assert kind in kinds, kind

    rank = draw(st.integers(1 if kind == "hard_lambda1" else 0, max_rank))
    no_complement = rank > 0 and kind != "hard_gamma"
    dim_perp = draw(st.sampled_from([0, 1, 3] if no_complement else [1, 3]))
    # gamma is drawn with the others, so that it can repeat one of them or nearly do so.
    values = draw(eigenvalue_lists(rank + 1))
    if kind == "convex":
        values = np.sort(np.abs(values))
    if kind in ("hard_lambda1", "hard_gamma", "near_hard") and values[0] >= 0:
        values = np.sort(-values)
        values[0] = min(values[0], -(draw(log_uniform(1e-6, 1e6))))
    where = {"hard_lambda1": rank, "hard_gamma": 0}.get(kind, draw(st.integers(0, rank)))
    gamma, eigenvalues = float(values[where]), np.delete(values, where)

    a_par, norm_perp = draw(_gradients(rank, dim_perp, special=kind != "generic"))
    leftmost = min(values) if dim_perp else min(eigenvalues)
    if kind in ("hard_lambda1", "hard_gamma"):
        a_par, norm_perp = a_par * (eigenvalues != leftmost), norm_perp * float(gamma != leftmost)
    elif kind == "near_hard":
        left = draw(log_uniform(1e-30, 1e-6))
        a_par = np.where(eigenvalues == leftmost, left * a_par, a_par)
        norm_perp *= left if gamma == leftmost else 1.0
    elif kind == "zero_gradient":
        a_par, norm_perp = 0 * a_par, 0.0
    return SpectralCase(eigenvalues, gamma, a_par, norm_perp, dim_perp, draw(radii()))


@st.composite
def _gradients(
    draw: st.DrawFn, rank: int, dim_perp: int, *, special: bool
) -> tuple[np.ndarray, float]:
    """Draw (a_par, norm_perp) of one scale; with `special`, some of them exactly zero."""
    scale = draw(log_uniform(1e-6, 1e6))
    component = signed(st.one_of(st.just(1.0), log_uniform(1e-6, 1.0)))
    if special:
        component = st.one_of(component, component, st.just(0.0))
    a = scale * np.array([draw(component) for _ in range(rank + 1)])
    return a[:rank], float(abs(a[rank])) if dim_perp else 0.0


def orthogonal(n: int, seed: int) -> np.ndarray:
    """Return an n x n orthogonal matrix, uniformly distributed over the seeds."""
    Q, R = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    return Q * np.sign(np.diag(R))


# Streams of pairs --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PairStream:
    """Pairs (s, y) in the order in which a limited-memory matrix receives them.

    Attributes
    ----------
    kind : str
        One of `STREAM_KINDS`.
    memory : int
        Number of pairs that the matrix may hold; may reach or exceed n.
    S, Y : ndarray, shape (k, n)
        The pairs, one a row, oldest first.
    hessian : ndarray, shape (n, n), or None
        The matrix with ``y = hessian @ s`` for all pairs, up to rounding, where there is one.
    """

    kind: str
    memory: int
    S: np.ndarray
    Y: np.ndarray
    hessian: np.ndarray | None = None

    @property
    def n(self) -> int:
        return self.S.shape[1]

    def __len__(self) -> int:
        return self.S.shape[0]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return zip(self.S, self.Y, strict=True)


STREAM_KINDS = ("quadratic", "noise", "duplicates", "parallel", "near_dependent", "shrinking")


def pair_stream(
    kind: str, n: int, memory: int, length: int, seed: int, *, s_scale=1.0, y_scale=1.0
) -> PairStream:
    """Return a stream of `length` pairs of one kind.

    Parameters
    ----------
    kind : str
        "quadratic": y = H s with H indefinite.  "noise": y unrelated to s.  "duplicates": the
        pairs of a quadratic, many of them given again.  "parallel": y is a multiple of s, as for
        H = c I, with c changing now and then.  "near_dependent": each s differs from the one
        before by 1e-10 to 1e-2 of its length.  "shrinking": a quadratic whose steps shrink by
        up to 16 orders of magnitude over the stream, as they do near a solution.
    n, memory : int
        Dimension and size of the memory.
    s_scale, y_scale : float
        Factors for all s and all y.
    """
    rng = np.random.default_rng(seed)
    eigenvalues = rng.choice([-1.0, 1.0], n) * 10 ** rng.uniform(-2, 2, n)
    U = orthogonal(n, seed)
    H = (U * eigenvalues) @ U.T
    S = rng.standard_normal((length, n))
    Y = S @ H.T
    if kind == "noise":
        H, Y = None, rng.standard_normal((length, n))
    elif kind == "duplicates":
        source = rng.integers(0, np.arange(length) // 2 + 1)
        S, Y = S[source], Y[source]
    elif kind == "parallel":
        H, Y = None, S * rng.choice([-2.0, 0.5, 3.0], (length, 1))
    elif kind == "near_dependent":
        for k in range(1, length):
            S[k] = S[k - 1] + 10 ** rng.uniform(-10, -2) * S[k]
        Y = S @ H.T
    elif kind == "shrinking":
        # The same factor on s and y, so that the pairs still belong to H.
        factors = np.logspace(0, -rng.uniform(0, 16), length)[:, None]
        S, Y = factors * S, factors * Y
    elif kind != "quadratic":
        raise ValueError(f"kind must be one of {STREAM_KINDS}, got {kind!r}")
    hessian = None if H is None else H * (y_scale / s_scale)
    return PairStream(kind, memory, s_scale * S, y_scale * Y, hessian)


@st.composite
def pair_streams(
    draw: st.DrawFn, *, kind: str | None = None, max_n: int = 12, max_memory: int = 6
) -> PairStream:
    """Draw a stream of pairs; memory >= n, and fewer pairs than memory, occur often.

    All s are scaled by one factor from 1e-8 to 1e8, all y by another.
    """
    n = draw(st.integers(1, max_n))
    return pair_stream(
        kind or draw(st.sampled_from(STREAM_KINDS)),
        n,
        memory=draw(st.integers(1, max_memory)),
        length=draw(st.integers(1, 3 * max_memory)),
        seed=draw(seeds()),
        s_scale=draw(log_uniform(1e-8, 1e8)),
        y_scale=draw(log_uniform(1e-8, 1e8)),
    )
