"""Where batches come from: arrays in memory, or a stream.

Minibatches are drawn without replacement: an epoch is a seeded permutation of the rows cut into
M batches, each row of which stands for M data, so that the mean of an epoch's estimates is the
full-data value exactly, a ragged last batch included.
"""

__all__ = ["ArraySource", "Chunk", "Source", "StreamSource", "open_source"]

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ppgm.checking import check_finite
from ppgm.errors import ArgumentError, DataError
from ppgm.history import History
from ppgm.rows import check_rows, row_count, take

CHUNK = 50
"""Largest number of steps between two looks at the losses."""


@dataclass
class Chunk:
    """Some steps, and the epochs that end with them.

    Attributes:
        index: Rows ``(steps, B)``, None for all, or a streamed batch.
        mask: Which rows count, or None for all.
        scale: Number of data that a row stands for.
        steps: Number of steps.
        ends: For each epoch that ends here, its number and the number of steps up to its end.
    """

    index: Any
    mask: np.ndarray | None
    scale: float
    steps: int
    ends: list[tuple[int, int]]
    log: dict[str, np.ndarray] = field(default_factory=dict)

    def run(self, trainer: Any) -> dict[str, np.ndarray]:
        """Runs the steps and returns their losses and metrics."""
        if isinstance(self.index, Mapping):
            self.log = trainer.run_batch(self.index, self.scale)
        else:
            self.log = trainer.run(self.index, self.mask, self.scale, self.steps)
        return self.log

    def finished(self, history: History) -> Iterator[tuple[int, dict[str, float]]]:
        """Adds the steps to the history; yields every epoch that ended, with its means."""
        start = 0
        for epoch, end in self.ends:
            history.extend({n: v[start:end] for n, v in self.log.items()})
            start = end
            yield epoch, history.close()
        if start < self.steps:
            history.extend({n: v[start:] for n, v in self.log.items()})


class Source(Protocol):
    """Data of a fit.

    Attributes:
        data: All arrays, or the first batch of a stream.
        batch_size: Rows of a minibatch, None for all.
        rows: Number of rows of the whole data, None without row arrays.
        scale: Number of data that a row of a batch stands for.
        steps_per_epoch: Number of batches, None if unknown.
    """

    data: dict[str, Any]
    batch_size: int | None
    rows: int | None
    scale: float
    steps_per_epoch: int | None

    def first(self) -> np.ndarray | None:
        """Returns the rows of a first batch, for the objective's state."""
        ...

    def chunks(self, done: int, epochs: int, steps: int | None) -> Iterator[Chunk]:
        """Yields chunks of steps from epoch `done` to `epochs`, at most `steps` steps."""
        ...

    def sample_rows(self) -> dict[str, Any]:
        """Returns a batch to trace the program with."""
        ...

    def rows_of(self, data: Mapping[str, Any]) -> int:
        """Returns the number of rows of other data."""
        ...


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

    @property
    def scale(self) -> float:
        """Each row stands for M data: it is in one of M batches."""
        return float(self.steps_per_epoch)

    def first(self) -> np.ndarray | None:
        """Returns the first `batch_size` rows of the first epoch's permutation."""
        index, _ = self._epoch(0)
        return None if index is None else index[0]

    def sample_rows(self) -> dict[str, Any]:
        """Returns the first batch."""
        return self.data if self.batch_size is None else take(self.data, slice(self.batch_size))

    def rows_of(self, data: Mapping[str, Any]) -> int:
        """Returns the number of rows of other data."""
        return check_rows(data)

    def chunks(self, done: int, epochs: int, steps: int | None) -> Iterator[Chunk]:
        """Yields chunks of at most 50 steps."""
        left = self.steps_per_epoch * (epochs - done) if steps is None else steps
        if self.batch_size is None:
            yield from self._full(done, left)
            return
        for epoch in range(done, epochs):
            index, mask = self._epoch(epoch)
            assert index is not None
            size = min(len(index), left)
            left -= size
            for at in range(0, size, CHUNK):
                stop = min(at + CHUNK, size)
                ends = [(epoch + 1, stop - at)] if stop == size else []
                part = None if mask is None else mask[at:stop]
                yield Chunk(index[at:stop], part, self.scale, stop - at, ends)

    def _full(self, done: int, left: int) -> Iterator[Chunk]:
        """With all rows in every step, each step is an epoch."""
        for at in range(done, done + left, CHUNK):
            size = min(CHUNK, done + left - at)
            yield Chunk(None, None, 1.0, size, [(at + i + 1, i + 1) for i in range(size)])

    def _epoch(self, epoch: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Returns rows ``(M, B)`` of an epoch, and which of them count if the last is ragged."""
        if self.batch_size is None or self.rows is None:
            return None, None
        generator = np.random.Generator(np.random.Philox(key=[self.seed % 2**64, epoch]))
        order = generator.permutation(self.rows)
        spare = self.steps_per_epoch * self.batch_size - self.rows
        index = np.concatenate([order, np.zeros(spare, order.dtype)])
        index = index.reshape(-1, self.batch_size)
        if not spare:
            return index, None
        mask = np.ones(index.shape, bool)
        mask[-1, self.batch_size - spare :] = False
        return index, mask


@dataclass(frozen=True)
class StreamSource:
    """An iterable of batches; see `Source`."""

    batches: Iterable[Any]
    data: dict[str, Any]
    rows: int | None
    steps_per_epoch: int | None
    batch_size: int | None

    @property
    def scale(self) -> float:
        """Number of batches, or 1 where it is unknown."""
        return float(self.steps_per_epoch or 1)

    def first(self) -> None:
        """All rows of the first batch."""

    def sample_rows(self) -> dict[str, Any]:
        """Returns the first batch."""
        return self.data

    def rows_of(self, data: Mapping[str, Any]) -> int:
        """Returns the number of rows of other data."""
        return check_rows(data)

    def chunks(self, done: int, epochs: int, steps: int | None) -> Iterator[Chunk]:
        """Yields a chunk for each batch."""
        left = steps
        for epoch in range(done, epochs):
            batches = map(_batch, self.batches)
            batch = next(batches, None)
            if batch is None:
                raise DataError(
                    f"the stream of batches is empty in epoch {epoch + 1}: give an iterable that "
                    "can be gone through again, such as a DataLoader or a list, not an iterator"
                )
            while batch is not None and left != 0:
                following = next(batches, None)
                left = None if left is None else left - 1
                check_finite(batch)
                ended = following is None or left == 0
                yield Chunk(batch, None, self.scale, 1, [(epoch + 1, 1)] if ended else [])
                batch = following


def open_source(
    data: Mapping[str, Any] | Iterable[Any], batch_size: int | None, seed: int
) -> Source:
    """Returns the source of batches; see `fit` for what `data` may be."""
    if isinstance(data, Mapping):
        return _open_arrays(data, batch_size, seed)
    if isinstance(data, str) or not isinstance(data, Iterable):
        raise DataError(
            "data must be a dict of arrays by argument name, or an iterable of such batches, "
            f"not {type(data).__name__}: wrap an array as {{'x': array}}"
        )
    if batch_size is not None:
        raise ArgumentError("batch_size does not go with an iterable, which brings its own batches")
    return _open_stream(data)


def _open_arrays(data: Mapping[str, Any], batch_size: int | None, seed: int) -> ArraySource:
    arrays = {name: as_array(name, value) for name, value in data.items()}
    check_finite(arrays)
    if batch_size is None:
        return ArraySource(arrays, None, row_count(arrays), seed)
    rows = check_rows(arrays)
    if batch_size < 1:
        raise ArgumentError(f"batch_size must be at least 1, not {batch_size}")
    if batch_size >= rows:  # the whole data in every step
        return ArraySource(arrays, None, rows, seed)
    return ArraySource(arrays, batch_size, rows, seed)


def _open_stream(batches: Iterable[Any]) -> StreamSource:
    first = next(iter(batches), None)
    if first is None:
        raise DataError("data is an empty iterable: it must yield at least one batch")
    batch = _batch(first)
    check_finite(batch)
    count = len(batches) if hasattr(batches, "__len__") else None  # type: ignore[arg-type]
    rows = check_rows(batch)
    known = getattr(batches, "dataset", None)
    total = len(known) if known is not None else (rows * count if count else None)
    if not getattr(batches, "drop_last", False) and known is None and isinstance(batches, list):
        total = sum(check_rows(_batch(b)) for b in batches)
    if getattr(batches, "drop_last", False) and count:
        total = rows * count
    return StreamSource(batches, batch, total or rows, count, rows)


def _batch(batch: Any) -> dict[str, Any]:
    if not isinstance(batch, Mapping):
        raise DataError(
            f"a batch must be a dict of arrays by argument name, not {type(batch).__name__}: "
            "give the DataLoader a data set (or collate_fn) that returns {'x': ...}"
        )
    return {name: as_array(name, value) for name, value in batch.items()}


def as_array(name: str, value: Any) -> Any:
    """Returns arrays, tensors and nested lists of numbers as numpy arrays; others as they are."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if not hasattr(value, "__array__") and not isinstance(value, list | tuple):
        return value
    array = np.asarray(value)
    if array.dtype == object or array.dtype.kind in "USMm":
        raise DataError(
            f"data['{name}'] has dtype {array.dtype}: expected numbers; encode it first"
        )
    return array
