"""Networks of `ppgm.nets` built with `torch.nn`.

The modules are ordinary: `state_dict`, `to`, hooks, `torch.func` and `torch.compile` apply.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import skip_init

from ppgm.nets_layers import Convolution, Dense, Layer, Masked
from ppgm.nets_recurrent import AbstractRecurrent
from ppgm.nets_stack import AbstractForeign, Network, check_arrays, check_parts, check_width
from ppgm.nets_torch_recurrent import Recurrent

__all__ = ["ImageStack", "RowStack", "build"]

Activation = Callable[[torch.Tensor], torch.Tensor]


def build(
    spec: Network | AbstractRecurrent | AbstractForeign,
    arrays: Mapping[str, np.ndarray],
    dtype: torch.dtype,
) -> nn.Module:
    """Return a module with the parameters `arrays`.

    Args:
        spec: Network to build.
        arrays: Parameters by canonical name, with the shapes of `spec.parameters()`; copied.
        dtype: Type of the parameters, such as `torch.float32`.

    Returns:
        Module from `(*, inputs)` to `(*, outputs)`, for any leading dimensions.
    """
    check_arrays(spec.parameters(), arrays)
    if isinstance(spec, AbstractForeign):
        return spec.build(arrays, dtype)
    module = _module(spec, dtype)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.from_numpy(np.array(arrays[name])))
    return module


def _module(spec: Network | AbstractRecurrent, dtype: torch.dtype) -> nn.Module:
    if isinstance(spec, AbstractRecurrent):
        return Recurrent(spec, dtype)
    flat = all(isinstance(layer, Dense | Masked) for layer in spec.layers())
    return RowStack(spec, dtype) if flat else ImageStack(spec, dtype)


class RowStack(nn.Module):
    """Affine layers; leading dimensions need no care, `torch.nn.Linear` takes any."""

    splits = True

    def __init__(self, spec: Network, dtype: torch.dtype) -> None:
        """Lay out the parameters of `spec` without filling them."""
        super().__init__()
        self.inputs = spec.inputs
        self.activation = _activation(spec.activation)
        self.layers = nn.ModuleList(_layer(layer, dtype) for layer in spec.layers())

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        """Map rows `(*, inputs)` to rows `(*, outputs)`; see `ppgm.nets_stack.check_parts`."""
        check_parts([part.shape for part in parts], self.inputs)
        first, *rest = self.layers
        x = first(parts[0]) if len(parts) == 1 else _affine(first, parts)
        for layer in rest:
            x = layer(self.activation(x))
        return x


class MaskedLinear(nn.Module):
    """An affine layer with a mask, which is no parameter and in no state dict."""

    mask: torch.Tensor

    def __init__(self, plan: Masked, dtype: torch.dtype) -> None:
        """Lay out the parameters without filling them."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(plan.weight, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(plan.outputs, dtype=dtype))
        self.register_buffer("mask", torch.from_numpy(plan.mask).to(dtype), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map rows `(*, inputs)` to rows `(*, outputs)`."""
        return functional.linear(x, _weight(self), self.bias)


class ImageStack(nn.Module):
    """Affine layers and convolutions; leading dimensions are flattened and restored."""

    splits = False

    def __init__(self, spec: Network, dtype: torch.dtype) -> None:
        """Lay out the parameters of `spec` without filling them."""
        super().__init__()
        self.inputs, self.outputs = spec.inputs, spec.outputs
        self.takes = tuple(layer.takes for layer in spec.layers())
        self.activation = _activation(spec.activation)
        self.layers = nn.ModuleList(_layer(layer, dtype) for layer in spec.layers())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map rows `(*, inputs)` to rows `(*, outputs)`."""
        check_width(x.shape, self.inputs)
        leading = x.shape[:-1]
        for i, (layer, takes) in enumerate(zip(self.layers, self.takes, strict=True)):
            x = self.activation(x) if i else x
            x = layer(x.reshape(-1, *takes))
        return x.reshape(*leading, self.outputs)


def _affine(layer: Any, parts: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Apply a layer to parts of its rows: a part without an axis of the others is used once."""
    shapes = {part.shape[:-1] for part in parts}
    if len(shapes) == 1:
        return layer(torch.cat(parts, -1))
    columns = _weight(layer).split([part.shape[-1] for part in parts], 1)
    first, *rest = map(functional.linear, parts, columns)
    return sum(rest, first + layer.bias)


def _weight(layer: Any) -> torch.Tensor:
    return layer.weight * layer.mask if isinstance(layer, MaskedLinear) else layer.weight


def _layer(layer: Layer, dtype: torch.dtype) -> nn.Module:
    # skip_init: the weights are ours, and torch's own draws would disturb the caller's seed.
    if isinstance(layer, Masked):
        return MaskedLinear(layer, dtype)
    if isinstance(layer, Dense):
        return skip_init(nn.Linear, layer.inputs, layer.outputs, dtype=dtype)
    options = {"stride": layer.stride, "padding": layer.padding, "dtype": dtype}
    sizes = (layer.takes[0], layer.outputs, layer.kernel)
    if isinstance(layer, Convolution):
        return skip_init(nn.Conv2d, *sizes, **options)
    return skip_init(nn.ConvTranspose2d, *sizes, output_padding=layer.extra, **options)


def _activation(name: str) -> Activation:
    return {
        "elu": functional.elu,
        "identity": _identity,
        "leaky_relu": functional.leaky_relu,
        "relu": torch.relu,
        "sigmoid": torch.sigmoid,
        "silu": functional.silu,
        "softplus": _softplus,
        "tanh": torch.tanh,
    }[name]


def _identity(x: torch.Tensor) -> torch.Tensor:
    return x


def _softplus(x: torch.Tensor) -> torch.Tensor:
    # torch becomes linear above 20, which is off by 2e-9; above 40 the two agree in float64.
    return functional.softplus(x, threshold=40.0)
