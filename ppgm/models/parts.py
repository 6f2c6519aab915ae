"""Parts of declarations: likelihoods of decoders, families of guides."""

__all__ = ["affine_of", "applied", "beside", "check_choice", "check_part"]

from collections.abc import Callable
from typing import Any

import numpy as np

from ppgm.domains import check_choice, check_part
from ppgm.ops import Array


def affine_of(ppl: Any, net: Callable[[Array], Array], inputs: int) -> tuple[Array, Array]:
    """Returns weight ``(outputs, inputs)`` and bias ``(outputs,)`` of an affine network."""
    xp = ppl.np
    bias = net(xp.zeros(inputs))
    return (net(xp.eye(inputs)) - bias).T, bias


def applied(ppl: Any, net: Any, *arrays: Array) -> Array:
    """Returns a network's outputs of arrays side by side; affine ones take them in parts."""
    return net(*arrays) if getattr(net, "splits", False) else net(beside(ppl, *arrays))


def beside(ppl: Any, *arrays: Array) -> Array:
    """Returns arrays side by side along their last axis, with the batch axes that any has."""
    batch = np.broadcast_shapes(*(tuple(a.shape[:-1]) for a in arrays))
    xp = ppl.np
    return xp.concat([xp.broadcast_to(a, (*batch, a.shape[-1])) for a in arrays], axis=-1)
