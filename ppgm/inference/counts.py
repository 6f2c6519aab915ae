"""Counts among the options of objectives: particles, steps."""

__all__ = ["set_count"]

from typing import Any

import numpy as np

from ppgm.errors import ArgumentError


def set_count(owner: Any, name: str, least: int = 1, advice: str = "") -> None:
    """Makes a field of a frozen dataclass a plain integer.

    Raises:
        ArgumentError: Unless it is an integer, numpy's included, of at least `least`.
    """
    value = getattr(owner, name)
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise ArgumentError(f"{name} must be an integer of at least {least}, not {value!r}")
    if value < least:
        raise ArgumentError(f"{name} must be at least {least}, not {value}{advice}")
    object.__setattr__(owner, name, int(value))
