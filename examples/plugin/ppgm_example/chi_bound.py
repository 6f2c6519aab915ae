r"""Chi-square upper bound of order 2.

.. math::
    U_K(x) = \frac{1}{2} \log \frac{1}{K} \sum_k w_k^2, \quad
    w_k = \frac{p(x, z_k)}{q(z_k | x)}, \quad z_k \sim q

As K grows, U_K tends to :math:`\frac{1}{2} \log E_q[w^2] \ge \log p(x)`, with equality if and
only if q is the posterior. Minimising it makes q cover the posterior, where maximising the ELBO
makes q seek a mode. It bounds the evidence from above, so the model's parameters must not
follow it: they would lower the evidence.

References:
    | Variational Inference via chi Upper Bound Minimization (Dieng et al., 2017),
    | https://arxiv.org/abs/1611.00328
"""

__all__ = ["ChiBound"]

from dataclasses import dataclass
from math import log

from ppgm.errors import ArgumentError
from ppgm.inference.objective import AbstractMultiSample, Player
from ppgm.ops import Array, ops_of
from ppgm.terms import Weights
from ppgm.views import View


@dataclass(frozen=True)
class ChiBound(AbstractMultiSample):
    """Chi-square upper bound on log p(x), from `particles` draws; it trains the guide only.

    With few draws the estimate lies below the bound that it tends to.

    Args:
        particles: Number K of draws.
    """

    particles: int = 10

    def __post_init__(self) -> None:
        if self.particles < 1:
            raise ArgumentError(f"particles must be at least 1, not {self.particles}")

    @property
    def players(self) -> tuple[Player, ...]:
        """The guide."""
        return (Player("guide", ("guide",)),)

    def rows(self, weights: Weights) -> Array:
        """Returns the upper bound per row, ``(*rows)``."""
        log_w = weights.log_p - weights.log_q
        ops = ops_of(log_w)

        bound = (ops.logsumexp(2 * log_w, 0) - log(log_w.shape[0])) / 2

        if weights.score is not None:
            # Draws without a pathwise gradient; the added term is zero and has the gradient.
            stop = ops.stop_gradient
            bound = bound + stop(bound) * (weights.score - stop(weights.score)).sum(0)
        return bound

    def loss(self, view: View, player: str) -> Array:
        """Returns the upper bound per datum; unlike a lower bound, it is the loss as it is."""
        value = view.mean(self.rows(self.weights(view)))
        view.record("bound", value)
        return value
