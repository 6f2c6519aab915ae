r"""VIMCO: the importance weighted bound with leave-one-out learning signals.

.. math::
    \nabla L_K = E\Big[\sum_k (\hat L - \hat L_{-k}) \nabla \log q(z_k) + \nabla \hat L\Big],
    \quad \hat L = \log \tfrac{1}{K} \sum_j w_j

where :math:`\hat L_{-k}` replaces :math:`w_k` by the geometric (or arithmetic) mean of the others:
it does not depend on :math:`z_k`, so the gradient stays unbiased and its variance falls.

References:
    | Variational Inference for Monte Carlo Objectives (Mnih & Rezende, 2016)
    | https://arxiv.org/abs/1602.06725
"""

__all__ = ["VIMCO", "leave_one_out"]

from dataclasses import dataclass
from math import log
from typing import Literal

from ppgm.errors import ArgumentError
from ppgm.inference.counts import set_count
from ppgm.inference.objective import AbstractMultiSample
from ppgm.ops import Array, ops_of
from ppgm.terms import Weights


@dataclass(frozen=True)
class VIMCO(AbstractMultiSample):
    """Importance weighted bound of `particles` >= 2 draws, for discrete guides.

    Args:
        particles: Number of draws K.
        mean: How the others stand in for a left-out weight, "geometric" or "arithmetic".
    """

    particles: int = 5
    mean: Literal["geometric", "arithmetic"] = "geometric"

    def __post_init__(self) -> None:
        set_count(self, "particles", 2, ": one is left out (use ELBO for one)")
        if self.mean not in ("geometric", "arithmetic"):
            raise ArgumentError(f"mean must be 'geometric' or 'arithmetic', not '{self.mean}'")

    def rows(self, weights: Weights) -> Array:
        """Returns minus the bound per row, ``(*rows)``."""
        log_w = weights.log_p - weights.log_q
        ops = ops_of(log_w)
        bound = ops.logsumexp(log_w, 0) - log(log_w.shape[0])

        if weights.score is None:
            return -bound
        stop = ops.stop_gradient
        signal = stop(bound - leave_one_out(stop(log_w), self.mean))
        return -(bound + (signal * (weights.score - stop(weights.score))).sum(0))


def leave_one_out(log_w: Array, mean: str = "geometric") -> Array:
    """Returns the bound with each weight in turn replaced by the mean of the others.

    Args:
        log_w: Log weights, ``(K, *rows)``.
        mean: "geometric" or "arithmetic".

    Returns:
        ``(K, *rows)``; entry k does not depend on ``log_w[k]``.
    """
    ops = ops_of(log_w)
    particles = log_w.shape[0]

    others = _log_sum_others(log_w)
    if mean == "arithmetic":
        return others - log(particles - 1)
    return ops.np.logaddexp(others, _log_mean_others(log_w)) - log(particles)


def _log_mean_others(log_w: Array) -> Array:
    """Returns the mean of log w_j over j != k, -inf where one of them is."""
    xp = ops_of(log_w).np
    zero = log_w == -float("inf")
    finite = xp.where(zero, xp.zeros_like(log_w), log_w)
    mean = (finite.sum(0) - finite) / (log_w.shape[0] - 1)
    others = xp.where(zero, xp.zeros_like(log_w), xp.ones_like(log_w)) + (zero.sum(0) - 1)
    return xp.where(others > 0, xp.full_like(log_w, -float("inf")), mean)


def _log_sum_others(log_w: Array) -> Array:
    """Returns log sum_{j != k} w_j for every k, without cancellation, in O(K).

    Subtracting w_k from the sum is exact enough for every weight but the largest, since it
    leaves at least half of the sum; for the largest the others are summed apart.
    """
    ops = ops_of(log_w)
    xp, particles = ops.np, log_w.shape[0]
    index = xp.argmax(log_w, axis=0)
    largest = xp.arange(particles).reshape((particles,) + (1,) * (log_w.ndim - 1)) == index
    low = xp.where(largest, xp.full_like(log_w, -float("inf")), log_w)
    rest = ops.logsumexp(low, 0)

    # for k not the largest: log(sum_all - w_k), dominated by the largest weight
    total = ops.logsumexp(log_w, 0)
    gap = xp.where(largest, xp.full_like(log_w, -1.0), log_w - total)
    return xp.where(largest, rest, total + xp.log(-xp.expm1(gap)))
