"""Layouts of a program's plates for one batch; see `ppgm.terms.Layout`."""

__all__ = ["align", "make_layout", "subsampled_plates", "total_rows"]

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from ppgm.ops import Array
from ppgm.sites import Plate, SiteTable
from ppgm.terms import Layout


def make_layout(
    table: SiteTable, dims: int, scale: Array | float = 1.0, fixed: tuple[str, ...] | None = None
) -> Layout:
    """Returns the layout of a batch.

    Args:
        table: The program's sites.
        dims: Number of plate axes of a term.
        scale: Number of data that a row of the batch stands for: a number, or ``(B,)``.
        fixed: Plates that do not follow the batch; by default all but the data plates.
    """
    scales: dict[str, Array | float] = {}
    for name, plate in table.plates.items():
        scales[name] = plate.full_size / plate.size
        if name in table.data_plates and (fixed is None or name not in fixed):
            scales[name] = _aligned(scale, -plate.dim - 1) * scales[name]
    axes = {name: dims + 1 + plate.dim for name, plate in table.plates.items()}
    return Layout(axes, table.rows, scales, dims)


def total_rows(table: SiteTable, rows: int | None) -> float:
    """Returns the number of rows of the whole data set; 1 with global latents.

    Args:
        table: The program's sites.
        rows: Number of data rows that the data plates stand for, or None for their own size.
    """
    plates = (table.plates[name] for name in table.rows)
    return float(prod(_rows_of(p, table, rows) for p in plates))


def _rows_of(plate: Plate, table: SiteTable, rows: int | None) -> int:
    """A plate that draws a subsample knows its size; one that follows the data, theirs."""
    follows = plate.name in table.data_plates and plate.full_size == plate.size
    return rows if rows and follows else plate.full_size


def subsampled_plates(table: SiteTable, *, minibatch: bool) -> tuple[str, ...]:
    """Returns the plates of which one step sees only some rows."""
    return tuple(
        name
        for name, plate in table.plates.items()
        if plate.full_size != plate.size or (minibatch and name in table.data_plates)
    )


def align(values: Mapping[str, Any], table: SiteTable, dims: int) -> dict[str, np.ndarray]:
    """Gives draws of the guide's sites the axes of plates that they lie outside of.

    Args:
        values: Arrays ``(K, *batch, *event)`` by site.
        table: The program's sites.
        dims: Number of plate axes.

    Returns:
        Arrays ``(K, *plates, *event)`` with one axis for each plate of the program.
    """
    events = {s.name: len(s.event_shape) for s in table.guide}
    shaped = {}
    for name, value in values.items():
        array = np.asarray(value)
        spare = dims - (array.ndim - 1 - events[name])
        shaped[name] = array.reshape((len(array), *(1,) * spare, *array.shape[1:]))
    return shaped


def _aligned(scale: Array | float, spare: int) -> Array | float:
    if isinstance(scale, float | int):
        return float(scale)
    return scale.reshape((-1,) + (1,) * spare)
