r"""Data of every step of a sequence given the states, some of which were not seen.

.. math:: \log p(x | o) = \sum_t \sum_{d \text{ seen at } t} \log p(x_{td} | o_t)

What was not seen adds nothing, whatever number stands in its place: it is replaced before the
density is taken, so that it reaches neither values nor gradients.
"""

__all__ = ["EmittedSteps"]

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppgm.distributions_entries import log_seen
from ppgm.ops import Array, ops_of

DISCRETE = ("boolean", "nonnegative_integer")


@dataclass(frozen=True)
class EmittedSteps:
    """Independent steps of a host's distribution, events ``(T, D)``.

    Attributes:
        emit: From states ``(*, L)`` to the host's distribution of a step, batch ``(*)`` and event
            ``(D,)``.
        states: The states, ``(*, T, L)``.
        features: Number of columns D.
        seen: Booleans ``(*, T, D)``, or ``(*, T, 1)`` where all entries of a step were seen or
            none; None for all.
        support: Support of an entry; see `ppgm.distributions.Portable`.
    """

    emit: Callable[[Array], Any]
    states: Array
    features: int
    seen: Array | None = None
    support: str = "real"
    normalised = True

    @property
    def reparameterised(self) -> bool:
        """Whether draws carry gradients: where they are no counts or bits."""
        return self.support not in DISCRETE

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The axes before those of one draw."""
        seen = () if self.seen is None else tuple(self.seen.shape[:-2])
        return np.broadcast_shapes(tuple(self.states.shape[:-2]), seen)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Time and columns, ``(T, D)``."""
        return (int(self.states.shape[-2]), self.features)

    def sample(self, rng: Any, shape: tuple[int, ...]) -> Array:
        """Draws whole sequences by the host, what was not seen of them too."""
        return rng.draw(self.emit(self.states), (*shape, *self.event_shape[:1]))

    def log_prob(self, value: Array) -> Array:
        """Returns the log density of what was seen of sequences ``(*, T, D)``, shape ``(*)``."""
        return self.steps(value).sum(-1)

    def steps(self, value: Array) -> Array:
        """Returns the log densities of the steps of ``(*, T, D)``, shape ``(*, T)``."""
        ops = ops_of(self.states)
        if self.seen is None or ops.chosen is None:
            return log_seen(self.emit(self.states), value, self.seen)
        whole = self.seen.shape[-1] == 1
        chosen = ops.chosen(self.seen[..., 0] if whole else ops.np.any(self.seen, axis=-1))
        states, value = chosen.take(self.states), chosen.take(value)
        if chosen.none:  # torch's distributions do not take an empty batch
            return chosen.put(states.sum(-1))
        if whole:
            return chosen.put(self.emit(states).log_prob(value))
        return chosen.put(log_seen(self.emit(states), value, chosen.take(self.seen)))
