r"""Posteriors by inverse autoregressive flow.

.. math::
    z_t = \sigma_t \odot z_{t-1} + (1 - \sigma_t) \odot m_t, \quad
    (m_t, r_t) = f_t(z_{t-1}, h(x)), \quad \sigma_t = \mathrm{sigmoid}(r_t + 2)

The networks are masked, so that coordinate i of m and r depends on those before it alone; their
order turns round from step to step. Next to means and log scales the encoder gives a summary h,
which every step sees.

References:
    | Improving Variational Inference with Inverse Autoregressive Flow (Kingma, Salimans,
    | Jozefowicz, Chen, Sutskever & Welling, 2016), https://arxiv.org/abs/1606.04934
"""

__all__ = ["IAF"]

from dataclasses import dataclass
from typing import Any, Literal

from ppgm.domains import check_choice, check_size, check_widths
from ppgm.guides.flows import AbstractFlow
from ppgm.nets import MADE, Damped
from ppgm.nets_masked import order_of
from ppgm.ops import Array
from ppgm.transforms import Affine, Autoregressive, Chain, Gated, Transform

UPDATES = {"gated": Gated, "affine": Affine}


@dataclass(frozen=True)
class IAF(AbstractFlow):
    """Inverse autoregressive flow; networks "<site>.iaf0", "<site>.iaf1", ...

    Draws, and their densities, take one pass of each network; other values take as many passes
    as there are coordinates.

    Args:
        depth: Number of steps.
        hidden: Widths of the hidden layers of each network, at least as many as coordinates.
        summary: Width of h; None for as many numbers as coordinates, 0 for none.
        update: "gated" as above, or "affine": z_{t-1} scaled and shifted.
        activation: Activation of the networks.
    """

    depth: int = 2
    hidden: tuple[int, ...] = (320,)
    summary: int | None = None
    update: Literal["gated", "affine"] = "gated"
    activation: str = "elu"

    def __post_init__(self) -> None:
        check_size(self, "depth")
        check_widths(self, "hidden")
        if self.summary is not None:
            check_size(self, "summary", least=0)
        check_choice(self, "update", tuple(UPDATES))
        MADE(1, (), 2, activation=self.activation)

    def extra(self, latent: int) -> int:
        """The summary."""
        size = latent if self.summary is None else self.summary
        MADE(latent, self.hidden, 2, context=size)  # refuses layers that are too narrow
        return size

    def transform(self, ppl: Any, context: Array, latent: int, name: str) -> Transform:
        """Returns the steps, one after another."""
        seen = context if self.extra(latent) else None
        steps = []
        for t in range(self.depth):
            spec = self.network(latent, t)
            net = ppl.module(f"{name}.iaf{t}", Damped(spec))
            order = order_of(spec.order, latent)
            steps.append(Autoregressive(net, UPDATES[self.update], order, seen))
        return Chain(tuple(steps))

    def network(self, latent: int, step: int) -> MADE:
        """Returns the network of a step."""
        order = ("forward", "reverse")[step % 2]
        context, activation = self.extra(latent), self.activation
        return MADE(latent, self.hidden, 2, context=context, order=order, activation=activation)
