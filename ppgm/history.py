"""The record of a training run: means per epoch, by name."""

__all__ = ["History"]

from collections.abc import Mapping
from typing import Any

import numpy as np

OPEN = "open/"
"""Prefix, in a fit's state, of the steps of an epoch that has begun and not ended."""


class History:
    """Collects metrics of steps into means per epoch.

    Attributes:
        rows: Means of the finished epochs.
        first: Number of epochs of an earlier fit among them.
    """

    def __init__(
        self,
        rows: list[dict[str, float]] | None = None,
        running: dict[str, list[np.ndarray]] | None = None,
    ) -> None:
        self.rows = rows or []
        self.first = len(self.rows)
        self._open = running or {}
        self._base = self.rows[-1]["seconds"] if self.rows else 0.0
        self._seconds = 0.0

    @classmethod
    def of(cls, before: Any, done: int, state: Mapping[str, np.ndarray]) -> "History":
        """Returns the history of a fit to go on from, or an empty one.

        Args:
            before: The fit, or None.
            done: Number of its epochs that are finished and count.
            state: Its state, with the steps of an unfinished epoch; empty to begin a new one.
        """
        if before is None:
            return cls()
        names = list(before.history)
        columns = (before.history[n][:done] for n in names)
        rows = [_row(names, row) for row in zip(*columns, strict=True)]
        running = {n.removeprefix(OPEN): [v] for n, v in state.items() if n.startswith(OPEN)}
        return cls(rows, running)

    @property
    def running(self) -> int:
        """Number of steps of the unfinished epoch."""
        return max((sum(map(len, v)) for v in self._open.values()), default=0)

    def extend(self, log: Mapping[str, np.ndarray], seconds: float) -> None:
        """Adds steps to the running epoch, the last of them done at `seconds`."""
        self._seconds = seconds
        for name, values in log.items():
            if len(values):
                self._open.setdefault(name, []).append(np.asarray(values, float))

    def close(self) -> dict[str, float]:
        """Ends the running epoch and returns its means."""
        means = {name: float(np.concatenate(v).mean()) for name, v in self._open.items()}
        self._open = {}
        return means

    def add(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Adds a finished epoch; seconds go on from the last one of an earlier fit."""
        self.rows.append({"epoch": epoch, "seconds": self._seconds + self._base, **metrics})

    def is_best(self, name: str) -> bool:
        """Returns whether the last epoch has the highest value of this fit so far."""
        values = [row[name] for row in self.rows[self.first :]]
        return not np.isnan(values[-1]) and values[-1] >= np.nanmax(values)

    def stale(self, name: str, min_delta: float) -> int:
        """Returns the number of epochs of this fit since the metric last rose by `min_delta`."""
        best, age = -np.inf, 0
        for row in self.rows[self.first :]:
            age = 0 if row[name] > best + min_delta else age + 1
            best = np.fmax(best, row[name])
        return age

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns one array per metric, NaN where an epoch has none.

        The steps of an epoch that has not ended make a last entry.
        """
        rows = list(self.rows)
        if self._open:
            open_rows = History(running=dict(self._open)).close()
            epoch = rows[-1]["epoch"] + 1 if rows else 1
            rows.append({"epoch": epoch, "seconds": self._seconds + self._base, **open_rows})
        names = list(dict.fromkeys(n for row in rows for n in row))
        columns = {n: np.array([row.get(n, np.nan) for row in rows]) for n in names}
        if "epoch" in columns:
            columns["epoch"] = columns["epoch"].astype(int)
        return columns

    def export(self) -> dict[str, np.ndarray]:
        """Returns the steps of the unfinished epoch, for a fit that goes on from here."""
        return {OPEN + name: np.concatenate(v) for name, v in self._open.items()}


def _row(names: list[str], values: tuple[Any, ...]) -> dict[str, float]:
    """Returns an epoch's entries; NaN stands for what it did not have."""
    pairs = zip(names, values, strict=True)
    return {n: v for n, v in pairs if n in ("epoch", "seconds") or not np.isnan(v)}
