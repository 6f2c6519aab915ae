"""The RBM's PCD-1 step by hand in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax import Array

from benchmarks import jax_kit
from benchmarks.jax_kit import Tree
from benchmarks.row import Contestant, Row


def free_energy(params: Tree, v: Array) -> Array:
    """Returns F(v) `(B,)` for v `(B, V)`."""
    hidden = jax.nn.softplus(v @ params["weight"].T + params["hidden"]).sum(-1)
    return -(v @ params["visible"]) - hidden


def sweep(params: Tree, key: Array, v: Array) -> Array:
    """Returns the chains `(B, V)` after one block-Gibbs sweep."""
    key1, key2 = jax.random.split(key)
    probabilities = jax.nn.sigmoid(v @ params["weight"].T + params["hidden"])
    h = jax.random.bernoulli(key1, probabilities).astype(v.dtype)
    probabilities = jax.nn.sigmoid(h @ params["weight"] + params["visible"])
    return jax.random.bernoulli(key2, probabilities).astype(v.dtype)


def loss(params: Tree, x: Array, chains: Array) -> Array:
    """Returns mean F(x) - mean F(chains)."""
    return free_energy(params, x).mean() - free_energy(params, chains).mean()


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are those of `jax_kit.epoch`."""
    data = jnp.array(row.data(row.size))
    params = {name: jnp.array(value) for name, value in row.weights().items()}
    optimiser = optax.adam(1e-3)

    def update(state: Tree, key: Array, batch: Array) -> tuple[Tree, Array]:
        params, moments, chains = state
        chains = sweep(params, key, chains)
        value, gradient = jax.value_and_grad(loss)(params, batch, chains)
        changes, moments = optimiser.update(gradient, moments, params)
        return (optax.apply_updates(params, changes), moments, chains), value

    first, start = data[: row.batch], jax.tree.map(jnp.copy, params)
    check = jax_kit.repeated(lambda key: (loss(start, first, sweep(start, key, first)),))
    state = (params, optimiser.init(params), jnp.copy(first))
    return Contestant(jax_kit.epoch(row, variant, data, state, update), check)
