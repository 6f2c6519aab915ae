r"""Sigmoid belief net with layers of binary units.

.. math::
    h_L \sim B(\sigma(a)), \quad h_{l-1} | h_l \sim B(\sigma(f_l(h_l))), \quad
    x = h_0, \quad q(h | x) = \prod_l B(h_l; \sigma(g_l(h_{l-1})))

where f and g are affine, or have deterministic layers between. In the autoregressive form each
unit also depends on the units before it in its own layer,

.. math::
    p(h_{l-1} | h_l) = \prod_i
    B\Big(h_{l-1,i}; \sigma\Big(f_{l,i}(h_l) + \sum_{j < i} U_{l,ij} h_{l-1,j}\Big)\Big)

References:
    | Connectionist Learning of Belief Networks (Neal, 1992)
    | https://doi.org/10.1016/0004-3702(92)90065-6
    | Neural Variational Inference and Learning in Belief Networks (Mnih & Gregor, 2014)
    | https://arxiv.org/abs/1402.0030
    | Deep AutoRegressive Networks (Gregor et al., 2014), https://arxiv.org/abs/1310.8499
"""

__all__ = ["SBN"]

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from ppgm.domains import check_size, check_widths
from ppgm.errors import ArgumentError
from ppgm.models.units import bits, check_enumerable, check_layers, deep, within
from ppgm.nets import MLP
from ppgm.ops import Array
from ppgm.testing import sbn


@dataclass(frozen=True)
class SBN:
    """Sigmoid belief net of rows of bits ``(N, features)``; sites "h1" (next to x) ... and "x".

    Args:
        features: Number of visible units.
        layers: Widths of the hidden layers, from the one next to x upward.
        between: Widths of the deterministic layers between a stochastic layer and the next, of
            the model; the guide has them in reverse. () is for affine maps.
        autoregressive: Whether units depend on those before them in their own layer (deep
            autoregressive networks): True in model and guide, "model" in the model alone.
    """

    broadcasts = True

    features: int
    layers: tuple[int, ...] = (200,)
    between: tuple[int, ...] = ()
    autoregressive: bool | Literal["model"] = False

    def __post_init__(self) -> None:
        check_size(self, "features")
        check_layers(self)
        check_widths(self, "between")
        given = self.autoregressive
        if not isinstance(given, bool) and given != "model":
            raise ArgumentError(
                f"SBN: autoregressive must be True, False or 'model', not {self.autoregressive!r}"
            )

    def model(self, ppl: Any, x: Array | None = None) -> None:
        """Draws the layers from the top down."""
        logits = ppl.param("prior", np.zeros(self.layers[-1]))
        nets = self._nets(ppl, "decoder")
        names = [f"decoder{n}" for n in range(1, len(nets) + 1)] + ["prior"]
        own = self._within(
            ppl, names, (self.features, *self.layers), wanted=bool(self.autoregressive)
        )
        with ppl.plate("data", x):
            for level in range(len(nets), 0, -1):
                h = ppl.sample(f"h{level}", bits(ppl, logits, own[level]))
                logits = nets[level - 1](ppl.ops.float(h))
            ppl.sample("x", bits(ppl, logits, own[0]), obs=x)

    def guide(self, ppl: Any, x: Array) -> None:
        """Draws the layers from the bottom up."""
        nets = self._nets(ppl, "encoder")
        names = [f"encoder{n}" for n in range(1, len(nets) + 1)]
        own = self._within(ppl, names, self.layers, wanted=self.autoregressive is True)
        with ppl.plate("data", x):
            below = x
            for level, net in enumerate(nets, 1):
                logits = net(ppl.ops.float(below))
                below = ppl.sample(f"h{level}", bits(ppl, logits, own[level - 1]))

    def log_likelihood(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        """Returns the exact log p(x) by row, ``(N,)``, by enumeration of the hidden units.

        Raises:
            ArgumentError: With more than 16 hidden units in all.
        """
        check_enumerable(self.layers)
        return sbn.log_marginal(np.asarray(x, float), self.exact_model(params))

    def exact_model(self, params: Mapping[str, np.ndarray]) -> sbn.Network:
        """Returns the parameters as the reference functions of `ppgm.testing` take them."""
        own = params.get("prior_within")
        return sbn.Network(params["prior"], self._layers(params, "decoder"), own)

    def exact_guide(self, params: Mapping[str, np.ndarray]) -> sbn.Guide:
        """Returns the guide's parameters likewise."""
        return sbn.Guide(self._layers(params, "encoder"))

    def _layers(self, params: Mapping[str, np.ndarray], name: str) -> list[sbn.Layer]:
        depth = len(self.between) + 1
        return [deep(params, f"{name}{n}", depth) for n in range(1, len(self.layers) + 1)]

    def _nets(self, ppl: Any, name: str) -> list[Any]:
        nets = []
        for level, (below, above) in enumerate(pairwise((self.features, *self.layers)), 1):
            net = MLP(above, self.between, below)
            if name == "encoder":
                net = MLP(below, self.between[::-1], above)
            nets.append(ppl.module(f"{name}{level}", net))
        return nets

    def _within(
        self, ppl: Any, names: list[str], widths: tuple[int, ...], *, wanted: bool
    ) -> list[Array | None]:
        """Returns the weights within each layer, or None for each where they are not wanted."""
        if not wanted:
            return [None] * len(names)
        return [within(ppl, n, size) for n, size in zip(names, widths, strict=True)]
