"""The compiled model of one iteration, where it has been built.

The package works without it: setup.py lets the build fail.  There are two builds of one source, and
the one for newer processors is taken where it runs.
"""

from __future__ import annotations

import importlib
from typing import Any


def _load() -> tuple[Any, str]:
    """Return the type of the model, or None, and what there is to say of it."""
    try:
        core = importlib.import_module("qnsolve.compiled._model")
    except ImportError as error:  # not built, or SciPy's BLAS has another interface
        return None, f"none ({error})"
    if core.HAS_V3:
        try:
            core = importlib.import_module("qnsolve.compiled._model_v3")
        except ImportError:
            return core.Model, "built for any processor"
        return core.Model, "built for x86-64-v3"
    return core.Model, "built for any processor"


Model, BUILD = _load()
"""The model, or None; and which build it is, or why there is none."""


def available() -> bool:
    """Tell whether the compiled model is there.

    Examples
    --------
    >>> from qnsolve import compiled
    >>> compiled.available() == (compiled.Model is not None)
    True
    """
    return Model is not None
