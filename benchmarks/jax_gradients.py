"""The check of a gradient in JAX."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from benchmarks.gradients import Parts, measured
from benchmarks.jax_kit import Tree
from benchmarks.row import Row

Losses = Callable[[Tree, Array], tuple[Array, Array]]
"""`(params, key)` to what is differentiated, and the loss that is reported."""


def check(row: Row, params: Tree, losses: Losses) -> Callable[[int], np.ndarray]:
    """Returns a check of the loss, and of its gradient in the parameters of each network."""
    evaluate = jax.jit(jax.grad(losses, has_aux=True))
    start = jax.tree.map(jnp.copy, params)  # training gives its own away

    def once(key: Array) -> list[float]:
        gradient, loss = evaluate(start, key)
        return [float(loss), *measured(row.networks, _parts(start), _parts(gradient))]

    def check(repeats: int) -> np.ndarray:
        return np.array([once(key) for key in jax.random.split(jax.random.key(2), repeats)])

    return check


def _parts(params: Tree) -> Parts:
    return {n: [np.asarray(leaf) for leaf in jax.tree.leaves(each)] for n, each in params.items()}
