r"""Guides of sequences: posteriors of a path of states that recurrent networks make of the data.

With :math:`h^l_t` the state of a network that has read the data up to step t, and
:math:`h^r_t` that of one that has read them from the last step back to t, and a combiner

.. math::
    c_t = \frac{1}{n} \Big(\tanh(W z_{t-1} + b) + \sum h_t\Big), \quad
    q(z_t | z_{t-1}, x) = N(W_\mu c_t + b_\mu, \mathrm{diag}(\sigma_t^2)), \quad
    \sigma_t = \log(1 + e^{W_\sigma c_t + b_\sigma})

the guides are called as in the paper, n being the number of terms in the bracket:

=========  =============================================  ==============
name       q of a state sees                              terms of c
=========  =============================================  ==============
``ST-R``   the state before, and the data from now on     tanh, r
``ST-L``   the state before, and the data up to now       tanh, l
``ST-LR``  the state before, and all data                 tanh, l, r
``MF-LR``  all data; states are independent               l, r
=========  =============================================  ==============

ST-R, the deep Kalman smoother, has the form of the true posterior: given the state before, the
data before it say nothing more. In the paper the last line of the combiner gives the variance;
here it gives the standard deviation, as in Pyro's example of a deep Markov model.

References:
    | Deep Kalman Filters (Krishnan, Shalit & Sontag, 2015), https://arxiv.org/abs/1511.05121
    | Structured Inference Networks for Nonlinear State Space Models (Krishnan, Shalit & Sontag,
    | 2017), https://arxiv.org/abs/1609.09869
"""

__all__ = ["CELLS", "SMOOTHERS", "Combiner", "Heads", "smoother"]

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ppgm.chains import MarkovChain
from ppgm.distributions import Pushed
from ppgm.distributions_normal import DiagonalNormal, log_standard
from ppgm.guides.flows import AbstractFlow
from ppgm.nets import GRU, LSTM, MLP, RNN
from ppgm.ops import Array, Arrays, ops_of
from ppgm.transforms import Flow

SMOOTHERS = {
    "ST-R": ("right",),
    "ST-L": ("left",),
    "ST-LR": ("left", "right"),
    "MF-LR": ("left", "right"),
}
"""Which recurrent networks each guide has."""

CELLS = ("gru", "lstm", "rnn")
"""Names of the cells of `ppgm.nets`; "rnn" has rectified units, as in Pyro's example."""


@dataclass(frozen=True)
class Heads:
    """What the last layer of a guide means: mean, deviation, and what a flow on top takes.

    Networks of the flow are made when it is first called, which must be outside of a loop.

    Attributes:
        ppl: The namespace.
        latent: Number of coordinates L of a state.
        flow: A family whose map is put on top of the Gaussian of each step, or None.
        nets: Networks of the flow that have been made.
    """

    ppl: Any
    latent: int
    flow: AbstractFlow | None = None
    nets: dict[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Number of outputs."""
        return 2 * self.latent + (0 if self.flow is None else self.flow.extra(self.latent))

    def __call__(self, outputs: Array) -> Pushed:
        """Returns the distribution of states ``(*, L)``."""
        size = self.latent
        scale = ops_of(outputs).softplus(outputs[..., size : 2 * size])
        base = DiagonalNormal(outputs[..., :size], scale)
        if self.flow is None:
            return base
        return Flow(base, self.flow.transform(self, outputs[..., 2 * size :], size, "z"))

    def module(self, name: str, net: Any) -> Any:
        """Returns a network of the flow."""
        if name not in self.nets:
            self.nets[name] = self.ppl.module(name, net)
        return self.nets[name]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ppl, name)


@dataclass(frozen=True)
class Combiner:
    """The step of a structured guide.

    What the recurrent networks add to the heads does not depend on the state: it is made for all
    steps at once and comes in as `read`. What is left is two products per step.

    Attributes:
        inward: W transposed, ``(L, R)``.
        bias: b, ``(R,)``.
        outward: The weights of the heads, transposed and divided by n, ``(R, 2 L)``.
        heads: What the outputs mean.
    """

    inward: Array
    bias: Array
    outward: Array
    heads: Heads

    def __call__(self, z: Array, read: Array) -> Pushed:
        """Returns the distribution of the states after ``(*, L)``."""
        hidden = ops_of(z).np.tanh(z @ self.inward + self.bias)
        return self.heads(hidden @ self.outward + read)

    def in_turn(
        self, z: Array, noise: Array, inputs: Arrays, alive: Array | None
    ) -> tuple[Array, Array] | None:
        """Returns states and log densities of a whole draw, where there is a fast way to them.

        Args:
            z: States before the first step, ``(*, L)``.
            noise: Noise of the steps, ``(*, T, L)``, which states after the end of a row hold.
            inputs: What the heads read, ``(*, T, 2 L)``.
            alive: True before the end of each row, ``(*, T)``, or None.
        """
        fast = ops_of(z).tanh_chain
        if fast is None or self.heads.flow is not None:
            return None
        weights = self.inward, self.bias, self.outward
        states, log_scale = fast(z, noise, *inputs, *weights, alive)
        return states, log_standard(noise) - log_scale


@dataclass(frozen=True)
class _Apart:
    """The step of a guide whose states are independent."""

    heads: Heads

    def __call__(self, z: Array, read: Array) -> Pushed:
        return self.heads(read)


def smoother(
    ppl: Any,
    guide: str,
    rows: Array,
    latent: int,
    cell: type[GRU] | type[LSTM] | type[RNN],
    hidden: int,
    lengths: Array | None = None,
    alive: Array | None = None,
    flow: AbstractFlow | None = None,
) -> MarkovChain:
    """Returns the guide's distribution of paths.

    Its networks are "rnn_left" and "rnn_right", "combiner" (W and b) and "heads"; the state before
    the first is the parameter "z0_guide".

    Args:
        ppl: The namespace.
        guide: A name in `SMOOTHERS`.
        rows: What the networks read, ``(N, T, n)``.
        latent: Number of coordinates L of a state.
        cell: Kind of the recurrent networks.
        hidden: Width R of their states.
        lengths: Number of steps of each row, ``(N,)``, or None.
        alive: True before the end of each row, ``(N, T)``, or None.
        flow: A family whose map is put on top of the Gaussian of each step, or None.
    """
    options = {"activation": "relu"} if cell is RNN else {}
    sides = SMOOTHERS[guide]
    structured = guide.startswith("ST")
    nets = [
        ppl.module(f"rnn_{side}", cell(rows.shape[-1], hidden, reverse=side == "right", **options))
        for side in sides
    ]
    share = 1 / (len(sides) + structured)
    heads = Heads(ppl, latent, flow)
    head = ppl.module("heads", MLP(hidden, (), heads.width))
    # the heads are affine: theirs of a mean is the sum of theirs of its parts, less the biases
    parts = [net(rows, lengths, then=lambda h: head(share * h)) for net in nets]
    bias = head.layers[0].bias
    read = parts[0]
    for part in parts[1:]:
        read = read + (part - bias)
    if structured:
        inward = ppl.module("combiner", MLP(latent, (), hidden)).layers[0]
        outward = share * head.layers[0].weight.T
        step = Combiner(inward.weight.T, inward.bias, outward, heads)
        start = ppl.param("z0_guide", np.zeros(latent))
    else:
        step, start = _Apart(heads), read[..., 0, :latent]
    first, length = step(start, read[..., 0, :]), rows.shape[-2]
    return MarkovChain(first, step, length, (read,), alive, independent=not structured)
