"""M2's step by hand in JAX."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from benchmarks import jax_gradients, jax_kit
from benchmarks.jax_kit import Network, Tree
from benchmarks.m2 import CLASSES, M2Row
from benchmarks.row import Contestant


class Split(NamedTuple):
    """A network with the part of its first weight that meets a class taken out."""

    first: tuple[Array, Array]
    rows: Array
    others: Network


def split(network: Network) -> Split:
    """Takes the first weight apart, once and for all."""
    (weight, bias), *others = network
    return Split((weight[:-CLASSES], bias), weight[-CLASSES:, None], others)


def by_class(network: Network | Split, inputs: Array) -> Array:
    """Returns the output `(C, B, out)` for inputs, the same or one for each class."""
    if isinstance(network, Split):
        # A row of the weight in place of its product with a one-hot vector.
        first = jax_kit.affine(network.first, inputs) + network.rows
        return jax_kit.apply(network.others, jnp.tanh(first), jnp.tanh)
    shape, classes = (CLASSES, inputs.shape[-2]), jnp.eye(CLASSES)[:, None]
    parts = [jnp.broadcast_to(part, (*shape, part.shape[-1])) for part in (inputs, classes)]
    return jax_kit.apply(network, jnp.concatenate(parts, -1), jnp.tanh)


def loss(params: Tree, key: Array, x: Array) -> Array:
    """Returns the negative bound, mean over the rows of x `(B, D)`."""
    log_y = jax.nn.log_softmax(jax_kit.apply(params["classifier"], x, jnp.tanh)).T
    loc, log_scale = jnp.split(by_class(params["encoder"], x), 2, axis=-1)
    noise = jax.random.normal(key, loc.shape)
    z = loc + jnp.exp(log_scale) * noise

    # log p(z) - log q(z | x, y): the normalising constants of the two Gaussians cancel.
    divergence = (0.5 * (noise**2 - z**2) + log_scale).sum(-1)
    likelihood = jax_kit.log_bernoulli(by_class(params["decoder"], z), x)

    log_weights = likelihood + divergence - math.log(CLASSES) - log_y
    return -(jnp.exp(log_y) * log_weights).sum(0).mean()


def build(row: M2Row, variant: str) -> Contestant:
    """Returns the contestant; variants are those of `jax_kit.epoch`."""
    weights, data = row.weights(), jnp.array(row.data(row.size))
    names = ("classifier", "encoder", "decoder")
    params: Tree = {name: jax_kit.perceptron(weights, name) for name in names}
    if row.shared:
        params |= {name: split(params[name]) for name in ("encoder", "decoder")}
    optimiser = optax.adam(1e-3)
    update = jax_kit.gradient_update(loss, optimiser)
    first = data[: row.batch]
    check = jax_gradients.check(row, params, lambda params, key: (loss(params, key, first),) * 2)
    state = (params, optimiser.init(params))
    return Contestant(jax_kit.epoch(row, variant, data, state, update), check)
