r"""Gaussian posteriors whose precision is diagonal plus one direction.

.. math::
    C^{-1} = D + u u^T, \quad
    R = D^{-1/2} - \frac{1}{r (r + 1)} D^{-1} u u^T D^{-1/2}, \quad
    r^2 = 1 + u^T D^{-1} u, \quad R R^T = C

A draw :math:`\mu + R \epsilon` and its density cost as much as those of a diagonal covariance.

References:
    | Stochastic Backpropagation and Approximate Inference in Deep Generative Models (Rezende,
    | Mohamed & Wierstra, 2014), https://arxiv.org/abs/1401.4082, section 4.3
"""

__all__ = ["RankOne", "RankOneNormal"]

from dataclasses import dataclass
from math import log, pi
from typing import Any

from ppgm.distributions import Rng
from ppgm.ops import Array, ops_of


@dataclass(frozen=True)
class RankOneNormal:
    r"""Normal of precision :math:`\mathrm{diag}(s)^{-2} + u u^T`; all fields ``(*, L)``.

    Attributes:
        loc: Mean.
        scale: s, the standard deviations where u = 0.
        direction: u; the variance along :math:`D^{-1} u` shrinks.
    """

    loc: Array
    scale: Array
    direction: Array
    support = "real"
    reparameterised = True
    normalised = True

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """All but the last axis."""
        return tuple(self.loc.shape[:-1])

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The last axis."""
        return tuple(self.loc.shape[-1:])

    @property
    def mean(self) -> Array:
        """The mean."""
        return self.loc

    def sample(self, rng: Rng, shape: tuple[int, ...]) -> Array:
        """Draws by the closed form of the factor R."""
        white = self.scale * rng.normal((*shape, *self.event_shape))
        root = ops_of(self.loc).np.sqrt(self._growth)
        along = (self.direction * white).sum(-1) / (root * (root + 1))
        return self.loc + white - along[..., None] * self.scale**2 * self.direction

    def log_prob(self, value: Array) -> Array:
        """Returns the log density, by the determinant lemma."""
        xp, deviation = ops_of(self.loc).np, value - self.loc
        square = ((deviation / self.scale) ** 2).sum(-1)
        square = square + (self.direction * deviation).sum(-1) ** 2
        log_precision = xp.log(self._growth) - 2 * xp.log(self.scale).sum(-1)
        return (log_precision - square - self.loc.shape[-1] * log(2 * pi)) / 2

    @property
    def _growth(self) -> Array:
        """By how much u multiplies the determinant of the precision, ``(*)``."""
        return 1 + ((self.scale * self.direction) ** 2).sum(-1)


@dataclass(frozen=True)
class RankOne:
    """Gaussian whose precision is diagonal plus one direction; correlated at little cost.

    The context is the means, the log scales of the diagonal part, then the direction.
    """

    def context(self, latent: int) -> int:
        """A mean, a log scale and a component of the direction per coordinate."""
        return 3 * latent

    def __call__(self, ppl: Any, context: Array, latent: int, name: str = "z") -> Any:
        """Returns the Gaussian of event shape ``(latent,)``."""
        loc, log_scale = context[..., :latent], context[..., latent : 2 * latent]
        direction = context[..., 2 * latent :]
        return ppl.distribution(RankOneNormal(loc, ppl.np.exp(log_scale), direction))
