"""Hypothesis profiles, and the array libraries that cross-cutting tests run on."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import array_api_compat
import hypothesis
import numpy as np
import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers of SciPy's tests, which tests/test_peers.py imports."""
    names = "fail_slow xfail_on_32bit thread_unsafe parallel_threads_limit array_api_backends "
    names += "skip_xp_backends xfail_xp_backends uses_xp_capabilities"
    for name in names.split():
        config.addinivalue_line("markers", f"{name}: of SciPy's tests")


# The machine decides how long an example takes; a deadline only makes tests fail at random.  New
# examples every time, where hypothesis itself would not draw them (CI=true) too; what fails is
# printed as a decorator that draws it again.
hypothesis.settings.register_profile(
    "default", deadline=None, max_examples=30, derandomize=False, print_blob=True
)
hypothesis.settings.register_profile(
    "thorough",
    deadline=None,
    max_examples=5000,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("thorough" if os.environ.get("QNSOLVE_THOROUGH") else "default")


@dataclass(frozen=True)
class Backend:
    """An array library and the device on which a test places its arrays.

    Attributes
    ----------
    namespace : module
        Array API namespace, the one that ``array_api_compat.array_namespace`` returns.
    device : device of the library or None
        None leaves the placement to the library.
    """

    namespace: Any
    device: Any = None

    def asarray(self, values: Any, dtype: str = "float64") -> Any:
        """Place `values` on the device, with the dtype of that name."""
        placement = {} if self.device is None else {"device": self.device}
        return self.namespace.asarray(values, dtype=getattr(self.namespace, dtype), **placement)


def _numpy() -> Backend:
    return Backend(array_api_compat.array_namespace(np.empty(0)))


def _strict() -> Backend:
    return Backend(pytest.importorskip("array_api_strict"))


def _strict_device() -> Backend:
    # A second device: its arrays refuse to be mixed with others or turned into NumPy unasked.
    strict = pytest.importorskip("array_api_strict")
    return Backend(strict, strict.Device("device1"))


def _torch() -> Backend:
    torch = pytest.importorskip("torch")
    # One thread: on small arrays a second one only waits, and the order of sums stays the same.
    torch.set_num_threads(1)
    return Backend(array_api_compat.array_namespace(torch.empty(0)))


def _jax() -> Backend:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return Backend(array_api_compat.array_namespace(jax.numpy.empty(0)))


def _cupy() -> Backend:
    # The package imports without a GPU; only an allocation would fail.
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("no GPU")
    return Backend(array_api_compat.array_namespace(cupy.empty(0)))


def _torch_cuda() -> Backend:
    backend = _torch()
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    torch.backends.cuda.matmul.allow_tf32 = False
    return Backend(backend.namespace, torch.device("cuda", 0))


def _jax_gpu() -> Backend:
    backend = _jax()
    import jax

    if jax.default_backend() != "gpu":
        pytest.skip("no GPU")
    return backend


BACKENDS: dict[str, Callable[[], Backend]] = {
    "numpy": _numpy,
    "strict": _strict,
    "strict-device1": _strict_device,
    "torch": _torch,
    "jax": _jax,
    "cupy": _cupy,
    "torch-cuda": _torch_cuda,
    "jax-gpu": _jax_gpu,
}
"""Each entry builds a backend, or skips the test where the library or device is missing."""

ON_GPU = ("cupy", "torch-cuda", "jax-gpu")
FAR = ("strict", "strict-device1", *ON_GPU)
CARRIED = " carried"
HOMES = [*BACKENDS, *(name + CARRIED for name in FAR[1:])]
"""Short vectors are carried to the host; those of the `FAR` only in the rows that say so."""


def home(name: str, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Return the backend of a row of `HOMES`."""
    if name in FAR:
        monkeypatch.setattr("qnsolve.arrays.border.CARRIED", -1)
    return BACKENDS[name.removesuffix(CARRIED)]()


@pytest.fixture(params=HOMES)
def xp(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """The array libraries in turn: ``xp.namespace``, ``xp.device``, ``xp.asarray(values)``."""
    return home(request.param, monkeypatch)
