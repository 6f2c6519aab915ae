r"""Neal's belief net: every unit depends on all units before it, hidden ones first.

.. math::
    p(s_i = 1 | s_1, \dots, s_{i-1}) = \sigma\Big(\sum_{j < i} W_{ij} s_j + b_i\Big), \quad
    s = (h, x)

.. math::
    q(h | x) = \prod_i B\Big(h_i; \sigma\Big(c_i + V_i x + \sum_{j < i} U_{ij} h_j\Big)\Big)

or the same without U.

References:
    | Connectionist Learning of Belief Networks (Neal, 1992)
    | https://doi.org/10.1016/0004-3702(92)90065-6
"""

__all__ = ["FullSBN"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ppgm.domains import check_size
from ppgm.models.parts import check_choice
from ppgm.models.units import bits, check_enumerable, within
from ppgm.nets import MLP
from ppgm.ops import Array
from ppgm.testing import sbn


@dataclass(frozen=True)
class FullSBN:
    """Fully connected belief net of rows of bits ``(N, features)``; sites "h" and "x".

    The parameters "weight" ``(M, M)`` and "bias" ``(M,)`` are those of all M = hidden + features
    units, the hidden ones first; weights on and above the diagonal are zero and stay so.

    Args:
        features: Number of visible units.
        hidden: Number of hidden units.
        posterior: Whether the guide's units are "autoregressive", each on those before it, or
            "factorised", independent given x.
    """

    broadcasts = True

    features: int
    hidden: int = 50
    posterior: Literal["autoregressive", "factorised"] = "autoregressive"

    def __post_init__(self) -> None:
        check_size(self, "features", "hidden")
        check_choice(self, "posterior", ("autoregressive", "factorised"))

    def model(self, ppl: Any, x: Array | None = None) -> None:
        """Draws the hidden units, then the visible ones, each in their order."""
        first, size = self.hidden, self.hidden + self.features
        weight = ppl.param("weight", lambda: _initial(ppl.seed, size))
        bias = ppl.param("bias", np.zeros(size))
        with ppl.plate("data", x):
            h = ppl.sample("h", bits(ppl, bias[:first], weight[:first, :first]))
            logits = ppl.ops.float(h) @ weight[first:, :first].T + bias[first:]
            ppl.sample("x", bits(ppl, logits, weight[first:, first:]), obs=x)

    def guide(self, ppl: Any, x: Array) -> None:
        """Draws the hidden units given x."""
        encode = ppl.module("encoder", MLP(self.features, (), self.hidden))
        own = None
        if self.posterior == "autoregressive":
            own = within(ppl, "encoder", self.hidden)
        with ppl.plate("data", x):
            ppl.sample("h", bits(ppl, encode(ppl.ops.float(x)), own))

    def log_likelihood(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        """Returns the exact log p(x) by row, ``(N,)``, by enumeration of the hidden units.

        Raises:
            ArgumentError: With more than 16 hidden units.
        """
        check_enumerable((self.hidden,))
        return sbn.log_marginal(np.asarray(x, float), self.exact_model(params))

    def exact_model(self, params: Mapping[str, np.ndarray]) -> sbn.Network:
        """Returns the parameters as the reference functions of `ppgm.testing` take them."""
        first, weight, bias = self.hidden, params["weight"], params["bias"]
        visible = sbn.Deep([(weight[first:, :first], bias[first:])], weight[first:, first:])
        return sbn.Network(bias[:first], [visible], weight[:first, :first])

    def exact_guide(self, params: Mapping[str, np.ndarray]) -> sbn.Guide:
        """Returns the guide's parameters likewise."""
        affine = [(params["encoder.layers.0.weight"], params["encoder.layers.0.bias"])]
        return sbn.Guide([sbn.Deep(affine, params.get("encoder_within"))])


def _initial(seed: int, size: int) -> np.ndarray:
    weight = MLP(size, (), size).initial(seed, "weight")["layers.0.weight"]
    return np.tril(weight, k=-1)
