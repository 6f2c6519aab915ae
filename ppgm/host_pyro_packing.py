"""Rows of unequal length, packed: all first steps, then all second ones, and so on.

The rows are sorted by length, the longest first, so that the rows that are left at a step are the
first ones of the step before. Work on packed rows is for the steps that there are: padding costs
nothing.
"""

__all__ = ["Chosen", "Packing"]

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where the steps of rows lie in a packed array of M rows.

    Attributes:
        sizes: Number of rows that are left, by step.
        row: The row that each packed one comes from, ``(M,)``.
        step: The step that it comes from, ``(M,)``.
        before: For the packed rows after the first step, where the step before lies, ``(M - B,)``.
    """

    sizes: list[int]
    row: Tensor
    step: Tensor
    before: Tensor

    @staticmethod
    def of(ends: Tensor, *, reverse: bool = False) -> "Packing":
        """Packs rows.

        Args:
            ends: Number of steps of each row, ``(B,)``.
            reverse: Whether the first step is the last one of each row.
        """
        ends, order = ends.sort(descending=True, stable=True)
        steps = torch.arange(int(ends[0]) if len(ends) else 0)
        left = steps[:, None] < ends
        sizes = left.sum(1)
        step, place = left.nonzero(as_tuple=True)
        starts = torch.cumsum(sizes, 0) - sizes
        later = int(sizes[0]) if len(sizes) else 0
        before = starts[step[later:] - 1] + place[later:]
        step = ends[place] - 1 - step if reverse else step
        return Packing(sizes.tolist(), order[place], step, before)

    def spans(self) -> Iterator[tuple[slice, int]]:
        """Yields where each step lies, and its number of rows."""
        at = 0
        for size in self.sizes:
            yield slice(at, at + size), size
            at += size

    def places(self, length: int, row: Tensor | None = None) -> Tensor:
        """Returns where the packed rows lie in an array ``(B * length, n)``, ``(M,)``.

        Args:
            length: Number of steps of the array, padding included.
            row: Its row for each row that was packed, ``(B,)``; by default the row itself.
        """
        return (self.row if row is None else row[self.row]) * length + self.step


class Chosen:
    """The steps for which a mask holds; see `ppgm.ops.Ops.chosen`.

    Args:
        mask: Booleans ``(*, T)``.
    """

    def __init__(self, mask: Tensor) -> None:
        self.shape = mask.shape
        self.place = mask.reshape(-1).nonzero()[:, 0]

    @property
    def none(self) -> bool:
        """Whether the mask holds for no step at all."""
        return not len(self.place)

    def take(self, x: Tensor) -> Tensor:
        """Returns the chosen steps of ``(K, *, T, n)``, or of fewer axes, as ``(K, M, n)``."""
        lead = x.shape[: max(x.ndim - 1 - len(self.shape), 0)]
        wide = x.expand(*lead, *self.shape, x.shape[-1])
        return wide.reshape(*lead, -1, x.shape[-1]).index_select(-2, self.place)

    def put(self, terms: Tensor) -> Tensor:
        """Returns terms ``(K, M)`` in their places, ``(K, *, T)``, zero elsewhere."""
        lead = terms.shape[:-1]
        flat = terms.new_zeros((*lead, self.shape.numel())).index_copy(-1, self.place, terms)
        return flat.reshape(*lead, *self.shape)
