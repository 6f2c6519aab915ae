r"""NICE: additive coupling layers, and one scale for each coordinate.

.. math::
    h_A = x_A, \quad h_B = x_B + m(x_A) \quad \text{(halves in turn)}, \qquad z = e^{-s} h

References:
    | NICE: Non-linear Independent Components Estimation (Dinh, Krueger & Bengio, 2015),
    | https://arxiv.org/abs/1410.8516
"""

__all__ = ["NICE"]

from dataclasses import dataclass
from typing import Any

import numpy as np

from ppgm.domains import check_size
from ppgm.models.density import AbstractDensity, Norm, check_networks
from ppgm.nets import MLP, Damped
from ppgm.ops import Array
from ppgm.transforms import Coupling, Inverse, Transform
from ppgm.transforms.coupling import halves
from ppgm.transforms.elementwise import Shift
from ppgm.transforms.normalisation import ActNorm


@dataclass(frozen=True)
class NICE(AbstractDensity):
    """Density of rows ``(N, features)`` by shifts of halves in turn; site "x".

    Args:
        features: Number of columns of the data, at least 2.
        depth: Number of coupling layers.
        hidden: Widths of the hidden layers of each layer's network.
        activation: Activation of the networks.
    """

    features: int
    depth: int = 4
    hidden: tuple[int, ...] = (100, 100)
    activation: str = "relu"

    def __post_init__(self) -> None:
        check_size(self, "features", least=2)
        check_size(self, "depth")
        check_networks(self)

    def steps(self, ppl: Any, norm: Norm) -> list[Transform]:
        """Returns the steps from data to noise."""
        steps: list[Transform] = []
        for n in range(self.depth):
            kept, moved = halves(self.features, flip=n % 2 == 1)
            net = MLP(kept, self.hidden, moved, activation=self.activation)
            shift = ppl.module(f"coupling{n}", Damped(net))
            steps.append(Coupling(shift, _shift, flip=n % 2 == 1))
        log_scale = ppl.param("log_scale", np.zeros(self.features))
        return [*steps, Inverse(ActNorm(ppl.np.zeros_like(log_scale), log_scale))]


def _shift(raw: Array) -> Transform:
    return Shift(raw[..., 0])
