r"""Networks as values: what a network is, before any host builds it.

A network is a stack of `L` layers with one activation `s` between them:

    h_0 = x,    h_l = s(W_l h_{l-1} + b_l)  for l < L,    y = W_L h_{L-1} + b_L

where `W_l` is a matrix, a convolution or a transposed convolution. Every network maps flat rows
to flat rows, `(*, inputs) -> (*, outputs)`; images are rows of `C * H * W` numbers, in that order.

The parameters of layer `l` are `layers.l.weight` and `layers.l.bias`, laid out as in torch:
`(out, in)`, `(out, in, k, k)` for a convolution, `(in, out, k, k)` for a transposed one.
`initial` draws them with numpy, so that every host starts from the same numbers.
"""

import math
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from numbers import Integral

from ppgm.errors import ArgumentError
from ppgm.nets_layers import ACTIVATIONS, Convolution, Layer, Transposed, dense, maps_of
from ppgm.nets_masked import MADE, Damped
from ppgm.nets_recurrent import GRU, LSTM, RNN
from ppgm.nets_stack import AbstractStack, Network

__all__ = [
    "ACTIVATIONS",
    "GRU",
    "LSTM",
    "MADE",
    "MLP",
    "RNN",
    "Conv",
    "Damped",
    "Deconv",
    "Network",
]


@dataclass(frozen=True)
class MLP(AbstractStack):
    """Multilayer perceptron; `hidden=()` is an affine map.

    Args:
        inputs: Width of the rows that go in.
        hidden: Widths of the hidden layers.
        outputs: Width of the rows that come out.
        activation: One of `ACTIVATIONS`.
    """

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    _: KW_ONLY
    activation: str = "tanh"

    def __post_init__(self) -> None:
        """Check the fields and turn lists into tuples."""
        _check(self, sizes=("inputs", "outputs"), lists=("hidden",))

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers, first to last."""
        return dense(self.inputs, *self.hidden, self.outputs)


@dataclass(frozen=True)
class Conv(AbstractStack):
    """Convolutions of an image, then affine layers.

    The padding is `(kernel - 1) // 2`: an odd kernel divides each side by `stride`, rounding up.

    Args:
        shape: Image shape `(C, H, W)`; rows that go in have `C * H * W` numbers.
        channels: Channels after each convolution.
        outputs: Width of the rows that come out.
        kernel: Side of the square kernel.
        stride: Step of each convolution.
        hidden: Widths of the affine layers between the convolutions and the output.
        activation: One of `ACTIVATIONS`.
    """

    shape: tuple[int, int, int]
    channels: tuple[int, ...]
    outputs: int
    _: KW_ONLY
    kernel: int = 3
    stride: int = 2
    hidden: tuple[int, ...] = ()
    activation: str = "tanh"

    def __post_init__(self) -> None:
        """Check the fields and turn lists into tuples."""
        _check(self, ("outputs", "kernel", "stride"), ("shape", "channels", "hidden"))
        _check_image(self, self.shape, self.channels, self.kernel, self.stride)

    @property
    def inputs(self) -> int:
        """Width of the rows that go in, `C * H * W`."""
        return math.prod(self.shape)

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers, first to last."""
        maps = maps_of(self.shape, self.channels, self.kernel, self.stride)
        padding = (self.kernel - 1) // 2
        down = tuple(
            Convolution(before, after[0], self.kernel, self.stride, padding)
            for before, after in pairwise(maps)
        )
        return down + dense(math.prod(maps[-1]), *self.hidden, self.outputs)


@dataclass(frozen=True)
class Deconv(AbstractStack):
    """Affine layers, then transposed convolutions up to an image: `Conv` backwards.

    The sizes on the way are those that `Conv` passes through from `shape`, so the image comes out
    with exactly the shape asked for. `Conv(shape, (16, 32), L)` is mirrored by
    `Deconv(L, shape, (32, 16))`. For a likelihood of two parameters ask for `(2 * C, H, W)`: the
    first half of each row is then the first parameter.

    Args:
        inputs: Width of the rows that go in.
        shape: Image shape `(C, H, W)`; rows that come out have `C * H * W` numbers.
        channels: Channels before each transposed convolution.
        kernel: Side of the square kernel.
        stride: Step of each transposed convolution.
        hidden: Widths of the affine layers before the first map.
        activation: One of `ACTIVATIONS`.
    """

    inputs: int
    shape: tuple[int, int, int]
    channels: tuple[int, ...]
    _: KW_ONLY
    kernel: int = 3
    stride: int = 2
    hidden: tuple[int, ...] = ()
    activation: str = "tanh"

    def __post_init__(self) -> None:
        """Check the fields and turn lists into tuples."""
        _check(self, ("inputs", "kernel", "stride"), ("shape", "channels", "hidden"))
        _check_image(self, self.shape, self.channels, self.kernel, self.stride)

    @property
    def outputs(self) -> int:
        """Width of the rows that come out, `C * H * W`."""
        return math.prod(self.shape)

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers, first to last."""
        maps = maps_of(self.shape, self.channels[::-1], self.kernel, self.stride)[::-1]
        up = tuple(self._transposed(before, after) for before, after in pairwise(maps))
        return dense(self.inputs, *self.hidden, math.prod(maps[0])) + up

    def _transposed(self, before: tuple[int, ...], after: tuple[int, ...]) -> Transposed:
        padding = (self.kernel - 1) // 2
        # `(n - 1) * stride - 2 * padding + kernel` is the smallest size that shrinks to n.
        down, across = (
            big - (small - 1) * self.stride + 2 * padding - self.kernel
            for small, big in zip(before[1:], after[1:], strict=True)
        )
        extra = (down, across)
        return Transposed(before, after[0], self.kernel, self.stride, padding, extra)


def _check(spec: "MLP | Conv | Deconv", sizes: tuple[str, ...], lists: tuple[str, ...]) -> None:
    for field in sizes:
        _settle(spec, field, _size(spec, field, getattr(spec, field)))
    for field in lists:
        values = getattr(spec, field)
        if not isinstance(values, tuple | list):
            raise _refusal(spec, field, "a tuple of positive whole numbers", values)
        _settle(spec, field, tuple(_size(spec, field, value) for value in values))
    if spec.activation not in ACTIVATIONS:
        raise _refusal(spec, "activation", f"one of {', '.join(ACTIVATIONS)}", spec.activation)


def _check_image(
    spec: object, shape: tuple[int, ...], channels: tuple[int, ...], kernel: int, stride: int
) -> None:
    if len(shape) != 3:
        raise _refusal(spec, "shape", "(channels, height, width)", shape)
    if not channels:
        raise _refusal(spec, "channels", "at least one number of channels", channels)
    if min(map(min, maps_of(shape, channels, kernel, stride))) < 1:
        wanted = f"large enough for {len(channels)} convolutions of kernel {kernel}"
        raise _refusal(spec, "shape", wanted, shape)


def _size(spec: object, field: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise _refusal(spec, field, "made of positive whole numbers", value)
    return int(value)


def _settle(spec: object, field: str, value: object) -> None:
    object.__setattr__(spec, field, value)  # the one way to set a field of a frozen dataclass


def _refusal(spec: object, field: str, wanted: str, value: object) -> ArgumentError:
    return ArgumentError(f"{type(spec).__name__}: '{field}' must be {wanted}, not {value!r}.")
