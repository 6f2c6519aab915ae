"""Recurrent networks of `ppgm.nets_recurrent` on torch, by its fused kernels.

`torch.nn.GRU` and its like keep a second list of their weights, which `torch.func.functional_call`
and Pyro's parameter store do not see: here the kernels are called with the parameters themselves.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ppgm.nets_recurrent import AbstractRecurrent, check_sequences, turn_index

__all__ = ["Recurrent"]


class Recurrent(nn.Module):
    """A recurrent layer; leading dimensions are flattened and restored."""

    def __init__(self, spec: AbstractRecurrent, dtype: torch.dtype) -> None:
        """Lay out the parameters of `spec` without filling them."""
        super().__init__()
        self.spec = spec
        for name, shape in spec.parameters().items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, dtype=dtype)))
        self.kernel = {"gru": torch.gru, "lstm": torch.lstm}.get(spec.cell)
        if self.kernel is None:
            tanh = getattr(spec, "activation", "tanh") == "tanh"
            self.kernel = torch.rnn_tanh if tanh else torch.rnn_relu

    def forward(self, x: Tensor, lengths: Any = None) -> Tensor:
        """Map sequences `(*, T, inputs)` to `(*, T, hidden)`; `lengths` is `(*,)` or None."""
        check_sequences(tuple(x.shape), self.spec.inputs)
        lead, length = x.shape[:-2], x.shape[-2]
        rows = x.reshape(-1, length, self.spec.inputs).transpose(0, 1)
        if not self.spec.reverse:
            out = self._run(rows)
        elif lengths is None:
            out = self._run(rows.flip(0)).flip(0)
        else:
            ends = torch.as_tensor(lengths).long().expand(lead).reshape(-1)
            index = _places(ends, length)
            out = _turned(self._run(_turned(rows, index)), index)
        return out.transpose(0, 1).reshape(*lead, length, self.spec.hidden)

    def _run(self, x: Tensor) -> Tensor:
        """Map sequences `(T, N, inputs)` to `(T, N, hidden)`."""
        weights = [getattr(self, name) for name in self.spec.parameters()]
        start = x.new_zeros((1, x.shape[1], self.spec.hidden))
        state: Any = (start, start) if self.spec.cell == "lstm" else start
        # has biases, layers, dropout, training (keep what the gradient needs), both ways, batch
        # first
        kernel: Any = self.kernel
        return kernel(x, state, weights, True, 1, 0.0, torch.is_grad_enabled(), False, False)[0]  # noqa: FBT003


def _places(ends: Tensor, length: int) -> Tensor:
    """Return the rows of a flat `(T * N)` that turn each sequence within its length."""
    steps = turn_index(torch, length, ends)
    return (steps.T * len(ends) + torch.arange(len(ends))).reshape(-1)


def _turned(x: Tensor, index: Tensor) -> Tensor:
    flat = _Turn.apply(x.reshape(-1, x.shape[-1]), index)
    return flat.reshape(x.shape)  # pyright: ignore[reportOptionalMemberAccess]


class _Turn(torch.autograd.Function):
    """Takes rows in an order that undoes itself, so that its adjoint is itself.

    torch's own gradient of `index_select` adds rows up one by one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        turned: Any = _Turn.apply(grads[0], index)
        return turned, None
