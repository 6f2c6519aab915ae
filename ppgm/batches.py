"""Steps of training in chunks, and what gives the batches for them; see `ppgm.sources`."""

__all__ = ["CHUNK", "Chunk", "Source", "Steps"]

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from ppgm.rows import take

CHUNK = 50
"""Largest number of steps between two looks at the losses."""


class Steps(NamedTuple):
    """What a trainer reports of some steps.

    Attributes:
        log: Losses and metrics by name, one entry per finished step.
        bad: Those of the step that was not finished, because one of them is not finite; the
            entry "parameters" if it was the parameters after the step.
    """

    log: dict[str, np.ndarray]
    bad: dict[str, float] = {}

    @property
    def count(self) -> int:
        """Number of finished steps."""
        return len(next(iter(self.log.values()), ()))


class Chunk(NamedTuple):
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

    def run(self, trainer: Any) -> Steps:
        """Runs the steps."""
        if isinstance(self.index, Mapping):
            return trainer.run_batch(self.index, self.scale)
        return trainer.run(self.index, self.mask, self.scale, self.steps)

    def batch(self, data: Mapping[str, Any], step: int) -> Mapping[str, Any]:
        """Returns the batch of one of the steps."""
        if isinstance(self.index, Mapping):
            return self.index
        if self.index is None:
            return data
        rows = self.index[step]
        return take(data, rows if self.mask is None else rows[self.mask[step]])


class Source(Protocol):
    """Data of a fit.

    Attributes:
        data: All arrays, or the first batch of a stream.
        batch_size: Rows of a minibatch, None for all.
        rows: Number of rows of the whole data, None without row arrays.
        steps_per_epoch: Number of batches M.
    """

    @property
    def data(self) -> dict[str, Any]:
        """All arrays, or the first batch."""
        ...

    @property
    def batch_size(self) -> int | None:
        """Rows of a minibatch."""
        ...

    @property
    def rows(self) -> int | None:
        """Rows of the whole data."""
        ...

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches."""
        ...

    def first(self) -> np.ndarray | None:
        """Returns the rows of a first batch, for the objective's state."""
        ...

    def chunks(self, start: int, count: int, *, each_epoch: bool) -> Iterator[Chunk]:
        """Yields `count` steps from step `start`; chunks end with each epoch if asked to."""
        ...

    def sample_rows(self) -> dict[str, Any]:
        """Returns a batch to trace the program with."""
        ...

    def all_batches(self) -> Iterator[Mapping[str, Any]]:
        """Yields all the data once."""
        ...
