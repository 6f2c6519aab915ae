r"""VAE whose prior is a mixture of its own posteriors at learnt pseudo-inputs (VampPrior).

.. math::
    p(z) = \frac{1}{C} \sum_{c=1}^C q_\phi(z | u_c), \quad
    x_n | z_n \sim p(x | f_\theta(z_n)), \quad q_\phi(z_n | x_n)

The pseudo-inputs u and the encoder are parameters of the prior too, so that the ELBO trains the
encoder from both sides.

References:
    | VAE with a VampPrior (Tomczak & Welling, 2018), https://arxiv.org/abs/1705.07120
"""

__all__ = ["VampVAE"]

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ppgm.domains import check_size
from ppgm.errors import ArgumentError
from ppgm.models.vae import VAE
from ppgm.nets import MLP
from ppgm.ops import Array


@dataclass(frozen=True)
class VampVAE(VAE):
    """VAE with a VampPrior; fields as of `VAE`, further parameter "pseudo_inputs".

    Args:
        features: As of `VAE`, like the other fields but these two.
        components: Number C of pseudo-inputs.
        domain: Where pseudo-inputs lie: "unit_interval" for bits and intensities, or "real".
    """

    components: int = 50
    domain: Literal["unit_interval", "real"] = "unit_interval"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size(self, "components")
        if self.domain not in ("unit_interval", "real"):
            raise ArgumentError(f"domain must be 'unit_interval' or 'real', not {self.domain!r}")

    def model(self, ppl: Any, x: Array | None = None) -> None:
        """Draws z from the mixture and x from the decoder's likelihood."""
        size = self.likelihood.size(self.features)
        decode = ppl.module("decoder", self.decoder or MLP(self.latent, self.hidden, size))
        context = self.posterior.context(self.latent)
        spec = self.encoder or MLP(self.features, self.hidden[::-1], context)
        encode = ppl.module("encoder", spec)
        inputs = ppl.param("pseudo_inputs", lambda: self._start(ppl.seed), self.domain)
        parts = self.posterior(ppl, encode(inputs), self.latent)
        shares = ppl.distributions.Categorical(logits=ppl.np.zeros(self.components))
        with ppl.plate("data", x):
            z = ppl.sample("z", ppl.distributions.MixtureSameFamily(shares, parts))
            ppl.sample("x", self.likelihood(ppl, decode(z)), obs=x)

    def _start(self, seed: int) -> np.ndarray:
        rng = np.random.default_rng([seed, self.components])
        shape = (self.components, self.features)
        return rng.normal(size=shape) if self.domain == "real" else rng.uniform(0.05, 0.95, shape)
