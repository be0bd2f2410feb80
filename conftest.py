"""What pytest is told before it begins: threads, processes, and modules to leave out."""

import os
from importlib.util import find_spec

import pytest

# Matrices here are small: on them a second thread only waits for the first.  Before NumPy is
# imported; what is set already stays.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

PROCESSES = 2
"""Among which the whole suite is divided where pytest-xdist is installed; -n and -p no:xdist say
otherwise."""


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Divide the suite; files that are named run in this process, as does a debugger."""
    option, whole = config.option, config.args_source is config.ArgsSource.TESTPATHS
    # A process among which the suite is divided must not divide it again.
    whole = whole and "PYTEST_XDIST_WORKER" not in os.environ
    if whole and getattr(option, "numprocesses", 0) is None and not option.usepdb:
        option.numprocesses = min(PROCESSES, os.cpu_count() or 1)
        # Tests take from milliseconds to seconds: who is done takes from the other.
        option.dist = "worksteal"


# Modules not looked into for doctests: those that need a library that is not installed.  Listed,
# and not ignored by an option of pytest: with that, a test file that cannot be imported would pass
# for one without tests.
NEEDS = {
    "qnsolve/kernels.py": "numba",
    "qnsolve/stochastic/jax_adapter.py": "jax",
    "qnsolve/stochastic/torch_adapter.py": "torch",
    "qnsolve/stochastic/torch_optim.py": "torch",
    "tests/mpi/disagreeing_ranks.py": "mpi4py",
    "tests/mpi/ranks.py": "mpi4py",
    "tests/mpi/training_ranks.py": "mpi4py",
}
collect_ignore = [path for path, library in NEEDS.items() if find_spec(library) is None]
