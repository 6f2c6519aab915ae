"""The check of a gradient in eager torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from benchmarks.gradients import measured
from benchmarks.row import Row

Losses = Callable[[], tuple[Tensor, Tensor]]
"""Returns what is differentiated, and the loss that is reported."""


def check(
    row: Row, parameters: Mapping[str, Iterable[Tensor]], losses: Losses
) -> Callable[[int], np.ndarray]:
    """Returns a check of the loss, and of its gradient in the parameters of each network."""
    networks = {name: list(parameters[name]) for name in row.networks}
    flat = [parameter for each in networks.values() for parameter in each]

    def once() -> list[float]:
        surrogate, loss = losses()
        found = iter(torch.autograd.grad(surrogate, flat))
        gradient = {name: [next(found).numpy() for _ in each] for name, each in networks.items()}
        weights = {name: [p.detach().numpy() for p in each] for name, each in networks.items()}
        return [loss.item(), *measured(row.networks, weights, gradient)]

    return lambda repeats: np.array([once() for _ in range(repeats)])
