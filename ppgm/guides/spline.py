r"""Posteriors by splines of standard normal noise, then a scale and a shift.

.. math::
    z = \mu(x) + \sigma(x) \odot g_T(\dots g_1(\epsilon)), \quad \epsilon \sim N(0, I)

Layer t maps coordinates by monotone rational-quadratic splines, whose parameters depend on half
of the coordinates (coupling) or on those before (autoregressive), and on a summary h(x) of the
encoder's. Splines bend on [-B, B], where the noise is; the scale comes after them.

References:
    | Neural Spline Flows (Durkan, Bekasov, Murray & Papamakarios, 2019),
    | https://arxiv.org/abs/1906.04032
"""

__all__ = ["Spline"]

from dataclasses import dataclass
from typing import Any, Literal

from ppgm import transforms
from ppgm.domains import check_choice, check_size, check_widths
from ppgm.errors import ArgumentError
from ppgm.guides.noise_flows import AbstractNoiseFlow
from ppgm.nets import MADE, MLP, Damped
from ppgm.nets_masked import order_of
from ppgm.ops import Array
from ppgm.transforms import Autoregressive, Chain, Coupling, Transform
from ppgm.transforms.coupling import halves
from ppgm.transforms.spline import check_bins, spline_size

KINDS = ("coupling", "autoregressive")


@dataclass(frozen=True)
class Spline(AbstractNoiseFlow):
    """Spline flow; networks "<site>.spline0", "<site>.spline1", ...

    Args:
        depth: Number of layers; with coupling, 2 move every coordinate.
        bins: Number of bins of each spline.
        bound: B, half the length of the interval on which splines bend.
        kind: "coupling", where the density of any value takes one pass, or "autoregressive",
            where that of a draw does and that of other values takes one for each coordinate.
        hidden: Widths of the hidden layers of each network; of autoregressive ones at least as
            many as coordinates.
        summary: Width of h; None for as many numbers as coordinates, 0 for none.
        activation: Activation of the networks.
    """

    depth: int = 2
    bins: int = 8
    bound: float = 4.0
    kind: Literal["coupling", "autoregressive"] = "coupling"
    hidden: tuple[int, ...] = (64, 64)
    summary: int | None = None
    activation: str = "tanh"

    def __post_init__(self) -> None:
        check_size(self, "depth")
        check_bins(self)
        check_choice(self, "kind", KINDS)
        check_widths(self, "hidden")
        if self.summary is not None:
            check_size(self, "summary", least=0)
        MLP(1, (), 1, activation=self.activation)

    def extra(self, latent: int) -> int:
        """The summary."""
        size = latent if self.summary is None else self.summary
        if self.kind == "autoregressive":
            self._made(latent, size, 0)  # refuses layers that are too narrow
        elif latent < 2:
            raise ArgumentError(
                f"Spline: a posterior of {latent} coordinate has no halves; use "
                "kind='autoregressive'"
            )
        return size

    def transform(self, ppl: Any, context: Array, latent: int, name: str) -> Transform:
        """Returns the layers, one after another."""
        size = self.extra(latent)
        layer = self._coupling if self.kind == "coupling" else self._autoregressive
        seen = context if size else None
        steps = (layer(ppl, f"{name}.spline{t}", latent, size, t, seen) for t in range(self.depth))
        return Chain(tuple(steps))

    def _coupling(
        self, ppl: Any, name: str, latent: int, size: int, t: int, seen: Array | None
    ) -> Transform:
        flip = t % 2 == 1
        kept, moved = halves(latent, flip=flip)
        outputs = spline_size(self.bins) * moved
        spec = MLP(kept + size, self.hidden, outputs, activation=self.activation)
        return Coupling(ppl.module(name, Damped(spec)), self._build, flip, seen)

    def _autoregressive(
        self, ppl: Any, name: str, latent: int, size: int, t: int, seen: Array | None
    ) -> Transform:
        spec = self._made(latent, size, t)
        order = order_of(spec.order, latent)
        return Autoregressive(ppl.module(name, Damped(spec)), self._build, order, seen)

    def _build(self, raw: Array) -> Transform:
        return transforms.Spline(raw, self.bound)

    def _made(self, latent: int, size: int, t: int) -> MADE:
        order = ("forward", "reverse")[t % 2]
        outputs, activation = spline_size(self.bins), self.activation
        return MADE(latent, self.hidden, outputs, context=size, order=order, activation=activation)
