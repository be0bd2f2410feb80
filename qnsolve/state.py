"""What a checkpoint holds: declared once, as fields, where it lives.

A class whose objects have a state derives from :class:`Stateful` and annotates the attributes that
make it up with ``Saved[...]``.  Saving and restoring is written here, for all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, TypeVar

T = TypeVar("T")

Saved = Annotated[T, "part of the state"]
"""Annotation of an attribute that belongs to the state of its object: a plain value, an array, a
list or deque of plain values, or another Stateful."""


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
        """Go to a state that an object made with the same arguments has returned."""
        for name in self._saved():
            part = getattr(self, name, None)
            if isinstance(part, Stateful) and state[name] is not None:
                part.restore(state[name])
            else:
                setattr(self, name, state[name])
        self.restored()

    def restored(self) -> None:
        """Make what follows from the state; called after each :meth:`restore`."""

    def _saved(self) -> tuple[str, ...]:
        kind: Any = type(self)
        return _annotated(kind)


def _plain(value: Any) -> Any:
    if isinstance(value, Stateful):
        return value.snapshot()
    return list(value) if isinstance(value, deque) else value


@cache
def _annotated(kind: Any) -> tuple[str, ...]:
    """Return the names of the saved attributes of a class."""
    own = (vars(cls).get("__annotations__", {}) for cls in reversed(kind.__mro__))
    return tuple(
        name for names in own for name, kind in names.items() if str(kind).startswith("Saved[")
    )
