r"""Posteriors by flows of flowjax, on the NumPyro host.

.. math:: z = \mu(x) + \sigma(x) \odot f(\epsilon; h(x)), \quad \epsilon \sim N(0, I)

with f the bijection of the flow, made so that draws are the fast direction. It needs
``pip install 'ppgm[flows]'``.

References:
    | FlowJAX: distributions and normalizing flows in JAX (Ward, 2024),
    | https://github.com/danielward27/flowjax
"""

__all__ = ["FlowjaxFlow"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ppgm.domains import check_number, check_size
from ppgm.guides.noise_flows import AbstractNoiseFlow, check_host, pairs_of
from ppgm.ops import Array
from ppgm.transforms import Transform

OPTIONS = (("flow_layers", 2), ("nn_width", 64))


@dataclass(frozen=True)
class FlowjaxFlow(AbstractNoiseFlow):
    """A flow of flowjax below a scale and a shift; network "<site>.flowjax". NumPyro host only.

    Args:
        flow: Name of a function of `flowjax.flows`, such as "masked_autoregressive_flow" or
            "coupling_flow", or a callable of the same arguments (which cannot be saved).
        knots: Number of knots of rational-quadratic splines, 0 for affine maps, or for flows
            without a transformer.
        interval: Half the length of the interval on which splines bend.
        options: Further arguments, ``{"flow_layers": 3, "nn_width": 50}``.
        summary: Width of h; None for as many numbers as coordinates, 0 for none.
    """

    flow: str | Callable[..., Any] = "masked_autoregressive_flow"
    knots: int = 8
    interval: float = 4.0
    options: Mapping[str, Any] | tuple[tuple[str, Any], ...] = OPTIONS
    summary: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", pairs_of(self))
        check_size(self, "knots", least=0)
        check_number(self, "interval", above=0.0)
        if self.summary is not None:
            check_size(self, "summary", least=0)

    def extra(self, latent: int) -> int:
        """The summary."""
        return latent if self.summary is None else self.summary

    def transform(self, ppl: Any, context: Array, latent: int, name: str) -> Transform:
        """Returns the flow's bijection, row by row."""
        check_host(self, ppl, "numpyro", "flowjax")
        flowjax, size = import_module("ppgm.host_numpyro_flowjax"), self.extra(latent)
        net = flowjax.FlowjaxNet(self.flow, latent, size, self.knots, self.interval, self.options)
        bijection = ppl.module(f"{name}.flowjax", net)()
        return flowjax.FlowjaxMap(bijection, context if size else None)
