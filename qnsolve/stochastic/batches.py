"""Mini-batches: in an order that depends on the seed and the epoch alone, so runs can resume."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from qnsolve.arrays import Array
from qnsolve.arrays.libraries import is_array, take
from qnsolve.checks import flag, integer


class BatchSource(Protocol):
    """Batches that can be asked for by epoch and number, in any order."""

    def __len__(self) -> int: ...

    def part(self, epoch: int, number: int) -> Any: ...


@runtime_checkable
class Resizable(BatchSource, Protocol):
    """Batches of a number of samples that can be changed."""

    batch_size: int
    samples: int

    def resized(self, batch_size: int) -> BatchSource: ...


class MiniBatches:
    """Samples in batches of equal size, in a new random order each epoch.

    Parameters
    ----------
    *arrays : array, shape (samples, ...)
        Inputs, targets and so on, in any array library; a batch is a tuple of as many.
    batch_size : int, >= 1
        Samples in a batch.  What is left at the end of an epoch is left out, and is another part of
        the samples in each.  A step of a method with overlap sees two batches.
    seed : int, >= 0
        The order of epoch e depends on (seed, e) alone.
    shuffle : bool
        False keeps the order of the arrays.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described.

    Examples
    --------
    >>> import numpy as np
    >>> from qnsolve.stochastic import MiniBatches
    >>> batches = MiniBatches(np.arange(7.0), batch_size=3, shuffle=False)
    >>> len(batches), [batch[0].tolist() for batch in batches]
    (2, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    """

    def __init__(
        self, *arrays: Array, batch_size: int, seed: int = 0, shuffle: bool = True
    ) -> None:
        if not arrays or not all(is_array(a) for a in arrays):
            raise TypeError("MiniBatches needs at least one array, and nothing but arrays")
        sizes = {a.shape[0] if a.ndim else 0 for a in arrays}
        if len(sizes) > 1:
            raise ValueError(f"the arrays must have as many samples each, got {sorted(sizes)}")
        (self.samples,) = sizes
        self.arrays = arrays
        self.batch_size = integer(batch_size, "batch_size", 1, self.samples)
        self.seed = integer(seed, "seed", 0)
        self.shuffle = flag(shuffle, "shuffle")
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return self.samples // self.batch_size

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        """Iterate over the batches of epoch 0."""
        return (self.part(0, number) for number in range(len(self)))

    def part(self, epoch: int, number: int) -> tuple[Array, ...]:
        """Return one batch."""
        first = number * self.batch_size
        rows = self.order(epoch)[first : first + self.batch_size]
        return tuple(take(a, rows) for a in self.arrays)

    def whole(self) -> Iterator[tuple[float, tuple[Array, ...]]]:
        """Iterate over all samples in batches, the last one smaller, with their sizes."""
        for first in range(0, self.samples, self.batch_size):
            rows = np.arange(first, min(first + self.batch_size, self.samples))
            yield float(len(rows)), tuple(take(a, rows) for a in self.arrays)

    def resized(self, batch_size: int) -> MiniBatches:
        """Return the same samples, in the same orders, in batches of another size."""
        return MiniBatches(
            *self.arrays, batch_size=batch_size, seed=self.seed, shuffle=self.shuffle
        )

    def order(self, epoch: int) -> np.ndarray:
        """Return the numbers of the samples in the order of an epoch."""
        if self._order is None or self._order[0] != epoch:
            rng = np.random.default_rng((self.seed, epoch))
            order = rng.permutation(self.samples) if self.shuffle else np.arange(self.samples)
            self._order = epoch, order
        return self._order[1]

    def describe(self) -> dict[str, Any]:
        """Return what decides on the order, for a checkpoint to compare."""
        return {
            "samples": self.samples,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "shuffle": self.shuffle,
        }


class FixedBatches:
    """A sequence of batches, in the same order each epoch."""

    def __init__(self, batches: Sequence[Any]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def part(self, epoch: int, number: int) -> Any:
        """Return one batch."""
        return self._batches[number]

    def describe(self) -> dict[str, Any]:
        """Return what decides on the order, for a checkpoint to compare."""
        return {"batches": len(self)}


class StreamedBatches:
    """An iterable such as a torch DataLoader, run through once an epoch; it cannot resume."""

    batch_size = samples = 0

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = batches

    def epoch(self, number: int, first: int) -> Iterator[Any]:
        """Iterate over the batches of an epoch."""
        return iter(self._batches)

    def whole(self) -> Iterator[tuple[float, Any]]:
        """Iterate over all batches, with their weights."""
        return ((1.0, batch) for batch in self._batches)


class ResumableBatches:
    """A source as a stream that can begin anywhere.

    Attributes
    ----------
    batch_size, samples : int
        Of a source whose batches can be :meth:`resized`; else 0.
    """

    def __init__(self, source: BatchSource) -> None:
        self.source = source
        self.batch_size = source.batch_size if isinstance(source, Resizable) else 0
        self.samples = source.samples if isinstance(source, Resizable) else 0

    def resized(self, batch_size: int) -> ResumableBatches:
        """Return the stream of the same samples in batches of another size."""
        if not isinstance(self.source, Resizable):
            raise TypeError("batches of another size need MiniBatches, or their methods")
        return ResumableBatches(self.source.resized(batch_size))

    def whole(self) -> Iterator[tuple[float, Any]]:
        """Iterate over all samples in batches, with their weights; or over those of one epoch."""
        if hasattr(self.source, "whole"):
            return self.source.whole()
        return ((1.0, self.source.part(0, k)) for k in range(len(self.source)))

    def epoch(self, number: int, first: int) -> Iterator[Any]:
        """Iterate over the batches of an epoch from number `first`."""
        return (self.source.part(number, k) for k in range(first, len(self.source)))

    def before(self, epoch: int, number: int) -> Any:
        """Return the batch before this one, which is that of the epoch before for the first."""
        if number:
            return self.source.part(epoch, number - 1)
        return self.source.part(epoch - 1, len(self.source) - 1)

    def describe(self) -> dict[str, Any]:
        """Return what decides on the order, as far as the source tells."""
        describe = getattr(self.source, "describe", None)
        return {"batches": len(self.source)} if describe is None else describe()


def by_number(stream: ResumableBatches | StreamedBatches, what: str) -> ResumableBatches:
    """Return the stream; refuse one that cannot be asked for batches by number, as `what` needs."""
    if not isinstance(stream, ResumableBatches):
        raise TypeError(
            f"{what} needs batches that can be asked for by number: MiniBatches, a sequence, "
            "or an object with __len__ and part(epoch, number)"
        )
    return stream


def stream_of(batches: Any) -> ResumableBatches | StreamedBatches:
    """Return a user's `batches` as a stream.

    Raises
    ------
    TypeError
        If it is not iterable, or only once.
    ValueError
        If there is no batch, as far as can be told before the first epoch.
    """
    if hasattr(batches, "part") and hasattr(batches, "__len__"):
        source: BatchSource = batches
    elif isinstance(batches, Sequence) and not isinstance(batches, str | bytes):
        source = FixedBatches(batches)
    else:
        try:
            if isinstance(batches, str | bytes):  # a file's name, perhaps; no batch is a character
                raise TypeError
            once = iter(batches) is batches
        except TypeError:
            raise TypeError(
                "batches must be MiniBatches, a sequence of batches or an iterable, "
                f"got {type(batches).__name__}"
            ) from None
        if once:
            raise TypeError(
                f"batches must be iterable once an epoch, got the iterator {type(batches).__name__}"
            )
        return StreamedBatches(batches)
    if len(source) == 0:
        raise ValueError("batches is empty")
    return ResumableBatches(source)
