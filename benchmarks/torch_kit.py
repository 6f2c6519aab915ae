"""What the contestants in eager torch share: networks, Adam, the epoch loop, the check."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.row import Arrays, Row, layers

Step = Callable[[Tensor], Tensor]


def perceptron(weights: Arrays, name: str, activation: type[nn.Module]) -> nn.Sequential:
    """Returns `Linear, activation, ..., Linear` with the given starting weights."""
    parts: list[nn.Module] = []
    for weight, bias in layers(weights, name):
        parts += [affine(weight, bias), activation()]
    return nn.Sequential(*parts[:-1])


def affine(weight: np.ndarray, bias: np.ndarray) -> nn.Linear:
    """Returns a linear layer with the given weight `(out, in)` and bias `(out,)`."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
    return layer


def adam(parameters: Iterable[Tensor], variant: str, **options: object) -> torch.optim.Adam:
    """Returns Adam as torch makes it (on a CPU: a loop over the parameters) or fused."""
    fused = True if variant == "fused" else None
    return torch.optim.Adam(parameters, lr=1e-3, fused=fused, **options)  # pyright: ignore


def optimise(optimiser: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    """Takes one step down the gradient of `loss` and returns it detached."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.detach()


def maybe_compiled(function: Step, variant: str) -> Step:
    """Returns the function, through `torch.compile` in the variant of that name."""
    return torch.compile(function) if variant == "compiled" else function


def first_batch(row: Row) -> Tensor:
    """Returns the rows `(B, D)` that checks are of."""
    return torch.from_numpy(row.data(row.size)[: row.batch])


def training(model: nn.Module, row: Row, variant: str) -> Callable[[], float]:
    """Returns the epoch of a module whose output is the loss."""
    optimiser, loss = adam(model.parameters(), variant), maybe_compiled(model, variant)
    data = torch.from_numpy(row.data(row.size))
    return epoch(data, row.batch, lambda x: optimise(optimiser, loss(x)))


def epoch(data: Tensor, batch: int, step: Step) -> Callable[[], float]:
    """Returns a function that takes one shuffled pass over the data and gives the mean loss."""

    def run() -> float:
        torch.set_flush_denormal(True)  # as an expert would: weights of many draws are subnormal
        total = torch.zeros(())
        order = torch.randperm(len(data))
        for index in order.split(batch):
            total += step(data[index])
        return float(total) / (len(data) // batch)

    return run


def repeated(values: Callable[[], tuple[Tensor, ...]]) -> Callable[[int], np.ndarray]:
    """Returns a check: `values()`, without gradients, as many times as asked."""

    def check(repeats: int) -> np.ndarray:
        with torch.no_grad():
            return np.array([[float(value) for value in values()] for _ in range(repeats)])

    return check
