"""Networks of `ppgm.nets` built as Equinox modules.

The modules are pytrees whose only leaves are the parameters, at paths such as
`.layers[0].weight`; `flatten` and `unflatten` call them `layers.0.weight`.
"""

import math
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax, nn
from jax.tree_util import keystr, tree_flatten_with_path, tree_unflatten
from jax.typing import DTypeLike

from ppgm.host_numpyro_ops import softplus
from ppgm.nets_equinox_recurrent import Recurrent
from ppgm.nets_layers import Convolution, Dense, Layer, Masked, Transposed
from ppgm.nets_recurrent import AbstractRecurrent
from ppgm.nets_stack import AbstractForeign, Network, check_arrays, check_parts

__all__ = ["Images", "Stack", "build", "flatten", "unflatten"]

M = TypeVar("M", bound=eqx.Module)


def build(
    spec: Network | AbstractRecurrent | AbstractForeign,
    arrays: Mapping[str, Any],
    dtype: DTypeLike,
) -> Any:
    """Return a module with the parameters `arrays`.

    Args:
        spec: Network to build.
        arrays: Parameters by canonical name, with the shapes of `spec.parameters()`.
        dtype: Type of the parameters, such as `jnp.float32`.

    Returns:
        Module from `(*, inputs)` to `(*, outputs)`, for any leading dimensions.
    """
    check_arrays(spec.parameters(), arrays)
    values = {name: jnp.asarray(array, dtype) for name, array in arrays.items()}
    if isinstance(spec, AbstractForeign):
        return spec.build(values, dtype)
    if isinstance(spec, AbstractRecurrent):
        return Recurrent(**values, spec=spec)
    layers = tuple(
        _layer(layer, values[f"layers.{i}.weight"], values[f"layers.{i}.bias"])
        for i, layer in enumerate(spec.layers())
    )
    return Stack(layers, spec.inputs, spec.activation)


def flatten(module: eqx.Module) -> dict[str, Any]:
    """Return the floating-point arrays of a module by canonical name, in order of the pytree."""
    leaves, _ = tree_flatten_with_path(module)
    return {_name(path): leaf for path, leaf in leaves if eqx.is_inexact_array(leaf)}


def unflatten(module: M, arrays: Mapping[str, Any]) -> M:
    """Return a copy of `module` that holds `arrays`, called by the names of `flatten`.

    Works under `jax.jit`, `jax.grad` and `jax.vmap`: the arrays may be tracers.
    """
    check_arrays({name: jnp.shape(leaf) for name, leaf in flatten(module).items()}, arrays)
    leaves, structure = tree_flatten_with_path(module)
    swapped = [
        arrays[_name(path)] if eqx.is_inexact_array(leaf) else leaf for path, leaf in leaves
    ]
    return tree_unflatten(structure, swapped)


class Stack(eqx.Module):
    """A stack of layers, applied to all leading dimensions at once."""

    layers: tuple["eqx.nn.Linear | MaskedLinear | Images", ...]
    inputs: int = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    @property
    def splits(self) -> bool:
        """Whether it takes its rows in parts."""
        return not isinstance(self.layers[0], Images)

    def __call__(self, *parts: jax.Array) -> jax.Array:
        """Map rows `(*, inputs)` to rows `(*, outputs)`; see `ppgm.nets_stack.check_parts`."""
        check_parts([jnp.shape(part) for part in parts], self.inputs)
        activation = _activation(self.activation)
        first, *rest = self.layers
        x = _apply(first, parts[0]) if len(parts) == 1 else _affine(first, parts)
        for layer in rest:
            x = _apply(layer, activation(x))
        return x


class MaskedLinear(eqx.Module):
    """An affine layer with a mask, which is no leaf."""

    weight: jax.Array
    bias: jax.Array
    plan: Masked = eqx.field(static=True)


Affine = eqx.nn.Linear | MaskedLinear


class Images(eqx.Module):
    """A convolution or transposed convolution from flat rows to flat rows.

    Layouts are those of torch: `eqx.nn.ConvTranspose2d` has another weight, `eqx.nn.Conv2d`
    another bias.
    """

    weight: jax.Array
    bias: jax.Array
    plan: Convolution | Transposed = eqx.field(static=True)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map rows `(*, C * H * W)` to rows of the new image."""
        images = jnp.reshape(x, (math.prod(x.shape[:-1]), *self.plan.takes))
        images = _convolve(self.plan, self.weight, images) + self.bias[:, None, None]
        return jnp.reshape(images, (*x.shape[:-1], math.prod(images.shape[1:])))


def _convolve(plan: Convolution | Transposed, weight: jax.Array, images: jax.Array) -> jax.Array:
    """Convolve images `(N, C, H, W)`."""
    dimensions = ("NCHW", "OIHW", "NCHW")
    if isinstance(plan, Convolution):
        return lax.conv_general_dilated(
            images,
            weight,
            window_strides=(plan.stride, plan.stride),
            padding=[(plan.padding, plan.padding)] * 2,
            dimension_numbers=dimensions,
        )
    # The adjoint of a convolution: spread the input by `stride`, then convolve with the kernel
    # turned around; what the convolution padded is what remains to be padded here.
    turned = jnp.swapaxes(jnp.flip(weight, (2, 3)), 0, 1)
    rest = plan.kernel - 1 - plan.padding
    return lax.conv_general_dilated(
        images,
        turned,
        window_strides=(1, 1),
        padding=[(rest, rest + extra) for extra in plan.extra],
        lhs_dilation=(plan.stride, plan.stride),
        dimension_numbers=dimensions,
    )


def _affine(layer: Affine | Images, parts: tuple[jax.Array, ...]) -> jax.Array:
    """Apply a layer to parts of its rows: a part that `vmap` does not map is used once."""
    ends = list(accumulate(part.shape[-1] for part in parts))[:-1]
    columns = jnp.split(_weight(layer), ends, axis=1)
    first, *rest = (_rows(own, part) for part, own in zip(parts, columns, strict=True))
    return sum(rest, first if layer.bias is None else first + layer.bias)


def _weight(layer: Affine | Images) -> jax.Array:
    if isinstance(layer, MaskedLinear):
        return jnp.where(layer.plan.mask, layer.weight, 0)
    return layer.weight


def _apply(layer: Affine | Images, x: jax.Array) -> jax.Array:
    if isinstance(layer, Images):
        return layer(x)
    # `eqx.nn.Linear` itself takes one row only
    rows = _rows(_weight(layer), x)
    return rows if layer.bias is None else rows + layer.bias


def _rows(weight: jax.Array, x: jax.Array) -> jax.Array:
    # XLA is fastest on one flat matrix of rows
    rows = jnp.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1])) @ weight.T
    return jnp.reshape(rows, (*x.shape[:-1], rows.shape[-1]))


def _layer(layer: Layer, weight: jax.Array, bias: jax.Array) -> Affine | Images:
    if isinstance(layer, Masked):
        return MaskedLinear(weight, bias, layer)
    if not isinstance(layer, Dense):
        return Images(weight, bias, layer)
    # Shapes alone: the draws of Equinox would be thrown away.
    linear = eqx.filter_eval_shape(
        lambda: eqx.nn.Linear(layer.inputs, layer.outputs, key=jax.random.key(0))
    )
    return eqx.tree_at(lambda m: (m.weight, m.bias), linear, (weight, bias))


def _name(path: tuple[Any, ...]) -> str:
    return keystr(path, simple=True, separator=".")


def _activation(name: str) -> Callable[[jax.Array], jax.Array]:
    return {
        "elu": nn.elu,
        "identity": lambda x: x,
        "leaky_relu": lambda x: jnp.where(x > 0, x, 0.01 * x),  # slope 0.01 at 0, as torch has it
        "relu": nn.relu,
        "sigmoid": nn.sigmoid,
        "silu": nn.silu,
        "softplus": softplus,
        "tanh": jnp.tanh,
    }[name]
