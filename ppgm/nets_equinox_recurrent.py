"""Recurrent networks of `ppgm.nets_recurrent` as Equinox modules, with torch's parameters.

The products with the rows are made for all steps at once; the scan holds those with the state.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax

from ppgm.host_numpyro_ops import OPS
from ppgm.nets_recurrent import AbstractRecurrent, check_sequences, turn_index
from ppgm.nets_recurrent_cells import Cell, cell_of

__all__ = ["Recurrent"]

Saved = tuple[Array, Array, tuple[Array, ...]]


class Recurrent(eqx.Module):
    """A recurrent layer, applied to all leading dimensions at once."""

    weight_ih_l0: Array
    weight_hh_l0: Array
    bias_ih_l0: Array
    bias_hh_l0: Array
    spec: AbstractRecurrent = eqx.field(static=True)

    def __call__(
        self, x: Array, lengths: Any = None, *, then: Callable[[Array], Array] | None = None
    ) -> Array:
        """Map sequences `(*, T, inputs)` to `(*, T, hidden)`; `lengths` is `(*,)` or None."""
        check_sequences(jnp.shape(x), self.spec.inputs)
        turned = self.spec.reverse and lengths is not None
        x = _turned(x, lengths) if turned else x
        x = jnp.flip(x, -2) if self.spec.reverse and not turned else x
        a = jnp.moveaxis(x, -2, 0) @ self.weight_ih_l0.T + self.bias_ih_l0
        states: Any = _loop(cell_of(self.spec), a, self.weight_hh_l0, self.bias_hh_l0)
        out = jnp.moveaxis(states if then is None else then(states), 0, -2)
        if turned:
            return _turned(out, lengths)
        return jnp.flip(out, -2) if self.spec.reverse else out


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _loop(cell: Cell, a: Array, weight: Array, bias: Array) -> Array:
    """Map what the rows give, `a (T, *, G R)`, to hidden states `(T, *, R)`."""
    return _forward(cell, a, weight, bias)[0]


def _forward(cell: Cell, a: Array, weight: Array, bias: Array) -> tuple[Array, Saved]:
    turned = lax.optimization_barrier(weight.T)  # XLA would turn it anew in every step

    def step(state: tuple[Array, ...], row: Array) -> tuple[tuple[Array, ...], Any]:
        state, kept = cell.step(OPS, row, state[0] @ turned + bias, state)
        return state, (state[0], kept)

    start = cell.start(jnp.zeros((*a.shape[1:-1], weight.shape[1]), a.dtype))
    states, kept = lax.scan(step, start, a)[1]
    return states, (weight, states, kept)


def _backward(cell: Cell, saved: Saved, grad: Array) -> tuple[Array, Array, Array]:
    weight, states, kept = saved
    before = jnp.concatenate([jnp.zeros_like(states[:1]), states[:-1]])
    factors = cell.factors(OPS, before, states, kept)

    def step(later: tuple[Array, ...], x: Any) -> tuple[tuple[Array, ...], Any]:
        own = x[0] + later[0]
        inner, direct, inside = cell.back(OPS, own, later[1:], x[1])
        through = inner @ weight
        return (through if direct is None else through + direct, *inside), (own, inner)

    zeros = cell.start(jnp.zeros_like(states[0]))
    own, inner = lax.scan(step, zeros, (grad, factors), reverse=True)[1]
    size, width = weight.shape
    by_weight = inner[1:].reshape(-1, size).T @ states[:-1].reshape(-1, width)
    by_bias = inner.reshape(-1, size).sum(0)
    return cell.inward(OPS, own, inner, factors), by_weight, by_bias


_loop.defvjp(_forward, _backward)


def _turned(x: Array, lengths: Any) -> Array:
    index = turn_index(jnp, x.shape[-2], jnp.asarray(lengths).astype(int))
    index = jnp.broadcast_to(index, x.shape[:-1])
    return jnp.take_along_axis(x, index[..., None], axis=-2)
