r"""Semi-supervised VAE with two layers of latents, the class between them (M1 + M2).

.. math::
    y_n \sim \mathrm{Cat}(\pi), \quad z_{2n} \sim N(0, I), \quad
    z_{1n} | y_n, z_{2n} \sim N(\mu_\theta, \mathrm{diag}(\sigma^2_\theta)), \quad
    x_n | z_{1n} \sim p(x | f_\theta(z_{1n})) \\
    q(z_1, y, z_2 | x) = q(z_1 | x) \, q(y | z_1) \, q(z_2 | z_1, y)

The paper trains it in two steps, `M1` and then `M2` on draws of its code. Here all of it is one
program; for the two steps fit both, the second on ``features(fit, data)`` of the first.

References:
    | Semi-Supervised Learning with Deep Generative Models (Kingma, Rezende, Mohamed & Welling,
    | 2014), section 2.3, https://arxiv.org/abs/1406.5298
"""

__all__ = ["M1M2"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ppgm.distributions import standard_normal
from ppgm.domains import check_size, check_widths
from ppgm.guides.gaussian import FAMILIES, Family, Gaussian
from ppgm.models.checks import check_classes, check_network
from ppgm.models.labels import check_labels, clamped, evidence, one_hot
from ppgm.models.likelihoods import Bernoulli, Likelihood
from ppgm.models.m2 import class_prior
from ppgm.models.parts import applied, check_part
from ppgm.models.vae import LIKELIHOODS
from ppgm.nets import MLP, Network
from ppgm.ops import Array


@dataclass(frozen=True)
class M1M2:
    """Two-layer semi-supervised VAE: class "y" and style "z2" behind a code "z1" of each "x".

    Data are as of `M2`: ``x`` ``(N, features)`` and labels ``y`` ``(N,)`` with a marker. Site
    "y_logits" of the guide has log q(y | z1), so the classification loss is an expectation over
    the code.

    Args:
        features: Number of columns of the data.
        classes: Number of classes C.
        latent: Number of coordinates of the code z1.
        style: Number of coordinates of z2.
        hidden: Widths of the hidden layers of every network.
        likelihood: Distribution of a row given the decoder's outputs.
        posterior: Family of q(z1 | x) and q(z2 | z1, y).
        prior: Class probabilities of the model, "uniform" or "learnt".
        missing: The label of rows without one.
        decoder: Network in place of the MLP, from z1 to the likelihood's size.
        encoder: Network in place of the MLP, from x to the posterior's context.
    """

    broadcasts = True

    features: int
    classes: int = 10
    latent: int = 50
    style: int = 50
    hidden: tuple[int, ...] = (500,)
    likelihood: Likelihood = Bernoulli()
    posterior: Family = Gaussian()
    prior: Literal["uniform", "learnt"] = "uniform"
    missing: int = -1
    decoder: Network | None = None
    encoder: Network | None = None

    def __post_init__(self) -> None:
        check_size(self, "features", "latent", "style")
        check_widths(self, "hidden")
        check_classes(self)
        check_part("likelihood", self.likelihood, "size", LIKELIHOODS)
        check_part("posterior", self.posterior, "context", FAMILIES)
        for name in ("decoder", "encoder"):
            check_network(name, getattr(self, name), *self._sizes()[name])

    def check_data(self, data: Mapping[str, Any]) -> None:
        """Refuses labels that are neither a class nor the marker."""
        if data.get("y") is not None:
            check_labels(data["y"], self.classes, self.missing)

    def model(self, ppl: Any, x: Array | None = None, y: Array | None = None) -> None:
        """Draws class and style, the code given both, and x given the code."""
        compose, decode = self._network(ppl, "composer"), self._network(ppl, "decoder")
        with ppl.plate("data", y if x is None else x):
            label = ppl.sample("y", class_prior(ppl, self, y if x is None else None))
            if x is not None and y is not None:
                ppl.factor("label", evidence(ppl, label, y, self.missing))
            z2 = ppl.sample("z2", standard_normal(ppl, self.style))
            context = applied(ppl, compose, z2, one_hot(ppl, label, self.classes))
            z1 = ppl.sample("z1", Gaussian()(ppl, context, self.latent))
            ppl.sample("x", self.likelihood(ppl, decode(z1)), obs=x)

    def guide(self, ppl: Any, x: Array, y: Array | None = None) -> None:
        """Draws the code given x, the class given the code unless it is known, and the style."""
        encode, classify = self._network(ppl, "encoder"), self._network(ppl, "classifier")
        infer = self._network(ppl, "stylist")
        with ppl.plate("data", x):
            context = encode(ppl.ops.float(x))
            z1 = ppl.sample("z1", self.posterior(ppl, context, self.latent, "z1"))
            log_q = ppl.deterministic("y_logits", ppl.ops.log_softmax(classify(z1), -1))
            logits = clamped(ppl, log_q, y, self.missing)
            label = ppl.sample("y", ppl.distributions.Categorical(logits=logits))
            context = applied(ppl, infer, z1, one_hot(ppl, label, self.classes))
            ppl.sample("z2", self.posterior(ppl, context, self.style, "z2"))

    def _sizes(self) -> dict[str, tuple[int, int]]:
        """Returns inputs and outputs of each network."""
        return {
            "composer": (self.style + self.classes, Gaussian().context(self.latent)),
            "decoder": (self.latent, self.likelihood.size(self.features)),
            "encoder": (self.features, self.posterior.context(self.latent)),
            "classifier": (self.latent, self.classes),
            "stylist": (self.latent + self.classes, self.posterior.context(self.style)),
        }

    def _network(self, ppl: Any, name: str) -> Any:
        inputs, outputs = self._sizes()[name]
        given = getattr(self, name, None)
        return ppl.module(name, given or MLP(inputs, self.hidden, outputs))
