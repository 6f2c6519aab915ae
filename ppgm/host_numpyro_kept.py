"""Compiled functions that later calls find again, as compiling takes seconds."""

__all__ = ["kept"]

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax.numpy as jnp

from ppgm.programs import Program

SIZE = 16
"""How many functions are kept; each keeps the code of the shapes that it has seen."""


@dataclass(frozen=True)
class _Recipe:
    key: tuple[Any, ...]
    make: Callable[[], Callable[..., Any]] = field(compare=False)


def kept(
    source: Program, key: tuple[Any, ...], make: Callable[[], Callable[..., Any]]
) -> Callable[..., Any]:
    """Returns what `make` makes, or what it made before for an equal declaration and key.

    Only frozen declarations are known again: what a function of the user's closes over may have
    changed since.

    Args:
        source: The program.
        key: All that the function closes over, beside the declaration.
        make: Makes the function, which must not close over parameters or data.
    """
    options = getattr(source.declaration, "__dataclass_params__", None)
    if options is None or not options.frozen:
        return make()
    typed = tuple((type(part), part) for part in key)
    try:
        return _kept(_Recipe((source.declaration, jnp.result_type(float), *typed), make))
    except TypeError:  # a part of the key has no hash
        return make()


@lru_cache(maxsize=SIZE)
def _kept(recipe: _Recipe) -> Callable[..., Any]:
    return recipe.make()
