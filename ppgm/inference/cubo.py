r"""Chi-square upper bound.

.. math::
    U_n(x) = \frac{1}{n} \log \frac{1}{K} \sum_k w_k^n, \quad
    \lim_K U_n = \frac{1}{n} \log E_q[w^n] \ge \log p(x)

Minimising it makes the guide cover the posterior, where the ELBO makes it seek a mode. Its limit
bounds the evidence from above, so the model's parameters do not follow it: they would lower the
evidence. The bound of K draws lies below its limit; with v the variance of
:math:`w / p(x)`, small, it is

.. math::
    E[U_n] \approx \log p(x) + \frac{v}{2} \Big(n - 1 - \frac{n}{K}\Big)

which is least at the posterior only if n > 1 and K > n / (n - 1): with fewer draws minimising it
drives the guide away.

References:
    | Variational Inference via chi Upper Bound Minimization (Dieng et al., 2017)
    | https://arxiv.org/abs/1611.00328
"""

__all__ = ["CUBO"]

from dataclasses import dataclass

from ppgm.domains import check_number
from ppgm.errors import ArgumentError, EstimatorError, PpgmError
from ppgm.inference.family import AbstractFamily
from ppgm.inference.gradients import Gradient
from ppgm.inference.objective import Player
from ppgm.ops import Array
from ppgm.sites import SiteTable
from ppgm.terms import Weights
from ppgm.views import View


@dataclass(frozen=True)
class CUBO(AbstractFamily):
    """Chi upper bound of power `power` from `particles` draws; it trains the guide only.

    Args:
        power: The power n of the weights, above 1; 2 for the chi-square divergence.
        particles: Number of draws K, above n / (n - 1) unless all sites are enumerated.
        gradient: Estimator of the gradient, see `ppgm.inference.gradients`.
    """

    power: float = 2.0
    particles: int = 10
    gradient: Gradient = "path"

    def __post_init__(self) -> None:
        check_number(self, "power", above=0.0)
        if not self.power > 1:
            raise ArgumentError(
                f"CUBO: power must be above 1, not {self.power:g}: the bound of draws would be "
                "lowest away from the posterior"
            )
        super().__post_init__()
        if not self.enumerate:
            self._check_particles(ArgumentError)

    @property
    def order(self) -> float:
        """The Renyi bound's order 1 - n."""
        return 1.0 - self.power

    @property
    def players(self) -> tuple[Player, ...]:
        """The guide alone, with what the estimator learns."""
        return (Player("guide", ("guide", *self.estimator.groups)),)

    @property
    def confined(self) -> bool:
        """Its loss is right for the guide and wrong for the model."""
        return True

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks that it can train the guide without the model, and has enough draws."""
        super().check(table, subsampled)
        mine = {s.name for s in table.select("guide", "param")}
        for site in table.select("model", "param"):
            if site.name in mine:
                raise EstimatorError(
                    f"parameter '{site.name}' is the guide's and the model's: CUBO is lowered, "
                    "and would train the model to lower its evidence",
                    use=("ELBO", "IWAE", "RWS"),
                )
        if any(s.name not in self.enumerate for s in table.select("guide", "latent")):
            self._check_particles(EstimatorError)

    def _check_particles(self, error: type[PpgmError]) -> None:
        least = self.power / (self.power - 1)
        if not self.particles > least:
            raise error(
                f"CUBO of power {self.power:g} needs more than {least:g} draws, and has particles="
                f"{self.particles}: its bound of fewer is lowest away from the posterior; give "
                f"particles={int(least) + 1} or more"
            )

    def rows(self, weights: Weights) -> Array:
        """Returns the bound per row, ``(*rows)``: it is to be lowered."""
        return -super().rows(weights)

    def __call__(self, view: View, player: str) -> Array:
        """Returns the bound per datum."""
        return -super().__call__(view, player)
