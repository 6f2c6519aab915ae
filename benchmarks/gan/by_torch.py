"""The GAN's step by hand in eager torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import torch_kit
from benchmarks.row import Contestant, Row


class GAN(nn.Module):
    """Generator, critic and the loss of each player, means over the batch."""

    def __init__(self, row: Row) -> None:
        """Loads the row's starting weights."""
        super().__init__()
        weights = row.weights()
        self.generator = torch_kit.perceptron(weights, "generator", nn.Tanh)
        self.critic = torch_kit.perceptron(weights, "critic", nn.Tanh)

    def fake(self, x: Tensor) -> Tensor:
        """Returns as many draws of the generator as x has rows."""
        return self.generator(torch.randn(len(x), self.generator[0].in_features))

    def critic_loss(self, x: Tensor) -> Tensor:
        """Returns the critic's cross-entropy; the generator gets no gradient."""
        with torch.no_grad():
            fake = self.fake(x)
        return F.softplus(-self.critic(x)).mean() + F.softplus(self.critic(fake)).mean()

    def generator_loss(self, x: Tensor) -> Tensor:
        """Returns the generator's non-saturating loss."""
        return F.softplus(-self.critic(self.fake(x))).mean()


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; variants are those of `torch_kit`."""
    torch.manual_seed(0)
    gan = GAN(row)
    data = torch.from_numpy(row.data(row.size))
    critic_adam = torch_kit.adam(gan.critic.parameters(), variant, betas=(0.5, 0.999))
    generator_adam = torch_kit.adam(gan.generator.parameters(), variant, betas=(0.5, 0.999))
    critic_loss = torch_kit.maybe_compiled(gan.critic_loss, variant)
    generator_loss = torch_kit.maybe_compiled(gan.generator_loss, variant)

    def step(x: Tensor) -> Tensor:
        loss = torch_kit.optimise(critic_adam, critic_loss(x))
        # The critic is frozen, so that its gradients are not computed in the generator's turn.
        gan.critic.requires_grad_(requires_grad=False)
        torch_kit.optimise(generator_adam, generator_loss(x))
        gan.critic.requires_grad_(requires_grad=True)
        return loss

    first = data[: row.batch]
    check = torch_kit.repeated(lambda: (gan.critic_loss(first), gan.generator_loss(first)))
    return Contestant(torch_kit.epoch(data, row.batch, step), check)
