"""Loops of jax, compiled once; see `ppgm.loops`."""

__all__ = ["scan"]

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array


def scan(step: Callable[[Array, Array], tuple[Array, Array]], carry: Array, count: int) -> Array:
    """Returns the outputs of the steps side by side, ``(*, count)``."""
    outputs = jax.lax.scan(step, carry, jnp.arange(count))[1]
    return jnp.moveaxis(outputs, 0, -1)
