"""Sequences as arrays: padding to one length, and marks of what is missing."""

__all__ = ["missing", "padded"]

from collections.abc import Sequence

import numpy as np

from ppgm.errors import DataError


def padded(pieces: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Puts sequences of unequal length into one array.

    Args:
        pieces: Sequences ``(T_n, D)``, each of at least one step.

    Returns:
        ``{"x": (N, T, D), "lengths": (N,)}``, with zeros after the end of each sequence.

    Raises:
        DataError: Names the first sequence that has no steps or another width than the first.
    """
    rows = [np.asarray(piece) for piece in pieces]
    if not rows:
        raise DataError("there are no sequences to pad: give at least one, of shape (T, D)")
    for n, row in enumerate(rows):
        if row.ndim != 2 or row.shape[1:] != rows[0].shape[1:] or not len(row):
            wanted = f"(T, {rows[0].shape[1]})" if rows[0].ndim == 2 else "(T, D)"
            raise DataError(
                f"sequence {n} has the shape {row.shape}: each must have the shape {wanted}, with "
                "at least one step"
            )
    lengths = np.array([len(row) for row in rows])
    x = np.zeros((len(rows), int(lengths.max()), rows[0].shape[1]), np.result_type(*rows))
    for n, row in enumerate(rows):
        x[n, : len(row)] = row
    return {"x": x, "lengths": lengths}


def missing(x: np.ndarray) -> dict[str, np.ndarray]:
    """Marks the entries of sequences that are NaN, and puts zeros in their place.

    Args:
        x: Sequences ``(N, T, D)``.

    Returns:
        ``{"x": (N, T, D), "mask": ...}``; the mask is 1 where there was a number, by step
        ``(N, T)`` if every step was seen as a whole or not at all, else by entry ``(N, T, D)``.
    """
    x = np.asarray(x)
    if x.ndim != 3:
        raise DataError(f"sequences have the shape (N, T, D), not {x.shape}")
    seen = ~np.isnan(x)
    whole = bool((seen.all(-1) | ~seen.any(-1)).all())
    return {"x": np.where(seen, x, 0), "mask": (seen[..., 0] if whole else seen).astype(float)}
