r"""Sticking the landing: the ELBO's gradient by the path only.

.. math::
    \nabla_\phi L = E\left[\nabla_z (\log p(x, z) - \log q_\phi(z | x)) \frac{dz}{d\phi}\right]

The dropped term, the score of q, has mean zero; without it the gradient of every single draw
vanishes when q is the posterior.

References:
    | Sticking the Landing (Roeder, Wu & Duvenaud, 2017), https://arxiv.org/abs/1703.09194
"""

__all__ = ["STL", "check_reparameterised"]

from dataclasses import dataclass

from ppgm.errors import EstimatorError
from ppgm.inference.counts import set_count
from ppgm.inference.objective import AbstractBound
from ppgm.ops import Array
from ppgm.sites import SiteTable
from ppgm.terms import Weights
from ppgm.views import View


@dataclass(frozen=True)
class STL(AbstractBound):
    """Evidence lower bound with the path-derivative gradient, averaged over `particles` draws."""

    particles: int = 1

    def __post_init__(self) -> None:
        set_count(self, "particles")

    def weights(self, view: View) -> Weights:
        """Asks also for log q with constant parameters."""
        return view.weights(self.particles, stopped=True)

    def rows(self, weights: Weights) -> Array:
        """Returns minus the bound per row, ``(*rows)``."""
        return -(weights.log_p - weights.log_q_stopped).mean(0)

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks that every draw is reparameterised."""
        super().check(table, subsampled)
        check_reparameterised(table, "STL")


def check_reparameterised(table: SiteTable, name: str) -> None:
    """Raises `EstimatorError` for the first site of the guide that is not reparameterised."""
    for site in table.select("guide", "latent"):
        if not site.reparameterised:
            exact = f", or ELBO(enumerate=('{site.name}',))" if site.enumerable else ""
            raise EstimatorError(
                f"site '{site.name}' is {site.distribution}: {name} needs reparameterised sites; "
                f"use VIMCO, IWAE, Renyi, ELBO{exact}"
            )
