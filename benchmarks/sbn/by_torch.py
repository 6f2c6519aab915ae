"""The SBN's VIMCO step by hand in eager torch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import torch_kit
from benchmarks.row import Contestant, Row, layers


def log_bernoulli(logits: Tensor, value: Tensor) -> Tensor:
    """Returns the log probability of binary vectors, `(*, D)` to `(*)`."""
    logits, value = torch.broadcast_tensors(logits, value)
    return -F.binary_cross_entropy_with_logits(logits, value, reduction="none").sum(-1)


def vimco(log_weights: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
    """Returns VIMCO's surrogate loss and the bound, each `(B,)`, from `(K, B)`.

    References: Variational inference for Monte Carlo objectives (Mnih & Rezende, 2016),
    arXiv:1602.06725.
    """
    particles = len(log_weights)
    bound = log_weights.logsumexp(0) - math.log(particles)
    with torch.no_grad():
        others = (log_weights.sum(0) - log_weights) / (particles - 1)
        replaced = torch.eye(particles, dtype=torch.bool)[:, :, None]
        swapped = torch.where(replaced, others[:, None], log_weights[None])
        signal = bound - (swapped.logsumexp(1) - math.log(particles))
    return -(bound + (signal * log_q).sum(0)), bound


class SBN(nn.Module):
    """Two layers of hidden units, a layered guide."""

    def __init__(self, row: Row) -> None:
        """Loads the row's starting weights."""
        super().__init__()
        weights = row.weights()
        layer = lambda name: torch_kit.affine(*layers(weights, name)[0])  # noqa: E731
        self.up = nn.ModuleList([layer("encoder1"), layer("encoder2")])
        self.down = nn.ModuleList([layer("decoder1"), layer("decoder2")])
        self.prior = nn.Parameter(torch.tensor(weights["prior"]))
        self.particles = row.particles

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the surrogate loss and the bound, means over the rows of x `(B, D)`."""
        first = self.up[0](x).expand(self.particles, -1, -1)
        h1 = torch.bernoulli(first.detach().sigmoid())
        second = self.up[1](h1)
        h2 = torch.bernoulli(second.detach().sigmoid())

        log_q = log_bernoulli(first, h1) + log_bernoulli(second, h2)
        log_p = log_bernoulli(self.prior, h2) + log_bernoulli(self.down[1](h2), h1)
        log_p = log_p + log_bernoulli(self.down[0](h1), x)

        surrogate, bound = vimco(log_p - log_q, log_q)
        return surrogate.mean(), bound.mean()


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are those of `torch_kit`."""
    torch.manual_seed(0)
    model = SBN(row)
    data = torch.from_numpy(row.data(row.size))
    optimiser = torch_kit.adam(model.parameters(), variant)
    loss = torch_kit.maybe_compiled(model, variant)

    def step(x: Tensor) -> Tensor:
        surrogate, bound = loss(x)
        torch_kit.optimise(optimiser, surrogate)
        return -bound.detach()

    check = torch_kit.repeated(lambda: (-model(data[: row.batch])[1],))
    return Contestant(torch_kit.epoch(data, row.batch, step), check)
