"""M2's step by hand in eager torch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import torch_gradients, torch_kit
from benchmarks.m2 import CLASSES, M2Row
from benchmarks.row import Contestant


class Beside(nn.Module):
    """A perceptron of inputs with each class beside them as a one-hot vector."""

    classes: Tensor

    def __init__(self, network: nn.Sequential) -> None:
        """Keeps the network."""
        super().__init__()
        self.network = network
        self.register_buffer("classes", torch.eye(CLASSES)[:, None])

    def forward(self, inputs: Tensor) -> Tensor:
        """Returns the output `(C, B, out)` for inputs, the same or one for each class."""
        shape = (CLASSES, inputs.shape[-2])
        parts = (inputs.expand(*shape, -1), self.classes.expand(*shape, -1))
        return self.network(torch.cat(parts, -1))


class Shared(nn.Module):
    """The same, with a column of the first weight in place of its product with a vector."""

    def __init__(self, network: nn.Sequential) -> None:
        """Takes the first weight apart, once and for all."""
        super().__init__()
        weight, bias = (each.detach().numpy() for each in network[0].parameters())
        self.first = torch_kit.affine(weight[:, :-CLASSES], bias)
        self.columns = nn.Parameter(torch.tensor(weight[:, -CLASSES:].T[:, None]))
        self.others = network[1:]

    def forward(self, inputs: Tensor) -> Tensor:
        """Returns the output `(C, B, out)` for inputs, the same or one for each class."""
        return self.others(self.first(inputs) + self.columns)


class M2(nn.Module):
    """Classifier, encoder, decoder and the bound."""

    def __init__(self, row: M2Row) -> None:
        """Loads the row's starting weights."""
        super().__init__()
        weights, by_class = row.weights(), Shared if row.shared else Beside
        network = lambda name: torch_kit.perceptron(weights, name, nn.Tanh)  # noqa: E731
        self.classifier = network("classifier")
        self.encoder, self.decoder = by_class(network("encoder")), by_class(network("decoder"))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the negative bound, mean over the rows of x `(B, D)`."""
        log_y = self.classifier(x).log_softmax(-1).T
        loc, log_scale = self.encoder(x).chunk(2, dim=-1)
        noise = torch.randn_like(loc)
        z = loc + log_scale.exp() * noise

        # log p(z) - log q(z | x, y): the normalising constants of the two Gaussians cancel.
        divergence = (0.5 * (noise**2 - z**2) + log_scale).sum(-1)
        logits = self.decoder(z)
        target = x.expand_as(logits)
        likelihood = -F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)

        log_weights = likelihood + divergence - math.log(CLASSES) - log_y
        return -(log_y.exp() * log_weights).sum(0).mean()


def build(row: M2Row, variant: str) -> Contestant:
    """Returns the contestant; variants are those of `torch_kit`."""
    torch.manual_seed(0)
    model = M2(row)
    return Contestant(torch_kit.training(model, row, variant), torch_gradients.of_loss(model, row))
