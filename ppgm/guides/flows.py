r"""Posteriors that are flows: what all families of them share.

.. math::
    z_0 \sim N(\mu(x), \mathrm{diag}(\sigma^2(x))), \quad z = f(z_0; c(x)), \quad
    \log q(z | x) = \log q(z_0 | x) - \log |\det \partial f / \partial z_0|

The context is the means, the log scales, then what the map takes. Every family starts near the
identity, so that training starts from the Gaussian guide. A draw comes with its density; the
density of any other value needs the inverse of f, and so does that of a draw which an objective
has cut from its parameters (STL, DReG, RWS).

References:
    | Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015),
    | https://arxiv.org/abs/1505.05770
"""

__all__ = ["DAMPING", "AbstractFlow"]

from abc import ABC, abstractmethod
from typing import Any

from ppgm.distributions_normal import DiagonalNormal
from ppgm.ops import Array
from ppgm.transforms import Flow, Transform

DAMPING = 0.1
"""What the encoder's outputs are multiplied by where a map's strength depends on them."""


class AbstractFlow(ABC):
    """A family of flows on top of the diagonal Gaussian.

    Attributes:
        has_mean: Whether the mean is known in closed form, as `ppgm.models.M1` needs it.
    """

    has_mean = False

    @abstractmethod
    def extra(self, latent: int) -> int:
        """Returns how many outputs of the encoder the map takes."""

    @abstractmethod
    def transform(self, ppl: Any, context: Array, latent: int, name: str) -> Transform:
        """Returns the map from the Gaussian to the posterior.

        Args:
            ppl: The namespace.
            context: The map's part of the encoder's outputs, ``(*, extra)``.
            latent: Number of coordinates.
            name: The site; networks of the family's own are named after it.
        """

    def context(self, latent: int) -> int:
        """A mean and a log scale per coordinate, and what the map takes."""
        return 2 * latent + self.extra(latent)

    def __call__(self, ppl: Any, context: Array, latent: int, name: str = "z") -> Any:
        """Returns the flow, of event shape ``(latent,)``."""
        loc, log_scale = context[..., :latent], context[..., latent : 2 * latent]
        base = DiagonalNormal(loc, ppl.np.exp(log_scale))
        transform = self.transform(ppl, context[..., 2 * latent :], latent, name)
        return ppl.distribution(Flow(base, transform))
