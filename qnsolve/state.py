"""What a checkpoint holds: declared once, as fields, where it lives.

A class whose objects have a state derives from :class:`Stateful` and annotates the attributes that
make it up with ``Saved[...]``.  Saving and restoring is written here, for all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import cache
from numbers import Integral, Number, Real
from typing import Annotated, Any, TypeVar

import numpy as np

T = TypeVar("T")

Saved = Annotated[T, "part of the state"]
"""Annotation of an attribute that belongs to the state of its object: a plain value, an array, a
list or deque of plain values, or another Stateful."""

PLAIN: dict[str, Any] = {
    "None": type(None),
    "bool": bool | np.bool_,
    "int": Integral,
    "float": Real,
    "list": list,
    "deque": list,
    "dict": Mapping,
}
"""Kinds of values that are neither arrays nor Stateful, by their names in annotations."""


class Stateful:
    """An object whose state is its attributes annotated with ``Saved``, those of its bases first.

    Examples
    --------
    >>> class Region(Stateful):
    ...     radius: Saved[float]
    ...     def __init__(self, radius):
    ...         self.radius, self.tried = radius, 0
    >>> a, b = Region(1.0), Region(2.0)
    >>> b.restore(a.snapshot())
    >>> b.radius, a.snapshot()
    (1.0, {'radius': 1.0})
    """

    def snapshot(self) -> dict[str, Any]:
        """Return the state as nested dictionaries of plain values and arrays, not copied."""
        return {name: _plain(getattr(self, name)) for name in self._saved()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to a state that an object made with the same arguments has returned.

        Raises
        ------
        ValueError
            If a value is not of the kind that its annotation says.
        """
        for name, kinds in self._saved().items():
            part, value = getattr(self, name, None), state[name]
            stateful = isinstance(part, Stateful) and value is not None
            if not (isinstance(value, Mapping) if stateful else _fits(value, kinds)):
                raise ValueError(f"{name} of a state is a {type(value).__name__}, not {kinds}")
            if isinstance(part, Stateful) and stateful:
                part.restore(value)
            else:
                setattr(self, name, value)
        self.restored()

    def restored(self) -> None:
        """Make what follows from the state; called after each :meth:`restore`."""

    def _saved(self) -> dict[str, str]:
        kind: Any = type(self)
        return _annotated(kind)


def _plain(value: Any) -> Any:
    if isinstance(value, Stateful):
        return value.snapshot()
    return list(value) if isinstance(value, deque) else value


def _fits(value: Any, kinds: str) -> bool:
    """Tell whether a value is of a kind in an annotation; what that does not say is an array."""
    for kind in kinds.split(" | "):
        name = kind.partition("[")[0]
        if name not in PLAIN:
            if not isinstance(value, str | Number | bool | list | Mapping | None):
                return True
            if name == "Any" and value is None:
                return True
        elif isinstance(value, PLAIN[name]):
            return not kind.endswith("[float]") or all(isinstance(item, Real) for item in value)
    return False


@cache
def _annotated(kind: Any) -> dict[str, str]:
    """Return the names of the saved attributes of a class, with their kinds as annotated."""
    own = (vars(cls).get("__annotations__", {}) for cls in reversed(kind.__mro__))
    return {
        name: str(kind).removeprefix("Saved[")[:-1]
        for names in own
        for name, kind in names.items()
        if str(kind).startswith("Saved[")
    }
