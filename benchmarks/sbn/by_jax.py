"""The SBN's step by hand in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.lax import stop_gradient

from benchmarks import jax_gradients, jax_kit
from benchmarks.jax_kit import Tree, log_bernoulli
from benchmarks.row import Contestant
from benchmarks.sbn import SBNRow, jax_nvil
from benchmarks.sbn.jax_estimators import Densities, rws, vimco

ESTIMATORS = {"vimco": vimco, "nvil": jax_nvil.nvil, "rws": rws}


def bernoulli(key: Array, logits: Array) -> Array:
    """Returns zeros and ones with the logits' probabilities; no gradient passes."""
    probabilities = jax.nn.sigmoid(stop_gradient(logits))
    return jax.random.bernoulli(key, probabilities).astype(logits.dtype)


def draw(params: Tree, key: Array, x: Array, row: SBNRow) -> Densities:
    """Draws the hidden layers for the rows of x `(B, D)`."""
    below, found = x, Densities([], [])
    for level, mine in enumerate(jax.random.split(key, len(row.layers)), 1):
        logits = jax_kit.affine(params[f"encoder{level}"], below)
        if level == 1:  # the same for all particles
            logits = jnp.broadcast_to(logits, (row.particles, *logits.shape))
        h = bernoulli(mine, logits)
        found.log_q.append(log_bernoulli(logits, h))
        found.log_p.append(log_bernoulli(jax_kit.affine(params[f"decoder{level}"], h), below))
        below = h
    found.log_p.append(log_bernoulli(params["prior"], below))
    return found


def start(params: Tree, key: Array, x: Array, row: SBNRow) -> Tree:
    """Returns what the estimator remembers at first, from one draw."""
    if row.estimator != "nvil":
        return ()
    signal = jnp.stack(jax_nvil.signals(draw(params, key, x, row)))
    return jax_nvil.moments(stop_gradient(signal))


def losses(
    params: Tree, memory: Tree, key: Array, x: Array, row: SBNRow
) -> tuple[Array, tuple[Array, Tree]]:
    """Returns the surrogate loss; the negative bound, both means over the rows; and the memory."""
    draws = draw(params, key, x, row)
    surrogate, bound, memory = ESTIMATORS[row.estimator](params, memory, draws, x)
    return surrogate.mean(), (-bound.mean(), memory)


def build(row: SBNRow, variant: str) -> Contestant:
    """Returns the contestant; variants are those of `jax_kit.epoch`."""
    weights, data = row.weights(), jnp.array(row.data(row.size))
    names = {name.split(".")[0] for name in weights} - {"prior", "baseline"}
    params: Tree = {name: jax_kit.perceptron(weights, name)[0] for name in sorted(names)}
    params["prior"] = jnp.array(weights["prior"])
    if row.estimator == "nvil":
        params["baseline"] = jax_kit.perceptron(weights, "baseline")
    optimiser, first = optax.adam(1e-3), data[: row.batch]

    def update(state: Tree, key: Array, batch: Array) -> tuple[Tree, Array]:
        params, moments, memory = state
        differentiate = jax.grad(losses, has_aux=True)
        gradient, (loss, memory) = differentiate(params, memory, key, batch, row)
        changes, moments = optimiser.update(gradient, moments, params)
        return (optax.apply_updates(params, changes), moments, memory), loss

    def evaluate(params: Tree, key: Array) -> tuple[Array, Array]:
        key1, key2 = jax.random.split(key)
        memory = start(params, key1, first, row)
        surrogate, (loss, _) = losses(params, memory, key2, first, row)
        return surrogate, loss

    check = jax_gradients.check(row, params, evaluate)
    state = (params, optimiser.init(params), start(params, jax.random.key(0), first, row))
    return Contestant(jax_kit.epoch(row, variant, data, state, update), check)
