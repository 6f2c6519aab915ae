r"""Glow: a flow of small images in several scales.

A step of a level normalises each channel, mixes the channels of every pixel by one matrix, and
maps half of the channels by what convolutions of the other half say:

.. math::
    u = (h - m) e^{-s}, \quad v_p = W u_p, \quad z_A = v_A, \quad
    z_B = (v_B - m(v_A)) e^{-a(v_A)}

A level begins with a squeeze, 2 x 2 pixels to 4 times as many channels, and ends, but for the
last one, by setting half of the channels aside: they are noise, given what goes on.

References:
    | Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018),
    | https://arxiv.org/abs/1807.03039
    | Density estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2017),
    | https://arxiv.org/abs/1605.08803
"""

__all__ = ["Glow", "squeeze_order"]

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ppgm.domains import check_size, check_widths
from ppgm.errors import ArgumentError
from ppgm.models.density import AbstractDensity, Norm, check_networks, orthogonal
from ppgm.nets import Damped
from ppgm.nets_images import ConvMap
from ppgm.transforms import Affine, Coupling, Inverse, Permutation, Transform
from ppgm.transforms.leading import Leading

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Glow(AbstractDensity):
    """Density of images as rows ``(N, C * H * W)``; site "x".

    Pixels are taken to be continuous: grey levels are dequantised first, see
    `ppgm.data.dequantise`, and standardised like all data of density models.

    Args:
        shape: Image shape (channels, height, width).
        levels: Number of scales; height and width are divisible by 2 that many times.
        depth: Number of steps of each level.
        hidden: Channels of the hidden layers of each step's network.
        activation: Activation of the networks.
    """

    shape: Shape
    levels: int = 2
    depth: int = 4
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "relu"

    def __post_init__(self) -> None:
        check_size(self, "levels", "depth")
        check_widths(self, "shape")
        check_networks(self)
        if len(self.shape) != 3 or any(side % 2**self.levels for side in self.shape[1:]):
            raise ArgumentError(
                f"Glow: shape must be (channels, height, width) with sides that are multiples of "
                f"{2**self.levels} for {self.levels} levels, not {self.shape!r}"
            )

    @property
    def columns(self) -> int:
        """Number of pixels times channels."""
        return prod(self.shape)

    def steps(self, ppl: Any, norm: Norm) -> list[Transform]:
        """Returns the steps from data to noise."""
        steps: list[Transform] = []
        shape, number = self.shape, 0
        for level in range(self.levels):
            size = prod(shape)
            mine: list[Transform] = [Permutation(squeeze_order(shape))]
            shape = (4 * shape[0], shape[1] // 2, shape[2] // 2)
            for _ in range(self.depth):
                mine += [norm(number, shape[0]), orthogonal(ppl, number, shape[0])]
                mine.append(self._coupling(ppl, f"coupling{number}", shape))
                number += 1
            if level < self.levels - 1:
                mine.append(self._coupling(ppl, f"split{level}", shape))
            steps += [Leading(step, size) for step in mine]
            shape = (shape[0] // 2, *shape[1:])
        return steps

    def _coupling(self, ppl: Any, name: str, shape: Shape) -> Transform:
        """Returns the step that maps the second half of the channels given the first."""
        half = shape[0] // 2
        net = ConvMap((half, *shape[1:]), self.hidden, 2 * half, activation=self.activation)
        return Inverse(Coupling(ppl.module(name, Damped(net)), Affine))


def squeeze_order(shape: Shape) -> tuple[int, ...]:
    """Returns which number of a row goes where when 2 x 2 pixels become channels.

    Args:
        shape: Image shape (channels, height, width) before.
    """
    channels, height, width = shape
    index = np.arange(prod(shape)).reshape(channels, height // 2, 2, width // 2, 2)
    return tuple(int(i) for i in index.transpose(0, 2, 4, 1, 3).reshape(-1))
