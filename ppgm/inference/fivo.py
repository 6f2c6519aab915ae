r"""Filtering variational objective: the estimate of a particle filter as a bound.

.. math::
    L_K(x) = E\left[\sum_t \log c_t\right], \quad
    c_t = \sum_k w_{t-1}^k
    \frac{p(z_t^k | z_{t-1}^{a_k})\, p(x_t | z_t^k)}{q(z_t^k | z_{t-1}^{a_k}, x)}

with the guide as the proposal (see `ppgm.particle_filters`). The product of the c is an unbiased
estimate of p(x), so that the bound is below log p(x); where particles are resampled its variance
grows with the length of a sequence where that of importance weights of whole paths grows
exponentially. Without resampling it is the importance weighted bound.

As published, the gradient leaves out the score of the ancestors, which has too much variance to
be of use: it is biased, and is the gradient of the bound only where nothing is resampled.

References:
    | Filtering Variational Objectives (Maddison et al., 2017), https://arxiv.org/abs/1705.09279
"""

__all__ = ["FIVO"]

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from ppgm.errors import EstimatorError
from ppgm.inference.counts import set_count
from ppgm.inference.objective import AbstractMultiSample
from ppgm.inference.powers import bound
from ppgm.ops import Array
from ppgm.particle_filters import moves_of, run
from ppgm.resampling import check_scheme
from ppgm.sites import SiteTable
from ppgm.state_spaces import require
from ppgm.terms import Weights
from ppgm.views import View


@dataclass(frozen=True)
class FIVO(AbstractMultiSample):
    """Bound by a particle filter that draws states from the guide.

    It takes a declaration that is a `ppgm.state_spaces.StateSpace`, such as `DKF`.

    Args:
        particles: Number of particles K.
        resampling: Scheme, one of `ppgm.resampling.SCHEMES`.
        threshold: A row is resampled when its effective number of particles is below this share
            of K; 0 never resamples.
    """

    particles: int = 8
    resampling: Literal["systematic", "stratified", "multinomial", "residual"] = "systematic"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        set_count(self, "particles", 1)
        check_scheme(self)

    def check(self, table: SiteTable, subsampled: tuple[str, ...] = ()) -> None:
        """Checks that the guide draws one Markov chain, and the model one site of data."""
        super().check(table, subsampled)
        sites = table.select("guide", "latent", "auxiliary")
        for site in sites:
            if len(sites) > 1 or site.distribution != "MarkovChain":
                others = f", one of {len(sites)} sites" if len(sites) > 1 else ""
                raise EstimatorError(
                    f"site '{site.name}' is {site.distribution}{others}: FIVO goes through the "
                    "states of one MarkovChain step by step",
                    use=("IWAE",),
                )
        if not sites or len(table.select("model", "observed", "factor")) != 1:
            raise EstimatorError(
                "FIVO needs a guide with one site, a MarkovChain, and a model with one site of "
                "data beside it",
                use=("IWAE",),
            )

    @property
    def bias(self) -> str:
        """The score of the ancestors is left out where there are any."""
        return "ancestors without a score" if self.threshold else ""

    def rows(self, weights: Weights) -> Array:
        """Returns minus the bound of whole paths, which were not resampled, by row."""
        return -bound(weights.log_p - weights.log_q, 0.0, self.particles)

    def __call__(self, view: View, player: str) -> Array:
        """Returns minus the bound per datum."""
        value = -view.mean(view.within(partial(self._log_z, view)))
        view.record("bound", -value)
        return value

    def _log_z(self, view: View, declaration: Any, ppl: Any) -> Array:
        """Returns the filter's estimate of log p(x) by row, ``(N,)``."""
        space = require(declaration, type(self).__name__, use="IWAE")
        moves = moves_of(
            space, ppl, view.data, guided=True, scheme=self.resampling, threshold=self.threshold
        )
        rows, steps = (int(n) for n in moves.x.shape[:2])
        shape = (self.particles, rows, steps)
        noise = view.noise("z", (*shape, *moves.target.event_shape[1:]))
        return run(moves, noise, view.rng.uniform(shape)).log_c.sum(0)
