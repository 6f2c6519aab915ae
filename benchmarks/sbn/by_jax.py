"""The SBN's VIMCO step by hand in JAX."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.lax import stop_gradient
from jax.scipy.special import logsumexp

from benchmarks import jax_kit
from benchmarks.jax_kit import Tree, log_bernoulli
from benchmarks.row import Contestant, Row


def bernoulli(key: Array, logits: Array) -> Array:
    """Returns zeros and ones with the logits' probabilities; no gradient passes."""
    probabilities = jax.nn.sigmoid(stop_gradient(logits))
    return jax.random.bernoulli(key, probabilities).astype(logits.dtype)


def vimco(log_weights: Array, log_q: Array) -> tuple[Array, Array]:
    """Returns VIMCO's surrogate loss and the bound, each `(B,)`, from `(K, B)`.

    References: Variational inference for Monte Carlo objectives (Mnih & Rezende, 2016),
    arXiv:1602.06725.
    """
    particles = len(log_weights)
    bound = logsumexp(log_weights, axis=0) - math.log(particles)
    others = (log_weights.sum(0) - log_weights) / (particles - 1)
    replaced = jnp.eye(particles, dtype=bool)[:, :, None]
    swapped = jnp.where(replaced, others[:, None], log_weights[None])
    signal = stop_gradient(bound - (logsumexp(swapped, axis=1) - math.log(particles)))
    return -(bound + (signal * log_q).sum(0)), bound


def losses(params: Tree, key: Array, x: Array, particles: int) -> tuple[Array, Array]:
    """Returns the surrogate loss and the negative bound, means over the rows of x `(B, D)`."""
    affine = lambda name, h: jax_kit.affine(params[name], h)  # noqa: E731
    key1, key2 = jax.random.split(key)
    logits = affine("encoder1", x)
    first = jnp.broadcast_to(logits, (particles, *logits.shape))
    h1 = bernoulli(key1, first)
    second = affine("encoder2", h1)
    h2 = bernoulli(key2, second)

    log_q = log_bernoulli(first, h1) + log_bernoulli(second, h2)
    log_p = log_bernoulli(params["prior"], h2) + log_bernoulli(affine("decoder2", h2), h1)
    log_p = log_p + log_bernoulli(affine("decoder1", h1), x)

    surrogate, bound = vimco(log_p - log_q, log_q)
    return surrogate.mean(), -bound.mean()


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are those of `jax_kit.epoch`."""
    weights, data = row.weights(), jnp.array(row.data(row.size))
    names = ("encoder1", "encoder2", "decoder1", "decoder2")
    params = {name: jax_kit.perceptron(weights, name)[0] for name in names}
    params["prior"] = jnp.array(weights["prior"])
    optimiser = optax.adam(1e-3)

    def update(state: Tree, key: Array, batch: Array) -> tuple[Tree, Array]:
        params, moments = state
        gradient, loss = jax.grad(losses, has_aux=True)(params, key, batch, row.particles)
        changes, moments = optimiser.update(gradient, moments, params)
        return (optax.apply_updates(params, changes), moments), loss

    first, start = data[: row.batch], jax.tree.map(jnp.copy, params)
    check = jax_kit.repeated(lambda key: (losses(start, key, first, row.particles)[1],))
    state = (params, optimiser.init(params))
    return Contestant(jax_kit.epoch(row, variant, data, state, update), check)
