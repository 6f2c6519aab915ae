r"""Sigmoid belief net with layers of binary units.

.. math::
    h_L \sim B(\sigma(a)), \quad h_{l-1} | h_l \sim B(\sigma(W_l h_l + b_l)), \quad
    x = h_0, \quad q(h | x) = \prod_l B(h_l; \sigma(V_l h_{l-1} + c_l))

References:
    | Connectionist Learning of Belief Networks (Neal, 1992)
    | https://doi.org/10.1016/0004-3702(92)90065-6
    | Neural Variational Inference and Learning in Belief Networks (Mnih & Gregor, 2014)
    | https://arxiv.org/abs/1402.0030
"""

__all__ = ["SBN"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppgm.errors import ArgumentError
from ppgm.nets import MLP
from ppgm.ops import Array
from ppgm.testing import sbn

ENUMERABLE_UNITS = 16


@dataclass(frozen=True)
class SBN:
    """Sigmoid belief net of rows of bits ``(N, features)``; sites "h1" (next to x) ... and "x".

    Args:
        features: Number of visible units.
        layers: Widths of the hidden layers, from the one next to x upward.
    """

    broadcasts = True

    features: int
    layers: tuple[int, ...] = (200,)

    def __post_init__(self) -> None:
        if self.features < 1 or not self.layers or min(self.layers) < 1:
            raise ArgumentError(
                "features and every width of layers must be at least 1, not "
                f"features={self.features}, layers={self.layers}"
            )

    def model(self, ppl: Any, x: Array | None = None) -> None:
        """Draws the layers from the top down."""
        top = len(self.layers)
        logits = ppl.param("prior", np.zeros(self.layers[-1]))
        nets = self._nets(ppl, "decoder")
        with ppl.plate("data", x):
            for level in range(top, 0, -1):
                h = ppl.sample(f"h{level}", _bits(ppl, logits))
                logits = nets[level - 1](ppl.ops.float(h))
            ppl.sample("x", _bits(ppl, logits), obs=x)

    def guide(self, ppl: Any, x: Array) -> None:
        """Draws the layers from the bottom up."""
        nets = self._nets(ppl, "encoder")
        with ppl.plate("data", x):
            below = x
            for level, net in enumerate(nets, 1):
                below = ppl.sample(f"h{level}", _bits(ppl, net(ppl.ops.float(below))))

    def log_likelihood(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        """Returns the exact log p(x) by row, ``(N,)``, by enumeration of the hidden units.

        Raises:
            ArgumentError: With more than 16 hidden units in all.
        """
        if sum(self.layers) > ENUMERABLE_UNITS:
            raise ArgumentError(
                f"layers {self.layers} have {sum(self.layers)} units: enumeration is for at most "
                f"{ENUMERABLE_UNITS}; use ppgm.evaluate"
            )
        return sbn.log_marginal(np.asarray(x, float), self.exact_model(params))

    def exact_model(self, params: Mapping[str, np.ndarray]) -> sbn.Network:
        """Returns the parameters as the reference functions of `ppgm.testing` take them."""
        return sbn.Network(params["prior"], self._layers(params, "decoder"))

    def exact_guide(self, params: Mapping[str, np.ndarray]) -> sbn.Guide:
        """Returns the guide's parameters likewise."""
        return sbn.Guide(self._layers(params, "encoder"))

    def _layers(
        self, params: Mapping[str, np.ndarray], name: str
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        return [
            (params[f"{name}{level}.layers.0.weight"], params[f"{name}{level}.layers.0.bias"])
            for level in range(1, len(self.layers) + 1)
        ]

    def _nets(self, ppl: Any, name: str) -> list[Any]:
        widths = (self.features, *self.layers)
        nets = []
        for level in range(1, len(widths)):
            ends = (widths[level], widths[level - 1])
            inputs, outputs = ends if name == "decoder" else ends[::-1]
            nets.append(ppl.module(f"{name}{level}", MLP(inputs, (), outputs)))
        return nets


def _bits(ppl: Any, logits: Array) -> Any:
    return ppl.distributions.Bernoulli(logits=logits).to_event(1)
