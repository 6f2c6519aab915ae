"""Data as they come, turned into arrays of finite numbers or refused."""

__all__ = ["as_array", "as_arrays", "check_finite"]

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppgm.errors import DataError


def as_arrays(data: Mapping[str, Any]) -> dict[str, Any]:
    """Returns every entry as `as_array` does."""
    return {name: as_array(name, value) for name, value in data.items()}


def as_array(name: str, value: Any) -> Any:
    """Returns arrays, tensors, frames and nested lists of numbers as numpy arrays.

    Other values (None, numbers, strings, objects) are arguments of the program, passed as they
    are.

    Raises:
        DataError: If the entries are not numbers, or some are masked.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if not hasattr(value, "__array__") and not isinstance(value, list | tuple):
        return value
    if np.ma.is_masked(value):
        raise DataError(
            f"data['{name}'] has masked values: remove or impute them, or give the mask as an "
            "entry of its own"
        )
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(f"data['{name}'] is no rectangular array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"data['{name}'] has dtype {array.dtype}: expected real numbers; encode it first"
        )
    return array


def check_finite(data: Mapping[str, Any], where: str = "") -> None:
    """Checks that all arrays are finite and not empty.

    Args:
        data: Arrays by name; other values are left alone.
        where: Words for the message, such as " of batch 3".

    Raises:
        DataError: Names the array, the number of bad values, and row and column of the first.
    """
    for name, value in data.items():
        if not isinstance(value, np.ndarray | np.generic):
            continue
        array = np.asarray(value)
        if array.size == 0:
            raise DataError(f"data['{name}']{where} is empty (shape {array.shape}): expected rows")
        if array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        bad = np.argwhere(~np.isfinite(array))
        place = _place(tuple(int(i) for i in bad[0]))
        raise DataError(
            f"data['{name}']{where} has {len(bad)} values that are NaN or infinite, the first "
            f"({array[tuple(bad[0])]}) at {place}: remove or impute them"
        )


def _place(index: tuple[int, ...]) -> str:
    """Returns words for the place of an entry: row and column of a table."""
    if len(index) > 2:
        return f"row {index[0]}, index {index}"
    words = zip(("row", "column"), index, strict=False)
    return " ".join(f"{w} {i}" for w, i in words) or "its only entry"
