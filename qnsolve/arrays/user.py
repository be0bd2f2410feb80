"""What a user hands over, as a plain array or number; TypeError or ValueError where it is none."""

from __future__ import annotations

import math
import warnings
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from qnsolve.arrays.libraries import (
    Array,
    as_numpy,
    detached,
    device_of,
    is_array,
    is_jax,
    namespace_of,
)
from qnsolve.comm import Comm

if TYPE_CHECKING:
    from qnsolve.arrays.space import VectorSpace

NARROW_JAX = "JAX is in 32 bits (set jax_enable_x64 before the first array)"


def describe(value: Any) -> str:
    """Return the type of `value`, and its shape if it has one, for a message.

    Examples
    --------
    >>> import numpy as np
    >>> describe(np.ones((2, 3))), describe(None)
    ('ndarray of shape (2, 3)', 'NoneType')
    """
    kind = type(value).__name__
    return f"{kind} of shape {tuple(value.shape)}" if hasattr(value, "shape") else kind


def own_array(a: Any, name: str) -> Array:
    """Return `a` as a plain array of its own library; what is not an array becomes NumPy."""
    if isinstance(a, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; fill it or select its valid entries first")
    return detached(a) if is_array(a) and not isinstance(a, np.ndarray) else np.asarray(a)


def array_like(a: Any, space: VectorSpace, name: str, as_what: str = "as x0 is") -> Array:
    """Return `a` as a real array of the library and device of `space`, in its own dtype and shape.

    Where the vectors are NumPy's, as always in a call through SciPy, a JAX array or CPU tensor is
    as welcome as a list.  Libraries that want no hidden transfer refuse that themselves.
    """
    given, a = a, own_array(a, name)
    if space.on_host:
        a = np.asarray(as_numpy(a))
    elif namespace_of(a) is not space.xp:
        raise TypeError(
            f"{name} must be an array of {space.package}, {as_what}, got {describe(given)}"
        )
    require_real(a, name)
    if space.device is not None and device_of(a) != space.device:
        raise ValueError(f"{name} is on {device_of(a)}, but x is on {space.device}")
    return a


def floating_vector(a: Any, name: str, *, comm: Comm | None = None) -> Array:
    """Return `a`, real floating and of shape (n,), as a plain array of its own library.

    With ranks it may be an empty slice.
    """
    a = own_array(a if is_array(a) else np.asarray(a, dtype=float), name)
    require_floating(a, name)
    if a.ndim != 1 or (a.shape[0] == 0 and comm is None):
        raise ValueError(f"{name} must have shape (n,) with n >= 1, got {tuple(a.shape)}")
    return a


def start_point(x0: Any, name: str = "x0", *, comm: Comm | None = None) -> Array:
    """Return a copy of `x0` in its own library, finite and in a dtype to compute with.

    With ranks it may be an empty slice.
    """
    x0 = own_array([x0] if np.isscalar(x0) else x0, name)
    require_real(x0, name)
    xp = namespace_of(x0)
    if math.prod(x0.shape) == 0 and comm is None:
        raise ValueError(
            f"{name} is empty (shape {tuple(x0.shape)}); there is nothing to minimise over"
        )
    dtype = x0.dtype if xp.isdtype(x0.dtype, "real floating") else xp.float64
    if dtype != x0.dtype and is_jax(x0) and xp.zeros(0).dtype != dtype:
        warnings.warn(f"{NARROW_JAX}: {name} becomes float32", RuntimeWarning, stacklevel=2)
        dtype = xp.float32
    require_digits(xp, dtype, name)
    x0 = xp.astype(x0, dtype, copy=True)  # without it JAX would not
    require_finite(x0, name)
    return x0


def require_digits(xp: Any, dtype: Any, name: str) -> None:
    """Refuse float16 and bfloat16: of two gradients with three digits no difference is left."""
    if xp.finfo(dtype).eps > np.finfo(np.float32).eps:
        raise TypeError(
            f"{name} has dtype {dtype}, too coarse for secant pairs; convert it to float32"
        )


def one_number(value: Any, name: str, wanted: str, *, if_tuple: str = "") -> Any:
    """Return one real number as a Python float or as an array of no dimension.

    Parameters
    ----------
    value : object
    name : str
        What it is, such as "the value of fun".
    wanted : str
        Beginning of the message where it is not one number.
    if_tuple : str, optional
        End of that message where it is a tuple.
    """
    if isinstance(value, Real):
        return float(value)
    if type(value) is np.ndarray and value.dtype.kind in "fiub" and value.size == 1:
        return float(value.item())
    tuples = isinstance(value, tuple) and len(value) != 1
    an_array = is_array(value) or hasattr(value, "__array__") or hasattr(value, "toarray")
    if an_array or (isinstance(value, list | tuple | complex) and not tuples):
        a = real_array(value, name)
        if math.prod(a.shape) == 1:
            return namespace_of(a).reshape(a, ())
    elif hasattr(value, "__float__"):
        return float(value)
    raise TypeError(f"{wanted}, got {describe(value)}{if_tuple if tuples else ''}")


def is_one_number(value: Any) -> bool:
    """Tell whether `value` is a number or an array of one element."""
    return isinstance(value, Real) or (is_array(value) and math.prod(value.shape) == 1)


def real_array(a: Any, name: str) -> Array:
    """Return what a callable gave for `name` as a plain array of real numbers.

    Python's numbers in an array of objects are as good as any, and so are complex ones that are
    real; of arrays that are not NumPy's this is not looked for.
    """
    if a is None:
        raise TypeError(f"{name} is None; return an array")
    if hasattr(a, "toarray"):
        raise TypeError(f"{name} is sparse ({describe(a)}); return its .toarray()")
    try:
        a = own_array(a, name)
    except ValueError as error:  # lists in lists of several lengths
        raise TypeError(f"{name} must hold real numbers, got {describe(a)}") from error
    if isinstance(a, np.generic):
        a = np.asarray(a)
    if isinstance(a, np.ndarray) and a.dtype == object:
        a = _of_objects(a)
    isdtype = namespace_of(a).isdtype
    if isdtype(a.dtype, "complex floating"):
        if not isinstance(a, np.ndarray) or a.imag.any():
            raise TypeError(f"{name} is complex ({a.dtype}) and must be real; return its .real")
        a = a.real
    require_real(a, name)
    return a


def _of_objects(a: np.ndarray) -> np.ndarray:
    """Return an array of objects as one of floats where each is a number."""
    # NumPy would read text as the number that it says, and None as NaN.
    if any(isinstance(entry, str | bytes | None) for entry in a.flat):
        return a
    try:
        return a.astype(float)
    except (TypeError, ValueError):
        return a


def require_real(a: Array, name: str) -> None:
    isdtype = namespace_of(a).isdtype
    if isdtype(a.dtype, "complex floating"):
        raise TypeError(
            f"{name} is complex ({a.dtype}) and must be real; of a complex z make x by "
            "concatenating its real and imaginary parts"
        )
    if not isdtype(a.dtype, ("bool", "integral", "real floating")):
        raise TypeError(f"{name} must hold real numbers, got dtype {a.dtype}")


def require_floating(a: Array, name: str) -> None:
    if not namespace_of(a).isdtype(a.dtype, "real floating"):
        raise TypeError(f"{name} must be real floating, got dtype {a.dtype}")


def require_finite(a: Array, name: str) -> None:
    xp = namespace_of(a)
    if not bool(xp.all(xp.isfinite(a))):
        raise ValueError(f"{name} has NaN or infinite entries; start from a finite point")


def is_narrow_jax(a: Any, space: VectorSpace) -> bool:
    """Tell whether JAX has computed `a` in float32 from vectors in float64."""
    return is_jax(a) and (a.dtype, space.dtype) == (np.float32, np.float64)
