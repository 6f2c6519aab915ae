r"""Distributions of what an invertible map makes of noise.

.. math:: y = f(x), \quad x \sim p, \quad
    \log q(y) = \log p(x) - \log |\det \partial f / \partial x|

References:
    | Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015),
    | https://arxiv.org/abs/1505.05770
"""

__all__ = ["Flow"]

from dataclasses import dataclass

from ppgm.distributions import Pushed, Rng
from ppgm.ops import Array
from ppgm.transforms.transform import Transform


@dataclass(frozen=True)
class Flow:
    """A base distribution of vectors, pushed through a map.

    Draws, and their density, need the map alone; the density of other values needs its inverse.

    Attributes:
        base: Distribution of vectors ``(D,)``; its batch shape is that of the flow, so the
            map's parameters broadcast against it.
        transform: The map f.
        mean: The mean of y, where it is known.
    """

    base: Pushed
    transform: Transform
    mean: Array | None = None
    support = "real"
    reparameterised = True
    normalised = True

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """That of the base."""
        return self.base.batch_shape

    @property
    def event_shape(self) -> tuple[int, ...]:
        """That of the base, ``(D,)``."""
        return self.base.event_shape

    def sample(self, rng: Rng, shape: tuple[int, ...]) -> Array:
        """Draws from noise of the source."""
        return self.push(rng.normal((*shape, *self.event_shape)))[0]

    def push(self, noise: Array) -> tuple[Array, Array]:
        """Returns draws at noise ``(*, D)`` and their log densities ``(*)``."""
        x, log_p = self.base.push(noise)
        y, log_det = self.transform.forward(x)
        return y, log_p - log_det

    def log_prob(self, value: Array) -> Array:
        """Returns the log density of vectors ``(*, D)``, shape ``(*)``."""
        x, log_det = self.transform.inverse(value)
        return self.base.log_prob(x) + log_det
