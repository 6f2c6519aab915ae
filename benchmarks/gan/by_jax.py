"""The GAN's step by hand in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.nn import softplus

from benchmarks import jax_kit
from benchmarks.jax_kit import Tree
from benchmarks.row import Contestant, Row


def fake(generator: Tree, key: Array, x: Array) -> Array:
    """Returns as many draws of the generator as x has rows."""
    noise = jax.random.normal(key, (len(x), generator[0][0].shape[0]))
    return jax_kit.apply(generator, noise, jnp.tanh)


def critic_loss(critic: Tree, generator: Tree, key: Array, x: Array) -> Array:
    """Returns the critic's cross-entropy, mean over the batch."""
    judge = lambda x: jax_kit.apply(critic, x, jnp.tanh)  # noqa: E731
    return softplus(-judge(x)).mean() + softplus(judge(fake(generator, key, x))).mean()


def generator_loss(generator: Tree, critic: Tree, key: Array, x: Array) -> Array:
    """Returns the generator's non-saturating loss, mean over the batch."""
    return softplus(-jax_kit.apply(critic, fake(generator, key, x), jnp.tanh)).mean()


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are those of `jax_kit.epoch`."""
    weights, data = row.weights(), jnp.array(row.data(row.size))
    critic, generator = (jax_kit.perceptron(weights, name) for name in ("critic", "generator"))
    adam = optax.adam(1e-3, b1=0.5)

    def update(state: Tree, key: Array, batch: Array) -> tuple[Tree, Array]:
        critic, generator, critic_moments, generator_moments = state
        key1, key2 = jax.random.split(key)
        loss, gradient = jax.value_and_grad(critic_loss)(critic, generator, key1, batch)
        changes, critic_moments = adam.update(gradient, critic_moments)
        critic = optax.apply_updates(critic, changes)

        gradient = jax.grad(generator_loss)(generator, critic, key2, batch)
        changes, generator_moments = adam.update(gradient, generator_moments)
        generator = optax.apply_updates(generator, changes)
        return (critic, generator, critic_moments, generator_moments), loss

    first, (c, g) = data[: row.batch], jax.tree.map(jnp.copy, (critic, generator))
    values = lambda key: (critic_loss(c, g, key, first), generator_loss(g, c, key, first))  # noqa: E731
    state = (critic, generator, adam.init(critic), adam.init(generator))
    return Contestant(jax_kit.epoch(row, variant, data, state, update), jax_kit.repeated(values))
