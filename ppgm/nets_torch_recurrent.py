"""Recurrent networks of `ppgm.nets_recurrent` on torch, whose padding costs nothing."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ppgm.host_pyro_ops import OPS
from ppgm.host_pyro_packing import Packing
from ppgm.nets_recurrent import AbstractRecurrent, check_sequences
from ppgm.nets_recurrent_cells import Cell, cell_of

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
    """From what the rows give, `a (M, G R)`, to hidden states `(M, R)`, both packed."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, weight: Tensor, bias: Tensor, packing: Packing, cell: Cell
    ) -> Tensor:
        steps, turned = [], weight.T.contiguous()  # small products are faster with it
        state = cell.start(a.new_zeros((packing.sizes[0], weight.shape[1])))
        for span, size in packing.spans():
            state = tuple(part[:size] for part in state)
            c = torch.addmm(bias, state[0], turned)
            state, kept = cell.step(OPS, a[span], c, state)
            steps.append((state[0], *kept))
        states, *kept = (torch.cat(part) for part in zip(*steps, strict=True))
        ctx.packing, ctx.cell = packing, cell
        ctx.save_for_backward(weight, states, *kept)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        weight, states, *kept = ctx.saved_tensors
        packing, cell = ctx.packing, ctx.cell
        before, first = states.index_select(0, packing.before), packing.sizes[0]
        padded = torch.cat([before.new_zeros((first, before.shape[1])), before])
        factors = cell.factors(OPS, padded, states, tuple(kept))
        # what later states add is put into this copy, from the last step to the first
        grad, found = grad.clone(), []
        later = tuple(part[:0] for part in cell.start(padded))
        for span, size in reversed(list(packing.spans())):
            own, hidden, *inside = grad[span], *later
            own[: len(hidden)] += hidden
            inside = tuple(_padded(part, size) for part in inside)
            inner, direct, inside = cell.back(OPS, own, inside, tuple(f[span] for f in factors))
            through = inner @ weight if direct is None else torch.addmm(direct, inner, weight)
            later = through, *inside
            found.append(inner)
        inner = torch.cat(found[::-1])
        by_weight, by_bias = inner[first:].T @ before, inner.sum(0)
        return cell.inward(OPS, grad, inner, factors), by_weight, by_bias, None, None


def _padded(part: Tensor, size: int) -> Tensor:
    """Puts zeros for the rows that end here after those that go on."""
    if len(part) == size:
        return part
    return torch.cat([part, part.new_zeros((size - len(part), part.shape[1]))])
