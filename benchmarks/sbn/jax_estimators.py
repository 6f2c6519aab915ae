"""VIMCO and reweighted wake-sleep by hand in JAX.

An estimator maps the parameters, what it remembers, the log densities of K draws a row, and the
rows to a surrogate loss, whose gradient it is, the bound, both `(B,)`, and what it remembers now.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.lax import stop_gradient
from jax.scipy.special import logsumexp

from benchmarks.jax_kit import Tree


class Densities(NamedTuple):
    """Log densities of the draws, each `(K, B)`, from x upward."""

    log_p: list[Array]
    """Of x and of each layer but the top one given the layer above; then of the top one."""
    log_q: list[Array]
    """Of each hidden layer given the layer below."""


def vimco(params: Tree, memory: Tree, draws: Densities, x: Array) -> tuple[Array, Array, Tree]:
    """Each draw's signal is the bound less that with its weight replaced by the others' mean.

    References: Variational inference for Monte Carlo objectives (Mnih & Rezende, 2016),
    arXiv:1602.06725.
    """
    log_q = sum(draws.log_q)
    log_weights = sum(draws.log_p) - log_q
    particles = len(log_weights)
    bound = logsumexp(log_weights, axis=0) - math.log(particles)
    others = (log_weights.sum(0) - log_weights) / (particles - 1)
    replaced = jnp.eye(particles, dtype=bool)[:, :, None]
    swapped = jnp.where(replaced, others[:, None], log_weights[None])
    signal = stop_gradient(bound - (logsumexp(swapped, axis=1) - math.log(particles)))
    return -(bound + (signal * log_q).sum(0)), bound, memory


def rws(params: Tree, memory: Tree, draws: Densities, x: Array) -> tuple[Array, Array, Tree]:
    """The gradients of log p and log q, weighted by the normalised weights: two wake phases.

    References: Reweighted wake-sleep (Bornschein & Bengio, 2015), arXiv:1406.2751.
    """
    log_p, log_q = sum(draws.log_p), sum(draws.log_q)
    log_weights = stop_gradient(log_p - log_q)
    bound = logsumexp(log_weights, axis=0) - math.log(len(log_weights))
    shares = jax.nn.softmax(log_weights, axis=0)
    return -(shares * (log_p + log_q)).sum(0), bound, memory
