r"""Variational autoencoder.

.. math::
    z_n \sim N(0, I_L), \quad x_n | z_n \sim p(x | f_\theta(z_n)), \quad
    q(z_n | x_n) = N(\mu_\phi(x_n), \mathrm{diag}(\sigma_\phi^2(x_n)))

References:
    | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), https://arxiv.org/abs/1312.6114
"""

__all__ = ["VAE"]

from dataclasses import dataclass
from typing import Any

from ppgm.distributions import standard_normal
from ppgm.domains import check_size, check_widths
from ppgm.errors import ArgumentError
from ppgm.guides.gaussian import FAMILIES, Family, Gaussian
from ppgm.models.likelihoods import Bernoulli, Likelihood
from ppgm.models.parts import check_part
from ppgm.nets import MLP, Network
from ppgm.ops import Array

LIKELIHOODS = (
    "Bernoulli",
    "ContinuousBernoulli",
    "Gaussian",
    "Categorical",
    "Poisson",
    "NegativeBinomial",
    "DiscretisedLogistic",
)


@dataclass(frozen=True)
class VAE:
    """Variational autoencoder of rows ``(N, features)``; sites "z" ``(latent,)`` and "x".

    Args:
        features: Number of columns of the data.
        latent: Number of latent coordinates L.
        hidden: Widths of the decoder's hidden layers; the encoder has them in reverse.
        likelihood: Distribution of a row given the decoder's outputs.
        posterior: Family of the guide: one of `ppgm.guides`.
        decoder: Network to use in place of the MLP, from `latent` to the likelihood's size.
        encoder: Network to use in place of the MLP, from `features` to the posterior's context.
    """

    broadcasts = True

    features: int
    latent: int = 20
    hidden: tuple[int, ...] = (200, 200)
    likelihood: Likelihood = Bernoulli()
    posterior: Family = Gaussian()
    decoder: Network | None = None
    encoder: Network | None = None

    def __post_init__(self) -> None:
        check_size(self, "features", "latent")
        check_widths(self, "hidden")
        check_part("likelihood", self.likelihood, "size", LIKELIHOODS)
        check_part("posterior", self.posterior, "context", FAMILIES)
        self._check("decoder", self.latent, self.likelihood.size(self.features))
        self._check("encoder", self.features, self.posterior.context(self.latent))

    def model(self, ppl: Any, x: Array | None = None) -> None:
        """Draws z from the prior and x from the decoder's likelihood."""
        size = self.likelihood.size(self.features)
        decode = ppl.module("decoder", self.decoder or MLP(self.latent, self.hidden, size))
        with ppl.plate("data", x):
            z = ppl.sample("z", standard_normal(ppl, self.latent))
            ppl.sample("x", self.likelihood(ppl, decode(z)), obs=x)

    def guide(self, ppl: Any, x: Array) -> None:
        """Draws z from the encoder's posterior."""
        size = self.posterior.context(self.latent)
        spec = self.encoder or MLP(self.features, self.hidden[::-1], size)
        encode = ppl.module("encoder", spec)
        with ppl.plate("data", x):
            context = encode(ppl.ops.float(x))
            ppl.sample("z", self.posterior(ppl, context, self.latent))

    def _check(self, name: str, inputs: int, outputs: int) -> None:
        net = getattr(self, name)
        if net is not None and (net.inputs, net.outputs) != (inputs, outputs):
            raise ArgumentError(
                f"{name} must map {inputs} numbers to {outputs}; it maps {net.inputs} to "
                f"{net.outputs}"
            )
