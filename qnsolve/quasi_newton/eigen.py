"""Eigenvalues of the small symmetric matrices on the host, by LAPACK itself.

NumPy's and SciPy's wrappers cost as much as the work on a 10 x 10 matrix.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack


def eigh(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues of a symmetric float64 matrix, ascending, and its eigenvectors.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.quasi_newton.eigen import eigh
    >>> eigenvalues, P = eigh(np.array([[0.0, 2.0], [2.0, 0.0]]))
    >>> eigenvalues, abs(P.T @ P).round(12)
    (array([-2.,  2.]), array([[1., 0.],
           [0., 1.]]))
    """
    if not a.size:
        return np.empty(0), np.empty((0, 0))
    # The transpose of a C array is in LAPACK's order already.
    eigenvalues, vectors, failed = lapack.dsyevd(a.T)
    if failed:
        raise np.linalg.LinAlgError("the eigenvalues did not converge")
    return eigenvalues, vectors
