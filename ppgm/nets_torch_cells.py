"""The cells of recurrent networks on torch: one step, and the same step backwards.

A cell gets what the row gives, `a`, and the state before, and makes the state; on the way it keeps
what the way back needs. Backwards, the gradients of the gates are that of the state times factors
that are made for all steps at once.
"""

from typing import Any

import torch
from torch import Tensor

from ppgm.nets_recurrent import AbstractRecurrent

__all__ = ["Elman", "Gated", "Memory", "cell_of"]

State = tuple[Tensor, ...]


class Elman:
    """h = s(a + c), with s tanh or a rectifier."""

    def __init__(self, *, relu: bool) -> None:
        self.relu = relu

    def start(self, zeros: Tensor) -> State:
        """Return the state before the first step."""
        return (zeros,)

    def step(self, a: Tensor, carry: State, weight: Tensor, bias: Tensor) -> tuple[State, State]:
        """Return the next state, and what is kept."""
        h = torch.addmm(a, carry[0], weight).add_(bias)
        return ((h.relu_() if self.relu else h.tanh_()),), ()

    def factors(self, before: Tensor, states: Tensor, kept: list[Tensor]) -> list[Tensor]:
        """Return the slope of s."""
        return [(states > 0).to(states.dtype) if self.relu else 1 - states * states]

    def back(
        self, grad: Tensor, carry: State | None, factors: list[Tensor], weight: Tensor
    ) -> tuple[Tensor, State]:
        """Return the gradient in c, and in the state before."""
        inner = grad * factors[0]
        return inner, (inner @ weight,)

    def inward(self, grad: Tensor, inner: Tensor, factors: list[Tensor]) -> Tensor:
        """Return the gradient in a."""
        return inner


class Gated(Elman):
    """Gated recurrent units."""

    def __init__(self) -> None:
        super().__init__(relu=False)

    def step(self, a: Tensor, carry: State, weight: Tensor, bias: Tensor) -> tuple[State, State]:
        """Return the next state, and gates, candidate and its part of c."""
        (h,), size = carry, weight.shape[0]
        c = torch.addmm(bias, h, weight)
        gates = (a[:, : 2 * size] + c[:, : 2 * size]).sigmoid_()
        own = c[:, 2 * size :]
        n = torch.addcmul(a[:, 2 * size :], gates[:, :size], own).tanh_()
        return (torch.lerp(n, h, gates[:, size:]),), (gates, n, own)

    def factors(self, before: Tensor, states: Tensor, kept: list[Tensor]) -> list[Tensor]:
        """Return those of c `(M, 3, R)`, the gate g, and that of the candidate's part of a."""
        (r, g), n, own = kept[0].chunk(2, -1), kept[1], kept[2]
        outer = (1 - g) * (1 - n * n)
        parts = [outer * own * r * (1 - r), (before - n) * g * (1 - g), outer * r]
        return [torch.stack(parts, 1), g, outer]

    def back(
        self, grad: Tensor, carry: State | None, factors: list[Tensor], weight: Tensor
    ) -> tuple[Tensor, State]:
        """Return the gradient in c, and in the state before."""
        inner = (grad[:, None] * factors[0]).reshape(len(grad), -1)
        return inner, (torch.addmm(grad * factors[1], inner, weight),)

    def inward(self, grad: Tensor, inner: Tensor, factors: list[Tensor]) -> Tensor:
        """Return the gradient in a, that in c but for the candidate's part."""
        kept = inner[:, : 2 * grad.shape[1]]
        return torch.cat([kept, grad * factors[2]], -1)


class Memory(Elman):
    """Long short-term memory; the second part of a state is the cell."""

    def __init__(self) -> None:
        super().__init__(relu=False)

    def start(self, zeros: Tensor) -> State:
        """Return state and cell before the first step."""
        return zeros, zeros

    def step(self, a: Tensor, carry: State, weight: Tensor, bias: Tensor) -> tuple[State, State]:
        """Return the next state and cell, and gates, cell before and its squashed successor."""
        (h, memory), size = carry, weight.shape[0]
        c = torch.addmm(a, h, weight).add_(bias)
        gates, new = c[:, : 2 * size].sigmoid(), c[:, 2 * size : 3 * size].tanh()
        out = c[:, 3 * size :].sigmoid()
        after = torch.addcmul(gates[:, size:] * memory, gates[:, :size], new)
        flat = after.tanh()
        return (out * flat, after), (gates, new, out, memory, flat)

    def factors(self, before: Tensor, states: Tensor, kept: list[Tensor]) -> list[Tensor]:
        """Return those of the memory's gates `(M, 3, R)`, of the output's, of the memory."""
        gates, new, out, memory, flat = kept
        i, f = gates.chunk(2, -1)
        inside = torch.stack([new * i * (1 - i), memory * f * (1 - f), i * (1 - new * new)], 1)
        return [inside, flat * out * (1 - out), out * (1 - flat * flat), f]

    def back(
        self, grad: Tensor, carry: State | None, factors: list[Tensor], weight: Tensor
    ) -> tuple[Tensor, State]:
        """Return the gradient in c, and in state and cell before."""
        inside, outside, slope, forget = factors
        memory = grad * slope
        if carry is not None:
            memory[: len(carry[1])] += carry[1]
        parts = [(memory[:, None] * inside).reshape(len(grad), -1), grad * outside]
        inner = torch.cat(parts, -1)
        return inner, (inner @ weight, memory * forget)


def cell_of(spec: AbstractRecurrent) -> Any:
    """Return the cell of a network."""
    made = {"gru": Gated, "lstm": Memory}.get(spec.cell)
    return made() if made else Elman(relu=getattr(spec, "activation", "tanh") == "relu")
