"""The check of a gradient in eager torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.gradients import measured
from benchmarks.row import Row
from benchmarks.torch_kit import first_batch

Losses = Callable[[], tuple[Tensor, Tensor]]
"""Returns what is differentiated, and the loss that is reported."""


def of_loss(model: nn.Module, row: Row) -> Callable[[int], np.ndarray]:
    """Returns the check of a module whose output is the loss, by its children's names."""
    first = first_batch(row)

    def losses() -> tuple[Tensor, Tensor]:
        value = model(first)
        return value, value

    return check(row, {n: net.parameters() for n, net in model.named_children()}, losses)


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
