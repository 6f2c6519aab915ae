r"""Networks as values: what a network is, before any host builds it.

A network is a stack of `L` layers with one activation `s` between them:

    h_0 = x,    h_l = s(W_l h_{l-1} + b_l)  for l < L,    y = W_L h_{L-1} + b_L

where `W_l` is a matrix, a convolution or a transposed convolution. Every network maps flat rows
to flat rows, `(*, inputs) -> (*, outputs)`; images are rows of `C * H * W` numbers, in that order.

The parameters of layer `l` are `layers.l.weight` and `layers.l.bias`, laid out as in torch:
`(out, in)`, `(out, in, k, k)` for a convolution, `(in, out, k, k)` for a transposed one.
`initial` draws them with numpy, so that every host starts from the same numbers.
"""

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any, NamedTuple, Protocol

import numpy as np

from ppgm.errors import ArgumentError

__all__ = ["ACTIVATIONS", "MLP", "Conv", "Deconv", "Network"]

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


Layer = Dense | Convolution | Transposed


class Network(Protocol):
    """What a host needs to know to build a network."""

    @property
    def inputs(self) -> int:
        """Width of the rows that go in."""
        ...

    @property
    def outputs(self) -> int:
        """Width of the rows that come out."""
        ...

    @property
    def activation(self) -> str:
        """One of `ACTIVATIONS`, applied after every layer but the last."""
        ...

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers, first to last."""
        ...

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters by name, in order."""
        ...

    def initial(self, seed: int, name: str) -> dict[str, np.ndarray]:
        """Return initial parameters for the network called `name`."""
        ...


class AbstractStack(ABC):
    """Parameters of a stack of layers."""

    @abstractmethod
    def layers(self) -> tuple[Layer, ...]:
        """Return the layers, first to last."""

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters by name, in order."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i, layer in enumerate(self.layers()):
            shapes |= {f"layers.{i}.weight": layer.weight, f"layers.{i}.bias": (layer.outputs,)}
        return shapes

    def initial(self, seed: int, name: str) -> dict[str, np.ndarray]:
        """Return initial parameters: uniform on `(-1, 1) / sqrt(fan)`, the rule of `torch.nn`.

        `fan` is the product of all dimensions of the weight but the first.

        Args:
            seed: Seed of the run.
            name: Name of the network in its program: networks that differ in name differ in
                weights, whatever the order in which they are built.

        Returns:
            Arrays of float64 by canonical name.
        """
        arrays: dict[str, np.ndarray] = {}
        for i, layer in enumerate(self.layers()):
            bound = 1.0 / math.sqrt(math.prod(layer.weight[1:]))
            for kind, shape in (("weight", layer.weight), ("bias", (layer.outputs,))):
                parameter = f"layers.{i}.{kind}"
                generator = _generator(seed, name, parameter)
                arrays[parameter] = generator.uniform(-bound, bound, shape)
        return arrays


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
        return _dense(self.inputs, *self.hidden, self.outputs)


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
        maps = _maps(self.shape, self.channels, self.kernel, self.stride)
        padding = (self.kernel - 1) // 2
        down = tuple(
            Convolution(before, after[0], self.kernel, self.stride, padding)
            for before, after in pairwise(maps)
        )
        return down + _dense(math.prod(maps[-1]), *self.hidden, self.outputs)


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
        maps = _maps(self.shape, self.channels[::-1], self.kernel, self.stride)[::-1]
        up = tuple(self._transposed(before, after) for before, after in pairwise(maps))
        return _dense(self.inputs, *self.hidden, math.prod(maps[0])) + up

    def _transposed(self, before: tuple[int, ...], after: tuple[int, ...]) -> Transposed:
        padding = (self.kernel - 1) // 2
        # `(n - 1) * stride - 2 * padding + kernel` is the smallest size that shrinks to n.
        down, across = (
            big - (small - 1) * self.stride + 2 * padding - self.kernel
            for small, big in zip(before[1:], after[1:], strict=True)
        )
        extra = (down, across)
        return Transposed(before, after[0], self.kernel, self.stride, padding, extra)


def check_arrays(shapes: Mapping[str, tuple[int, ...]], arrays: Mapping[str, Any]) -> None:
    """Refuse `arrays` whose names or shapes are not those of `shapes`."""
    if missing := [name for name in shapes if name not in arrays]:
        raise ArgumentError(f"parameters {missing} of the network are missing: pass all of them.")
    if unknown := [name for name in arrays if name not in shapes]:
        raise ArgumentError(f"the network has no parameters {unknown}: it has {list(shapes)}.")
    for name, shape in shapes.items():
        if np.shape(arrays[name]) != shape:
            raise ArgumentError(
                f"parameter '{name}' must have shape {shape}, not {np.shape(arrays[name])}: "
                "pass weights of a network of the same sizes."
            )


def check_width(shape: tuple[int, ...], inputs: int) -> None:
    """Refuse rows of another width than `inputs`."""
    if tuple(shape[-1:]) != (inputs,):
        raise ArgumentError(
            f"the network takes rows of width {inputs}, shape (..., {inputs}), "
            f"not an array of shape {tuple(shape)}: flatten each datum into one row."
        )


def _dense(*widths: int) -> tuple[Layer, ...]:
    return tuple(Dense(before, after) for before, after in pairwise(widths))


def _maps(
    shape: tuple[int, ...], channels: tuple[int, ...], kernel: int, stride: int
) -> list[tuple[int, ...]]:
    """Return the shape `(C, H, W)` before the first convolution and after each."""
    reach = kernel - 2 * ((kernel - 1) // 2)
    maps = [shape]
    for channel in channels:
        height, width = ((side - reach) // stride + 1 for side in maps[-1][1:])
        maps.append((channel, height, width))
    return maps


def _generator(seed: int, name: str, parameter: str) -> np.random.Generator:
    key = hashlib.blake2b(json.dumps([int(seed), name, parameter]).encode(), digest_size=16)
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key.digest(), "little")))


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
    if min(map(min, _maps(shape, channels, kernel, stride))) < 1:
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
