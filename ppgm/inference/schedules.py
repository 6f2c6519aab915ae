"""Schedules: numbers that follow the step of the optimiser."""

__all__ = ["Anneal", "has_schedule"]

from dataclasses import dataclass
from typing import Any

from ppgm.domains import check_number
from ppgm.inference.counts import set_count
from ppgm.ops import Array


@dataclass(frozen=True)
class Anneal:
    """A weight that goes linearly from `start` to `stop` over the first `steps` steps."""

    start: float = 0.0
    stop: float = 1.0
    steps: int = 1000

    def __post_init__(self) -> None:
        check_number(self, "start")
        check_number(self, "stop")
        set_count(self, "steps")

    def __call__(self, step: Array) -> Array:
        """Returns the weight at a step, an array of integers."""
        return self.start + (self.stop - self.start) * (step / self.steps).clip(0.0, 1.0)


def has_schedule(value: Any) -> bool:
    """Tells whether a field of an objective, or of an estimator, is a schedule."""
    return any(isinstance(field, Anneal) for field in getattr(value, "__dict__", {}).values())
