r"""Generator: an implicit model, noise through a network.

.. math:: z_n \sim N(0, I_L), \quad x_n = g_\theta(z_n)

The observed site has draws but no density: adversarial objectives train it, likelihood-based
ones refuse it.

References:
    | Generative Adversarial Nets (Goodfellow et al., 2014), https://arxiv.org/abs/1406.2661
"""

__all__ = ["Generator"]

from dataclasses import dataclass
from typing import Any

from ppgm.distributions import standard_normal
from ppgm.domains import check_size, check_widths
from ppgm.nets import MLP, Network
from ppgm.ops import Array


@dataclass(frozen=True)
class Generator:
    """Implicit model of rows ``(N, features)``; sites "z" (noise) and "x" (without a density).

    Args:
        features: Number of columns of the data.
        latent: Number of noise coordinates.
        hidden: Widths of the hidden layers.
        activation: Activation of the hidden layers.
        network: Network to use in place of the MLP, from `latent` to `features`.
    """

    broadcasts = True

    features: int
    latent: int = 2
    hidden: tuple[int, ...] = (128, 128)
    activation: str = "relu"
    network: Network | None = None

    def __post_init__(self) -> None:
        check_size(self, "features", "latent")
        check_widths(self, "hidden")

    def model(self, ppl: Any, x: Array | None = None) -> None:
        """Draws noise and maps it to rows."""
        mlp = MLP(self.latent, self.hidden, self.features, activation=self.activation)
        generate = ppl.module("generator", self.network or mlp)
        with ppl.plate("data", x):
            z = ppl.sample("z", standard_normal(ppl, self.latent))
            ppl.deterministic("x", generate(z))
