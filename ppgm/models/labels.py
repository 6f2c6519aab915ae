"""Classes of rows, some of which are known: what semi-supervised models share.

Labels are integers 0, ..., C - 1, one per row, and a marker where the class is not known.
"""

__all__ = ["check_labels", "clamped", "evidence", "one_hot"]

from numbers import Integral
from typing import Any

import numpy as np

from ppgm.errors import DataError
from ppgm.ops import Array

NEVER = -1e4
"""Log probability of what cannot be: its exponential is exactly 0 in every float type, and it is
small enough that sums and squares of it stay finite."""

SHOWN = 10
"""Number of labels, and of rows of each, that an error lists."""


def clamped(ppl: Any, log_q: Array, y: Array | None, missing: int) -> Array:
    """Puts known labels into the log probabilities of classes.

    Where the class is known, its log probability is exactly 0, that of the others `NEVER`, and no
    gradient flows to `log_q`.

    Args:
        ppl: The namespace.
        log_q: Log probabilities, ``(*, C)``.
        y: Labels, ``(*)``, or None if there are none.
        missing: The marker of an unknown class.

    Returns:
        Array ``(*, C)``.
    """
    if y is None:
        return log_q
    known = _known(y, missing)[..., None]
    return ppl.np.where(known, NEVER * (1 - one_hot(ppl, y, log_q.shape[-1])), log_q)


def evidence(ppl: Any, value: Array, y: Array, missing: int) -> Array:
    """Returns the log probability that a class `value` has the label `y`: 0 or `NEVER`, ``(*)``.

    Rows without a label have 0. It makes the model's density that of rows with known classes, for
    objectives that look at classes that the guide excludes, and for Markov chains.
    """
    wrong = _known(y, missing) & (value != y)
    return NEVER * ppl.ops.float(wrong)


def one_hot(ppl: Any, y: Array, classes: int) -> Array:
    """Returns classes, integers of any type, as vectors ``(*, C)``; what is no class as zeros."""
    return ppl.ops.float(y[..., None] == ppl.np.arange(classes))


def check_labels(y: Any, classes: int, missing: int) -> None:
    """Checks that labels are classes or the marker, one per row.

    Args:
        y: What was given as data["y"].
        classes: Number of classes.
        missing: The marker of an unknown class.

    Raises:
        DataError: Lists the labels that are neither, with their rows.
    """
    labels = np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)
    wanted = f"integers 0, ..., {classes - 1}, or {missing} where the class is not known"
    if labels.ndim != 1:
        raise DataError(
            f"data['y'] has shape {labels.shape}: expected one label per row, {wanted}; turn "
            "one-hot rows into classes by argmax"
        )
    bad = _strange(labels, classes, missing)
    if len(bad):
        raise DataError(
            f"data['y'] has {len(bad)} labels that are no class: {_listed(labels, bad)}; "
            f"expected {wanted}"
        )


def _known(y: Array, missing: int) -> Array:
    return y != missing


def _strange(labels: np.ndarray, classes: int, missing: int) -> np.ndarray:
    """Returns the rows whose labels are neither a class nor the marker."""
    if labels.dtype.kind in "iuf":
        fine = (labels >= 0) & (labels < classes) & (labels == np.floor(labels))
        return np.flatnonzero(~(fine | (labels == missing)))
    allowed = [*range(classes), missing]
    fine = [_is_integer(label) and label in allowed for label in labels.tolist()]
    return np.flatnonzero(np.logical_not(fine))


def _is_integer(label: Any) -> bool:
    return isinstance(label, Integral) and not isinstance(label, bool)


def _listed(labels: np.ndarray, rows: np.ndarray) -> str:
    """Writes each of the labels with its rows."""
    found: dict[str, list[int]] = {}
    for row in rows.tolist():
        found.setdefault(repr(labels[row : row + 1].tolist()[0]), []).append(row)
    words = [f"{label} ({_rows(where)})" for label, where in list(found.items())[:SHOWN]]
    return ", ".join(words) + (", ..." if len(found) > SHOWN else "")


def _rows(rows: list[int]) -> str:
    shown = ", ".join(map(str, rows[:SHOWN])) + (", ..." if len(rows) > SHOWN else "")
    return f"row {shown}" if len(rows) == 1 else f"rows {shown}"
