r"""Posteriors by flows of zuko, on the Pyro host.

.. math:: z = \mu(x) + \sigma(x) \odot f(\epsilon; h(x)), \quad \epsilon \sim N(0, I)

with f the transform of the flow, which zuko applies in one pass; it is turned round from what
zuko would do with it as a density, so that draws are the fast direction. The import of zuko
turns the checks of arguments off for all of torch's and Pyro's distributions: ppgm turns them on
again. It needs ``pip install 'ppgm[flows]'``.

References:
    | Zuko: normalizing flows in PyTorch, https://zuko.readthedocs.io
"""

__all__ = ["ZukoFlow"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ppgm.domains import check_size
from ppgm.guides.noise_flows import AbstractNoiseFlow, check_host, pairs_of
from ppgm.ops import Array
from ppgm.transforms import Transform

OPTIONS = (("transforms", 2), ("hidden_features", (64, 64)))


@dataclass(frozen=True)
class ZukoFlow(AbstractNoiseFlow):
    """A flow of zuko below a scale and a shift; network "<site>.zuko". Pyro host only.

    Args:
        flow: Name of a class of `zuko.flows` with a standard normal base, such as "NSF" or
            "MAF", or a callable of the same arguments (which cannot be saved).
        options: Further arguments, ``{"transforms": 3, "bins": 8}``.
        summary: Width of h; None for as many numbers as coordinates, 0 for none.
    """

    flow: str | Callable[..., Any] = "NSF"
    options: Mapping[str, Any] | tuple[tuple[str, Any], ...] = OPTIONS
    summary: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", pairs_of(self))
        if self.summary is not None:
            check_size(self, "summary", least=0)

    def extra(self, latent: int) -> int:
        """The summary."""
        return latent if self.summary is None else self.summary

    def transform(self, ppl: Any, context: Array, latent: int, name: str) -> Transform:
        """Returns the flow's transform."""
        check_host(self, ppl, "pyro", "zuko")
        zuko, size = import_module("ppgm.host_pyro_zuko"), self.extra(latent)
        net = zuko.ZukoNet(self.flow, latent, size, self.options)
        return zuko.ZukoMap(ppl.module(f"{name}.zuko", net), context if size else None)
