"""Layers of networks as values: the shapes that go in, come out, and of the weights."""

__all__ = [
    "ACTIVATIONS",
    "Convolution",
    "Dense",
    "Layer",
    "Masked",
    "Transposed",
    "dense",
    "maps_of",
]

from itertools import pairwise
from typing import NamedTuple

import numpy as np

ACTIVATIONS = ("elu", "identity", "leaky_relu", "relu", "sigmoid", "silu", "softplus", "tanh")
"""Names with one definition on every host: `leaky_relu` has slope 0.01, `elu` has alpha 1."""


class Dense(NamedTuple):
    """Affine map `(inputs,) -> (outputs,)`."""

    inputs: int
    outputs: int

    @property
    def takes(self) -> tuple[int, ...]:
        """Shape of one input."""
        return (self.inputs,)

    @property
    def weight(self) -> tuple[int, ...]:
        """Shape of the weight; the bias has shape `(outputs,)`."""
        return (self.outputs, self.inputs)


class Masked(NamedTuple):
    """Affine map whose outputs see the inputs of their own degree and of lower ones only."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return len(self.before)

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return len(self.after)

    @property
    def takes(self) -> tuple[int, ...]:
        """Shape of one input."""
        return (self.inputs,)

    @property
    def weight(self) -> tuple[int, ...]:
        """Shape of the weight; the bias has shape `(outputs,)`."""
        return (self.outputs, self.inputs)

    @property
    def mask(self) -> np.ndarray:
        """What the weight is multiplied by, `(outputs, inputs)`."""
        return np.array(self.before)[None, :] <= np.array(self.after)[:, None]


class Convolution(NamedTuple):
    """Convolution of one image, `takes = (C, H, W)`, into `outputs` channels."""

    takes: tuple[int, ...]
    outputs: int
    kernel: int
    stride: int
    padding: int

    @property
    def weight(self) -> tuple[int, ...]:
        """Shape of the weight; the bias has shape `(outputs,)`."""
        return (self.outputs, self.takes[0], self.kernel, self.kernel)


class Transposed(NamedTuple):
    """Transposed convolution of one image, `takes = (C, H, W)`, into `outputs` channels.

    `extra` rows and columns are added at the bottom and right (torch: `output_padding`): several
    image sizes shrink to the same map, and `extra` says which of them to go back to.
    """

    takes: tuple[int, ...]
    outputs: int
    kernel: int
    stride: int
    padding: int
    extra: tuple[int, int]

    @property
    def weight(self) -> tuple[int, ...]:
        """Shape of the weight; the bias has shape `(outputs,)`."""
        return (self.takes[0], self.outputs, self.kernel, self.kernel)


Layer = Dense | Masked | Convolution | Transposed


def dense(*widths: int) -> tuple[Layer, ...]:
    """Return affine layers from each width to the next."""
    return tuple(Dense(before, after) for before, after in pairwise(widths))


def maps_of(
    shape: tuple[int, ...], channels: tuple[int, ...], kernel: int, stride: int
) -> list[tuple[int, ...]]:
    """Return the shape `(C, H, W)` before the first convolution and after each."""
    reach = kernel - 2 * ((kernel - 1) // 2)
    maps = [shape]
    for channel in channels:
        height, width = ((side - reach) // stride + 1 for side in maps[-1][1:])
        maps.append((channel, height, width))
    return maps
