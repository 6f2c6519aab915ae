"""Layers of binary units: distributions, weights within a layer, and checks of their widths."""

__all__ = [
    "ENUMERABLE_UNITS",
    "affine_maps",
    "bits",
    "check_enumerable",
    "check_layers",
    "deep",
    "within",
]

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppgm.distributions_bits import AutoregressiveBernoulli
from ppgm.domains import check_widths
from ppgm.errors import ArgumentError
from ppgm.nets import MLP
from ppgm.ops import Array
from ppgm.testing import sbn

ENUMERABLE_UNITS = 16
"""Most hidden units of a net whose log p(x) is computed by enumeration."""


def bits(ppl: Any, logits: Array, weight: Array | None = None) -> Any:
    """Returns the host's distribution of a layer, ``(*, D)``.

    Args:
        ppl: The namespace.
        logits: Logits ``(*, D)``.
        weight: Weights of earlier units of the layer, ``(D, D)``; None for independent units.
    """
    if weight is None:
        return ppl.distributions.Bernoulli(logits=logits).to_event(1)
    return ppl.distribution(AutoregressiveBernoulli(logits, weight))


def within(ppl: Any, name: str, size: int) -> Array:
    """Returns the weights within a layer, the parameter "{name}_within" ``(size, size)``.

    Only those below the diagonal count; the others start at zero and stay there.
    """
    name = f"{name}_within"

    def start() -> np.ndarray:
        weight = MLP(size, (), size).initial(ppl.seed, name)["layers.0.weight"]
        return np.tril(weight, k=-1)

    return ppl.param(name, start)


def deep(params: Mapping[str, np.ndarray], name: str, depth: int) -> sbn.Layer:
    """Returns a layer's parameters as the reference functions of `ppgm.testing` take them.

    Args:
        params: All parameters.
        name: Name of the layer's network.
        depth: Number of affine maps in it.
    """
    affine = affine_maps(params, name, depth)
    own = params.get(f"{name}_within")
    return affine[0] if depth == 1 and own is None else sbn.Deep(affine, own)


def affine_maps(
    params: Mapping[str, np.ndarray], name: str, depth: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns weight and bias of each of the affine maps of a network, first to last."""
    layers = [f"{name}.layers.{n}" for n in range(depth)]
    return [(params[f"{layer}.weight"], params[f"{layer}.bias"]) for layer in layers]


def check_layers(owner: Any) -> None:
    """Checks that the field `layers` has widths for at least one layer.

    Raises:
        ArgumentError: Names the class and the value.
    """
    check_widths(owner, "layers")
    if not owner.layers:
        raise ArgumentError(
            f"{type(owner).__name__}: layers must have a width for at least one layer, not "
            f"{owner.layers!r}"
        )


def check_enumerable(layers: tuple[int, ...]) -> None:
    """Checks that the hidden units are few enough for log p(x) by enumeration.

    Raises:
        ArgumentError: Says what to use instead.
    """
    if sum(layers) > ENUMERABLE_UNITS:
        raise ArgumentError(
            f"layers {layers} have {sum(layers)} units: enumeration is for at most "
            f"{ENUMERABLE_UNITS}; use ppgm.evaluate"
        )
