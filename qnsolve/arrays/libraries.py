"""What array libraries differ in; the only file that knows them by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from numbers import Real
from typing import Any

import array_api_compat
import array_api_extra
import numpy as np

Array = Any
"""An array of any library that follows the Python array API standard."""

NARROW = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""Distance from 1 to the next number, by the names that all libraries share."""

NUMPY = array_api_compat.array_namespace(np.empty(0))

is_array: Callable[[Any], bool] = array_api_compat.is_array_api_obj
is_jax: Callable[[Any], bool] = array_api_compat.is_jax_array
namespace_of: Callable[[Array], Any] = array_api_compat.array_namespace


def library_of(xp: Any) -> str:
    """Return the name under which users know a namespace.

    Examples
    --------
    >>> import numpy as np
    >>> library_of(namespace_of(np.ones(2)))
    'numpy'
    """
    return xp.__name__.removeprefix("array_api_compat.")


def device_of(a: Array) -> Any:
    """Return the device of `a`; None for a sharded array, which has no single one to name."""
    return None if _is_sharded(a) else array_api_compat.device(a)


def placement(device: Any) -> dict[str, Any]:
    """Return the arguments that put a new array on `device`."""
    return {} if device is None else {"device": device}


def detached(a: Any) -> Any:
    """Return a tensor without the record of how it was computed, and all else as it is."""
    return a.detach() if array_api_compat.is_torch_array(a) else a


def to_host(a: Array) -> np.ndarray:
    """Copy a small array to the host as float64 NumPy.

    Never called on a vector of length n.
    """
    if not isinstance(a, np.ndarray | np.generic):
        a = detached(a)
        # Sharded arrays convert on their own.
        a = a if _is_sharded(a) else array_api_compat.to_device(a, _host_device(a))
    return np.asarray(a).astype(np.float64, copy=False)


def to_number(value: Any) -> float:
    """Return a number, or the only element of an array on any device, as a float."""
    # One of NumPy's own numbers is as good as a float.
    return float(value) if isinstance(value, Real | np.generic) else to_host(value).item()


def take(a: Array, indices: np.ndarray) -> Array:
    """Return ``a[indices]`` along the first axis."""
    if isinstance(a, np.ndarray):
        return a[indices]
    xp = namespace_of(a)
    return xp.take(a, xp.asarray(indices, **placement(device_of(a))), axis=0)


def with_row(block: Array, index: int, row: Array) -> Array:
    """Write `row` into ``block[index]``, in place where the library can; return the block."""
    if is_jax(block):
        return _jax_row_setter()(block, index, row)
    return array_api_extra.at(block)[index, :].set(row)


def as_numpy(a: Any, carry: bool = False) -> Any:
    """Return a tensor or JAX array as a NumPy array, on the CPU without a copy; all else as it is.

    So are arrays of a GPU and of other libraries, unless they may be carried: nobody wants a
    transfer that is hidden.
    """
    if array_api_compat.is_torch_array(a) and (carry or a.device.type == "cpu"):
        # Conjugates and negatives may be marks on a tensor that shares the memory of another.
        a = a.detach().resolve_conj().resolve_neg()
        return (a.float() if _is_brief(a) else a).cpu().numpy()
    if is_jax(a):
        return np.asarray(a.astype("float32") if _is_brief(a) else a)
    if carry and is_array(a) and not isinstance(a, np.ndarray) and not _is_sharded(a):
        return np.asarray(array_api_compat.to_device(a, _host_device(a)))
    return a


def from_numpy_like(like: Array, carry: bool = False) -> Callable[[np.ndarray], Array] | None:
    """Return what makes a NumPy array one like `like`, None where none can.

    It is in the same memory, or, where arrays may be carried, a copy on the device of `like`.
    """
    # The dtypes, by the ends of their names, that NumPy has too.
    if not str(like.dtype).endswith(("float32", "float64")) or isinstance(like, np.ndarray):
        return None
    if array_api_compat.is_torch_array(like):
        import torch

        # Of other tensors nobody knows what their class adds.
        if type(like) not in (torch.Tensor, torch.nn.Parameter) or like.layout != torch.strided:
            return None
        if str(like.device) == "cpu":
            return torch.from_numpy
    if is_jax(like):
        return None if _is_traced(like) else _to_jax(like, carry)
    if not carry or _is_sharded(like):
        return None
    return partial(namespace_of(like).asarray, **placement(device_of(like)))


def _to_jax(like: Array, carry: bool) -> Callable[[np.ndarray], Array] | None:
    import jax

    # Of arrays over several devices the parts stay where they are.
    platform, *others = (device.platform for device in like.devices())
    if others or not (carry or platform == "cpu"):
        return None
    # An array that is bound to no device goes where new ones go, and may meet any other.
    if not getattr(like, "committed", True) and like.devices() == jax.numpy.zeros(()).devices():
        return jax.numpy.asarray
    return partial(jax.device_put, device=like.sharding)


def precision_of(a: Any) -> float:
    """Return the relative rounding error of a narrow dtype, 0 for what is not known to have one.

    Examples
    --------
    >>> precision_of(np.float32(1.0)) == 2.0**-23, precision_of(1.0)
    (True, 0.0)
    """
    return NARROW.get(str(getattr(a, "dtype", "")).rpartition(".")[2], 0.0)


def _is_brief(a: Array) -> bool:
    """Tell whether `a` is of the 16 bits that NumPy does not have."""
    return bool(a.dtype.itemsize == 2) and str(a.dtype).endswith("bfloat16")  # names are slow


def _is_traced(a: Array) -> bool:
    import jax

    return isinstance(a, jax.core.Tracer)


def _is_sharded(a: Any) -> bool:
    return is_jax(a) or array_api_compat.is_dask_array(a)


def _host_device(a: Array) -> Any:
    if array_api_compat.is_array_api_strict_namespace(namespace_of(a)):
        import array_api_strict

        return array_api_strict.Device("CPU_DEVICE")
    return "cpu"


@cache
def _jax_row_setter() -> Callable[[Array, int, Array], Array]:
    import jax

    # Donated, the old block is written to after all: no copy of 2 m n numbers for each row.
    return jax.jit(lambda block, index, row: block.at[index].set(row), donate_argnums=0)
