r"""Renyi (alpha) bound.

.. math::
    L_\alpha(x) = \frac{1}{1 - \alpha} \log \frac{1}{K} \sum_k w_k^{1 - \alpha}

alpha = 0 is the importance weighted bound, alpha to 1 the ELBO.

References:
    | Renyi Divergence Variational Inference (Li & Turner, 2016), https://arxiv.org/abs/1602.02311
"""

__all__ = ["Renyi", "renyi_rows"]

from dataclasses import dataclass
from math import log

from ppgm.errors import ArgumentError
from ppgm.inference.counts import set_count
from ppgm.inference.objective import AbstractMultiSample
from ppgm.ops import Array, ops_of
from ppgm.terms import Weights


@dataclass(frozen=True)
class Renyi(AbstractMultiSample):
    """Renyi bound of order `alpha` from `particles` draws.

    A lower bound on log p(x) for alpha >= 0 in expectation; for alpha < 0 neither side is
    certain at finite K.
    """

    alpha: float = 0.5
    particles: int = 5

    def __post_init__(self) -> None:
        if self.alpha == 1:
            raise ArgumentError("alpha = 1 is the ELBO: use ELBO(particles=...)")
        set_count(self, "particles")

    def rows(self, weights: Weights) -> Array:
        """Returns minus the bound per row, ``(*rows)``."""
        return renyi_rows(weights, self.alpha)


def renyi_rows(weights: Weights, alpha: float) -> Array:
    """Returns minus the bound per row; its gradient is unbiased for every kind of site."""
    log_w = weights.log_p - weights.log_q
    ops = ops_of(log_w)

    bound = (ops.logsumexp((1 - alpha) * log_w, 0) - log(log_w.shape[0])) / (1 - alpha)

    if weights.score is not None:
        stop = ops.stop_gradient
        # the K draws are drawn together: each carries the whole bound as its signal
        bound = bound + stop(bound) * (weights.score - stop(weights.score)).sum(0)
    return -bound
