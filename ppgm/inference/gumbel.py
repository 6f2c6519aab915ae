r"""Relaxed draws of bits and one-hot vectors: Gumbel-softmax, straight-through.

.. math::
    \nabla L \approx E_u\Big[\nabla L\big(y_\tau(l, u)\big)\Big], \quad
    y_\tau = \mathrm{softmax}\big((l - \log(-\log u)) / \tau\big)

The draw of a discrete site is replaced by a differentiable function of noise. The estimator is
biased: it is the exact gradient of the bound of *relaxed* draws, whose log densities are the
discrete ones, linear in the draw; the straight-through form has the rounded draw as its value and
the relaxed one's derivative. What is logged as the bound is that of exact draws.

References:
    | Categorical Reparameterization with Gumbel-Softmax (Jang, Gu & Poole, 2017)
    | https://arxiv.org/abs/1611.01144
    | Estimating or Propagating Gradients Through Stochastic Neurons (Bengio et al., 2013)
    | https://arxiv.org/abs/1308.3432
"""

__all__ = ["Gumbel"]

from dataclasses import dataclass

from ppgm.domains import check_number
from ppgm.errors import EstimatorError
from ppgm.inference.gradients import AbstractGradient, AnyBound
from ppgm.inference.powers import bound
from ppgm.inference.schedules import Anneal
from ppgm.ops import Array
from ppgm.sites import SiteTable
from ppgm.terms import Ask, Weights
from ppgm.views import View

RELAXABLE = ("Bernoulli", "OneHotCategorical")


@dataclass(frozen=True)
class Gumbel(AbstractGradient):
    """Gradient through relaxed draws; biased.

    Args:
        temperature: Temperature of the relaxation, a number or a schedule of the step.
        hard: Whether draws are rounded, with the relaxed derivative (straight-through): then
            the value of the bound is exact.
    """

    temperature: float | Anneal = 0.5
    hard: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.temperature, Anneal):
            check_number(self.temperature, "start", above=0.0)
            check_number(self.temperature, "stop", above=0.0)
        else:
            check_number(self, "temperature", above=0.0)

    def weights(self, view: View, ask: Ask) -> Weights:
        """Asks for relaxed draws."""
        warm = self.temperature
        if isinstance(warm, Anneal):
            warm = warm(view.ops.float(view.step))
        return view.ask(ask._replace(relaxed=(warm, self.hard)))

    def rows(self, weights: Weights, alpha: float, particles: int) -> Array:
        """Returns the bound of the relaxed draws per row, ``(*rows)``."""
        return bound(weights.log_p - weights.log_q, alpha, particles, weights.log_mass)

    def bias(self, of: AnyBound) -> str:
        """Returns that draws, or their derivatives, are those of other variables."""
        return "relaxed derivatives" if self.hard else "relaxed draws"

    def check(self, table: SiteTable, of: AnyBound) -> None:
        """Checks that every draw is reparameterised or can be relaxed."""
        if all(s.reparameterised for s in table.select("guide", "latent")):
            raise EstimatorError(
                f"every site of the guide is reparameterised: {of.title} has nothing to relax; "
                "use gradient='path'"
            )
        for site in table.select("guide", "latent"):
            if not site.reparameterised and site.distribution not in RELAXABLE:
                raise EstimatorError(
                    f"site '{site.name}' is {site.distribution}: only {' and '.join(RELAXABLE)} "
                    f"can be relaxed by {of.title}; write it as OneHotCategorical",
                    use=("VIMCO", "RLOO", "NVIL"),
                )

    @property
    def exact(self) -> bool:
        """Whether draws are rounded."""
        return self.hard


def straight_through() -> AbstractGradient:
    """Rounded draws with the derivative of relaxed ones; biased."""
    return Gumbel(hard=True)
