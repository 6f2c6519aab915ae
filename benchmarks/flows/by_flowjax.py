"""The VAE with a flow of flowjax, by hand in JAX."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import paramax
from flowjax.bijections import Affine, Chain, Flip, MaskedAutoregressive, RationalQuadraticSpline
from jax import Array

from benchmarks import flows, jax_gradients, jax_kit
from benchmarks.flows import FlowRow
from benchmarks.jax_kit import Tree
from benchmarks.row import Arrays, Contestant


def transformer(kind: str) -> Any:
    """Returns the map of one coordinate."""
    if kind == "spline":
        return RationalQuadraticSpline(knots=flows.BINS - 1, interval=flows.BOUND)
    bounded = paramax.Parameterize(lambda raw: jnp.exp(3 * jnp.tanh(raw / 3)), jnp.zeros(()))
    return eqx.tree_at(lambda affine: affine.scale, Affine(), bounded)


def bijection(row: FlowRow, weights: Arrays) -> Any:
    """Returns the steps; between them, and at the end, the coordinates turn round."""
    layers = []
    for t in range(flows.DEPTH):
        step = MaskedAutoregressive(
            jax.random.key(t),
            transformer=transformer(row.name),
            dim=flows.LATENT,
            cond_dim=flows.LATENT,
            nn_width=flows.WIDTH,
            nn_depth=1,
        )
        if row.name == "iaf":
            step = filled(step, weights, f"z.{row.name}{t}", turned=t % 2 == 1)
        layers += [step, Flip((flows.LATENT,))]
    return Chain(layers)


def filled(step: Any, weights: Arrays, name: str, *, turned: bool) -> Any:
    """Returns the step with the row's weights, in flowjax's order of units and outputs."""
    # flowjax's units take degrees in turns, the row's in blocks
    units = np.empty(flows.WIDTH, int)
    units[np.argsort(np.arange(flows.WIDTH) % flows.LATENT, kind="stable")] = range(flows.WIDTH)
    places = np.arange(flows.LATENT)[:: -1 if turned else 1]
    inputs = np.concatenate([places, flows.LATENT + np.arange(flows.LATENT)])
    outputs = (places[:, None] + flows.LATENT * np.arange(2)).ravel()
    first, second = (f"{name}.layers.{i}" for i in range(2))
    arrays = (
        weights[f"{first}.weight"][units][:, inputs],
        weights[f"{first}.bias"][units],
        weights[f"{second}.weight"][outputs][:, units],
        weights[f"{second}.bias"][outputs],
    )
    return eqx.tree_at(_arrays, step, tuple(map(jnp.asarray, arrays)))


def _arrays(step: Any) -> tuple[Array, ...]:
    first, second = step.masked_autoregressive_mlp.layers
    # a masked weight is `where(mask, weight, 0)`
    return first.weight.args[1], first.bias, second.weight.args[1], second.bias


def loss(params: Tree, static: Any, key: Array, x: Array, *, early: bool) -> Array:
    """Returns the negative bound, mean over the rows of x `(B, D)`."""
    encoded = jax_kit.apply(params["encoder"], x, jnp.tanh)
    loc, log_scale, summary = jnp.split(encoded, 3, axis=-1)
    noise = jax.random.normal(key, loc.shape)
    flow = jax.vmap(paramax.unwrap(eqx.combine(params["z"], static)).transform_and_log_det)
    if early:
        z, log_det = flow(loc + jnp.exp(log_scale) * noise, summary)
    else:
        y, log_det = flow(noise, summary)
        z = loc + jnp.exp(log_scale) * y

    # log p(z) - log q(z | x): the normalising constants of the two Gaussians cancel.
    divergence = (0.5 * (noise**2 - z**2) + log_scale).sum(-1) + log_det
    logits = jax_kit.apply(params["decoder"], z, jnp.tanh)
    return -(jax_kit.log_bernoulli(logits, x) + divergence).mean()


def build(row: FlowRow, variant: str) -> Contestant:
    """Returns the contestant; variants are those of `jax_kit.epoch`."""
    weights, data = row.weights(), jnp.array(row.data(row.size))
    params = {name: jax_kit.perceptron(weights, name) for name in ("encoder", "decoder")}
    params["z"], static = eqx.partition(bijection(row, weights), eqx.is_inexact_array)
    early = row.name == "iaf"
    mine = lambda params, key, x: loss(params, static, key, x, early=early)  # noqa: E731
    optimiser = optax.adam(1e-3)
    update = jax_kit.gradient_update(mine, optimiser)
    first = data[: row.batch]

    def both(params: Tree, key: Array) -> tuple[Array, Array]:
        value = mine(params, key, first)
        return value, value

    check = jax_gradients.check(row, params, both)
    state = (params, optimiser.init(params))
    return Contestant(jax_kit.epoch(row, variant, data, state, update), check)
