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

__all__ = ["CELLS", "SMOOTHERS", "Combiner", "Refine", "smoother"]

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppgm.chains import MarkovChain
from ppgm.distributions import Pushed
from ppgm.distributions_normal import DiagonalNormal
from ppgm.nets import GRU, LSTM, MLP, RNN
from ppgm.ops import Array, ops_of

SMOOTHERS = {
    "ST-R": ("right",),
    "ST-L": ("left",),
    "ST-LR": ("left", "right"),
    "MF-LR": ("left", "right"),
}
"""Which recurrent networks each guide has."""

CELLS = ("gru", "lstm", "rnn")
"""Names of the cells of `ppgm.nets`; "rnn" has rectified units, as in Pyro's example."""

Refine = Callable[[Pushed], Pushed]
"""From the distribution of a step to a more flexible one, such as a flow with that base."""


@dataclass(frozen=True)
class Combiner:
    """The step of a structured guide.

    What the recurrent networks add to the heads does not depend on the state: it is made for all
    steps at once and comes in as `heads`. What is left is two products per step.

    Attributes:
        inward: W transposed, ``(L, R)``.
        bias: b, ``(R,)``.
        outward: The weights of both heads, transposed and divided by n, ``(R, 2 L)``.
        refine: What is made of the Gaussian, or None.
    """

    inward: Array
    bias: Array
    outward: Array
    refine: Refine | None = None

    def __call__(self, z: Array, heads: Array) -> Pushed:
        """Returns the distribution of the states after ``(*, L)``."""
        hidden = ops_of(z).np.tanh(z @ self.inward + self.bias)
        return _refined(_normal(hidden @ self.outward + heads), self.refine)


@dataclass(frozen=True)
class _Apart:
    """The step of a guide whose states are independent."""

    refine: Refine | None = None

    def __call__(self, z: Array, heads: Array) -> Pushed:
        return _refined(_normal(heads), self.refine)


def smoother(
    ppl: Any,
    guide: str,
    rows: Array,
    latent: int,
    net: type[GRU] | type[LSTM] | type[RNN],
    hidden: int,
    lengths: Array | None = None,
    alive: Array | None = None,
    refine: Refine | None = None,
) -> MarkovChain:
    """Returns the guide's distribution of paths.

    Its networks are "rnn_left" and "rnn_right", "combiner" (W and b) and "heads"; the state before
    the first is the parameter "z0_guide".

    Args:
        ppl: The namespace.
        guide: A name in `SMOOTHERS`.
        rows: What the networks read, ``(N, T, n)``.
        latent: Number of coordinates L of a state.
        net: Kind of the recurrent networks.
        hidden: Width R of their states.
        lengths: Number of steps of each row, ``(N,)``, or None.
        alive: True before the end of each row, ``(N, T)``, or None.
        refine: What is made of the Gaussian of each step, or None.
    """
    options = {"activation": "relu"} if net is RNN else {}
    sides = SMOOTHERS[guide]
    read = [
        ppl.module(f"rnn_{side}", net(rows.shape[-1], hidden, reverse=side == "right", **options))
        for side in sides
    ]
    structured = guide.startswith("ST")
    share = 1 / (len(sides) + structured)
    head = ppl.module("heads", MLP(hidden, (), 2 * latent))
    states = [net(rows, lengths) for net in read]
    heads = head(share * sum(states[1:], states[0]))
    step, start = _Apart(refine), heads[..., 0, :latent]
    if structured:
        inward = ppl.module("combiner", MLP(latent, (), hidden)).layers[0]
        outward = share * head.layers[0].weight.T
        step = Combiner(inward.weight.T, inward.bias, outward, refine)
        start = ppl.param("z0_guide", np.zeros(latent))
    first = step(start, heads[..., 0, :])
    length = rows.shape[-2]
    return MarkovChain(first, step, length, (heads,), alive, independent=not structured)


def _normal(outputs: Array) -> DiagonalNormal:
    size = outputs.shape[-1] // 2
    return DiagonalNormal(outputs[..., :size], ops_of(outputs).softplus(outputs[..., size:]))


def _refined(step: Pushed, refine: Refine | None) -> Pushed:
    return step if refine is None else refine(step)
