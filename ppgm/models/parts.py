"""Parts of declarations: likelihoods of decoders, families of guides."""

__all__ = ["affine_of", "applied", "beside", "check_choice", "check_part"]

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ppgm.domains import check_choice
from ppgm.errors import ArgumentError, did_you_mean
from ppgm.ops import Array


def check_part(name: str, value: Any, method: str, choices: Iterable[str]) -> None:
    """Checks that a field holds a part: an object that has `method`, and can be called.

    Args:
        name: The field.
        value: What it holds.
        method: The method that such a part has.
        choices: Names of the classes that ppgm has for it.

    Raises:
        ArgumentError: Names the choices.
    """
    known, is_class = list(choices), isinstance(value, type)
    if not is_class and callable(value) and callable(getattr(value, method, None)):
        return
    given = value.__name__ if is_class else value
    hint = did_you_mean(f"{given}()", [f"{n}()" for n in known])
    what = f"the class {given}" if is_class else repr(value)
    raise ArgumentError(
        f"{name} must be {', '.join(f'{n}(...)' for n in known)} or an object with the same "
        f"methods, not {what}{hint}"
    )


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
