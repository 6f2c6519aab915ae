"""Where batches come from: arrays in memory, or a stream.

Minibatches are drawn without replacement: an epoch is a seeded permutation of the rows cut into
M batches, each row of which stands for M data, so that the mean of an epoch's estimates is the
full-data value exactly, a ragged last batch included. Steps are numbered from 0 over all epochs,
so that a fit can go on in the middle of one.
"""

__all__ = ["ArraySource", "StreamSource", "open_source"]

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np

from ppgm.arrays import as_arrays, check_finite
from ppgm.batches import CHUNK, Chunk, Source
from ppgm.errors import ArgumentError, DataError
from ppgm.rows import check_rows, row_count, take


@dataclass(frozen=True)
class ArraySource:
    """Arrays in memory; see `Source`."""

    data: dict[str, Any]
    batch_size: int | None
    rows: int | None
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches M."""
        if self.batch_size is None or self.rows is None:
            return 1
        return -(-self.rows // self.batch_size)

    def first(self) -> np.ndarray | None:
        """Returns the rows of the first epoch's first batch."""
        return None if self.batch_size is None else self._epochs(0, 1)[0]

    def sample_rows(self) -> dict[str, Any]:
        """Returns the first `batch_size` rows of the data."""
        return self.data if self.batch_size is None else take(self.data, slice(self.batch_size))

    def all_batches(self) -> Iterator[Mapping[str, Any]]:
        """Yields the arrays."""
        yield self.data

    def chunks(self, start: int, count: int, *, each_epoch: bool) -> Iterator[Chunk]:
        """Yields chunks of at most 50 steps."""
        per_epoch, end = self.steps_per_epoch, start + count
        while start < end:
            stop = min(start + CHUNK, end)
            if each_epoch:
                stop = min(stop, (start // per_epoch + 1) * per_epoch)
            closed = range(start // per_epoch, stop // per_epoch)
            ends = [(epoch + 1, (epoch + 1) * per_epoch - start) for epoch in closed]
            index = None if self.batch_size is None else self._epochs(start, stop)
            yield Chunk(index, self._mask(start, stop), float(per_epoch), stop - start, ends)
            start = stop

    def _epochs(self, start: int, stop: int) -> np.ndarray:
        """Returns the rows of some steps, ``(steps, B)``; a ragged batch is filled with row 0."""
        assert self.rows is not None
        assert self.batch_size is not None
        per_epoch = self.steps_per_epoch
        first, last = start // per_epoch, (stop - 1) // per_epoch
        spare = np.zeros(per_epoch * self.batch_size - self.rows, int)
        orders = (_permutation(self.seed, e, self.rows) for e in range(first, last + 1))
        index = np.concatenate([part for order in orders for part in (order, spare)])
        steps = index.reshape(-1, self.batch_size)
        return steps[start - first * per_epoch : stop - first * per_epoch]

    def _mask(self, start: int, stop: int) -> np.ndarray | None:
        """Returns which rows of some steps count, if the last batch of an epoch is ragged."""
        per_epoch, size = self.steps_per_epoch, self.batch_size
        if size is None or self.rows is None or self.rows == per_epoch * size:
            return None
        ends = np.arange(start, stop) % per_epoch == per_epoch - 1
        sizes = np.where(ends, self.rows - (per_epoch - 1) * size, size)
        return np.arange(size) < sizes[:, None]


# An epoch is many chunks, each of which cuts its steps out of a permutation of all rows. Two are
# kept, for a chunk that ends one epoch and begins the next: row numbers, and none of the data.
@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, rows: int) -> np.ndarray:
    """Returns the order of the rows in an epoch, ``(rows,)``."""
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    return generator.permutation(rows)


@dataclass(frozen=True)
class StreamSource:
    """An iterable of batches, gone through once before the first step; see `Source`."""

    batches: Iterable[Any]
    data: dict[str, Any]
    rows: int
    steps_per_epoch: int
    batch_size: int

    def first(self) -> None:
        """All rows of the first batch."""

    def sample_rows(self) -> dict[str, Any]:
        """Returns the first batch."""
        return self.data

    def all_batches(self) -> Iterator[Mapping[str, Any]]:
        """Yields the batches."""
        return _checked(self.batches)

    def chunks(self, start: int, count: int, *, each_epoch: bool) -> Iterator[Chunk]:
        """Yields a chunk for each batch."""
        per_epoch, end = self.steps_per_epoch, start + count
        while start < end:
            epoch, skip = divmod(start, per_epoch)
            stop = min(end, (epoch + 1) * per_epoch)
            for batch in islice(_checked(self.batches), skip, skip + stop - start):
                start += 1
                ends = [(epoch + 1, 1)] if start == (epoch + 1) * per_epoch else []
                yield Chunk(batch, None, float(per_epoch), 1, ends)
            if start < stop:
                raise DataError(
                    f"epoch {epoch + 1} of the stream has {start - epoch * per_epoch} batches, "
                    f"and its first pass had {per_epoch}: give an iterable of fixed length"
                )


def open_source(
    data: Mapping[str, Any] | Iterable[Any], batch_size: int | None, seed: int
) -> Source:
    """Returns the source of batches; see `fit` for what `data` may be."""
    if isinstance(data, Mapping):
        return _open_arrays(data, batch_size, seed)
    if isinstance(data, str) or hasattr(data, "__array__") or not isinstance(data, Iterable):
        raise DataError(
            "data must be a dict of arrays by argument name, or an iterable of such batches, "
            f"not {type(data).__name__}: wrap an array as {{'x': array}}"
        )
    if batch_size is not None:
        raise ArgumentError("batch_size does not go with an iterable: it brings its own batches")
    return _open_stream(data)


def _open_arrays(data: Mapping[str, Any], batch_size: int | None, seed: int) -> ArraySource:
    arrays = as_arrays(data)
    check_finite(arrays)
    if batch_size is None:
        return ArraySource(arrays, None, row_count(arrays), seed)
    rows = check_rows(arrays)
    if batch_size >= rows:  # the whole data in every step
        return ArraySource(arrays, None, rows, seed)
    return ArraySource(arrays, batch_size, rows, seed)


def _open_stream(batches: Iterable[Any]) -> StreamSource:
    if iter(batches) is batches:
        raise DataError(
            f"data is a {type(batches).__name__}, which can be gone through only once: give an "
            "iterable that starts anew in every epoch, such as a DataLoader or a list"
        )
    first: dict[str, Any] = {}
    sizes = []
    for batch in _checked(batches):
        first = first or batch
        sizes.append(check_rows(batch))
    if not sizes:
        raise DataError("data is an empty iterable: it must yield at least one batch")
    return StreamSource(batches, first, sum(sizes), len(sizes), sizes[0])


def _checked(batches: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Yields the batches as arrays, checked; an error tells which one it was."""
    for number, batch in enumerate(batches):
        if not isinstance(batch, Mapping):
            raise DataError(
                f"a batch must be a dict of arrays by argument name, not {type(batch).__name__}: "
                "give the DataLoader a data set (or collate_fn) that returns {'x': ...}"
            )
        arrays = as_arrays(batch)
        check_finite(arrays, f" of batch {number}")
        yield arrays
