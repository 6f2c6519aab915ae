r"""Gaussian transitions of a state-space model, from a state (and inputs) to the next.

.. math::
    \text{linear}: \quad & z_t \sim N(A z_{t-1} + B u_t + b, \mathrm{diag}(s^2)) \\
    \text{mlp}: \quad & z_t \sim N(\mu, \mathrm{diag}(\sigma^2)), \quad
        (\mu, r) = f(z_{t-1}, u_t), \; \sigma = \log(1 + e^r) \\
    \text{gated}: \quad & g = \sigma(f_g(z_{t-1}, u_t)), \quad h = f_h(z_{t-1}, u_t), \quad
        \mu = (1 - g) (W z_{t-1} + b) + g h, \\
        & \sigma = \log(1 + e^r), \; r = W_\sigma \max(h, 0) + b_\sigma

The gated one can leave single coordinates linear and move others by a network; W starts at the
identity. In the paper the last line gives the variance; here it gives the standard deviation, as
in Pyro's example of a deep Markov model: either can be any positive number.

References:
    | Structured Inference Networks for Nonlinear State Space Models (Krishnan, Shalit & Sontag,
    | 2017), https://arxiv.org/abs/1609.09869, section 4 (gated transition function)
"""

__all__ = ["Gated", "Perceptron", "gated", "perceptron"]

from dataclasses import dataclass
from typing import Any

import numpy as np

from ppgm.distributions_normal import DiagonalNormal
from ppgm.nets import MLP
from ppgm.ops import Array, ops_of


@dataclass(frozen=True)
class Perceptron:
    """A network from the state to mean and deviation of the next.

    Attributes:
        net: From states and inputs side by side to ``(*, 2 L)``.
    """

    net: Any

    def __call__(self, z: Array, *u: Array) -> DiagonalNormal:
        """Returns the distribution of the states after ``(*, L)``."""
        outputs, size = self.net(z, *u), z.shape[-1]
        return DiagonalNormal(outputs[..., :size], ops_of(z).softplus(outputs[..., size:]))


@dataclass(frozen=True)
class Gated:
    """The gated transition function.

    Attributes:
        gate: Network of the gate, before its sigmoid, to ``(*, L)``.
        proposal: Network of the proposed mean h.
        carry: Affine map of the state alone.
        spread: Affine map from the proposed mean to the deviation.
    """

    gate: Any
    proposal: Any
    carry: Any
    spread: Any

    def __call__(self, z: Array, *u: Array) -> DiagonalNormal:
        """Returns the distribution of the states after ``(*, L)``."""
        ops = ops_of(z)
        gate, proposal, carried = (
            ops.sigmoid(self.gate(z, *u)),
            self.proposal(z, *u),
            self.carry(z),
        )
        loc = carried + gate * (proposal - carried)
        positive = ops.np.where(proposal > 0, proposal, ops.np.zeros_like(proposal))
        return DiagonalNormal(loc, ops.softplus(self.spread(positive)))


class _Identity(MLP):
    """An affine map that starts at the identity."""

    def initial(self, seed: int, name: str) -> dict[str, np.ndarray]:
        """Return the identity and zeros."""
        return {
            "layers.0.weight": np.eye(self.outputs, self.inputs),
            "layers.0.bias": np.zeros(self.outputs),
        }


def perceptron(
    ppl: Any, latent: int, inputs: int, hidden: tuple[int, ...], activation: str
) -> Perceptron:
    """Returns the transition by one network, "transition"."""
    spec = MLP(latent + inputs, hidden, 2 * latent, activation=activation)
    return Perceptron(ppl.module("transition", spec))


def gated(ppl: Any, latent: int, inputs: int, hidden: tuple[int, ...], activation: str) -> Gated:
    """Returns the gated transition, of networks "transition_gate", "transition_proposal", ..."""

    def wide(name: str) -> Any:
        spec = MLP(latent + inputs, hidden, latent, activation=activation)
        return ppl.module(f"transition_{name}", spec)

    carry = ppl.module("transition_carry", _Identity(latent, (), latent))
    spread = ppl.module("transition_spread", MLP(latent, (), latent))
    return Gated(wide("gate"), wide("proposal"), carry, spread)
