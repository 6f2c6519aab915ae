"""The VAE with a flow of zuko, by hand in eager torch."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, Transform, constraints

from benchmarks import flows, torch_gradients, torch_kit
from benchmarks.flows import FlowRow
from benchmarks.row import Arrays, Contestant, layers


def flows_of_zuko() -> Any:
    """Imports zuko, which turns the checks of arguments off for all distributions, and leaves
    them as they were."""  # noqa: D205, D209
    before = Distribution._validate_args
    found = import_module("zuko.flows")
    Distribution.set_default_validate_args(before)
    return found


class BoundedAffine(Transform):
    """x exp(a) + m with |a| < 3, in place of zuko's own bound."""

    domain = codomain = constraints.real
    bijective = True

    def __init__(self, shift: Tensor, raw: Tensor) -> None:
        """Takes what the network gives, `(*, D)` each."""
        super().__init__()
        self.shift, self.log_scale = shift, 3 * torch.tanh(raw / 3)

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the values and the log slopes."""
        return x * self.log_scale.exp() + self.shift, self.log_scale


class VAE(nn.Module):
    """Encoder, decoder, flow and the bound."""

    def __init__(self, row: FlowRow) -> None:
        """Loads the row's starting weights."""
        super().__init__()
        weights = row.weights()
        self.encoder = torch_kit.perceptron(weights, "encoder", nn.Tanh)
        self.decoder = torch_kit.perceptron(weights, "decoder", nn.Tanh)
        library = flows_of_zuko()
        sizes = {"transforms": flows.DEPTH, "hidden_features": (flows.WIDTH,)}
        self.z = (
            library.MAF(
                flows.LATENT, flows.LATENT, univariate=BoundedAffine, shapes=[(), ()], **sizes
            )
            if row.name == "iaf"
            else library.NSF(flows.LATENT, flows.LATENT, bins=flows.BINS, **sizes)
        )
        for t in range(flows.DEPTH):
            net = self.z.get_submodule(f"transform.transforms.{t}.hyper")
            fill(net, weights, f"z.{row.name}{t}", row.outputs)
        self.early = row.name == "iaf"

    def forward(self, x: Tensor) -> Tensor:
        """Returns the negative bound, mean over the rows of x `(B, D)`."""
        loc, log_scale, summary = self.encoder(x).chunk(3, dim=-1)
        noise = torch.randn_like(loc)
        transform = self.z.transform(summary)
        if self.early:
            z, log_det = transform.call_and_ladj(loc + log_scale.exp() * noise)
        else:
            y, log_det = transform.call_and_ladj(noise)
            z = loc + log_scale.exp() * y

        # log p(z) - log q(z | x): the normalising constants of the two Gaussians cancel.
        divergence = (0.5 * (noise**2 - z**2) + log_scale).sum(-1) + log_det
        logits = self.decoder(z)
        likelihood = -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        return -(likelihood + divergence).mean()


def fill(net: nn.Module, weights: Arrays, name: str, outputs: int) -> None:
    """Loads a masked network, in zuko's order of the hidden units and of the outputs."""
    first, last = (net.get_submodule(i) for i in "02")
    seen = first.get_buffer("mask")[:, : flows.LATENT].sum(1)
    # which of the row's units each unit of zuko's is: both have as many of every degree
    units = torch.empty(flows.WIDTH, dtype=torch.long)
    units[seen.argsort(stable=True)] = torch.arange(flows.WIDTH)
    if (torch.from_numpy(flows.degrees())[units] != seen).any():
        raise ValueError("zuko's masks are not those of the row")
    turned = torch.arange(outputs * flows.LATENT).reshape(outputs, flows.LATENT).T.flatten()
    given = [tuple(map(torch.tensor, pair)) for pair in layers(weights, name)]
    (weight, bias), (last_weight, last_bias) = given
    first.load_state_dict({"weight": weight[units], "bias": bias[units]}, strict=False)
    arrays = {"weight": last_weight[turned][:, units], "bias": last_bias[turned]}
    last.load_state_dict(arrays, strict=False)  # the masks stay


def build(row: FlowRow, variant: str) -> Contestant:
    """Returns the contestant; variants are those of `torch_kit`."""
    torch.manual_seed(0)
    model = VAE(row)
    return Contestant(torch_kit.training(model, row, variant), torch_gradients.of_loss(model, row))
