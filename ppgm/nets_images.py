"""Networks from images to images of the same size."""

__all__ = ["ConvMap"]

import math
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise

from ppgm.domains import check_size, check_widths
from ppgm.errors import ArgumentError
from ppgm.nets_layers import ACTIVATIONS, Convolution, Layer
from ppgm.nets_stack import AbstractStack


@dataclass(frozen=True)
class ConvMap(AbstractStack):
    """Convolutions that keep height and width.

    Args:
        shape: Image shape ``(C, H, W)``; rows that go in have C * H * W numbers.
        channels: Channels after each convolution but the last.
        outputs_per_pixel: Channels that come out; rows have that many times H * W numbers.
        kernel: Side of the square kernel, odd.
        activation: One of `ppgm.nets.ACTIVATIONS`.
    """

    shape: tuple[int, int, int]
    channels: tuple[int, ...]
    outputs_per_pixel: int
    _: KW_ONLY
    kernel: int = 3
    activation: str = "relu"

    def __post_init__(self) -> None:
        check_widths(self, "shape")
        check_widths(self, "channels")
        check_size(self, "outputs_per_pixel", "kernel")
        if len(self.shape) != 3:
            raise ArgumentError(
                f"ConvMap: shape must be (channels, height, width), not {self.shape!r}"
            )
        if self.kernel % 2 == 0:
            raise ArgumentError(
                f"ConvMap: kernel must be odd, so that sizes are kept, not {self.kernel}"
            )
        if self.activation not in ACTIVATIONS:
            raise ArgumentError(
                f"ConvMap: activation must be one of {', '.join(ACTIVATIONS)}, "
                f"not {self.activation!r}"
            )

    @property
    def inputs(self) -> int:
        """Width of the rows that go in."""
        return math.prod(self.shape)

    @property
    def outputs(self) -> int:
        """Width of the rows that come out."""
        return self.outputs_per_pixel * self.shape[1] * self.shape[2]

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers, first to last."""
        size, padding = self.shape[1:], (self.kernel - 1) // 2
        widths = (self.shape[0], *self.channels, self.outputs_per_pixel)
        return tuple(
            Convolution((before, *size), after, self.kernel, 1, padding)
            for before, after in pairwise(widths)
        )
