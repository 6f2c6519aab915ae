"""NVIL by hand in JAX."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.lax import stop_gradient

from benchmarks import jax_kit
from benchmarks.jax_kit import Tree
from benchmarks.sbn import DECAY
from benchmarks.sbn.jax_estimators import Densities

Moments = tuple[Array, Array]
"""Mean and variance of each layer's signal, `(L,)`."""


def nvil(
    params: Tree, memory: Moments, draws: Densities, x: Array
) -> tuple[Array, Array, Moments]:
    """Scores with learnt, centred, scaled signals of the terms that a layer's draw can change.

    From a signal are taken its running mean and what a network of x predicts of the rest, learnt
    by least squares; it is divided by its running standard deviation, if that is above 1.

    References: Neural variational inference and learning (Mnih & Gregor, 2014), arXiv:1402.0030.
    """
    found = signals(draws)
    signal = stop_gradient(jnp.stack(found))
    mean, variance = (moment[:, None, None] for moment in memory)
    learnt = jax_kit.apply(params["baseline"], x, jnp.tanh).T[:, None]
    error = signal - mean - learnt
    centred = stop_gradient(error) / jnp.sqrt(jnp.maximum(variance, 1))
    score = (centred * jnp.stack(draws.log_q)).sum(0).mean(0)
    bound, square = found[0].mean(0), (error**2).sum(0).mean(0)

    now = zip(memory, moments(signal), strict=True)
    mean, variance = (DECAY * old + (1 - DECAY) * new for old, new in now)
    return square - bound - score, bound, (mean, variance)


def signals(draws: Densities) -> list[Array]:
    """Returns the signal `(K, B)` of each layer, h1 first: that is the whole log weight."""
    total, found = draws.log_p[-1], []
    for log_p, log_q in zip(draws.log_p[-2::-1], draws.log_q[::-1], strict=True):
        total = total + log_p - log_q
        found.append(total)
    return found[::-1]


def moments(signal: Array) -> Moments:
    """Returns the moments of signals `(L, K, B)`."""
    return signal.mean((1, 2)), signal.var((1, 2))
