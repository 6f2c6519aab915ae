"""The RBM's PCD-1 step by hand in eager torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import torch_kit
from benchmarks.row import Contestant, Row


class RBM(nn.Module):
    """Free energy and block-Gibbs kernel."""

    def __init__(self, row: Row) -> None:
        """Loads the row's starting weights."""
        super().__init__()
        for name, value in row.weights().items():
            self.register_parameter(name, nn.Parameter(torch.tensor(value)))

    def free_energy(self, v: Tensor) -> Tensor:
        """Returns F(v) `(B,)` for v `(B, V)`."""
        hidden = F.softplus(F.linear(v, self.weight, self.hidden)).sum(-1)
        return -(v @ self.visible) - hidden

    @torch.no_grad()
    def sweep(self, v: Tensor) -> Tensor:
        """Returns the chains `(B, V)` after one block-Gibbs sweep."""
        h = torch.bernoulli(F.linear(v, self.weight, self.hidden).sigmoid())
        return torch.bernoulli(F.linear(h, self.weight.T, self.visible).sigmoid())

    def forward(self, x: Tensor, chains: Tensor) -> Tensor:
        """Returns mean F(x) - mean F(chains)."""
        return self.free_energy(x).mean() - self.free_energy(chains).mean()


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are those of `torch_kit`."""
    torch.manual_seed(0)
    model = RBM(row)
    data = torch.from_numpy(row.data(row.size))
    first = chains = data[: row.batch]
    optimiser = torch_kit.adam(model.parameters(), variant)
    loss = torch_kit.maybe_compiled(model, variant)
    sweep = torch_kit.maybe_compiled(model.sweep, variant)

    def step(x: Tensor) -> Tensor:
        nonlocal chains
        chains = sweep(chains)
        return torch_kit.optimise(optimiser, loss(x, chains))

    check = torch_kit.repeated(lambda: (model(first, model.sweep(first)),))
    return Contestant(torch_kit.epoch(data, row.batch, step), check)
