r"""Chains of Gaussian steps through one hidden layer, on jax: draws, and the way back.

The step is that of `ppgm.host_pyro_chains`. The derivative that jax makes of a scan adds up the
gradients of the weights from step to step; here they are products over all steps.
"""

__all__ = ["tanh_chain"]

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax, nn


def tanh_chain(
    z: Array,
    noise: Array,
    read: Array,
    inward: Array,
    bias: Array,
    outward: Array,
    alive: Array | None,
) -> tuple[Array, Array]:
    """Runs the chain; arguments and results are those of `ppgm.host_pyro_chains.tanh_chain`."""
    size = noise.shape[-1]
    keep = jnp.ones(noise.shape[:-1], bool) if alive is None else alive
    keep = jnp.broadcast_to(keep, noise.shape[:-1])[..., None]
    read = jnp.broadcast_to(read, (*noise.shape[:-1], 2 * size))
    z = jnp.broadcast_to(z, (*noise.shape[:-2], size))
    first = tuple(jnp.moveaxis(a, -2, 0) for a in (noise, read, keep))
    found: Any = _chain(z, *first, inward, bias, outward)
    states, outputs = (jnp.moveaxis(a, 0, -2) for a in found)
    logs = jnp.log(_softplus(outputs[..., size:]))
    return states, jnp.where(keep, logs, 0.0).sum(-1)


@jax.custom_vjp
def _chain(
    z: Array, noise: Array, read: Array, keep: Array, inward: Array, bias: Array, outward: Array
) -> tuple[Array, Array]:
    """From first states and what comes in at each step, ``(T, *, n)``, to states and outputs."""
    return _forward(z, noise, read, keep, inward, bias, outward)[0]


def _forward(
    z: Array, noise: Array, read: Array, keep: Array, inward: Array, bias: Array, outward: Array
) -> tuple[tuple[Array, Array], Any]:
    size = z.shape[-1]

    def step(z: Array, x: tuple[Array, Array, Array]) -> tuple[Array, Any]:
        e, i, here = x
        hidden = jnp.tanh(z @ inward + bias)
        out = hidden @ outward + i
        z = jnp.where(here, out[..., :size] + _softplus(out[..., size:]) * e, e)
        return z, (z, out, hidden)

    states, outputs, hidden = lax.scan(step, z, (noise, read, keep))[1]
    return (states, outputs), (z, noise, keep, inward, outward, states, outputs, hidden)


def _backward(saved: Any, grads: tuple[Array, Array]) -> tuple[Any, ...]:
    z, noise, keep, inward, outward, states, outputs, hidden = saved
    size = z.shape[-1]
    moved = noise * nn.sigmoid(outputs[..., size:])
    # XLA would turn them anew in every step
    back, forth = lax.optimization_barrier((outward.T, inward.T))

    def step(carry: Array, x: Any) -> tuple[Array, Any]:
        by_state, by_output, here, slope, pushed = x
        own = jnp.where(here, by_state + carry, 0.0)
        out = by_output + jnp.concatenate([own, own * pushed], -1)
        inner = (out @ back) * slope
        return inner @ forth, (own, out, inner)

    xs = (*grads, keep, 1 - hidden * hidden, moved)
    carry, (own, out, inner) = lax.scan(step, jnp.zeros_like(z), xs, reverse=True)
    before = jnp.concatenate([z[None], states[:-1]])
    by_noise = jnp.where(keep, own * _softplus(outputs[..., size:]), grads[0])
    products = _product(before, inner), inner.reshape(-1, inner.shape[-1]).sum(0)
    return carry, by_noise, out, None, *products, _product(hidden, out)


_chain.defvjp(_forward, _backward)


def _product(a: Array, b: Array) -> Array:
    """Sums the products of rows ``(*, n)`` and ``(*, m)`` to ``(n, m)``."""
    return a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])


def _softplus(x: Array) -> Array:
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))
