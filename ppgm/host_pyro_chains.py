r"""Chains of Gaussian steps through one hidden layer, on torch: draws, and the way back.

.. math:: h_t = \tanh(z_{t-1} W + b), \quad (\mu_t, r_t) = h_t V + i_t, \quad
    z_t = \mu_t + \log(1 + e^{r_t}) \epsilon_t

is the step of a structured guide of sequences (`ppgm.guides.smoothers.Combiner`). Written with
torch's own gradients, each step makes two products for the weights alone and adds them up; here
they are two products over all steps. Steps after the end of a row cost nothing.
"""

__all__ = ["tanh_chain"]

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

from ppgm.host_pyro_packing import Packing


def tanh_chain(
    z: Tensor,
    noise: Tensor,
    read: Tensor,
    inward: Tensor,
    bias: Tensor,
    outward: Tensor,
    alive: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Runs the chain.

    Args:
        z: States before the first step, ``(*, D)``.
        noise: Standard normal noise, ``(*, T, D)``, which values after the end of a row hold.
        read: i, ``(*, T, 2 D)``, or fewer axes.
        inward: W, ``(D, R)``.
        bias: b, ``(R,)``.
        outward: V, ``(R, 2 D)``.
        alive: True before the end of each row, ``(*, T)``, or None.

    Returns:
        States ``(*, T, D)``, and the sums of the logs of their standard deviations ``(*, T)``, 0
        after the end of a row.
    """
    lead, length, size = noise.shape[:-2], noise.shape[-2], noise.shape[-1]
    ends = torch.as_tensor(length) if alive is None else alive.sum(-1)
    packing = Packing.of(ends.expand(lead).reshape(-1))
    if not packing.sizes:
        return noise, noise.new_zeros(noise.shape[:-1])
    places = packing.places(length)
    own = read.reshape(-1, 2 * size).index_select(0, packing.places(length, _rows(read, lead)))
    first = (
        z.expand(*lead, size).reshape(-1, size).index_select(0, packing.row[: packing.sizes[0]])
    )
    flat = noise.reshape(-1, size)
    found: Any = _Chain.apply(
        first, flat.index_select(0, places), own, inward, bias, outward, packing
    )
    states, outputs = found
    spread = softplus(outputs[:, size:], threshold=40.0).log().sum(-1)
    values = flat.index_copy(0, places, states)
    logs = flat.new_zeros(len(flat)).index_copy(0, places, spread)
    return values.reshape(noise.shape), logs.reshape(noise.shape[:-1])


def _rows(array: Tensor, lead: torch.Size) -> Tensor:
    """Returns the row of an array ``(*, T, n)`` for each row of the wider axes `lead`."""
    own = array.shape[:-2]
    return torch.arange(prod(own)).reshape(own).expand(lead).reshape(-1)


class _Chain(torch.autograd.Function):
    """From first states, noise and inputs, packed, to states and outputs ``(M, 2 D)``."""

    @staticmethod
    def forward(
        ctx: Any,
        first: Tensor,
        noise: Tensor,
        read: Tensor,
        inward: Tensor,
        bias: Tensor,
        outward: Tensor,
        packing: Packing,
    ) -> tuple[Tensor, Tensor]:
        size, z = first.shape[1], first
        states, outputs = torch.empty_like(noise), torch.empty_like(read)
        hidden = read.new_empty((len(read), len(bias)))
        for span, rows in packing.spans():
            h = torch.addmm(bias, z[:rows], inward, out=hidden[span]).tanh_()
            out = torch.addmm(read[span], h, outward, out=outputs[span])
            scale = softplus(out[:, size:], threshold=40.0)
            z = torch.addcmul(out[:, :size], scale, noise[span], out=states[span])
        ctx.packing = packing
        ctx.save_for_backward(first, noise, inward, outward, states, outputs, hidden)
        return states, outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_states: Tensor, by_outputs: Tensor) -> tuple[Any, ...]:
        first, noise, inward, outward, states, outputs, hidden = ctx.saved_tensors
        size, packing = first.shape[1], ctx.packing
        moved = noise * torch.sigmoid(outputs[:, size:])
        slope, carry = 1 - hidden * hidden, None
        by_states, by_outputs = by_states.clone(), by_outputs.clone()
        inner, back, out = torch.empty_like(hidden), inward.T, outward.T
        for span, _ in reversed(list(packing.spans())):
            own, grad = by_states[span], by_outputs[span]
            if carry is not None:
                own[: len(carry)] += carry
            grad[:, :size] += own
            grad[:, size:].addcmul_(own, moved[span])
            carry = torch.mm(grad, out, out=inner[span]).mul_(slope[span]) @ back
        before = torch.cat([first, states.index_select(0, packing.before)])
        by_noise = None
        if ctx.needs_input_grad[1]:
            by_noise = by_states * softplus(outputs[:, size:], threshold=40.0)
        return (
            carry, by_noise, by_outputs, before.T @ inner, inner.sum(0), hidden.T @ by_outputs,
            None,
        )  # fmt: skip
