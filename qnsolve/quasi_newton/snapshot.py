"""The state of a limited-memory matrix as plain arrays, so that a run can be resumed bit for bit.

Offering the pairs again would not do: their Gram matrix was made with the memory as it was then,
and a pair that was taken then may be refused now.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qnsolve.array import set_row
from qnsolve.quasi_newton.base import CompactMatrix, Inner

State = dict[str, Any]


def snapshot(matrix: CompactMatrix) -> State:
    """Return the state of `matrix`: numbers, host arrays, and `rows`, of the matrix's library.

    Nothing is copied: write it down before the next update.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve import LSR1
    >>> from qnsolve.quasi_newton.snapshot import restore, snapshot
    >>> B, C = LSR1(2), LSR1(2)
    >>> B.update(np.array([1.0, 0.0]), np.array([-2.0, 0.0])).stored
    True
    >>> restore(C, snapshot(B))
    >>> C @ np.array([1.0, 1.0])
    array([-2.,  1.])
    """
    pairs = matrix.pairs
    return {
        "rows": pairs.rows,
        "gram": pairs.gram,
        "order": np.array(pairs._order, dtype=np.int64),
        "ratios": np.array(matrix._ratios, dtype=float),
        "gamma": float(matrix._gamma),
    }


def restore(matrix: CompactMatrix, state: State) -> None:
    """Put `matrix`, made with the same arguments, into a state that :func:`snapshot` has returned.

    Raises
    ------
    ValueError
        If the state has more rows than `matrix` has room for, or rows of another length.
    """
    pairs, rows = matrix.pairs, state["rows"]
    used = rows.shape[0] // 2
    if used > pairs.capacity or rows.shape[1] != pairs.space.size:
        raise ValueError(
            f"the state has {used} pairs of length {rows.shape[1]}, the matrix has room for "
            f"{pairs.capacity} of length {pairs.space.size}"
        )
    matrix.reset()
    for index in range(2 * used):
        pairs._block = set_row(pairs._block, index, rows[index, :])
    pairs._gram[: 2 * used, : 2 * used] = state["gram"]
    pairs._order, pairs._used = [int(slot) for slot in state["order"]], used
    matrix._ratios.extend(float(ratio) for ratio in state["ratios"])
    matrix._gamma = float(state["gamma"])
    if pairs.n_pairs:
        matrix._inner = matrix._factor(pairs.blocks(), matrix._gamma)
    else:
        matrix._inner = Inner(np.empty((0, 0)), np.empty(0))
