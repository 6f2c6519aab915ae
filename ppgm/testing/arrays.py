"""Array helpers of the oracles: the few functions that the array API standard lacks.

They take numpy, torch and JAX arrays alike, so an exact bound that is written with them can be
differentiated by the autodiff of either host.
"""

from typing import Any, TypeAlias

import numpy as np
from array_api_compat import array_namespace

from ppgm.errors import ArgumentError

Array: TypeAlias = Any
"""A numpy, torch or JAX array: what the standard calls an array has no common type."""

MAX_BITS = 22
"""Enumerating more binary units than this (4 million states) is refused."""


def logsumexp(x: Array, *, axis: int) -> Array:
    """Log of the sum of exponentials over one axis, which is removed."""
    xp = array_namespace(x)
    top = xp.max(x, axis=axis, keepdims=True)
    return xp.squeeze(top, axis=axis) + xp.log(xp.sum(xp.exp(x - top), axis=axis))


def softplus(x: Array) -> Array:
    """`log(1 + exp(x))`, elementwise and without overflow."""
    xp = array_namespace(x)
    return xp.logaddexp(xp.zeros_like(x), x)


def sigmoid(x: Array) -> Array:
    """`1 / (1 + exp(-x))`, elementwise and without overflow."""
    xp = array_namespace(x)
    return xp.exp(-softplus(-x))


def bernoulli(x: Array, logits: Array) -> Array:
    """Log probability of a vector of independent bits.

    Args:
        x: Bits as floats, `(..., D)`.
        logits: Log odds of a one, `(..., D)`; broadcast against `x`.

    Returns:
        The sum over the last axis, `(...)`.
    """
    xp = array_namespace(x, logits)
    return xp.sum(x * logits - softplus(logits), axis=-1)


def binary_states(bits: int, *, like: Array | None = None) -> Array:
    """All vectors of `bits` zeros and ones.

    Args:
        bits: How many bits.
        like: An array whose library and dtype the answer takes; numpy float64 without it.

    Returns:
        The states in counting order, the first bit changing slowest, `(2**bits, bits)`.
    """
    if not 0 <= bits <= MAX_BITS:
        raise ArgumentError(
            f"bits is {bits}: enumeration takes 0 to {MAX_BITS} binary units; use a smaller model."
        )
    index = np.arange(2**bits)[:, None]
    states = ((index >> np.arange(bits)[::-1]) & 1).astype(np.float64)
    return states if like is None else convert(states, like=like)


def convert(x: Array, *, like: Array) -> Array:
    """The array `x` in the library and dtype of `like`."""
    return array_namespace(like).asarray(x, dtype=like.dtype)
