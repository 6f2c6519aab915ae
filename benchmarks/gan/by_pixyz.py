"""The GAN in pixyz: its `GAN` model, `AdversarialJensenShannon` with a sigmoid critic."""

from __future__ import annotations

import torch
from pixyz.distributions import Deterministic, Normal
from pixyz.models import GAN
from torch import Tensor, nn

from benchmarks import torch_kit
from benchmarks.row import Contestant, Row


class Generator(Deterministic):
    """x = generator(z)."""

    def __init__(self, network: nn.Module) -> None:
        """Keeps the network."""
        super().__init__(var=["x"], cond_var=["z"], name="p")
        self.net = network

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        """Returns the draw for z `(B, L)`."""
        return {"x": self.net(z)}


class Critic(Deterministic):
    """t = sigmoid(critic(x)); pixyz takes probabilities."""

    def __init__(self, network: nn.Module) -> None:
        """Keeps the network."""
        super().__init__(var=["t"], cond_var=["x"], name="d")
        self.net = network

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Returns the probability that x `(B, 2)` is data."""
        return {"t": self.net(x).sigmoid()}


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; there is one variant."""
    torch.manual_seed(0)
    weights = row.weights()
    generator = Generator(torch_kit.perceptron(weights, "generator", nn.Tanh))
    critic = Critic(torch_kit.perceptron(weights, "critic", nn.Tanh))
    zero, one = torch.tensor(0.0), torch.tensor(1.0)
    features = [generator.net[0].in_features]
    prior = Normal(loc=zero, scale=one, var=["z"], features_shape=features, name="prior")
    options = {"lr": 1e-3, "betas": (0.5, 0.999)}
    p = (generator * prior).marginalize_var("z")
    model = GAN(p, critic, optimizer_params=options, d_optimizer_params=options)
    data = torch.from_numpy(row.data(row.size))
    divergence, first = model.loss_cls, {"x": data[: row.batch]}
    step = lambda x: model.train({"x": x})[1].detach()  # noqa: E731
    values = lambda: (divergence.eval(first, discriminator=True), divergence.eval(first))  # noqa: E731
    return Contestant(torch_kit.epoch(data, row.batch, step), torch_kit.repeated(values))
