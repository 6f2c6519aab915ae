r"""Chi-square upper bound.

.. math::
    U_n(x) = \frac{1}{n} \log \frac{1}{K} \sum_k w_k^n, \quad
    \lim_K U_n = \frac{1}{n} \log E_q[w^n] \ge \log p(x)

Minimising it makes the guide cover the posterior, where the ELBO makes it seek a mode. It bounds
the evidence from above, so the model's parameters do not follow it: they would lower the
evidence. With few draws the estimate lies below its limit.

References:
    | Variational Inference via chi Upper Bound Minimization (Dieng et al., 2017)
    | https://arxiv.org/abs/1611.00328
"""

__all__ = ["CUBO"]

from dataclasses import dataclass

from ppgm.domains import check_number
from ppgm.inference.family import AbstractFamily
from ppgm.inference.gradients import Gradient
from ppgm.inference.objective import Player
from ppgm.ops import Array
from ppgm.terms import Weights
from ppgm.views import View


@dataclass(frozen=True)
class CUBO(AbstractFamily):
    """Chi upper bound of power `power` from `particles` draws; it trains the guide only.

    Args:
        power: The power n of the weights, above 0; 2 for the chi-square divergence.
        particles: Number of draws K.
        gradient: Estimator of the gradient, see `ppgm.inference.gradients`.
    """

    power: float = 2.0
    particles: int = 10
    gradient: Gradient = "path"

    def __post_init__(self) -> None:
        check_number(self, "power", above=0.0)
        super().__post_init__()

    @property
    def order(self) -> float:
        """The Renyi bound's order 1 - n."""
        return 1.0 - self.power

    @property
    def players(self) -> tuple[Player, ...]:
        """The guide alone, with what the estimator learns."""
        return (Player("guide", ("guide", *self.estimator.groups)),)

    def rows(self, weights: Weights) -> Array:
        """Returns the bound per row, ``(*rows)``: it is to be lowered."""
        return -super().rows(weights)

    def __call__(self, view: View, player: str) -> Array:
        """Returns the bound per datum."""
        return -super().__call__(view, player)
