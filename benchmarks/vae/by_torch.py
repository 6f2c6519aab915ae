"""The VAE's step by hand in eager torch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import torch_kit
from benchmarks.row import Contestant, Row


class VAE(nn.Module):
    """Encoder, decoder and the bound."""

    def __init__(self, row: Row) -> None:
        """Loads the row's starting weights."""
        super().__init__()
        weights = row.weights()
        self.encoder = torch_kit.perceptron(weights, "encoder", nn.Tanh)
        self.decoder = torch_kit.perceptron(weights, "decoder", nn.Tanh)
        self.particles = row.particles

    def forward(self, x: Tensor) -> Tensor:
        """Returns the negative bound, mean over the rows of x `(B, D)`."""
        loc, log_scale = self.encoder(x).chunk(2, dim=-1)
        noise = torch.randn(self.particles, *loc.shape)
        z = loc + log_scale.exp() * noise

        # log p(z) - log q(z | x): the normalising constants of the two Gaussians cancel.
        divergence = (0.5 * (noise**2 - z**2) + log_scale).sum(-1)
        logits = self.decoder(z)
        target = x.expand_as(logits)
        likelihood = -F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)

        log_weights = likelihood + divergence
        bound = log_weights.logsumexp(0) - math.log(self.particles)
        return -bound.mean()


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are those of `torch_kit`."""
    torch.manual_seed(0)
    model = VAE(row)
    first = torch_kit.first_batch(row)
    check = torch_kit.repeated(lambda: (model(first),))
    return Contestant(torch_kit.training(model, row, variant), check)
