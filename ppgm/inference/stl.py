r"""Sticking the landing: the gradient by the path only.

.. math::
    \nabla_\phi L = E\left[\nabla_z (\log p(x, z) - \log q_\phi(z | x)) \frac{dz}{d\phi}\right]

The dropped term, the score of q, has mean zero; without it the gradient of every single draw
vanishes when q is the posterior. Of a bound with the mean over draws inside a logarithm the
dropped term has another mean: there the estimator is biased, and `DReG` is not.

References:
    | Sticking the Landing (Roeder, Wu & Duvenaud, 2017), https://arxiv.org/abs/1703.09194
    | Doubly Reparameterized Gradient Estimators (Tucker et al., 2019)
    | https://arxiv.org/abs/1810.04152
"""

__all__ = ["STL", "StickTheLanding", "check_reparameterised"]

from dataclasses import dataclass

from ppgm.errors import EstimatorError
from ppgm.inference.family import AbstractFamily
from ppgm.inference.gradients import AbstractGradient, AnyBound
from ppgm.inference.powers import bound
from ppgm.ops import Array
from ppgm.sites import SiteTable
from ppgm.terms import Ask, Weights
from ppgm.views import View


@dataclass(frozen=True)
class StickTheLanding(AbstractGradient):
    """The path derivative; unbiased for the ELBO, biased for the other bounds when K > 1."""

    def weights(self, view: View, ask: Ask) -> Weights:
        """Asks also for log q with constant parameters."""
        return view.ask(ask._replace(stopped=("guide",)))

    def rows(self, weights: Weights, alpha: float, particles: int) -> Array:
        """Returns the bound per row, ``(*rows)``."""
        log_w = weights.log_p - weights.log_q_stopped
        return bound(log_w, alpha, particles, weights.log_mass)

    def bias(self, of: AnyBound) -> str:
        """Returns that what is left out has mean zero outside a logarithm only."""
        inside = of.order != 1 and (of.particles > 1 or bool(of.enumerate))
        return "score left out inside a logarithm" if inside else ""

    def check(self, table: SiteTable, of: AnyBound) -> None:
        """Checks that every draw is reparameterised."""
        check_reparameterised(table, of.title)


@dataclass(frozen=True)
class STL(AbstractFamily):
    """Evidence lower bound with the path-derivative gradient, averaged over `particles` draws."""

    particles: int = 1

    @property
    def order(self) -> float:
        """The ELBO's order."""
        return 1.0

    @property
    def estimator(self) -> AbstractGradient:
        """The path derivative."""
        return StickTheLanding()


def check_reparameterised(table: SiteTable, name: str, but: tuple[str, ...] = ()) -> None:
    """Raises `EstimatorError` for the first site of the guide that is not reparameterised."""
    for site in table.select("guide", "latent", "auxiliary"):
        if not site.reparameterised and site.name not in but:
            exact = (f"ELBO(enumerate=('{site.name}',))",) if site.enumerable else ()
            raise EstimatorError(
                f"site '{site.name}' is {site.distribution}: {name} needs reparameterised sites",
                use=("VIMCO", "RLOO", "NVIL", "RWS", "IWAE", "Renyi", "ELBO", *exact),
            )
