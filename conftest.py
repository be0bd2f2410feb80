"""Which modules are not looked into for doctests: those that need a library that is not installed.

Listed, and not ignored by an option of pytest: with that, a test file that cannot be imported would
pass for one without tests.
"""

from importlib.util import find_spec

NEEDS = {
    "qnsolve/kernels.py": "numba",
    "qnsolve/stochastic/jax_adapter.py": "jax",
    "qnsolve/stochastic/torch_adapter.py": "torch",
    "qnsolve/stochastic/torch_optim.py": "torch",
    "tests/mpi/ranks.py": "mpi4py",
    "tests/mpi/training_ranks.py": "mpi4py",
}
collect_ignore = [path for path, library in NEEDS.items() if find_spec(library) is None]
