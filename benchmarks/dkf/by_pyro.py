"""The deep Kalman filter as one Pyro statement per state and per observation, in Pyro's own SVI.

Batches are cut to their longest sequence, and argument validation is off: both make it faster.
"""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as dist
import torch
import torch.nn.functional as F
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn

from benchmarks import dkf, torch_kit
from benchmarks.row import Arrays, Contestant, Row


class Gated(nn.Module):
    """Mean and deviation of a state given the one before."""

    def __init__(self, weights: Arrays) -> None:
        """Loads the networks."""
        super().__init__()
        for part in ("gate", "proposal", "carry", "spread"):
            net = torch_kit.perceptron(weights, f"transition_{part}", nn.ReLU)
            self.add_module(part, net)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Returns both for states `(B, L)`."""
        gate, proposal = torch.sigmoid(self.gate(z)), self.proposal(z)
        loc = (1 - gate) * self.carry(z) + gate * proposal
        return loc, F.softplus(self.spread(torch.relu(proposal)))


class Loop(nn.Module):
    """Model and guide."""

    def __init__(self, weights: Arrays) -> None:
        """Loads the row's starting weights."""
        super().__init__()
        self.transition = Gated(weights)
        self.decoder = torch_kit.perceptron(weights, "decoder", nn.ReLU)
        self.combiner = torch_kit.perceptron(weights, "combiner", nn.ReLU)
        self.heads = torch_kit.perceptron(weights, "heads", nn.ReLU)
        self.z0 = nn.Parameter(torch.tensor(weights["z0"]))
        self.z0_guide = nn.Parameter(torch.tensor(weights["z0_guide"]))
        self.rnn = nn.RNN(dkf.FEATURES, dkf.RNN, nonlinearity="relu", batch_first=True)
        prefix = "rnn_right."
        mine = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        self.rnn.load_state_dict({name: torch.tensor(value) for name, value in mine.items()})

    def model(self, x: Tensor, alive: Tensor, turned: Tensor) -> None:
        """Draws states and observations, step by step."""
        pyro.module("dkf", self)
        z = self.z0.expand(len(x), -1)
        with pyro.plate("data", len(x)):
            for t in pyro.markov(range(x.shape[1])):
                with pyro.poutine.mask(mask=alive[:, t]):
                    z = pyro.sample(f"z{t}", dist.Normal(*self.transition(z)).to_event(1))
                    bits = dist.Bernoulli(logits=self.decoder(z)).to_event(1)
                    pyro.sample(f"x{t}", bits, obs=x[:, t])

    def guide(self, x: Tensor, alive: Tensor, turned: Tensor) -> None:
        """Draws states given those before and the data from there on."""
        pyro.module("dkf", self)
        index = turned[..., None]
        states = self.rnn(x.gather(1, index.expand(-1, -1, dkf.FEATURES)))[0]
        states = states.gather(1, index.expand(-1, -1, dkf.RNN))
        z = self.z0_guide.expand(len(x), -1)
        with pyro.plate("data", len(x)):
            for t in pyro.markov(range(x.shape[1])):
                both = self.heads(0.5 * (torch.tanh(self.combiner(z)) + states[:, t]))
                loc, scale = both.chunk(2, -1)
                with pyro.poutine.mask(mask=alive[:, t]):
                    z = pyro.sample(f"z{t}", dist.Normal(loc, F.softplus(scale)).to_event(1))


def batch(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns sequences cut to the longest, what is not padding, and the steps turned around."""
    x = x[:, : int(lengths.max())]
    steps = torch.arange(x.shape[1])
    alive = steps < lengths[:, None]
    return x, alive, torch.where(alive, lengths[:, None] - 1 - steps, steps)


def build(row: Row, variant: str) -> Contestant:
    """Returns the contestant; there is one variant."""
    pyro.enable_validation(False)
    torch.manual_seed(0)
    both = Loop(row.weights())
    x, lengths = torch.from_numpy(row.data(row.size)), torch.from_numpy(dkf.lengths(row.size))
    elbo = Trace_ELBO()
    svi = SVI(both.model, both.guide, pyro.optim.Adam({"lr": 1e-3}), elbo)

    def step(index: Tensor) -> Tensor:
        return torch.tensor(svi.step(*batch(x[index], lengths[index])) / len(index))

    def check(repeats: int) -> np.ndarray:
        first = batch(x[: row.batch], lengths[: row.batch])
        losses = [elbo.loss(both.model, both.guide, *first) / row.batch for _ in range(repeats)]
        return np.array(losses)[:, None]

    return Contestant(torch_kit.epoch(torch.arange(row.size), row.batch, step), check)
