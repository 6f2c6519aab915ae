"""The cells of recurrent networks: one step, and the same step backwards.

A cell gets what the row gives, `a`, and the state before, and makes the state; on the way it keeps
what the way back needs. Backwards, the gradients of the gates are that of the state times factors
that are made for all steps at once, and the gradients of the weights are products over all steps:
the hosts' own way back makes one product for every step and adds them up, which takes most of the
time on a processor.
"""

__all__ = ["Cell", "Elman", "Gated", "Memory", "cell_of"]

from dataclasses import dataclass
from typing import Protocol

from ppgm.nets_recurrent import AbstractRecurrent
from ppgm.ops import Array, Arrays, Ops


class Cell(Protocol):
    """A cell. A state is a tuple: first the hidden state ``(*, R)``, then what stays inside."""

    def start(self, zeros: Array) -> Arrays:
        """Returns the state before the first step."""
        ...

    def step(self, ops: Ops, a: Array, c: Array, state: Arrays) -> tuple[Arrays, Arrays]:
        """Returns the next state, and what is kept.

        Args:
            ops: Array functions.
            a: What the row gives, ``(*, G R)`` for G gates.
            c: What the hidden state gives, likewise.
            state: The state before.
        """
        ...

    def factors(self, ops: Ops, before: Array, states: Array, kept: Arrays) -> Arrays:
        """Returns the factors of all steps.

        Args:
            ops: Array functions.
            before: The hidden states before, ``(*, R)``.
            states: The hidden states.
            kept: What was kept of the steps.
        """
        ...

    def back(
        self, ops: Ops, grad: Array, later: Arrays, factors: Arrays
    ) -> tuple[Array, Array | None, Arrays]:
        """Returns the gradients in c, in the hidden state but for c, and in what stays inside.

        Args:
            ops: Array functions.
            grad: Gradient in the hidden state.
            later: Gradients in what stays inside.
            factors: Those of the step.
        """
        ...

    def inward(self, ops: Ops, grad: Array, inner: Array, factors: Arrays) -> Array:
        """Returns the gradients in a of all steps, of those in the hidden states and in c."""
        ...


@dataclass(frozen=True)
class Elman:
    """h = s(a + c), with s tanh or a rectifier."""

    relu: bool

    def start(self, zeros: Array) -> Arrays:
        """Returns zeros."""
        return (zeros,)

    def step(self, ops: Ops, a: Array, c: Array, state: Arrays) -> tuple[Arrays, Arrays]:
        """Returns the next state; nothing else is kept."""
        return ((ops.np.clip(a + c, 0, None) if self.relu else ops.np.tanh(a + c)),), ()

    def factors(self, ops: Ops, before: Array, states: Array, kept: Arrays) -> Arrays:
        """Returns the slope of s."""
        return (ops.float(states > 0) if self.relu else 1 - states * states,)

    def back(
        self, ops: Ops, grad: Array, later: Arrays, factors: Arrays
    ) -> tuple[Array, Array | None, Arrays]:
        """Returns the gradient in c."""
        return grad * factors[0], None, ()

    def inward(self, ops: Ops, grad: Array, inner: Array, factors: Arrays) -> Array:
        """Returns the gradients in c."""
        return inner


@dataclass(frozen=True)
class Gated:
    """Gated recurrent units."""

    def start(self, zeros: Array) -> Arrays:
        """Returns zeros."""
        return (zeros,)

    def step(self, ops: Ops, a: Array, c: Array, state: Arrays) -> tuple[Arrays, Arrays]:
        """Returns the next state, and gates, candidate and its part of c."""
        (h,) = state
        size = h.shape[-1]
        gates = ops.sigmoid(a[..., : 2 * size] + c[..., : 2 * size])
        own, g = c[..., 2 * size :], gates[..., size:]
        n = ops.np.tanh(a[..., 2 * size :] + gates[..., :size] * own)
        return (n + g * (h - n),), (gates, n, own)

    def factors(self, ops: Ops, before: Array, states: Array, kept: Arrays) -> Arrays:
        """Returns those of c ``(*, 3, R)``, of the state before, and of a's last part."""
        gates, n, own = kept
        r, g = gates[..., : n.shape[-1]], gates[..., n.shape[-1] :]
        outer = (1 - g) * (1 - n * n)
        parts = [outer * own * r * (1 - r), (before - n) * g * (1 - g), outer * r]
        return ops.np.stack(parts, axis=-2), g, outer

    def back(
        self, ops: Ops, grad: Array, later: Arrays, factors: Arrays
    ) -> tuple[Array, Array | None, Arrays]:
        """Returns the gradients in c and in the state before."""
        return _flat(grad[..., None, :] * factors[0]), grad * factors[1], ()

    def inward(self, ops: Ops, grad: Array, inner: Array, factors: Arrays) -> Array:
        """Returns the gradients in c, but for the candidate's part."""
        kept = inner[..., : 2 * grad.shape[-1]]
        return ops.np.concat([kept, grad * factors[2]], axis=-1)


@dataclass(frozen=True)
class Memory:
    """Long short-term memory, which stays inside."""

    def start(self, zeros: Array) -> Arrays:
        """Returns zeros for both parts."""
        return zeros, zeros

    def step(self, ops: Ops, a: Array, c: Array, state: Arrays) -> tuple[Arrays, Arrays]:
        """Returns the next state, and gates, both memories, the latter squashed."""
        memory, size = state[1], state[0].shape[-1]
        both = a + c
        gates, n = ops.sigmoid(both[..., : 2 * size]), ops.np.tanh(both[..., 2 * size : 3 * size])
        o = ops.sigmoid(both[..., 3 * size :])
        after = gates[..., size:] * memory + gates[..., :size] * n
        flat = ops.np.tanh(after)
        return (o * flat, after), (gates, n, o, memory, flat)

    def factors(self, ops: Ops, before: Array, states: Array, kept: Arrays) -> Arrays:
        """Returns those of the memory's gates ``(*, 3, R)``, of the output's, of the memories."""
        gates, n, o, memory, flat = kept
        i, f = gates[..., : n.shape[-1]], gates[..., n.shape[-1] :]
        inside = [n * i * (1 - i), memory * f * (1 - f), i * (1 - n * n)]
        return ops.np.stack(inside, axis=-2), flat * o * (1 - o), o * (1 - flat * flat), f

    def back(
        self, ops: Ops, grad: Array, later: Arrays, factors: Arrays
    ) -> tuple[Array, Array | None, Arrays]:
        """Returns the gradients in c and in the memory before."""
        memory = later[0] + grad * factors[2]
        inside = _flat(memory[..., None, :] * factors[0])
        inner = ops.np.concat([inside, grad * factors[1]], axis=-1)
        return inner, None, (memory * factors[3],)

    def inward(self, ops: Ops, grad: Array, inner: Array, factors: Arrays) -> Array:
        """Returns the gradients in c."""
        return inner


def cell_of(spec: AbstractRecurrent) -> Cell:
    """Returns the cell of a network."""
    if spec.cell == "gru":
        return Gated()
    if spec.cell == "lstm":
        return Memory()
    return Elman(relu=getattr(spec, "activation", "tanh") == "relu")


def _flat(gates: Array) -> Array:
    return gates.reshape((*gates.shape[:-2], -1))
