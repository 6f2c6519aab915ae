r"""RealNVP: affine coupling layers.

.. math::
    z_A = x_A, \quad z_B = (x_B - m(x_A)) e^{-a(x_A)}

with the halves in turn, and the columns normalised between layers. Density and draws both take
one pass of each network.

References:
    | Density estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2017),
    | https://arxiv.org/abs/1605.08803
"""

__all__ = ["RealNVP"]

from dataclasses import dataclass
from typing import Any

from ppgm.domains import check_size
from ppgm.models.density import AbstractDensity, Norm, check_networks
from ppgm.nets import MLP, Damped
from ppgm.transforms import Affine, Coupling, Inverse, Transform
from ppgm.transforms.coupling import halves


@dataclass(frozen=True)
class RealNVP(AbstractDensity):
    """Density of rows ``(N, features)`` by affine maps of halves in turn; site "x".

    Args:
        features: Number of columns of the data, at least 2.
        depth: Number of coupling layers.
        hidden: Widths of the hidden layers of each layer's network.
        activation: Activation of the networks.
    """

    features: int
    depth: int = 8
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
            net = MLP(kept, self.hidden, 2 * moved, activation=self.activation)
            scale = ppl.module(f"coupling{n}", Damped(net))
            steps.append(Inverse(Coupling(scale, Affine, flip=n % 2 == 1)))
            steps.append(norm(n, self.features))
        return steps
