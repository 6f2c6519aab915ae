r"""Gaussian posteriors with independent coordinates.

.. math:: q(z | x) = N(\mu(x), \mathrm{diag}(\sigma^2(x))), \quad (\mu, \log \sigma) = c(x)
"""

__all__ = ["FAMILIES", "Family", "Gaussian"]

from dataclasses import dataclass
from typing import Any, Protocol

from ppgm.ops import Array

FAMILIES = (
    "Gaussian",
    "RankOne",
    "LowRank",
    "FullRank",
    "Householder",
    "Planar",
    "Radial",
    "Sylvester",
    "IAF",
    "Coupling",
    "Spline",
    "Mixture",
)
"""Names of the families that ppgm has."""


class Family(Protocol):
    """A family of posteriors, indexed by an encoder's output."""

    def context(self, latent: int) -> int:
        """Returns the number of outputs that `latent` coordinates need."""
        ...

    def __call__(self, ppl: Any, context: Array, latent: int, name: str = "z") -> Any:
        """Returns the host's distribution of event shape ``(latent,)``.

        Args:
            ppl: The namespace.
            context: Outputs of the encoder, ``(*, context)``.
            latent: Number of coordinates.
            name: The site; networks of the family's own are named after it.
        """
        ...


@dataclass(frozen=True)
class Gaussian:
    """Diagonal Gaussian; the context is the means, then the log scales."""

    def context(self, latent: int) -> int:
        """A mean and a log scale per coordinate."""
        return 2 * latent

    def __call__(self, ppl: Any, context: Array, latent: int, name: str = "z") -> Any:
        """Returns N(mu, diag(sigma^2)) of event shape ``(latent,)``."""
        loc, log_scale = context[..., :latent], context[..., latent:]
        return ppl.distributions.Normal(loc, ppl.np.exp(log_scale)).to_event(1)
