"""The DLGM's step by hand in JAX."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.scipy.special import logsumexp

from benchmarks import jax_gradients, jax_kit
from benchmarks.jax_kit import Tree
from benchmarks.row import Contestant, Row


def loss(params: Tree, key: Array, x: Array, particles: int) -> Array:
    """Returns the negative bound, mean over the rows of x `(B, D)`."""
    apply = lambda name, h: jax_kit.apply(params[name], h, jnp.tanh)  # noqa: E731
    key1, key2 = jax.random.split(key)
    loc1, log_scale1 = jnp.split(apply("encoder1", x), 2, axis=-1)
    noise1 = jax.random.normal(key1, (particles, *loc1.shape))
    z1 = loc1 + jnp.exp(log_scale1) * noise1
    loc2, log_scale2 = jnp.split(apply("encoder2", z1), 2, axis=-1)
    noise2 = jax.random.normal(key2, loc2.shape)
    z2 = loc2 + jnp.exp(log_scale2) * noise2

    # log p(z) - log q(z), layer by layer: the Gaussians' normalising constants cancel.
    loc, log_scale = jnp.split(apply("prior1", z2), 2, axis=-1)
    gap = (z1 - loc) * jnp.exp(-log_scale)
    divergence1 = (0.5 * (noise1**2 - gap**2) + log_scale1 - log_scale).sum(-1)
    divergence2 = (0.5 * (noise2**2 - z2**2) + log_scale2).sum(-1)
    likelihood = jax_kit.log_bernoulli(apply("decoder", z1), x)

    log_weights = likelihood + divergence1 + divergence2
    return -(logsumexp(log_weights, axis=0) - math.log(particles)).mean()


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are those of `jax_kit.epoch`."""
    weights, data = row.weights(), jnp.array(row.data(row.size))
    names = ("encoder1", "encoder2", "prior1", "decoder")
    params = {name: jax_kit.perceptron(weights, name) for name in names}
    mine, optimiser = partial(loss, particles=row.particles), optax.adam(1e-3)
    update = jax_kit.gradient_update(mine, optimiser)
    first = data[: row.batch]
    check = jax_gradients.check(row, params, lambda params, key: (mine(params, key, first),) * 2)
    state = (params, optimiser.init(params))
    return Contestant(jax_kit.epoch(row, variant, data, state, update), check)
