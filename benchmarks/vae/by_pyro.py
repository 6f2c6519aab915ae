"""The VAE in Pyro's own SVI: `Trace_ELBO` for one particle, `RenyiELBO(alpha=0)` for more.

Argument validation is off, which is Pyro's faster setting.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, RenyiELBO, Trace_ELBO
from torch import Tensor, nn

from benchmarks import torch_kit
from benchmarks.row import Contestant, Row


def model(decoder: nn.Module, x: Tensor, latent: int) -> None:
    """Declares z ~ N(0, I) and x | z ~ Bernoulli(decoder(z))."""
    pyro.module("decoder", decoder)
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(latent), torch.ones(latent)).to_event(1))
        pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)


def guide(encoder: nn.Module, x: Tensor) -> None:
    """Declares z | x ~ N(loc(x), scale(x))."""
    pyro.module("encoder", encoder)
    with pyro.plate("data", len(x), dim=-1):
        loc, log_scale = encoder(x).chunk(2, dim=-1)
        pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))


def objective(particles: int) -> Trace_ELBO | RenyiELBO:
    """Returns Pyro's objective, vectorised over the particles."""
    if particles == 1:
        return Trace_ELBO()
    options = {"vectorize_particles": True, "max_plate_nesting": 1}
    return RenyiELBO(alpha=0.0, num_particles=particles, **options)


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; there is one variant."""
    torch.manual_seed(0)
    pyro.enable_validation(is_validate=False)
    weights = row.weights()
    encoder, decoder = (torch_kit.perceptron(weights, n, nn.Tanh) for n in ("encoder", "decoder"))
    latent = encoder[-1].out_features // 2
    data = torch.from_numpy(row.data(row.size))
    svi = SVI(
        lambda x: model(decoder, x, latent),
        partial(guide, encoder),
        pyro.optim.Adam({"lr": 1e-3}),
        loss=objective(row.particles),
    )

    def check(repeats: int) -> np.ndarray:
        x = data[: row.batch]
        return np.array([[svi.evaluate_loss(x) / row.batch] for _ in range(repeats)])

    step = lambda x: torch.tensor(svi.step(x) / row.batch)  # noqa: E731
    return Contestant(torch_kit.epoch(data, row.batch, step), check)
