"""Sequences as data: what has been seen of them, and until when they run.

The data of a model of sequences are ``{"x": (N, T, D)}`` and, where there are such, ``"lengths"``
(number of steps of each row, the rest of which is padding), ``"mask"`` (1 where an entry was
seen, by step ``(N, T)`` or by entry ``(N, T, D)``) and ``"u"`` (inputs ``(N, T, U)``). An entry
that was not seen may hold any finite number.
"""

__all__ = ["Series", "check_series", "seen_entries"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppgm.errors import DataError
from ppgm.ops import Array
from ppgm.testing import kalman


@dataclass(frozen=True)
class Series:
    """Sequences as a model gets them, arrays of the host.

    Attributes:
        ppl: The namespace.
        x: Data ``(N, T, D)``, or None where they are to be drawn.
        lengths: Number of steps of each row, ``(N,)``, or None.
        mask: What has been seen, ``(N, T)`` or ``(N, T, D)``, or None.
        u: Inputs ``(N, T, U)``, or None.
        steps: Number of steps where neither data nor inputs say it.
    """

    ppl: Any
    x: Array | None = None
    lengths: Array | None = None
    mask: Array | None = None
    u: Array | None = None
    steps: int = 1

    @property
    def length(self) -> int:
        """Number of steps T."""
        known = [a for a in (self.x, self.u, self.mask) if a is not None]
        return int(known[0].shape[1]) if known else self.steps

    @property
    def rows(self) -> Array | None:
        """An array with one row each, or None."""
        known = [a for a in (self.x, self.u, self.mask, self.lengths) if a is not None]
        return known[0] if known else None

    @property
    def alive(self) -> Array | None:
        """True before the end of each row, booleans ``(N, T)``; None where all have T steps."""
        if self.lengths is None:
            return None
        return self.ppl.np.arange(self.length) < self.lengths[:, None]

    @property
    def seen(self) -> Array | None:
        """True for what was seen, booleans ``(N, T, D)`` or ``(N, T, 1)``; None for all."""
        alive = None if self.alive is None else self.alive[..., None]
        if self.mask is None:
            return alive
        mask = self.mask != 0
        mask = mask[..., None] if mask.ndim == 2 else mask
        return mask if alive is None else mask & alive


def check_series(owner: Any, data: Mapping[str, Any], features: int, inputs: int = 0) -> None:
    """Checks data of sequences.

    Args:
        owner: The model, for messages.
        data: The data, as they came.
        features: Number of columns D.
        inputs: Number of columns U of the inputs.

    Raises:
        DataError: Names the entry, the shape that was expected and what came.
    """
    name, shapes = type(owner).__name__, {k: np.shape(v) for k, v in data.items() if v is not None}
    x, u, mask = (shapes.get(k) for k in ("x", "u", "mask"))
    if x is not None and (len(x) != 3 or x[-1] != features or not x[1]):
        raise DataError(f"{name}: data['x'] must have the shape (N, T, {features}), not {x}")
    if inputs and u is None:
        raise DataError(f"{name} has inputs={inputs}: the data need 'u', (N, T, {inputs})")
    rows = x[:2] if x else u[:2] if u else None
    if u is not None and (not inputs or len(u) != 3 or u[-1] != inputs or u[:2] != rows):
        wanted = f"the shape {rows and (*rows, inputs)}" if inputs else "no 'u' (inputs=0)"
        raise DataError(f"{name}: the data must have {wanted} for data['u'], not {u}")
    if mask is not None and rows is not None and mask not in (rows, (*rows, features)):
        raise DataError(
            f"{name}: data['mask'] must have the shape {rows} or {(*rows, features)}, not {mask}"
        )
    if data.get("lengths") is not None:
        _check_lengths(name, np.asarray(data["lengths"]), rows)


def seen_entries(data: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns what was seen of data of sequences: booleans ``(N, T, D)`` for "x"."""
    if data.get("x") is None:
        return {}
    x, mask, lengths = (data.get(name) for name in ("x", "mask", "lengths"))
    return {"x": kalman.observed(kalman.Series(np.asarray(x), mask, lengths))}


def _check_lengths(name: str, lengths: np.ndarray, rows: tuple[int, ...] | None) -> None:
    if lengths.ndim != 1 or (rows is not None and lengths.shape != rows[:1]):
        wanted = "(N,)" if rows is None else rows[:1]
        raise DataError(
            f"{name}: data['lengths'] must have the shape {wanted}, not {lengths.shape}"
        )
    if lengths.dtype.kind not in "iuf":
        raise DataError(
            f"{name}: data['lengths'] must be numbers of steps, not {lengths.dtype} such as "
            f"{lengths.flat[0]!r}"
        )
    most = np.inf if rows is None else rows[1]
    bad = np.flatnonzero((lengths < 1) | (lengths > most) | (lengths != np.floor(lengths)))
    if len(bad):
        raise DataError(
            f"{name}: data['lengths'] must be whole numbers of 1 to {most:g} steps; row {bad[0]} "
            f"has {lengths[bad[0]]}: leave rows without steps out"
        )
