"""Recurrent networks of `ppgm.nets_recurrent` on torch.

Steps after the end of a row cost nothing, and the gradient of the weights is one product over all
steps: torch's own kernels make one for every step and add them up, which takes most of their time
on a processor. The cells are in `ppgm.nets_torch_cells`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ppgm.host_pyro_packing import Packing
from ppgm.nets_recurrent import AbstractRecurrent, check_sequences
from ppgm.nets_torch_cells import cell_of

__all__ = ["Recurrent"]


class Recurrent(nn.Module):
    """A recurrent layer; leading dimensions are flattened and restored."""

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def __init__(self, spec: AbstractRecurrent, dtype: torch.dtype) -> None:
        """Lay out the parameters of `spec` without filling them."""
        super().__init__()
        self.spec = spec
        for name, shape in spec.parameters().items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, dtype=dtype)))

    def forward(
        self, x: Tensor, lengths: Any = None, *, then: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Map sequences `(*, T, inputs)` to `(*, T, hidden)`.

        `lengths` is `(*,)`, or None for T; there are zeros after the end of a row.
        """
        check_sequences(tuple(x.shape), self.spec.inputs)
        lead, length = x.shape[:-2], x.shape[-2]
        ends = torch.as_tensor(length if lengths is None else lengths).long()
        packing = Packing.of(ends.expand(lead).reshape(-1), reverse=self.spec.reverse)
        rows, places = x.reshape(-1, self.spec.inputs), packing.places(length)
        read = rows.index_select(0, places)
        a = nn.functional.linear(read, self.weight_ih_l0, self.bias_ih_l0)
        weights = self.weight_hh_l0, self.bias_hh_l0
        states: Any = _Loop.apply(a, *weights, packing, cell_of(self.spec))
        found = states if then is None else then(states)
        out = found.new_zeros((len(rows), found.shape[-1])).index_copy(0, places, found)
        return out.reshape(*lead, length, found.shape[-1])


class _Loop(torch.autograd.Function):
    """From what the rows give, `a (M, G R)`, to states `(M, R)`, both packed."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, weight: Tensor, bias: Tensor, packing: Packing, cell: Any
    ) -> Tensor:
        steps, turned = [], weight.T.contiguous()  # small products are faster with it
        carry = cell.start(a.new_zeros((packing.sizes[0], weight.shape[1])))
        for span, size in packing.spans():
            carry = tuple(part[:size] for part in carry)
            carry, kept = cell.step(a[span], carry, turned, bias)
            steps.append((carry[0], *kept))
        states, *kept = (torch.cat(part) for part in zip(*steps, strict=True))
        ctx.packing, ctx.cell = packing, cell
        ctx.save_for_backward(weight, states, *kept)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        weight, states, *kept = ctx.saved_tensors
        packing, cell = ctx.packing, ctx.cell
        before = states.index_select(0, packing.before)
        first = packing.sizes[0]
        padded = torch.cat([before.new_zeros((first, before.shape[1])), before])
        factors = cell.factors(padded, states, kept)
        # what the states after add is put into this copy, from the last step to the first
        grad, carry, found = grad.clone(), None, []
        for span, _ in reversed(list(packing.spans())):
            own = grad[span]
            if carry is not None:
                own[: len(carry[0])] += carry[0]
            c, carry = cell.back(own, carry, [f[span] for f in factors], weight)
            found.append(c)
        inner = torch.cat(found[::-1])
        by_weight, by_bias = inner[first:].T @ before, inner.sum(0)
        return cell.inward(grad, inner, factors), by_weight, by_bias, None, None
