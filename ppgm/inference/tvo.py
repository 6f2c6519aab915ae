r"""Thermodynamic variational objective.

.. math::
    \log p(x) = \int_0^1 E_{\pi_\beta}\Big[\log \frac{p(x, z)}{q(z | x)}\Big] d\beta
        \ge \sum_{i=1}^{S} (\beta_i - \beta_{i-1}) E_{\pi_{\beta_{i-1}}}[\log w], \quad
    \pi_\beta(z) \propto q(z | x)^{1 - \beta} p(x, z)^\beta

a left Riemann sum over :math:`0 = \beta_0 < \dots < \beta_S = 1`, the integrand being increasing.
One set of K draws of the guide serves all temperatures, with weights :math:`w^\beta` normalised
per datum; the gradient is :math:`E_\beta[\nabla \log w] + \mathrm{Cov}_\beta(\log w,
\nabla \log \tilde \pi_\beta)` at constant draws, so latents may be discrete. Both are biased at
finite K, as self-normalised weights are. S = 1 has the value of the ELBO, and (K - 1) / K of its
gradient in the guide. Tempered weights (see `ppgm.inference.tempering`) stand in the place of w.

References:
    | The Thermodynamic Variational Objective (Masrani, Le & Wood, 2019)
    | https://arxiv.org/abs/1907.00031
"""

__all__ = ["ThermodynamicELBO", "thermodynamic_rows"]

from dataclasses import dataclass
from itertools import pairwise

from ppgm.domains import check_number
from ppgm.errors import ArgumentError
from ppgm.inference.counts import set_count
from ppgm.inference.objective import AbstractMultiSample
from ppgm.inference.tempered import AbstractTempered
from ppgm.ops import Array, ops_of
from ppgm.terms import Ask, Weights
from ppgm.views import View


@dataclass(frozen=True)
class ThermodynamicELBO(AbstractMultiSample, AbstractTempered):
    """Lower Riemann sum of the thermodynamic integral, from `particles` draws.

    Args:
        particles: Number of draws K.
        partitions: Number S of steps of the sum.
        first: The first temperature above 0; the others are spaced evenly in their logarithms.
        betas: All temperatures 0 < ... < 1 but the two ends, in place of the two above.
    """

    particles: int = 10
    partitions: int = 5
    first: float = 0.025
    betas: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        set_count(self, "particles", 2, ": weights are normalised over them (use ELBO for one)")
        set_count(self, "partitions")
        check_number(self, "first", above=0.0, below=1.0)
        if self.betas is not None:
            object.__setattr__(self, "betas", tuple(self.betas))
            if any(not a < b for a, b in pairwise((0.0, *self.betas, 1.0))):
                raise ArgumentError(
                    f"betas must rise strictly between 0 and 1, both left out, not {self.betas}"
                )

    @property
    def bias(self) -> str:
        """Means under a temperature are ratios of means over draws."""
        return "normalised weights"

    @property
    def temperatures(self) -> tuple[float, ...]:
        """All temperatures from 0 to 1."""
        if self.betas is not None:
            return (0.0, *self.betas, 1.0)
        steps = self.partitions - 1
        inner = (self.first ** (1 - i / steps) for i in range(steps)) if steps else ()
        return (0.0, *inner, 1.0)

    def weights(self, view: View) -> Weights:
        """Asks for constant draws."""
        return view.ask(Ask(self.particles, detached=True))

    def rows(self, weights: Weights) -> Array:
        """Returns minus the estimate of the sum per row, ``(*rows)``."""
        return self._rows(weights, weights.log_q)

    def tempered_rows(self, weights: Weights, drawn: Weights) -> Array:
        """Returns the same for tempered weights of draws."""
        return self._rows(weights, drawn.log_q)

    def _rows(self, weights: Weights, log_q: Array) -> Array:
        return -thermodynamic_rows(weights.log_p - weights.log_q, log_q, self.temperatures)


def thermodynamic_rows(log_w: Array, log_q: Array, betas: tuple[float, ...]) -> Array:
    """Returns the Riemann sum per row, with the covariance form of its gradient.

    Args:
        log_w: Log weights of constant draws, ``(K, *rows)``.
        log_q: Log density of the draws under the guide, ``(K, *rows)``.
        betas: Temperatures from 0 to 1.
    """
    ops = ops_of(log_w)
    stop = ops.stop_gradient
    total = 0.0
    for beta, after in pairwise(betas):
        share = ops.softmax(beta * stop(log_w), 0)
        mean = (share * stop(log_w)).sum(0)
        path = log_q + beta * log_w  # unnormalised log density at beta
        spread = share * (stop(log_w) - mean) * (path - stop(path))
        total = total + (after - beta) * ((share * log_w).sum(0) + spread.sum(0))
    return total
