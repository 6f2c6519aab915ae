r"""Recurrent networks as values: a hidden state that goes through a sequence.

With rows :math:`x_t`, :math:`a = W_{ih} x_t + b_{ih}` and :math:`c = W_{hh} h_{t-1} + b_{hh}` cut
into as many parts as the cell has gates, and :math:`h_0 = 0`,

.. math::
    \text{RNN}: \quad & h_t = s(a + c) \\
    \text{GRU}: \quad & r = \sigma(a_1 + c_1), \; g = \sigma(a_2 + c_2), \;
        h_t = (1 - g) \tanh(a_3 + r c_3) + g h_{t-1} \\
    \text{LSTM}: \quad & m_t = \sigma(a_2 + c_2) m_{t-1} + \sigma(a_1 + c_1) \tanh(a_3 + c_3), \;
        h_t = \sigma(a_4 + c_4) \tanh(m_t)

The parameters are called and laid out as in torch: `weight_ih_l0` (G hidden, inputs),
`weight_hh_l0` (G hidden, hidden), `bias_ih_l0` and `bias_hh_l0` (G hidden,) for G gates.

References:
    | Long Short-Term Memory (Hochreiter & Schmidhuber, 1997), doi:10.1162/neco.1997.9.8.1735
    | Learning Phrase Representations using RNN Encoder-Decoder (Cho et al., 2014),
    | https://arxiv.org/abs/1406.1078
"""

__all__ = ["GRU", "LSTM", "RNN", "AbstractRecurrent", "check_sequences", "turn_index"]

import math
from abc import ABC
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from ppgm.domains import check_size
from ppgm.errors import ArgumentError
from ppgm.nets_stack import generator_of
from ppgm.ops import Array


@dataclass(frozen=True)
class AbstractRecurrent(ABC):
    """Recurrent layer from sequences ``(*, T, inputs)`` to ``(*, T, hidden)``.

    The built network is called as ``net(x)``, or as ``net(x, lengths)`` with the number of steps
    ``(*,)`` of each sequence: what comes after is padding, whatever comes out there. With
    ``then=f`` it returns f of every state, which saves a copy of the states.

    Args:
        inputs: Width of a step of the sequences that go in.
        hidden: Width of the hidden state.
        reverse: Whether time runs from the last step of each sequence to its first. A sequence
            is then turned within its own length, so that padding changes nothing.
    """

    inputs: int
    hidden: int
    _: KW_ONLY
    reverse: bool = False

    cell = ""
    gates = 0

    def __post_init__(self) -> None:
        """Check the fields."""
        check_size(self, "inputs", "hidden")
        if not isinstance(self.reverse, bool):
            raise ArgumentError(
                f"{type(self).__name__}: reverse must be True or False, not {self.reverse!r}"
            )

    @property
    def outputs(self) -> int:
        """Width of a step of the sequences that come out."""
        return self.hidden

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters by name, in order."""
        size = self.gates * self.hidden
        return {
            "weight_ih_l0": (size, self.inputs),
            "weight_hh_l0": (size, self.hidden),
            "bias_ih_l0": (size,),
            "bias_hh_l0": (size,),
        }

    def initial(self, seed: int, name: str) -> dict[str, np.ndarray]:
        """Return initial parameters: uniform on ``(-1, 1) / sqrt(hidden)``, the rule of torch.

        Args:
            seed: Seed of the run.
            name: Name of the network in its program.
        """
        bound = 1.0 / math.sqrt(self.hidden)
        return {
            parameter: generator_of(seed, name, parameter).uniform(-bound, bound, shape)
            for parameter, shape in self.parameters().items()
        }


@dataclass(frozen=True)
class RNN(AbstractRecurrent):
    """Elman's network; `activation` is "tanh" or "relu"."""

    activation: str = "tanh"
    cell = "rnn"
    gates = 1

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.activation not in ("tanh", "relu"):
            raise ArgumentError(
                f"RNN: activation must be 'tanh' or 'relu', not {self.activation!r}"
            )


@dataclass(frozen=True)
class GRU(AbstractRecurrent):
    """Gated recurrent units."""

    cell = "gru"
    gates = 3


@dataclass(frozen=True)
class LSTM(AbstractRecurrent):
    """Long short-term memory; its cells start at zero and stay inside."""

    cell = "lstm"
    gates = 4


def check_sequences(shape: tuple[int, ...], inputs: int) -> None:
    """Refuse arrays that are no sequences of rows of width `inputs`."""
    if len(shape) < 2 or shape[-1] != inputs:
        raise ArgumentError(
            f"the network takes sequences of rows of width {inputs}, shape (..., T, {inputs}), "
            f"not an array of shape {tuple(shape)}"
        )


def turn_index(xp: Any, length: int, lengths: Array) -> Array:
    """Return the step that each step of a sequence turned within its own length comes from.

    Args:
        xp: Array namespace.
        length: Number of steps T, padding included.
        lengths: Number of steps of each sequence, ``(*,)``.

    Returns:
        Steps ``(*, T)``; those of the padding stay in place. Turning twice changes nothing.
    """
    steps, ends = xp.arange(length), lengths[..., None]
    return xp.where(steps < ends, ends - 1 - steps, steps)
