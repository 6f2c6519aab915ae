"""What a row of the table is, and what a contestant has to offer.

A row is a package of this folder with a `ROW`; each contestant is a module `by_<library>.py` in it
with a function `build(row, variant) -> Contestant`. The row itself imports numpy only, so that a
contestant's memory is not charged with its rivals' libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from benchmarks.gradients import columns

Arrays = dict[str, np.ndarray]


class Contestant(NamedTuple):
    """One implementation of a row's training step."""

    run: Callable[[], float]
    """Runs one round (`row.steps` optimiser steps) to the end and returns the mean loss."""

    check: Callable[[int], np.ndarray]
    """The row's columns, `(repeats, columns)`, at the starting weights on its first batch."""


BASELINES: Mapping[str, tuple[str, ...]] = {"torch": ("torch",), "jax": ("jax scan", "jax step")}
"""Hand-written contestants of each array library; the fastest of a library is its baseline."""


@dataclass(frozen=True)
class Row:
    """Sizes, data and starting weights that every contestant of the row shares.

    Attributes:
        name: Name on the command line and in the JSON.
        title: What is measured, for the table.
        package: Folder with the contestants' modules.
        batch: Rows in a minibatch.
        steps: Optimiser steps in a round; the data are `batch * steps` rows, one epoch a round.
        contestants: Label to (module, variant).
        values: Losses that `Contestant.check` returns, by column.
        data: Makes the data from the number of rows.
        weights: Makes the starting weights, canonical name to array; networks are `(out, in)`.
        gradients: Whether the check measures the loss's gradient too, network by network.
        particles: Draws per datum, where the row has them.
        repeats: Evaluations that `check` averages.
        notes: What differs for a contestant, by label.
        baselines: Contestants of each array library to compare with; the fastest counts.
    """

    name: str
    title: str
    package: str
    batch: int
    steps: int
    contestants: Mapping[str, tuple[str, str]]
    values: tuple[str, ...]
    data: Callable[[int], np.ndarray]
    weights: Callable[[], Arrays]
    gradients: bool = False
    particles: int = 1
    repeats: int = 200
    notes: Mapping[str, str] | None = None
    baselines: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: BASELINES)

    @property
    def size(self) -> int:
        """Rows of the data."""
        return self.batch * self.steps

    @property
    def networks(self) -> tuple[str, ...]:
        """How the names of the starting weights begin; a parameter by itself counts as one."""
        return tuple(dict.fromkeys(name.split(".")[0] for name in self.weights()))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of a check."""
        return (*self.values, *(columns(self.networks) if self.gradients else ()))


TORCH = {
    "torch": ("by_torch", "adam"),
    "torch fused Adam": ("by_torch", "fused"),
    "torch.compile": ("by_torch", "compiled"),
}
JAX = {"jax scan": ("by_jax", "scan"), "jax step": ("by_jax", "step")}
PPGM = {"ppgm pyro": ("by_ppgm", "pyro"), "ppgm numpyro": ("by_ppgm", "numpyro")}


def library(label: str) -> str:
    """Returns the array library, `"torch"` or `"jax"`, that a contestant computes with."""
    return "jax" if "jax" in label or "numpyro" in label else "torch"


def linear(rng: np.random.Generator, name: str, inputs: int, outputs: int) -> Arrays:
    """Returns `name.weight` `(outputs, inputs)` and `name.bias`, uniform within `inputs**-0.5`."""
    bound = inputs**-0.5
    draw = lambda *shape: rng.uniform(-bound, bound, shape).astype(np.float32)  # noqa: E731
    return {f"{name}.weight": draw(outputs, inputs), f"{name}.bias": draw(outputs)}


def mlp(rng: np.random.Generator, name: str, sizes: tuple[int, ...]) -> Arrays:
    """Returns the weights of a perceptron, named `name.layers.0.weight` and so on."""
    pairs = zip(sizes, sizes[1:], strict=False)
    layers = [linear(rng, f"{name}.layers.{i}", a, b) for i, (a, b) in enumerate(pairs)]
    return {key: value for layer in layers for key, value in layer.items()}


def layers(weights: Arrays, name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the `(weight, bias)` pairs of the perceptron `name`, first layer first."""
    count = sum(key.startswith(f"{name}.layers.") for key in weights) // 2
    keys = [f"{name}.layers.{i}" for i in range(count)]
    return [(weights[f"{key}.weight"], weights[f"{key}.bias"]) for key in keys]


def binary_images(rows: int, pixels: int = 784) -> np.ndarray:
    """Returns `(rows, pixels)` zeros and ones: ten prototypes with 5 % of the pixels flipped."""
    rng = np.random.default_rng(0)
    prototypes = rng.random((10, pixels)) < 0.2
    flips = rng.random((rows, pixels)) < 0.05
    return (prototypes[rng.integers(0, 10, rows)] ^ flips).astype(np.float32)
