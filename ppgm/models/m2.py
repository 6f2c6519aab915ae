r"""Semi-supervised variational autoencoder: a class and a style behind every row (M2).

.. math::
    y_n \sim \mathrm{Cat}(\pi), \quad z_n \sim N(0, I_L), \quad
    x_n | y_n, z_n \sim p(x | f_\theta(z_n, y_n)) \\
    q(y, z | x) = \mathrm{Cat}(y; \pi_\phi(x)) \, N(z; \mu_\phi(x, y),
    \mathrm{diag}(\sigma^2_\phi(x, y)))

Rows with and without labels go through the same program. On a row with a label, q(y | x) is the
label itself: the ELBO of the row then is the labelled bound of the paper, and that of a row
without one its unlabelled bound,

.. math::
    -\mathcal{L}(x, y) = E_{q(z|x,y)}[\log p(x|y,z) + \log p(y) + \log p(z) - \log q(z|x,y)],
    \quad
    -\mathcal{U}(x) = \sum_y q(y|x) (-\mathcal{L}(x, y)) + H(q(y|x))

exactly so under ``ELBO(enumerate=("y",))``.

References:
    | Semi-Supervised Learning with Deep Generative Models (Kingma, Rezende, Mohamed & Welling,
    | 2014), https://arxiv.org/abs/1406.5298
"""

__all__ = ["M2"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ppgm.distributions import standard_normal
from ppgm.domains import check_size, check_widths
from ppgm.guides.gaussian import FAMILIES, Family, Gaussian
from ppgm.models.checks import check_classes, check_network
from ppgm.models.labels import check_labels, clamped, evidence, one_hot
from ppgm.models.likelihoods import Bernoulli, Likelihood
from ppgm.models.parts import applied, check_part
from ppgm.models.vae import LIKELIHOODS
from ppgm.nets import MLP, Network
from ppgm.ops import Array


@dataclass(frozen=True)
class M2:
    """Semi-supervised VAE with a class "y" and a style "z" behind each row of "x".

    Data are ``x`` ``(N, features)`` and, wherever there are labels, ``y`` ``(N,)``: integers
    0, ..., classes - 1, and `missing` for rows without a label. Site "y_logits" of the guide has
    log q(y | x) of every row, whether it is labelled or not. Without ``x`` labels are what to draw
    rows for: ``ppgm.sample(fit, n, data={"y": labels})``.

    Args:
        features: Number of columns of the data.
        classes: Number of classes C.
        latent: Number of style coordinates L.
        hidden: Widths of the decoder's hidden layers; classifier and encoder have them in reverse.
        likelihood: Distribution of a row given the decoder's outputs.
        posterior: Family of q(z | x, y).
        prior: Class probabilities of the model, "uniform" or "learnt".
        missing: The label of rows without one.
        decoder: Network in place of the MLP, from `latent` + C to the likelihood's size.
        encoder: Network in place of the MLP, from `features` + C to the posterior's context.
        classifier: Network in place of the MLP, from `features` to C.
    """

    broadcasts = True

    features: int
    classes: int = 10
    latent: int = 50
    hidden: tuple[int, ...] = (500,)
    likelihood: Likelihood = Bernoulli()
    posterior: Family = Gaussian()
    prior: Literal["uniform", "learnt"] = "uniform"
    missing: int = -1
    decoder: Network | None = None
    encoder: Network | None = None
    classifier: Network | None = None

    def __post_init__(self) -> None:
        check_size(self, "features", "latent")
        check_widths(self, "hidden")
        check_classes(self)
        check_part("likelihood", self.likelihood, "size", LIKELIHOODS)
        check_part("posterior", self.posterior, "context", FAMILIES)
        for name, (inputs, outputs) in self._sizes().items():
            check_network(name, getattr(self, name), inputs, outputs)

    def check_data(self, data: Mapping[str, Any]) -> None:
        """Refuses labels that are neither a class nor the marker."""
        if data.get("y") is not None:
            check_labels(data["y"], self.classes, self.missing)

    def model(self, ppl: Any, x: Array | None = None, y: Array | None = None) -> None:
        """Draws class and style from their priors, and x from the decoder's likelihood."""
        decode = self._network(ppl, "decoder", self.hidden)
        with ppl.plate("data", y if x is None else x):
            label = ppl.sample("y", class_prior(ppl, self, y if x is None else None))
            if x is not None and y is not None:
                ppl.factor("label", evidence(ppl, label, y, self.missing))
            z = ppl.sample("z", standard_normal(ppl, self.latent))
            outputs = applied(ppl, decode, z, one_hot(ppl, label, self.classes))
            ppl.sample("x", self.likelihood(ppl, outputs), obs=x)

    def guide(self, ppl: Any, x: Array, y: Array | None = None) -> None:
        """Draws the class given x, unless it is known, and the style given both."""
        classify = self._network(ppl, "classifier", self.hidden[::-1])
        encode = self._network(ppl, "encoder", self.hidden[::-1])
        with ppl.plate("data", x):
            x = ppl.ops.float(x)
            log_q = ppl.deterministic("y_logits", ppl.ops.log_softmax(classify(x), -1))
            logits = clamped(ppl, log_q, y, self.missing)
            label = ppl.sample("y", ppl.distributions.Categorical(logits=logits))
            context = applied(ppl, encode, x, one_hot(ppl, label, self.classes))
            ppl.sample("z", self.posterior(ppl, context, self.latent))

    def _sizes(self) -> dict[str, tuple[int, int]]:
        """Returns inputs and outputs of each network."""
        return {
            "decoder": (self.latent + self.classes, self.likelihood.size(self.features)),
            "encoder": (self.features + self.classes, self.posterior.context(self.latent)),
            "classifier": (self.features, self.classes),
        }

    def _network(self, ppl: Any, name: str, hidden: tuple[int, ...]) -> Any:
        inputs, outputs = self._sizes()[name]
        return ppl.module(name, getattr(self, name) or MLP(inputs, hidden, outputs))


def class_prior(ppl: Any, model: Any, y: Array | None = None) -> Any:
    """Returns the host's distribution of the classes of a model, uniform or learnt.

    Args:
        ppl: The namespace.
        model: The model, with fields `classes`, `prior` and `missing`.
        y: Labels that rows are to be drawn for, ``(N,)``; a row with one is sure to have it.
    """
    zeros = np.zeros(model.classes)
    logits = ppl.param("prior", zeros) if model.prior == "learnt" else ppl.ops.float(zeros)
    return ppl.distributions.Categorical(logits=clamped(ppl, logits, y, model.missing))
