"""Parameters of a stack of layers: names, shapes and initial values, the same on every host."""

__all__ = [
    "AbstractForeign",
    "AbstractStack",
    "Network",
    "check_arrays",
    "check_parts",
    "check_width",
    "generator_of",
]

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ppgm.errors import ArgumentError
from ppgm.nets_layers import Layer


class Network(Protocol):
    """What a host needs to know to build a network."""

    @property
    def inputs(self) -> int:
        """Width of the rows that go in."""
        ...

    @property
    def outputs(self) -> int:
        """Width of the rows that come out."""
        ...

    @property
    def activation(self) -> str:
        """One of `ACTIVATIONS`, applied after every layer but the last."""
        ...

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers, first to last."""
        ...

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters by name, in order."""
        ...

    def initial(self, seed: int, name: str) -> dict[str, np.ndarray]:
        """Return initial parameters for the network called `name`."""
        ...


class AbstractForeign(ABC):
    """A network that a library of one host builds itself."""

    @abstractmethod
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters by name, in order."""

    @abstractmethod
    def initial(self, seed: int, name: str) -> dict[str, np.ndarray]:
        """Return initial parameters for the network called `name`."""

    @abstractmethod
    def build(self, arrays: Mapping[str, Any], dtype: Any) -> Any:
        """Return the host's module with the parameters `arrays`."""


class AbstractStack(ABC):
    """Parameters of a stack of layers."""

    @abstractmethod
    def layers(self) -> tuple[Layer, ...]:
        """Return the layers, first to last."""

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters by name, in order."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i, layer in enumerate(self.layers()):
            shapes |= {f"layers.{i}.weight": layer.weight, f"layers.{i}.bias": (layer.outputs,)}
        return shapes

    def initial(self, seed: int, name: str) -> dict[str, np.ndarray]:
        """Return initial parameters: uniform on `(-1, 1) / sqrt(fan)`, the rule of `torch.nn`.

        `fan` is the product of all dimensions of the weight but the first.

        Args:
            seed: Seed of the run.
            name: Name of the network in its program: networks that differ in name differ in
                weights, whatever the order in which they are built.

        Returns:
            Arrays of float64 by canonical name.
        """
        arrays: dict[str, np.ndarray] = {}
        for i, layer in enumerate(self.layers()):
            bound = 1.0 / math.sqrt(math.prod(layer.weight[1:]))
            for kind, shape in (("weight", layer.weight), ("bias", (layer.outputs,))):
                parameter = f"layers.{i}.{kind}"
                generator = generator_of(seed, name, parameter)
                arrays[parameter] = generator.uniform(-bound, bound, shape)
        return arrays


def check_arrays(shapes: Mapping[str, tuple[int, ...]], arrays: Mapping[str, Any]) -> None:
    """Refuse `arrays` whose names or shapes are not those of `shapes`."""
    if missing := [name for name in shapes if name not in arrays]:
        raise ArgumentError(f"parameters {missing} of the network are missing: pass all of them.")
    if unknown := [name for name in arrays if name not in shapes]:
        raise ArgumentError(f"the network has no parameters {unknown}: it has {list(shapes)}.")
    for name, shape in shapes.items():
        if np.shape(arrays[name]) != shape:
            raise ArgumentError(
                f"parameter '{name}' must have shape {shape}, not {np.shape(arrays[name])}: "
                "pass weights of a network of the same sizes."
            )


def check_width(shape: tuple[int, ...], inputs: int) -> None:
    """Refuse rows of another width than `inputs`."""
    if tuple(shape[-1:]) != (inputs,):
        raise ArgumentError(
            f"the network takes rows of width {inputs}, shape (..., {inputs}), "
            f"not an array of shape {tuple(shape)}: flatten each datum into one row."
        )


def check_parts(shapes: Sequence[tuple[int, ...]], inputs: int) -> None:
    """Refuse parts that do not make rows of width `inputs`, side by side.

    A network of affine layers takes its rows in parts, `net(x, y)`, each with the batch axes
    that it has: the first layer is then a sum over parts, and a part that many rows share (an
    image beside every class) is multiplied once.
    """
    if len(shapes) == 1:
        check_width(shapes[0], inputs)
    elif sum(shape[-1] for shape in shapes) != inputs:
        raise ArgumentError(
            f"the network takes rows of width {inputs}, not parts of shapes "
            f"{[tuple(shape) for shape in shapes]}, which are wider or narrower side by side"
        )


def generator_of(seed: int, name: str, parameter: str) -> np.random.Generator:
    """Return the source of initial values of one parameter of a network."""
    key = hashlib.blake2b(json.dumps([int(seed), name, parameter]).encode(), digest_size=16)
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key.digest(), "little")))
