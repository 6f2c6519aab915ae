r"""Normal distributions as functions of noise: independent coordinates, or a triangular factor.

.. math:: z = \mu + R \epsilon, \quad \epsilon \sim N(0, I), \quad
    \log p(z) = \log N(\epsilon; 0, I) - \log |\det R|
"""

__all__ = ["DiagonalNormal", "TriangularNormal", "log_standard"]

from dataclasses import dataclass
from math import log, pi

import numpy as np

from ppgm.distributions import Rng
from ppgm.ops import Array, ops_of


def log_standard(noise: Array) -> Array:
    """Returns log N(noise; 0, I) of vectors ``(*, D)``, shape ``(*)``."""
    return -0.5 * (noise * noise).sum(-1) - 0.5 * log(2 * pi) * noise.shape[-1]


@dataclass(frozen=True)
class DiagonalNormal:
    """Normal with independent coordinates.

    Attributes:
        loc: Means, ``(*, D)``.
        scale: Standard deviations, likewise; or fewer axes, such as ``(D,)`` for all.
    """

    loc: Array
    scale: Array
    support = "real"
    reparameterised = True
    normalised = True

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """All but the last axis."""
        return np.broadcast_shapes(tuple(self.loc.shape), tuple(self.scale.shape))[:-1]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The last axis."""
        return tuple(self.loc.shape[-1:])

    @property
    def mean(self) -> Array:
        """The means."""
        return self.loc

    def sample(self, rng: Rng, shape: tuple[int, ...]) -> Array:
        """Draws from noise of the source."""
        return self.push(rng.normal((*shape, *self.event_shape)))[0]

    def push(self, noise: Array) -> tuple[Array, Array]:
        """Returns draws at noise ``(*, D)`` and their log densities ``(*)``."""
        log_scale = ops_of(noise).np.log(self.scale)
        return self.loc + self.scale * noise, log_standard(noise) - log_scale.sum(-1)

    def log_prob(self, value: Array) -> Array:
        """Returns the log density, ``(*)``."""
        log_scale = ops_of(value).np.log(self.scale)
        return log_standard((value - self.loc) / self.scale) - log_scale.sum(-1)


@dataclass(frozen=True)
class TriangularNormal:
    """Normal whose covariance is given by a factor.

    Attributes:
        loc: Means, ``(*, D)``.
        root: Lower triangular factors R of the covariance R R', with a positive diagonal,
            ``(*, D, D)``; or fewer axes, such as ``(D, D)`` for all.
    """

    loc: Array
    root: Array
    support = "real"
    reparameterised = True
    normalised = True

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The axes before those of one draw."""
        batch, roots = tuple(self.loc.shape[:-1]), tuple(self.root.shape[:-2])
        return np.broadcast_shapes(batch, roots)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The last axis."""
        return tuple(self.loc.shape[-1:])

    @property
    def mean(self) -> Array:
        """The means."""
        return self.loc

    def sample(self, rng: Rng, shape: tuple[int, ...]) -> Array:
        """Draws from noise of the source."""
        return self.push(rng.normal((*shape, *self.event_shape)))[0]

    def push(self, noise: Array) -> tuple[Array, Array]:
        """Returns draws at noise ``(*, D)`` and their log densities ``(*)``."""
        value = self.loc + (self.root @ noise[..., None])[..., 0]
        return value, log_standard(noise) - self._log_det()

    def log_prob(self, value: Array) -> Array:
        """Returns the log density, ``(*)``."""
        deviation = (value - self.loc)[..., None]
        noise = ops_of(value).np.linalg.solve(self.root, deviation)[..., 0]
        return log_standard(noise) - self._log_det()

    def _log_det(self) -> Array:
        xp = ops_of(self.root).np
        return xp.log(xp.linalg.diagonal(self.root)).sum(-1)
