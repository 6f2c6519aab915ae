"""The VAE's step by hand in JAX."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.scipy.special import logsumexp

from benchmarks import jax_kit
from benchmarks.jax_kit import Tree
from benchmarks.row import Contestant, Row


def loss(params: Tree, key: Array, x: Array, particles: int) -> Array:
    """Returns the negative bound, mean over the rows of x `(B, D)`."""
    loc, log_scale = jnp.split(jax_kit.apply(params["encoder"], x, jnp.tanh), 2, axis=-1)
    noise = jax.random.normal(key, (particles, *loc.shape))
    z = loc + jnp.exp(log_scale) * noise

    # log p(z) - log q(z | x): the normalising constants of the two Gaussians cancel.
    divergence = (0.5 * (noise**2 - z**2) + log_scale).sum(-1)
    logits = jax_kit.apply(params["decoder"], z, jnp.tanh)
    likelihood = jax_kit.log_bernoulli(logits, x)

    bound = logsumexp(likelihood + divergence, axis=0) - math.log(particles)
    return -bound.mean()


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are those of `jax_kit.epoch`."""
    weights, data = row.weights(), jnp.array(row.data(row.size))
    params = {name: jax_kit.perceptron(weights, name) for name in ("encoder", "decoder")}
    mine = lambda params, key, x: loss(params, key, x, row.particles)  # noqa: E731
    optimiser = optax.adam(1e-3)
    update = jax_kit.gradient_update(mine, optimiser)
    first, start = data[: row.batch], jax.tree.map(jnp.copy, params)
    check = jax_kit.repeated(lambda key: (mine(start, key, first),))
    state = (params, optimiser.init(params))
    return Contestant(jax_kit.epoch(row, variant, data, state, update), check)
