r"""Renyi (alpha) bound.

.. math::
    L_\alpha(x) = \frac{1}{1 - \alpha} \log \frac{1}{K} \sum_k w_k^{1 - \alpha}

alpha = 0 is the importance weighted bound, alpha to 1 the ELBO, alpha < 0 the CUBO.

References:
    | Renyi Divergence Variational Inference (Li & Turner, 2016), https://arxiv.org/abs/1602.02311
"""

__all__ = ["Renyi"]

from dataclasses import dataclass

from ppgm.domains import check_number
from ppgm.errors import ArgumentError
from ppgm.inference.family import AbstractFamily
from ppgm.inference.gradients import Gradient


@dataclass(frozen=True)
class Renyi(AbstractFamily):
    """Renyi bound of order `alpha` from `particles` draws.

    A lower bound on log p(x) for alpha >= 0 in expectation; for alpha < 0 neither side is
    certain at finite K.

    Args:
        alpha: Order of the bound.
        particles: Number of draws K.
        gradient: Estimator of the gradient, see `ppgm.inference.gradients`.
    """

    alpha: float = 0.5
    particles: int = 5
    gradient: Gradient = "path"

    def __post_init__(self) -> None:
        check_number(self, "alpha")
        if self.alpha == 1:
            raise ArgumentError("alpha = 1 is the ELBO: use ELBO(particles=...)")
        super().__post_init__()

    @property
    def order(self) -> float:
        """The order alpha."""
        return self.alpha
