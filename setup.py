"""The compiled model, where there is a compiler for it; all else is in setup.cfg."""

from __future__ import annotations

import platform

from setuptools import Extension, setup

# One wheel for all Python versions from 3.11 on.  Optional: without a compiler that knows GCC's
# vector types the package is installed without it, and works.
SHARED = {"extra_compile_args": ["-O3"], "py_limited_api": True, "optional": True}

extensions = [Extension("qnsolve.compiled._model", ["qnsolve/compiled/_model.c"], **SHARED)]
if platform.machine().lower() in ("x86_64", "amd64"):
    # The same source for processors with AVX2, which is chosen at import.
    SHARED["extra_compile_args"] = ["-O3", "-march=x86-64-v3"]
    extensions.append(
        Extension("qnsolve.compiled._model_v3", ["qnsolve/compiled/_model_v3.c"], **SHARED)
    )
for extension in extensions:
    extension.depends = ["qnsolve/compiled/_model.c", "qnsolve/compiled/_small.h"]

setup(ext_modules=extensions, options={"bdist_wheel": {"py_limited_api": "cp311"}})
