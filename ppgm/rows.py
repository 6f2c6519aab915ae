"""Rows of a data set: how many there are, which entries have them, taking some of them."""

__all__ = ["check_rows", "row_count", "row_names", "take"]

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppgm.errors import DataError


def row_names(data: Mapping[str, Any]) -> list[str]:
    """Returns the names of the entries that are arrays with at least one dimension."""
    return [name for name, value in data.items() if len(getattr(value, "shape", ())) > 0]


def row_count(data: Mapping[str, Any]) -> int | None:
    """Returns the length of the leading dimension that the arrays share, or None."""
    sizes = {int(data[name].shape[0]) for name in row_names(data)}
    return sizes.pop() if len(sizes) == 1 else None


def check_rows(data: Mapping[str, Any]) -> int:
    """Returns the number of rows.

    Raises:
        DataError: If there is no array or the leading dimensions differ.
    """
    shapes = {name: tuple(data[name].shape) for name in row_names(data)}
    sizes = {shape[0] for shape in shapes.values()}
    if len(sizes) != 1:
        raise DataError(
            "minibatches need arrays that share their leading dimension, got shapes "
            f"{shapes}: give one row per datum, or train on the full data (batch_size=None)"
        )
    return sizes.pop()


def take(data: Mapping[str, Any], index: Any) -> dict[str, Any]:
    """Returns the data with the rows `index` of every array that has rows."""
    names = set(row_names(data))
    return {
        name: np.asarray(value)[index] if name in names else value for name, value in data.items()
    }
