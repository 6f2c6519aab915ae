"""Recurrent networks of `ppgm.nets_recurrent` as Equinox modules, with torch's parameters.

The products with the rows are made for all steps at once; the scan holds those with the state.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array, lax, nn

from ppgm.nets_recurrent import AbstractRecurrent, check_sequences, turn_index

__all__ = ["Recurrent"]

State = tuple[Array, ...]


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
        out = self._run(x, reverse=self.spec.reverse and not turned)
        out = out if then is None else then(out)
        return _turned(out, lengths) if turned else out

    def _run(self, x: Array, *, reverse: bool) -> Array:
        rows = jnp.moveaxis(x, -2, 0)
        seen = rows @ self.weight_ih_l0.T + self.bias_ih_l0
        zeros = jnp.zeros((*x.shape[:-2], self.spec.hidden), seen.dtype)
        cell = _cell(self.spec)

        def step(state: State, a: Array) -> tuple[State, Array]:
            state = cell(a, state[0] @ self.weight_hh_l0.T + self.bias_hh_l0, state)
            return state, state[0]

        start = (zeros, zeros) if self.spec.cell == "lstm" else (zeros,)
        return jnp.moveaxis(lax.scan(step, start, seen, reverse=reverse)[1], 0, -2)


def _cell(spec: AbstractRecurrent) -> Callable[[Array, Array, State], State]:
    """Return the map from both products and the state to the next state."""
    activation = jnp.tanh if getattr(spec, "activation", "tanh") == "tanh" else nn.relu
    return {
        "rnn": lambda a, c, state: (activation(a + c),),
        "gru": _gru,
        "lstm": _lstm,
    }[spec.cell]


def _gru(a: Array, c: Array, state: State) -> State:
    a1, a2, a3 = jnp.split(a, 3, axis=-1)
    c1, c2, c3 = jnp.split(c, 3, axis=-1)
    r, g = nn.sigmoid(a1 + c1), nn.sigmoid(a2 + c2)
    return ((1 - g) * jnp.tanh(a3 + r * c3) + g * state[0],)


def _lstm(a: Array, c: Array, state: State) -> State:
    i, f, m, o = jnp.split(a + c, 4, axis=-1)
    memory = nn.sigmoid(f) * state[1] + nn.sigmoid(i) * jnp.tanh(m)
    return nn.sigmoid(o) * jnp.tanh(memory), memory


def _turned(x: Array, lengths: Any) -> Array:
    index = turn_index(jnp, x.shape[-2], jnp.asarray(lengths).astype(int))
    index = jnp.broadcast_to(index, x.shape[:-1])
    return jnp.take_along_axis(x, index[..., None], axis=-2)
