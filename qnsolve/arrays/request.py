"""Inner products that are taken together: the question and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qnsolve.arrays.libraries import Array


@dataclass(frozen=True)
class Request:
    """Inner products to be taken in one crossing from device to host, or in one all-reduce.

    Attributes
    ----------
    dots : sequence of (array, array)
        Vectors to be multiplied with each other.
    rows : array, shape (q, n), or None
    with_rows : sequence of array
        Vectors to be multiplied with all rows.
    largest : sequence of array
        Vectors whose largest entry in modulus is wanted.
    """

    dots: Sequence[tuple[Array, Array]] = ()
    rows: Array | None = None
    with_rows: Sequence[Array] = ()
    largest: Sequence[Array] = ()


class Numbers(NamedTuple):
    """The answer to a :class:`Request`, in its order.

    Attributes
    ----------
    dots : list of float
        inf or NaN on overflow.
    products : list of ndarray, shape (q,)
        One for each of `with_rows`.
    largest : list of float
        NaN if any entry is NaN; 0 of no entries.
    scalars : list of float
        What crossed with them.
    """

    dots: list[float]
    products: list[np.ndarray]
    largest: list[float]
    scalars: list[float]
