"""The SBN's step by hand in eager torch."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import torch_gradients, torch_kit
from benchmarks.row import Contestant, layers
from benchmarks.sbn import SBNRow
from benchmarks.sbn.torch_estimators import RWS, VIMCO, Densities
from benchmarks.sbn.torch_nvil import NVIL

ESTIMATORS = {"vimco": VIMCO, "nvil": NVIL, "rws": RWS}


def log_bernoulli(logits: Tensor, value: Tensor) -> Tensor:
    """Returns the log probability of binary vectors, `(*, D)` to `(*)`."""
    logits, value = torch.broadcast_tensors(logits, value)
    return -F.binary_cross_entropy_with_logits(logits, value, reduction="none").sum(-1)


class SBN(nn.Module):
    """Layers of hidden units, a layered guide, and an estimator of the bound's gradient."""

    def __init__(self, row: SBNRow) -> None:
        """Loads the row's starting weights."""
        super().__init__()
        weights, levels = row.weights(), range(1, len(row.layers) + 1)
        layer = lambda name: torch_kit.affine(*layers(weights, name)[0])  # noqa: E731
        self.up = nn.ModuleList([layer(f"encoder{level}") for level in levels])
        self.down = nn.ModuleList([layer(f"decoder{level}") for level in levels])
        self.prior = nn.Parameter(torch.tensor(weights["prior"]))
        self.estimator = ESTIMATORS[row.estimator](row)
        self.particles = row.particles

    def draw(self, x: Tensor) -> Densities:
        """Draws the hidden layers for the rows of x `(B, D)`, no gradient through the draws."""
        below, found = x, Densities([], [])
        for up, down in zip(self.up, self.down, strict=True):
            logits = up(below)
            if below is x:  # the first layer's logits are the same for all particles
                logits = logits.expand(self.particles, -1, -1)
            h = torch.bernoulli(logits.detach().sigmoid())
            found.log_q.append(log_bernoulli(logits, h))
            found.log_p.append(log_bernoulli(down(h), below))
            below = h
        found.log_p.append(log_bernoulli(self.prior, below))
        return found

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the surrogate loss and the bound, means over the rows of x `(B, D)`."""
        surrogate, bound = self.estimator(self.draw(x), x)
        return surrogate.mean(), bound.mean()

    def networks(self) -> dict[str, Iterable[Tensor]]:
        """Returns the parameters by canonical name of the network."""
        up, down = ([net.parameters() for net in nets] for nets in (self.up, self.down))
        found = {f"encoder{level}": each for level, each in enumerate(up, 1)}
        found |= {f"decoder{level}": each for level, each in enumerate(down, 1)}
        return {**found, "prior": [self.prior], "baseline": self.estimator.parameters()}

    def start(self, x: Tensor) -> None:
        """Lets the estimator begin with what it remembers, from one draw."""
        with torch.no_grad():
            self.estimator.start(self.draw(x))


def build(row: SBNRow, variant: str) -> Contestant:
    """Returns the contestant; variants are those of `torch_kit`."""
    torch.manual_seed(0)
    model = SBN(row)
    data = torch.from_numpy(row.data(row.size))
    first = data[: row.batch]
    model.start(first)
    optimiser = torch_kit.adam(model.parameters(), variant)
    loss = torch_kit.maybe_compiled(model, variant)

    def step(x: Tensor) -> Tensor:
        surrogate, bound = loss(x)
        torch_kit.optimise(optimiser, surrogate)
        return -bound.detach()

    def losses() -> tuple[Tensor, Tensor]:
        model.start(first)
        surrogate, bound = model(first)
        return surrogate, -bound

    check = torch_gradients.check(row, model.networks(), losses)
    return Contestant(torch_kit.epoch(data, row.batch, step), check)
