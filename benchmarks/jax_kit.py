"""What the contestants in JAX share: networks, Adam, and the two ways to run an epoch.

`scan` compiles a whole epoch into one call; `step` calls a compiled step from a Python loop. Both
keep the data on the device and donate the training state.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from benchmarks.row import Arrays, Row, layers

Tree = Any
"""Parameters or training state: nested containers of arrays."""

Network = list[tuple[Array, Array]]
"""Layers as `(weight (in, out), bias)`."""

Update = Callable[[Tree, Array, Array], tuple[Tree, Array]]
"""`(state, key, batch) -> (state, loss)`."""


def perceptron(weights: Arrays, name: str) -> Network:
    """Returns the layers of the perceptron `name`."""
    return [(jnp.array(weight.T), jnp.array(bias)) for weight, bias in layers(weights, name)]


def apply(network: Network, inputs: Array, activation: Callable[[Array], Array]) -> Array:
    """Returns the perceptron's output for inputs `(*, in)`."""
    hidden = inputs
    for layer in network[:-1]:
        hidden = activation(affine(layer, hidden))
    return affine(network[-1], hidden)


def affine(layer: tuple[Array, Array], inputs: Array) -> Array:
    """Returns the layer's output for inputs `(*, in)`.

    The leading axes are one axis while they meet the weight: on a CPU, XLA takes 15 % longer for a
    product with three axes and its gradient.
    """
    weight, bias = layer
    rows = inputs.reshape(-1, inputs.shape[-1]) @ weight + bias
    return rows.reshape(*inputs.shape[:-1], -1)


def log_bernoulli(logits: Array, value: Array) -> Array:
    """Returns the log probability of binary vectors, `(*, D)` to `(*)`.

    The textbook stable form: XLA runs it 5 % faster here than `value * logits - softplus(logits)`.
    """
    softplus = jnp.maximum(logits, 0) + jnp.log1p(jnp.exp(-jnp.abs(logits)))
    return (value * logits - softplus).sum(-1)


def gradient_update(
    loss: Callable[[Tree, Array, Array], Array], optimiser: optax.GradientTransformation
) -> Update:
    """Returns the training step of `loss(params, key, batch)`; state: (params, moments)."""

    def update(state: Tree, key: Array, batch: Array) -> tuple[Tree, Array]:
        params, moments = state
        value, gradient = jax.value_and_grad(loss)(params, key, batch)
        changes, moments = optimiser.update(gradient, moments, params)
        return (optax.apply_updates(params, changes), moments), value

    return update


def epoch(row: Row, variant: str, data: Array, state: Tree, update: Update) -> Callable[[], float]:
    """Returns a function that takes one shuffled pass over the data and gives the mean loss."""
    return {"scan": _scanned, "step": _stepped}[variant](row, data, state, update)


def _scanned(row: Row, data: Array, state: Tree, update: Update) -> Callable[[], float]:
    @partial(jax.jit, donate_argnums=0)
    def one_epoch(carry: Tree, data: Array) -> tuple[Tree, Array]:
        state, key = carry
        key, shuffle, noise = jax.random.split(key, 3)
        order = jax.random.permutation(shuffle, len(data)).reshape(row.steps, row.batch)

        def body(state: Tree, inputs: Array) -> tuple[Tree, Array]:
            key, index = inputs
            return update(state, key, data[index])

        state, losses = jax.lax.scan(body, state, (jax.random.split(noise, row.steps), order))
        return (state, key), losses.mean()

    carry = (state, jax.random.key(1))

    def run() -> float:
        nonlocal carry
        carry, loss = one_epoch(carry, data)
        jax.block_until_ready(carry)
        return float(loss)

    return run


def _stepped(row: Row, data: Array, state: Tree, update: Update) -> Callable[[], float]:
    @partial(jax.jit, donate_argnums=0)
    def one_step(carry: Tree, data: Array, index: Array) -> tuple[Tree, Array]:
        state, key = carry
        key, noise = jax.random.split(key)
        state, loss = update(state, noise, data[index])
        return (state, key), loss

    carry = (state, jax.random.key(1))
    rng = np.random.default_rng(1)

    def run() -> float:
        nonlocal carry
        losses = []
        for index in rng.permutation(len(data)).reshape(row.steps, row.batch):
            carry, loss = one_step(carry, data, index)
            losses.append(loss)
        jax.block_until_ready(carry)
        return float(np.mean(losses))

    return run


def repeated(values: Callable[[Array], tuple[Array, ...]]) -> Callable[[int], np.ndarray]:
    """Returns a check: `values(key)` under as many keys as asked."""
    stacked = jax.jit(lambda key: jnp.stack(values(key)))

    def check(repeats: int) -> np.ndarray:
        return np.array([stacked(key) for key in jax.random.split(jax.random.key(2), repeats)])

    return check
