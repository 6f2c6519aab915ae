"""Flows of zuko as maps of ppgm; see `ppgm.guides.zuko_flow`."""

__all__ = ["ZukoMap", "ZukoNet", "import_zuko"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ppgm.errors import ArgumentError, did_you_mean
from ppgm.host_pyro_ops import to_numpy
from ppgm.nets_stack import AbstractForeign, generator_of


def import_zuko() -> Any:
    """Imports zuko, which turns the checks of arguments off for all distributions, and turns
    them on again if they were on."""  # noqa: D205, D209
    before = Distribution._validate_args
    module = import_module("zuko")
    Distribution.set_default_validate_args(before)
    return module


@dataclass(frozen=True)
class ZukoNet(AbstractForeign):
    """A flow of zuko as a network.

    Attributes:
        flow: Name of a class of `zuko.flows`, or a callable of the same arguments.
        features: Number of coordinates.
        context: Width of the context.
        options: Further arguments, as pairs.
    """

    flow: str | Callable[..., Any]
    features: int
    context: int
    options: tuple[tuple[str, Any], ...]

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters by name, in order."""
        return {n: tuple(p.shape) for n, p in self._made(0).named_parameters()}

    def initial(self, seed: int, name: str) -> dict[str, np.ndarray]:
        """Return initial parameters, zuko's own."""
        drawn = int(generator_of(seed, name, "zuko").integers(2**31))
        return {n: to_numpy(p) for n, p in self._made(drawn).named_parameters()}

    def build(self, arrays: Mapping[str, Any], dtype: torch.dtype) -> nn.Module:
        """Return the module; what it draws beside parameters, such as orders, is always alike."""
        module = self._made(0).to(dtype)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.copy_(torch.from_numpy(np.array(arrays[name])))
        return module

    def _made(self, seed: int) -> Any:
        make = self.flow if callable(self.flow) else _class_of(self.flow)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = make(self.features, self.context, **dict(self.options))
        base = made.base(None)
        normal = type(base).__name__ == "DiagNormal" and base.event_shape == (self.features,)
        if not normal or (base.mean != 0).any() or (base.stddev != 1).any():
            raise ArgumentError(
                f"ZukoFlow: flow {self.flow!r} has the base {base}; a flow of standard normal "
                f"noise of {self.features} coordinates is needed, such as 'NSF' or 'MAF'"
            )
        return made


@dataclass(frozen=True)
class ZukoMap:
    """The transform of a flow of zuko in the direction that takes one pass.

    Attributes:
        flow: The flow.
        context: What it is conditional on, ``(*, C)``; None for nothing.
    """

    flow: Any
    context: Tensor | None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns y ``(*, D)`` and the log determinant ``(*)``."""
        return _summed(*self.flow.transform(self.context).call_and_ladj(x))

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Returns x ``(*, D)`` and the log determinant of the inverse ``(*)``."""
        return _summed(*self.flow.transform(self.context).inv.call_and_ladj(y))


def _summed(value: Tensor, log_det: Tensor) -> tuple[Tensor, Tensor]:
    """Sums log determinants by coordinate, as those of a single elementwise map are."""
    return value, log_det.sum(-1) if log_det.ndim == value.ndim else log_det


def _class_of(name: str) -> Any:
    flows = import_zuko().flows
    known = [n for n in dir(flows) if isinstance(getattr(flows, n), type)]
    if name not in known:
        raise ArgumentError(
            f"ZukoFlow: flow must be a class of zuko.flows, not {name!r}"
            f"{did_you_mean(name, known)}"
        )
    return getattr(flows, name)
