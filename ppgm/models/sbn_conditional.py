r"""Conditional sigmoid belief net, for structured prediction: bits x given conditions c.

.. math::
    h_L | c \sim B(\sigma(f(c))), \quad h_{l-1} | h_l \sim B(\sigma(f_l(h_l))), \quad x = h_0,
    \quad q(h | x, c) = \prod_l B(h_l; \sigma(g_l(h_{l-1}, c)))

where, with skips, c is an input of every f_l too. Given c alone the units of x depend on each
other, as they do not in a network without stochastic layers.

References:
    | Techniques for Learning Binary Stochastic Feedforward Neural Networks
    | (Raiko et al., 2015), https://arxiv.org/abs/1406.2989
    | MuProp: Unbiased Backpropagation for Stochastic Neural Networks (Gu et al., 2016)
    | https://arxiv.org/abs/1511.05176
"""

__all__ = ["ConditionalSBN"]

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ppgm.domains import check_size, check_widths
from ppgm.models.parts import beside
from ppgm.models.units import affine_maps, bits, check_enumerable, check_layers
from ppgm.nets import MLP
from ppgm.ops import Array
from ppgm.testing import sbn


@dataclass(frozen=True)
class ConditionalSBN:
    """Sigmoid belief net of bits x ``(N, features)`` given c ``(N, condition)``.

    Its sites are "h1" (next to x) ... and "x".

    Args:
        features: Number of columns of x.
        condition: Number of columns of c, which are any numbers.
        layers: Widths of the hidden layers, from the one next to x upward.
        between: Widths of the deterministic layers between a stochastic layer and the next, and
            between c and the first, of the model; the guide has them in reverse.
        skips: Whether the layers below the top see c too.
    """

    broadcasts = True

    features: int
    condition: int
    layers: tuple[int, ...] = (200,)
    between: tuple[int, ...] = ()
    skips: bool = False

    def __post_init__(self) -> None:
        check_size(self, "features", "condition")
        check_layers(self)
        check_widths(self, "between")

    def model(self, ppl: Any, c: Array, x: Array | None = None) -> None:
        """Draws the layers from the top down."""
        prior = ppl.module("prior", MLP(self.condition, self.between, self.layers[-1]))
        extra = self.condition if self.skips else 0
        nets = [
            ppl.module(f"decoder{n}", MLP(above + extra, self.between, below))
            for n, (below, above) in enumerate(pairwise((self.features, *self.layers)), 1)
        ]
        c = ppl.ops.float(c)
        with ppl.plate("data", c):
            logits = prior(c)
            for level in range(len(nets), 0, -1):
                h = ppl.ops.float(ppl.sample(f"h{level}", bits(ppl, logits)))
                logits = nets[level - 1](beside(ppl, h, c) if self.skips else h)
            ppl.sample("x", bits(ppl, logits), obs=x)

    def guide(self, ppl: Any, c: Array, x: Array) -> None:
        """Draws the layers from the bottom up, each given c."""
        nets = [
            ppl.module(f"encoder{n}", MLP(below + self.condition, self.between[::-1], above))
            for n, (below, above) in enumerate(pairwise((self.features, *self.layers)), 1)
        ]
        c, h = ppl.ops.float(c), ppl.ops.float(x)
        with ppl.plate("data", c):
            for level, net in enumerate(nets, 1):
                draw = ppl.sample(f"h{level}", bits(ppl, net(beside(ppl, h, c))))
                h = ppl.ops.float(draw)

    def log_likelihood(
        self, params: Mapping[str, np.ndarray], x: np.ndarray, c: np.ndarray
    ) -> np.ndarray:
        """Returns the exact log p(x | c) by row, ``(N,)``, by enumeration of the hidden units.

        Raises:
            ArgumentError: With more than 16 hidden units in all.
        """
        check_enumerable(self.layers)
        return sbn.log_marginal(np.asarray(x, float), self.exact_model(params, c))

    def exact_model(self, params: Mapping[str, np.ndarray], c: np.ndarray) -> sbn.Network:
        """Returns the parameters as the reference functions of `ppgm.testing` take them.

        What a condition adds to a layer is in the bias of its first affine map, one for each row.
        """
        c = np.asarray(c, float)
        prior = self._affine(params, "prior")
        seen = c if self.skips else c[:, :0]
        layers = [self._given(params, f"decoder{n}", seen) for n in self._levels]
        return sbn.Network(sbn.perceptron(c, prior), layers)

    def exact_guide(self, params: Mapping[str, np.ndarray], c: np.ndarray) -> sbn.Guide:
        """Returns the guide's parameters likewise."""
        c = np.asarray(c, float)
        return sbn.Guide([self._given(params, f"encoder{n}", c) for n in self._levels])

    @property
    def _levels(self) -> range:
        return range(1, len(self.layers) + 1)

    def _affine(
        self, params: Mapping[str, np.ndarray], name: str
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        return affine_maps(params, name, len(self.between) + 1)

    def _given(self, params: Mapping[str, np.ndarray], name: str, c: np.ndarray) -> sbn.Deep:
        (weight, bias), *rest = self._affine(params, name)
        size = weight.shape[1] - c.shape[1]
        return sbn.Deep([(weight[:, :size], c @ weight[:, size:].T + bias), *rest])
