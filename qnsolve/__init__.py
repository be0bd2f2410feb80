"""Limited-memory quasi-Newton minimisation that uses negative curvature."""

from qnsolve._version import __version__
from qnsolve.result import Status

__all__ = ["Status", "__version__"]
