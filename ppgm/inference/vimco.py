r"""Leave-one-out learning signals: VIMCO, and RLOO for the ELBO.

.. math::
    \nabla L_K = E\Big[\sum_k (\hat L - \hat L_{-k}) \nabla \log q(z_k) + \nabla \hat L\Big],
    \quad \hat L = \log \tfrac{1}{K} \sum_j w_j

where :math:`\hat L_{-k}` replaces :math:`w_k` by the geometric (or arithmetic) mean of the others:
it does not depend on :math:`z_k`, so the gradient stays unbiased and its variance falls. For the
ELBO :math:`\frac{1}{K} \sum_j \log w_j` the signal becomes
:math:`\frac{1}{K} \big(\log w_k - \frac{1}{K - 1} \sum_{j \ne k} \log w_j\big)`, which is RLOO.

References:
    | Variational Inference for Monte Carlo Objectives (Mnih & Rezende, 2016)
    | https://arxiv.org/abs/1602.06725
    | Buy 4 REINFORCE Samples, Get a Baseline for Free! (Kool, van Hoof & Welling, 2019)
    | https://openreview.net/forum?id=r1lgTGL5DE
"""

__all__ = ["RLOO", "VIMCO", "LeaveOneOut"]

from dataclasses import dataclass
from math import log
from typing import Literal

from ppgm.errors import ArgumentError, EstimatorError
from ppgm.inference.family import AbstractFamily
from ppgm.inference.gradients import AbstractGradient, AnyBound
from ppgm.inference.path import block_scores, scored
from ppgm.inference.powers import bound, leave_one_out, left_out
from ppgm.ops import Array, ops_of
from ppgm.sites import SiteTable
from ppgm.terms import Weights
from ppgm.views import View


@dataclass(frozen=True)
class LeaveOneOut(AbstractGradient):
    """Score function whose signals are centred by the other particles.

    Args:
        mean: How the others stand in for a left-out weight, "geometric" or "arithmetic".
    """

    mean: Literal["geometric", "arithmetic"] = "geometric"

    def __post_init__(self) -> None:
        if self.mean not in ("geometric", "arithmetic"):
            raise ArgumentError(f"mean must be 'geometric' or 'arithmetic', not '{self.mean}'")

    def rows(self, weights: Weights, alpha: float, particles: int) -> Array:
        """Returns the bound per row, ``(*rows)``."""
        log_w = weights.log_p - weights.log_q
        value = bound(log_w, alpha, particles, weights.log_mass)
        if weights.score is None or (weights.blocks and alpha == 1):
            return value
        if weights.log_mass is not None:
            signal = _beside_enumerated(log_w, weights.log_mass, value, alpha, particles)
        else:
            others = left_out(log_w, alpha, self.mean)
            signal = (log_w - others) / particles if alpha == 1 else value - others
        return value + scored(signal, weights.score)

    def extra(self, view: View, weights: Weights, alpha: float, particles: int) -> Array | float:
        """Returns the score-function term of global latents, each signal centred likewise."""
        if not weights.blocks or alpha != 1:
            return 0.0
        blocks = tuple(
            b._replace(signal=b.signal - left_out(b.signal, 1.0)) for b in weights.blocks
        )
        return block_scores(view, weights._replace(blocks=blocks), particles)

    def check(self, table: SiteTable, of: AnyBound) -> None:
        """Checks that there are others."""
        scored = [s for s in table.select("guide", "latent") if not s.reparameterised]
        if of.particles < 2:
            raise EstimatorError(
                f"{of.title} leaves one of its draws out, and has particles={of.particles}: give "
                "particles=2 or more"
            )
        if self.mean == "arithmetic" and of.order == 1:
            raise EstimatorError(
                f"{of.title} has the mean over draws outside the logarithm: its left-out signal "
                "is the mean of the other log weights; use mean='geometric'"
            )
        if of.enumerate and scored and not table.rows:
            raise EstimatorError(
                f"site '{scored[0].name}' is scored beside {of.enumerate}, which are enumerated, "
                f"outside the plates of the data: {of.title} has no leave-one-out signal for it; "
                "enumerate it too, or use gradient='path'"
            )


def _beside_enumerated(
    log_w: Array, log_mass: Array, value: Array, alpha: float, particles: int
) -> Array:
    r"""Returns the signals of draws that are made for each value of enumerated sites.

    With masses :math:`m_v` of the V values and K draws for each, :math:`L = rac{1}{K} \sum_{vk}
    m_v \log w_{vk}`, and the others of a draw for the same value stand in for its term. For the
    other bounds, logarithms of a sum of :math:`m_v w_{vk}^{1-lpha}`, the mean of all other terms
    stands in. The mass may depend on the draw itself, so that its own is in neither.
    """
    if alpha == 1:
        terms = ops_of(log_w).np.exp(log_mass) * log_w
        by_value = terms.reshape((-1, particles, *terms.shape[1:]))
        others = (by_value.sum(1)[:, None] - by_value) / (particles - 1)
        return ((by_value - others) / particles).reshape(tuple(terms.shape))
    terms = (1 - alpha) * log_w + log_mass
    mean = leave_one_out(terms, "arithmetic")
    others = (mean + log(log_w.shape[0] / particles)) / (1 - alpha)
    xp = ops_of(log_w).np
    return value - xp.where(xp.isfinite(others), others, xp.zeros_like(others))


def vimco() -> AbstractGradient:
    """Score function whose signals are centred by the other particles: as "rloo"."""
    return LeaveOneOut()


@dataclass(frozen=True)
class VIMCO(AbstractFamily):
    """Importance weighted bound of `particles` >= 2 draws, for discrete guides.

    Args:
        particles: Number of draws K.
        mean: How the others stand in for a left-out weight, "geometric" or "arithmetic".
    """

    particles: int = 5
    mean: Literal["geometric", "arithmetic"] = "geometric"

    LEAST = 2, ": one is left out (use ELBO for one)"

    @property
    def order(self) -> float:
        """The importance weighted bound's order."""
        return 0.0

    @property
    def estimator(self) -> AbstractGradient:
        """Leave-one-out signals."""
        return LeaveOneOut(self.mean)


@dataclass(frozen=True)
class RLOO(AbstractFamily):
    """Evidence lower bound of `particles` >= 2 draws with leave-one-out signals.

    Args:
        particles: Number of draws K.
    """

    particles: int = 4

    LEAST = 2, ": one is left out (use ELBO for one)"

    @property
    def order(self) -> float:
        """The ELBO's order."""
        return 1.0

    @property
    def estimator(self) -> AbstractGradient:
        """Leave-one-out signals."""
        return LeaveOneOut()
