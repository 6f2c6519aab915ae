r"""Masked autoregressive flow: each column is scaled and shifted by what those before it say.

.. math::
    z_i = (x_i - m_i(x_1, \dots, x_{i-1})) e^{-a_i(x_1, \dots, x_{i-1})}

with the order of the columns reversed, and the columns normalised, between layers. A density
takes one pass of each network; a draw takes as many as there are columns.

References:
    | Masked Autoregressive Flow for Density Estimation (Papamakarios, Pavlakou & Murray, 2017),
    | https://arxiv.org/abs/1705.07057
"""

__all__ = ["MAF"]

from dataclasses import dataclass
from typing import Any

from ppgm.domains import check_size
from ppgm.models.density import AbstractDensity, Norm, check_networks
from ppgm.nets import MADE, Damped
from ppgm.nets_masked import order_of
from ppgm.transforms import Affine, Inverse, Transform, masked_autoregressive


@dataclass(frozen=True)
class MAF(AbstractDensity):
    """Density of rows ``(N, features)``, column by column; site "x".

    Args:
        features: Number of columns of the data.
        depth: Number of layers; 1 is a `MADE` with Gaussian columns.
        hidden: Widths of the hidden layers of each layer's network, at least features - 1.
        activation: Activation of the networks.
    """

    features: int
    depth: int = 5
    hidden: tuple[int, ...] = (100, 100)
    activation: str = "relu"

    def __post_init__(self) -> None:
        check_size(self, "features", "depth")
        check_networks(self)
        self._net(0)

    def steps(self, ppl: Any, norm: Norm) -> list[Transform]:
        """Returns the steps from data to noise."""
        steps: list[Transform] = []
        for n in range(self.depth):
            net = self._net(n)
            order = order_of(net.order, self.features)
            made = ppl.module(f"made{n}", Damped(net))
            steps.append(Inverse(masked_autoregressive(made, Affine, order)))
            steps.append(norm(n, self.features))
        return steps

    def _net(self, n: int) -> MADE:
        order = ("forward", "reverse")[n % 2]
        return MADE(self.features, self.hidden, 2, order=order, activation=self.activation)
