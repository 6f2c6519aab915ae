r"""Autoencoders: a code by a network, and a row from the code.

.. math::
    c_n = g_\phi(\tilde x_n), \quad x_n \sim p(x | f_\theta(c_n))

with :math:`\tilde x = x`, or a corrupted copy of x that the model has to mend (denoising). There
is no distribution of the code, so there is no density of x and no bound on one: the objective is
`Reconstruction`, the likelihood of a row given its own code, and it says so in its name. The
program is a model without a guide whose observed site is scored; corruption is a draw of the
model.

References:
    | Reducing the Dimensionality of Data with Neural Networks (Hinton & Salakhutdinov, 2006)
    | https://doi.org/10.1126/science.1127647
    | Extracting and Composing Robust Features with Denoising Autoencoders (Vincent et al., 2008)
    | https://doi.org/10.1145/1390156.1390294
"""

__all__ = ["Autoencoder", "DenoisingAutoencoder"]

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ppgm.domains import check_number, check_size, check_widths
from ppgm.errors import ArgumentError
from ppgm.models.checks import check_network
from ppgm.models.likelihoods import Bernoulli, Likelihood
from ppgm.models.parts import check_part
from ppgm.models.vae import LIKELIHOODS
from ppgm.nets import MLP, Network
from ppgm.ops import Array


@dataclass(frozen=True)
class Autoencoder:
    """Autoencoder of rows ``(N, features)``; sites "code" (deterministic) and "x".

    Train it by `Reconstruction`. Convolutional networks go in as `encoder` and `decoder`.

    Args:
        features: Number of columns of the data.
        latent: Number of coordinates of the code.
        hidden: Widths of the decoder's hidden layers; the encoder has them in reverse.
        likelihood: Distribution of a row given the decoder's outputs.
        decoder: Network in place of the MLP, from `latent` to the likelihood's size.
        encoder: Network in place of the MLP, from `features` to `latent`.
    """

    broadcasts = True

    features: int
    latent: int = 20
    hidden: tuple[int, ...] = (200, 200)
    likelihood: Likelihood = Bernoulli()
    decoder: Network | None = None
    encoder: Network | None = None

    def __post_init__(self) -> None:
        check_size(self, "features", "latent")
        check_widths(self, "hidden")
        check_part("likelihood", self.likelihood, "size", LIKELIHOODS)
        check_network("decoder", self.decoder, self.latent, self.likelihood.size(self.features))
        check_network("encoder", self.encoder, self.features, self.latent)

    def model(self, ppl: Any, x: Array) -> None:
        """Encodes x, corrupted or not, and draws it again from its code."""
        size = self.likelihood.size(self.features)
        down = self.encoder or MLP(self.features, self.hidden[::-1], self.latent)
        up = self.decoder or MLP(self.latent, self.hidden, size)
        encode, decode = ppl.module("encoder", down), ppl.module("decoder", up)
        with ppl.plate("data", x):
            code = ppl.deterministic("code", encode(self.corrupted(ppl, ppl.ops.float(x))))
            ppl.sample("x", self.likelihood(ppl, decode(code)), obs=x)

    def corrupted(self, ppl: Any, x: Array) -> Array:
        """Returns what the encoder sees: x itself."""
        return x


@dataclass(frozen=True)
class DenoisingAutoencoder(Autoencoder):
    """Autoencoder whose encoder sees a corrupted row; further site "noise".

    An `Autoencoder` of the same networks takes its parameters, to encode clean rows.

    Args:
        features: As of `Autoencoder`, like the other fields but these two.
        corruption: "masking" sets columns to 0, "gaussian" adds noise.
        level: Probability that a column is set to 0, or standard deviation of the noise.
    """

    corruption: Literal["masking", "gaussian"] = "masking"
    level: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.corruption not in ("masking", "gaussian"):
            raise ArgumentError(
                f"corruption must be 'masking' or 'gaussian', not {self.corruption!r}"
            )
        if self.corruption == "masking":
            check_number(self, "level", above=0.0, below=1.0)
        else:
            check_number(self, "level", above=0.0)

    def corrupted(self, ppl: Any, x: Array) -> Array:
        """Returns x with columns at 0, or with noise."""
        zeros = ppl.np.zeros(self.features)
        if self.corruption == "gaussian":
            noise = ppl.distributions.Normal(zeros, ppl.np.ones_like(zeros)).to_event(1)
            return x + self.level * ppl.sample("noise", noise)
        logit = float(np.log(self.level) - np.log1p(-self.level))
        dropped = ppl.distributions.Bernoulli(logits=zeros + logit).to_event(1)
        return x * (1 - ppl.ops.float(ppl.sample("noise", dropped)))
