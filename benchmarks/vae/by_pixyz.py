"""The VAE in pixyz; its losses have no logarithm, so 50 draws are an ELBO and not IWAE."""

from __future__ import annotations

import torch
from pixyz.distributions import Bernoulli, Normal
from pixyz.models import Model
from torch import Tensor, nn

from benchmarks import torch_kit
from benchmarks.row import Contestant, Row


class Inference(Normal):
    """q(z | x)."""

    def __init__(self, network: nn.Module) -> None:
        """Keeps the encoder."""
        super().__init__(var=["z"], cond_var=["x"], name="q")
        self.net = network

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Returns the mean and scale for x `(B, D)`."""
        loc, log_scale = self.net(x).chunk(2, dim=-1)
        return {"loc": loc, "scale": log_scale.exp()}


class Generator(Bernoulli):
    """p(x | z)."""

    def __init__(self, network: nn.Module) -> None:
        """Keeps the decoder."""
        super().__init__(var=["x"], cond_var=["z"], name="p")
        self.net = network

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        """Returns the probabilities for z `(B, L)`; pixyz takes no logits."""
        return {"probs": self.net(z).sigmoid()}


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; there is one variant."""
    torch.manual_seed(0)
    weights = row.weights()
    encoder, decoder = (torch_kit.perceptron(weights, n, nn.Tanh) for n in ("encoder", "decoder"))
    zero, one = torch.tensor(0.0), torch.tensor(1.0)
    latent = [encoder[-1].out_features // 2]
    prior = Normal(loc=zero, scale=one, var=["z"], features_shape=latent, name="prior")
    q, p = Inference(encoder), Generator(decoder)
    weight = (p * prior).log_prob() - q.log_prob()
    loss = -weight.expectation(q, sample_shape=[row.particles]).mean()
    options = {"lr": 1e-3}
    model = Model(loss, distributions=[p, q], optimizer_params=options)
    data = torch.from_numpy(row.data(row.size))
    step = lambda x: model.train({"x": x}).detach()  # noqa: E731
    check = torch_kit.repeated(lambda: (loss.eval({"x": data[: row.batch]}),))
    return Contestant(torch_kit.epoch(data, row.batch, step), check)
