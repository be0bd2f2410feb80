"""Imports inside the package point downwards only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import qnsolve

PACKAGE = Path(qnsolve.__file__).parent

# A module may import from layers with a smaller number, and from its own.
LAYERS = {
    # What everything stands on.
    "qnsolve._version": 0,
    "qnsolve.checks": 0,
    "qnsolve.state": 0,
    "qnsolve.arrays": 0,
    "qnsolve.comm": 0,
    "qnsolve.kernels": 0,
    "qnsolve.compiled": 0,
    "qnsolve.questions": 0,
    "qnsolve.points": 0,
    "qnsolve.result": 0,
    "qnsolve.checkpoint": 0,
    "qnsolve.norms": 0,
    "qnsolve.bounds": 0,
    # The mathematics.
    "qnsolve.quasi_newton": 1,
    "qnsolve.subproblem": 2,
    "qnsolve.krylov": 3,
    # What the user hands over.
    "qnsolve.callback": 3,
    "qnsolve.differences": 2,
    "qnsolve.objective": 3,
    "qnsolve.hessian": 4,
    "qnsolve.callables": 5,
    "qnsolve.options": 3,
    # The loops, and who calls them.
    "qnsolve.solve": 4,
    "qnsolve.solvers": 6,
    "qnsolve.methods": 7,
    "qnsolve.published": 7,
    "qnsolve.presets": 8,
    "qnsolve.stochastic": 8,
    "qnsolve.interface": 9,
    "qnsolve.ask_tell": 10,
    "qnsolve.many": 11,
}
# Leaves: no solver imports them, and they may import anything.
LEAVES = {
    "qnsolve.verify",
    "qnsolve.curvature",
    "qnsolve.judging",
    "qnsolve.problems",
    "qnsolve.parallel",
    "qnsolve.plotting",
    "qnsolve.demo",
    "qnsolve.__main__",
    "qnsolve",
}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def unit(module, table):
    """Return the longest prefix of `module` that stands in `table`, or None."""
    parts = module.split(".")
    names = (".".join(parts[:i]) for i in range(len(parts), 0, -1))
    return next((name for name in names if name in table), None)


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=str)
def test_imports_point_downwards(module, path):
    home = unit(module, LAYERS)
    if home is None:
        assert unit(module, LEAVES) is not None, f"{module} belongs to no layer"
        return
    for target in imports(path):
        if target is None or not target.startswith("qnsolve"):
            continue
        layer = unit(target, LAYERS)
        assert layer is not None, f"{module} imports the leaf {target}"
        assert LAYERS[layer] <= LAYERS[home], f"{module} imports {target}, a layer above"


def test_plain_import_loads_no_extra():
    heavy = ["matplotlib", "torch", "jax", "cupy", "mpi4py", "galahad", "numba"]
    heavy += ["hypothesis", "pytest"]
    code = f"import sys, qnsolve; sys.exit(' '.join(m for m in {heavy} if m in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
