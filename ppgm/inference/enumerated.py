r"""Exact sums over all finite latents.

.. math::
    L(x) = \sum_y q(y | x)\, E_{q(z | x, y)}[\log p(x, y, z) - \log q(y, z | x)]

with y all finite sites of the guide, jointly, and z the others. Its cost is one vectorised pass
over the values; it is `ELBO` with all such sites in its `enumerate`, which any bound has.

References:
    | Semi-Supervised Learning with Deep Generative Models (Kingma et al., 2014)
    | https://arxiv.org/abs/1406.5298
"""

__all__ = ["Enumerate"]

from dataclasses import dataclass

from ppgm.errors import EstimatorError
from ppgm.inference.counts import set_count
from ppgm.inference.elbo import ELBO
from ppgm.inference.objective import AbstractBound
from ppgm.ops import Array
from ppgm.sites import SiteTable
from ppgm.terms import Weights
from ppgm.views import View


@dataclass(frozen=True)
class Enumerate(AbstractBound):
    """Evidence lower bound with every finite site of the guide summed over its values.

    Args:
        particles: Number of draws of the other sites.
    """

    particles: int = 1

    def __post_init__(self) -> None:
        set_count(self, "particles")

    def weights(self, view: View) -> Weights:
        """Asks for all values of the finite sites."""
        return view.weights(self.particles, enumerate=_finite(view.table))

    def rows(self, weights: Weights) -> Array:
        """Returns minus the bound per row, ``(*rows)``."""
        return ELBO(self.particles).rows(weights)

    def __call__(self, view: View, player: str) -> Array:
        """Returns minus the bound per datum."""
        return ELBO(self.particles, enumerate=_finite(view.table))(view, player)

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks that there is something to sum over."""
        super().check(table, subsampled)
        if not _finite(table):
            found = {s.name: s.distribution for s in table.select("guide", "latent")}
            raise EstimatorError(
                f"no site of the guide has at most 4096 values: Enumerate has nothing to sum "
                f"over; its sites are {found}",
                use=("ELBO", "IWAE", "VIMCO"),
            )
        ELBO(self.particles, enumerate=_finite(table)).check(table, subsampled)


def _finite(table: SiteTable) -> tuple[str, ...]:
    return tuple(s.name for s in table.select("guide", "latent") if s.enumerable)
