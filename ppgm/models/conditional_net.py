r"""A network from conditions to outputs, without latent variables.

.. math:: x_n | c_n \sim p(x | g_\theta(c_n))

What a conditional model with latent variables has to beat: its columns of x are independent given
c. The guide draws nothing, so that every bound is log p(x | c) itself.

References:
    | Learning Structured Output Representation using Deep Conditional Generative Models
    | (Sohn, Lee & Yan, 2015), https://papers.nips.cc/paper/5775
"""

__all__ = ["ConditionalNet"]

from dataclasses import dataclass
from typing import Any

from ppgm.domains import check_size, check_widths
from ppgm.models.likelihoods import Bernoulli, Likelihood
from ppgm.models.parts import check_part
from ppgm.models.vae import LIKELIHOODS
from ppgm.nets import MLP
from ppgm.ops import Array


@dataclass(frozen=True)
class ConditionalNet:
    """Network from c ``(N, condition)`` to rows x ``(N, features)``, without latents; site "x".

    Args:
        features: Number of columns of x.
        condition: Number of columns of c.
        hidden: Widths of the hidden layers.
        likelihood: Distribution of a row of x given the network's outputs.
    """

    broadcasts = True

    features: int
    condition: int
    hidden: tuple[int, ...] = (200, 200)
    likelihood: Likelihood = Bernoulli()

    def __post_init__(self) -> None:
        check_size(self, "features", "condition")
        check_widths(self, "hidden")
        check_part("likelihood", self.likelihood, "size", LIKELIHOODS)

    def model(self, ppl: Any, c: Array, x: Array | None = None) -> None:
        """Draws x from the network's outputs."""
        size = self.likelihood.size(self.features)
        predict = ppl.module("baseline", MLP(self.condition, self.hidden, size))
        with ppl.plate("data", c):
            outputs = predict(ppl.ops.float(c))
            ppl.sample("x", self.likelihood(ppl, outputs), obs=x)

    def guide(self, ppl: Any, c: Array, x: Array) -> None:
        """Draws nothing: there are no latent variables."""
