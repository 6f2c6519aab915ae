r"""Neural spline flow: monotone rational-quadratic splines, in couplings or autoregressive.

.. math::
    z_A = x_A, \quad z_i = g(x_i; \theta_i(x_A)), \; i \in B \quad \text{(coupling)}, \qquad
    z_i = g(x_i; \theta_i(x_1, \dots, x_{i-1})) \quad \text{(autoregressive)}

with g a spline on [-B, B] and the identity outside. Before each layer the columns are mixed by a
matrix, whose determinant is a product of its factors' diagonals.

References:
    | Neural Spline Flows (Durkan, Bekasov, Murray & Papamakarios, 2019),
    | https://arxiv.org/abs/1906.04032
"""

__all__ = ["KINDS", "NSF"]

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from ppgm.domains import check_choice, check_size
from ppgm.models.density import AbstractDensity, Norm, check_networks, orthogonal
from ppgm.nets import MADE, MLP, Damped
from ppgm.transforms import Autoregressive, Coupling, Transform
from ppgm.transforms.coupling import halves
from ppgm.transforms.spline import Spline, check_bins, spline_size

KINDS = ("coupling", "autoregressive")
"""Which columns the parameters of a column's spline may depend on."""


@dataclass(frozen=True)
class NSF(AbstractDensity):
    """Density of rows ``(N, features)`` by splines of columns; site "x".

    Args:
        features: Number of columns of the data, at least 2.
        depth: Number of layers.
        bins: Number of bins of each spline.
        bound: Half the length of the interval on which splines bend.
        kind: "coupling", whose draws are as fast as its density, or "autoregressive", whose
            draws take a pass for each column.
        hidden: Widths of the hidden layers of each layer's network; of autoregressive ones at
            least features - 1.
        activation: Activation of the networks.
    """

    features: int
    depth: int = 4
    bins: int = 8
    bound: float = 5.0
    kind: Literal["coupling", "autoregressive"] = "coupling"
    hidden: tuple[int, ...] = (100, 100)
    activation: str = "relu"

    def __post_init__(self) -> None:
        check_size(self, "features", least=2)
        check_size(self, "depth")
        check_networks(self)
        check_bins(self)
        check_choice(self, "kind", KINDS)
        if self.kind == "autoregressive":
            self._made()

    def steps(self, ppl: Any, norm: Norm) -> list[Transform]:
        """Returns the steps from data to noise."""
        layer = self._coupling if self.kind == "coupling" else self._autoregressive
        steps: list[Transform] = []
        for n in range(self.depth):
            steps += [orthogonal(ppl, n, self.features), layer(ppl, n)]
        return steps

    def _coupling(self, ppl: Any, n: int) -> Transform:
        flip = n % 2 == 1
        kept, moved = halves(self.features, flip=flip)
        size = spline_size(self.bins) * moved
        net = MLP(kept, self.hidden, size, activation=self.activation)
        splines = ppl.module(f"coupling{n}", Damped(net))
        return Coupling(splines, partial(Spline, bound=self.bound), flip=flip)

    def _autoregressive(self, ppl: Any, n: int) -> Transform:
        splines = ppl.module(f"made{n}", Damped(self._made()))
        order = tuple(range(self.features))
        return Autoregressive(splines, partial(Spline, bound=self.bound), order)

    def _made(self) -> MADE:
        size = spline_size(self.bins)
        return MADE(self.features, self.hidden, size, activation=self.activation)
