"""VIMCO and reweighted wake-sleep by hand in eager torch.

An estimator maps the log densities of K draws a row to a surrogate loss, whose gradient it is,
and the bound, both `(B,)`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.sbn import SBNRow


class Densities(NamedTuple):
    """Log densities of the draws, each `(K, B)`, from x upward."""

    log_p: list[Tensor]
    """Of x and of each layer but the top one given the layer above; then of the top one."""
    log_q: list[Tensor]
    """Of each hidden layer given the layer below."""


class Estimator(nn.Module):
    """An estimator that remembers nothing."""

    def __init__(self, row: SBNRow) -> None:
        """Has no parameters."""
        super().__init__()

    def start(self, draws: Densities) -> None:
        """Begins with the moments of one draw, where they are remembered."""


class VIMCO(Estimator):
    """Variational inference for Monte Carlo objectives (Mnih & Rezende, 2016), 1602.06725."""

    def forward(self, draws: Densities, x: Tensor) -> tuple[Tensor, Tensor]:
        """Each draw's signal is the bound less that with its weight replaced by the others'."""
        log_q = sum(draws.log_q)
        log_weights = sum(draws.log_p) - log_q
        particles = len(log_weights)
        bound = log_weights.logsumexp(0) - math.log(particles)
        with torch.no_grad():
            others = (log_weights.sum(0) - log_weights) / (particles - 1)
            replaced = torch.eye(particles, dtype=torch.bool)[:, :, None]
            swapped = torch.where(replaced, others[:, None], log_weights[None])
            signal = bound - (swapped.logsumexp(1) - math.log(particles))
        return -(bound + (signal * log_q).sum(0)), bound


class RWS(Estimator):
    """Reweighted wake-sleep (Bornschein & Bengio, 2015), 1406.2751: wake phases of both sides."""

    def forward(self, draws: Densities, x: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of log p and log q, weighted by the normalised weights."""
        log_p, log_q = sum(draws.log_p), sum(draws.log_q)
        with torch.no_grad():
            log_weights = log_p - log_q
            bound = log_weights.logsumexp(0) - math.log(len(log_weights))
            shares = log_weights.softmax(0)
        return -(shares * (log_p + log_q)).sum(0), bound
