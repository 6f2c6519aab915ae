"""The DLGM's step by hand in eager torch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import torch_gradients, torch_kit
from benchmarks.row import Contestant, Row


class DLGM(nn.Module):
    """Two layers of latents, a bottom-up guide and the bound."""

    def __init__(self, row: Row) -> None:
        """Loads the row's starting weights."""
        super().__init__()
        weights = row.weights()
        network = lambda name: torch_kit.perceptron(weights, name, nn.Tanh)  # noqa: E731
        self.encoder1, self.encoder2 = network("encoder1"), network("encoder2")
        self.prior1, self.decoder = network("prior1"), network("decoder")
        self.particles = row.particles

    def forward(self, x: Tensor) -> Tensor:
        """Returns the negative bound, mean over the rows of x `(B, D)`."""
        loc1, log_scale1 = self.encoder1(x).chunk(2, dim=-1)
        noise1 = torch.randn(self.particles, *loc1.shape)
        z1 = loc1 + log_scale1.exp() * noise1
        loc2, log_scale2 = self.encoder2(z1).chunk(2, dim=-1)
        noise2 = torch.randn_like(loc2)
        z2 = loc2 + log_scale2.exp() * noise2

        # log p(z) - log q(z), layer by layer: the Gaussians' normalising constants cancel.
        loc, log_scale = self.prior1(z2).chunk(2, dim=-1)
        gap = (z1 - loc) * (-log_scale).exp()
        divergence1 = (0.5 * (noise1**2 - gap**2) + log_scale1 - log_scale).sum(-1)
        divergence2 = (0.5 * (noise2**2 - z2**2) + log_scale2).sum(-1)
        logits = self.decoder(z1)
        target = x.expand_as(logits)
        likelihood = -F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)

        log_weights = likelihood + divergence1 + divergence2
        bound = log_weights.logsumexp(0) - math.log(self.particles)
        return -bound.mean()


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are those of `torch_kit`."""
    torch.manual_seed(0)
    model = DLGM(row)
    return Contestant(torch_kit.training(model, row, variant), torch_gradients.of_loss(model, row))
