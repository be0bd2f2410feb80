"""Which of its homes a vector lives in."""

from __future__ import annotations

from typing import Any

import numpy as np

from qnsolve.arrays.device import DeviceSpace
from qnsolve.arrays.host import HostSpace
from qnsolve.arrays.libraries import NUMPY, Array, device_of, namespace_of
from qnsolve.arrays.sharded import ShardedSpace
from qnsolve.arrays.space import VectorSpace
from qnsolve.comm import Comm


def space_of(x: Array | VectorSpace, comm: Comm | None = None) -> VectorSpace:
    """Return the space that the 1-D array `x` lives in; a space is returned as it is.

    With `comm` the array is the slice of this rank, and the call is collective.

    Examples
    --------
    >>> import numpy as np
    >>> space_of(np.ones(3, dtype=np.float32)).dtype
    dtype('float32')
    """
    if isinstance(x, VectorSpace):
        return x
    local: VectorSpace
    if isinstance(x, np.ndarray):
        local = HostSpace(x.dtype, x.shape[0])
    else:
        local = DeviceSpace(namespace_of(x), x.dtype, device_of(x), x.shape[0])
    return local if comm is None else ShardedSpace.of_slices(local, comm)


def new_space(size: int, dtype: Any = None, xp: Any = None) -> VectorSpace:
    """Return the space of vectors of length `size`; NumPy and float64 unless said."""
    xp = NUMPY if xp is None else xp
    zeros = xp.zeros(size, dtype=xp.float64 if dtype is None else dtype)
    if not xp.isdtype(zeros.dtype, "real floating"):
        raise TypeError(f"dtype must be real floating, got {zeros.dtype}")
    return space_of(zeros)
