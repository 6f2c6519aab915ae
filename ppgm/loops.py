"""Loops of a known number of steps, for numpy, torch and jax alike."""

__all__ = ["scan"]

from collections.abc import Callable
from importlib import import_module
from typing import Any

from array_api_compat import is_jax_array

from ppgm.ops import Array, ops_of


def scan(step: Callable[[Array, Any], tuple[Array, Array]], carry: Array, count: int) -> Array:
    """Runs ``carry, output = step(carry, i)`` for i = 0, ..., count - 1.

    Under jax it is one compiled loop: a Python loop of 50 steps takes XLA 20 s to compile.

    Args:
        step: From the carry and the number of the step to the next carry, of the same shape and
            type, and an output.
        carry: What the first step gets.
        count: Number of steps, at least 1.

    Returns:
        The outputs side by side, ``(*, count)``.
    """
    if is_jax_array(carry):
        return import_module("ppgm.host_numpyro_scan").scan(step, carry, count)
    outputs = []
    for i in range(count):
        carry, output = step(carry, i)
        outputs.append(output)
    return ops_of(carry).np.stack(outputs, -1)
