"""Vectors of length n, wherever they live, and the only place where they become numbers."""

from qnsolve.arrays.homes import new_space, space_of
from qnsolve.arrays.host import use_compiled
from qnsolve.arrays.libraries import Array, to_host
from qnsolve.arrays.ranks import agreed
from qnsolve.arrays.request import Numbers, Request
from qnsolve.arrays.space import VectorSpace

__all__ = [
    "Array",
    "Numbers",
    "Request",
    "VectorSpace",
    "agreed",
    "new_space",
    "space_of",
    "to_host",
    "use_compiled",
]
