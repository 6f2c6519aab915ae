r"""Posteriors that are mixtures of Gaussians with independent coordinates.

.. math::
    q(z | x) = \sum_{k=1}^K \pi_k(x) N(z; \mu_k(x), \mathrm{diag}(\sigma_k^2(x)))

The log density sums over all components, whichever one a draw came from. A draw chooses one, and
so has no derivative in the weights: it is not reparameterised, and its site gets score-function
terms. Objectives made for such draws suit it best: VIMCO, RLOO, RWS, ELBO with several particles.

References:
    | Approximating posterior distributions in belief networks using mixtures (Bishop, Lawrence,
    | Jaakkola & Jordan, 1997)
    | https://papers.nips.cc/paper/1392
"""

__all__ = ["DiagonalMixture", "Mixture"]

from dataclasses import dataclass
from math import log, pi
from typing import Any

import numpy as np

from ppgm.distributions import Rng
from ppgm.domains import check_size
from ppgm.ops import Array, ops_of


@dataclass(frozen=True)
class DiagonalMixture:
    """Mixture of K Gaussians with independent coordinates.

    Attributes:
        logits: Of the weights, ``(*, K)``.
        loc: Means, ``(*, K, D)``.
        scale: Standard deviations, likewise.
    """

    logits: Array
    loc: Array
    scale: Array
    support = "real"
    reparameterised = False
    normalised = True

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """All but the last two axes of the means."""
        return tuple(self.loc.shape[:-2])

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The last axis of the means."""
        return tuple(self.loc.shape[-1:])

    @property
    def mean(self) -> Array:
        """The mean of all components."""
        return (ops_of(self.loc).softmax(self.logits, -1)[..., None] * self.loc).sum(-2)

    def log_prob(self, value: Array) -> Array:
        """Returns the log density of vectors ``(*, D)``, shape ``(*)``."""
        ops = ops_of(self.loc)
        square = (((value[..., None, :] - self.loc) / self.scale) ** 2).sum(-1)
        log_det = ops.np.log(self.scale).sum(-1) + self.loc.shape[-1] * log(2 * pi) / 2
        return ops.logsumexp(ops.log_softmax(self.logits, -1) - log_det - square / 2, -1)

    def sample(self, rng: Rng, shape: tuple[int, ...]) -> Array:
        """Draws a component, the winner of a race, then from it."""
        ops, components = ops_of(self.loc), self.logits.shape[-1]
        race = self.logits - ops.np.log(-ops.np.log(rng.uniform((*shape, components))))
        chosen = ops.one_hot(ops.np.argmax(race, axis=-1), components)[..., None]
        loc, scale = (chosen * self.loc).sum(-2), (chosen * self.scale).sum(-2)
        return loc + scale * rng.normal((*shape, *self.event_shape))


@dataclass(frozen=True)
class Mixture:
    """Mixture of diagonal Gaussians; draws are not reparameterised.

    The context is the means of all components, their log scales, then the logits of the weights.

    Args:
        components: Number of components K.
    """

    components: int = 2

    def __post_init__(self) -> None:
        check_size(self, "components")

    def context(self, latent: int) -> int:
        """For each component a mean and a log scale per coordinate, and a logit."""
        return self.components * (2 * latent + 1)

    def start(self, latent: int, scale: float, rng: np.random.Generator) -> np.ndarray:
        """Returns a context to start from without an encoder: means apart, even weights.

        Args:
            latent: Number of coordinates.
            scale: Standard deviation of the components.
            rng: Draws the means, as far apart as they are wide.
        """
        size = self.components * latent
        means, log_scales = scale * rng.normal(size=size), np.full(size, log(scale))
        return np.concatenate([means, log_scales, np.zeros(self.components)])

    def __call__(self, ppl: Any, context: Array, latent: int, name: str = "z") -> Any:
        """Returns the mixture, of event shape ``(latent,)``."""
        size, shape = self.components * latent, (*context.shape[:-1], self.components, latent)
        loc = context[..., :size].reshape(shape)
        scale = ppl.np.exp(context[..., size : 2 * size].reshape(shape))
        return ppl.distribution(DiagonalMixture(context[..., 2 * size :], loc, scale))
