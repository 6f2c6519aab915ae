"""The record of a training run: means per epoch, by name."""

__all__ = ["History"]

from typing import Any

import numpy as np


class History:
    """Collects metrics of steps into means per epoch."""

    def __init__(self, rows: list[dict[str, float]] | None = None) -> None:
        self.rows = rows or []
        self._open: dict[str, list[np.ndarray]] = {}
        self._base = self.rows[-1]["seconds"] if self.rows else 0.0

    @classmethod
    def of(cls, before: Any, done: int) -> "History":
        """Returns the history of a fit to go on from, or an empty one."""
        if before is None or not done:
            return cls()
        names = list(before.history)
        columns = (before.history[n] for n in names)
        return cls([dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])

    def extend(self, log: dict[str, np.ndarray]) -> None:
        """Adds steps to the running epoch."""
        for name, values in log.items():
            self._open.setdefault(name, []).append(np.asarray(values, float))

    def close(self) -> dict[str, float]:
        """Ends the running epoch and returns its means."""
        means = {name: float(np.concatenate(v).mean()) for name, v in self._open.items()}
        self._open = {}
        return means

    def drop_open(self) -> None:
        """Forgets the steps of the running epoch."""
        self._open = {}

    def add(self, epoch: int, seconds: float, metrics: dict[str, float]) -> None:
        """Adds a finished epoch; seconds go on from the last one of an earlier fit."""
        self.rows.append({"epoch": epoch, "seconds": seconds + self._base, **metrics})

    def is_best(self, name: str, epoch: int) -> bool:
        """Returns whether the last epoch has the highest value of a metric so far."""
        values = [row[name] for row in self.rows if name in row]
        return bool(values) and self.rows[-1]["epoch"] == epoch and values[-1] >= max(values)

    def stale(self, name: str, min_delta: float) -> int:
        """Returns the number of epochs since the metric last rose by `min_delta`."""
        best, age = -np.inf, 0
        for row in self.rows:
            age = 0 if row.get(name, -np.inf) > best + min_delta else age + 1
            best = max(best, row.get(name, -np.inf))
        return age

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns one array per metric, NaN where an epoch has none."""
        names = list(dict.fromkeys(n for row in self.rows for n in row))
        columns = {n: np.array([row.get(n, np.nan) for row in self.rows]) for n in names}
        if "epoch" in columns:
            columns["epoch"] = columns["epoch"].astype(int)
        return columns
