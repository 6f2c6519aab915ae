"""NVIL by hand in eager torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks import torch_kit
from benchmarks.sbn import DECAY, SBNRow
from benchmarks.sbn.torch_estimators import Densities, Estimator


class NVIL(Estimator):
    """Neural variational inference and learning (Mnih & Gregor, 2014), 1402.0030.

    A layer's signal has the terms that its draw can change. From it are taken its running mean
    and what a network of x predicts of the rest; it is divided by its running standard deviation,
    if that is above 1. The network learns by least squares.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, row: SBNRow) -> None:
        """Loads the network's starting weights."""
        super().__init__(row)
        self.baseline = torch_kit.perceptron(row.weights(), "baseline", nn.Tanh)
        self.register_buffer("mean", torch.zeros(len(row.layers)))
        self.register_buffer("variance", torch.ones(len(row.layers)))

    def start(self, draws: Densities) -> None:
        """Begins with the moments of one draw."""
        self.variance, self.mean = moments(torch.stack(signals(draws)))

    def forward(self, draws: Densities, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns minus the ELBO and the scores, plus the network's square error."""
        found = signals(draws)
        with torch.no_grad():
            signal = torch.stack(found)
            centred = signal - self.mean[:, None, None]
            spread = self.variance.clamp(min=1).sqrt()[:, None, None]
            variance, mean = moments(signal)
            self.mean = DECAY * self.mean + (1 - DECAY) * mean
            self.variance = DECAY * self.variance + (1 - DECAY) * variance
        error = centred - self.baseline(x).T[:, None]
        score = (error.detach() / spread * torch.stack(draws.log_q)).sum(0)
        bound = found[0].mean(0)
        return (error**2).sum(0).mean(0) - bound - score.mean(0), bound


def signals(draws: Densities) -> list[Tensor]:
    """Returns the signal `(K, B)` of each layer, h1 first: that is the whole log weight."""
    total, found = draws.log_p[-1], []
    for log_p, log_q in zip(draws.log_p[-2::-1], draws.log_q[::-1], strict=True):
        total = total + log_p - log_q
        found.append(total)
    return found[::-1]


def moments(signal: Tensor) -> tuple[Tensor, Tensor]:
    """Returns variance and mean `(L,)` of signals `(L, K, B)`."""
    return torch.var_mean(signal, dim=(1, 2), correction=0)
