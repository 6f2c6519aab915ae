r"""Data of every step of a sequence given the states, some of which were not seen.

.. math:: \log p(x | o) = \sum_t \sum_{d \text{ seen at } t} \log p(x_{td} | o_t)

What was not seen adds nothing, whatever number stands in its place: it is replaced before the
density is taken, so that it reaches neither values nor gradients.
"""

__all__ = ["EmittedSteps"]

from dataclasses import dataclass
from typing import Any

import numpy as np

from ppgm.errors import ModelError
from ppgm.ops import Array, ops_of


@dataclass(frozen=True)
class EmittedSteps:
    """Independent steps of a host's distribution, events ``(T, D)``.

    Attributes:
        fn: The host's distribution of a step, batch ``(*, T)`` and event ``(D,)``, as a likelihood
            of `ppgm.models` makes it.
        seen: Booleans ``(*, T, D)``, or ``(*, T, 1)`` where all entries of a step were seen or
            none; None for all.
        support: Support of an entry; see `ppgm.distributions.Portable`.
    """

    fn: Any
    seen: Array | None = None
    support: str = "real"
    normalised = True

    @property
    def reparameterised(self) -> bool:
        """Whether the host's draws carry gradients."""
        return bool(self.fn.has_rsample)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The axes before those of one draw."""
        seen = () if self.seen is None else tuple(self.seen.shape[:-1])
        return np.broadcast_shapes(tuple(self.fn.batch_shape), seen)[:-1]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Time and columns, ``(T, D)``."""
        return (*self.fn.batch_shape[-1:], *self.fn.event_shape)

    def sample(self, rng: Any, shape: tuple[int, ...]) -> Array:
        """Draws whole sequences by the host, what was not seen of them too."""
        return rng.draw(self.fn, (*shape, *self.fn.batch_shape[-1:]))

    def log_prob(self, value: Array) -> Array:
        """Returns the log density of what was seen of sequences ``(*, T, D)``, shape ``(*)``."""
        return self.steps(value).sum(-1)

    def steps(self, value: Array) -> Array:
        """Returns the log densities of the steps of ``(*, T, D)``, shape ``(*, T)``."""
        if self.seen is None:
            return self.fn.log_prob(value)
        xp = ops_of(self.seen).np
        value = xp.where(self.seen, value, xp.zeros_like(value))
        if self.seen.shape[-1] == 1:
            terms, seen = self.fn.log_prob(value), self.seen[..., 0]
            return xp.where(seen, terms, xp.zeros_like(terms))
        terms = self._entries.log_prob(value)
        return xp.where(self.seen, terms, xp.zeros_like(terms)).sum(-1)

    @property
    def _entries(self) -> Any:
        """The host's distribution with the columns as a batch axis."""
        inner = getattr(self.fn, "base_dist", None)
        if inner is None or tuple(inner.event_shape):
            raise ModelError(
                f"single entries are missing, and {type(self.fn).__name__} has no density of a "
                "column alone: use a likelihood of independent columns, such as Bernoulli(), Gaussian() "
                "or Poisson(), or mask whole steps"
            )
        return inner
